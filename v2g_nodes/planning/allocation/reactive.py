"""Reactive strategies: drawn and supplied per slot, and the slack that holds what is left of the charger's rating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation.active import INTERIOR
from v2g_nodes.planning.allocation.fleet import BoolArray, Fleet
from v2g_nodes.planning.allocation.population import TOLERANCE_KWH, relative_spread, weights

AVAILABLE_MIN = 1e-6  # of the rating: with less reactive power than this a slot has no reactive strategies


def available(fleet: Fleet, active: FloatArray) -> FloatArray:
    """Reactive energy beside the active one [kvarh], the source's equation 18, zero outside the stay.

    Args:
        fleet: vehicles.
        active: energy charged [kWh], shape (n, slots).
    """
    room = np.maximum(fleet.rating[:, None] ** 2 - active**2, 0.0)
    result: FloatArray = np.where(fleet.inside, np.sqrt(room), 0.0)
    return np.where(result > AVAILABLE_MIN * fleet.rating[:, None], result, 0.0)


@dataclass(frozen=True)
class ReactiveResponse:
    """See population.Response. Per strategy pair in the directions net = drawn - supplied, used = drawn + supplied.

    Args:
        net: inverse curvature net to net, zero without strategies, shape (n, slots).
        cross: net to used.
        used: used to used.
        of_load: see Response.
    """

    net: FloatArray
    cross: FloatArray
    used: FloatArray
    of_load: FloatArray

    def apply(self, slope: FloatArray) -> FloatArray:
        """See Response. What the strategies take the slack gives."""
        drawn, supplied, slack = _parts(slope)
        slope_net, slope_used = 0.5 * (drawn - supplied), 0.5 * (drawn + supplied) - slack
        net = self.net * slope_net + self.cross * slope_used
        used = self.cross * slope_net + self.used * slope_used
        return np.concatenate((0.5 * (used + net), 0.5 * (used - net), -used.sum(axis=1, keepdims=True)), axis=1)


class ReactivePopulation:
    """See population.Population. Strategies: drawn, supplied, slack [kvarh], shape (n, 2 slots + 1).

    Their sum is all that the charger has beside the active power (equations 15 to 20). The graph is a star: each
    strategy exchanges with the slack, whose payoff is zero. The slack is the sum of what the slots have left, so
    their barriers keep it above zero and it needs none of its own.

    Args:
        fleet: vehicles, none committed.
        active: energy they charge [kWh], shape (n, slots).
    """

    def __init__(self, fleet: Fleet, active: FloatArray) -> None:
        self._weights = weights(fleet.commitment)
        self._rating, self._active = fleet.rating[:, None], active
        self.available = available(fleet, active)
        self._has = self.available > 0.0
        self.limits = 3.0 * float(self._has.sum())

    def start(self) -> FloatArray:
        """A third of what there is drawn, a third supplied, which cancel, and a third left."""
        third = self.available / 3.0
        return np.concatenate((third, third, third.sum(axis=1, keepdims=True)), axis=1)

    def load(self, x: FloatArray) -> FloatArray:
        """See Population."""
        result: FloatArray = self.net(x).sum(axis=0)
        return result

    def net(self, x: FloatArray) -> FloatArray:
        """Reactive energy drawn [kvarh], shape (n, slots)."""
        drawn, supplied, _ = _parts(x)
        return drawn - supplied

    def pull(self, slope: FloatArray) -> FloatArray:
        """See Population."""
        return np.where(self._both(self._has), np.concatenate((slope, -slope, [0.0])), 0.0)

    def own_value(self, x: FloatArray) -> float:
        """See Population; the reference is zero."""
        return float(0.5 * self._weights.own @ np.sum(self.net(x) ** 2, axis=1))

    def barrier_value(self, x: FloatArray) -> float:
        """See Population; a product of three shares of the available power, each at most 1."""
        drawn, supplied, left = self._shares(x)
        inside = (drawn > 0.0) & (supplied > 0.0) & (left > 0.0)
        product = np.where(inside, drawn * supplied * left, 0.0)
        each = np.where(inside, -np.log(np.where(inside, product, 1.0)), np.inf)
        return float(each.sum())

    def local_slope(self, x: FloatArray, eps: float) -> FloatArray:
        """See Population."""
        own = self._weights.own[:, None] * self.net(x)
        drawn, supplied, left = self._distances(x)
        none = np.zeros((x.shape[0], 1))
        slope = np.concatenate(
            (own + eps * (1.0 / left - 1.0 / drawn), eps * (1.0 / left - 1.0 / supplied) - own, none), axis=1
        )
        return np.where(self._both(self._has), slope, 0.0)

    def response(self, x: FloatArray, eps: float, step: float) -> ReactiveResponse:
        """See Population: two by two per slot, as no limit joins the slots."""
        drawn, supplied, left = self._distances(x)
        metric = 0.5 / (step * self._weights.rate[:, None])
        bent = eps * 0.25 * (drawn**-2.0 + supplied**-2.0) + metric
        net = self._weights.own[:, None] + bent
        used = bent + eps * left**-2.0
        cross = eps * 0.25 * (drawn**-2.0 - supplied**-2.0)
        scale = self._has / (net * used - cross**2)
        of_load = np.diag((used * scale).sum(axis=0))
        return ReactiveResponse(used * scale, -cross * scale, net * scale, of_load)

    def spread(self, slope: FloatArray, x: FloatArray, grid_slope: FloatArray) -> float:
        """See Population; the slack, whose payoff is zero, counts, strategies near the rating do not."""
        rate = self._weights.rate[:, None]
        interior = self._has & (np.abs(self.net(x)) < (1.0 - INTERIOR) * self.available)
        both = self._both(interior)
        both[:, -1] = True
        size = rate * (self._weights.own[:, None] * np.abs(self.net(x)) + np.abs(grid_slope))
        scale = np.concatenate((size, size, np.zeros((x.shape[0], 1))), axis=1)
        return relative_spread(np.where(both, rate * slope, np.nan), scale)

    def resource_error(self, x: FloatArray) -> float:
        """See Population."""
        return float(np.max(np.abs(x.sum(axis=1) - self.available.sum(axis=1)), initial=0.0))

    def violations(self, x: FloatArray) -> int:
        """See Population: signs, what a slot has, and the apparent power."""
        drawn, supplied, _ = _parts(x)
        below = np.sum(x < -TOLERANCE_KWH)
        beyond = np.sum(drawn + supplied > self.available + TOLERANCE_KWH)
        apparent = np.sum(np.hypot(self._active, drawn - supplied) > self._rating + TOLERANCE_KWH)
        return int(below + beyond + apparent)

    def _distances(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Drawn, supplied and left per slot; one where there are no strategies."""
        drawn, supplied, _ = _parts(x)
        left = self.available - drawn - supplied
        one, two, three = (np.where(self._has, value, 1.0) for value in (drawn, supplied, left))
        return one, two, three

    def _shares(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        whole = np.where(self._has, self.available, 1.0)
        drawn, supplied, left = self._distances(x)
        return drawn / whole, supplied / whole, left / whole

    def _both(self, which: BoolArray) -> BoolArray:
        """A mask of slots as a mask of strategies, the slack left out."""
        return np.concatenate((which, which, np.zeros((which.shape[0], 1), dtype=bool)), axis=1)


def _parts(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    slots = x.shape[1] // 2
    return x[:, :slots], x[:, slots:-1], x[:, -1:]
