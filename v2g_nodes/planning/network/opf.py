"""Optimal power flow of one slot as a cone program, by Clarabel: where limits bind or generators are to be dispatched.

Also tells by how much a load can't be carried: active and reactive power that would have to be shed, so that the
multipliers of that program prove it (see certificate.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.certificate import Multipliers, voltage_box
from v2g_nodes.planning.network.grid import Grid

TOLERANCE = 1e-9
SOLVED = ("Solved", "AlmostSolved")


@dataclass(frozen=True)
class Dispatch:
    """Result for one slot.

    Args:
        solved: whether the program has a solution.
        multipliers: shape (buses, 1) each, of the solution or of nothing.
        p_mw: of the generators [MW].
        q_mvar: of the generators [MVAr].
        v2: squared voltages of the relaxed program, shape (buses,) [pu].
        residual: largest l v - P^2 - Q^2 of a branch, 0 = the relaxation is tight [pu^2].
        shed: active and reactive power not carried, in all [pu]; 0 where nothing may be shed.
        value: of what was minimised.
    """

    solved: bool
    multipliers: Multipliers
    p_mw: FloatArray
    q_mvar: FloatArray
    v2: FloatArray
    residual: float
    shed: float
    value: float


class ConeProgram:
    """The program of one slot; only loads change.

    Args:
        grid: radial.
        shedding: minimise what is shed, whatever it costs, instead of the generators' cost.
    """

    def __init__(self, grid: Grid, shedding: bool = False) -> None:
        from scipy import sparse

        self._grid, self._shedding = grid, shedding
        n, m, g = len(grid), len(grid) - 1, len(grid.generators.bus)
        self._size = (n, m, g)
        eye, zero = sparse.identity(m, format="csr"), sparse.csr_matrix((m, m))
        ends = sparse.csr_matrix((np.ones(m), (np.arange(1, n), np.arange(m))), (n, m))
        starts = sparse.csr_matrix((np.ones(m), (grid.parent[1:], np.arange(m))), (n, m))
        parent_v = sparse.csr_matrix(starts[1:].T)  # picks v of the parent, without the slack bus
        at = sparse.csr_matrix((np.ones(g), (grid.generators.bus, np.arange(g))), (n, g))
        d_r, d_x = sparse.diags(grid.r[1:]), sparse.diags(grid.x[1:])
        v_rows = sparse.vstack([sparse.csr_matrix((1, m)), eye])
        nothing, absent = sparse.csr_matrix((n, g)), sparse.csr_matrix((n, m))
        shed = [sparse.identity(n), -sparse.identity(n)] if shedding else []
        none = [sparse.csr_matrix((n, n))] * len(shed)
        active = [starts - ends, absent, ends @ d_r, sparse.diags(grid.shunt_g) @ v_rows, -at, nothing,
                  *(-part for part in shed), *none]  # fmt: skip
        reactive = [absent, starts - ends, ends @ d_x, -sparse.diags(grid.shunt_b) @ v_rows, nothing, -at,
                    *none, *(-part for part in shed)]  # fmt: skip
        drop = [2 * d_r, 2 * d_x, -(d_r @ d_r + d_x @ d_x), eye - parent_v, sparse.csr_matrix((m, 2 * g))]
        drop += [sparse.csr_matrix((m, 4 * n))] if shedding else []
        equal = sparse.vstack([sparse.bmat([active]), sparse.bmat([reactive]), sparse.hstack(drop)])
        width = equal.shape[1]
        low, high = np.full(width, -np.inf), np.full(width, np.inf)
        v_low, v_high = voltage_box(grid)
        low[2 * m : 3 * m], low[3 * m : 4 * m], high[3 * m : 4 * m] = 0.0, v_low[1:], v_high[1:]
        high[2 * m : 3 * m] = grid.current_max[1:] ** 2
        p_range, q_range = slice(4 * m, 4 * m + g), slice(4 * m + g, 4 * m + 2 * g)
        gens, base = grid.generators, grid.base_mva
        low[p_range], high[p_range] = gens.p_min_mw / base, gens.p_max_mw / base
        low[q_range], high[q_range] = gens.q_min_mvar / base, gens.q_max_mvar / base
        low[4 * m + 2 * g :] = 0.0
        size = sparse.identity(width, format="csr")
        self._limited = np.flatnonzero(np.isfinite(high))
        bounded = [size[self._limited], -size[np.isfinite(low)]]
        cone = sparse.hstack([sparse.vstack([zero, -2 * eye, zero, zero]), sparse.vstack([zero, zero, -2 * eye, zero]),
                              sparse.vstack([-eye, zero, zero, -eye]),
                              sparse.vstack([-parent_v, sparse.csr_matrix((2 * m, m)), parent_v]),
                              sparse.csr_matrix((4 * m, width - 4 * m))]).tocsr()  # fmt: skip
        turn = (np.arange(4)[None, :] * m + np.arange(m)[:, None]).ravel()  # rows of one branch together
        self._rows = sparse.vstack([equal, *bounded, cone[turn]], format="csc")
        from_slack = (grid.parent[1:] == 0).astype(float) * grid.slack_voltage**2
        self._cone_right = np.stack([from_slack, 0 * from_slack, 0 * from_slack, -from_slack], axis=1).ravel()
        self._bounds_right = np.concatenate([high[self._limited], -low[np.isfinite(low)]])
        self._drop_right = from_slack
        quadratic, linear = np.zeros(width), np.zeros(width)
        if shedding:
            linear[4 * m + 2 * g :] = 1.0
        else:
            quadratic[p_range], linear[p_range] = 2.0 * gens.c2 * base**2, gens.c1 * base
        self._quadratic, self._linear = sparse.diags(quadratic, format="csc"), linear

    def solve(self, p_load: FloatArray, q_load: FloatArray) -> Dispatch:
        """Solve for one slot.

        Args:
            p_load: net active load of each bus, stations included, shape (buses,) [pu].
            q_load: the same, reactive.
        """
        import clarabel

        grid, (n, m, g) = self._grid, self._size
        fixed = np.zeros(n)
        fixed[0] = grid.slack_voltage**2
        right = np.concatenate([-p_load - grid.shunt_g * fixed, -q_load + grid.shunt_b * fixed, self._drop_right,
                                self._bounds_right, self._cone_right])  # fmt: skip
        cones: list[Any] = [clarabel.ZeroConeT(2 * n + m), clarabel.NonnegativeConeT(len(self._bounds_right))]
        cones += [clarabel.SecondOrderConeT(4)] * m
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
        found = clarabel.DefaultSolver(self._quadratic, self._linear, self._rows, right, cones, settings).solve()
        x, z = np.asarray(found.x), np.asarray(found.z)
        lp, lq, mu, sigma = np.zeros((4, n, 1))
        lp[:, 0], lq[:, 0], mu[1:, 0] = z[:n], z[n : 2 * n], z[2 * n : 2 * n + m]
        currents = (self._limited >= 2 * m) & (self._limited < 3 * m)
        sigma[1 + self._limited[currents] - 2 * m, 0] = z[2 * n + m : 2 * n + m + len(self._limited)][currents]
        p, q, current2 = x[:m], x[m : 2 * m], x[2 * m : 3 * m]
        v2 = np.concatenate([fixed[:1], x[3 * m : 4 * m]])
        residual = float(np.abs(current2 * v2[grid.parent[1:]] - p**2 - q**2).max())
        tail = x[4 * m :]
        base = grid.base_mva
        value = float(found.obj_val) + (0.0 if self._shedding else float(grid.generators.c0.sum()))
        return Dispatch(str(found.status) in SOLVED, Multipliers(lp, lq, mu, sigma), tail[:g] * base,
                        tail[g : 2 * g] * base, v2, residual, float(tail[2 * g :].sum()), value)  # fmt: skip
