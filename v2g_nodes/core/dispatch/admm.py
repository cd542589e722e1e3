"""Consensus ADMM: every module moves a little towards its share, and the price makes the shares add up.

Recursion, with rho the weight of the proximal step, n members, T the target, z_i the share, y_i minus the price:

    p_i <- argmin f_i(p) + y_i p + rho/2 (p - z_i)^2   in the box
    a_i =  p_i + y_i / rho
    z_i <- a_i - mean(a) + T / n
    y_i <- y_i + rho (p_i - z_i)  =  rho (mean(a) - T / n)

so after the first step all y_i are equal and -y is the dual price. One average per iteration. Start: z_i = T / n and
y_i = 0 or, from a known price (see core/dispatch/iterative.py), z_i the own response to it and y_i minus the price.

Convergence: for convex costs and every rho > 0, from any start, with an exact average. With one that leaves a
disagreement the sum of the z_i keeps to T, but the p_i end beside the optimum by as much as the prices disagree.

Stop: when in two iterations running no member's share, price or idea of the balance was still moving (see
core/dispatch/iterative.py; one alone may be a balance that swings through zero). The largest residual of an iteration
goes with the average of the next, so all stop alike.

Source: Boyd, Parikh, Chu, Peleato, Eckstein, Distributed Optimization and Statistical Learning via ADMM (2011), section
7.3 (sharing and exchange); the V2G problem formulation, section 3.2.
"""

from __future__ import annotations

from v2g_nodes.core.dispatch.iterative import ITERATIONS_MAX, IterativeAgent
from v2g_nodes.core.dispatch.lockstep import Result, Rounds
from v2g_nodes.core.dispatch.price_grid import WarmStart


class AdmmAgent(IterativeAgent):
    """One module's side of one epoch; see IterativeAgent."""

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        supply, rho = self._problem.supply, self._weight
        opening = yield from self._opening()
        clipped_kw, share_kw = opening.clipped_kw, opening.clipped_kw / self._members
        start = yield from self._warm_price(opening)
        z, y = (share_kw, 0.0) if start is None else (self._response(start), -start)
        residual, worst = 2.0, 2.0
        for _ in range(ITERATIONS_MAX):
            p = supply.proximal(rho * z - y, rho)
            a = p + y / rho
            self.trace_kw.append(p)
            before_worst = worst
            (mean_a, mean_p), worst = yield from self._collective.means((a, p), residual)
            if max(worst, before_worst) <= 1.0:
                break
            before, z = z, a - mean_a + share_kw
            y = rho * (mean_a - share_kw)
            residual = self._residual(-y, rho * (z - before), self._members * (mean_p - share_kw))
        return Result(-y, p, clipped_kw)
