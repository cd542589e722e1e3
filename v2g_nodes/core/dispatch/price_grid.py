"""Which prices to try, and what the station's supply at them says about the price that meets the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray

VALUES_PER_FRAME = 10  # values of one round that fit a 64-byte frame twice (msg/Curve.msg)

# The shares below were fitted by random search over some thousand stations of 2 to 16 modules with unlike wear,
# unplugged, charging-due and ramp-bound modules (benchmarks/price_grid.py): largest gap 6e-4, median 1e-9.

# Cold grid, shares of the price span: six on the side the target asks for and two on the other, where modules
# that must charge can push the price; four and four while the target is small against the rating.
_NEAR = (0.016, 0.035, 0.09, 0.21, 0.40, 0.67)
_FAR = (0.08, 0.23)
_BOTH = (0.02, 0.07, 0.20, 0.45)
_SMALL_TARGET = 0.08
# Refined grid, shares of the way from the guess to either end of the bracket.
_REFINED = (0.095, 0.23, 0.39, 0.59)
# Warm grid: distances from the guess in units of its expected error, then as shares of the price span.
_WARM_TIGHT = (1.0, 6.0)
_WARM_WIDE = (0.1, 0.4)
_WARM_CELL_MAX = 0.12  # a guess from a cell wider than this share of the span is no better than a cold start


@dataclass(frozen=True)
class WarmStart:
    """The supply curve that an agreed epoch leaves for the next one, the same at every member.

    Args:
        prices: finite prices, ascending [EUR/kWh].
        totals_kw: the station's supply there, ascending [kW].
        tag: 1..255, names the epoch it comes from.
    """

    prices: tuple[float, ...]
    totals_kw: tuple[float, ...]
    tag: int


def cold_prices(span: float, target_kw: float, rating_kw: float) -> FloatArray:
    """Ten prices over the whole range, shape (10,), ends infinite (they ask for the ends of the boxes)."""
    if abs(target_kw) < _SMALL_TARGET * rating_kw:
        finite = np.concatenate([-np.array(_BOTH[::-1]), _BOTH])
    else:
        finite = np.concatenate([-np.array(_FAR[::-1]), _NEAR])
        if target_kw < 0:
            finite = -finite[::-1]
    return np.concatenate([[-math.inf], span * finite, [math.inf]])


def warm_prices(warm: WarmStart, span: float, target_kw: float) -> FloatArray | None:
    """Ten prices around the one that the last curve lets expect, shape (10,), ends infinite.

    None when the last curve says too little about this target: a cold start serves better.
    """
    prices, totals_kw = np.array(warm.prices), np.array(warm.totals_kw)
    crossing = find_crossing(totals_kw, target_kw)
    cell = float(prices[crossing.cell + 1] - prices[crossing.cell])
    if crossing.clipped_target_kw != target_kw or cell > _WARM_CELL_MAX * span:
        return None
    guess = guess_price(prices, totals_kw, crossing)
    tight = (0.03 * cell + 1e-4 * span) * np.array(_WARM_TIGHT)
    wide = np.maximum(span * np.array(_WARM_WIDE), tight[-1] * np.array([1.5, 2.0]))
    steps: FloatArray = np.concatenate([tight, wide])
    return np.concatenate([[-math.inf], guess - steps[::-1], guess + steps, [math.inf]])


def refined_prices(low: float, high: float, guess: float) -> FloatArray:
    """Ten prices inside a bracket, its ends among them, denser around the guess; shape (10,)."""
    shares = np.array(_REFINED)
    width = high - low
    guess = float(np.clip(guess, low + 1e-3 * width, high - 1e-3 * width))
    below = guess - shares[::-1] * (guess - low)
    above = guess + shares * (high - guess)
    return np.concatenate([[low], below, above, [high]])


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


def find_crossing(totals_kw: FloatArray, target_kw: float) -> Crossing:
    """The first cell of a non-decreasing curve that holds the target.

    Args:
        totals_kw: the station's supply at the tried prices, shape (k,).
        target_kw: what is asked for [kW].
    """
    clipped = float(min(max(target_kw, totals_kw[0]), totals_kw[-1]))
    cell = int(np.searchsorted(totals_kw, clipped, side="left")) - 1
    cell = min(max(cell, 0), len(totals_kw) - 2)
    below, above = float(totals_kw[cell]), float(totals_kw[cell + 1])
    share = (clipped - below) / (above - below) if above > below else 0.5
    return Crossing(cell, share, clipped)


def guess_price(prices: FloatArray, totals_kw: FloatArray, crossing: Crossing) -> float:
    """Price at the crossing by monotone cubic interpolation (Fritsch and Carlson 1980) of price over power.

    All prices must be finite; shape (k,) each.
    """
    k = crossing.cell
    rise = np.diff(prices)
    run = np.diff(totals_kw)
    if run[k] <= 0:
        return float(prices[k] + 0.5 * rise[k])
    secant = rise / np.maximum(run, 1e-12)

    def tangent(node: int) -> float:
        if node == 0 or node == len(prices) - 1:
            return float(secant[min(node, len(secant) - 1)])
        return float(2 * secant[node - 1] * secant[node] / (secant[node - 1] + secant[node]))

    s, h, d0, d1 = crossing.share, float(run[k]), tangent(k), tangent(k + 1)
    d0, d1 = min(d0, 3 * float(secant[k])), min(d1, 3 * float(secant[k]))
    return float(
        (1 + 2 * s) * (1 - s) ** 2 * prices[k]
        + s * (1 - s) ** 2 * h * d0
        + s * s * (3 - 2 * s) * prices[k + 1]
        + s * s * (s - 1) * h * d1
    )


def finite_prices(prices: FloatArray, span: float) -> FloatArray:
    """The prices with an infinite end put just outside the others and at least at the span, shape (k,)."""
    low, high = float(prices[0]), float(prices[-1])
    if math.isinf(low):
        low = min(-span, float(prices[1]) - 1e-6 * span)
    if math.isinf(high):
        high = max(span, float(prices[-2]) + 1e-6 * span)
    return np.concatenate([[low], prices[1:-1], [high]])
