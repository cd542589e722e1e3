"""The centralised optimum: what a dispatcher who knew everything would do. The yardstick of every algorithm.

    minimise sum_i f_i(p_i)  subject to  sum_i p_i = P,  p_i in its box

The problem is convex and separable, so every module in the interior of its box shares one price lambda with
f_i'(p_i) = lambda, and sum_i p_i(lambda) rises with lambda: the price is bracketed and narrowed down by
bisections and Newton steps inside the bracket, and for each price so is every p_i(lambda) on its marginal cost.
Cost and marginal cost are written down here a second time, for all modules at once, and `LocalCost.response` is
not used, so that this file shares no mathematics with the distributed algorithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.errors import InfeasibleError, InputError
from v2g_nodes.core.types import Box, FloatArray

#: kW, a power this far out of its box is the rounding of float32 messages and counts as inside
MESSAGE_ROUNDING_KW = 1e-6
#: relative to the sum of costs: a gap this far below zero is rounding and counts as zero
GAP_ROUNDING = 1e-12
_BALANCE_KW = 1e-10  # kW, the price search stops at this imbalance; the rest is spread
_PRICE_STEPS = 200
_POWER_STEPS = 100
_POWER_STEP_KW = 1e-13  # kW, the power search stops at this step


@dataclass(frozen=True)
class ReferenceSolution:
    """The optimum.

    Args:
        powers_kw: optimal powers [kW], in the order of the costs.
        lambda_: dual price [EUR/kWh]; where a range of prices is optimal, one of them.
        cost_eur_per_h: sum of the costs at powers_kw [EUR/h].
        bound_eur_per_h: value of the dual problem at lambda_ [EUR/h]. No allocation of the same total costs less
            (weak duality), whatever the accuracy of lambda_; cost minus bound certifies the solution.
    """

    powers_kw: tuple[float, ...]
    lambda_: float
    cost_eur_per_h: float
    bound_eur_per_h: float


def dispatch_optimum(costs: Sequence[LocalCost], boxes: Sequence[Box], target_kw: float) -> ReferenceSolution:
    """The cheapest powers in the boxes that sum up to the target.

    Args:
        costs: one per module.
        boxes: feasible ranges, as many.
        target_kw: [kW]; outside the summed boxes by no more than rounding.

    Raises:
        InputError: different numbers of costs and boxes, none, or a crossed box.
        InfeasibleError: the target lies outside the summed boxes.
    """
    modules = _Modules(costs, boxes)
    low_sum, high_sum = math.fsum(modules.low.tolist()), math.fsum(modules.high.tolist())
    slack = 1e-9 * (1.0 + float(np.abs(modules.low).sum() + np.abs(modules.high).sum()))
    if not low_sum - slack <= target_kw <= high_sum + slack:
        raise InfeasibleError(f"target is {target_kw!r} kW, allowed {low_sum:g} to {high_sum:g} kW (sum of the boxes)")
    price, powers = _balance(modules, min(max(target_kw, low_sum), high_sum))
    cost = math.fsum(modules.cost(powers).tolist())
    free = modules.powers_at(price, modules.low, modules.high)  # minimise f - price * p, without the balance
    parts = modules.cost(free) - price * (free - powers)
    return ReferenceSolution(tuple(powers.tolist()), price, cost, min(cost, math.fsum(parts.tolist())))


def dispatch_gap(costs: Sequence[LocalCost], boxes: Sequence[Box], powers_kw: Sequence[float]) -> float:
    """How much dearer powers are than the cheapest ones of the same sum, relative.

        gap = (sum f_i(p_i) - f*(sum p)) / max(f*(sum p), 2 % of sum f_i(P_max))

    f* is the dual bound of the reference, so the gap of powers inside their boxes can't be negative but for
    rounding; a negative value within 1e-12 of the sum of costs is returned as 0, one beyond it as it is
    (it would mean that the reference is wrong).

    Args:
        costs: one per module.
        boxes: feasible ranges of the frozen snapshot.
        powers_kw: powers to judge [kW]; up to 1e-6 kW out of a box counts as rounding of messages.

    Raises:
        InputError: numbers don't match, or a power lies outside its box.
    """
    modules = _Modules(costs, boxes)
    powers = modules.inside(powers_kw)
    best = dispatch_optimum(costs, boxes, math.fsum(powers.tolist()))
    total = math.fsum(modules.cost(powers).tolist())
    floor = 0.02 * math.fsum(modules.cost(modules.p_max).tolist())
    excess = total - best.bound_eur_per_h
    if -GAP_ROUNDING * total <= excess < 0.0:
        excess = 0.0
    return excess / max(best.bound_eur_per_h, floor)


def equal_split(boxes: Sequence[Box], target_kw: float) -> tuple[float, ...]:
    """Equal powers that sum up to the target; what a box does not take is spread over the others.

    That is p_i = c clipped to box i with one level c for all.

    Args:
        boxes: feasible ranges.
        target_kw: [kW].

    Returns:
        Powers [kW], in the order of the boxes.

    Raises:
        InputError: no box.
        InfeasibleError: the target lies outside the summed boxes.
    """
    if not boxes:
        raise InputError("0 boxes, allowed at least 1")
    low = np.array([box.low_kw for box in boxes])
    high = np.array([box.high_kw for box in boxes])
    if not low.sum() - 1e-9 <= target_kw <= high.sum() + 1e-9:
        raise InfeasibleError(
            f"target is {target_kw!r} kW, allowed {low.sum():g} to {high.sum():g} kW (sum of the boxes)"
        )
    # the sum over the modules is linear in the level between two neighbouring ends of boxes
    levels = np.unique(np.concatenate((low, high)))
    sums = np.clip(levels[:, None], low, high).sum(axis=1)
    level = np.interp(target_kw, sums, levels)
    return tuple(np.clip(level, low, high).tolist())


class _Modules:
    """All modules at once; arrays have shape (n,)."""

    def __init__(self, costs: Sequence[LocalCost], boxes: Sequence[Box]) -> None:
        if not costs or len(costs) != len(boxes):
            raise InputError(f"{len(costs)} costs and {len(boxes)} boxes, allowed as many, at least 1")
        for k, box in enumerate(boxes):
            if not -math.inf < box.low_kw <= box.high_kw < math.inf:
                raise InputError(f"box {k} is [{box.low_kw!r}, {box.high_kw!r}] kW, allowed low <= high, both finite")
        p = [c.parameters for c in costs]
        self.low = np.array([box.low_kw for box in boxes])
        self.high = np.array([box.high_kw for box in boxes])
        self.p_max = np.array([q.p_max_kw for q in p])
        price = np.array([q.loss_price_eur_per_kwh for q in p])
        kappa, soc = np.array([q.soc_kappa for q in p]), np.array([c.soc for c in costs])
        self._gamma = np.array([q.wear_gamma for q in p]) * (1.0 + kappa * (soc - 0.5) ** 2)
        self._delta = np.array([q.wear_delta for q in p])
        self._psi = np.array([q.thermal_psi for q in p])
        self._theta = np.array([q.thermal_theta_k_per_kw2 for q in p])
        self._warmth = np.array([c.temperature_c for c in costs]) - np.array([q.thermal_threshold_c for q in p])
        # parts of the marginal cost: light + linear a + quadratic a^2 + wear a^power + warm a [warmth + theta a^2]_+
        self._light = price * (1.0 - np.array([q.eta_max for q in p]))
        self._linear = 2.0 * price * np.array([q.beta for q in p]) / self.p_max
        self._quadratic = 3.0 * price * np.array([q.alpha for q in p]) / self.p_max**2
        self._wear, self._power = self._gamma * self._delta, self._delta - 1.0
        self._warm = 4.0 * self._psi * self._theta

    def inside(self, powers_kw: Sequence[float]) -> FloatArray:
        """The powers as an array, moved into their boxes by no more than the rounding of messages."""
        powers = np.asarray(powers_kw, dtype=np.float64)
        if powers.shape != self.low.shape:
            raise InputError(f"{powers.size} powers, allowed {self.low.size}, one per module")
        moved = np.clip(powers, self.low, self.high)
        outside = np.flatnonzero(~(np.abs(moved - powers) <= MESSAGE_ROUNDING_KW))
        if outside.size:
            k = int(outside[0])
            raise InputError(
                f"power {k} is {float(powers[k])!r} kW, allowed {self.low[k]:g} to {self.high[k]:g} kW (its box)"
            )
        return moved

    def cost(self, p: FloatArray) -> FloatArray:
        """f_i(p_i) [EUR/h]."""
        a = np.abs(p)
        loss = a * (self._light + a * (self._linear / 2.0 + a * self._quadratic / 3.0))
        heat = np.maximum(self._warmth + self._theta * a * a, 0.0)
        result: FloatArray = loss + self._gamma * a**self._delta + self._psi * heat * heat
        return result

    def _marginal(self, a: FloatArray) -> FloatArray:
        """Marginal cost at a >= 0 from the right [EUR/kWh]; a has shape (..., n)."""
        heat = np.maximum(self._warmth + self._theta * a * a, 0.0)
        value = self._light + a * (self._linear + self._quadratic * a + self._warm * heat)
        result: FloatArray = value + self._wear * a**self._power
        return result

    def _bend(self, a: FloatArray) -> FloatArray:
        """Slope of the marginal cost by sqrt(a); finite at 0 for a wear exponent of 1.5 and above."""
        root = np.sqrt(a)
        heat = self._warmth + self._theta * a * a
        warm = self._warm * np.where(heat > 0.0, heat + 2.0 * self._theta * a * a, 0.0)
        wear = self._power * self._wear * a**self._power / np.maximum(root, 1e-150)
        result: FloatArray = 2.0 * (root * (self._linear + 2.0 * self._quadratic * a + warm) + wear)
        return result

    def powers_at(self, price: float, p_low: FloatArray, p_high: FloatArray) -> FloatArray:
        """p_i(price) [kW]: where the marginal cost meets the price, else the end of the range or 0.

        Args:
            price: [EUR/kWh].
            p_low: lower end of the range searched [kW]: the box, or powers at a price below.
            p_high: upper end [kW].
        """
        sign = 1.0 if price >= 0.0 else -1.0
        ends = np.sort(np.maximum(np.stack((sign * p_low, sign * p_high)), 0.0), axis=0)
        at_left, at_right = self._marginal(ends)
        sought = abs(price)
        # from here on `left` has a marginal cost below the price, `right` one above it, or left == right
        right = np.where(at_left >= sought, ends[0], ends[1])
        left = np.where(at_right <= sought, right, ends[0])
        a = 0.5 * (left + right)
        for _ in range(_POWER_STEPS):
            error = self._marginal(a) - sought
            left, right = np.where(error < 0.0, a, left), np.where(error < 0.0, right, a)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                guess = np.maximum(np.sqrt(a) - error / self._bend(a), 0.0) ** 2
            following = np.where((guess >= left) & (guess <= right), guess, 0.5 * (left + right))
            step = np.abs(following - a).max()
            a = following
            if step <= _POWER_STEP_KW:
                break
        result: FloatArray = np.minimum(np.maximum(sign * a, p_low), p_high)
        return result

    def supply_slope(self, p: FloatArray) -> float:
        """Slope of the sum of powers by the price [kW per EUR/kWh]; modules at an end or at 0 don't move."""
        free = (p > self.low) & (p < self.high) & (p != 0.0)
        a = np.abs(np.where(free, p, 1.0))
        with np.errstate(divide="ignore", over="ignore"):  # no curvature: infinite slope, the caller bisects
            return float((free * 2.0 * np.sqrt(a) / self._bend(a)).sum())

    def price_bracket(self) -> tuple[float, float]:
        """Prices at which every module is at the low, and at the high end of its box [EUR/kWh]."""
        at_low, at_high = self._marginal(np.abs(np.stack((self.low, self.high))))
        return float(np.min(np.copysign(at_low, self.low))), float(np.max(np.copysign(at_high, self.high)))


def _balance(modules: _Modules, target: float) -> tuple[float, FloatArray]:
    """Price and powers that meet the target: Newton steps on the price inside a bracket, else bisections.

    Args:
        modules: the problem.
        target: inside the summed boxes [kW].
    """
    left, right = modules.price_bracket()
    p_left, p_right = modules.low, modules.high
    e_left, e_right = float(p_left.sum()) - target, float(p_right.sum()) - target
    if e_left >= 0.0:
        return left, p_left
    if e_right <= 0.0:
        return right, p_right
    price, last = left - e_left * (right - left) / (e_right - e_left), math.inf
    for _ in range(_PRICE_STEPS):
        if not left < price < right:
            price = 0.5 * (left + right)
            if not left < price < right:
                break
        powers = modules.powers_at(price, p_left, p_right)
        error = float(powers.sum()) - target
        if error < 0.0:
            left, p_left, e_left = price, powers, error
        else:
            right, p_right, e_right = price, powers, error
        if abs(error) <= _BALANCE_KW:
            break
        slope = modules.supply_slope(powers)
        crawling = abs(error) > 0.5 * last  # at a kink of the supply
        last = abs(error)
        price = price - error / slope if slope > 0.0 and not crawling else 0.5 * (left + right)
    # powers are non-decreasing in the price, so a mean of both sides stays inside the boxes and closes the balance
    share = e_left / (e_left - e_right)
    price = left if -e_left <= e_right else right
    return price, np.clip(p_left + share * (p_right - p_left), modules.low, modules.high)
