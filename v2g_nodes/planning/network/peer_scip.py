"""The whole day in SCIP's own words."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.certificate import voltage_box
from v2g_nodes.planning.network.grid import Grid
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.peer_problem import Cells, PeerResult, cells_of


def by_scip(instance: Instance, seconds_max: float) -> PeerResult:
    """Build and solve; see `solve_peer`."""
    from pyscipopt import Model, quicksum

    began = time.perf_counter()
    day, fleet, cells = instance, instance.vehicles, cells_of(instance)
    model = Model()
    model.hideOutput()
    model.setParam("limits/time", seconds_max)
    charge, discharge = _vehicles(model, day, cells)
    drawn: dict[tuple[int, int], list[Any]] = {}
    for c, (k, slot) in enumerate(zip(cells.vehicle, cells.slot, strict=True)):
        eta = float(fleet.eta[k])
        drawn.setdefault((int(fleet.station[k]), int(slot)), []).append(charge[c] / eta - eta * discharge[c])
    cost: list[Any] = []
    for slot in range(day.slots):
        station = [quicksum(drawn.get((k, slot), [])) for k in range(len(day.stations))]
        for k, cap in enumerate(day.stations.cap_kw):
            if np.isfinite(cap) and (k, slot) in drawn:
                model.addCons(station[k] <= float(cap))
        cost += _slot(model, day, slot, station)
        cost += [float(day.price_eur_per_kwh[slot] * day.slot_h) * one for one in station]
    model.setObjective(quicksum(cost))
    model.optimize()
    found = model.getNSols() > 0
    power_kw: FloatArray = np.zeros((len(fleet), day.slots))
    if found:
        power = [model.getVal(one) - model.getVal(other) for one, other in zip(charge, discharge, strict=True)]
        power_kw[cells.vehicle, cells.slot] = power
    value = float(model.getObjVal()) if found else float("nan")
    return PeerResult(found, value, float(model.getDualbound()), float(model.getSolvingTime()),
                      time.perf_counter() - began, power_kw, str(model.getStatus()))  # fmt: skip


def _slot(model: Any, day: Instance, slot: int, station: list[Any]) -> list[Any]:  # noqa: ANN401 - untyped library
    """Constraints (1)-(9) of a slot; the parts of its cost."""
    from pyscipopt import quicksum

    grid, gens, base = day.grid, day.grid.generators, day.grid.base_mva
    low, high = voltage_box(grid)
    p_gen = [model.addVar(lb=gens.p_min_mw[k] / base, ub=gens.p_max_mw[k] / base) for k in range(len(gens.bus))]
    q_gen = [model.addVar(lb=gens.q_min_mvar[k] / base, ub=gens.q_max_mvar[k] / base) for k in range(len(gens.bus))]
    v2 = [model.addVar(lb=low[k], ub=high[k]) for k in range(len(grid))]
    p, q, current2 = _branches(model, grid, v2)
    for bus in range(len(grid)):
        into = p[bus] - float(grid.r[bus]) * current2[bus] + quicksum(p_gen[k] for k in np.flatnonzero(gens.bus == bus))
        into_q = (
            q[bus] - float(grid.x[bus]) * current2[bus] + quicksum(q_gen[k] for k in np.flatnonzero(gens.bus == bus))
        )
        out = quicksum(p[k] for k in grid.children[bus]) + float(day.p_load_kw[bus, slot] / grid.base_kw)
        out += quicksum(station[k] / grid.base_kw for k in np.flatnonzero(day.stations.bus == bus))
        out_q = quicksum(q[k] for k in grid.children[bus]) + float(day.q_load_kvar[bus, slot] / grid.base_kw)
        model.addCons(into == out + float(grid.shunt_g[bus]) * v2[bus])
        model.addCons(into_q == out_q - float(grid.shunt_b[bus]) * v2[bus])
    cost = []
    for k, power in enumerate(p_gen):
        cost.append(day.slot_h * (float(gens.c1[k] * base) * power + float(gens.c0[k])))
        if gens.c2[k] > 0.0:  # SCIP takes linear objectives only
            square = model.addVar(lb=0.0)
            model.addCons(float(gens.c2[k] * base**2) * power * power <= square)
            cost.append(day.slot_h * square)
    return cost


def _branches(model: Any, grid: Grid, v2: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:  # noqa: ANN401 - untyped library
    """Flows and squared currents with (3), (5) and (9); those of entry 0 are fixed to 0."""
    limits = [float(limit) if np.isfinite(limit) else None for limit in grid.current_max**2]
    p, q = (
        [model.addVar(lb=None if bus else 0.0, ub=None if bus else 0.0) for bus in range(len(grid))] for _ in range(2)
    )
    current2 = [model.addVar(lb=0.0, ub=limits[bus] if bus else 0.0) for bus in range(len(grid))]
    for bus in range(1, len(grid)):
        above, r, x = v2[grid.parent[bus]], float(grid.r[bus]), float(grid.x[bus])
        model.addCons(v2[bus] == above - 2 * (r * p[bus] + x * q[bus]) + (r * r + x * x) * current2[bus])
        model.addCons(p[bus] * p[bus] + q[bus] * q[bus] <= current2[bus] * above)
    return p, q, current2


def _vehicles(model: Any, day: Instance, cells: Cells) -> tuple[list[Any], list[Any]]:  # noqa: ANN401 - untyped library
    """Constraints (10)-(14); charging and discharging power of every cell."""
    fleet = day.vehicles
    powers: dict[str, list[Any]] = {"charge": [], "discharge": []}
    energy: Any = None
    for k, slot in zip(cells.vehicle, cells.slot, strict=True):
        ways = []
        for way, of_way in powers.items():
            least, most = (float(getattr(fleet, f"{way}_{end}_kw")[k]) for end in ("min", "max"))
            power, on = model.addVar(lb=0.0, ub=most), model.addVar(vtype="B")
            model.addCons(power <= most * on)
            model.addCons(power >= least * on)
            of_way.append(power)
            ways.append(on)
        model.addCons(ways[0] + ways[1] <= 1)
        least_kwh = float(fleet.floor_kwh[k])
        if slot == fleet.departure[k] - 1:
            least_kwh = max(least_kwh, float(fleet.goal_kwh[k]))
        after = model.addVar(lb=least_kwh, ub=float(fleet.capacity_kwh[k]))
        before = float(fleet.start_kwh[k]) if slot == fleet.arrival[k] else energy
        model.addCons(after == before + day.slot_h * (powers["charge"][-1] - powers["discharge"][-1]))
        energy = after
    return powers["charge"], powers["discharge"]
