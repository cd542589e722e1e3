"""What the power of all costs the grid: c'(y) = price of the slot + slope * y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray

PRICE_MAX = 1e3  # EUR/kWh


@dataclass(frozen=True)
class GridCost:
    """Base demand and the cost of the total.

    Args:
        base_kw: demand without the fleet, shape (slots,) [kW].
        price_eur_per_kwh: of the first kilowatt in each slot, shape (slots,): a day-ahead price, or a constant.
        slope: rise of the marginal cost with the total, at least 0 [EUR/kWh per kW].
        slot_h: width of a slot [h].

    Raises:
        InputError: no slot, different numbers of slots, a value that is not finite or out of range.
    """

    base_kw: FloatArray
    price_eur_per_kwh: FloatArray
    slope: float
    slot_h: float

    def __post_init__(self) -> None:
        slots = len(self.base_kw)
        if slots == 0 or len(self.price_eur_per_kwh) != slots:
            raise InputError(f"base demand has {slots} slots and the price {len(self.price_eur_per_kwh)}, "
                             "allowed as many, at least 1")  # fmt: skip
        for what, values, unit in (("base demand", self.base_kw, "kW"), ("price", self.price_eur_per_kwh, "EUR/kWh")):
            if not np.isfinite(values).all():
                slot = int(np.flatnonzero(~np.isfinite(values))[0])
                raise InputError(f"{what} of slot {slot} is {values[slot]}, allowed any finite number of {unit}")
        if np.abs(self.price_eur_per_kwh).max() > PRICE_MAX:
            slot = int(np.abs(self.price_eur_per_kwh).argmax())
            raise InputError(f"price of slot {slot} is {self.price_eur_per_kwh[slot]:g} EUR/kWh, allowed "
                             f"{-PRICE_MAX:g} to {PRICE_MAX:g} EUR/kWh")  # fmt: skip
        if not (np.isfinite(self.slope) and self.slope >= 0.0):
            raise InputError(f"slope of the marginal cost is {self.slope}, allowed at least 0, finite")
        if not (np.isfinite(self.slot_h) and 0.0 < self.slot_h <= 24.0):
            raise InputError(f"slot_h is {self.slot_h}, allowed above 0 to 24 h")

    @property
    def slots(self) -> int:
        """Slots of the horizon."""
        return len(self.base_kw)

    def marginal(self, fleet_kw: FloatArray) -> FloatArray:
        """c'(base + fleet), shape (slots,) [EUR/kWh]."""
        return self.price_eur_per_kwh + self.slope * (self.base_kw + fleet_kw)

    def cost_eur(self, fleet_kw: FloatArray) -> float:
        """Cost of all slots [EUR]."""
        total = self.base_kw + fleet_kw
        return float(np.sum(self.price_eur_per_kwh * total + 0.5 * self.slope * total**2)) * self.slot_h

    def lowest_eur(self, price_eur_per_kwh: FloatArray) -> float:
        """Lowest over y of c(y) - p (y - base), all slots: what the grid's side of the dual is at a price p [EUR].

        Minus infinity where the slope is 0 and the price is not the grid's own.
        """
        above = price_eur_per_kwh - self.price_eur_per_kwh
        if self.slope > 0.0:
            return float(np.sum(price_eur_per_kwh * self.base_kw - 0.5 * above**2 / self.slope)) * self.slot_h
        if np.any(above):
            return -np.inf
        return float(np.sum(price_eur_per_kwh * self.base_kw)) * self.slot_h


def source_base_kw(vehicles: int, slots: int) -> FloatArray:
    """Base demand from noon to noon, of a grid as large for this fleet as the source's is for 5000 vehicles.

    The source's curve is lost; this one is that of EQUATIONS 001.3, 14.4 kW a vehicle on average, highest at 16 h.

    Args:
        vehicles: of the fleet.
        slots: of the horizon, one day.
    """
    hour = 12.0 + (np.arange(slots) + 0.5) * 24.0 / slots
    shape = 72.0 + 18.0 * np.cos(2 * np.pi * (hour - 16) / 24) + 2.0 * np.cos(4 * np.pi * (hour - 19) / 24)
    return np.asarray(shape * 1e3 * vehicles / 5000.0)


def source_slope(vehicles: int) -> float:
    """Slope of the source's marginal cost, 5.8e-7 for 5000 vehicles, in proportion to a grid of this fleet's size."""
    return 5.8e-7 * 5000.0 / vehicles


SOURCE_PRICE_EUR_PER_KWH = 0.06
