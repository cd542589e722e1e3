"""Vehicles at the stations of a grid, as arrays, and what they can reach."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, IntArray

ROUNDED_KWH = 1e-9  # energies nearer than this are one
#: of every vehicle: allowed range, unit
RANGES = {
    "start_kwh": (0.0, 1e6, "kWh"), "goal_kwh": (0.0, 1e6, "kWh"), "floor_kwh": (0.0, 1e6, "kWh"),
    "capacity_kwh": (1e-6, 1e6, "kWh"), "charge_min_kw": (0.0, 1e6, "kW"), "charge_max_kw": (0.0, 1e6, "kW"),
    "discharge_min_kw": (0.0, 1e6, "kW"), "discharge_max_kw": (0.0, 1e6, "kW"), "eta": (0.01, 1.0, ""),
}  # fmt: skip


@dataclass(frozen=True)
class Vehicles:
    """One entry per vehicle, shape (vehicles,). Powers are at the battery: 0, or within least and largest.

    Charging b [kW] draws b / eta from the grid, discharging b gives eta b.

    Args:
        station: which station it is plugged in at.
        arrival: first slot.
        departure: slot after the last one.
        start_kwh: energy at arrival.
        goal_kwh: least energy at departure.
        floor_kwh: least energy at any time.
        capacity_kwh: largest energy.
        charge_min_kw: least charging power that is not 0.
        charge_max_kw: largest.
        discharge_min_kw: least discharging power that is not 0.
        discharge_max_kw: largest; 0 = never discharges.
        eta: efficiency each way.
        names: for messages and files.
    """

    station: IntArray
    arrival: IntArray
    departure: IntArray
    start_kwh: FloatArray
    goal_kwh: FloatArray
    floor_kwh: FloatArray
    capacity_kwh: FloatArray
    charge_min_kw: FloatArray
    charge_max_kw: FloatArray
    discharge_min_kw: FloatArray
    discharge_max_kw: FloatArray
    eta: FloatArray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, which: IntArray) -> Vehicles:
        """Some of the vehicles."""
        arrays = {field.name: getattr(self, field.name)[which] for field in fields(self)[:-1]}
        return replace(self, **arrays, names=tuple(self.names[k] for k in which))

    def grid_kw(self, power_kw: FloatArray) -> FloatArray:
        """What battery powers draw from the grid, shape (vehicles, slots) [kW]."""
        eta = self.eta[:, None]
        return np.where(power_kw > 0.0, power_kw / eta, power_kw * eta)

    def plugged(self, slots: int) -> FloatArray:
        """Shape (vehicles, slots): 1 where a vehicle is plugged in."""
        slot = np.arange(slots)
        return ((self.arrival[:, None] <= slot) & (slot < self.departure[:, None])).astype(float)

    def energy_kwh(self, power_kw: FloatArray, slot_h: float) -> FloatArray:
        """Energy at the start of each slot and at the end, shape (vehicles, slots + 1); start_kwh until arrival."""
        gained = np.cumsum(power_kw, axis=1) * slot_h
        return self.start_kwh[:, None] + np.hstack([np.zeros((len(self), 1)), gained])


def check_vehicles(vehicles: Vehicles, slots: int, stations: int) -> None:
    """Refuse vehicles that make no sense; one that merely can't reach its goal is fine.

    Raises:
        InputError: names vehicle, key and range.
    """
    for k, name in enumerate(vehicles.names):
        for key, (low, high, unit) in RANGES.items():
            value = getattr(vehicles, key)[k]
            if not low <= value <= high:
                raise InputError(f"{name}: {key} is {value:g}, allowed {low:g} to {high:g} {unit}".rstrip())
        arrival, departure = vehicles.arrival[k], vehicles.departure[k]
        if not 0 <= arrival < departure <= slots:
            raise InputError(
                f"{name}: plugged in from slot {arrival} to {departure}, allowed 0 <= arr < dep <= {slots}"
            )
        if not 0 <= vehicles.station[k] < stations:
            raise InputError(f"{name}: station {vehicles.station[k]}, allowed 0 to {stations - 1}")
        low, high = vehicles.floor_kwh[k], vehicles.capacity_kwh[k]
        for key in ("start_kwh", "goal_kwh"):
            value = getattr(vehicles, key)[k]
            if not low <= value <= high:
                raise InputError(f"{name}: {key} is {value:g}, allowed {low:g} to {high:g} kWh, its battery's range")
        for way in ("charge", "discharge"):
            low, high = getattr(vehicles, f"{way}_min_kw")[k], getattr(vehicles, f"{way}_max_kw")[k]
            if low > high:
                raise InputError(f"{name}: {way}_min_kw is {low:g}, allowed up to {way}_max_kw, {high:g} kW")
