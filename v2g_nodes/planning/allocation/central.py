"""The convex problems the dynamics solve, found centrally by Clarabel: the reference for the gap.

Both are without barriers, with the limits as they are: minimise the vehicles' weighted distance to their references
plus the grid's objective 1/2 P'KP. Active: energy due, charger and battery limits (the source's equations 11 to 14).
Reactive: |q| up to what the charger has beside the active power, which is fixed; drawn, supplied and slack
strategies (15 to 20) allow exactly these q.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from v2g_nodes.core.errors import V2gError
from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.allocation.fleet import Fleet
from v2g_nodes.planning.allocation.grid import Grid
from v2g_nodes.planning.allocation.population import weights

ACCURACY = 1e-9  # of objective and constraints


def best_active(fleet: Fleet, grid: Grid) -> tuple[FloatArray, float]:
    """Best energy per slot [kWh], shape (n, slots), and its objective.

    Args:
        fleet: vehicles that have a choice, all committed or none.
        grid: what they share.

    Raises:
        V2gError: the solver did not reach its accuracy.
    """
    from scipy import sparse

    at = np.flatnonzero(fleet.inside)
    vehicle = at // fleet.inside.shape[1]
    one = sparse.identity(at.size, format="csr")
    follows = np.append(False, vehicle[1:] == vehicle[:-1])
    final = np.append(~follows[1:], True)
    # charge after each slot, counted from arrival: charge - charge before = energy of the slot
    before = sparse.diags(follows[1:].astype(float), -1, shape=(at.size, at.size), format="csr")
    balance = sparse.hstack((one, before - one))
    at_goal = sparse.hstack((0.0 * one, one), format="csr")[final]
    inner = sparse.hstack((0.0 * one, one), format="csr")[~final]
    within = vehicle[~final]
    power = sparse.hstack((one, 0.0 * one))
    return _solve(
        fleet, grid, at, fleet.reference,
        equal=(sparse.vstack((balance, at_goal)), np.concatenate((np.zeros(at.size), fleet.energy))),
        below=(sparse.vstack((power, -power, inner, -inner)),
               np.concatenate((fleet.limit[vehicle], fleet.limit[vehicle],
                               (fleet.soc_high - fleet.soc_start)[within], (fleet.soc_start - fleet.soc_low)[within]))),
    )  # fmt: skip


def best_reactive(fleet: Fleet, grid: Grid, available: FloatArray) -> tuple[FloatArray, float]:
    """Best reactive energy per slot [kvarh], shape (n, slots), and its objective.

    Args:
        fleet: as above.
        grid: what they share.
        available: reactive energy a slot has at most [kvarh], shape (n, slots).

    Raises:
        V2gError: the solver did not reach its accuracy.
    """
    from scipy import sparse

    at = np.flatnonzero(available)
    one = sparse.identity(at.size, format="csr")
    most = available.ravel()[at]
    return _solve(
        fleet, grid, at, np.zeros_like(available),
        equal=(sparse.csr_matrix((0, at.size)), np.zeros(0)),
        below=(sparse.vstack((one, -one)), np.concatenate((most, most))),
    )  # fmt: skip


def _solve(
    fleet: Fleet,
    grid: Grid,
    at: IntArray,
    reference: FloatArray,
    equal: tuple[Any, FloatArray],
    below: tuple[Any, FloatArray],
) -> tuple[FloatArray, float]:
    """Minimise over strategies (first), further variables and the group's own load (last, one per slot).

    The base load enters as a slope: its own objective is a constant, which may be far above what the group can save.

    Args:
        fleet: for its weights.
        grid: base load and objective.
        at: places of the strategies in the array (vehicle, slot), flat.
        reference: shape (n, slots).
        equal: matrix over strategies and further variables, and what it equals.
        below: the same, and what it must not exceed.
    """
    import clarabel
    from scipy import sparse

    shape, slots = reference.shape, reference.shape[1]
    others = equal[0].shape[1]
    own = weights(fleet.commitment).own[at // slots]
    wanted = reference.ravel()[at]
    pad = np.zeros(others - at.size)
    curvature = sparse.block_diag((sparse.diags(np.concatenate((own, pad))), grid.matrix), format="csc")
    linear = np.concatenate((-own * wanted, pad, grid.slope(np.zeros(slots))))
    summed = sparse.csr_matrix((np.ones(at.size), (at % slots, np.arange(at.size))), (slots, others))
    matrix = sparse.block_array([[equal[0], None], [-summed, sparse.identity(slots)], [below[0], None]], format="csc")
    sides = np.concatenate((equal[1], np.zeros(slots), below[1]))
    cones = [clarabel.ZeroConeT(equal[1].size + slots), clarabel.NonnegativeConeT(below[1].size)]
    upper = sparse.triu(curvature, format="csc")
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = ACCURACY
    solution = clarabel.DefaultSolver(upper, linear, matrix, sides, cones, settings).solve()
    if str(solution.status) != "Solved":
        raise V2gError(f"the central reference ended with {solution.status}, allowed is Solved")
    best = np.zeros(shape)
    best.ravel()[at] = np.array(solution.x)[: at.size]
    distance = best - reference
    objective = 0.5 * weights(fleet.commitment).own @ np.sum(distance**2, axis=1) + grid.value(best.sum(axis=0))
    return best, float(objective)
