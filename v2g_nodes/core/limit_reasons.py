"""Why a module's limits are what they are, in words."""

from __future__ import annotations

import math
from typing import NamedTuple

from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.module_control import Observation
from v2g_nodes.core.types import Box

SHOWN_KW = 0.005  # kW, smaller differences are not worth a word


class LimitReasons(NamedTuple):
    """What takes away from the rating, by cause; empty texts for what does not.

    Args:
        temperature: derating, of which somebody should know.
        charge: state of charge.
        departure: energy due to the vehicle.
        cap: of commissioning.
        vehicle: there is none.
    """

    temperature: str = ""
    charge: str = ""
    departure: str = ""
    cap: str = ""
    vehicle: str = ""


def limit_reasons(
    rating: ModuleRating, cap_kw: float, limits: Box, due_kw: float, seen: Observation
) -> LimitReasons:
    """Causes of the limits in force.

    Args:
        rating: of the module.
        cap_kw: cap for commissioning [kW].
        limits: hard limits in force [kW].
        due_kw: most that the vehicle's departure allows [kW]; infinite when nothing is due.
        seen: what the limits were made from.
    """
    if not seen.vehicle.plugged:
        return LimitReasons(vehicle="no vehicle")
    charging, discharging = rating.derating.fractions(seen.temperature_c, seen.ambient_c)
    temperature = cap = charge = departure = ""
    if min(charging, discharging) < 1.0:
        temperature = (f"derated to {charging:.0%} charging, {discharging:.0%} discharging at {seen.temperature_c:.0f} "
                       f"deg C, ambient {seen.ambient_c:.0f} deg C")
    if cap_kw < rating.p_max_kw:
        cap = f"capped at {cap_kw:g} kW"
    free = Box(-min(rating.p_max_kw * charging, cap_kw), min(rating.p_max_kw * discharging, cap_kw))
    words = [
        _at_most(direction, abs(bound_kw))
        for direction, bound_kw, free_kw in (("charging", limits.low_kw, free.low_kw),
                                             ("discharging", limits.high_kw, free.high_kw))
        if abs(free_kw) - abs(bound_kw) > SHOWN_KW  # beyond the cap while power comes down to a lower one
    ]  # fmt: skip
    if words:
        charge = f"{' and '.join(words)} at {seen.soc:.1%} charge"
    if due_kw < limits.high_kw:
        departure = f"{seen.vehicle.energy_due_kwh:.2f} kWh due{_until(seen)}: at most {due_kw:.2f} kW"
    return LimitReasons(temperature, charge, departure, cap)


def _at_most(direction: str, bound_kw: float) -> str:
    return f"{direction} at most {bound_kw:.2f} kW" if bound_kw > SHOWN_KW else f"no {direction}"


def _until(seen: Observation) -> str:
    departure_s = seen.vehicle.departure_s
    return "" if departure_s is None or math.isnan(departure_s) else f" in {(departure_s - seen.time_s) / 3600.0:.2f} h"
