"""Vehicles at a station and to come, as a planner sees them: energies at the grid side, whole slots of their stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.slots import whole_slots

HOUR_S = 3600.0


@dataclass(frozen=True)
class ParkedVehicle:
    """One vehicle. Energies are at the grid side, and so are powers.

    Args:
        name: of its session, the only one of that name.
        arrival_s: after the start of the plan [s]; 0 or less: it is there.
        departure_s: after the start of the plan [s]; infinite = not known.
        due_kwh: owed until departure, at least 0 [kWh].
        room_kwh: what the battery takes until it is full, at least 0 [kWh].
        reserve_kwh: what it may give, at least 0 [kWh].
        power_kw: most of its module in either direction that a plan may use [kW].
        quadratic: wear and loss at power u are quadratic u^2 + linear |u| [EUR/kW^2 h].
        linear: see quadratic [EUR/kWh].
    """

    name: str
    arrival_s: float
    departure_s: float
    due_kwh: float
    room_kwh: float
    reserve_kwh: float
    power_kw: float
    quadratic: float
    linear: float


@dataclass(frozen=True)
class Horizon:
    """What a plan looks ahead to.

    Args:
        slot_s: width of a slot [s].
        price_eur_per_kwh: per slot, shape (slots,) [EUR/kWh].
        site_load_kw: other load behind the connection, shape (slots,) [kW], > 0 consumes.
    """

    slot_s: float
    price_eur_per_kwh: FloatArray
    site_load_kw: FloatArray

    @property
    def slots(self) -> int:
        """Slots of the plan."""
        return len(self.price_eur_per_kwh)

    @property
    def slot_h(self) -> float:
        """Width of a slot [h]."""
        return self.slot_s / HOUR_S


@dataclass(frozen=True)
class Stay:
    """A vehicle with the whole slots it can use.

    Args:
        vehicle: who.
        first_slot: of the plan.
        end_slot: slot after the last one, above first_slot.
        charge_kwh: what of its due these slots can bring, at full power at most [kWh].
    """

    vehicle: ParkedVehicle
    first_slot: int
    end_slot: int
    charge_kwh: float


def stays_of(vehicles: Sequence[ParkedVehicle], horizon: Horizon) -> list[Stay]:
    """The vehicles that have a whole slot in the plan.

    Who leaves before one ends is charged by the must-charge bound of its module alone.
    """
    stays = []
    for vehicle in vehicles:
        first, end = whole_slots(vehicle.arrival_s, vehicle.departure_s, horizon.slot_s, horizon.slots)
        if end > first and vehicle.power_kw > 0.0:
            most = vehicle.power_kw * (end - first) * horizon.slot_h
            stays.append(Stay(vehicle, first, end, min(vehicle.due_kwh, vehicle.room_kwh, most)))
    return stays


def present_kw(stays: Sequence[Stay], slots: int) -> FloatArray:
    """Sum of the powers of those plugged in, shape (slots,) [kW]."""
    total = np.zeros(slots)
    for stay in stays:
        total[stay.first_slot : stay.end_slot] += stay.vehicle.power_kw
    return total
