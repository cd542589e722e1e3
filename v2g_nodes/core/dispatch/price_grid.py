"""Which prices to try, and what the station's supply at them says about the price that meets the target."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

#: prices [EUR/kWh] or powers [kW] of one grid, ascending; plain floats, as ten numbers are too few for arrays
Curve = tuple[float, ...]

VALUES_PER_FRAME = 10  # values of one round that fit a 64-byte frame twice (msg/Curve.msg)

# The shares below were fitted by random search over some thousand stations of 1 to 16 modules with unlike wear,
# some hot, unplugged, charging-due or ramp-bound. 12 000 others of this kind (benchmarks/price_grid.py) had a cold
# gap of 3e-9 in the median, 2.3e-4 at the 99.9th percentile, 2e-3 at the most; 7 600 warm epochs 1.7e-4 at the most.

# Cold grid, shares of the price span: six on the side the target asks for and two on the other, where modules
# that must charge can push the price; four and four while the target is small against the rating.
_NEAR = (0.013, 0.03, 0.056, 0.10, 0.175, 0.33)
_FAR = (0.036, 0.14)
_BOTH = (0.009, 0.025, 0.065, 0.16)
_SMALL_TARGET = 0.08
# Refined grid, shares of the way from the guess to either end of the bracket.
_REFINED = (0.12, 0.27, 0.46, 0.71)
# Warm grid: four prices around the guess, distances in units of its expected error; and four shares of the price
# span, three on the side the target asks for, for the case that boxes changed and the guess is wrong.
_WARM_TIGHT = (1.0, 6.0)
_WARM_NEAR = (0.02, 0.06, 0.17)
_WARM_FAR = 0.05
_WARM_STEP_MAX = 0.3  # of the rating; largest step of the target to the epoch before and from there
_WARM_CELL_MAX = 0.12  # a guess from a cell wider than this share of the span is no better than a cold start


@dataclass(frozen=True)
class WarmStart:
    """The supply curve that an agreed epoch leaves for the next one, the same at every member.

    Args:
        prices: finite prices, ascending [EUR/kWh].
        totals_kw: the station's supply there, ascending [kW].
        target_kw: the target it was made for, clipped [kW].
        step_kw: how far that was from the target before [kW]; infinite after a cold start without memory.
        tag: 1..255, names the epoch it comes from.
    """

    prices: tuple[float, ...]
    totals_kw: tuple[float, ...]
    target_kw: float
    step_kw: float
    tag: int


def cold_prices(span: float, target_kw: float, rating_kw: float) -> Curve:
    """Ten prices over the whole range, ends infinite (they ask for the ends of the boxes)."""
    if abs(target_kw) < _SMALL_TARGET * rating_kw:
        shares = (*(-x for x in reversed(_BOTH)), *_BOTH)
    else:
        shares = _towards(target_kw, _NEAR, _FAR)
    return (-math.inf, *(span * x for x in shares), math.inf)


def _towards(target_kw: float, near: Curve, far: Curve) -> Curve:
    """Shares of the span, ascending: `near` on the side that the target asks for, `far` on the other."""
    below, above = (far, near) if target_kw > 0 else (near, far)
    return (*(-x for x in reversed(below)), *above)


def warm_prices(warm: WarmStart, span: float, target_kw: float, rating_kw: float) -> Curve | None:
    """Ten prices around the one that the last curve lets expect, ends infinite.

    None when the last curve says too little about this target: a cold start serves better. After a large step it does,
    and in the epoch that follows one, as ramps then bound the modules around other powers than before.
    """
    if max(abs(target_kw - warm.target_kw), warm.step_kw) > _WARM_STEP_MAX * rating_kw:
        return None
    crossing = find_crossing(warm.totals_kw, target_kw)
    cell = warm.prices[crossing.cell + 1] - warm.prices[crossing.cell]
    if crossing.clipped_target_kw != target_kw or cell > _WARM_CELL_MAX * span:
        return None
    guess = guess_price(warm.prices, warm.totals_kw, crossing)
    error = 0.03 * cell + 1e-4 * span
    tight = [guess + sign * error * x for x in _WARM_TIGHT for sign in (-1, 1)]
    side = math.copysign(span, target_kw)
    return (-math.inf, *sorted([*tight, -side * _WARM_FAR, *(side * x for x in _WARM_NEAR)]), math.inf)


def refined_prices(low: float, high: float, guess: float) -> Curve:
    """Ten prices inside a bracket, its ends among them, denser around the guess."""
    margin = 1e-3 * (high - low)
    guess = min(max(guess, low + margin), high - margin)
    below = (guess - x * (guess - low) for x in reversed(_REFINED))
    above = (guess + x * (high - guess) for x in _REFINED)
    return (low, *below, *above, high)


@dataclass(frozen=True)
class Crossing:
    """Where a supply curve meets the target.

    Args:
        cell: index k, the crossing lies between prices k and k + 1.
        share: position between the two by power, 0..1.
        clipped_target_kw: the target, moved into the range of the curve.
    """

    cell: int
    share: float
    clipped_target_kw: float


def find_crossing(totals_kw: Curve, target_kw: float) -> Crossing:
    """The first cell of a non-decreasing curve that holds the target.

    Args:
        totals_kw: the station's supply at the tried prices.
        target_kw: what is asked for [kW].
    """
    clipped = min(max(target_kw, totals_kw[0]), totals_kw[-1])
    cell = min(max(bisect_left(totals_kw, clipped) - 1, 0), len(totals_kw) - 2)
    below, above = totals_kw[cell], totals_kw[cell + 1]
    share = (clipped - below) / (above - below) if above > below else 0.5
    return Crossing(cell, share, clipped)


def guess_price(prices: Curve, totals_kw: Curve, crossing: Crossing) -> float:
    """Price at the crossing by monotone cubic interpolation (Fritsch and Carlson 1980) of price over power.

    All prices must be finite.
    """
    k, last = crossing.cell, len(prices) - 2
    run = totals_kw[k + 1] - totals_kw[k]
    if run <= 0:
        return (prices[k] + prices[k + 1]) / 2

    def secant(cell: int) -> float:
        return (prices[cell + 1] - prices[cell]) / max(totals_kw[cell + 1] - totals_kw[cell], 1e-12)

    def tangent(node: int) -> float:
        if node in (0, last + 1):
            return secant(min(node, last))
        before, after = secant(node - 1), secant(node)
        return 2 * before * after / (before + after)

    s, steepest = crossing.share, 3 * secant(k)
    d0, d1 = min(tangent(k), steepest), min(tangent(k + 1), steepest)
    return (
        (1 + 2 * s) * (1 - s) ** 2 * prices[k]
        + s * (1 - s) ** 2 * run * d0
        + s * s * (3 - 2 * s) * prices[k + 1]
        + s * s * (s - 1) * run * d1
    )


def finite_prices(prices: Curve, span: float) -> Curve:
    """The prices with infinite ends put just outside the others and at least at the span."""
    low, high = prices[0], prices[-1]
    if math.isinf(low):
        low = min(-span, prices[1] - 1e-6 * span)
    if math.isinf(high):
        high = max(span, prices[-2] + 1e-6 * span)
    return (low, *prices[1:-1], high)


def cost_floor_eur_per_h(price: float, target_kw: float, span: float, rating_kw: float) -> float:
    """What the group's power costs at the least, as far as a member can tell: the measure of a gap [EUR/h].

    Convex costs through zero: the cost of a total P at price x is at least about |x P| / 2. Below stands 2 % of the
    cost at full rating, which is about a tenth of span times rating or more.
    """
    return max(abs(price * target_kw) / 2, 0.002 * span * rating_kw)
