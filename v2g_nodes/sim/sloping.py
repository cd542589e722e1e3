"""Modules whose power rises in proportion to the price: the simplest stand-in for a cost and its box."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.optimizer_types import Snapshot
from v2g_nodes.core.types import Box, FloatArray

Freeze = Callable[[int], Snapshot]


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


def sloping_snapshot(rating_kw: Mapping[int, float], reach: float = 0.75) -> Freeze:
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
