"""Price consensus with mismatch tracking: one round per iteration, no inner average.

Each module keeps its own price lambda_i and its own estimate d_i of the mismatch per module. With doubly stochastic
weights W_ij, n members, T the target and rho the weight of the proximal step:

    lambda_i <- sum_j W_ij (lambda_j + beta d_j)
    p_i'     =  argmin f_i(p) - lambda_i p + rho/2 (p - p_i)^2   in the box
    d_i      <- sum_j W_ij d_j + p_i - p_i',   p_i <- p_i',      d_i = T / n - p_i at the start

From a known price (see core/dispatch/iterative.py) p_i starts as the own response to it. These differ more between
members than the target is missed by, so their exact mean is taken first and all d_i start equal.

The sum of the d_i is T minus the sum of the p_i at all times, so where the prices agree and the d_i vanish stands
the optimum. The proximal term bounds the slope of the response by 1/rho, without which a module with little wear
would jump between the ends of its box.

Convergence: for a beta small enough for the graph. Used is beta = rho (1 - s) on Metropolis weights, s their second
eigenvalue: found by trial on rings, lines, stars, meshes and complete graphs of 5 and 16 modules, no proof. Rounds grow
with 1 / (1 - s). On an exact average (s = 0) an iteration takes as many rounds as that average.

Stop: every so many rounds as the graph is wide the largest residual of all is known to all; a member's residual
counts its own mismatch as everyone's, and the largest difference to a neighbour's price as one for each hop. Then an
exact sum of the powers must find the target met, as a mismatch may just be swinging through zero; with it all take the
mean price.

Source: the V2G problem formulation, section 3.3, replaced by a tracked mismatch (DERIVED: dynamic average consensus on
the dual gradient, e.g. Kia et al., Tutorial on Dynamic Average Consensus, 2019); the proximal term is added here.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import lru_cache

from v2g_nodes.core.averaging.average import AveragingPlan
from v2g_nodes.core.averaging.plans import averaging_plan
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.collective import Collective, pack, saturate_float32, unpack
from v2g_nodes.core.dispatch.iterative import BALANCE_SHARE, IterativeAgent
from v2g_nodes.core.dispatch.lockstep import Result, Rounds, Words
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.graph import (
    Adjacency,
    Edges,
    adjacency,
    diameter,
    metropolis_row,
    metropolis_weights,
    second_eigenvalue,
)

ITERATIONS_MAX = 20_000  # then the algorithm ends with what it has


class PriceTrackingAgent(IterativeAgent):
    """One module's side of one epoch; see IterativeAgent.

    Args:
        problem: own part of the allocation.
        group: who takes part.
        plan: average of each iteration, or None for one step with Metropolis weights.
        resend_ns: pause before a waiting member repeats its frame [ns].
    """

    def __init__(self, problem: LocalProblem, group: Group, plan: AveragingPlan | None, resend_ns: int) -> None:
        neighbours, width, mixing = _graph(group.members, group.edges)
        links = neighbours[problem.module_id]
        super().__init__(problem, group, averaging_plan("exact", group.members, group.edges), resend_ns, links)
        self._own_weight, self._weights = metropolis_row(neighbours, problem.module_id)
        self._width = max(1, width)
        self._inner = Collective(plan, problem.module_id, links) if plan else None
        self._beta = self._weight * (1.0 - (0.0 if plan else mixing))

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        supply, rho = self._problem.supply, self._weight
        opening = yield from self._opening()
        clipped_kw, share_kw = opening.clipped_kw, opening.clipped_kw / self._members
        p, price = self._problem.box.clip(share_kw), 0.0
        missing_kw = share_kw - p
        start = yield from self._warm_price(opening)
        if start is not None:
            p, price = self._response(start), start
            (mean_p, _), _ = yield from self._collective.means((p, 0.0))
            missing_kw = share_kw - mean_p
        worst, age = 2.0, 0
        for _ in range(ITERATIONS_MAX):
            offered = (price + self._beta * missing_kw, missing_kw)
            if self._inner is None:
                (mixed_price, mixed_kw), apart, worst = yield from self._mix(offered, worst)
                age += 1
            else:
                (mixed_price, mixed_kw), worst = yield from self._inner.means(offered, worst)
                apart, age = 0.0, self._width
            if age >= self._width and worst <= 1.0:
                (mean_p, agreed_price), _ = yield from self._collective.means((p, price))
                if abs(mean_p - share_kw) <= BALANCE_SHARE * self._rating_kw / self._members:
                    return Result(agreed_price, p, clipped_kw)
            before, p = p, supply.proximal(mixed_price + rho * p, rho)
            self.trace_kw.append(p)
            price_error = self._width * apart + rho * abs(p - before)
            price, missing_kw = mixed_price, mixed_kw + before - p
            residual = self._residual(price, price_error, self._members * missing_kw)
            if age >= self._width:
                worst, age = saturate_float32(residual), 0
        return Result(price, p, clipped_kw)

    def _mix(
        self, offered: tuple[float, float], worst: float
    ) -> Generator[tuple[Words, int], list[Words], tuple[tuple[float, float], float, float]]:
        """One round: price and mismatch mixed with the neighbours', largest difference of prices, largest residual."""
        received = yield pack(*offered, worst), 0
        numbers = [unpack(words) for words in received]
        mixed_price, mixed_kw = (
            self._own_weight * own + sum(w * number[place] for w, number in zip(self._weights, numbers, strict=True))
            for place, own in enumerate(offered)
        )
        apart = max((abs(number[0] - offered[0]) for number in numbers), default=0.0)
        return (mixed_price, mixed_kw), apart, max([worst, *(number[2] for number in numbers)])


@lru_cache(maxsize=64)
def _graph(members: tuple[int, ...], edges: Edges) -> tuple[Adjacency, int, float]:
    """Neighbours, diameter and second eigenvalue of the Metropolis weights; an agent is made for every epoch."""
    neighbours = adjacency(members, edges)
    return neighbours, diameter(neighbours), second_eigenvalue(metropolis_weights(neighbours))
