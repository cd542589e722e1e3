"""A linear program under construction: rows, and which column is what in the relaxation of the platform's problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.market.platform import Platform


class Rows:
    """Rows lower <= A x <= upper."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._parts: list[Any] = []
        self._lower: list[FloatArray] = []
        self._upper: list[FloatArray] = []

    def add(self, blocks: dict[int, Any], lower: Any, upper: Any) -> None:  # noqa: ANN401 - numbers or arrays
        """Rows whose matrix is made of blocks that begin at a column each."""
        from scipy.sparse import coo_matrix

        parts = [(start, coo_matrix(block)) for start, block in blocks.items()]
        count = parts[0][1].shape[0]
        if count == 0:
            return
        row = np.concatenate([part.row for _, part in parts])
        column = np.concatenate([part.col + start for start, part in parts])
        data = np.concatenate([part.data for _, part in parts])
        self._parts.append(coo_matrix((data, (row, column)), shape=(count, self._columns)))
        self._lower.append(np.broadcast_to(lower, count))
        self._upper.append(np.broadcast_to(upper, count))

    def joined(self) -> tuple[Any, FloatArray, FloatArray]:
        """Matrix, lower and upper ends."""
        from scipy.sparse import csr_matrix, vstack

        if not self._parts:
            return csr_matrix((0, self._columns)), np.zeros(0), np.zeros(0)
        return vstack(self._parts, format="csr"), np.concatenate(self._lower), np.concatenate(self._upper)


@dataclass(frozen=True)
class ClusterColumns:
    """First columns of one cluster's flows y_a, potentials rho, spendings y_a e(y_a) and shares per level y_th."""

    flow: int
    potential: int
    spending: int
    chosen: int


class Layout:
    """Columns: rebates s_t, bids, weights z_th of the levels in the box, then those of each cluster.

    Args:
        platform: the problem.
        low: smallest rebate of each hour, shape (hours,) [USD/h].
        high: largest rebate.

    Attributes:
        levels: allowed rebates of each hour inside the box.
        hour: of each choice, shape (choices,).
        worth: its rebate [USD/h].
        choice: 1 where a choice belongs to an hour, shape (hours, choices).
        several: hours with more than one level.
    """

    def __init__(self, platform: Platform, low: FloatArray, high: FloatArray) -> None:
        self.levels = [platform.levels[(platform.levels >= lo) & (platform.levels <= hi)]
                       for lo, hi in zip(low, high, strict=True)]  # fmt: skip
        self.hours = platform.hours
        self.worth: FloatArray = np.concatenate(self.levels)
        self.hour: IntArray = np.repeat(np.arange(self.hours), [len(one) for one in self.levels])
        self.choice: FloatArray = (self.hour == np.arange(self.hours)[:, None]).astype(float)
        self.choices = len(self.worth)
        self.several = np.flatnonzero(self.choice.sum(axis=1) > 1.0)
        self.bid, self.weight = self.hours, 2 * self.hours
        self.clusters: list[ClusterColumns] = []
        self.columns = 2 * self.hours + self.choices
        for follower in platform.followers:
            arcs, nodes = follower.network.arcs, len(follower.network.supply)
            first = self.columns
            self.clusters.append(ClusterColumns(first, first + arcs, first + arcs + nodes, first + 2 * arcs + nodes))
            self.columns = first + 2 * arcs + nodes + self.choices

    def by_hour(self, of_choices: FloatArray) -> list[FloatArray]:
        """Values of the choices as one array per hour."""
        return np.split(of_choices, np.cumsum([len(one) for one in self.levels])[:-1])


class Solver:
    """min cost x with rows that are added as they are needed, and a bound that holds whatever the tolerances.

    Args:
        cost: shape (columns,).
        lower: of each column, finite.
        upper: of each column, finite.

    Attributes:
        parts: rows that were added and not purged: matrix, lower and upper ends.
    """

    def __init__(self, cost: FloatArray, lower: FloatArray, upper: FloatArray) -> None:
        import highspy

        self._cost, self.lower, self.upper = cost, lower, upper
        self.parts: list[tuple[Any, FloatArray, FloatArray]] = []
        self._solver: Any = highspy.Highs()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        every = np.arange(len(cost), dtype=np.int32)
        self._solver.addVars(len(cost), lower, upper)
        self._solver.changeColsCost(len(cost), every, cost)

    def add(self, rows: Rows) -> int:
        """More rows, their number; the next run begins where the last one ended."""
        matrix, lower, upper = rows.joined()
        if matrix.shape[0] == 0:
            return 0
        self.parts.append((matrix, lower, upper))
        self._solver.addRows(matrix.shape[0], lower, upper, matrix.nnz, matrix.indptr[:-1].astype(np.int32),
                             matrix.indices.astype(np.int32), matrix.data)  # fmt: skip
        return len(lower)

    def restrict(self, column: int, lower: float, upper: float) -> None:
        """Other ends of a column for the next runs; the Lagrangian's stay as they were."""
        self._solver.changeColBounds(column, lower, upper)

    def run(self, limit_s: float) -> FloatArray | None:
        """Point of least cost, shape (columns,); None where none was found in time."""
        import highspy

        self._solver.setOptionValue("time_limit", self._solver.getRunTime() + limit_s)
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return np.array(self._solver.getSolution().col_value)

    def purge(self, kept: int) -> None:
        """Drop rows after the first `kept` that do not bind at the last optimum: fewer rows, faster runs."""
        import highspy

        loose = np.array([one == highspy.HighsBasisStatus.kBasic for one in self._solver.getBasis().row_status])
        loose[:kept] = False
        gone = np.flatnonzero(loose).astype(np.int32)
        self._solver.deleteRows(len(gone), gone)
        at = 0
        for k, (matrix, lower, upper) in enumerate(self.parts):
            stays = ~loose[at : at + len(lower)]
            at += len(lower)
            self.parts[k] = (matrix[stays], lower[stays], upper[stays])
        self.parts = [part for part in self.parts if len(part[1])]

    def lagrangian(self, free: int) -> tuple[float, FloatArray]:
        """Constant and reduced costs of a bound: every x that keeps the rows costs constant + reduced x or more.

        Any multipliers give one, so the solver's tolerances do not matter. The first `free` rows are left out.
        """
        multipliers = np.array(self._solver.getSolution().row_dual)
        multipliers[:free] = 0.0
        constant, reduced, at = 0.0, self._cost.copy(), 0
        for matrix, lower, upper in self.parts:
            part = multipliers[at : at + len(lower)]
            at += len(lower)
            part = np.where(np.isfinite(np.where(part > 0.0, lower, upper)), part, 0.0)
            side = np.where(part > 0.0, lower, upper)
            constant += float(part[part != 0.0] @ side[part != 0.0])
            reduced -= matrix.T @ part
        return constant, reduced

    def least(self, reduced: FloatArray) -> FloatArray:
        """Smallest of reduced x of each column, shape (columns,)."""
        smallest: FloatArray = np.minimum(reduced * self.lower, reduced * self.upper)
        return smallest
