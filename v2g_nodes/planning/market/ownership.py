"""A platform owned by its drivers: their own value counts, and the profit is shared among the owners.

W(s) = V(s) + profit(s) / (k M) with profit >= 0 (EQUATIONS 004.2, joint ownership): V is what a day is worth to the
average driver, M the fleet, and k M the number of owners, so k is read as the share of drivers who own the platform;
k -> 0 is the company. The derivative of V by a rebate is the share plugged in (envelope theorem), hence the gradient is
exact. Where profit >= 0 binds, W + nu profit is the same objective with a smaller k, so the multiplier is found by
bisection over the weight of the profit. A point that maximises it and has profit 0 is the constrained optimum (Everett
1963), as far as the ascent finds the global one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.bid_planes import bid_planes
from v2g_nodes.planning.market.continuous import STARTS
from v2g_nodes.planning.market.platform import Outcome, Platform
from v2g_nodes.planning.market.search import Search

STAKE_MIN, STAKE_MAX = 1e-3, 10.0
DOUBLINGS, BISECTIONS = 60, 50
PROFIT_ZERO = 1e-9  # USD per vehicle and day that count as no loss


@dataclass(frozen=True)
class CommunityPlan:
    """The best levels found and what is certain about better ones; money in USD per driver and day.

    Args:
        levels: index of each hour's level, shape (hours,).
        welfare: W.
        bound: no choice of levels without a loss has more, as far as tested flow intervals are right.
    """

    levels: IntArray
    welfare: float
    bound: float

    @property
    def gap(self) -> float:
        """(bound - welfare) / |welfare|, at least 0."""
        return max(self.bound - self.welfare, 0.0) / max(abs(self.welfare), 1e-12)


def check_stake(stake: float) -> None:
    """Refuse a share of owners out of range.

    Raises:
        InputError: with the value.
    """
    check_range("--stake", stake, STAKE_MIN, STAKE_MAX)


def driver_value(platform: Platform, outcome: Outcome) -> FloatArray:
    """What a day is worth to the average driver, rebates included [USD], shape (rebates,)."""
    total = sum(count * answer.value for count, answer in zip(platform.vehicles, outcome.answers, strict=True))
    value: FloatArray = np.asarray(total) / platform.vehicles.sum()
    return value


def welfare(platform: Platform, outcome: Outcome, stake: float) -> FloatArray:
    """W of each row [USD per driver and day], minus infinity where the platform makes a loss, shape (rebates,)."""
    profit = outcome.profit / platform.vehicles.sum()
    kept: FloatArray = np.where(profit >= -PROFIT_ZERO, driver_value(platform, outcome) + profit / stake, -np.inf)
    return kept


def community_rebates(platform: Platform, rebate_max: float, stake: float) -> FloatArray:
    """Rebates of any size with the largest W and no loss, shape (hours,) [USD/h].

    Args:
        platform: the problem.
        rebate_max: largest rebate [USD/h].
        stake: k, share of drivers who own the platform.

    Raises:
        InputError: a stake out of range.
    """
    check_stake(stake)
    return _without_loss(platform, rebate_max, stake)[0]


def _without_loss(platform: Platform, rebate_max: float, stake: float) -> tuple[FloatArray, float]:
    """Rebates, and the stake at which they are best with the limit of no loss left out."""
    weight = 1.0 / stake
    starts = [share * rebate_max for share in (*STARTS, 1.0)]
    free = max((_ascend(platform, rebate_max, weight, np.full(platform.hours, start)) for start in starts),
               key=lambda found: found[0])  # fmt: skip
    if free[2] >= 0.0:
        return free[1], stake
    best: FloatArray = np.zeros(platform.hours)
    low, high = weight, weight
    for _ in range(DOUBLINGS):  # more weight on the profit until there is one
        high *= 2.0
        _, best, profit = _ascend(platform, rebate_max, high, free[1])
        if profit >= 0.0:
            break
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        _, rebates, profit = _ascend(platform, rebate_max, middle, best)
        if profit >= 0.0:
            high, best = middle, rebates
        else:
            low = middle
        if high - low <= 1e-12 * high or 0.0 <= profit <= PROFIT_ZERO:
            break
    return best, 1.0 / high


def _ascend(platform: Platform, rebate_max: float, weight: float, start: FloatArray) -> tuple[float, FloatArray, float]:
    """Ascent of V + weight profit / M: value, rebates, profit [USD per driver and day]."""
    from scipy.optimize import minimize

    count = float(platform.vehicles.sum())
    scale = 100.0 / (1.0 + weight)  # so that the stopping rule means the same for every weight

    def loss(rebates: FloatArray) -> tuple[float, FloatArray]:
        outcome = platform.evaluate(rebates)
        value = driver_value(platform, outcome)[0] + weight * outcome.profit[0] / count
        rise = outcome.plugged[:, 0].sum(axis=0) + weight * platform.gradient(rebates, outcome)
        return -scale * float(value), -scale * rise / count

    end = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, rebate_max)] * platform.hours,
                   options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9})  # fmt: skip
    return -float(end.fun) / scale, end.x, float(platform.evaluate(end.x).profit[0]) / count


def community_levels(
    platform: Platform, stake: float, profit_bound: float, starts: tuple[IntArray, ...] = ()
) -> CommunityPlan:  # fmt: skip
    """Rebates out of the levels: rounded from any size, then moved one or two hours at a time while W rises.

    Args:
        platform: the problem.
        stake: k.
        profit_bound: no choice of levels earns more, from levels.py [USD per day].
        starts: other levels to begin with, shape (hours,) each.
    """
    free, inner = _without_loss(platform, float(platform.levels[-1]), stake)
    nearest = np.abs(free[:, None] - platform.levels).argmin(axis=1)
    below = np.maximum(np.searchsorted(platform.levels, free + 1e-12, side="right") - 1, 0)
    unit = np.eye(platform.hours, dtype=np.int64)
    single = np.concatenate([unit, -unit])
    double = np.unique((single[:, None] + single[None, :]).reshape(-1, platform.hours), axis=0)
    best, chosen = -np.inf, np.zeros_like(below)
    for begin in np.unique(np.array([nearest, below, chosen, *starts]), axis=0):
        # first with the stake inside the limit of no loss, on which single moves would get stuck
        value, levels = _climb(platform, stake, _climb(platform, inner, begin, single)[1], single)
        if value > best:
            best, chosen = value, levels
    best, chosen = _climb(platform, stake, chosen, double)
    return CommunityPlan(chosen, best, welfare_bound(platform, stake, profit_bound))


def _climb(platform: Platform, stake: float, levels: IntArray, moves: IntArray) -> tuple[float, IntArray]:
    """Best of all moves, again and again while W rises."""
    best = float(welfare(platform, platform.evaluate(platform.levels[levels]), stake)[0])
    while True:
        near = levels + moves
        near = near[(near.min(axis=1) >= 0) & (near.max(axis=1) < len(platform.levels))]
        if not len(near):
            return best, levels
        found = welfare(platform, platform.evaluate(platform.levels[near]), stake)
        pick = int(found.argmax())
        if not found[pick] > best + 1e-12 * abs(best):
            return best, levels
        best, levels = float(found[pick]), near[pick]


def welfare_bound(platform: Platform, stake: float, profit_bound: float) -> float:
    """Upper bound of W over all rebates up to the largest level that make no loss [USD per driver and day].

    The shares over which the planes lie above the bid are tested, not proven, see search.py.

    W = (V + profit / M) + (1/k - 1) profit / M. In the first part what drivers are paid cancels: it is at most the
    largest value of all flows, answers to rebates or not, with a plane above the bid, and that is the drivers' own
    problem with the plane's slope in place of the rebates. The second part is at most (1/k - 1) profit_bound / M
    for k <= 1, and at most 0 beyond.

    Args:
        platform: the problem.
        stake: k.
        profit_bound: [USD per day].
    """
    ends = np.zeros(platform.hours), np.full(platform.hours, float(platform.levels[-1]))
    box = Search(platform, 0.0, lambda: math.inf).tested_box(*ends)
    low, high = (np.minimum([flow @ f.network.plug_matrix for f, flow in zip(platform.followers, side, strict=True)],
                            1.0) for side in (box.flow_low, box.flow_high))  # fmt: skip
    count = float(platform.vehicles.sum())
    social = min(_social(platform, *bid_planes(platform, k, low, high)) for k in range(len(platform.forms)))
    return (social + max(1.0 / stake - 1.0, 0.0) * max(profit_bound, 0.0)) / count


def _social(platform: Platform, intercept: FloatArray, slope: FloatArray) -> float:
    """Largest value of all flows and bids below the planes, payments left out [USD per day]."""
    total = float(platform.prices @ intercept)
    for count, follower, one in zip(platform.vehicles, platform.followers, slope, strict=True):
        total += float(count * follower.solve(platform.prices * one / count).value[0])
    return total
