"""The vehicles of a day as a mixed-integer linear program over cuts of the grid's cost, by HiGHS.

Variables: charging and discharging power of every vehicle and slot it is there (a cell), their binaries, energies after
each cell, the stations' power and the grid's cost in each slot. Constraints (10)-(14) of the source; the grid's cost
is the largest of its cuts (outer approximation), so the program's bound is one for the whole problem.

The same program serves all methods: relaxed, with costs on binaries (difference of convex), with some binaries fixed,
within a radius of a point (trust region), or with energy that may be missing and limits that may be passed at a price
(best effort).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.cuts import Cuts, no_cuts
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance

TOLERANCE = 1e-9  # of feasibility, of integrality and of reduced costs
MISSING_EUR_PER_KWH = 100.0  # of best effort: more than any detour within the day costs
EXCESS_EUR_PER_KW = 1e4  # of best effort, of passing the grid's limits: more than energy that is missing


@dataclass(frozen=True)
class Solution:
    """What the program found.

    Args:
        found: whether there is a solution.
        infeasible: whether it is proved that there is none.
        objective: of the solution, extra costs of binaries included [EUR].
        bound: no solution is below, with the solver's tolerances taken off [EUR].
        power_kw: battery powers, shape (vehicles, slots) [kW].
        station_kw: net power of stations, shape (stations, slots) [kW]; fractional binaries may make it another than
            that of `power_kw`.
        generation_eur: what the cuts say that the grid costs [EUR].
        binaries: charging, then discharging, shape (2, cells).
        missing_kwh: energy that a vehicle lacks, shape (vehicles,).
    """

    found: bool
    infeasible: bool
    objective: float
    bound: float
    power_kw: FloatArray
    station_kw: FloatArray
    generation_eur: float
    binaries: FloatArray
    missing_kwh: FloatArray


@dataclass(frozen=True)
class Region:
    """Binaries near a point (23): at most `radius` of those in `chosen` differ from `center`; 0 fixes them."""

    chosen: IntArray
    center: FloatArray
    radius: int


class VehicleProgram:
    """The program of an instance; cuts are added for good.

    Args:
        instance: whose vehicles, stations and prices.
        elastic: energy may be missing at departure, and limits of the grid may be passed.
        seconds_max: of one solution.
    """

    def __init__(self, instance: Instance, elastic: bool = False, seconds_max: float = 600.0) -> None:
        self.instance, self.elastic, self.seconds_max = instance, elastic, seconds_max
        fleet = instance.vehicles
        self.vehicle, self.slot = np.nonzero(fleet.plugged(instance.slots))
        self.cells = len(self.vehicle)
        stations, slots = len(instance.stations), instance.slots
        sizes = (*[self.cells] * 5, stations * slots, slots, *(len(fleet), slots) * elastic)
        sizes = (*sizes, *(0, 0) * (not elastic))
        ends = np.cumsum(sizes)
        starts = ends - sizes
        (self.charge, self.discharge, self.z_charge, self.z_discharge, self.energy, self.station, self.cost,
         self.missing, self.excess) = (np.arange(a, b) for a, b in zip(starts, ends, strict=True))  # fmt: skip
        self.width = int(ends[-1])
        self._cost_cuts, self._limit_cuts = GridCost(instance).least_cuts(), no_cuts(stations)

    @property
    def binaries(self) -> int:
        """How many binaries the program has."""
        return 2 * self.cells

    @property
    def cost_cuts(self) -> Cuts:
        """All cuts of the grid's cost so far."""
        return self._cost_cuts

    @property
    def limited(self) -> bool:
        """Whether any limit of the grid was met so far."""
        return len(self._limit_cuts) > 0

    def add(self, cost: Cuts, limit: Cuts) -> None:
        """Take in cuts of the grid's cost and of its limits."""
        self._cost_cuts, self._limit_cuts = self._cost_cuts.joined(cost), self._limit_cuts.joined(limit)

    def binaries_of(self, power_kw: FloatArray) -> FloatArray:
        """Binaries of a plan, shape (2, cells)."""
        power = power_kw[self.vehicle, self.slot]
        return np.array([power > 0.0, power < 0.0], dtype=float)

    def solve(
        self, *, integer: bool = True, gap_eur: float = 0.0, binary_cost: FloatArray | None = None,
        region: Region | None = None, fixed: FloatArray | None = None, start_kw: FloatArray | None = None,
        plans_only: Cuts | None = None,
    ) -> Solution:  # fmt: skip
        """Solve with the cuts in hand.

        Args:
            integer: False relaxes the binaries.
            gap_eur: may remain between solution and bound [EUR].
            binary_cost: added cost of each binary, shape (2, cells) [EUR].
            region: where binaries may be.
            fixed: value of each binary that is fixed, NaN where it is free, shape (2, cells).
            start_kw: a plan to begin with.
            plans_only: limits for this solution, which need not be valid; its bound then is one of nothing else.
        """
        import highspy

        solver = highspy.Highs()
        for key, value in {
            "output_flag": False,
            "threads": 1,
            "mip_rel_gap": 0.0,
            "mip_abs_gap": gap_eur,
            "time_limit": self.seconds_max,
            "primal_feasibility_tolerance": TOLERANCE,
            "dual_feasibility_tolerance": TOLERANCE,
            "mip_feasibility_tolerance": TOLERANCE,
        }.items():
            solver.setOptionValue(key, value)  # fmt: skip
        low, high, objective = self._columns(binary_cost, fixed)
        solver.passModel(self._model(low, high, objective, integer, region, plans_only))
        if start_kw is not None and integer:
            guess = highspy.HighsSolution()
            guess.col_value = self._point(start_kw).tolist()
            solver.setSolution(guess)
        solver.run()
        return self._read(highspy, solver, integer, high - low)

    def _read(self, highspy: Any, solver: Any, integer: bool, width: FloatArray) -> Solution:  # noqa: ANN401 - untyped library
        status, info = solver.getModelStatus(), solver.getInfo()
        found = info.primal_solution_status == 2
        infeasible = status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)
        x = np.array(solver.getSolution().col_value) if found else np.zeros(self.width)
        power = np.zeros((len(self.instance.vehicles), self.instance.slots))
        power[self.vehicle, self.slot] = x[self.charge] - x[self.discharge]
        bound = info.mip_dual_bound if integer else info.objective_function_value if found else -np.inf
        # reduced costs may be wrong by the tolerance, each over the width of its column
        bound -= TOLERANCE * float(width[np.isfinite(width)].sum())
        return Solution(found, infeasible, float(info.objective_function_value), bound, power,
                        x[self.station].reshape(len(self.instance.stations), -1), float(x[self.cost].sum()),
                        np.array([x[self.z_charge], x[self.z_discharge]]), x[self.missing])  # fmt: skip

    def _columns(self, binary_cost: FloatArray | None, fixed: FloatArray | None) -> tuple[FloatArray, ...]:
        day, fleet = self.instance, self.instance.vehicles
        low, high, objective = np.zeros((3, self.width))
        high[self.charge], high[self.discharge] = (
            fleet.charge_max_kw[self.vehicle],
            fleet.discharge_max_kw[self.vehicle],
        )
        for z, power in ((self.z_charge, self.charge), (self.z_discharge, self.discharge)):
            high[z] = high[power] > 0.0
        low[self.energy], high[self.energy] = fleet.floor_kwh[self.vehicle], fleet.capacity_kwh[self.vehicle]
        last = self.slot == fleet.departure[self.vehicle] - 1
        if not self.elastic:
            low[self.energy[last]] = fleet.goal_kwh[self.vehicle[last]]
        least, most = day.reach_kw()
        low[self.station], high[self.station] = least.ravel(), most.ravel()
        objective[self.station] = np.tile(day.price_eur_per_kwh * day.slot_h, len(day.stations))
        objective[self.cost] = 1.0
        low[self.cost], high[self.cost] = -np.inf, np.inf
        high[self.missing] = fleet.goal_kwh if self.elastic else 0.0
        objective[self.missing], objective[self.excess] = MISSING_EUR_PER_KWH, EXCESS_EUR_PER_KW
        high[self.excess] = np.inf
        both = np.concatenate([self.z_charge, self.z_discharge])
        if binary_cost is not None:
            objective[both] = binary_cost.ravel()
        if fixed is not None:
            known = np.isfinite(fixed.ravel())
            low[both[known]] = high[both[known]] = fixed.ravel()[known]
        return low, high, objective

    @cached_property
    def _vehicle_rows(self) -> tuple[Any, FloatArray, FloatArray]:
        """Rows that never change, with their least and largest values."""
        from scipy import sparse

        day, fleet, cells = self.instance, self.instance.vehicles, self.cells
        count, of = np.arange(cells), self.vehicle

        def rows(size: int, *parts: tuple[IntArray, IntArray, Any]) -> Any:  # noqa: ANN401 - sparse matrix
            at, columns, values = (np.concatenate([np.broadcast_to(one[k], np.shape(one[1])) for one in parts])
                                   for k in range(3))  # fmt: skip
            return sparse.csr_matrix((values, (at, columns)), (size, self.width))

        one_way = rows(cells, (count, self.z_charge, 1.0), (count, self.z_discharge, 1.0))  # (10)
        blocks = [one_way]
        lows: list[FloatArray] = [np.full(cells, -np.inf)]
        highs: list[FloatArray] = [np.ones(cells)]
        for power, z, way in ((self.charge, self.z_charge, "charge"), (self.discharge, self.z_discharge, "discharge")):
            least, most = getattr(fleet, f"{way}_min_kw")[of], getattr(fleet, f"{way}_max_kw")[of]  # (11), (12)
            blocks += [
                rows(cells, (count, power, 1.0), (count, z, -most)),
                rows(cells, (count, power, 1.0), (count, z, -least)),
            ]
            lows += [np.full(cells, -np.inf), np.zeros(cells)]
            highs += [np.zeros(cells), np.full(cells, np.inf)]
        first = self.slot == fleet.arrival[of]
        later = np.flatnonzero(~first)
        gained = rows(cells, (count, self.energy, 1.0), (later, self.energy[later - 1], -1.0),
                      (count, self.charge, -day.slot_h), (count, self.discharge, day.slot_h))  # (13)  # fmt: skip
        start = np.where(first, fleet.start_kwh[of], 0.0)
        at = fleet.station[of] * day.slots + self.slot
        every, eta = np.arange(len(self.station)), fleet.eta[of]
        drawn = rows(
            len(self.station), (every, self.station, 1.0), (at, self.charge, -1.0 / eta), (at, self.discharge, eta)
        )
        nothing = np.zeros(len(every))
        blocks, lows, highs = [*blocks, gained, drawn], [*lows, start, nothing], [*highs, start, nothing]
        if self.elastic:
            last = np.flatnonzero(self.slot == fleet.departure[of] - 1)
            who = of[last]
            blocks.append(
                rows(
                    len(who),
                    (np.arange(len(who)), self.energy[last], 1.0),
                    (np.arange(len(who)), self.missing[who], 1.0),
                )
            )
            lows.append(fleet.goal_kwh[who])
            highs.append(np.full(len(who), np.inf))
        return sparse.vstack(blocks, format="csr"), np.concatenate(lows), np.concatenate(highs)

    def _cut_rows(self, plans_only: Cuts | None) -> tuple[Any, FloatArray, FloatArray]:
        """Cost less slope s is at least the constant; slope s is at most minus the constant where limits ask it."""
        from scipy import sparse

        day = self.instance
        blocks, lows, highs = [], [], []
        limits = self._limit_cuts if plans_only is None else self._limit_cuts.joined(plans_only)
        for cuts, own in ((self._cost_cuts, True), (limits, False)):
            count, stations = len(cuts), len(day.stations)
            columns = self.station[np.arange(stations)[None, :] * day.slots + cuts.slot[:, None]]
            at = np.repeat(np.arange(count), stations)
            slopes = sparse.csr_matrix((-cuts.slope.ravel(), (at, columns.ravel())), (count, self.width))
            free = self.cost if own else self.excess
            costs = sparse.csr_matrix((count, self.width))
            if len(free):
                costs = sparse.csr_matrix((np.ones(count), (np.arange(count), free[cuts.slot])), (count, self.width))
            blocks.append(slopes + costs)
            lows.append(cuts.constant)
            highs.append(np.full(count, np.inf))
        return sparse.vstack(blocks, format="csr"), np.concatenate(lows), np.concatenate(highs)

    def _region_row(self, region: Region | None) -> list[tuple[Any, FloatArray, FloatArray]]:
        from scipy import sparse

        if region is None:
            return []
        both = np.concatenate([self.z_charge, self.z_discharge])[region.chosen]
        signs = np.where(region.center > 0.5, -1.0, 1.0)
        row = sparse.csr_matrix((signs, (np.zeros(len(both), dtype=int), both)), (1, self.width))
        return [(row, np.array([-np.inf]), np.array([region.radius - float((region.center > 0.5).sum())]))]

    def _model(
        self, low: FloatArray, high: FloatArray, objective: FloatArray, integer: bool, region: Region | None,
        plans_only: Cuts | None,
    ) -> Any:  # noqa: ANN401 - untyped library
        import highspy
        from scipy import sparse

        parts = [self._vehicle_rows, self._cut_rows(plans_only), *self._region_row(region)]
        matrix = sparse.vstack([part[0] for part in parts], format="csc")
        matrix.sort_indices()
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = self.width, matrix.shape[0]
        model.col_cost_, model.col_lower_, model.col_upper_ = objective, low, high
        model.row_lower_ = np.concatenate([part[1] for part in parts])
        model.row_upper_ = np.concatenate([part[2] for part in parts])
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
        model.a_matrix_.value_ = matrix.data
        if integer:
            kinds = np.full(self.width, highspy.HighsVarType.kContinuous, dtype=object)
            kinds[self.z_charge] = kinds[self.z_discharge] = highspy.HighsVarType.kInteger
            model.integrality_ = kinds.tolist()
        return model

    def _point(self, power_kw: FloatArray) -> FloatArray:
        """All variables of a plan."""
        day = self.instance
        x = np.zeros(self.width)
        power = power_kw[self.vehicle, self.slot]
        x[self.charge], x[self.discharge] = np.maximum(power, 0.0), np.maximum(-power, 0.0)
        x[self.z_charge], x[self.z_discharge] = power > 0.0, power < 0.0
        x[self.energy] = day.vehicles.energy_kwh(power_kw, day.slot_h)[self.vehicle, self.slot + 1]
        station_kw = day.station_kw(power_kw)
        x[self.station] = station_kw.ravel()
        cuts = self._cost_cuts
        values = cuts.constant + (cuts.slope * station_kw[:, cuts.slot].T).sum(axis=1)
        costs = np.full(day.slots, -np.inf)
        np.maximum.at(costs, cuts.slot, values)
        x[self.cost] = costs
        return x
