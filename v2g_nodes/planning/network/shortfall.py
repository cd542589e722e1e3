"""Best effort where no plan keeps everything: what can be had, and who or what stands in the way.

Energy may be missing at departure, and limits of the grid may be passed, each at a price above all else in this order:
limits first. Slots in which the grid can't keep its limits even with all vehicles discharging are left out of that:
emptying batteries would not save them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.planning.network.best_response import most_reachable_kwh
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.master import VehicleProgram
from v2g_nodes.planning.network.plan import ROUNDED, Plan, cleaned, grid_faults, make_plan, vehicle_faults
from v2g_nodes.planning.network.voltage_rise import rise_cuts

ROUNDS_MAX = 12
SECONDS_MAX = 60.0  # of one program
FEW = 4  # buses that are named; with one beyond its limit its neighbours mostly are too
GAP_EUR = 0.01  # that one may leave: it is best effort


@dataclass(frozen=True)
class Effort:
    """A plan that does what can be done.

    Args:
        plan: of the instance as asked.
        reasons: why it is not all that was asked, a line each.
    """

    plan: Plan
    reasons: tuple[str, ...]


def unreachable(instance: Instance) -> tuple[str, ...]:
    """Vehicles that can't reach their goal whatever the others do, a line each."""
    fleet = instance.vehicles
    most = most_reachable_kwh(fleet, instance.slot_h)
    found = []
    for k in np.flatnonzero(most < fleet.goal_kwh - ROUNDED):
        bus = instance.grid.buses[instance.stations.bus[fleet.station[k]]]
        found.append(f"{fleet.names[k]} at bus {bus}: can reach {most[k]:.6g} kWh from slot {fleet.arrival[k]} to "
                     f"{fleet.departure[k]}, asked for {fleet.goal_kwh[k]:g} kWh")  # fmt: skip
    return tuple(found)


def base_load_faults(instance: Instance) -> tuple[str, ...]:
    """Limits that the grid's load passes without any vehicle, a line each."""
    idle = np.zeros((len(instance.vehicles), instance.slots))
    return tuple(f"without vehicles: {fault}" for fault in _few(grid_faults(make_plan(GridCost(instance), idle))))


def best_effort(instance: Instance) -> Effort:
    """Plan what can be had.

    Raises:
        InfeasibleError: not even that, which a solver's time limit alone can cause.
    """
    grid, program = GridCost(instance), VehicleProgram(instance, elastic=True, seconds_max=SECONDS_MAX)
    idle = grid.evaluate(np.zeros((len(instance.stations), instance.slots)))
    helping = grid.evaluate(np.minimum(instance.reach_kw()[0], 0.0))
    lost = np.flatnonzero(~idle.within & ~helping.within)
    program.add(idle.cost_cuts, idle.limit_cuts.joined(rise_cuts(instance)).without(lost))
    best: tuple[float, Plan] | None = None
    for _ in range(ROUNDS_MAX):
        solved = program.solve(gap_eur=GAP_EUR)
        if not solved.found:
            break
        power = cleaned(instance, solved.power_kw)
        plan = make_plan(grid, power)
        limits = plan.evaluation.limit_cuts.without(lost)
        program.add(plan.evaluation.cost_cuts, limits)
        ahead = plan.generation_eur - solved.generation_eur
        worth = solved.objective + (ahead if np.isfinite(ahead) else 0.0) + 1e9 * len(grid_faults(plan))
        if best is None or worth < best[0]:
            best = (worth, plan)
        if ahead <= GAP_EUR and (plan.holds or not len(limits)):
            break
    if best is None:
        raise InfeasibleError(f"{instance.name}: no plan found, not even of best effort")
    return Effort(best[1], _reasons(best[1]))


def _reasons(plan: Plan) -> tuple[str, ...]:
    alone = unreachable(plan.instance)
    names = [line.partition(" at bus ")[0] for line in alone]
    others = [line for line in vehicle_faults(plan) if line.partition(":")[0] not in names]
    shared = [f"{line}, the station's cap or the grid's limits leave no more" for line in others]
    return (*alone, *shared, *base_load_faults(plan.instance), *(f"plan: {line}" for line in _few(grid_faults(plan))))


def _few(lines: list[str]) -> list[str]:
    """The first of them, and how many more there are."""
    return lines if len(lines) <= FEW else [*lines[:FEW], f"and {len(lines) - FEW} more buses, branches or slots"]
