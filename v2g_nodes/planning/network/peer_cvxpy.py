"""The whole day in cvxpy's words, solved by SCIP."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.certificate import voltage_box
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.peer_problem import Cells, PeerResult, cells_of


def by_cvxpy(instance: Instance, seconds_max: float) -> PeerResult:
    """Build and solve; see `solve_peer`."""
    import cvxpy as cp
    import pyscipopt  # noqa: F401 - cvxpy asks for it late, and says less

    began = time.perf_counter()
    cells = cells_of(instance)
    charge, discharge = (cp.Variable(len(cells.vehicle), nonneg=True) for _ in range(2))
    eta = instance.vehicles.eta[cells.vehicle]
    drawn = cells.station @ (cp.multiply(1.0 / eta, charge) - cp.multiply(eta, discharge))
    station = cp.reshape(drawn, (len(instance.stations), instance.slots), order="C")
    cost, of_grid = _grid(instance, station)
    market = cp.sum(cp.multiply(np.tile(instance.price_eur_per_kwh, (len(instance.stations), 1)), station))
    constraints = [*of_grid, *_vehicles(instance, cells, charge, discharge)]
    constraints += [station[int(k)] <= instance.stations.cap_kw[k]
                    for k in np.flatnonzero(np.isfinite(instance.stations.cap_kw))]  # fmt: skip
    problem = cp.Problem(cp.Minimize(instance.slot_h * (cost + market)), constraints)
    data, chain, inverse = problem.get_problem_data(cp.SCIP)
    solving = time.perf_counter()
    try:
        options = {"scip_params": {"limits/time": seconds_max}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a solution at the time limit: the status says it
            problem.unpack_results(chain.solve_via_data(problem, data, solver_opts=options), chain, inverse)
        status, value = str(problem.status), float(problem.value if problem.value is not None else np.nan)
    except cp.error.SolverError as error:
        status, value = str(error), float("nan")
    seconds = time.perf_counter() - solving
    found = charge.value is not None and np.isfinite(value)
    power_kw: FloatArray = np.zeros((len(instance.vehicles), instance.slots))
    if found:
        power_kw[cells.vehicle, cells.slot] = charge.value - discharge.value
    bound = value if status == "optimal" else float("nan")
    return PeerResult(found, value, bound, seconds, time.perf_counter() - began, power_kw, status)


def _grid(day: Instance, station: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401 - untyped library
    """Cost of generation per hour, summed over slots, and the constraints (1)-(9)."""
    import cvxpy as cp

    grid, gens = day.grid, day.grid.generators
    n, m, slots, g = len(grid), len(grid) - 1, day.slots, len(gens.bus)
    p, q, current2 = (cp.Variable((m, slots), nonneg=k == 2) for k in range(3))
    v2, p_gen, q_gen = cp.Variable((n, slots)), cp.Variable((g, slots)), cp.Variable((g, slots))
    ends, starts = np.zeros((n, m)), np.zeros((n, m))
    ends[np.arange(1, n), np.arange(m)] = starts[grid.parent[1:], np.arange(m)] = 1.0
    at_gen, at_station = np.zeros((n, g)), np.zeros((n, len(day.stations)))
    at_gen[gens.bus, np.arange(g)] = at_station[day.stations.bus, np.arange(len(day.stations))] = 1.0

    def wide(values: FloatArray) -> FloatArray:
        return np.tile(values[:, None], (1, slots))

    def flat(expression: Any) -> Any:  # noqa: ANN401 - untyped library
        return cp.reshape(expression, (m * slots,), order="C")

    r, x = wide(grid.r[1:]), wide(grid.x[1:])
    above = v2[grid.parent[1:].tolist()]
    low, high = voltage_box(grid)
    net = (starts - ends) @ p + ends @ cp.multiply(r, current2) + cp.multiply(wide(grid.shunt_g), v2)
    net_q = (starts - ends) @ q + ends @ cp.multiply(x, current2) - cp.multiply(wide(grid.shunt_b), v2)
    constraints = [
        net + day.p_load_kw / grid.base_kw + at_station @ station / grid.base_kw == at_gen @ p_gen,
        net_q + day.q_load_kvar / grid.base_kw == at_gen @ q_gen,
        v2[1:] == above - 2 * (cp.multiply(r, p) + cp.multiply(x, q)) + cp.multiply(r**2 + x**2, current2),
        cp.SOC(flat(current2 + above), cp.vstack([flat(2 * p), flat(2 * q), flat(current2 - above)]), axis=0),
        v2 >= wide(low), v2 <= wide(high),
        p_gen >= wide(gens.p_min_mw / grid.base_mva), p_gen <= wide(gens.p_max_mw / grid.base_mva),
        q_gen >= wide(gens.q_min_mvar / grid.base_mva), q_gen <= wide(gens.q_max_mvar / grid.base_mva),
    ]  # fmt: skip
    limited = np.flatnonzero(np.isfinite(grid.current_max[1:]))
    if len(limited):
        constraints.append(current2[limited.tolist()] <= wide(grid.current_max[1:][limited] ** 2))
    power_mw = grid.base_mva * p_gen
    cost = cp.sum(cp.multiply(wide(gens.c1), power_mw)) + float(gens.c0.sum()) * slots
    if gens.c2.any():
        cost += cp.sum(cp.multiply(wide(gens.c2), cp.square(power_mw)))
    return cost, constraints


def _vehicles(day: Instance, cells: Cells, charge: Any, discharge: Any) -> list[Any]:  # noqa: ANN401 - untyped library
    """Constraints (10)-(14)."""
    import cvxpy as cp

    fleet, count = day.vehicles, len(cells.vehicle)
    z_charge, z_discharge = cp.Variable(count, boolean=True), cp.Variable(count, boolean=True)
    constraints = [z_charge + z_discharge <= 1]
    for power, z, way in ((charge, z_charge, "charge"), (discharge, z_discharge, "discharge")):
        least, most = (getattr(fleet, f"{way}_{end}_kw")[cells.vehicle] for end in ("min", "max"))
        constraints += [power <= cp.multiply(most, z), power >= cp.multiply(least, z)]
    energy = fleet.start_kwh[cells.vehicle] + day.slot_h * (cells.energy @ (charge - discharge))
    last = np.flatnonzero(cells.slot == fleet.departure[cells.vehicle] - 1)
    return [*constraints, energy >= fleet.floor_kwh[cells.vehicle], energy <= fleet.capacity_kwh[cells.vehicle],
            energy[last.tolist()] >= fleet.goal_kwh[cells.vehicle[last]]]  # fmt: skip
