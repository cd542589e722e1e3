"""What a module may do: hard limits of this moment, and the feasible box of its base power.

The same `hard_limits` bound droop, the optimizer's box and the last gate. Power > 0 discharges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from v2g_nodes.core.battery import SECONDS_PER_HOUR, VehicleState
from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.derating import EK3_DERATING, Derating
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import Box

# Limits that close in (charge running out, departure coming near) fall no faster than twice this share of the
# ramp, so that a module running at its limit follows it with half the ramp to spare and the gate has no step to force.
_BRAKE_SHARE = 0.25
# Chosen: the must-charge bound plans with this share of the charging limit, so that derating on the way and the
# delay of the control loop do not leave the vehicle short.
_CHARGE_PLAN_SHARE = 0.95

ZERO_BOX = Box(0.0, 0.0)


@dataclass(frozen=True)
class ModuleRating:
    """What a module is built for.

    Args:
        p_max_kw: rating, both directions [kW], above 0.
        ramp_kw_per_s: largest change of power [kW/s], above 0.
        soc_min: state of charge below which it does not discharge, 0 to 1.
        soc_max: state of charge above which it does not charge, above soc_min and at most 1.
        efficiency: one way between battery and grid, above 0 and at most 1 (EK3 specification: 96.0 % at half load).
        derating: power against temperature.

    Raises:
        InputError: a value out of range.
    """

    p_max_kw: float
    ramp_kw_per_s: float
    soc_min: float
    soc_max: float
    efficiency: float = 0.96
    derating: Derating = field(default=EK3_DERATING)

    def __post_init__(self) -> None:
        check_positive("p_max_kw", self.p_max_kw, "kW")
        check_positive("ramp_kw_per_s", self.ramp_kw_per_s, "kW/s")
        check_range("soc_min", self.soc_min, 0.0, 1.0)
        check_range("soc_max", self.soc_max, 0.0, 1.0)
        check_positive("efficiency", self.efficiency)
        check_range("efficiency", self.efficiency, 0.0, 1.0)
        if not self.soc_min < self.soc_max:
            raise InputError(f"soc_min is {self.soc_min!r}, allowed below soc_max {self.soc_max!r}")


@dataclass(frozen=True)
class EnergyRoom:
    """Energy at the grid side that the battery can still give and take before its limits of charge.

    Args:
        discharge_kwh: [kWh], >= 0.
        charge_kwh: [kWh], >= 0.
    """

    discharge_kwh: float
    charge_kwh: float


def energy_room(rating: ModuleRating, soc: float, vehicle: VehicleState) -> EnergyRoom:
    """Room left: (SOC - SOC_min) E eta discharging, (SOC_max - SOC) E / eta charging; zero without a vehicle."""
    if not (vehicle.plugged and math.isfinite(soc)):
        return EnergyRoom(0.0, 0.0)
    return EnergyRoom(
        max(soc - rating.soc_min, 0.0) * vehicle.capacity_kwh * rating.efficiency,
        max(rating.soc_max - soc, 0.0) * vehicle.capacity_kwh / rating.efficiency,
    )


def is_derated(rating: ModuleRating, temperature_c: float, ambient_c: float | None) -> bool:
    """Whether temperature takes away from the rating in either direction."""
    return min(rating.derating.fractions(temperature_c, ambient_c)) < 1.0


def hard_limits(
    rating: ModuleRating,
    soc: float,
    temperature_c: float,
    vehicle: VehicleState,
    now_s: float,
    *,
    ambient_c: float | None = None,
    step_s: float = 1.0,
) -> Box:
    """Range of power allowed at this moment. Never raises: what is not known allows nothing.

    The smallest of rating, derating and charge room bounds each direction; the must-charge bound may take
    the upper end below zero, never below the lower end. Zero only without a vehicle.

    Args:
        rating: the module's.
        soc: state of charge as the controller believes it now, 0 to 1.
        temperature_c: hottest junction [deg C].
        vehicle: who is plugged in.
        now_s: same clock as `vehicle.departure_s` [s].
        ambient_c: [deg C]; None where no sensor tells.
        step_s: the longest time until the limits are looked at again [s]; charge can't run past its limits in it.
    """
    known = math.isfinite(soc) and math.isfinite(temperature_c) and math.isfinite(now_s)
    if not (vehicle.plugged and known) or (ambient_c is not None and not math.isfinite(ambient_c)):
        return ZERO_BOX
    charge_share, discharge_share = rating.derating.fractions(temperature_c, ambient_c)
    room = energy_room(rating, soc, vehicle)
    ramp = rating.ramp_kw_per_s
    high_kw = min(rating.p_max_kw * discharge_share, _tapered_kw(room.discharge_kwh, ramp, step_s))
    charge_kw = rating.p_max_kw * charge_share
    low_kw = 0.0 - min(charge_kw, _tapered_kw(room.charge_kwh, ramp, step_s))  # 0.0 - 0.0 is not -0.0
    must_kw = must_charge_bound_kw(rating, vehicle, now_s, charge_kw)
    return Box(low_kw, max(low_kw, min(high_kw, must_kw)))


def _tapered_kw(room_kwh: float, ramp_kw_per_s: float, step_s: float) -> float:
    """Power that room allows: all of it in one step, or what can be ramped down within it, sqrt(2 b room)."""
    room_kws = room_kwh * SECONDS_PER_HOUR
    at_once_kw = room_kws / step_s if step_s > 0.0 else math.inf
    return min(at_once_kw, math.sqrt(2.0 * _BRAKE_SHARE * ramp_kw_per_s * room_kws))


def must_charge_bound_kw(rating: ModuleRating, vehicle: VehicleState, now_s: float, charge_kw: float) -> float:
    """Upper bound on power that keeps the energy due within reach [kW]; infinity when nothing is due.

    The slack is the energy that full charging until departure would bring beyond what is due. While there is
    slack, the bound is the power from which the module can still ramp down to full charging within it:
    (P + p)^2 <= 2 b eta slack. When it is used up, the bound is the even rate due / (eta * time left), at most
    full charging; a due that can't be met any more gets full charging (best effort).

    Args:
        rating: ramp and efficiency.
        vehicle: departure and energy due.
        now_s: same clock as the departure [s].
        charge_kw: charging power that temperature allows [kW], >= 0.
    """
    if not vehicle.plugged or vehicle.departure_s is None or not vehicle.energy_due_kwh > 0.0:
        return math.inf
    left_h = (vehicle.departure_s - now_s) / SECONDS_PER_HOUR
    plan_kw = _CHARGE_PLAN_SHARE * charge_kw
    slack_kwh = rating.efficiency * plan_kw * left_h - vehicle.energy_due_kwh
    if slack_kwh > 0.0:
        brake = 2.0 * _BRAKE_SHARE * rating.ramp_kw_per_s * rating.efficiency
        return -plan_kw + math.sqrt(brake * slack_kwh * SECONDS_PER_HOUR)
    due_kwh = vehicle.energy_due_kwh / rating.efficiency  # at the grid side
    return -charge_kw if due_kwh >= charge_kw * left_h else -due_kwh / left_h


def with_zero(box: Box) -> Box:
    """The box widened to hold zero: for a module that is to go to zero whatever is due to its vehicle."""
    return Box(min(box.low_kw, 0.0), max(box.high_kw, 0.0))


def droop_headroom_kw(gain_kw_per_hz: float, reserve_hz: float) -> float:
    """Power kept free for droop on each side: k * reserve [kW]."""
    return gain_kw_per_hz * reserve_hz


def feasible_box(
    hard: Box,
    previous_kw: float,
    ramp_kw_per_s: float,
    step_s: float,
    headroom_kw: float,
    room: EnergyRoom,
) -> Box:
    """Range of base power for the next epoch. Always a box inside the hard limits.

    Ranges are narrowed in the order hard limits and energy, ramp, droop headroom. One that would leave
    nothing narrows to its nearest point instead, so hard limits win over ramp and ramp wins over headroom.
    Headroom never pushes the range away from zero: a module that can't discharge is not made to charge only
    to have room; that module's droop is then one-sided.

    Args:
        hard: hard limits of this moment.
        previous_kw: base power in force before [kW].
        ramp_kw_per_s: largest change [kW/s].
        step_s: length of the epoch [s].
        headroom_kw: power kept free on each side [kW], >= 0.
        room: energy the battery can give and take.

    Raises:
        InputError: a value not finite or negative, or the hard limits crossed.
    """
    check_range("previous_kw", previous_kw, -math.inf, math.inf, "kW")
    check_positive("ramp_kw_per_s", ramp_kw_per_s, "kW/s")
    check_positive("step_s", step_s, "s")
    check_range("headroom_kw", headroom_kw, 0.0, math.inf, "kW")
    if not -math.inf < hard.low_kw <= hard.high_kw < math.inf:
        raise InputError(f"hard limits are [{hard.low_kw!r}, {hard.high_kw!r}] kW, allowed is low <= high, finite")
    step_h = step_s / SECONDS_PER_HOUR
    box = _narrowed(hard, -room.charge_kwh / step_h, room.discharge_kwh / step_h)
    reach_kw = ramp_kw_per_s * step_s
    box = _narrowed(box, previous_kw - reach_kw, previous_kw + reach_kw)
    free_low = max(hard.low_kw, min(hard.low_kw + headroom_kw, 0.0))
    free_high = min(hard.high_kw, max(hard.high_kw - headroom_kw, 0.0))
    return _narrowed(box, free_low, free_high)


def _narrowed(box: Box, low_kw: float, high_kw: float) -> Box:
    """The part of the box in [low, high]; the point of the box nearest to that range where there is none."""
    low = min(max(box.low_kw, low_kw), box.high_kw)
    high = max(min(box.high_kw, high_kw), box.low_kw)
    return Box(low, high)
