"""How the grid's load depends on the number of vehicles, their commitment and the smoothing factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.planning.allocation.allocation import allocate
from v2g_nodes.planning.allocation.grid import roughness
from v2g_nodes.planning.allocation.problem import Problem, Vehicle
from v2g_nodes.planning.allocation.summary import distance_to_reference

COUNTS = (1, 2, 3, 4, 5, 6)  # of the source's figure, which ends at six vehicles
COMMITMENTS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
SMOOTHINGS = (0.0, 0.25, 0.5, 0.75, 1.0)
HELPFUL, RESERVED = 0.05, 0.2  # commitments at which the number of vehicles is varied
VEHICLES_MAX = 60  # of a study: forty plans of more would take minutes


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


@dataclass(frozen=True)
class Studies:
    """Plans side by side.

    Args:
        helpful: numbers of vehicles from 0, all at commitment HELPFUL.
        reserved: the same at commitment RESERVED.
        commitment: the fleet at COMMITMENTS.
        smoothing: the fleet at SMOOTHINGS and commitment RESERVED.
    """

    helpful: tuple[Point, ...]
    reserved: tuple[Point, ...]
    commitment: tuple[Point, ...]
    smoothing: tuple[Point, ...]


def run_studies(
    problem: Problem, spare: Sequence[Vehicle], graph: str, heard: Callable[[], None] | None = None
) -> Studies:
    """Vary what the source varies, active power alone.

    Args:
        problem: the fleet; of more than VEHICLES_MAX vehicles the first ones.
        spare: vehicles that may join in the study of numbers.
        graph: see allocate.
        heard: called after every step of the dynamics.
    """
    most = replace(problem, vehicles=(*problem.vehicles, *spare)[:VEHICLES_MAX])
    fleet = replace(problem, vehicles=problem.vehicles[:VEHICLES_MAX])

    def plan(value: float, chosen: Problem, commitment: float) -> Point:
        vehicles = tuple(replace(vehicle, commitment=commitment) for vehicle in chosen.vehicles)
        planned = allocate(replace(chosen, vehicles=vehicles), graph, heard=heard, reactive=False)
        return _point(value, planned.grid_kw.tolist(), distance_to_reference(planned))

    def counts(commitment: float) -> tuple[Point, ...]:
        sizes = sorted({*COUNTS, len(fleet.vehicles), len(most.vehicles)})
        some = [replace(most, vehicles=most.vehicles[:n]) for n in sizes if n <= len(most.vehicles)]
        nobody = _point(0.0, problem.load_kw.tolist(), 0.0)
        return (nobody, *(plan(len(each.vehicles), each, commitment) for each in some))

    return Studies(
        helpful=counts(HELPFUL),
        reserved=counts(RESERVED),
        commitment=tuple(plan(alpha, fleet, alpha) for alpha in COMMITMENTS),
        smoothing=tuple(plan(beta, replace(fleet, smoothing=beta), RESERVED) for beta in SMOOTHINGS),
    )


def saturation(points: Sequence[Point]) -> int | None:
    """Number of vehicles after which more of them first make the load no smoother; None: they always do.

    Args:
        points: of a study of numbers, ascending.
    """
    for before, after in zip(points[:-1], points[1:], strict=True):
        if after.roughness >= before.roughness:
            return round(before.value)
    return None


def _point(value: float, grid_kw: list[float], distance: float) -> Point:
    load = np.array(grid_kw)
    return Point(value, roughness(load), float(np.var(load)), float(np.max(load)), distance, tuple(grid_kw))
