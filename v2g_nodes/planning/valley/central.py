"""The optimum of all vehicles together, by one quadratic program, for fleets that a solver can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.fleet import Fleet
from v2g_nodes.planning.valley.grid_cost import GridCost

VARIABLES_MAX = 100_000
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Optimum:
    """Solution of the central problem.

    Args:
        power_kw: shape (vehicles, slots) [kW].
        cost_eur: J: generation, wear, demand charge and lost benefit [EUR].
    """

    power_kw: FloatArray
    cost_eur: float


def variables(fleet: Fleet) -> int:
    """How many variables the central problem has, but for a few."""
    return int((fleet.end_slot - fleet.first_slot).sum()) * (3 if fleet.discharges else 1)


def solve_centrally(cost: GridCost, fleet: Fleet) -> Optimum:
    """Minimise generation cost, own costs and lost benefits of all vehicles together, by Clarabel.

    Unknown are the total y in each slot, the energy m each vehicle misses, and for each vehicle and slot of its window
    ("cell") the power n; where vehicles discharge, how much of it is below zero, e >= -n, and the charge s as well.

    Args:
        cost: of the grid.
        fleet: checked.

    Raises:
        InfeasibleError: the solver finds no optimum.
    """
    import clarabel
    from scipy import sparse

    stay, hours, count = fleet.end_slot - fleet.first_slot, cost.slot_h, len(fleet)
    vehicle = np.repeat(np.arange(count), stay)  # of each cell
    step = np.arange(len(vehicle)) - np.repeat(stay.cumsum() - stay, stay)
    slot = fleet.first_slot[vehicle] + step
    each, cells = fleet.take(vehicle), len(vehicle)
    ones, cell = np.ones(cells), np.arange(cells)
    in_slot = sparse.csc_matrix((ones, (slot, cell)), (cost.slots, cells))
    of_vehicle = sparse.csc_matrix((ones, (vehicle, cell)), (count, cells))
    due = np.isinf(fleet.benefit)
    never = np.maximum(fleet.energy_kwh - fleet.most_kwh(hours), 0.0)  # due, but not to be had
    wear = each.linear * hours
    total = _Group(cost.slots, cost.slope * hours, cost.price_eur_per_kwh * hours)
    missed = _Group(count, np.where(due, 0.0, 2.0 * np.where(due, 0.0, fleet.benefit)), 0.0, np.where(due, never, 0.0),
                    np.where(due, never, np.inf))  # fmt: skip
    power = _Group(cells, 2.0 * each.quadratic * hours, wear, -each.discharge_kw, each.power_kw)
    groups, eye = [total, missed, power], sparse.identity(cells)
    equal = [[sparse.identity(cost.slots), None, -in_slot], [None, sparse.identity(count), hours * of_vehicle]]
    equal_to = [cost.base_kw, fleet.energy_kwh]
    least: list[Any] = []
    if fleet.discharges:
        groups += [_Group(cells, 0.0, 2.0 * wear, 0.0, each.discharge_kw),
                   _Group(cells, 0.0, 0.0, -each.reserve_kwh, each.room_kwh)]  # fmt: skip
        later = cell[step > 0]
        nothing = sparse.csc_matrix((cells, cells))
        before = sparse.csc_matrix((np.ones(len(later)), (later, later - 1)), (cells, cells))
        equal = [[*row, None, None] for row in equal] + [[None, None, -hours * eye, nothing, eye - before]]
        equal_to.append(np.zeros(cells))
        least = [sparse.hstack([sparse.csc_matrix((cells, cost.slots + count)), -eye, -eye, nothing])]  # -n - e <= 0
    low, high = (np.concatenate([getattr(group, side) for group in groups]) for side in ("low", "high"))
    size = sparse.identity(len(low), format="csr")
    bounded = [size[np.isfinite(high)], -size[np.isfinite(low)]]
    rows = sparse.vstack([sparse.bmat(equal), *bounded, *least], format="csc")
    right = np.concatenate([*equal_to, high[np.isfinite(high)], -low[np.isfinite(low)], np.zeros(cells * len(least))])
    equalities = sum(map(len, equal_to))
    cones = [clarabel.ZeroConeT(equalities), clarabel.NonnegativeConeT(len(right) - equalities)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
    quadratic = sparse.diags(np.concatenate([group.quadratic for group in groups]), format="csc")
    linear = np.concatenate([group.linear for group in groups])
    found = clarabel.DefaultSolver(quadratic, linear, rows, right, cones, settings).solve()
    if str(found.status) not in ("Solved", "AlmostSolved"):
        raise InfeasibleError(f"the central problem has no optimum, the solver says {found.status}")
    plan = np.zeros((count, cost.slots))
    plan[vehicle, slot] = np.asarray(found.x)[cost.slots + count :][:cells]
    return Optimum(plan, float(found.obj_val))


class _Group:
    """Variables of one kind: 1/2 quadratic x^2 + linear x, low <= x <= high."""

    def __init__(self, size: int, quadratic: Any, linear: Any, low: Any = -np.inf, high: Any = np.inf) -> None:  # noqa: ANN401 - a number for all or an array
        parts = (np.broadcast_to(np.asarray(part, dtype=np.float64), size) for part in (quadratic, linear, low, high))
        self.quadratic, self.linear, self.low, self.high = parts
