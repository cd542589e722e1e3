"""Limits in force, explained."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.core.battery import UNPLUGGED, VehicleState
from v2g_nodes.core.limit_reasons import LimitReasons, limit_reasons
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.module_control import ModuleControl, Observation

RATING = ModuleRating(p_max_kw=3.3, ramp_kw_per_s=1.0, soc_min=0.1, soc_max=0.95)
VEHICLE = VehicleState(plugged=True, session_id="s1", capacity_kwh=60.0, soc=0.5)


def reasons(
    *, soc: float = 0.5, temperature_c: float = 60.0, ambient_c: float = 30.0, cap_kw: float = 3.3,
    vehicle: VehicleState = VEHICLE,
) -> LimitReasons:
    """Reasons for the limits that the module's control finds in this state."""
    control = ModuleControl(RATING, cap_kw, armed=True)
    seen = Observation(0.0, 0.0, soc, temperature_c, ambient_c, vehicle, "")
    control.observe(seen, signal_valid=True)
    return limit_reasons(RATING, cap_kw, control.limits, control.due_kw, seen)


def test_the_full_rating_needs_no_words() -> None:
    assert not any(reasons())


@pytest.mark.parametrize(
    ("state", "cause", "text"),
    [
        ({"temperature_c": 115.0}, "temperature", "derated to 85% charging, 65% discharging at 115 deg C, ambient 30"),
        ({"ambient_c": 45.0}, "temperature", "derated to 82% charging, 82% discharging at 60 deg C, ambient 45 deg C"),
        ({"soc": 0.1}, "charge", "no discharging at 10.0% charge"),
        ({"soc": 0.94999}, "charge", "charging at most 1.06 kW at 95.0% charge"),
        ({"cap_kw": 0.5}, "cap", "capped at 0.5 kW"),
        ({"vehicle": UNPLUGGED, "soc": math.nan}, "vehicle", "no vehicle"),
    ],
)  # fmt: skip
def test_each_cause_is_named_alone(state: dict[str, object], cause: str, text: str) -> None:
    found = reasons(**state)  # type: ignore[arg-type]
    assert getattr(found, cause).startswith(text)
    assert sum(map(bool, found)) == 1


def test_energy_due_is_told_with_the_time_left() -> None:
    due = VehicleState(True, "s1", 60.0, 0.5, departure_s=7200.0, energy_due_kwh=6.1)
    found = reasons(vehicle=due)
    assert found.departure.startswith("6.10 kWh due in 2.00 h: at most -3.18 kW")
    assert not found.charge


def test_a_cap_that_is_lowered_while_power_flows_is_no_matter_of_charge() -> None:
    control = ModuleControl(RATING, 3.3, armed=True)
    control.resume(2.0)
    control.max_kw = 0.5
    seen = Observation(0.0, 2.0, 0.5, 60.0, 30.0, VEHICLE, "")
    control.observe(seen, signal_valid=True)
    assert control.limits.high_kw == 2.0, "it comes down within the ramp"
    assert limit_reasons(RATING, 0.5, control.limits, control.due_kw, seen) == LimitReasons(cap="capped at 0.5 kW")


def test_several_causes_stand_side_by_side() -> None:
    found = reasons(soc=0.1, temperature_c=115.0, cap_kw=3.0)
    assert found.temperature
    assert found.charge == "no discharging at 10.0% charge"
    assert found.cap == "capped at 3 kW"
