"""How the grid's load depends on the number of vehicles, their commitment and the smoothing factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.planning.allocation.allocation import Allocation, allocate
from v2g_nodes.planning.allocation.grid import roughness
from v2g_nodes.planning.allocation.problem import Problem
from v2g_nodes.planning.allocation.summary import distance_to_reference


@dataclass(frozen=True)
class Point:
    """One plan of a study.

    Args:
        value: what was varied.
        roughness: sum of squared steps of the grid's load [kW^2].
        variance: of the grid's load [kW^2].
        peak: of the grid's load [kW].
        distance: to the owners' references, root of summed squares [kW].
        grid_kw: the grid's load per slot [kW].
    """

    value: float
    roughness: float
    variance: float
    peak: float
    distance: float
    grid_kw: tuple[float, ...]


def unplanned(problem: Problem) -> Point:
    """The load without any vehicle, as a study's point at 0."""
    return _point(0.0, problem.load_kw.tolist(), 0.0)


def with_first(problem: Problem, count: int, commitment: float | None, graph: str) -> Point:
    """The problem with its first vehicles alone.

    Args:
        problem: with at least `count` vehicles.
        count: how many take part, at least 1.
        commitment: of all; None: their own.
        graph: see allocate.
    """
    return _planned(count, _committed(replace(problem, vehicles=problem.vehicles[:count]), commitment), graph)


def with_commitment(problem: Problem, commitment: float, graph: str) -> Point:
    """The problem with one commitment for all."""
    return _planned(commitment, _committed(problem, commitment), graph)


def with_smoothing(problem: Problem, smoothing: float, graph: str) -> Point:
    """The problem with another smoothing factor."""
    return _planned(smoothing, replace(problem, smoothing=smoothing), graph)


def saturation(points: Sequence[Point]) -> int | None:
    """Number of vehicles from which more of them no longer make the load smoother; None: they still do.

    Args:
        points: of a study of numbers, ascending.
    """
    for before, after in zip(points[:-1], points[1:], strict=True):
        if after.roughness >= before.roughness:
            return round(before.value)
    return None


def _committed(problem: Problem, commitment: float | None) -> Problem:
    if commitment is None:
        return problem
    return replace(problem, vehicles=tuple(replace(v, commitment=commitment) for v in problem.vehicles))


def _planned(value: float, problem: Problem, graph: str) -> Point:
    allocation: Allocation = allocate(problem, graph, reactive=False)
    return _point(value, allocation.grid_kw.tolist(), distance_to_reference(allocation))


def _point(value: float, grid_kw: list[float], distance: float) -> Point:
    load = np.array(grid_kw)
    return Point(value, roughness(load), float(np.var(load)), float(np.max(load)), distance, tuple(grid_kw))
