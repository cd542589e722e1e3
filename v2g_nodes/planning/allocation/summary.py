"""What a plan achieved, as numbers with stable names."""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.errors import V2gError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation.allocation import Allocation, gap_to_central
from v2g_nodes.planning.allocation.fleet import fleet_of
from v2g_nodes.planning.allocation.grid import roughness

RISE_MAX = 1e-12  # of the storage function: more than rounding


def summary(allocation: Allocation) -> dict[str, object]:
    """Figures of a plan; the gap is found by solving its convex problems centrally.

    Returns:
        vehicles, slots: how many.
        commitment: median alpha of the fleet.
        smoothing: beta.
        consensus_spread: largest difference of payoffs within a vehicle at the end, relative, interior strategies.
        resource_error: largest loss of a vehicle's resource at any step [kWh or kvarh].
        constraint_violations: limits crossed, over all steps.
        roughness_without, roughness_with: sum of squared load steps, without any vehicle and with the plan [kW^2].
        peak_without, peak_with: largest load, likewise [kW].
        gap_to_centralized: the larger of the gaps of active and of reactive power (see allocation.Gap), reactive power
            beside the active power as planned; None: no reference was found.
        iterations: steps of the dynamics.
        After these: the load if all followed their references, storage_rises (steps at which the storage function
        rose by more than rounding), the parts of the gap, and what else may be of interest.
    """
    problem, runs = allocation.problem, [stage.run for stage in allocation.stages]
    fleet = fleet_of(problem.vehicles, problem.slots, problem.slot_h)
    uncoordinated = problem.load_kw + fleet.reference.sum(axis=0) / problem.slot_h
    gaps = _gaps(allocation)
    return {
        "vehicles": len(problem.vehicles),
        "slots": problem.slots,
        "commitment": float(np.median(fleet.commitment)),
        "smoothing": problem.smoothing,
        "consensus_spread": max((run.trace.spread[-1] for run in runs), default=0.0),
        "resource_error": max((max(run.trace.resource_error) for run in runs), default=0.0),
        "constraint_violations": sum(sum(run.trace.violations) for run in runs) + allocation.violations_at_rest,
        "roughness_without": roughness(problem.load_kw),
        "roughness_with": roughness(allocation.grid_kw),
        "peak_without": float(np.max(problem.load_kw)),
        "peak_with": float(np.max(allocation.grid_kw)),
        "gap_to_centralized": gaps["gap_to_centralized"],
        "iterations": sum(len(run.trace.storage) - 1 for run in runs),
        "roughness_uncoordinated": roughness(uncoordinated),
        "peak_uncoordinated": float(np.max(uncoordinated)),
        "variance_without": float(np.var(problem.load_kw)),
        "variance_with": float(np.var(allocation.grid_kw)),
        "reactive_roughness_without": roughness(problem.load_kvar),
        "reactive_roughness_with": roughness(allocation.grid_kvar),
        "distance_to_reference": distance_to_reference(allocation),
        "gap_active": gaps["gap_active"],
        "gap_reactive": gaps["gap_reactive"],
        "power_difference_to_centralized": gaps["power_difference_to_centralized"],
        "soc_goal_error_kwh": soc_goal_error_kwh(allocation),
        "storage_rises": sum(rises(np.array(run.trace.storage)) for run in runs),
        "at_rest": all(run.at_rest for run in runs),
    }


def _gaps(allocation: Allocation) -> dict[str, float | None]:
    """The stages against their optima; None where the reference could not be found, which says nothing of the plan."""
    names = ("gap_to_centralized", "gap_active", "gap_reactive", "power_difference_to_centralized")
    try:
        found = [(stage.kind, gap_to_central(allocation, stage)) for stage in allocation.stages]
    except V2gError:
        return dict.fromkeys(names)
    active, reactive = (
        max((gap.relative for kind, gap in found if kind == wanted), default=0.0) for wanted in ("active", "reactive")
    )
    largest = max((gap.largest_kw for _, gap in found), default=0.0)
    return dict(zip(names, (max(active, reactive), active, reactive, largest), strict=True))


def rises(storage: FloatArray) -> int:
    """Steps at which a storage function rose by more than rounding."""
    return int(np.sum(np.diff(storage) > RISE_MAX * storage[:-1]))


def distance_to_reference(allocation: Allocation) -> float:
    """Root of the summed squares of planned minus wanted power, over vehicles and slots [kW]."""
    problem = allocation.problem
    wanted = -fleet_of(problem.vehicles, problem.slots, problem.slot_h).reference / problem.slot_h
    return float(np.linalg.norm(allocation.power_kw - wanted))


def soc_goal_error_kwh(allocation: Allocation) -> float:
    """Largest distance from a goal at departure [kWh]."""
    vehicles = allocation.problem.vehicles
    return max(
        abs(float(soc[vehicle.departure_slot - 1]) - vehicle.soc_goal_kwh)
        for vehicle, soc in zip(vehicles, allocation.soc_kwh, strict=True)
    )
