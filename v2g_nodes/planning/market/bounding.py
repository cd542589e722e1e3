"""Upper bound of the profit over a box of rebates, and over each level of each hour in it.

Outer approximation: the relaxation is solved, lines that its optimum breaks are added, and again while that helps.
Where the bound is not low enough, each hour's rebate is pushed away from the relaxed optimum, level by level, until the
bound is: levels from there on can't matter (probing). Every solution's multipliers bound all levels of all hours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.persistency import Answer
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.relaxation import Box, Relaxation

ROUNDS_MAX = 20
WORTH = 0.03  # of the distance to the target that a round must gain, else it was the last
NEAR_PART = 5  # levels nearer to the relaxed optimum than one in so many are not probed
PROBE_ROUNDS, PROBE_WORTH = 3, 0.2


@dataclass(frozen=True)
class Bounded:
    """Result of the relaxation.

    Args:
        bound: no rebates of the box earn more [USD per day]; infinity where no program was solved in time.
        by_level: for each hour, the bound with each of its levels inside the box [USD per day].
        rebates: of the relaxed optimum, shape (hours,) [USD/h].
        missed: vehicles by which its shares differ from the drivers' answer, summed over clusters, shape (hours,).
    """

    bound: float
    by_level: list[FloatArray]
    rebates: FloatArray
    missed: FloatArray


def profit_bound(
    platform: Platform, box: Box, near: tuple[FloatArray, ...], target: float, probing: bool,
    left_s: Callable[[], float], seen: Callable[[FloatArray, tuple[Answer, ...]], None],
) -> Bounded:  # fmt: skip
    """Upper bound of the profit over the levels inside a box.

    Args:
        platform: the problem.
        box: rebates and flows.
        near: flows of good rebates, (arcs,) per cluster.
        target: a bound that is low enough to stop [USD per day].
        probing: also of each level of each hour, where the bound is not low enough.
        left_s: seconds that remain.
        seen: is told rebates of the box and the drivers' answers that were computed on the way.
    """
    work = _Work(Relaxation(platform, box, near), target, left_s, seen)
    found = work.refine(lambda bound, _: bound, ROUNDS_MAX, WORTH)
    for hour in range(platform.hours):
        if probing and work.bound > target and found is not None:
            work.probe(hour, float(found[0][hour]))
    rebates, missed = (box.low, np.zeros(platform.hours)) if found is None else found
    return Bounded(work.bound, work.by_level, rebates, missed)


class _Work:
    def __init__(
        self, relaxation: Relaxation, target: float, left_s: Callable[[], float],
        seen: Callable[[FloatArray, tuple[Answer, ...]], None],
    ) -> None:  # fmt: skip
        self.relaxation, self.target, self._left_s, self._seen = relaxation, target, left_s, seen
        self.bound = np.inf
        self.by_level: list[FloatArray] = [np.full(len(one), np.inf) for one in relaxation.layout.levels]

    def refine(
        self, value: Callable[[float, list[FloatArray]], float], rounds: int, worth: float
    ) -> tuple[FloatArray, FloatArray] | None:
        """Solve and add broken lines until a bound is low enough or falls no more: last rebates, vehicles missed."""
        platform, box = self.relaxation.platform, self.relaxation.box
        found, now = None, np.inf
        for last in [False] * (rounds - 1) + [True]:
            before, left = now, self._left_s()
            point = self.relaxation.solver.run(left) if left > 0.0 else None
            if point is None:
                break
            bounds = self.relaxation.bounds()
            self._keep(*bounds)
            now = value(*bounds)
            rebates = np.clip(point[: platform.hours], box.low, box.high)
            answers = tuple(follower.solve(rebates) for follower in platform.followers)
            self._seen(rebates, answers)
            found = rebates, self.relaxation.missed(point, answers)
            if last or now <= self.target or before - now < worth * (before - self.target):
                break
            self.relaxation.cut(point, rebates, answers)
        return found

    def probe(self, hour: int, relaxed: float) -> None:
        """Push one hour's rebate up and down from the relaxed optimum until the bound is low enough."""
        levels, solver = self.relaxation.layout.levels[hour], self.relaxation.solver
        middle = int(np.searchsorted(levels, relaxed))  # first level that is not below
        skipped = len(levels) // NEAR_PART
        for outwards in (range(middle + skipped, len(levels)), range(middle - 1 - skipped, -1, -1)):
            for level in outwards:
                if self.by_level[hour][level] <= self.target:
                    break
                beyond = (levels[level], levels[-1]) if outwards.step > 0 else (levels[0], levels[level])
                solver.restrict(hour, float(beyond[0]), float(beyond[1]))
                if self.refine(partial(_at, hour, level), PROBE_ROUNDS, PROBE_WORTH) is None:
                    return
        kept = np.flatnonzero(self.by_level[hour] > self.target)
        if len(kept):
            solver.restrict(hour, float(levels[kept[0]]), float(levels[kept[-1]]))

    def _keep(self, bound: float, by_level: list[FloatArray]) -> None:
        self.bound = min(self.bound, bound)
        self.by_level = [np.minimum(old, new) for old, new in zip(self.by_level, by_level, strict=True)]


def _at(hour: int, level: int, _: float, by_level: list[FloatArray]) -> float:
    return float(by_level[hour][level])
