"""Rebates out of a few levels, with a certified gap: the search of search.py until the gap is small or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.search import Search


@dataclass(frozen=True)
class LevelPlan:
    """The best rebates found and what is certain about better ones.

    Args:
        levels: index of each hour's level, shape (hours,).
        rebates: shape (hours,) [USD/h].
        profit: USD per day.
        bound: no choice of levels earns more [USD per day].
        gap: (bound - profit) / profit, at least 0.
        proven: the bound rests on no flow interval, as all was enumerated or nothing was; intervals are only tested.
        widened: times that an answer was found outside an interval: of a box before it was used, which got wider ones,
            or later, when all began again with wider ones.
        tested: answers that were compared with intervals.
        boxes: relaxations solved.
        seconds: of all.
        course: seconds, profit and bound, at each improvement of either.
        inequalities: valid ones that tightened the relaxations, one per drivers' answer, see relaxation.py.
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
    inequalities: int = 0


def relative_gap(profit: float, bound: float) -> float:
    """(bound - profit) / |profit|, never below 0."""
    return max(bound - profit, 0.0) / max(abs(profit), 1e-12)


def plan_levels(
    platform: Platform, gap: float = 0.005, limit_s: float = 60.0, *, clock: Callable[[], float] = time.perf_counter
) -> LevelPlan:  # fmt: skip
    """Best rebates out of the levels.

    Args:
        platform: the problem.
        gap: at which the search ends, relative.
        limit_s: after which it ends wherever it is [s].
        clock: seconds.
    """
    began = clock()
    search = Search(platform, 0.9 * gap, lambda: limit_s - (clock() - began))
    whole = (np.zeros(platform.hours, dtype=np.int64), np.full(platform.hours, len(platform.levels) - 1))
    search.improve(search.rounded(best_rebates(platform, float(platform.levels[-1]))))
    search.push(*whole, ceiling(platform))
    course: list[tuple[float, float, float]] = []
    while True:
        if search.to_widen():
            search = search.wider()
            search.push(*whole, ceiling(platform))
            continue
        bound = search.bound()
        reached = (clock() - began, search.profit, bound)
        if not course or reached[1:] != course[-1][1:]:
            course.append(reached)
        if relative_gap(search.profit, bound) <= gap or not search.open or search.late():
            search.audit()
            if search.to_widen():
                continue
            break
        search.split()
    if search.outside:
        bound = ceiling(platform)
    return LevelPlan(
        search.levels, platform.levels[search.levels], search.profit, bound, relative_gap(search.profit, bound),
        search.boxes == 0,
        search.widened + search.rewidened, search.tested, search.boxes, clock() - began, tuple(course),
        search.inequalities,
    )  # fmt: skip


def ceiling(platform: Platform) -> float:
    """Profit of bids for which all vehicles are plugged in for sure, and nothing is paid [USD per day]."""
    total = np.array([platform.vehicles.sum()])
    bids = [max(float(form.bid(total, np.zeros(1))[0][0]) for form in forms) for forms in platform.forms]
    return float(platform.prices.sum()) * min(bids)
