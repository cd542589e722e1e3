from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.battery import UNPLUGGED, VehicleState
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.module_control import ModuleControl, Observation
from v2g_nodes.core.types import Box

RATING = ModuleRating(p_max_kw=3.3, ramp_kw_per_s=1.0, soc_min=0.1, soc_max=0.95, efficiency=0.96)
VEHICLE = VehicleState(plugged=True, session_id="a", capacity_kwh=60.0, soc=0.5)
CALM = Observation(0.0, 0.0, 0.5, 30.0, 30.0, VEHICLE, "")
TICK_S = 0.005
REACH_KW = RATING.ramp_kw_per_s * TICK_S


def ready(max_kw: float = 3.3, seen: Observation = CALM) -> ModuleControl:
    """A module that may be energised."""
    control = ModuleControl(RATING, max_kw, armed=True)
    for _ in range(3):
        control.observe(seen, signal_valid=True)
    assert control.energised
    return control


def drive(control: ModuleControl, request_kw: float, seconds: float, seen: Observation = CALM) -> list[float]:
    """Ask for the same power again and again; the hardware follows at once. The set-points."""
    path = []
    for _ in range(round(seconds / TICK_S)):
        result = control.apply(request_kw, TICK_S)
        path.append(result.setpoint_kw)
        control.observe(seen._replace(power_kw=result.setpoint_kw), signal_valid=True)
    return path


# start and end


def test_it_is_energised_step_by_step() -> None:
    control = ModuleControl(RATING, 3.3, armed=True)
    assert (control.mode, control.energised) == (Mode.OFF, False)
    modes = []
    for _ in range(3):
        control.observe(CALM, signal_valid=True)
        modes.append(control.mode)
    assert modes == [Mode.STANDBY, Mode.READY, Mode.READY]
    drive(control, 1.0, 0.1)
    assert control.mode is Mode.DISCHARGING
    drive(control, -1.0, 0.3)
    assert control.mode is Mode.CHARGING


def test_it_goes_on_from_the_power_that_flows() -> None:
    control = ready()
    control.resume(-1.25)
    assert control.apply(2.0, TICK_S).setpoint_kw == pytest.approx(-1.25 + REACH_KW)


def test_switched_off_it_offers_nothing() -> None:
    control = ready()
    control.switch_off()
    assert (control.mode, control.range_kw) == (Mode.OFF, Box(0.0, 0.0))


def test_towards_zero_is_one_ramp_step() -> None:
    control = ready()
    for power_kw, expected_kw in ((2.0, 1.9), (-2.0, -1.9), (0.05, 0.0), (0.0, 0.0)):
        control.resume(power_kw)
        assert control.towards_zero_kw(0.1) == pytest.approx(expected_kw)


# nothing gets through


def shut(how: str) -> tuple[ModuleControl, Observation]:
    control, seen = ready(), CALM
    drive(control, 2.0, 4.0)
    if how == "e-stop":
        control.stop()
    elif how == "disarmed":
        control.disarm()
    elif how == "fault":
        seen = CALM._replace(fault="overtemperature")
    elif how == "unplugged":
        seen = CALM._replace(vehicle=UNPLUGGED, soc=math.nan)
    return control, seen


@pytest.mark.parametrize(
    ("how", "mode"),
    [("e-stop", Mode.SAFE), ("disarmed", Mode.STANDBY), ("fault", Mode.FAULT), ("unplugged", Mode.STANDBY)],
)
@pytest.mark.parametrize("request_kw", [3.3, -3.3, math.nan, math.inf, 1e9])
def test_shut_down_it_lets_no_power_through_whatever_is_asked_for(how: str, mode: Mode, request_kw: float) -> None:
    control, seen = shut(how)
    control.observe(seen._replace(power_kw=2.0), signal_valid=True)
    clips = control.gate_clips
    path = drive(control, request_kw, 3.0, seen)
    assert path[-1] == 0.0
    assert path == sorted(path, reverse=True)
    assert control.mode is mode
    assert control.gate_clips == clips, "nobody expects power here, so nothing was clipped"
    if how != "unplugged":  # a vehicle that is gone takes no ramp
        assert path[0] == pytest.approx(2.0 - REACH_KW)
    assert control.forced_steps == (how == "unplugged")


def test_an_e_stop_stays_until_released_and_armed_again() -> None:
    control, _ = shut("e-stop")
    control.arm()
    control.observe(CALM, signal_valid=True)
    assert control.mode is Mode.SAFE, "not released"
    control.e_stop = False
    control.observe(CALM, signal_valid=True)
    assert control.mode is Mode.SAFE, "released, but the arming was before"
    control.arm()
    for _ in range(2):
        control.observe(CALM, signal_valid=True)
    assert control.mode is Mode.READY


def test_a_fault_stays_until_armed_again() -> None:
    control, seen = shut("fault")
    control.observe(seen, signal_valid=True)
    control.observe(CALM, signal_valid=True)
    assert control.mode is Mode.FAULT
    control.arm()
    control.observe(seen, signal_valid=True)
    assert control.mode is Mode.FAULT, "the cause is back"
    control.arm()
    control.observe(CALM, signal_valid=True)
    assert control.mode is Mode.STANDBY


def test_without_a_signal_power_that_flows_may_go_down_but_none_may_start() -> None:
    control = ready()
    control.observe(CALM, signal_valid=False)
    assert control.mode is Mode.STANDBY
    control = ready()
    flowing = CALM._replace(power_kw=1.0)
    control.observe(flowing, signal_valid=True)
    control.observe(flowing, signal_valid=False)
    assert control.mode is Mode.DISCHARGING
    control.observe(CALM, signal_valid=False)
    assert control.mode is Mode.STANDBY


# limits


def test_the_commissioning_cap_bounds_both_directions() -> None:
    control = ready(max_kw=0.5)
    assert control.range_kw == Box(-0.5, 0.5)
    assert max(drive(control, 3.0, 2.0)) == 0.5
    assert min(drive(control, -3.0, 3.0)) == -0.5


def test_heat_derates_and_says_so() -> None:
    control = ready(seen=CALM._replace(temperature_c=120.0))
    assert control.mode is Mode.DERATED
    assert control.limits.high_kw == pytest.approx(0.5 * 3.3)
    assert control.limits.low_kw == pytest.approx(-0.7 * 3.3)
    control.observe(CALM._replace(ambient_c=50.0), signal_valid=True)
    assert control.limits == Box(pytest.approx(-2.3), pytest.approx(2.3))


def test_a_grid_code_takes_from_what_is_offered_but_not_from_the_limits() -> None:
    control = ready()
    control.offer_cap_kw = 1.0
    assert control.range_kw == Box(-1.0, 1.0)
    control.offer_cap_kw = 0.0
    assert control.range_kw == Box(0.0, 0.0)
    assert control.limits == Box(-3.3, 3.3)


LATE = replace(VEHICLE, departure_s=3600.0, energy_due_kwh=3.009)  # nearly all that full charging brings


def test_a_vehicle_that_is_due_energy_lowers_the_offer_not_the_limits_of_the_gate() -> None:
    control = ready(seen=CALM._replace(vehicle=LATE))
    assert control.limits.high_kw == pytest.approx(3.3)
    assert control.due_kw < 0.0
    assert control.range_kw == Box(control.limits.low_kw, control.due_kw)
    idle = ready(seen=CALM._replace(vehicle=replace(LATE, energy_due_kwh=0.0)))
    assert idle.due_kw == math.inf


def test_what_is_due_never_forces_a_step() -> None:
    """A vehicle that comes late with much to charge, at a module that is discharging at full power."""
    control = ready()
    drive(control, 3.3, 4.0)
    seen = CALM._replace(vehicle=replace(LATE, energy_due_kwh=4.0), power_kw=3.3)
    control.observe(seen, signal_valid=True)
    assert control.due_kw < -3.0
    before = (control.forced_steps, control.gate_clips)
    path = [control.setpoint_kw]
    for _ in range(2000):
        request_kw = max(control.due_kw, path[-1] - REACH_KW)
        path.append(control.apply(request_kw, TICK_S).setpoint_kw)
        control.observe(seen._replace(power_kw=path[-1]), signal_valid=True)
    assert path[-1] == pytest.approx(control.due_kw)
    assert (control.forced_steps, control.gate_clips) == before


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_cap_that_is_lowered_comes_into_force_within_the_ramp(sign: float) -> None:
    control, path = ready(), []
    drive(control, sign * 2.0, 2.1)
    control.max_kw = 0.5
    control.observe(CALM._replace(power_kw=sign * 2.0), signal_valid=True)
    for dt_s in [0.005, 0.001, 0.009] * 110:
        control.begin_tick(dt_s)
        before_kw, limits = control.setpoint_kw, control.limits
        path.append(control.apply(sign * 2.0, dt_s).setpoint_kw)
        assert abs(path[-1] - before_kw) <= RATING.ramp_kw_per_s * dt_s + 1e-9
        assert limits.low_kw - 1e-9 <= path[-1] <= limits.high_kw + 1e-9, "all of it is in the limits that droop sees"
        control.observe(CALM._replace(power_kw=path[-1]), signal_valid=True)
    assert path[-1] == sign * 0.5
    assert control.forced_steps == 0
    assert control.limits == Box(-0.5, 0.5)
    control.max_kw = 3.3
    assert drive(control, sign * 2.0, 1.6)[-1] == pytest.approx(sign * 2.0)


def test_a_cap_below_what_is_due_wins() -> None:
    control = ready(max_kw=0.5, seen=CALM._replace(vehicle=LATE))
    assert control.limits == Box(-0.5, 0.5)
    assert control.due_kw == -0.5, "best effort: as much as the cap lets it"
    assert control.range_kw == Box(-0.5, -0.5)


def test_a_full_battery_charges_no_further_within_the_longest_tick() -> None:
    nearly = CALM._replace(soc=0.9499, vehicle=replace(VEHICLE, soc=0.9499))
    room_kwh = (0.95 - 0.9499) * 60.0 / 0.96
    for longest_s, step_s in ((0.1, 1.0), (36.0, 36.0)):
        control = ModuleControl(RATING, 3.3, armed=True, longest_tick_s=longest_s)
        control.observe(nearly, signal_valid=True)
        assert 0.0 < -control.limits.low_kw * step_s / 3600.0 <= room_kwh


# counters


def test_only_a_request_that_was_really_changed_counts_as_a_clip() -> None:
    control = ready()
    control.apply(REACH_KW, TICK_S)
    control.apply(2 * REACH_KW, TICK_S)
    assert control.gate_clips == 0
    control.apply(2.0, TICK_S)
    assert control.gate_clips == 1, "beyond the ramp"
    drive(control, control.setpoint_kw, 0.1)
    assert control.gate_clips == 1
    control.apply(math.nan, TICK_S)
    assert control.gate_clips == 2
    assert control.forced_steps == 0


def test_a_limit_that_jumps_is_a_forced_step_and_a_clip() -> None:
    control = ready()
    drive(control, 3.0, 4.0)
    clips = control.gate_clips
    control.observe(CALM._replace(temperature_c=125.0, power_kw=3.0), signal_valid=True)
    result = control.apply(3.0, TICK_S)
    assert result.setpoint_kw == pytest.approx(0.3 * 3.3)
    assert (control.gate_clips, control.forced_steps) == (clips + 1, 1)


@settings(deadline=None)
@given(
    requests=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    temperature_c=st.floats(-40.0, 140.0), soc=st.floats(0.0, 1.0), cap=st.floats(0.0, 5.0), dt_s=st.floats(0.0, 1.0),
)  # fmt: skip
def test_what_leaves_is_always_inside_limits_and_ramp(
    requests: list[float], temperature_c: float, soc: float, cap: float, dt_s: float
) -> None:
    seen = CALM._replace(temperature_c=temperature_c, soc=soc, vehicle=replace(VEHICLE, soc=soc))
    control = ready(cap, seen)
    for request_kw in requests:
        before_kw = control.setpoint_kw
        after_kw = control.apply(request_kw, dt_s).setpoint_kw
        assert control.limits.low_kw <= after_kw <= control.limits.high_kw
        assert abs(after_kw) <= min(cap, 3.3)
        assert abs(after_kw - before_kw) <= dt_s * RATING.ramp_kw_per_s + 1e-9
        control.observe(seen._replace(power_kw=after_kw), signal_valid=True)
