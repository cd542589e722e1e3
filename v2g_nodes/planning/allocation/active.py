"""Active strategies: energy per slot, between the charger's limits and with the charge between the battery's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation import barrier
from v2g_nodes.planning.allocation.fleet import Fleet
from v2g_nodes.planning.allocation.population import TOLERANCE_KWH, relative_spread, weights
from v2g_nodes.planning.allocation.slot_graph import path_metric

INTERIOR = 1e-3  # of the limit: nearer to it a strategy is not interior and its payoff need not agree
START_SHARE = 0.5  # of the way from the straight line to the middle of the battery, where the charger allows


@dataclass(frozen=True)
class ActiveResponse:
    """See population.Response.

    Args:
        inverse: of the curvature over charge paths, zero where the path is fixed, shape (n, slots - 1, slots - 1).
        of_load: see Response.
    """

    inverse: FloatArray
    of_load: FloatArray

    def apply(self, slope: FloatArray) -> FloatArray:
        """See Response. Differences of a path that begins and ends at zero sum to zero."""
        path_slope = slope[:, :-1] - slope[:, 1:]
        path = np.matmul(self.inverse, path_slope[:, :, None])[:, :, 0]
        return np.diff(path, axis=1, prepend=0.0, append=0.0)


class ActivePopulation:
    """See population.Population. Strategies: energy charged in each slot [kWh], shape (n, slots).

    The charge at departure is the goal whatever the strategies are, so the battery's limits concern the slots
    before; a goal at the upper limit is no special case.

    Args:
        fleet: vehicles that have a choice (Fleet.free), all committed or none.
        graph: of the slots, see slot_graph.
    """

    def __init__(self, fleet: Fleet, graph: str) -> None:
        self._fleet = fleet
        self._weights = weights(fleet.commitment)
        self._limit = fleet.limit[:, None]
        self._low, self._high = fleet.soc_low[:, None], fleet.soc_high[:, None]
        self._within = fleet.inside[:, :-1] & fleet.inside[:, 1:]  # slots after which the charge is to be chosen
        self._metric = self._metrics(graph)
        self.limits = 2.0 * float(fleet.inside.sum() + self._within.sum())

    def _metrics(self, graph: str) -> FloatArray:
        n, slots = self._fleet.inside.shape
        metric = np.zeros((n, slots - 1, slots - 1))
        for k, within in enumerate(self._within):
            first, size = int(np.argmax(within)), int(within.sum())
            part = slice(first, first + size)
            metric[k, part, part] = path_metric(graph, size + 1) / self._weights.rate[k]
        return metric

    def start(self) -> FloatArray:
        """A straight line from start to goal, bent towards the middle of the battery as far as the charger allows."""
        fleet = self._fleet
        line = fleet.soc(fleet.even())[:, :-1]
        bend = np.where(self._within, 0.5 * (self._low + self._high) - line, 0.0)
        spare = self._limit - np.abs(fleet.energy / fleet.stay)[:, None]
        largest = np.max(np.abs(np.diff(bend, axis=1, prepend=0.0, append=0.0)), axis=1, keepdims=True)
        share = START_SHARE * np.minimum(1.0, spare / np.maximum(largest, TOLERANCE_KWH))
        result: FloatArray = fleet.even() + np.diff(share * bend, axis=1, prepend=0.0, append=0.0)
        return result

    def load(self, x: FloatArray) -> FloatArray:
        """See Population."""
        result: FloatArray = x.sum(axis=0)
        return result

    def pull(self, slope: FloatArray) -> FloatArray:
        """See Population."""
        return slope[None, :]

    def own_value(self, x: FloatArray) -> float:
        """See Population."""
        return float(0.5 * self._weights.own @ np.sum((x - self._fleet.reference) ** 2, axis=1))

    def barrier_value(self, x: FloatArray) -> float:
        """See Population."""
        power = barrier.potential(x, -self._limit, self._limit)
        charge = barrier.potential(self._charge(x), self._low, self._high)
        return float(np.sum(power[self._fleet.inside]) + np.sum(charge[self._within]))

    def local_slope(self, x: FloatArray, eps: float) -> FloatArray:
        """See Population. A strategy answers for the charge of all later slots of the stay."""
        charge = np.where(self._within, barrier.slope(self._charge(x), self._low, self._high), 0.0)
        later = np.zeros_like(x)
        later[:, :-1] = np.cumsum(charge[:, ::-1], axis=1)[:, ::-1]
        own = self._weights.own[:, None] * (x - self._fleet.reference)
        power = barrier.slope(x, -self._limit, self._limit)
        return np.where(self._fleet.inside, own + eps * (power + later), 0.0)

    def response(self, x: FloatArray, eps: float, step: float) -> ActiveResponse:
        """See Population: the curvature over charge paths is tridiagonal, plus the graph's metric."""
        power = self._weights.own[:, None] + eps * barrier.curvature(x, -self._limit, self._limit)
        charge = eps * barrier.curvature(self._charge(x), self._low, self._high)
        fixed = ~self._within
        matrix = self._metric / step
        at = np.arange(matrix.shape[1])
        matrix[:, at, at] += np.where(fixed, 1.0, power[:, :-1] + power[:, 1:] + charge)
        beside = np.where(fixed[:, :-1] | fixed[:, 1:], 0.0, -power[:, 1:-1])
        matrix[:, at[:-1], at[1:]] += beside
        matrix[:, at[1:], at[:-1]] += beside
        inverse: FloatArray = np.linalg.inv(matrix).astype(np.float64, copy=False)
        inverse[:, at, at] *= self._within
        summed = inverse.sum(axis=0)
        of_load: FloatArray = np.diff(np.diff(np.pad(summed, 1), axis=0), axis=1)
        return ActiveResponse(inverse, of_load)

    def spread(self, slope: FloatArray, x: FloatArray, grid_slope: FloatArray) -> float:
        """See Population; strategies nearer to the charger's limit than INTERIOR do not count."""
        rate = self._weights.rate[:, None]
        interior = self._fleet.inside & (np.abs(x) < (1.0 - INTERIOR) * self._limit)
        own = self._weights.own[:, None] * np.abs(x - self._fleet.reference)
        payoff = np.where(interior, rate * slope, np.nan)
        return relative_spread(payoff, rate * (own + np.abs(grid_slope)))

    def resource_error(self, x: FloatArray) -> float:
        """See Population."""
        return float(np.max(np.abs(x.sum(axis=1) - self._fleet.energy), initial=0.0))

    def violations(self, x: FloatArray) -> int:
        """See Population; counted on the strategies themselves, the slot of departure included."""
        return active_violations(self._fleet, x)

    def _charge(self, x: FloatArray) -> FloatArray:
        """Charge after each slot but the last; the middle of the battery where it is not to be chosen."""
        middle = 0.5 * (self._low + self._high)
        return np.where(self._within, self._fleet.soc(x)[:, :-1], middle)


def active_violations(fleet: Fleet, x: FloatArray) -> int:
    """Slots in which power or charge is beyond a limit by more than TOLERANCE_KWH, or power flows outside the stay.

    Args:
        fleet: any vehicles.
        x: energy charged [kWh], shape (n, slots).
    """
    soc = fleet.soc(x)
    power = np.abs(x) > np.where(fleet.inside, fleet.limit[:, None] + TOLERANCE_KWH, 0.0)
    low, high = fleet.soc_low[:, None] - TOLERANCE_KWH, fleet.soc_high[:, None] + TOLERANCE_KWH
    return int(np.sum(power) + np.sum((soc < low) | (soc > high)))
