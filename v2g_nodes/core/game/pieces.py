"""Where f(p) - c p^2 / 2 is convex: the pieces of each box in which a sum of payoffs has no trap.

Along a = |p| the second derivative f'' falls, turns and rises, jumps up where heat sets in, and again falls, turns and
rises; any of these parts may be empty. So it crosses a level c at most four times on each side of 0, once on each
monotone part, and each crossing is found by bisection.
"""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.game.curves import Curves
from v2g_nodes.core.types import FloatArray

_STEPS = 70  # bisections: a bracket of some kW ends below the spacing of doubles
_FAR_KW = 1e9  # kW, a turn that does not exist


def convex_pieces(curves: Curves, low_kw: FloatArray, high_kw: FloatArray, c: float) -> tuple[FloatArray, FloatArray]:
    """Ends of the pieces of [low, high] in which f(p) - c p^2 / 2 is convex.

    In between it is concave, so the p that minimises f(p) - c p^2 / 2 - mu p over the box, for any mu, lies in one of
    the pieces. Some are single points, some are the same twice.

    Args:
        curves: costs of n modules, shape (n,); their boxes are not looked at.
        low_kw: lower ends [kW], shape (n,).
        high_kw: upper ends [kW], shape (n,).
        c: level of the second derivative, at least 0 [EUR/h/kW^2].

    Returns:
        Lower and upper ends [kW], each of shape (8, n): four pieces on each side of 0.
    """
    turns = _turns(curves)
    above = _one_side(curves, np.clip(low_kw, 0.0, None), np.clip(high_kw, 0.0, None), turns, c)
    below = _one_side(curves, np.clip(-high_kw, 0.0, None), np.clip(-low_kw, 0.0, None), turns, c)
    ends = np.concatenate((above[0], -below[1])), np.concatenate((above[1], -below[0]))
    # a side that the box does not reach has shrunk to the point 0; the end next to it stands for it
    return np.clip(ends[0], low_kw, high_kw) + 0.0, np.clip(ends[1], low_kw, high_kw) + 0.0


def _one_side(
    curves: Curves, near: FloatArray, far: FloatArray, turns: FloatArray, c: float
) -> tuple[FloatArray, FloatArray]:
    cuts = np.clip(np.vstack((np.zeros_like(near), turns, np.full_like(near, _FAR_KW))), near, far)
    left, right = cuts[:-1], cuts[1:]
    falling = np.array([True, False, True, False])[:, None]
    low, high = left.copy(), right.copy()
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore"):
            before = (curves.bend(middle) > c) == falling  # the crossing is yet to come
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return np.where(falling, left, high), np.where(falling, low, right)


def _turns(curves: Curves) -> FloatArray:
    """Where f'' turns before heat sets in, where heat sets in, where f'' turns after it; shape (3, n) [kW]."""
    sinking = curves.wear * curves.delta * (curves.delta - 1.0) * (2.0 - curves.delta)  # -f''' of wear by a^(3 - delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        onset = np.sqrt(np.maximum(-curves.warmth, 0.0) / curves.theta)
        onset = np.where((curves.theta > 0.0) & (curves.psi > 0.0), onset, _FAR_KW)
        turn = np.where(sinking > 0.0, (sinking / (6.0 * curves.cube)) ** (1.0 / (3.0 - curves.delta)), 0.0)
    turn = np.minimum(turn, _FAR_KW)
    low, high = np.zeros_like(turn), turn
    for _ in range(_STEPS):  # heat rises steeper still: f''' + 24 psi theta^2 a
        a = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rising = 6.0 * curves.cube + 24.0 * curves.psi * curves.theta**2 * a > sinking * a ** (curves.delta - 3.0)
        low, high = np.where(rising, low, a), np.where(rising, a, high)
    return np.stack((np.minimum(turn, onset), onset, np.maximum(high, onset)))
