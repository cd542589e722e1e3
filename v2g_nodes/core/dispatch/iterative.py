"""What the algorithms share that approach the optimum step by step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.averaging.average import AveragingPlan
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.collective import Collective, plausible_frame
from v2g_nodes.core.dispatch.lockstep import LockstepAgent, Words
from v2g_nodes.core.dispatch.start_price import start_code, start_price
from v2g_nodes.core.types import Frame

BALANCE_SHARE = 5e-4  # of the rating: who misses the target by less has met it
PRICE_SHARE = 0.02  # marginal costs this close to the price are equal; the gap goes with the square of it
SMALL_PRICE_SHARE = 0.02  # of the price span: closer to zero than this is measured as if here
PROXIMAL_SHARE = 0.25  # weight of a proximal step: price span over rating of a module, times this
ITERATIONS_MAX = 400  # then the algorithm ends with what it has
SMALL_SLOPE = 1e-9  # kW per EUR/kWh; the price step is limited long before


@dataclass(frozen=True)
class Opening:
    """What the first average of an epoch tells all members alike.

    Args:
        clipped_kw: the target moved into the summed boxes [kW].
        low_kw: lower end of the summed boxes [kW].
        high_kw: upper end of the summed boxes [kW].
        start_eur_per_kwh: price to start from, None if nobody knows one [EUR/kWh].
    """

    clipped_kw: float
    low_kw: float
    high_kw: float
    start_eur_per_kwh: float | None


class IterativeAgent(LockstepAgent):
    """One module's side of one epoch, on any average.

    Args:
        problem: own part of the allocation.
        group: who takes part.
        plan: how the group averages.
        resend_ns: pause before a waiting member repeats its frame [ns].
        links: neighbours to listen to, those that the plan uses by default.
    """

    def __init__(
        self, problem: LocalProblem, group: Group, plan: AveragingPlan, resend_ns: int, links: Sequence[int] = ()
    ) -> None:
        links = links or plan.neighbours[problem.module_id]
        super().__init__(problem, group, links, resend_ns)
        self._collective = Collective(plan, problem.module_id, links)
        self._weight = PROXIMAL_SHARE * problem.price_span_eur_per_kwh * self._members / self._rating_kw

    def _plausible(self, frame: Frame) -> bool:
        return plausible_frame(frame)

    def _opening(self) -> Generator[tuple[Words, int], list[Words], Opening]:
        """The first average: of the ends of the boxes."""
        box, span = self._problem.box, self._problem.price_span_eur_per_kwh
        code = start_code(self._problem.start_eur_per_kwh, span)
        (low, high), largest = yield from self._collective.means((box.low_kw, box.high_kw), code)
        low_kw, high_kw = self._members * low, self._members * high
        clipped_kw = min(max(self._problem.target_kw, low_kw), high_kw)
        return Opening(clipped_kw, low_kw, high_kw, start_price(largest, span))

    def _warm_price(self, opening: Opening) -> Generator[tuple[Words, int], list[Words], float | None]:
        """The price to start from, moved by one Newton step towards the target; None without one.

        It takes one average. The step is at most as long as the price itself: one that leads nowhere becomes zero,
        which is where a cold start begins, or doubles.
        """
        last, span = opening.start_eur_per_kwh, self._problem.price_span_eur_per_kwh
        if last is None:
            return None
        p = self._response(last)
        self.trace_kw.append(p)
        (mean_p, mean_slope), _ = yield from self._collective.means((p, self._problem.supply.slope(last)))
        step = (opening.clipped_kw / self._members - mean_p) / max(mean_slope, SMALL_SLOPE)
        price = last + min(max(step, -abs(last)), abs(last))
        return min(max(price, -span), span)

    def _residual(self, price: float, price_error: float, missing_kw: float) -> float:
        """How far from an agreement, 1 = close enough.

        Args:
            price: own idea of the dual price [EUR/kWh].
            price_error: between own marginal cost and the price [EUR/kWh].
            missing_kw: own idea of what the group misses the target by [kW].
        """
        scale = max(abs(price), SMALL_PRICE_SHARE * self._problem.price_span_eur_per_kwh)
        return max(
            abs(price_error) / (PRICE_SHARE * scale), abs(missing_kw) / (BALANCE_SHARE * self._rating_kw)
        )

    def _response(self, price: float) -> float:
        return float(self._problem.supply.response(np.array([price]))[0])
