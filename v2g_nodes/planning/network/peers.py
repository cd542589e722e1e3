"""The same problem as one mixed-integer cone program, solved by SCIP: through cvxpy, as the source does, or directly.

Both are measured beside the certified method. The time is the solver's own, without that of building the model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.certificate import voltage_box
from v2g_nodes.planning.network.instance import Instance

PEERS = ("scip-cvxpy", "scip")


@dataclass(frozen=True)
class PeerResult:
    """What a peer found.

    Args:
        found: whether it has a plan.
        objective_eur: of its relaxed program.
        bound_eur: its lower bound; NaN where it does not tell.
        seconds: of the solver alone; with cvxpy from its standard form on.
        seconds_all: with building the model.
        power_kw: battery powers, shape (vehicles, slots).
        status: its word.
    """

    found: bool
    objective_eur: float
    bound_eur: float
    seconds: float
    seconds_all: float
    power_kw: FloatArray
    status: str


@dataclass(frozen=True)
class _Cells:
    """Vehicles' cells and the matrices that their constraints are made of."""

    vehicle: Any
    slot: Any
    energy: Any  # (cells, cells): 1 where the column's cell is the same vehicle's, at the same time or before
    station: Any  # (stations * slots, cells)


def _cells(instance: Instance) -> _Cells:
    from scipy import sparse

    vehicle, slot = np.nonzero(instance.vehicles.plugged(instance.slots))
    count = len(vehicle)
    same = (vehicle[:, None] == vehicle[None, :]) & (slot[:, None] >= slot[None, :])
    at = instance.vehicles.station[vehicle] * instance.slots + slot
    station = sparse.csr_matrix((np.ones(count), (at, np.arange(count))), (len(instance.stations) * instance.slots, count))
    return _Cells(vehicle, slot, sparse.csr_matrix(same.astype(float)), station)


def solve_peer(instance: Instance, peer: str, seconds_max: float = 600.0) -> PeerResult:
    """Solve an instance by a peer.

    Args:
        instance: the same that we solve.
        peer: one of PEERS.
        seconds_max: time limit of the solver.

    Raises:
        InputError: unknown peer, or its packages are not installed.
    """
    if peer not in PEERS:
        raise InputError(f"peer {peer!r}, allowed {', '.join(PEERS)}")
    try:
        return (_by_cvxpy if peer == "scip-cvxpy" else _by_scip)(instance, seconds_max)
    except ImportError as error:
        raise InputError(f"peer {peer}: {error}, allowed with cvxpy and pyscipopt installed") from error


def _by_cvxpy(instance: Instance, seconds_max: float) -> PeerResult:
    import cvxpy as cp
    import pyscipopt  # noqa: F401 - cvxpy asks for it late, and says less

    began = time.perf_counter()
    day, grid, fleet, cells = instance, instance.grid, instance.vehicles, _cells(instance)
    n, m, slots, g = len(grid), len(grid) - 1, instance.slots, len(grid.generators.bus)
    p, q, current2 = (cp.Variable((m, slots), nonneg=k == 2) for k in range(3))
    v2, p_gen, q_gen = cp.Variable((n, slots)), cp.Variable((g, slots)), cp.Variable((g, slots))
    count = len(cells.vehicle)
    charge, discharge = cp.Variable(count, nonneg=True), cp.Variable(count, nonneg=True)
    z_charge, z_discharge = cp.Variable(count, boolean=True), cp.Variable(count, boolean=True)
    eta = fleet.eta[cells.vehicle]
    drawn = cells.station @ (cp.multiply(1.0 / eta, charge) - cp.multiply(eta, discharge))
    station = cp.reshape(drawn, (len(day.stations), slots), order="C")
    ends, starts = np.zeros((n, m)), np.zeros((n, m))
    ends[np.arange(1, n), np.arange(m)] = starts[grid.parent[1:], np.arange(m)] = 1.0
    at_gen, at_station = np.zeros((n, g)), np.zeros((n, len(day.stations)))
    at_gen[grid.generators.bus, np.arange(g)] = at_station[day.stations.bus, np.arange(len(day.stations))] = 1.0
    r, x = grid.r[1:, None], grid.x[1:, None]
    parent_v = v2[grid.parent[1:].tolist()]
    low, high = voltage_box(grid)
    net = (starts - ends) @ p + ends @ cp.multiply(r * np.ones((1, slots)), current2)
    net_q = (starts - ends) @ q + ends @ cp.multiply(x * np.ones((1, slots)), current2)
    wide = np.ones((1, slots))
    constraints = [
        net + day.p_load_kw / grid.base_kw + at_station @ station / grid.base_kw
        + cp.multiply(grid.shunt_g[:, None] * wide, v2) == at_gen @ p_gen,
        net_q + day.q_load_kvar / grid.base_kw - cp.multiply(grid.shunt_b[:, None] * wide, v2) == at_gen @ q_gen,
        v2[1:] == parent_v - 2 * (cp.multiply(r * wide, p) + cp.multiply(x * wide, q))
        + cp.multiply((r**2 + x**2) * wide, current2),
        v2 >= low[:, None] * wide, v2 <= high[:, None] * wide,
        cp.SOC(cp.reshape(current2 + parent_v, (m * slots,), order="C"), cp.vstack([
            cp.reshape(2 * p, (m * slots,), order="C"), cp.reshape(2 * q, (m * slots,), order="C"),
            cp.reshape(current2 - parent_v, (m * slots,), order="C")]), axis=0),
        p_gen >= (grid.generators.p_min_mw / grid.base_mva)[:, None] * wide,
        p_gen <= (grid.generators.p_max_mw / grid.base_mva)[:, None] * wide,
        q_gen >= (grid.generators.q_min_mvar / grid.base_mva)[:, None] * wide,
        q_gen <= (grid.generators.q_max_mvar / grid.base_mva)[:, None] * wide,
        z_charge + z_discharge <= 1,
    ]  # fmt: skip
    limited = np.flatnonzero(np.isfinite(grid.current_max[1:]))
    if len(limited):
        constraints.append(current2[limited.tolist()] <= (grid.current_max[1:][limited] ** 2)[:, None] * wide)
    for power, z, way in ((charge, z_charge, "charge"), (discharge, z_discharge, "discharge")):
        least, most = (getattr(fleet, f"{way}_{end}_kw")[cells.vehicle] for end in ("min", "max"))
        constraints += [power <= cp.multiply(most, z), power >= cp.multiply(least, z)]
    energy = fleet.start_kwh[cells.vehicle] + day.slot_h * (cells.energy @ (charge - discharge))
    last = np.flatnonzero(cells.slot == fleet.departure[cells.vehicle] - 1)
    constraints += [energy >= fleet.floor_kwh[cells.vehicle], energy <= fleet.capacity_kwh[cells.vehicle],
                    energy[last.tolist()] >= fleet.goal_kwh[cells.vehicle[last]]]  # fmt: skip
    for k in np.flatnonzero(np.isfinite(day.stations.cap_kw)):
        constraints.append(station[int(k)] <= day.stations.cap_kw[k])
    gens, power_mw = grid.generators, grid.base_mva * p_gen
    cost = cp.sum(cp.multiply(gens.c1[:, None] * wide, power_mw)) + float(gens.c0.sum()) * slots
    if gens.c2.any():
        cost += cp.sum(cp.multiply(gens.c2[:, None] * wide, cp.square(power_mw)))
    market = cp.sum(cp.multiply(day.price_eur_per_kwh[None, :] * np.ones((len(day.stations), 1)), station))
    problem = cp.Problem(cp.Minimize(day.slot_h * (cost + market)), constraints)
    data, chain, inverse = problem.get_problem_data(cp.SCIP)
    solving = time.perf_counter()
    try:
        options = {"scip_params": {"limits/time": seconds_max}}
        problem.unpack_results(chain.solve_via_data(problem, data, solver_opts=options), chain, inverse)
        status, value = str(problem.status), float(problem.value if problem.value is not None else np.nan)
    except cp.error.SolverError as error:
        status, value = str(error), float("nan")
    seconds = time.perf_counter() - solving
    found = charge.value is not None and np.isfinite(value)
    power_kw = np.zeros((len(fleet), slots))
    if found:
        power_kw[cells.vehicle, cells.slot] = charge.value - discharge.value
    proved = status == "optimal"
    return PeerResult(found, value, value if proved else np.nan, seconds, time.perf_counter() - began, power_kw, status)


def _by_scip(instance: Instance, seconds_max: float) -> PeerResult:
    from pyscipopt import Model, quicksum

    began = time.perf_counter()
    day, grid, fleet, cells = instance, instance.grid, instance.vehicles, _cells(instance)
    model = Model()
    model.hideOutput()
    model.setParam("limits/time", seconds_max)
    charge, discharge, z = _scip_vehicles(model, day, cells)
    low, high = voltage_box(grid)
    gens, base, cost = grid.generators, grid.base_mva, []
    drawn: dict[tuple[int, int], list[Any]] = {}
    for c, (k, slot) in enumerate(zip(cells.vehicle, cells.slot, strict=True)):
        drawn.setdefault((int(fleet.station[k]), int(slot)), []).append(
            charge[c] / float(fleet.eta[k]) - float(fleet.eta[k]) * discharge[c])  # fmt: skip
    for slot in range(day.slots):
        station = [quicksum(drawn.get((k, slot), [])) for k in range(len(day.stations))]
        for k, cap in enumerate(day.stations.cap_kw):
            if np.isfinite(cap) and (k, slot) in drawn:
                model.addCons(station[k] <= float(cap))
        p_gen = [model.addVar(lb=gens.p_min_mw[k] / base, ub=gens.p_max_mw[k] / base) for k in range(len(gens.bus))]
        q_gen = [model.addVar(lb=gens.q_min_mvar[k] / base, ub=gens.q_max_mvar[k] / base) for k in range(len(gens.bus))]
        v2 = [model.addVar(lb=low[k], ub=high[k]) for k in range(len(grid))]
        p = [None, *(model.addVar(lb=None) for _ in grid.buses[1:])]
        q = [None, *(model.addVar(lb=None) for _ in grid.buses[1:])]
        limit2 = [float(one) if np.isfinite(one) else None for one in grid.current_max**2]
        current2 = [None, *(model.addVar(lb=0.0, ub=limit2[bus]) for bus in range(1, len(grid)))]
        for bus in range(len(grid)):
            into = p[bus] - grid.r[bus] * current2[bus] if bus else 0.0
            into_q = q[bus] - grid.x[bus] * current2[bus] if bus else 0.0
            into += quicksum(p_gen[k] for k in np.flatnonzero(gens.bus == bus))
            into_q += quicksum(q_gen[k] for k in np.flatnonzero(gens.bus == bus))
            out = quicksum(p[k] for k in grid.children[bus]) + float(day.p_load_kw[bus, slot] / grid.base_kw)
            out += quicksum(station[k] / grid.base_kw for k in np.flatnonzero(day.stations.bus == bus))
            out_q = quicksum(q[k] for k in grid.children[bus]) + float(day.q_load_kvar[bus, slot] / grid.base_kw)
            model.addCons(into == out + float(grid.shunt_g[bus]) * v2[bus])
            model.addCons(into_q == out_q - float(grid.shunt_b[bus]) * v2[bus])
            if bus:
                above, r, x = v2[grid.parent[bus]], float(grid.r[bus]), float(grid.x[bus])
                model.addCons(v2[bus] == above - 2 * (r * p[bus] + x * q[bus]) + (r * r + x * x) * current2[bus])
                model.addCons(p[bus] * p[bus] + q[bus] * q[bus] <= current2[bus] * above)
        for k, power in enumerate(p_gen):
            cost.append(day.slot_h * (float(gens.c1[k] * base) * power + float(gens.c0[k])))
            if gens.c2[k] > 0.0:  # SCIP takes linear objectives only
                square = model.addVar(lb=0.0)
                model.addCons(float(gens.c2[k] * base**2) * power * power <= square)
                cost.append(day.slot_h * square)
        cost += [float(day.price_eur_per_kwh[slot] * day.slot_h) * one for one in station]
    model.setObjective(quicksum(cost))
    model.optimize()
    found = model.getNSols() > 0
    power_kw = np.zeros((len(fleet), day.slots))
    if found:
        power_kw[cells.vehicle, cells.slot] = [model.getVal(charge[c]) - model.getVal(discharge[c]) for c in range(len(z))]
    value = float(model.getObjVal()) if found else float("nan")
    return PeerResult(found, value, float(model.getDualbound()), float(model.getSolvingTime()),
                      time.perf_counter() - began, power_kw, str(model.getStatus()))  # fmt: skip


def _scip_vehicles(model: Any, day: Instance, cells: _Cells) -> tuple[list[Any], list[Any], list[Any]]:  # noqa: ANN401 - untyped library
    fleet = day.vehicles
    charge, discharge, z = [], [], []
    energy: Any = None
    for k, slot in zip(cells.vehicle, cells.slot, strict=True):
        ways = []
        for way, powers in (("charge", charge), ("discharge", discharge)):
            least, most = (float(getattr(fleet, f"{way}_{end}_kw")[k]) for end in ("min", "max"))
            power, on = model.addVar(lb=0.0, ub=most), model.addVar(vtype="B")
            model.addCons(power <= most * on)
            model.addCons(power >= least * on)
            powers.append(power)
            ways.append(on)
        model.addCons(ways[0] + ways[1] <= 1)
        z.append(ways)
        last = slot == fleet.departure[k] - 1
        after = model.addVar(lb=float(max(fleet.floor_kwh[k], fleet.goal_kwh[k] if last else 0.0)), ub=float(fleet.capacity_kwh[k]))
        before = float(fleet.start_kwh[k]) if slot == fleet.arrival[k] else energy
        model.addCons(after == before + day.slot_h * (charge[-1] - discharge[-1]))
        energy = after
    return charge, discharge, z
