"""Primal-dual: the powers step down the cost at the going price, the price steps up while power is missing.

Recursion, with n members, T the target, rho the weight of the proximal step (primal step 1/rho, dual step rho):

    p_i'     =  argmin f_i(p) - lambda_i p + rho/2 (p - p_i)^2   in the box
    lambda_i <- mean( lambda_j + rho (T / n - (2 p_j' - p_j)) )
    p_i      <- p_i'

It is the form of the formulation's section 3.3 that works: the price rises while power is missing (the sign there is
the other way round and runs away), the prices are averaged and so is the mismatch (averaging powers alone ends at an
equal split), and the gradient step is a proximal one, as the wear has no bounded curvature at zero power. The point
2 p' - p instead of p' lets primal and dual step be this long. Start: p_i = T / n and no price or, from a known price
(see core/dispatch/iterative.py), that and the own response to it.

Convergence: for convex costs when primal times dual step is at most 1 (here it is 1), from any start, with an
exact average.

Stop: as core/dispatch/admm.py.

Source: Chambolle and Pock, A First-Order Primal-Dual Algorithm for Convex Problems (2011), algorithm 1 with theta = 1;
the V2G problem formulation, section 3.3, corrected.
"""

from __future__ import annotations

from v2g_nodes.core.dispatch.iterative import ITERATIONS_MAX, IterativeAgent
from v2g_nodes.core.dispatch.lockstep import Result, Rounds
from v2g_nodes.core.dispatch.price_grid import WarmStart


class PrimalDualAgent(IterativeAgent):
    """One module's side of one epoch; see IterativeAgent."""

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        supply, rho = self._problem.supply, self._weight
        opening = yield from self._opening()
        clipped_kw, share_kw = opening.clipped_kw, opening.clipped_kw / self._members
        start = yield from self._warm_price(opening)
        p, price = (self._problem.box.clip(share_kw), 0.0) if start is None else (self._response(start), start)
        residual, worst = 2.0, 2.0
        for _ in range(ITERATIONS_MAX):
            before, p = p, supply.proximal(price + rho * p, rho)
            self.trace_kw.append(p)
            stepped = price + rho * (share_kw - (2.0 * p - before))
            before_worst = worst
            (mean_price, mean_p), worst = yield from self._collective.means((stepped, p), residual)
            if max(worst, before_worst) <= 1.0:
                break
            price_step, price = mean_price - price, mean_price
            price_error = abs(price_step) + rho * abs(p - before)
            residual = self._residual(price, price_error, self._members * (mean_p - share_kw))
        return Result(price, p, clipped_kw)
