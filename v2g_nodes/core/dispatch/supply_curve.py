"""Supply-curve consensus: agree on the station's whole supply curve instead of one price at a time.

Recursion. Each module offers its best responses p_i(x_k) at ten prices x_k common to all; an exact sum over the
group (core/averaging/ball_sum.py) gives the station's supply S_k = sum_i p_i(x_k). The target T lies in one cell,
S_k <= T <= S_{k+1}. A second pass divides that cell by ten prices of its own. Then, with
t = (T - S_k) / (S_{k+1} - S_k),

    p_i = (1 - t) p_i(x_k) + t p_i(x_{k+1}),      lambda = (1 - t) x_k + t x_{k+1}.

The sum of the p_i is T by construction and each lies between two feasible powers, so in its box. The first
and last price of the first pass are minus and plus infinity: they ask for the ends of the boxes, so a target
that can't be met is noticed and clipped by all alike.

Gap. All marginal costs lie in [x_k, x_{k+1}], so the cost exceeds the optimum by at most
(x_{k+1} - x_k) (S_{k+1} - S_k) / 4 [EUR/h]. Every member knows this bound; a warm start, whose ten prices lie
close around the expected price, ends after one pass when the bound is small enough.

Convergence. One or two passes of as many rounds as the graph is wide: exact, no step size, no iteration. The
cost pieces must be convex, nothing else; a jump in a response is divided like any other cell.

Numbers on the wire are integers with a common exponent, and the p_i above are the rounded ones, so their sum is T
all the same. Only a module that does not move within the cell, as at an end of its box, stays exactly there; members
round at offsets spread over one unit, so that even then the errors of equal modules cancel. The second pass sends
what the first one rounded away on top, and its cell reaches over the neighbouring one where the first pass can't
tell in which of the two the target lies.

Source: DERIVED from the dual of the allocation problem (its dual function is the integral of T - S(lambda)).
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np

from v2g_nodes.core.averaging.ball_sum import BallSum, sum_plan
from v2g_nodes.core.averaging.wrapped_sum import WrappedSum
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent, Result, Rounds, Words
from v2g_nodes.core.dispatch.price_grid import (
    Crossing,
    Curve,
    WarmStart,
    cold_prices,
    cost_floor_eur_per_h,
    find_crossing,
    finite_prices,
    guess_price,
    refined_prices,
    warm_prices,
)
from v2g_nodes.core.errors import MaskError
from v2g_nodes.core.exchange import INT16_MAX
from v2g_nodes.core.privacy.masks import MaskOf

GAP_TOLERANCE = 6e-4  # accept a first pass whose bound is this share of the cost; the target is a gap below 1e-3


class SupplyCurveAgent(LockstepAgent):
    """One module's side of one epoch.

    Args:
        problem: own part of the allocation.
        group: who takes part.
        warm: what the last agreed epoch left, or None for a cold start.
        resend_ns: pause before a waiting member repeats its frame [ns].
        cold: begin with the whole price range all the same.
        masks: hide the own curve in the sum (core/privacy/masks.py); None = it goes out as it is.
    """

    def __init__(
        self,
        problem: LocalProblem,
        group: Group,
        warm: WarmStart | None,
        resend_ns: int,
        cold: bool = False,
        masks: MaskOf | None = None,
    ) -> None:
        self._masks = masks
        self._offset = (1 + group.members.index(problem.module_id)) * _GOLDEN % 1.0
        self._plan = sum_plan(group.members, group.edges)
        self._warm = warm
        span, target_kw = problem.price_span_eur_per_kwh, problem.target_kw
        grid = warm_prices(warm, span, target_kw, group.total_rating_kw) if warm else None
        self._warm_grid: Curve = grid or ()
        links = self._plan.neighbours[problem.module_id]
        super().__init__(problem, group, links, resend_ns, warm if grid and not cold else None)

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        span, target_kw = self._problem.price_span_eur_per_kwh, self._problem.target_kw
        prices = self._warm_grid if warm else cold_prices(span, target_kw, self._rating_kw)
        curve: tuple[Curve, Curve] = ((), ())  # points of the first pass outside the cell that the second refines
        base_kw, base_total_kw = 0.0, 0.0  # what a pass adds to: own part and the group's
        bases_kw = dict.fromkeys(self.links, 0.0)  # and the neighbours'
        exponent = _exponent(self._rating_kw, self._members)
        for iteration in (1, 2):
            unit_kw = 2.0**exponent
            offers_kw: list[float] = self._problem.supply.response(np.array(prices)).tolist()
            units = [math.floor((kw - base_kw) / unit_kw + self._offset) for kw in offers_kw]
            sum_ = self._sum(units, iteration)
            curves: dict[int, Words] = {}  # of the neighbours, from the first round; masked ones say nothing
            shown = () if self._masks else self.links
            while not sum_.done:
                received = yield sum_.ball, exponent
                curves = curves or dict(zip(shown, received, strict=False))
                sum_.advance(received)
            self._check(sum_.total)
            totals_kw = tuple(accumulate((base_total_kw + unit_kw * total for total in sum_.total), max))
            known = finite_prices(prices, span)
            crossing = find_crossing(totals_kw, target_kw)
            k, share = crossing.cell, crossing.share
            power_kw = offers_kw[k]
            if power_kw != offers_kw[k + 1]:
                power_kw = base_kw + unit_kw * ((1 - share) * units[k] + share * units[k + 1])
            for j, curve_j in curves.items():
                power_j_kw = bases_kw[j] + unit_kw * ((1 - share) * curve_j[k] + share * curve_j[k + 1])
                self.powers_of_neighbours_kw[j] = (power_j_kw, 2.0 * unit_kw)
            self.trace_kw.append(self._problem.box.clip(power_kw))
            if iteration == 1:
                clipped_kw = crossing.clipped_target_kw
            if iteration == 2 or self._good_enough(warm is not None, known, totals_kw, crossing):
                break
            low, high = self._bracket(totals_kw, k, unit_kw * self._members)
            curve = (*known[:low], *known[high + 1 :]), (*totals_kw[:low], *totals_kw[high + 1 :])
            base_kw, base_total_kw = unit_kw * units[low], unit_kw * sum_.total[low]
            bases_kw = {j: unit_kw * curve_j[low] for j, curve_j in curves.items()}
            left_kw = totals_kw[high] - totals_kw[low] + self._members * unit_kw
            inner = refined_prices(known[low], known[high], guess_price(known, totals_kw, crossing))
            prices = (prices[low], *inner[1:-1], prices[high])
            exponent = _exponent(left_kw, self._members)
        price = (1 - share) * known[k] + share * known[k + 1]
        return Result(price, power_kw, clipped_kw, self._memory(curve, known, totals_kw, clipped_kw))

    def _sum(self, units: list[int], iteration: int) -> BallSum:
        """Sum of the members' units. Its total fits int16 (see `_exponent`), so masks that wrap round change no bit."""
        plan, own = self._plan, self._problem.module_id
        if self._masks is None:
            return BallSum(plan, own, units)
        masks = self._masks(self.bracket, iteration)
        return WrappedSum(plan, own, [unit + mask for unit, mask in zip(units, masks, strict=True)])

    def _check(self, total: Words) -> None:
        """Refuse what is no supply curve; words from masks that do not cancel pass once in a million times.

        Raises:
            MaskError: the masked total falls from one price to the next, by more than a unit per member.
        """
        falls = [before - after for before, after in pairwise(total)]
        if self._masks and max(falls) > self._members:
            raise MaskError("the sum of the masked curves falls with the price: the members' masks do not cancel")

    def _bracket(self, totals_kw: Curve, cell: int, error_kw: float) -> tuple[int, int]:
        """First and last price of the cell, wider by a cell on a side whose total may be wrong about the target."""
        low, high, target_kw = cell, cell + 1, self._problem.target_kw
        if low > 0 and target_kw - totals_kw[low] < error_kw:
            low -= 1
        if high < len(totals_kw) - 1 and totals_kw[high] - target_kw < error_kw:
            high += 1
        return low, high

    def _memory(
        self, curve: tuple[Curve, Curve], prices: Curve, totals_kw: Curve, clipped_kw: float
    ) -> WarmStart:
        """Both passes' points as one curve."""
        outer = zip(*curve, strict=True)
        points = sorted([*outer, *zip(prices, totals_kw, strict=True)])
        totals = accumulate((total for _, total in points), max)
        tag = 1 + self._problem.epoch.signal_sequence % 255
        step_kw = abs(clipped_kw - self._warm.target_kw) if self._warm else math.inf
        return WarmStart(tuple(price for price, _ in points), tuple(totals), clipped_kw, step_kw, tag)

    def _good_enough(self, warm: bool, prices: Curve, totals_kw: Curve, crossing: Crossing) -> bool:
        """Whether the first pass may be the last: target out of reach, or warm and the gap's bound small."""
        clipped_kw = crossing.clipped_target_kw
        if clipped_kw != self._problem.target_kw:
            return True
        if not warm:
            return False
        k = crossing.cell
        bound = (prices[k + 1] - prices[k]) * (totals_kw[k + 1] - totals_kw[k]) / 4
        return bound <= GAP_TOLERANCE * cost_floor_eur_per_h(
            prices[k], clipped_kw, self._problem.price_span_eur_per_kwh, self._rating_kw
        )


_GOLDEN = 0.6180339887498949  # multiples of the golden ratio modulo 1 spread evenly over any run of members


def _exponent(range_kw: float, members: int) -> int:
    """Smallest exponent at which sums over the group, each member rounding by half a unit, fit int16.

    Not below -31 (half a microwatt): a CAN frame has six bits for it.
    """
    return max(-31, math.ceil(math.log2(max(range_kw, 1e-12) / (INT16_MAX - members))))
