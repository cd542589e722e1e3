"""Modules whose power rises in proportion to the price: the simplest stand-in for a cost and its box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.optimizer_types import Snapshot
from v2g_nodes.core.types import Box, FloatArray

Freeze = Callable[[int], Snapshot]

REACH = 0.75  # share of its rating that a module gives or takes with a vehicle that can do both
REACHES = ((1.0, 1.0), (1.0, 1.0), (0.3, 1.0), (1.0, 0.0), (0.0, 0.0))  # parts of it that vehicles take and give


@dataclass(frozen=True)
class SlopingSupply:
    """A Supply.

    Args:
        slope_kw: power per price [kW per EUR/kWh].
        box: feasible range [kW].
        idle_eur_per_kwh: price at which the module does nothing.
    """

    slope_kw: float
    box: Box
    idle_eur_per_kwh: float = 0.0

    def response(self, prices: FloatArray) -> FloatArray:
        """See Supply."""
        asked_kw = self.slope_kw * (prices - self.idle_eur_per_kwh)
        result: FloatArray = np.clip(asked_kw, self.box.low_kw, self.box.high_kw)
        return result

    def slope(self, price: float) -> float:
        """See Supply."""
        inside = self.box.low_kw < self.slope_kw * (price - self.idle_eur_per_kwh) < self.box.high_kw
        return self.slope_kw if inside else 0.0

    def proximal(self, price: float, weight: float) -> float:
        """See Supply."""
        return self.box.clip((price - self.idle_eur_per_kwh) / (1.0 / self.slope_kw + weight))


def sloping_snapshot(rating_kw: Mapping[int, float], reach: float = REACH) -> Freeze:
    """Snapshots of modules with SlopingSupply, each with a slope of its own.

    Args:
        rating_kw: of each module [kW].
        reach: share of the rating that the box leaves on either side.
    """

    def freeze(module_id: int) -> Snapshot:
        kw = reach * rating_kw[module_id]
        box = Box(-kw, kw)
        return Snapshot(box, SlopingSupply(kw * (2.0 + module_id % 7), box))

    return freeze


class Vehicles:
    """What is plugged in where, changing at random: boxes that always hold zero, and their supplies.

    Args:
        rating_kw: of each module [kW].
        random: source of the draws.
        idle_spread_eur_per_kwh: prices at which modules do nothing differ by plus and minus this; with 0 no module
            takes what another gives.
    """

    def __init__(
        self, rating_kw: Mapping[int, float], random: np.random.Generator, idle_spread_eur_per_kwh: float
    ) -> None:
        self._rating_kw = rating_kw
        self._random = random
        self._idle_spread = idle_spread_eur_per_kwh
        self._offers: dict[int, Snapshot] = {}
        for k in rating_kw:
            self.change(k)

    def freeze(self, module_id: int) -> Snapshot:
        """Snapshot of a module."""
        return self._offers[module_id]

    def change(self, module_id: int) -> None:
        """Another vehicle, or none."""
        kw = REACH * self._rating_kw[module_id]
        low, high = self._random.choice(REACHES).tolist()
        box = Box(-low * kw, high * kw)
        idle = self._idle_spread * float(self._random.uniform(-1.0, 1.0))
        slope = kw * float(self._random.uniform(2.0, 8.0))
        self._offers[module_id] = Snapshot(box, SlopingSupply(slope, box, idle))
