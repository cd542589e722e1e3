"""A fleet as arrays, in the planner's own units: kWh per slot, > 0 charges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.allocation.problem import Vehicle

BoolArray = NDArray[np.bool_]

REFERENCE_SHARE = 0.9  # of the charger's power: what an owner who thinks of nothing else uses (the source's set)
FREEDOM_MIN = 1e-9  # of what the charger can do; a vehicle with less choice than this has none


@dataclass(frozen=True)
class Fleet:
    """Vehicles side by side; the first axis is the vehicle.

    Args:
        energy: to be charged in the stay [kWh], shape (n,).
        soc_start: at arrival [kWh], shape (n,).
        soc_low: lower limit [kWh], shape (n,).
        soc_high: upper limit [kWh], shape (n,).
        limit: largest energy of a slot, in either direction [kWh], shape (n,).
        rating: apparent power times slot [kVAh], shape (n,).
        commitment: alpha, shape (n,).
        inside: slots of the stay, shape (n, slots).
        reference: of the owner [kWh], zero outside the stay, shape (n, slots).
    """

    energy: FloatArray
    soc_start: FloatArray
    soc_low: FloatArray
    soc_high: FloatArray
    limit: FloatArray
    rating: FloatArray
    commitment: FloatArray
    inside: BoolArray
    reference: FloatArray

    @property
    def size(self) -> int:
        """Number of vehicles."""
        return int(self.energy.size)

    @property
    def stay(self) -> IntArray:
        """Slots of each stay, shape (n,)."""
        result: IntArray = self.inside.sum(axis=1)
        return result

    @property
    def committed(self) -> BoolArray:
        """Vehicles that follow their owner alone, shape (n,)."""
        result: BoolArray = self.commitment == 1.0
        return result

    @property
    def free(self) -> BoolArray:
        """Vehicles that have a choice, shape (n,): more than one slot, not full power throughout, room for charge."""
        room = self.stay * self.limit
        return (
            (self.stay > 1)
            & (np.abs(self.energy) < room * (1.0 - FREEDOM_MIN))
            & (self.soc_high - self.soc_low > FREEDOM_MIN * self.soc_high)
        )

    def select(self, which: BoolArray) -> Fleet:
        """Some of the vehicles, in the same order."""
        return Fleet(*(getattr(self, field.name)[which] for field in fields(self)))

    def even(self) -> FloatArray:
        """The energy spread evenly over the stay [kWh], shape (n, slots)."""
        share = np.clip(self.energy / self.stay, -self.limit, self.limit)
        return np.where(self.inside, share[:, None], 0.0)

    def soc(self, strategies: FloatArray) -> FloatArray:
        """Energy in the batteries after each slot [kWh], shape (n, slots)."""
        result: FloatArray = self.soc_start[:, None] + np.cumsum(strategies, axis=1)
        return result


def fleet_of(vehicles: Sequence[Vehicle], slots: int, slot_h: float) -> Fleet:
    """Vehicles as arrays.

    Args:
        vehicles: checked against slots and slot_h.
        slots: of the plan.
        slot_h: width of a slot [h].
    """
    index = np.arange(slots)
    arrival = np.array([v.arrival_slot for v in vehicles])[:, None]
    departure = np.array([v.departure_slot for v in vehicles])[:, None]
    return Fleet(
        energy=np.array([v.energy_kwh for v in vehicles]),
        soc_start=np.array([v.soc_start_kwh for v in vehicles]),
        soc_low=np.array([v.soc_min_kwh for v in vehicles]),
        soc_high=np.array([v.soc_max_kwh for v in vehicles]),
        limit=np.array([v.power_kw * slot_h for v in vehicles]),
        rating=np.array([v.rating_kva * slot_h for v in vehicles]),
        commitment=np.array([v.commitment for v in vehicles]),
        inside=(index >= arrival) & (index < departure),
        reference=np.stack([_reference(v, slots, slot_h) for v in vehicles]),
    )


def _reference(vehicle: Vehicle, slots: int, slot_h: float) -> FloatArray:
    wanted = np.zeros(slots)
    stay = slice(vehicle.arrival_slot, vehicle.departure_slot)
    if vehicle.reference_kw is not None:
        wanted[stay] = -np.array(vehicle.reference_kw) * slot_h
        return wanted
    due = abs(vehicle.energy_kwh)
    rate = max(REFERENCE_SHARE * vehicle.power_kw * slot_h, due / vehicle.stay_slots)
    left = due - rate * np.arange(vehicle.stay_slots)
    wanted[stay] = np.copysign(np.clip(left, 0.0, rate), vehicle.energy_kwh)
    return wanted
