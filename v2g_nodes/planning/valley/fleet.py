"""A fleet as arrays: when each vehicle can charge, how fast, how much, and what it costs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray

IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

POWER_MAX_KW = 10_000.0
ENERGY_MAX_KWH = 100_000.0
#: what every vehicle has: smallest and largest allowed value, unit
RANGES = {
    "energy_kwh": (-ENERGY_MAX_KWH, ENERGY_MAX_KWH, "kWh"),
    "power_kw": (0.0, POWER_MAX_KW, "kW"),
    "discharge_kw": (0.0, POWER_MAX_KW, "kW"),
    "quadratic": (1e-9, 1e6, "EUR/kW2h"),
    "linear": (0.0, 1e3, "EUR/kWh"),
    "benefit": (1e-9, np.inf, "EUR/kWh2"),
    "room_kwh": (0.0, ENERGY_MAX_KWH, "kWh"),
    "reserve_kwh": (0.0, ENERGY_MAX_KWH, "kWh"),
}


@dataclass(frozen=True)
class Fleet:
    """Vehicles, one entry of each array per vehicle; shape (vehicles,).

    A vehicle that takes power u [kW], > 0 charging, bears g(u) = quadratic u^2 + linear |u| [EUR/h] itself, and loses
    benefit * (energy_kwh - w)^2 [EUR] where it gets w [kWh] only.

    Args:
        first_slot: first slot in which it is plugged in.
        end_slot: slot after the last one, above first_slot.
        energy_kwh: asked for; it never gets more [kWh].
        power_kw: largest charging power [kW].
        discharge_kw: largest discharging power [kW]; 0 = never discharges.
        quadratic: demand charge and wear, above 0 [EUR/kW^2 h].
        linear: wear per energy [EUR/kWh].
        benefit: delta of the benefit of energy [EUR/kWh^2]; infinite = the energy is due, as far as possible.
        room_kwh: what the battery can still take at arrival, at least energy_kwh [kWh].
        reserve_kwh: what it may give below its charge at arrival [kWh].
        names: of the vehicles for messages and files; empty = their numbers from 1.
    """

    first_slot: IntArray
    end_slot: IntArray
    energy_kwh: FloatArray
    power_kw: FloatArray
    discharge_kw: FloatArray
    quadratic: FloatArray
    linear: FloatArray
    benefit: FloatArray
    room_kwh: FloatArray
    reserve_kwh: FloatArray
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.first_slot)

    @property
    def response_per_price(self) -> FloatArray:
        """1/(2 quadratic), the source's nu: most that power changes in a slot per price [kW per EUR/kWh]."""
        return 0.5 / self.quadratic

    @property
    def discharges(self) -> bool:
        """Whether any vehicle can give power."""
        return bool(self.discharge_kw.any())

    def name(self, vehicle: int) -> str:
        """How a vehicle is called."""
        return self.names[vehicle] if self.names else f"vehicle {vehicle + 1}"

    def take(self, which: slice | IntArray | BoolArray) -> Fleet:
        """Some of the vehicles, without their names."""
        return Fleet(*(getattr(self, field.name)[which] for field in fields(self)[:-1]))

    def blocks(self, size: int) -> list[Fleet]:
        """The fleet in parts of `size` vehicles, the last one smaller."""
        return [self.take(slice(k, k + size)) for k in range(0, len(self), size)]

    def most_kwh(self, slot_h: float) -> FloatArray:
        """What each vehicle can charge at most in its window [kWh]."""
        return self.power_kw * slot_h * (self.end_slot - self.first_slot)


def check_fleet(fleet: Fleet, slots: int) -> None:
    """Refuse a fleet that can't be planned.

    Args:
        fleet: to look at.
        slots: of the horizon.

    Raises:
        InputError: no vehicle, arrays of different lengths, or a value out of range, with the vehicle's name.
    """
    if not len(fleet):
        raise InputError("fleet has 0 vehicles, allowed at least 1")
    for field in fields(fleet)[:-1]:
        if np.shape(getattr(fleet, field.name)) != (len(fleet),):
            found = np.shape(getattr(fleet, field.name))
            raise InputError(f"{field.name} of the fleet has shape {found}, allowed ({len(fleet)},)")
    for key, (low, high, unit) in RANGES.items():
        values = getattr(fleet, key)
        _refuse(fleet, key, values, ~((values >= low) & (values <= high)), f"{low:g} to {high:g} {unit}")
    _refuse(fleet, "first_slot", fleet.first_slot, (fleet.first_slot < 0) | (fleet.first_slot >= slots),
            f"0 to {slots - 1}")
    _refuse(fleet, "end_slot", fleet.end_slot, (fleet.end_slot <= fleet.first_slot) | (fleet.end_slot > slots),
            f"above its first slot, up to {slots}: departure after arrival")
    _refuse(fleet, "energy_kwh", fleet.energy_kwh, fleet.energy_kwh > fleet.room_kwh * (1 + 1e-12) + 1e-12,
            "up to what its battery can take, room_kwh")
    _refuse(fleet, "energy_kwh", fleet.energy_kwh, fleet.energy_kwh < -fleet.reserve_kwh,
            "at least minus what it may give, reserve_kwh")


def _refuse(fleet: Fleet, key: str, values: NDArray[np.generic], wrong: BoolArray, allowed: str) -> None:
    if wrong.any():
        vehicle = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{fleet.name(vehicle)}: {key} is {values[vehicle]:g}, allowed {allowed}")


def join(fleets: Sequence[Fleet]) -> Fleet:
    """Fleets one after another, without names."""
    return Fleet(*(np.concatenate([getattr(fleet, field.name) for fleet in fleets]) for field in fields(Fleet)[:-1]))


def uniform_fleet(
    vehicles: int,
    slots: int,
    *,
    energy_kwh: float = 20.0,
    power_kw: float = 100.0,
    discharge_kw: float = 0.0,
    quadratic: float = 0.003,
    linear: float = 0.11,
    benefit: float = 0.03,
    room_kwh: float | None = None,
    reserve_kwh: float = 0.0,
) -> Fleet:
    """Equal vehicles in one common window, as in the source; its numbers by default (EQUATIONS 001.3).

    Args:
        vehicles: at least 1.
        slots: of the horizon, all of them in the window.
        energy_kwh: see `Fleet`, as all others.
        power_kw: the source knows no limit; 100 kW does not bind there.
        discharge_kw: see `Fleet`.
        quadratic: see `Fleet`.
        linear: see `Fleet`.
        benefit: see `Fleet`.
        room_kwh: default energy_kwh.
        reserve_kwh: see `Fleet`.
    """

    def all_have(value: float) -> FloatArray:
        return np.full(vehicles, value, dtype=np.float64)

    return Fleet(
        np.zeros(vehicles, dtype=np.int64), np.full(vehicles, slots, dtype=np.int64), all_have(energy_kwh),
        all_have(power_kw), all_have(discharge_kw), all_have(quadratic), all_have(linear), all_have(benefit),
        all_have(energy_kwh if room_kwh is None else room_kwh), all_have(reserve_kwh),
    )  # fmt: skip


def random_fleet(vehicles: int, slots: int, slot_h: float, seed: Sequence[int], discharging: float = 0.0) -> Fleet:
    """Unlike vehicles with windows of their own, reproducible.

    They come in the first half of the horizon, stay a third of it or longer, and ask for energy that their charger can
    deliver in 35 to 85 % of the stay.

    Args:
        vehicles: at least 1.
        slots: of the horizon.
        slot_h: width of a slot [h].
        seed: names the fleet.
        discharging: share of the vehicles that can also discharge, 0 to 1; their batteries wear less, or it never pays.
    """
    draw = np.random.default_rng(seed)
    first = np.floor(draw.triangular(0.0, 0.2, 0.5, vehicles) * slots).astype(np.int64)
    stay = np.maximum(np.floor(draw.uniform(0.33, 0.85, vehicles) * slots).astype(np.int64), 1)
    end = np.minimum(first + stay, slots)
    power = draw.choice([3.7, 7.4, 11.0], vehicles)
    possible = power * slot_h * (end - first)
    energy = np.minimum(draw.uniform(0.35, 0.85, vehicles) * possible, draw.uniform(8, 60, vehicles))
    gives = draw.random(vehicles) < discharging
    demand, price = draw.uniform(0.001, 0.003, vehicles), draw.uniform(0.7, 1.3, vehicles)
    wear = 0.0012 * price * 20.0 / np.maximum(energy, 8.0)
    return Fleet(
        first, end, energy, power, np.where(gives, power, 0.0), demand + wear,
        np.where(gives, 0.05, 1.0) * 0.11 * price, np.exp(draw.uniform(np.log(0.03), np.log(1.0), vehicles)),
        energy + draw.uniform(0.0, 20.0, vehicles), np.where(gives, draw.uniform(0.0, 20.0, vehicles), 0.0),
    )  # fmt: skip
