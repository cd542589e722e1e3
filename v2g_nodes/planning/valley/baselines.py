"""What fleets do without a plan: charge on arrival, or in the cheapest slots of a price that does not answer."""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.fleet import Fleet, IntArray


def on_arrival(fleet: Fleet, slots: int, slot_h: float) -> FloatArray:
    """All charge at full power from their first slot until they have what they asked for.

    Args:
        fleet: the vehicles.
        slots: of the horizon.
        slot_h: width of a slot [h].

    Returns:
        Power, shape (vehicles, slots) [kW].
    """
    return _in_order(fleet, np.arange(slots), slot_h)


def in_cheapest_slots(fleet: Fleet, price: FloatArray, slot_h: float) -> FloatArray:
    """All charge at full power in the cheapest slots of their windows: price-only charging.

    Args:
        fleet: the vehicles.
        price: shape (slots,) [EUR/kWh]; the earlier of two equal slots counts as cheaper.
        slot_h: width of a slot [h].

    Returns:
        Power, shape (vehicles, slots) [kW].
    """
    return _in_order(fleet, np.argsort(price, kind="stable"), slot_h)


def _in_order(fleet: Fleet, order: IntArray, slot_h: float) -> FloatArray:
    """Full power in the slots of the window in this order, until the energy is in."""
    plugged = (order >= fleet.first_slot[:, None]) & (order < fleet.end_slot[:, None])
    most = fleet.power_kw[:, None] * plugged
    before = most.cumsum(axis=1) - most
    left = np.maximum(fleet.energy_kwh, 0.0)[:, None] / slot_h - before
    power = np.empty_like(most)
    power[:, order] = np.clip(left, 0.0, most)
    return power
