"""Slot prices that make vehicles' own best answers fit together, and the lower bound that any prices give.

The bound (Lagrangian): with weights on cuts of the grid's cost that sum to 1 in each slot, and multipliers >= 0 on caps
and limit cuts, the grid's side is affine in the stations' power; its slope is a price per station and slot, and the
least cost at these prices falls apart into the vehicles' exact best responses. No solver's tolerance is in it.

The method: answer the tangent at the last powers. Where no cap or limit binds, two or three answers close the gap,
as a station hardly moves its own price. Else prices come from a linear program over the answers so far (column
generation, Dantzig and Wolfe), which tightens the bound to that of the vehicles' convex hulls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.best_response import BestResponse
from v2g_nodes.planning.network.cuts import Cuts
from v2g_nodes.planning.network.grid_cost import Evaluation, GridCost
from v2g_nodes.planning.network.instance import Instance

UNUSED_MAX, LEAST_WEIGHT = 3, 1e-9  # programs in a row in which a cut has less weight, then it is left out
EXCESS_EUR_PER_KWH = 5.0  # on caps and limits in the linear program: above what shifting energy may be worth


@dataclass(frozen=True)
class Offer:
    """Prices with what they prove and what vehicles do at them.

    Args:
        price_eur_per_kwh: of grid energy at the stations, market price included, shape (stations, slots).
        bound_eur: no plan costs less.
        power_kw: the vehicles' answers, shape (vehicles, slots) [kW].
    """

    price_eur_per_kwh: FloatArray
    bound_eur: float
    power_kw: FloatArray


class Prices:
    """Offers and what they taught about an instance.

    Args:
        instance: whose vehicles have levels, see best_response.py.
        grid: its cost.
        limits: cuts known beforehand.
    """

    def __init__(self, instance: Instance, grid: GridCost, limits: Cuts) -> None:
        self.instance, self.grid = instance, grid
        self._answers = BestResponse(instance.vehicles, instance.slots, instance.slot_h)
        self.cost_cuts, self.limit_cuts = grid.least_cuts(), limits
        self._unused: IntArray = np.zeros(0, dtype=np.int64)
        self._columns: list[dict[bytes, tuple[FloatArray, FloatArray]]] = [{} for _ in range(len(instance.vehicles))]

    def evaluate(self, station_kw: FloatArray) -> Evaluation:
        """Ask the grid and keep its cuts."""
        found = self.grid.evaluate(station_kw)
        self.cost_cuts, self.limit_cuts = (
            self.cost_cuts.joined(found.cost_cuts),
            self.limit_cuts.joined(found.limit_cuts),
        )
        return found

    def tangent(self, at: Evaluation) -> Offer:
        """Offer the tangent of the grid's cost at an evaluation."""
        weights = np.zeros(len(self.cost_cuts))
        weights[len(self.cost_cuts) - len(at.cost_cuts) :] = 1.0  # the last ones that were kept
        return self.offer(weights, np.zeros(len(self.limit_cuts)), np.zeros(at.station_kw.shape))

    def offer(self, weights: FloatArray, on_limits: FloatArray, on_caps: FloatArray) -> Offer:
        """Offer what multipliers make, whatever they are.

        Args:
            weights: of the cost cuts, made to sum to 1 in each slot.
            on_limits: of the limit cuts [EUR/kW]; below 0 counts as 0.
            on_caps: of the caps, shape (stations, slots) [EUR/kW]; below 0 counts as 0.
        """
        day = self.instance
        weights, on_limits = np.maximum(weights, 0.0), np.maximum(on_limits, 0.0)
        sums = np.zeros(day.slots)
        np.add.at(sums, self.cost_cuts.slot, weights)
        weights[: day.slots] += sums == 0.0  # the first cuts are the least costs of all slots
        share = weights / np.where(sums > 0.0, sums, 1.0)[self.cost_cuts.slot]
        capped = np.isfinite(day.stations.cap_kw)
        on_caps = np.where(capped[:, None], np.maximum(on_caps, 0.0), 0.0)
        slope = on_caps.copy()
        np.add.at(slope.T, self.cost_cuts.slot, share[:, None] * self.cost_cuts.slope)
        np.add.at(slope.T, self.limit_cuts.slot, on_limits[:, None] * self.limit_cuts.slope)
        price = slope / day.slot_h + day.price_eur_per_kwh
        costs, power = self._answers.answer(price)
        bound = float(share @ self.cost_cuts.constant + on_limits @ self.limit_cuts.constant + costs.sum())
        bound -= float((on_caps[capped] * day.stations.cap_kw[capped, None]).sum())
        self._keep(power)
        return Offer(price, bound - 1e-13 * float(np.abs(costs).sum()), power)

    def combine(self) -> tuple[Offer, FloatArray, FloatArray]:
        """Solve the linear program over the answers so far and offer its prices.

        Returns:
            The offer, the stations' power of the program's mixture, shape (stations, slots) [kW], and the modes of
            vehicles on which its answers agree: 1 charging, -1 discharging, 0 idle, NaN where they don't agree, shape
            (vehicles, slots).
        """
        from v2g_nodes.planning.network.mixture import solve_mixture

        columns = [list(of_one.values()) for of_one in self._columns]
        excess_eur = EXCESS_EUR_PER_KWH * self.instance.slot_h
        used: IntArray = np.arange(len(self.cost_cuts))
        unused: IntArray = np.append(self._unused, np.zeros(len(used) - len(self._unused), dtype=np.int64))
        used = used[unused < UNUSED_MAX]
        mixed = solve_mixture(self.instance, columns, self.cost_cuts.take(used), self.limit_cuts, excess_eur)
        weights = np.zeros(len(self.cost_cuts))
        weights[used] = mixed.on_costs
        self._unused = np.where(weights > LEAST_WEIGHT, 0, unused + 1)
        self._unused[: self.instance.slots] = 0  # the least costs keep the program bounded
        return self.offer(weights, mixed.on_limits, mixed.on_caps), mixed.station_kw, mixed.modes

    def _keep(self, power_kw: FloatArray) -> None:
        fleet = self.instance.vehicles
        drawn = fleet.grid_kw(power_kw)
        for k in range(len(fleet)):
            self._columns[k].setdefault(power_kw[k].tobytes(), (power_kw[k], drawn[k]))
