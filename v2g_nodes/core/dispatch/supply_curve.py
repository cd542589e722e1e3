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
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from v2g_nodes.core.averaging.ball_sum import BallSum, sum_plan
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.price_grid import (
    Crossing,
    Curve,
    WarmStart,
    cold_prices,
    find_crossing,
    finite_prices,
    guess_price,
    refined_prices,
    warm_prices,
)
from v2g_nodes.core.exchange import INT16_MAX, Exchange
from v2g_nodes.core.types import Agreement, Frame

PASSES = 2
COLD = 0  # bracket tag of the whole price range
GAP_TOLERANCE = 6e-4  # accept a first pass whose bound is this share of the cost; the target is a gap below 1e-3


class SupplyCurveAgent:
    """One module's side of one epoch; see core/dispatch/agent.py for `step` and `agreement`.

    Args:
        problem: own part of the allocation.
        group: who takes part.
        warm: what the last agreed epoch left, or None for a cold start.
        resend_ns: pause before a waiting member repeats its frame [ns].
        cold: begin with the whole price range all the same.
    """

    def __init__(
        self, problem: LocalProblem, group: Group, warm: WarmStart | None, resend_ns: int, cold: bool = False
    ) -> None:
        self._problem = problem
        self._members = len(group.members)
        self._offset = (1 + group.members.index(problem.module_id)) * _GOLDEN % 1.0
        self._rating_kw = sum(group.rating_kw[k] for k in group.members)
        self._plan = sum_plan(group.members, group.edges)
        self._warm = warm
        self._exchange = Exchange(
            problem.module_id, self._plan.neighbours[problem.module_id], problem.epoch, group.fingerprint, resend_ns
        )
        self._agreement: Agreement | None = None
        self.warm_start: WarmStart | None = None
        self._begin(None if cold else warm)

    @property
    def agreement(self) -> Agreement | None:
        """The result, or None while the exchange runs."""
        return self._agreement

    @property
    def resends(self) -> int:
        """Frames sent again so far."""
        return self._exchange.resends

    @property
    def bracket(self) -> int:
        """Tag of the price grid in use; 0 is the whole range."""
        return self._exchange.bracket

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        """See Agent.step; returns at most one frame."""
        for frame in inbox:
            if not self._exchange.addressed(frame):
                continue
            if frame.bracket == self._exchange.bracket:
                self._exchange.take(frame)
            elif self._exchange.bracket != COLD and self._agreement is None:
                # Two members remember different epochs: all fall back to what needs no memory.
                self._begin(None)
                if frame.bracket == COLD:
                    self._exchange.take(frame)
        posted = self._advance(now_ns)
        again = posted or self._exchange.repeat(now_ns)
        return [again] if again else []

    def _begin(self, warm: WarmStart | None) -> None:
        span, target_kw = self._problem.price_span_eur_per_kwh, self._problem.target_kw
        prices = warm_prices(warm, span, target_kw, self._rating_kw) if warm else None
        self._exchange.restart(warm.tag if warm and prices is not None else COLD)
        self._pass = 0
        self._base_kw = 0.0  # what the pass adds to: own part ...
        self._base_total_kw = 0.0  # ... and the group's
        self._curve: tuple[Curve, Curve] = ((), ())
        if prices is None:
            prices = cold_prices(span, target_kw, self._rating_kw)
        self._begin_pass(prices, _exponent(self._rating_kw, self._members))

    def _begin_pass(self, prices: Curve, exponent: int) -> None:
        self._prices = prices
        self._exponent = exponent
        self._offers_kw: list[float] = self._problem.response(np.array(prices)).tolist()
        unit_kw = 2.0**exponent
        self._units = [math.floor((kw - self._base_kw) / unit_kw + self._offset) for kw in self._offers_kw]
        self._sum = BallSum(self._plan, self._problem.module_id, self._units)
        self._posted = False

    def _advance(self, now_ns: int) -> Frame | None:
        """Do all rounds that the frames in hand allow; the frame of the last one, if any."""
        latest = None
        while self._agreement is None:
            if self._sum.done:
                self._end_pass()
                continue
            if not self._posted:
                latest = self._exchange.post(self._sum.ball, self._exponent, now_ns)
                self._posted = True
            received = self._exchange.complete()
            if received is None:
                break
            self._sum.advance(received)
            self._posted = False
        return latest

    def _end_pass(self) -> None:
        total_units = self._sum.total
        unit_kw = 2.0**self._exponent
        totals_kw = tuple(accumulate((self._base_total_kw + unit_kw * units for units in total_units), max))
        prices = finite_prices(self._prices, self._problem.price_span_eur_per_kwh)
        crossing = find_crossing(totals_kw, self._problem.target_kw)
        k, share = crossing.cell, crossing.share
        if self._pass == 0:
            self._clipped_kw = crossing.clipped_target_kw
            if not self._good_enough(prices, totals_kw, crossing):
                self._pass = 1
                low, high = self._bracket(totals_kw, k, unit_kw * self._members)
                self._curve = (
                    (*prices[:low], *prices[high + 1 :]),
                    (*totals_kw[:low], *totals_kw[high + 1 :]),
                )
                self._base_kw = unit_kw * self._units[low]
                self._base_total_kw = unit_kw * total_units[low]
                left_kw = totals_kw[high] - totals_kw[low] + self._members * unit_kw
                inner = refined_prices(prices[low], prices[high], guess_price(prices, totals_kw, crossing))
                inner = (self._prices[low], *inner[1:-1], self._prices[high])
                self._begin_pass(inner, _exponent(left_kw, self._members))
                return
        price = (1 - share) * prices[k] + share * prices[k + 1]
        power_kw = self._offers_kw[k]
        if power_kw != self._offers_kw[k + 1]:
            power_kw = self._base_kw + unit_kw * ((1 - share) * self._units[k] + share * self._units[k + 1])
        self._finish(price, power_kw, self._warm_start(prices, totals_kw))

    def _bracket(self, totals_kw: Curve, cell: int, error_kw: float) -> tuple[int, int]:
        """First and last price of the cell, wider by a cell on a side whose total may be wrong about the target."""
        low, high, target_kw = cell, cell + 1, self._problem.target_kw
        if low > 0 and target_kw - totals_kw[low] < error_kw:
            low -= 1
        if high < len(totals_kw) - 1 and totals_kw[high] - target_kw < error_kw:
            high += 1
        return low, high

    def _warm_start(self, prices: Curve, totals_kw: Curve) -> WarmStart:
        """Both passes' points as one curve."""
        outer = zip(*self._curve, strict=True)
        points = sorted([*outer, *zip(prices, totals_kw, strict=True)])
        totals = accumulate((total for _, total in points), max)
        tag = 1 + self._problem.epoch.signal_sequence % 255
        step_kw = abs(self._clipped_kw - self._warm.target_kw) if self._warm else math.inf
        return WarmStart(tuple(price for price, _ in points), tuple(totals), self._clipped_kw, step_kw, tag)

    def _good_enough(self, prices: Curve, totals_kw: Curve, crossing: Crossing) -> bool:
        """Whether the first pass may be the last: target out of reach, or warm and the gap's bound small."""
        if self._clipped_kw != self._problem.target_kw:
            return True
        if self._exchange.bracket == COLD:
            return False
        k = crossing.cell
        bound = (prices[k + 1] - prices[k]) * (totals_kw[k + 1] - totals_kw[k]) / 4
        span = self._problem.price_span_eur_per_kwh
        # Convex costs through zero: the cost of a total P at price x is at least about |x P| / 2.
        cost = max(abs(prices[k] * self._clipped_kw) / 2, _COST_FLOOR * span * self._rating_kw)
        return bound <= GAP_TOLERANCE * cost

    def _finish(self, price: float, power_kw: float, warm_start: WarmStart) -> None:
        box = self._problem.box
        self._exchange.finished = True
        self._agreement = Agreement(
            lambda_eur_per_kwh=price,
            power_kw=min(max(power_kw, box.low_kw), box.high_kw),
            target_kw=self._problem.target_kw,
            clipped_target_kw=self._clipped_kw,
            rounds=self._exchange.round + 1,
            cold=self._exchange.bracket == COLD,
        )
        self.warm_start = warm_start


_GOLDEN = 0.6180339887498949  # multiples of the golden ratio modulo 1 spread evenly over any run of members
_COST_FLOOR = 0.002  # 2 % of the cost at full rating, which is about a tenth of span times rating or more


def _exponent(range_kw: float, members: int) -> int:
    """Smallest exponent at which sums over the group, each member rounding by half a unit, fit int16."""
    return max(-60, math.ceil(math.log2(max(range_kw, 1e-12) / (INT16_MAX - members))))

