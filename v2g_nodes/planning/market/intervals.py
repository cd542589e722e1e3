"""Intervals of the drivers' flows over a box of rebates: ends found by ascent over the corners of the box.

An arc's utility lambda moves with each rebate by d lambda / d s = E - B'(B W B')^-1 B W E (EQUATIONS 004.2). From the
middle of the box the signs of that row name a corner for the largest lambda and one for the smallest; the row at that
corner names the next, until none is better. Where cross effects keep their signs, these ends are exact. That is an
assumption that answers elsewhere test, so every interval is widened a little, and levels.py begins again with wider
ones once an answer lies outside. The share plugged in in an hour with a given rebate is found at the same corners, with
that hour's rebate replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.persistency import Answer, Follower, flow_of, slope

WIDEN = 0.03  # of the interval in utility of a charging arc, on either side
WIDEN_OTHER = 0.08  # of other arcs: their sensitivities change sign (0.033 was seen to be needed), the bound minds less
WIDEN_MIN = 2e-3  # sigma: at least
ANCHORS = 9  # levels of an hour whose shares are computed
ASCENTS_MAX = 6
STILL = 1e-10  # USD per USD/h: a sensitivity below that names no side


@dataclass(frozen=True)
class Choices:
    """Single rebates to fix: hour and rebate [USD/h] of each, shape (choices,)."""

    hour: IntArray
    rebate: FloatArray


@dataclass(frozen=True)
class Intervals:
    """Flows over a box of rebates.

    Args:
        low: smallest flow of each arc, shape (arcs,).
        high: largest flow.
        share_low: smallest share plugged in in each choice's hour with its rebate, shape (choices,).
        share_high: largest share.
    """

    low: FloatArray
    high: FloatArray
    share_low: FloatArray
    share_high: FloatArray


def flow_intervals(
    follower: Follower, low: FloatArray, high: FloatArray, choices: Choices, seen: FloatArray, failures: int = 0
) -> Intervals:  # fmt: skip
    """Intervals of all flows for rebates between low and high, and of shares with one rebate fixed.

    Args:
        follower: the drivers.
        low: smallest rebates, shape (hours,) [USD/h].
        high: largest rebates.
        choices: rebates to fix.
        seen: utilities of answers to rebates between, which the intervals hold in any case, shape (answers, arcs).
        failures: times that intervals turned out too narrow before: each doubles the widening.
    """
    least, most, corners = utility_ends(follower, low, high)
    least, most = np.minimum(least, seen.min(axis=0)), np.maximum(most, seen.max(axis=0))
    network = follower.network
    part = np.where(network.plug_hour >= 0, WIDEN, WIDEN_OTHER)
    flows = _widened(part, follower.sigma, least, most, failures)
    shares = [np.minimum(flow @ network.plug_matrix, 1.0)[choices.hour] for flow in flows]
    arc = network.only_plug[choices.hour]
    fixed = np.flatnonzero((arc >= 0) & (high > low)[choices.hour])
    if len(fixed):
        anchors = _anchors(choices.hour[fixed], fixed)
        rebates = corners[:, arc[anchors]]
        rebates[:, np.arange(len(anchors)), choices.hour[anchors]] = choices.rebate[anchors]
        ends = [follower.utility(follower.solve(one), one)[np.arange(len(anchors)), arc[anchors]] for one in rebates]
        held = _widened(part[arc[anchors]], follower.sigma[arc[anchors]], ends[0], ends[1], failures)
        # a share rises with its own rebate, so between two anchors the ends of either side hold
        before, after = np.searchsorted(anchors, fixed, side="right") - 1, np.searchsorted(anchors, fixed)
        shares[0][fixed] = np.maximum(shares[0][fixed], held[0][before])
        shares[1][fixed] = np.minimum(shares[1][fixed], held[1][after])
    return Intervals(*flows, *shares)


def _anchors(hour: IntArray, fixed: IntArray) -> IntArray:
    """Of each hour's choices the first, the last and some between, ANCHORS at most."""
    groups = np.split(fixed, np.flatnonzero(np.diff(hour)) + 1)
    return np.concatenate([one[np.unique(np.linspace(0, len(one) - 1, ANCHORS).round().astype(int))] for one in groups])


def _widened(
    part: FloatArray, sigma: FloatArray, least: FloatArray, most: FloatArray, failures: int
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    width = np.maximum(part * (most - least), WIDEN_MIN * sigma) * 2.0**failures
    return flow_of(least - width, sigma), flow_of(most + width, sigma)


def utility_ends(follower: Follower, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Smallest and largest lambda of each arc that ascent finds, (arcs,) [USD], and where, (2, arcs, hours)."""
    arcs = follower.network.arcs
    arc, sign = np.tile(np.arange(arcs), 2), np.repeat([1.0, -1.0], arcs)
    middle = follower.solve(0.5 * (low + high))
    rows = sign[:, None] * np.tile(_sensitivities(follower, middle, np.zeros(arcs, dtype=np.int64), np.arange(arcs)),
                                   (2, 1))  # fmt: skip
    corner = np.where(rows > 0.0, high, low)
    best = sign * follower.utility(middle, 0.5 * (low + high))[0, arc]
    open_, found = np.arange(2 * arcs), corner.copy()
    for _ in range(ASCENTS_MAX):
        corners, which = np.unique(corner[open_], axis=0, return_inverse=True)
        answer = follower.solve(corners, middle.potential[0])
        reached = sign[open_] * follower.utility(answer, corners)[which, arc[open_]]
        better = reached > best[open_]
        open_, which, reached = open_[better], which[better], reached[better]
        best[open_], found[open_] = reached, corner[open_]
        rows = sign[open_, None] * _sensitivities(follower, answer, which, arc[open_])
        following = np.where(rows > STILL, high, np.where(rows < -STILL, low, corner[open_]))
        moved = (following != corner[open_]).any(axis=1)
        corner[open_] = following
        open_ = open_[moved]
        if len(open_) == 0:
            break
    return -best[arcs:], best[:arcs], np.array([found[arcs:], found[:arcs]])


def _sensitivities(follower: Follower, answer: Answer, rows: IntArray, arcs: IntArray) -> FloatArray:
    """How lambda of an arc moves with each rebate, at one row of the answer for each arc, shape (len(arcs), hours)."""
    incidence, plug = follower.network.incidence, follower.network.plug_matrix
    weight = slope(answer.flow[rows], follower.sigma)
    voltage = np.linalg.solve(follower.laplacian(weight), incidence.T[arcs][..., None])[..., 0]
    moved: FloatArray = plug[arcs] - ((voltage @ incidence) * weight) @ plug
    return moved
