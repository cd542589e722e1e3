"""Charging sessions as a fleet, and why a vehicle can't have what is due to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.slots import whole_slots
from v2g_nodes.planning.valley.fleet import Fleet, uniform_fleet


@dataclass(frozen=True)
class Stay:
    """One vehicle's time at the station.

    Args:
        name: of the session.
        arrival_s: after the start of the horizon [s]; may be below 0.
        departure_s: after the start of the horizon [s]; may be after its end.
        energy_kwh: due at departure [kWh].
    """

    name: str
    arrival_s: float
    departure_s: float
    energy_kwh: float


@dataclass(frozen=True)
class Vehicles:
    """What stays make.

    Args:
        fleet: those that have a whole slot.
        planned: the stay of each.
        left_out: names of the others, with the reason.
    """

    fleet: Fleet
    planned: tuple[Stay, ...]
    left_out: dict[str, str]


def fleet_of(
    stays: Sequence[Stay],
    slots: int,
    slot_h: float,
    *,
    power_kw: float,
    battery_kwh: float,
    quadratic: float,
    linear: float,
    benefit: float,
    discharge_kw: float = 0.0,
) -> Vehicles:
    """A fleet of equal chargers; a vehicle charges in the whole slots of its stay inside the horizon.

    Args:
        stays: at least one.
        slots: of the horizon.
        slot_h: width of a slot [h].
        power_kw: of each charger [kW].
        battery_kwh: of each vehicle; at departure it has at least the energy it came for [kWh].
        quadratic: see `Fleet`, as the next two.
        linear: see `Fleet`.
        benefit: see `Fleet`; infinite = the energy is due.
        discharge_kw: of each charger [kW]; the battery may give half of what it does not take.

    Raises:
        InputError: an energy above the battery, or no stay with a whole slot.
    """
    left_out, kept, windows = {}, [], []
    for stay in stays:
        if stay.energy_kwh > battery_kwh:
            raise InputError(f"session {stay.name}: energy_kwh is {stay.energy_kwh:g}, allowed up to {battery_kwh:g}, "
                             "the battery (--battery-kwh)")  # fmt: skip
        first, end = whole_slots(stay.arrival_s, stay.departure_s, slot_h * 3600.0, slots)
        if end > first:
            kept.append(stay)
            windows.append((first, end))
        else:
            left_out[stay.name] = f"no whole slot of {slot_h * 60:g} min of its stay lies in the plan"
    if not kept:
        raise InputError(f"none of {len(stays)} sessions has a whole slot of {slot_h * 60:g} min in the plan, "
                         "allowed at least one")  # fmt: skip
    equal = uniform_fleet(len(kept), slots, power_kw=power_kw, discharge_kw=discharge_kw, quadratic=quadratic,
                          linear=linear, benefit=benefit, room_kwh=battery_kwh)  # fmt: skip
    energy = np.array([stay.energy_kwh for stay in kept])
    first_slot, end_slot = np.array(windows, dtype=np.int64).T
    spare = (battery_kwh - energy) / 2.0 if discharge_kw else np.zeros(len(kept))
    fleet = replace(equal, first_slot=first_slot, end_slot=end_slot, energy_kwh=energy, room_kwh=energy + spare,
                    reserve_kwh=spare, names=tuple(stay.name for stay in kept))  # fmt: skip
    return Vehicles(fleet, tuple(kept), left_out)


def reasons(vehicles: Vehicles, delivered_kwh: FloatArray, slot_h: float, short: float = 1e-3) -> dict[str, str]:
    """Why each vehicle that lacks a due energy lacks it, by name.

    Args:
        vehicles: as made from stays.
        delivered_kwh: to each of the fleet, shape (vehicles,) [kWh].
        slot_h: width of a slot [h].
        short: from this share of the energy on.
    """
    fleet, told = vehicles.fleet, dict(vehicles.left_out)
    most = fleet.most_kwh(slot_h)
    for k, stay in enumerate(vehicles.planned):
        if delivered_kwh[k] >= fleet.energy_kwh[k] * (1.0 - short):
            continue
        hours = (fleet.end_slot[k] - fleet.first_slot[k]) * slot_h
        stayed = (stay.departure_s - stay.arrival_s) / 3600.0
        if most[k] < fleet.energy_kwh[k]:
            why = (f"{fleet.power_kw[k]:g} kW in the {hours:g} h of its whole slots are {most[k]:.3g} kWh, "
                   f"it stays {stayed:.3g} h")  # fmt: skip
        else:
            why = "more costs it more than it is worth to it"
        told[stay.name] = f"gets {delivered_kwh[k]:.3g} of {fleet.energy_kwh[k]:.3g} kWh: {why}"
    return told
