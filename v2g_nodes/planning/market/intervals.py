"""Intervals of the drivers' flows over a box of rebates: ends found by ascent over the corners of the box.

An arc's utility lambda moves with each rebate by d lambda / d s = E - B'(B W B')^-1 B W E (EQUATIONS 004.2). From the
middle of the box the signs of that row name a corner for the largest lambda and one for the smallest; the row at that
corner names the next, until none is better. Where cross effects keep their signs, these ends are exact. That is an
assumption that answers elsewhere test, so every interval is widened a little, and levels.py begins again with wider
ones once an answer lies outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.persistency import Answer, Follower, flow_of, slope

WIDEN, WIDEN_MIN = 0.01, 1e-5  # of the interval in utility, and at least this many sigma
ASCENTS_MAX = 6
STILL = 1e-10  # USD per USD/h: a sensitivity below that names no side


@dataclass(frozen=True)
class Intervals:
    """Flows over a box of rebates.

    Args:
        low: smallest flow of each arc, shape (arcs,).
        high: largest flow.
        answers: of drivers that were computed.
    """

    low: FloatArray
    high: FloatArray
    answers: int


def flow_intervals(
    follower: Follower, low: FloatArray, high: FloatArray, seen: FloatArray, failures: int = 0
) -> Intervals:  # fmt: skip
    """Intervals of all flows for rebates between low and high.

    Args:
        follower: the drivers.
        low: smallest rebates, shape (hours,) [USD/h].
        high: largest rebates.
        seen: utilities of answers to rebates between, which the intervals hold in any case, shape (answers, arcs).
        failures: times that intervals turned out too narrow before: each doubles the widening.
    """
    least, most, answers = utility_ends(follower, low, high)
    least, most = np.minimum(least, seen.min(axis=0)), np.maximum(most, seen.max(axis=0))
    width = np.maximum(WIDEN * (most - least), WIDEN_MIN * follower.sigma) * 2.0**failures
    return Intervals(flow_of(least - width, follower.sigma), flow_of(most + width, follower.sigma), answers)


def utility_ends(follower: Follower, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Smallest and largest lambda of each arc that ascent finds, shape (arcs,) each [USD], and answers computed."""
    arcs = follower.network.arcs
    arc, sign = np.tile(np.arange(arcs), 2), np.repeat([1.0, -1.0], arcs)
    middle = follower.solve(0.5 * (low + high))
    rows = sign[:, None] * np.tile(_sensitivities(follower, middle, np.zeros(arcs, dtype=np.int64), np.arange(arcs)),
                                   (2, 1))  # fmt: skip
    corner = np.where(rows > 0.0, high, low)
    best = sign * follower.utility(middle, 0.5 * (low + high))[0, arc]
    open_, answers = np.arange(2 * arcs), 1
    for _ in range(ASCENTS_MAX):
        corners, which = np.unique(corner[open_], axis=0, return_inverse=True)
        answer = follower.solve(corners, middle.potential[0])
        answers += len(corners)
        reached = sign[open_] * follower.utility(answer, corners)[which, arc[open_]]
        better = reached > best[open_]
        best[open_] = np.maximum(best[open_], reached)
        open_, which = open_[better], which[better]
        rows = sign[open_, None] * _sensitivities(follower, answer, which, arc[open_])
        following = np.where(rows > STILL, high, np.where(rows < -STILL, low, corner[open_]))
        moved = (following != corner[open_]).any(axis=1)
        corner[open_] = following
        open_ = open_[moved]
        if len(open_) == 0:
            break
    return -best[arcs:], best[:arcs], answers


def _sensitivities(follower: Follower, answer: Answer, rows: IntArray, arcs: IntArray) -> FloatArray:
    """How lambda of an arc moves with each rebate, at one row of the answer for each arc, shape (len(arcs), hours)."""
    incidence, plug = follower.network.incidence, follower.network.plug_matrix
    weight = slope(answer.flow[rows], follower.sigma)
    voltage = np.linalg.solve(follower.laplacian(weight), incidence.T[arcs][..., None])[..., 0]
    moved: FloatArray = plug[arcs] - ((voltage @ incidence) * weight) @ plug
    return moved
