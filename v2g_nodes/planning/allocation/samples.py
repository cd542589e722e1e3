"""Fleets and loads to plan with where there is no file: the source's set and a seeded random fleet."""

from __future__ import annotations

import math

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation.problem import Vehicle

# Chosen: the source's figures are lost. Load of a distribution transformer over twelve hours [kW].
LOAD_KW = (30.0, 32.0, 36.0, 42.0, 48.0, 50.0, 46.0, 40.0, 33.0, 27.0, 24.0, 26.0)
SOC_START_KWH, SOC_GOAL_KWH = 4.8, 21.6  # 20 and 90 % of 24 kWh
COMMITMENT = 0.05  # chosen: owners that leave nearly all to the grid, where more vehicles help most


def equal_vehicles(count: int, slots: int, slot_h: float, commitment: float) -> tuple[Vehicle, ...]:
    """The source's set: equal vehicles that stay throughout; in a short plan they are due what the charger can do.

    Args:
        count: vehicles.
        slots: of the plan.
        slot_h: width of a slot [h].
        commitment: alpha of all.
    """
    goal = min(SOC_GOAL_KWH, SOC_START_KWH + 0.5 * Vehicle.power_kw * slots * slot_h)
    return tuple(Vehicle(f"EV{k + 1}", 0, slots, SOC_START_KWH, goal, commitment=commitment) for k in range(count))


def random_vehicles(count: int, slots: int, slot_h: float, commitment: float | None, seed: int) -> tuple[Vehicle, ...]:
    """Vehicles that differ in battery, charger, stay, energy and commitment; the first ones don't depend on count.

    Args:
        count: vehicles.
        slots: of the plan.
        slot_h: width of a slot [h].
        commitment: alpha of all; None: each has its own, spread around COMMITMENT by a factor of two to each side.
        seed: names the fleet.
    """
    return tuple(_random_vehicle(k, slots, slot_h, commitment, np.random.default_rng((seed, k))) for k in range(count))


def _random_vehicle(
    number: int, slots: int, slot_h: float, commitment: float | None, random: np.random.Generator
) -> Vehicle:
    battery = float(random.choice((24.0, 40.0, 64.0, 77.0)))
    power = float(random.choice((3.3, 3.3, 6.6, 11.0)))
    stay = int(random.integers(math.ceil(slots / 3), slots + 1))
    arrival = int(random.integers(0, slots - stay + 1))
    start = battery * random.uniform(0.2, 0.7)
    most = 0.85 * power * stay * slot_h
    goal = start + float(np.clip(battery * random.uniform(0.3, 1.0) - start, -most, most))
    own = COMMITMENT * 2.0 ** random.uniform(-1.0, 1.0) if commitment is None else commitment
    return Vehicle(
        f"EV{number + 1}", arrival, arrival + stay, start, goal, 0.15 * battery, battery, power, power / 0.9, own
    )


def sample_load_kw(slots: int, slot_h: float) -> FloatArray:
    """LOAD_KW again and again, straight lines between its hours [kW], shape (slots,).

    Args:
        slots: of the plan.
        slot_h: width of a slot [h].
    """
    hours = np.arange(slots) * slot_h
    result: FloatArray = np.interp(hours, np.arange(len(LOAD_KW)), LOAD_KW, period=len(LOAD_KW))
    return result


def reactive_load_kvar(load_kw: FloatArray, power_factor: float) -> FloatArray:
    """Reactive load at a power factor [kvar].

    Args:
        load_kw: active load [kW].
        power_factor: above 0, up to 1.
    """
    return load_kw * math.tan(math.acos(power_factor))
