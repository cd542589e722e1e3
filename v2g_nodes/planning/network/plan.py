"""A plan of the vehicles, what it costs, and whether it holds: in the battery, at the station, in the AC power flow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.grid_cost import VOLTAGE_PU, Evaluation, GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.opf import ConeProgram

ROUNDED = 1e-6  # kW and kWh by which a limit of vehicles and stations may be passed


@dataclass(frozen=True)
class Plan:
    """Battery powers with what they make of the grid.

    Args:
        instance: planned for.
        power_kw: of each vehicle and slot, above 0 charges the battery [kW].
        evaluation: of the grid under it.
    """

    instance: Instance
    power_kw: FloatArray
    evaluation: Evaluation

    @property
    def generation_eur(self) -> float:
        """Cost of the generators by the AC power flow (26) [EUR]."""
        return float(self.evaluation.cost_eur.sum())

    @property
    def vehicles_eur(self) -> float:
        """Market cost of the vehicles' energy (27) [EUR]."""
        return self.instance.vehicle_cost_eur(self.evaluation.station_kw)

    @property
    def objective_eur(self) -> float:
        """(15): both; the energy of vehicles is counted in both, as in the source [EUR]."""
        return self.generation_eur + self.vehicles_eur

    @property
    def within_caps(self) -> bool:
        """Whether no station draws more than its cap."""
        return bool((self.evaluation.station_kw <= self.instance.stations.cap_kw[:, None] + ROUNDED).all())

    @property
    def holds(self) -> bool:
        """Whether the stations' power is possible: caps, and limits of the grid in the AC power flow."""
        return self.within_caps and bool(self.evaluation.within.all())


def cleaned(instance: Instance, power_kw: FloatArray) -> FloatArray:
    """Powers freed of a solver's tolerance: 0 or within least and largest."""
    fleet = instance.vehicles
    result = np.zeros_like(power_kw)
    for sign, way in ((1.0, "charge"), (-1.0, "discharge")):
        least, most = (getattr(fleet, f"{way}_{end}_kw")[:, None] for end in ("min", "max"))
        power = sign * power_kw
        on = power > np.maximum(0.5 * least, 1e-7)
        result += sign * np.where(on, np.clip(power, least, most), 0.0)
    return result


def make_plan(grid: GridCost, power_kw: FloatArray) -> Plan:
    """Evaluate battery powers."""
    return Plan(grid.instance, power_kw, grid.evaluate(grid.instance.station_kw(power_kw)))


def vehicle_faults(plan: Plan) -> list[str]:
    """What a plan does that a vehicle can't, a line per vehicle; empty where all is well."""
    day, fleet, power = plan.instance, plan.instance.vehicles, plan.power_kw
    energy = fleet.energy_kwh(power, day.slot_h)
    faults = []
    charging, discharging = np.maximum(power, 0.0), np.maximum(-power, 0.0)
    bad = (power != 0.0) & (fleet.plugged(day.slots) == 0.0)
    for way, used in (("charge", charging), ("discharge", discharging)):
        least, most = (getattr(fleet, f"{way}_{end}_kw")[:, None] for end in ("min", "max"))
        bad |= (used > 0.0) & ((used < least - ROUNDED) | (used > most + ROUNDED))
    for k in np.flatnonzero(bad.any(axis=1)):
        slot = int(np.flatnonzero(bad[k])[0])
        faults.append(f"{fleet.names[k]}: {power[k, slot]:.6g} kW in slot {slot}, which its charger can't")
    beyond = (energy < fleet.floor_kwh[:, None] - ROUNDED) | (energy > fleet.capacity_kwh[:, None] + ROUNDED)
    faults += [f"{fleet.names[k]}: {energy[k][beyond[k]][0]:.6g} kWh, which its battery can't hold"
               for k in np.flatnonzero(beyond.any(axis=1))]  # fmt: skip
    faults += [f"{fleet.names[k]}: leaves with {energy[k, -1]:.6g} kWh, asked for {fleet.goal_kwh[k]:g} kWh"
               for k in np.flatnonzero(energy[:, -1] < fleet.goal_kwh - ROUNDED)]  # fmt: skip
    return faults


def grid_faults(plan: Plan) -> list[str]:
    """Limits that the plan passes in the AC power flow, at the worst slot of each bus or branch, a line each."""
    grid, flow = plan.instance.grid, plan.evaluation.flow
    found: list[str] = []
    found += [f"slot {slot}: the AC power flow has no solution, the grid can't carry its load"
              for slot in np.flatnonzero(~flow.settled)]  # fmt: skip
    voltage, current = np.abs(flow.voltage[:, flow.settled]), np.sqrt(flow.current2[:, flow.settled])
    slots = np.flatnonzero(flow.settled)
    for bus in range(1, len(grid)) if len(slots) else ():
        low, high, number = grid.v_min[bus], grid.v_max[bus], grid.buses[bus]
        worst = int(np.maximum(low - voltage[bus], voltage[bus] - high).argmax())
        if not low - ROUNDED <= voltage[bus, worst] <= high + ROUNDED:
            found.append(f"bus {number}: voltage {voltage[bus, worst]:.5f} pu in slot {slots[worst]}, "
                         f"allowed {low:g} to {high:g} pu")  # fmt: skip
        worst = int(current[bus].argmax())
        if current[bus, worst] > grid.current_max[bus] + ROUNDED:
            found.append(f"branch {grid.buses[grid.parent[bus]]}-{number}: current {current[bus, worst]:.5f} pu in "
                         f"slot {slots[worst]}, allowed up to {grid.current_max[bus]:g} pu")  # fmt: skip
    if not found and not plan.evaluation.within.all():
        slot = int(np.flatnonzero(~plan.evaluation.within)[0])
        found.append(f"slack bus {grid.buses[0]}: supplies {flow.p[0, slot] * grid.base_mva:.5g} MW and "
                     f"{flow.q[0, slot] * grid.base_mva:.5g} MVAr in slot {slot}, its generator can't")  # fmt: skip
    for station, (bus, cap) in enumerate(zip(plan.instance.stations.bus, plan.instance.stations.cap_kw, strict=True)):
        most = plan.evaluation.station_kw[station].max()
        if most > cap + ROUNDED:
            found.append(f"station at bus {grid.buses[bus]}: draws {most:.6g} kW, allowed up to {cap:g} kW")
    return found


@dataclass(frozen=True)
class Relaxation:
    """The cone program of every slot at the plan's station powers, solved on its own.

    Args:
        residual_max: largest l v - P^2 - Q^2 of a branch [pu^2].
        cost_eur: of the relaxed program over the day [EUR].
        loose_slots: slots in which it costs less than the AC power flow: the relaxation is not exact there.
    """

    residual_max: float
    cost_eur: float
    loose_slots: tuple[int, ...]


SOLVER_PU = 1e-7  # of power that the solver's tolerance may leave out over all balances
LOOSE_PU2 = 1e-5  # residual from which a cone is called loose; tight ones end below, by the solver's tolerance


def check_relaxation(plan: Plan) -> Relaxation:
    """Solve the relaxed program at the plan's powers and compare it with the AC power flow."""
    day, grid = plan.instance, plan.instance.grid
    within = 2.0 * VOLTAGE_PU  # a plan may be this far beyond a limit, where the program would have no solution
    program = ConeProgram(replace(grid, v_min=grid.v_min - within, v_max=grid.v_max + within,
                                  current_max=grid.current_max + within))  # fmt: skip
    p_load, q_load = day.loads_pu(plan.evaluation.station_kw)
    found = [program.solve(p_load[:, slot], q_load[:, slot]) for slot in range(day.slots)]
    costs = np.array([one.value * day.slot_h if one.solved else np.nan for one in found])
    residuals = [one.residual if one.solved else np.inf for one in found]
    most_mw = np.abs(plan.evaluation.generator_mw).max(axis=1)
    price = float(np.abs(grid.generators.c1 + 2.0 * grid.generators.c2 * most_mw).max())
    solver_eur = SOLVER_PU * grid.base_mva * day.slot_h * price
    less = plan.evaluation.cost_eur - costs > 1e-6 * np.maximum(1.0, np.abs(costs)) + solver_eur
    loose = np.flatnonzero(less | (np.array(residuals) > LOOSE_PU2) | np.isnan(costs))
    return Relaxation(max(residuals), float(costs.sum()), tuple(map(int, loose)))
