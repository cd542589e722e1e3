"""What is to be planned: vehicles with their stays, limits and commitment, and the load they share a grid with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_count, check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray

COMMITMENT_MIN = 1e-3  # chosen; at 0 only the sum over vehicles would be determined
EVEN_SHARE = 1.0 + 1e-12  # rounding of an energy that needs full power throughout
SIZE_MAX = 5e7  # vehicles x slots^2: the planner's matrices then take 2 GB


@dataclass(frozen=True)
class Vehicle:
    """One vehicle and its stay.

    Args:
        name: as messages call it.
        arrival_slot: first slot it may use, from 0.
        departure_slot: first slot it may not use any more, above arrival_slot.
        soc_start_kwh: energy in the battery at arrival [kWh].
        soc_goal_kwh: energy due at departure [kWh]; below soc_start_kwh: a net discharge.
        soc_min_kwh: lower limit [kWh].
        soc_max_kwh: upper limit [kWh].
        power_kw: largest active power of the charger in either direction [kW].
        rating_kva: largest apparent power of the charger [kVA], at least power_kw.
        commitment: alpha, 1 follows the owner's reference alone, COMMITMENT_MIN to 1.
        reference_kw: power the owner would like in each slot of the stay [kW], > 0 discharges; None: 90 % of
            power_kw from arrival until the goal is reached, more where the stay is too short for that.

    Raises:
        InputError: a value out of range, or a goal the charger can't reach; the message names the vehicle.
    """

    name: str
    arrival_slot: int
    departure_slot: int
    soc_start_kwh: float
    soc_goal_kwh: float
    soc_min_kwh: float = 3.6
    soc_max_kwh: float = 24.0
    power_kw: float = 3.3
    rating_kva: float = 3.3 / 0.9
    commitment: float = 0.05
    reference_kw: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        who = f"vehicle {self.name}:"
        check_range(f"{who} arrival slot", self.arrival_slot, 0, math.inf)
        if self.departure_slot <= self.arrival_slot:
            raise InputError(
                f"{who} departure slot is {self.departure_slot}, allowed is after arrival slot {self.arrival_slot}"
            )
        check_range(f"{who} soc_min_kwh", self.soc_min_kwh, 0.0, math.inf, "kWh")
        check_range(f"{who} soc_max_kwh", self.soc_max_kwh, self.soc_min_kwh, math.inf, "kWh")
        check_range(f"{who} soc_start_kwh", self.soc_start_kwh, self.soc_min_kwh, self.soc_max_kwh, "kWh")
        check_range(f"{who} soc_goal_kwh", self.soc_goal_kwh, self.soc_min_kwh, self.soc_max_kwh, "kWh")
        check_positive(f"{who} power_kw", self.power_kw, "kW")
        check_range(f"{who} rating_kva", self.rating_kva, self.power_kw, math.inf, "kVA")
        check_range(f"{who} commitment", self.commitment, COMMITMENT_MIN, 1.0)
        if self.reference_kw is not None:
            check_count(f"{who} reference_kw", self.reference_kw, self.stay_slots)
            for slot, power in enumerate(self.reference_kw):
                check_range(f"{who} reference_kw of slot {slot} of the stay", power, -math.inf, math.inf, "kW")

    @property
    def stay_slots(self) -> int:
        """Slots it may use."""
        return self.departure_slot - self.arrival_slot

    @property
    def energy_kwh(self) -> float:
        """Energy to be charged in the stay [kWh], below zero: discharged."""
        return self.soc_goal_kwh - self.soc_start_kwh

    def check_slots(self, slots: int, slot_h: float) -> None:
        """Refuse a stay that is longer than the plan, or too short for the energy.

        Raises:
            InputError: with vehicle, value and what is allowed.
        """
        if self.departure_slot > slots:
            raise InputError(
                f"vehicle {self.name}: departure slot is {self.departure_slot}, allowed up to {slots}, the plan's end"
            )
        most = self.power_kw * slot_h * self.stay_slots
        if abs(self.energy_kwh) > most * EVEN_SHARE:
            raise InputError(
                f"vehicle {self.name}: energy due is {self.energy_kwh:g} kWh, allowed {-most:g} to {most:g} kWh: "
                f"{self.power_kw:g} kW for {self.stay_slots} slots of {slot_h:g} h"
            )


@dataclass(frozen=True)
class Problem:
    """A fleet and the load of its grid.

    Args:
        vehicles: at least one, names distinct.
        load_kw: active load without the vehicles per slot [kW], shape (slots,), > 0 consumes.
        load_kvar: reactive load without the vehicles per slot [kvar], shape (slots,).
        slot_h: width of a slot [h].
        smoothing: beta, 1 smooths the load from slot to slot, 0 flattens it to its mean, 0 to 1.

    Raises:
        InputError: with the vehicle or slot at fault.
    """

    vehicles: tuple[Vehicle, ...]
    load_kw: FloatArray
    load_kvar: FloatArray
    slot_h: float = 1.0
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        if not self.vehicles:
            raise InputError("fleet has 0 vehicles, allowed at least 1")
        check_positive("slot_h", self.slot_h, "h")
        check_range("smoothing", self.smoothing, 0.0, 1.0)
        size = len(self.vehicles) * self.slots**2
        if size > SIZE_MAX:
            raise InputError(
                f"{len(self.vehicles)} vehicles in {self.slots} slots: vehicles x slots^2 is {size:.3g}, "
                f"allowed up to {SIZE_MAX:g}"
            )
        check_count("load_kvar", self.load_kvar.tolist(), self.slots)
        _check_finite("load_kw", self.load_kw, "kW")
        _check_finite("load_kvar", self.load_kvar, "kvar")
        seen: set[str] = set()
        for vehicle in self.vehicles:
            if vehicle.name in seen:
                raise InputError(f"vehicle {vehicle.name} is there twice, allowed is once")
            seen.add(vehicle.name)
            vehicle.check_slots(self.slots, self.slot_h)

    @property
    def slots(self) -> int:
        """Number of slots."""
        return int(self.load_kw.size)


def _check_finite(name: str, values: FloatArray, unit: str) -> None:
    for slot, value in enumerate(values.tolist()):
        check_range(f"{name} of slot {slot}", value, -math.inf, math.inf, unit)


def problem(
    vehicles: Sequence[Vehicle],
    load_kw: Sequence[float],
    load_kvar: Sequence[float] | None = None,
    slot_h: float = 1.0,
    smoothing: float = 1.0,
) -> Problem:
    """A problem from plain sequences; no reactive load where none is given. See Problem."""
    active = np.asarray(load_kw, dtype=np.float64)
    reactive = np.zeros_like(active) if load_kvar is None else np.asarray(load_kvar, dtype=np.float64)
    return Problem(tuple(vehicles), active, reactive, slot_h, smoothing)
