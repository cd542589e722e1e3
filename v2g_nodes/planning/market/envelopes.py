"""Lines above and below the drivers' curves over intervals, from which the linear relaxation is made.

The curve is e(y) = (1 - 2y) / (2 sqrt(y (1 - y))), falling, convex below 1/2 and concave above; an arc in equilibrium
has lambda = -sigma e(y). By e(1 - y) = -e(y) the lines above are those below, mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray

BISECTIONS = 40
STEEP = 5e-5  # flows nearer to 0 or 1 get level lines: slopes of 1e6 and more defeat linear programming


def curve(flow: FloatArray) -> FloatArray:
    """e(y)."""
    value: FloatArray = (1.0 - 2.0 * flow) / (2.0 * np.sqrt(flow * (1.0 - flow)))
    return value


def curve_slope(flow: FloatArray) -> FloatArray:
    """e'(y)."""
    value: FloatArray = -0.25 * (flow * (1.0 - flow)) ** -1.5
    return value


def lines_below(low: FloatArray, high: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Lines intercept + slope * y that lie below the curve on [low, high].

    Args:
        low: lower ends, shape (arcs,), inside (0, 1).
        high: upper ends, above low.
        count: lines per arc, at least 1.

    Returns:
        Intercepts and slopes, shape (count, arcs). On a convex stretch they are tangents; on a concave one the chord.
        Across 1/2 tangents up to the point whose tangent passes through the upper end, and that one.
    """
    last = last_tangent(low, high)
    return _lines(low, high, last, low + np.linspace(0.0, 1.0, count)[:, None] * (last - low))


def line_below(low: FloatArray, high: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The one of lines_below that is close at some flows: intercepts and slopes, shape (arcs,)."""
    last = last_tangent(low, high)
    return _lines(low, high, last, np.clip(at, low, np.maximum(last, low)))


def line_above(low: FloatArray, high: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same above the curve."""
    intercept, slope = line_below(1.0 - high, 1.0 - low, 1.0 - at)
    return -(intercept + slope), slope


def _lines(low: FloatArray, high: FloatArray, last: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    chord = (curve(high) - curve(low)) / (high - low)
    is_chord = last <= low
    slopes = np.where(is_chord, chord, curve_slope(points))
    at = np.where(is_chord, low, points)
    flat = (high < STEEP) | (low > 1.0 - STEEP)
    return np.where(flat, curve(high), curve(at) - slopes * at), np.where(flat, 0.0, slopes)


def lines_above(low: FloatArray, high: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Lines above the curve on [low, high]; see lines_below."""
    intercepts, slopes = lines_below(1.0 - high, 1.0 - low, count)
    return -(intercepts + slopes), slopes


def tangents(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intercepts and slopes of the curve's tangents; they lie below it up to an end where last_tangent says so."""
    slopes = curve_slope(points)
    return curve(points) - slopes * points, slopes


def spending_tangents(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intercepts and slopes of tangents of y e(y): above it, as it is concave on (0, 1)."""
    slopes = curve(points) + points * curve_slope(points)
    return points * curve(points) - slopes * points, slopes


def spending_lines(low: FloatArray, high: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Lines above y e(y), which is concave on (0, 1), so that its tangents are: intercepts, slopes (count, arcs)."""
    return spending_tangents(low + np.linspace(0.0, 1.0, count)[:, None] * (high - low))


def last_tangent(low: FloatArray, high: FloatArray) -> FloatArray:
    """Largest point of the convex stretch whose tangent is below the curve up to `high`; `low` if there is none."""
    left, right = low.copy(), np.clip(high, low, np.maximum(low, 0.5))
    whole = high <= 0.5

    def fits(point: FloatArray) -> NDArray[np.bool_]:
        good: NDArray[np.bool_] = curve(point) + curve_slope(point) * (high - point) <= curve(high)
        return good

    none = ~whole & ((low >= 0.5) | ~fits(low))
    for _ in range(BISECTIONS):
        middle = 0.5 * (left + right)
        good = fits(middle)
        left, right = np.where(good, middle, left), np.where(good, right, middle)
    return np.where(whole, high, np.where(none, low, left))
