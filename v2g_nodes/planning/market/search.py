"""Branch and bound over rebate levels, on a linear relaxation.

A box holds a range of levels per hour. Its bound is bounding.profit_bound over intervals of the drivers' flows, which
ascent over the corners of the box finds (intervals.py). They are tested: random answers of the box must lie inside
before it is used, or it gets wider ones, and every answer that is computed later, or all begins again, wider. A bound
that rests on them is tested, not proven, and the result says so. Incumbents come from the continuous optimum, rounded
and improved one hour at a time with the drivers' exact answer. Levels that the relaxation shows to better the incumbent
by no more than the gap are dropped, and the smaller box is bounded anew. The box of largest bound is split next, at the
hour where the relaxation is furthest from the drivers' answer. A box of few points is evaluated, so that the search
ends with gap zero.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.bounding import Bounded, profit_bound
from v2g_nodes.planning.market.intervals import Choices, flow_intervals
from v2g_nodes.planning.market.persistency import Answer
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.program import Layout
from v2g_nodes.planning.market.relaxation import Box

SAFETY = 1e-9  # of the bound, for rounding
SHRINKS_MAX = 12
PROBES = 32  # random answers that each box's intervals are tested with
AUDITS, AUDIT_PART = 8, 0.05  # at the end: so many times as many for each box, in this part of the time left
WIDENED_MAX = 6  # then the bound counts as refuted and is the ceiling's
MISSED_MIN = 1e-3  # vehicles: a wide range of levels is split where nothing else tells
SHRINK_WORTH = 0.15  # levels per hour that must have gone for another try of the same box
FEW = 256  # points of a box that are evaluated one and all instead of bounded
LEVEL_SLACK = 1e-9  # USD/h: a rebate that is a level
FLOW_SLACK = 1e-9  # of a driver, for the tolerance of the exact answer


class Search:
    """Incumbent, bounds of what is open or dropped, and the boxes whose intervals they rest on.

    Args:
        platform: the problem.
        gap: relative; what betters the incumbent by less is dropped.
        left_s: seconds that remain.
    """

    def __init__(self, platform: Platform, gap: float, left_s: Callable[[], float]) -> None:
        self.platform, self.gap, self.left_s = platform, gap, left_s
        self.levels = np.zeros(platform.hours, dtype=np.int64)
        self.profit = -np.inf
        self.open: list[tuple[float, int, IntArray, IntArray, Bounded]] = []
        self.cut = -np.inf  # no rebates that were dropped earn more
        self.boxes = self.outside = self.tested = self.widened = self.rewidened = self.inequalities = 0
        self._box_s = 0.0  # what the last box's intervals took; none is begun in less time
        self._used: list[Box] = []
        self._names = count()
        self._random = np.random.default_rng(1)
        self._starts: tuple[FloatArray, ...] | None = None
        self._near: tuple[FloatArray, ...] = ()

    def wider(self) -> Search:
        """The same search from the start, with the incumbent, wider intervals."""
        again = Search(self.platform, self.gap, self.left_s)
        again.levels, again.profit, again.widened = self.levels, self.profit, self.widened + 1
        again.boxes, again.tested, again.inequalities = self.boxes, self.tested, self.inequalities
        again.rewidened = self.rewidened
        again._starts, again._box_s = self._starts, self._box_s
        again._near = self._near
        return again

    def to_widen(self) -> bool:
        """An answer was outside, and there is time to begin again."""
        return self.outside > 0 and self.widened < WIDENED_MAX and not self.late()

    def late(self) -> bool:
        """Not enough time for another box."""
        return self.left_s() <= self._box_s

    def bound(self) -> float:
        """No choice of levels earns more [USD per day], as far as the intervals are right."""
        return max(self.profit, self.cut, -self.open[0][0] if self.open else -np.inf)

    def rounded(self, rebates: FloatArray) -> IntArray:
        """Nearest level of each rebate."""
        nearest: IntArray = np.abs(rebates[:, None] - self.platform.levels).argmin(axis=1)
        return nearest

    def try_levels(self, choices: IntArray) -> None:
        """Exact profits of choices, shape (choices, hours); the best may be the new incumbent."""
        rebates = self.platform.levels[choices]
        outcome = self.platform.evaluate(rebates, self._starts)
        self._test(rebates, outcome.answers)
        best = int(outcome.profit.argmax())
        if outcome.profit[best] > self.profit:
            self.profit, self.levels = float(outcome.profit[best]), choices[best].copy()
            self._starts = tuple(answer.potential[best] for answer in outcome.answers)
            self._near = tuple(answer.flow[best] for answer in outcome.answers)

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
        """Bound a box of levels, and keep it open if it may hold better ones; `parent` bounds it already."""
        if self._enumerated(low, high):
            return
        if self.late():
            unknown = Bounded(parent, [], self.platform.levels[low], np.zeros(len(low)))
            heapq.heappush(self.open, (-parent, next(self._names), low, high, unknown))
            return
        shrunk = self._shrink(low, high)
        if shrunk is None:
            return
        low, high, found = shrunk
        if self._enumerated(low, high):
            return
        value = min(found.bound + SAFETY * abs(found.bound), parent)
        chosen = np.clip(self.rounded(found.rebates), low, high)
        if not (chosen == self.levels).all():
            self.improve(chosen)
        if value > self.profit:
            heapq.heappush(self.open, (-value, next(self._names), low, high, found))

    def _enumerated(self, low: IntArray, high: IntArray) -> bool:
        if not _few(low, high):
            return False
        axes = [np.arange(lo, hi + 1) for lo, hi in zip(low, high, strict=True)]
        self.try_levels(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low)))
        return True

    def _shrink(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray, Bounded] | None:
        """Bound a box and drop outer levels that earn too little to matter; None if nothing is left."""
        best: Bounded | None = None
        probing = False  # it costs as much as several boxes, so reduced costs come first
        for _ in range(SHRINKS_MAX):
            target = self.profit + self.gap * abs(self.profit) - SAFETY * abs(self.profit)
            found = self._bounded(self.platform.levels[low], self.platform.levels[high], target, probing)
            if best is not None and best.bound < found.bound:
                found = replace(found, bound=best.bound)
            kept = [np.flatnonzero(bound > target) for bound in found.by_level]
            if found.bound <= target or any(len(one) == 0 for one in kept):
                self.cut = max(self.cut, target + SAFETY * abs(self.profit))
                return None
            new = low + [one[0] for one in kept], low + [one[-1] for one in kept]
            dropped = int((high - low).sum() - (new[1] - new[0]).sum())
            if dropped > 0:
                self.cut = max(self.cut, target + SAFETY * abs(self.profit))
            (low, high), best = new, found
            if _few(low, high) or self.late():
                break
            if dropped < SHRINK_WORTH * len(low):
                if probing:
                    break
                probing = True
        return None if best is None else (low, high, best)

    def _bounded(self, low: FloatArray, high: FloatArray, target: float, probing: bool) -> Bounded:
        box = self.tested_box(low, high)
        self.boxes += 1
        return profit_bound(self.platform, box, self._near, target, probing, self.left_s, self._seen)

    def tested_box(self, low: FloatArray, high: FloatArray) -> Box:
        """A box whose intervals hold the answers they were made with and then, as a test, others."""
        left_s = self.left_s()
        rebates, answers = self._answers(low, high)
        for failures in range(self.widened, WIDENED_MAX + 1):
            box = box_of(self.platform, low, high, rebates, answers, failures)
            rebates, answers = self._answers(low, high)
            if not self._outside(rebates, answers, box):
                break
            self.rewidened += 1  # before it was used
        self._used.append(box)
        self._box_s = left_s - self.left_s()
        return box

    def _seen(self, rebates: FloatArray, answers: tuple[Answer, ...]) -> None:
        self.inequalities += len(answers)
        self._test(rebates[None, :], answers)

    def _answers(self, low: FloatArray, high: FloatArray) -> tuple[FloatArray, tuple[Answer, ...]]:
        """Drivers' answers to rebates at random: corners of the box, levels inside it, others."""
        picks = self._random.integers(0, 2, (PROBES, len(low)))
        within = self._random.random((PROBES, len(low)))
        rebates = low + np.where(self._random.random((PROBES, 1)) < 0.5, picks, within) * (high - low)
        some = self.platform.levels[self.rounded(rebates.ravel())].reshape(rebates.shape)
        rebates = np.where(self._random.random((PROBES, 1)) < 0.5, np.clip(some, low, high), rebates)
        return rebates, tuple(follower.solve(rebates) for follower in self.platform.followers)

    def _test(self, rebates: FloatArray, answers: tuple[Answer, ...]) -> None:
        self.outside += sum(self._outside(rebates, answers, box) for box in self._used)

    def _outside(self, rebates: FloatArray, answers: tuple[Answer, ...], box: Box) -> int:
        """Answers to rebates of the box that are outside its intervals."""
        inside = ((rebates >= box.low) & (rebates <= box.high)).all(axis=1)
        self.tested += int(inside.sum())
        layout, outside = Layout(self.platform, box.low, box.high), 0
        fixed = np.abs(rebates[inside][:, layout.hour] - layout.worth) < LEVEL_SLACK
        for k, (follower, answer) in enumerate(zip(self.platform.followers, answers, strict=True)):
            flow, share = answer.flow[inside], follower.plugged(answer)[inside][:, layout.hour]
            out = _beyond(flow, box.flow_low[k], box.flow_high[k]).any(axis=1)
            out |= (fixed & _beyond(share, box.share_low[k], box.share_high[k])).any(axis=1)
            outside += int(out.sum())
        return outside

    def audit(self) -> None:
        """Test the intervals of all boxes with more answers, in a twentieth of the time that is left."""
        until = (1.0 - AUDIT_PART) * self.left_s()
        for box in self._used:
            for _ in range(AUDITS):
                if self.left_s() <= until:
                    return
                rebates, answers = self._answers(box.low, box.high)
                self._test(rebates, answers)

    def split(self) -> None:
        """Two halves of the box of largest bound."""
        value, _, low, high, found = heapq.heappop(self.open)
        if -value <= self.profit:
            return
        levels, relaxed = self.platform.levels, found.rebates
        score = (found.missed + MISSED_MIN) * (levels[high] - levels[low])
        hour = int(np.where(high > low, score, -1.0).argmax())
        cut = int(np.clip(np.searchsorted(levels, relaxed[hour], side="right") - 1, low[hour], high[hour] - 1))
        left, right = high.copy(), low.copy()
        left[hour], right[hour] = cut, cut + 1
        self.push(low, left, -value)
        self.push(right, high, -value)


def box_of(
    platform: Platform, low: FloatArray, high: FloatArray, rebates: FloatArray, answers: tuple[Answer, ...],
    failures: int = 0,
) -> Box:  # fmt: skip
    """Rebates between two ends with intervals that hold some answers, see flow_intervals."""
    layout = Layout(platform, low, high)
    choices = Choices(layout.hour, layout.worth)
    found = [flow_intervals(follower, low, high, choices, follower.utility(answer, rebates), failures)
             for follower, answer in zip(platform.followers, answers, strict=True)]  # fmt: skip
    columns = zip(*((one.low, one.high, one.share_low, one.share_high) for one in found), strict=True)
    return Box(low, high, *columns)


def _beyond(value: FloatArray, low: FloatArray, high: FloatArray) -> NDArray[np.bool_]:
    return (value < low - FLOW_SLACK) | (value > high + FLOW_SLACK)


def _few(low: IntArray, high: IntArray) -> bool:
    return bool(np.prod((high - low + 1).astype(float)) <= FEW)
