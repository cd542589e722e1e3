"""Rebates out of a few levels, with a certified gap: branch and bound on the proven linear relaxation.

A box holds a range of levels per hour. Its bound is relaxation.profit_bound over intervals of the drivers' flows.
Either these are proven once for all rebates (slow, loose), or they are sampled for each box, widened a little, and
tested: every answer computed later that lies in a box must be inside its intervals, or all begins again, wider. A
bound from sampled intervals is tested, not proven, and the result says so. Incumbents come from the
continuous optimum, rounded and improved one hour at a time with the drivers' exact answer. The box of largest bound is
split next, at the hour where the relaxation pays too little for its rebate. Levels whose reduced cost shows that they
cannot better the incumbent by more than the gap are dropped before. A box of one point is evaluated, so that the
search ends with gap zero.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.intervals import flow_intervals
from v2g_nodes.planning.market.platform import Outcome, Platform
from v2g_nodes.planning.market.relaxation import Bounded, Box, profit_bound

SAFETY = 1e-7  # of the bound, for the tolerances of the linear programs
SHRINKS_MAX = 6
PROBES = 32  # random answers that each box's intervals are tested with at the end
WIDENED_MAX = 4  # then the bound counts as refuted: infinite
UNPAID_MIN = 1e-3  # USD per USD/h: a wide range of levels is split where nothing else tells
SHRINK_WORTH = 0.3  # levels per hour that must have gone for another try of the same box
FEW = 256  # points of a box that are evaluated one and all instead of bounded


@dataclass(frozen=True)
class LevelPlan:
    """The best rebates found and what is certain about better ones.

    Args:
        levels: index of each hour's level, shape (hours,).
        rebates: shape (hours,) [USD/h].
        profit: USD per day.
        bound: no choice of levels earns more [USD per day].
        gap: (bound - profit) / profit, at least 0.
        proven: the flow intervals behind the bound are proven, not only sampled.
        widened: times that an answer was found outside a sampled interval and all began again with wider ones.
        tested: answers that were compared with intervals.
        boxes: relaxations solved.
        seconds: of all.
        course: seconds, profit and bound, at each improvement of either.
    """

    levels: IntArray
    rebates: FloatArray
    profit: float
    bound: float
    gap: float
    proven: bool
    widened: int
    tested: int
    boxes: int
    seconds: float
    course: tuple[tuple[float, float, float], ...]


def relative_gap(profit: float, bound: float) -> float:
    """(bound - profit) / |profit|, never below 0."""
    return max(bound - profit, 0.0) / max(abs(profit), 1e-12)


def plan_levels(
    platform: Platform, gap: float = 0.005, limit_s: float = 60.0, prove: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> LevelPlan:  # fmt: skip
    """Best rebates out of the levels.

    Args:
        platform: the problem.
        gap: at which the search ends, relative.
        limit_s: after which it ends wherever it is [s].
        prove: the flow intervals, see intervals.py.
        clock: seconds.
    """
    began = clock()
    search = _Search(platform, 0.9 * gap)
    whole = (np.zeros(platform.hours, dtype=np.int64), np.full(platform.hours, len(platform.levels) - 1))
    search.improve(search.rounded(best_rebates(platform, float(platform.levels[-1]), starts=(0.3,))))
    proven = False
    if prove:
        ends = [platform.levels[side] for side in whole]
        intervals = [flow_intervals(f, ends[0], ends[1]) for f in platform.followers]
        proven = all(i.proven for i in intervals)
        search.proven = Box(ends[0], ends[1], tuple(i.low for i in intervals), tuple(i.high for i in intervals))
    search.push(*whole, np.inf)
    course: list[tuple[float, float, float]] = []
    while True:
        if search.outside and search.widened < WIDENED_MAX:  # intervals too narrow: begin again, wider
            search = search.wider()
            search.push(*whole, np.inf)
            continue
        bound = search.bound()
        reached = (clock() - began, search.profit, bound)
        if not course or reached[1:] != course[-1][1:]:
            course.append(reached)
        done = relative_gap(search.profit, bound) <= gap or not search.open
        if done or clock() - began > limit_s:
            search.probe()
            if search.outside and search.widened < WIDENED_MAX:
                continue
            break
        search.split()
    if search.outside:
        bound = np.inf
    return LevelPlan(
        search.levels, platform.levels[search.levels], search.profit, bound, relative_gap(search.profit, bound), proven,
        search.widened, search.tested, search.boxes, clock() - began, tuple(course),
    )  # fmt: skip


class _Search:
    def __init__(self, platform: Platform, gap: float) -> None:
        self.platform, self.gap = platform, gap
        self.levels = np.zeros(platform.hours, dtype=np.int64)
        self.profit = -np.inf
        self.open: list[tuple[float, int, IntArray, IntArray, Bounded]] = []
        self.proven: Box | None = None
        self.cut = -np.inf  # no rebates that were dropped earn more
        self.boxes = self.outside = self.tested = self.widened = 0
        self._sampled: list[Box] = []
        self._names = count()
        self._starts: tuple[FloatArray, ...] | None = None

    def wider(self) -> _Search:
        """The same search from the start, with the incumbent, wider intervals."""
        again = _Search(self.platform, self.gap)
        again.levels, again.profit, again.widened = self.levels, self.profit, self.widened + 1
        again.boxes, again.tested, again.proven = self.boxes, self.tested, self.proven
        return again

    def probe(self) -> None:
        """Compare the intervals with answers to rebates at random, levels or not."""
        random = np.random.default_rng(1)
        for box in self._sampled:
            picks = random.integers(0, 2, (PROBES, len(box.low)))
            mixed = np.where(random.random((PROBES, 1)) < 0.5, picks, random.random((PROBES, len(box.low))))
            rebates = box.low + mixed * (box.high - box.low)
            self._test(rebates, self.platform.evaluate(rebates, self._starts), [box])

    def bound(self) -> float:
        return max(self.profit, self.cut, -self.open[0][0] if self.open else -np.inf)

    def rounded(self, rebates: FloatArray) -> IntArray:
        nearest: IntArray = np.abs(rebates[:, None] - self.platform.levels).argmin(axis=1)
        return nearest

    def try_levels(self, choices: IntArray) -> None:
        outcome = self.platform.evaluate(self.platform.levels[choices], self._starts)
        self._test(self.platform.levels[choices], outcome, self._sampled)
        best = int(outcome.profit.argmax())
        if outcome.profit[best] > self.profit:
            self.profit, self.levels = float(outcome.profit[best]), choices[best].copy()
            self._starts = tuple(answer.potential[best] for answer in outcome.answers)

    def improve(self, levels: IntArray) -> None:
        """One hour at a time, one level up or down, while it helps."""
        before = self.profit
        self.try_levels(np.array([levels]))
        while self.profit > before:
            before = self.profit
            near = [self.levels + sign * row for row in np.eye(len(levels), dtype=np.int64) for sign in (1, -1)]
            near = [one for one in near if one.min() >= 0 and one.max() < len(self.platform.levels)]
            if not near:
                return
            self.try_levels(np.array(near))
            if self.profit <= before + 1e-12 * abs(before):
                return

    def push(self, low: IntArray, high: IntArray, parent: float) -> None:
        if self._enumerated(low, high):
            return
        shrunk = self._shrink(low, high)
        if shrunk is None:
            return
        low, high, found = shrunk
        if self._enumerated(low, high):
            return
        value, relaxed = found.bound, found.rebates
        value = min(value + SAFETY * abs(value), parent)
        chosen = np.clip(self.rounded(relaxed), low, high)
        if not (chosen == self.levels).all():
            self.improve(chosen)
        if value > self.profit:
            heapq.heappush(self.open, (-value, next(self._names), low, high, found))

    def _enumerated(self, low: IntArray, high: IntArray) -> bool:
        if np.prod((high - low + 1).astype(float)) > FEW:
            return False
        axes = [np.arange(lo, hi + 1) for lo, hi in zip(low, high, strict=True)]
        self.try_levels(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low)))
        return True

    def _shrink(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray, Bounded] | None:
        """Bound a box and drop outer levels that earn too little to matter; None if nothing is left."""
        for _ in range(SHRINKS_MAX):
            box = self._box(self.platform.levels[low], self.platform.levels[high])
            found = profit_bound(self.platform, box)
            self.boxes += 1
            target = self.profit + self.gap * abs(self.profit) - SAFETY * abs(self.profit)
            kept = [np.flatnonzero(bound > target) for bound in found.by_level]
            if found.bound <= target or any(len(one) == 0 for one in kept):
                self.cut = max(self.cut, target + SAFETY * abs(self.profit))
                return None
            new = low + [one[0] for one in kept], low + [one[-1] for one in kept]
            dropped = int((high - low).sum() - (new[1] - new[0]).sum())
            if dropped > 0:
                self.cut = max(self.cut, target + SAFETY * abs(self.profit))
            low, high = new
            if dropped < SHRINK_WORTH * len(low):
                break
        return low, high, found

    def _box(self, low: FloatArray, high: FloatArray) -> Box:
        if self.proven is not None:
            return Box(low, high, self.proven.flow_low, self.proven.flow_high)
        intervals = [flow_intervals(f, low, high, prove=False, failures=self.widened)
                     for f in self.platform.followers]  # fmt: skip
        box = Box(low, high, tuple(i.low for i in intervals), tuple(i.high for i in intervals))
        self._sampled.append(box)
        return box

    def _test(self, rebates: FloatArray, outcome: Outcome, boxes: list[Box]) -> None:
        for box in boxes:
            inside = ((rebates >= box.low) & (rebates <= box.high)).all(axis=1)
            self.tested += int(inside.sum())
            for answer, low, high in zip(outcome.answers, box.flow_low, box.flow_high, strict=True):
                self.outside += int((((answer.flow < low) | (answer.flow > high)).any(axis=1) & inside).sum())

    def split(self) -> None:
        value, _, low, high, found = heapq.heappop(self.open)
        if -value <= self.profit:
            return
        levels, relaxed = self.platform.levels, found.rebates
        score = np.abs(found.unpaid) + UNPAID_MIN * (levels[high] - levels[low])
        hour = int(np.where(high > low, score, -1.0).argmax())
        cut = int(np.clip(np.searchsorted(levels, relaxed[hour], side="right") - 1, low[hour], high[hour] - 1))
        left, right = high.copy(), low.copy()
        left[hour], right[hour] = cut, cut + 1
        self.push(low, left, -value)
        self.push(right, high, -value)
