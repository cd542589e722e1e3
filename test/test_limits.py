"""Hard limits of a moment and the feasible box of base power."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.battery import UNPLUGGED, BatteryModel, VehicleState
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.gate import gate
from v2g_nodes.core.limits import (
    ZERO_BOX,
    EnergyRoom,
    ModuleRating,
    droop_headroom_kw,
    energy_room,
    feasible_box,
    hard_limits,
    is_derated,
    must_charge_bound_kw,
    with_zero,
)
from v2g_nodes.core.types import Box

SEEDED = settings(deadline=None, derandomize=True, max_examples=400)
RATING = ModuleRating(p_max_kw=3.3, ramp_kw_per_s=1.0, soc_min=0.1, soc_max=0.95, efficiency=0.96)
VEHICLE = VehicleState(plugged=True, session_id="s1", capacity_kwh=60.0, soc=0.5)
AMPLE = EnergyRoom(50.0, 50.0)


def limits(soc: float = 0.5, temperature_c: float = 60.0, vehicle: VehicleState = VEHICLE, **more: float) -> Box:
    return hard_limits(RATING, soc, temperature_c, vehicle, more.pop("now_s", 0.0), **more)


def due(energy_kwh: float, departure_s: float) -> VehicleState:
    return replace(VEHICLE, energy_due_kwh=energy_kwh, departure_s=departure_s)


# --- hard limits --------------------------------------------------------------------------------------------------


def test_rating_bounds_both_directions() -> None:
    assert limits() == Box(-3.3, 3.3)


def test_without_vehicle_only_zero() -> None:
    assert limits(vehicle=UNPLUGGED) == ZERO_BOX


@pytest.mark.parametrize(
    "unknown", [{"soc": math.nan}, {"temperature_c": math.nan}, {"now_s": math.inf}, {"ambient_c": math.nan}]
)
def test_what_is_not_known_allows_nothing(unknown: dict[str, float]) -> None:
    assert limits(**unknown) == ZERO_BOX


def test_derating_is_per_direction() -> None:
    """At 115 deg C charging keeps 85 %, discharging 65 %."""
    box = limits(temperature_c=115.0)
    assert (box.low_kw, box.high_kw) == (pytest.approx(-0.85 * 3.3), pytest.approx(0.65 * 3.3))
    assert limits(ambient_c=45.0) == Box(pytest.approx(-2.7), pytest.approx(2.7))
    assert limits(ambient_c=60.0) == ZERO_BOX
    assert limits(temperature_c=130.0).high_kw == 0.0


def test_derated_says_so() -> None:
    assert not is_derated(RATING, 60.0, 35.0)
    assert is_derated(RATING, 60.0, 36.0)
    assert is_derated(RATING, 101.0, None)


@pytest.mark.parametrize(
    ("soc", "low", "high"), [(0.1, -3.3, 0.0), (0.05, -3.3, 0.0), (0.95, 0.0, 3.3), (1.0, 0.0, 3.3)]
)
def test_empty_does_not_discharge_and_full_does_not_charge(soc: float, low: float, high: float) -> None:
    assert limits(soc=soc) == Box(low, high)


def test_energy_room_counts_efficiency_the_right_way() -> None:
    """The grid gets less than the battery gives and pays more than it takes."""
    room = energy_room(RATING, 0.5, VEHICLE)
    assert room.discharge_kwh == pytest.approx(0.4 * 60.0 * 0.96)
    assert room.charge_kwh == pytest.approx(0.45 * 60.0 / 0.96)
    assert energy_room(RATING, 0.5, UNPLUGGED) == EnergyRoom(0.0, 0.0)
    assert energy_room(RATING, 0.05, VEHICLE).discharge_kwh == 0.0


@pytest.mark.parametrize("step_s", [0.1, 1.0, 60.0, 3600.0])
@pytest.mark.parametrize("margin", [1e-7, 1e-5, 1e-3, 0.02])
def test_charge_cannot_cross_its_limit_within_the_step(step_s: float, margin: float) -> None:
    model = BatteryModel(VEHICLE.capacity_kwh, RATING.efficiency)
    high = limits(soc=0.1 + margin, step_s=step_s).high_kw
    low = limits(soc=0.95 - margin, step_s=step_s).low_kw
    assert high > 0.0 > low
    assert model.step(0.1 + margin, high, step_s) >= 0.1 - 1e-12
    assert model.step(0.95 - margin, low, step_s) <= 0.95 + 1e-12


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize("true_efficiency", [0.96, 0.90])
def test_running_into_the_limit_of_charge_forces_no_step(direction: float, true_efficiency: float) -> None:
    """Full power until empty or full, ticks of 5 ms: the limit closes slower than the ramp and is not crossed."""
    model = BatteryModel(VEHICLE.capacity_kwh, true_efficiency)
    soc = 0.1003 if direction > 0 else 0.9497
    power = 3.3 * direction
    forced, powers = 0, []
    for _ in range(12_000):
        result = gate(10.0 * direction, power, limits(soc=soc), RATING.ramp_kw_per_s, 0.005)
        power = result.setpoint_kw
        forced += result.forced_step
        soc = model.step(soc, power, 0.005)
        powers.append(abs(power))
    assert forced == 0
    assert powers[0] == 3.3
    assert powers[-1] < 1e-3
    assert 0.1 <= soc <= 0.95


# --- must-charge bound --------------------------------------------------------------------------------------------


def test_nothing_due_or_no_departure_is_no_bound() -> None:
    assert limits(vehicle=due(0.0, 3600.0)).high_kw == 3.3
    assert limits(vehicle=replace(VEHICLE, energy_due_kwh=10.0)).high_kw == 3.3
    assert must_charge_bound_kw(RATING, UNPLUGGED, 0.0, 3.3) == math.inf


def test_plenty_of_time_is_no_bound() -> None:
    assert limits(vehicle=due(1.0, 3600.0)).high_kw == 3.3


def test_slack_used_up_charges_at_the_even_rate() -> None:
    """3.1 kWh in one hour at 96 %: 3.229 kW at the grid, which is less than 3.3 kW and more than 95 % of it."""
    assert limits(vehicle=due(3.1, 3600.0)).high_kw == pytest.approx(-3.1 / 0.96)


@pytest.mark.parametrize("vehicle", [due(10.0, 3600.0), due(0.1, 0.0), due(0.1, -500.0), due(1e9, 1e-300)])
def test_a_due_out_of_reach_gets_full_charging(vehicle: VehicleState) -> None:
    assert limits(vehicle=vehicle) == Box(-3.3, -3.3)


def test_bound_only_charges_never_discharges() -> None:
    """A sign error would ask a vehicle in need for power."""
    for energy_kwh in (3.01, 3.1, 5.0):  # 95 % of full charging for an hour brings 3.0096 kWh
        assert limits(vehicle=due(energy_kwh, 3600.0)).high_kw < -3.1


def test_bound_stays_inside_what_temperature_and_charge_allow() -> None:
    assert limits(vehicle=due(10.0, 3600.0), temperature_c=120.0) == Box(pytest.approx(-2.31), pytest.approx(-2.31))
    assert limits(vehicle=due(10.0, 3600.0), ambient_c=60.0) == ZERO_BOX
    assert limits(soc=0.95, vehicle=due(1.0, 60.0)) == ZERO_BOX


def test_bound_falls_as_departure_nears() -> None:
    bounds = [limits(vehicle=due(2.0, 3600.0), now_s=now).high_kw for now in range(0, 3600, 5)]
    assert bounds[0] == 3.3
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == -3.3


@pytest.mark.parametrize("wanted", [3.3, 0.0, -1.0])
@pytest.mark.parametrize("ambient_c", [25.0, 45.0])
def test_due_is_met_at_departure_whatever_the_station_wants(wanted: float, ambient_c: float) -> None:
    """Closed loop through the gate, ticks of 50 ms; what is discharged meanwhile is owed again."""
    model = BatteryModel(VEHICLE.capacity_kwh, RATING.efficiency)
    soc, goal, power, forced, now = 0.5, 0.51, 0.0, 0, 0.0
    while now < 1800.0:
        vehicle = due(max(goal - soc, 0.0) * 60.0, 1800.0)
        box = limits(soc=soc, vehicle=vehicle, now_s=now, ambient_c=ambient_c)
        result = gate(wanted, power, box, RATING.ramp_kw_per_s, 0.05)
        power, forced = result.setpoint_kw, forced + result.forced_step
        soc = model.step(soc, power, 0.05)
        now += 0.05
    assert soc >= goal - 1e-9
    assert forced == 0


# --- any input ----------------------------------------------------------------------------------------------------

NUMBER = st.floats(allow_nan=True, allow_infinity=True)


@SEEDED
@given(
    soc=st.one_of(NUMBER, st.floats(0.0, 1.0)),
    temperature_c=st.one_of(NUMBER, st.floats(0.0, 140.0)),
    ambient_c=st.one_of(st.none(), NUMBER, st.floats(0.0, 70.0)),
    now_s=st.one_of(NUMBER, st.floats(0.0, 1e5)),
    departure_s=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    due_kwh=st.floats(0.0, 1e3),
    step_s=st.sampled_from((0.0, 0.005, 1.0, 600.0)),
)
def test_limits_are_always_a_range_within_the_rating(
    soc: float,
    temperature_c: float,
    ambient_c: float | None,
    now_s: float,
    departure_s: float | None,
    due_kwh: float,
    step_s: float,
) -> None:
    vehicle = replace(VEHICLE, departure_s=departure_s, energy_due_kwh=due_kwh)
    box = hard_limits(RATING, soc, temperature_c, vehicle, now_s, ambient_c=ambient_c, step_s=step_s)
    assert -3.3 <= box.low_kw <= box.high_kw <= 3.3
    assert box.low_kw <= 0.0
    if departure_s is None or due_kwh == 0.0:
        assert box.high_kw >= 0.0


@SEEDED
@given(
    ends=st.tuples(st.floats(-3.3, 3.3), st.floats(-3.3, 3.3)),
    previous=st.floats(-4.0, 4.0),
    ramp=st.floats(0.01, 5.0),
    step_s=st.floats(0.01, 10.0),
    headroom=st.floats(0.0, 5.0),
    room=st.tuples(st.floats(0.0, 0.01), st.floats(0.0, 0.01)),
)
def test_feasible_box_is_a_range_inside_the_hard_limits(
    ends: tuple[float, float],
    previous: float,
    ramp: float,
    step_s: float,
    headroom: float,
    room: tuple[float, float],
) -> None:
    hard = Box(min(ends), max(ends))
    box = feasible_box(hard, previous, ramp, step_s, headroom, EnergyRoom(*room))
    assert hard.low_kw <= box.low_kw <= box.high_kw <= hard.high_kw
    reach = ramp * step_s
    if hard.low_kw <= previous <= hard.high_kw and room == (0.01, 0.01) and step_s < 10.0:
        assert previous - reach - 1e-12 <= box.low_kw
        assert box.high_kw <= previous + reach + 1e-12


# --- feasible box -------------------------------------------------------------------------------------------------

HARD = Box(-3.3, 3.3)


@pytest.mark.parametrize(
    ("hard", "previous", "step_s", "headroom", "expected"),
    [
        (HARD, 0.0, 10.0, 0.0, Box(-3.3, 3.3)),
        (HARD, 0.0, 10.0, 0.8, Box(-2.5, 2.5)),  # headroom on both sides
        (HARD, 1.0, 2.0, 0.0, Box(-1.0, 3.0)),  # ramp
        (HARD, 3.2, 0.1, 0.8, Box(3.1, 3.1)),  # ramp wins over headroom
        (Box(-1.0, 1.0), 3.0, 0.5, 0.0, Box(1.0, 1.0)),  # hard limits win over ramp
        (Box(-1.0, 1.0), -3.0, 0.5, 0.5, Box(-1.0, -1.0)),
        (ZERO_BOX, 3.0, 1.0, 0.8, ZERO_BOX),
        (Box(-3.3, 0.0), 0.0, 10.0, 0.8, Box(-2.5, 0.0)),  # never made to charge for headroom
        (Box(0.0, 3.3), 0.0, 10.0, 0.8, Box(0.0, 2.5)),
        (Box(-0.5, 0.5), 0.0, 10.0, 0.8, ZERO_BOX),  # headroom does not cross
        (Box(-3.3, -3.0), -3.1, 10.0, 0.8, Box(-3.0, -3.0)),  # charging is due: as far from the limit as allowed
    ],
)
def test_cases(hard: Box, previous: float, step_s: float, headroom: float, expected: Box) -> None:
    box = feasible_box(hard, previous, 1.0, step_s, headroom, AMPLE)
    assert (box.low_kw, box.high_kw) == (pytest.approx(expected.low_kw), pytest.approx(expected.high_kw))


def test_energy_bounds_the_epoch() -> None:
    """0.001 kWh in 2 s is 1.8 kW."""
    assert feasible_box(HARD, 0.0, 9.0, 2.0, 0.0, EnergyRoom(0.001, 0.0005)) == Box(
        pytest.approx(-0.9), pytest.approx(1.8)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"previous_kw": math.nan}, "previous_kw is nan kW"),
        ({"ramp_kw_per_s": 0.0}, "ramp_kw_per_s is 0.0 kW/s"),
        ({"step_s": -1.0}, "step_s is -1.0 s"),
        ({"headroom_kw": -0.1}, "headroom_kw is -0.1 kW"),
        ({"hard": Box(1.0, -1.0)}, r"hard limits are \[1.0, -1.0\] kW"),
    ],
)
def test_bad_input_is_named(changes: dict[str, object], message: str) -> None:
    good = {"hard": HARD, "previous_kw": 0.0, "ramp_kw_per_s": 1.0, "step_s": 2.0, "headroom_kw": 0.1, "room": AMPLE}
    with pytest.raises(InputError, match=message):
        feasible_box(**{**good, **changes})


def test_with_zero_and_headroom() -> None:
    assert with_zero(Box(-3.3, -2.0)) == Box(-3.3, 0.0)
    assert with_zero(Box(-3.3, 2.0)) == Box(-3.3, 2.0)
    assert droop_headroom_kw(16.5, 0.05) == pytest.approx(0.825)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p_max_kw": 0.0}, "p_max_kw is 0.0 kW, allowed above 0"),
        ({"ramp_kw_per_s": math.nan}, "ramp_kw_per_s is nan"),
        ({"soc_min": -0.1}, "soc_min is -0.1, allowed 0 to 1"),
        ({"soc_max": 1.1}, "soc_max is 1.1, allowed 0 to 1"),
        ({"soc_min": 0.95}, "soc_min is 0.95, allowed below soc_max 0.95"),
        ({"efficiency": 1.2}, "efficiency is 1.2, allowed 0 to 1"),
    ],
)
def test_rating_out_of_range_is_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(RATING, **changes)
