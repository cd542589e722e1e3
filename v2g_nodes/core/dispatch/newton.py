"""Newton on the dual: the group agrees on one price at a time and learns its supply and the slope of it there.

Recursion, with S(lambda) = sum p_i(lambda) and S' its slope, both by an exact sum over the group, T the target:

    lambda <- lambda + (T - S(lambda)) / S'(lambda)

from a known price (see core/dispatch/start_price.py) or a guess, which also follows a known one that misses by far,
kept inside the tightest bracket of prices seen to give too little and too much; a step that leaves it, that comes after
one which did not halve the mismatch, or that finds no slope (everyone in the dead zone at zero or at an end of the box)
halves it instead. With S_l <= T <= S_h at the ends of the bracket and t = (T - S_l) / (S_h - S_l) each module takes

    p_i = (1 - t) p_i(lambda_l) + t p_i(lambda_h),

which sums to T and lies in its box.

Convergence: quadratic near the optimum where the supply is smooth, and never slower than halving the bracket every
other step. All members compute from the same bits, so they never differ about the bracket. Stop: when the bound
(lambda_h - lambda_l) (T - S_l) (S_h - T) / (S_h - S_l) of what the cost exceeds the optimum by is small.

Source: DERIVED from the dual of the allocation problem, whose gradient is T - S and whose curvature is S'; the
safeguard is the usual one of a root search.
"""

from __future__ import annotations

import math

from v2g_nodes.core.dispatch.iterative import ITERATIONS_MAX, IterativeAgent
from v2g_nodes.core.dispatch.lockstep import Result, Rounds
from v2g_nodes.core.dispatch.price_grid import WarmStart, cost_floor_eur_per_h

GAP_TOLERANCE = 1e-4  # of the cost; the bound of the gap at which to stop
FIRST_PRICE_SHARE = 0.2  # of the span times the root of the target's share of the rating, as wear goes with the root
FAR_SHARE = 0.2  # of the rating: a known price that misses the target by more is worth less than a guess


class NewtonAgent(IterativeAgent):
    """One module's side of one epoch; see IterativeAgent. The plan must be a fixed-point one."""

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        problem, span = self._problem, self._problem.price_span_eur_per_kwh
        box = problem.box
        opening = yield from self._opening()
        target_kw, start = opening.clipped_kw, opening.start_eur_per_kwh
        left, p_left, s_left = -span, box.low_kw, opening.low_kw
        right, p_right, s_right = span, box.high_kw, opening.high_kw
        if target_kw != problem.target_kw:
            end = (left, p_left) if target_kw == opening.low_kw else (right, p_right)
            return Result(*end, target_kw)
        load = min(1.0, abs(target_kw) / self._rating_kw)
        guess = math.copysign(FIRST_PRICE_SHARE * span * math.sqrt(load), target_kw)
        price, last = guess if start is None else start, math.inf
        for iteration in range(ITERATIONS_MAX):
            p = self._response(price)
            self.trace_kw.append(p)
            (mean_p, mean_slope), _ = yield from self._collective.means((p, problem.supply.slope(price)))
            missing_kw, slope = target_kw - self._members * mean_p, self._members * mean_slope
            if missing_kw >= 0.0:
                left, p_left, s_left = price, p, target_kw - missing_kw
            else:
                right, p_right, s_right = price, p, target_kw - missing_kw
            width_kw = s_right - s_left
            bound = (right - left) * (target_kw - s_left) * (s_right - target_kw) / width_kw if width_kw > 0.0 else 0.0
            floor = cost_floor_eur_per_h(price, target_kw, span, self._rating_kw)
            if bound <= GAP_TOLERANCE * floor:
                break
            if iteration == 0 and abs(missing_kw) > FAR_SHARE * self._rating_kw and left < guess < right:
                price = guess  # the price known belongs to another target
                continue
            step = missing_kw / slope if slope > 0.0 and abs(missing_kw) <= 0.5 * last else math.nan
            last = abs(missing_kw)
            price = price + step if left < price + step < right else 0.5 * (left + right)
        share = (target_kw - s_left) / width_kw if width_kw > 0.0 else 0.5
        result = Result((1 - share) * left + share * right, (1 - share) * p_left + share * p_right, target_kw)
        self.trace_kw[-1] = box.clip(result.power_kw)
        return result
