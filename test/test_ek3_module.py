from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.derating import EK3_DERATING
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.gate import gate
from v2g_nodes.core.limits import ModuleRating, hard_limits
from v2g_nodes.sim.ek3_hardware import EFFICIENCY_TABLE, Ek3Hardware
from v2g_nodes.sim.ek3_module import Ek3Plant, Measurement, build_plant
from v2g_nodes.sim.sessions import Session

TICK_S = 0.005
HARDWARE = Ek3Hardware()
VEHICLE = VehicleState(plugged=True, session_id="a", capacity_kwh=50.0, soc=0.5)


def plugged(hardware: Ek3Hardware = HARDWARE, vehicle: VehicleState = VEHICLE, **options: float) -> Ek3Plant:
    plant = Ek3Plant(hardware, **options)  # type: ignore[arg-type]
    plant.plug_in(vehicle)
    plant.measurement()
    return plant


def ramp_to(plant: Ek3Plant, target_kw: float, seconds: float, dt_s: float = TICK_S) -> Measurement:
    """Command a power within the ramp and hold it."""
    command = plant.measurement().reference_kw
    for _ in range(round(seconds / dt_s)):
        reach = plant.hardware.ramp_kw_per_s * dt_s
        command += min(max(target_kw - command, -reach), reach)
        plant.step(command, dt_s)
    return plant.measurement()


# power


def test_power_follows_the_command_within_ramp_without_a_violation() -> None:
    plant = plugged()
    for target in (3.3, -3.3, 0.0):
        seen = ramp_to(plant, target, 8.0)
        assert seen.power_kw == pytest.approx(target, abs=1e-6)
        assert seen.reference_kw == pytest.approx(target)
    assert seen.constraint_violations == 0
    assert seen.violation == ""


def test_the_lag_is_a_first_order_one() -> None:
    plant = plugged(replace(HARDWARE, ramp_kw_per_s=100.0))
    plant.step(1.0, 0.02)
    assert plant.measurement().power_kw == pytest.approx(1.0 - math.exp(-1.0))
    direct = plugged(replace(HARDWARE, ramp_kw_per_s=100.0, actuator_lag_s=0.0))
    assert direct.step(1.0, 0.02).power_kw == 1.0


@pytest.mark.parametrize("dt_s", [0.005, 0.05, 1.0])
def test_a_command_beyond_the_ramp_counts_once_and_is_held_back(dt_s: float) -> None:
    plant = plugged()
    seen = plant.step(3.0, dt_s)
    assert seen.constraint_violations == 1
    assert seen.violation == "ramp"
    assert seen.reference_kw <= dt_s + 0.051
    while seen.reference_kw < 3.0:
        seen = plant.step(3.0, dt_s)
    assert seen.constraint_violations == 1  # the same breach, still going on
    seen = plant.step(3.0, dt_s)
    assert plant.step(-3.0, dt_s).constraint_violations == 2


def test_jitter_between_two_clocks_is_no_violation() -> None:
    plant, rng, last_s = plugged(), random.Random(1), 0.0
    for k in range(1, 600):
        now_s = TICK_S * k + rng.uniform(0.0, 0.04)  # the controller ramps by its schedule, the ticks come late
        if now_s > last_s:
            seen = plant.step(TICK_S * k, now_s - last_s)
            last_s = now_s
    assert seen.constraint_violations == 0
    steady = plugged()
    for k in range(400):  # a controller that ramps 5 % too fast is found out
        seen = steady.step(0.005 * 1.05 * k, 0.005)
    assert seen.constraint_violations >= 1


@pytest.mark.parametrize("command", [3.4, -3.4])
def test_a_command_beyond_the_rating_is_clipped_and_counted(command: float) -> None:
    plant = plugged(replace(HARDWARE, ramp_kw_per_s=100.0))
    seen = plant.step(command, 1.0)
    assert seen.constraint_violations == 1
    assert seen.violation == "power beyond limit"
    assert seen.power_kw == pytest.approx(math.copysign(3.3, command))
    assert seen.fault == ""


def test_beyond_the_peak_it_trips_until_reset() -> None:
    plant = plugged(replace(HARDWARE, ramp_kw_per_s=100.0))
    plant.step(3.0, 1.0)
    seen = plant.step(4.0, 1.0)
    assert seen.fault == "overpower"
    assert seen.power_kw == pytest.approx(0.0, abs=1e-9)
    assert (seen.limits.low_kw, seen.limits.high_kw) == (0.0, 0.0)
    assert plant.step(1.0, 1.0).violation == "power while tripped"
    plant.reset_fault()
    assert plant.step(1.0, 1.0).power_kw == pytest.approx(1.0)


@pytest.mark.parametrize("command", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_no_number_is_silence_and_counted(command: float) -> None:
    plant = plugged()
    ramp_to(plant, 1.0, 2.0)
    for _ in range(400):
        seen = plant.step(command, TICK_S)
    assert seen.constraint_violations == 1
    assert seen.timed_out
    assert seen.power_kw == pytest.approx(0.0, abs=1e-6)


# silence


def test_silence_ramps_to_zero_after_the_time_out() -> None:
    plant = plugged()
    ramp_to(plant, 2.0, 3.0)
    seen = [plant.step(None, TICK_S) for _ in range(600)]
    held = [m for m in seen if not m.timed_out]
    assert len(held) == pytest.approx(0.3 / TICK_S, abs=1)
    assert all(m.reference_kw == 2.0 for m in held)
    assert seen[len(held) + 200].reference_kw == pytest.approx(1.0, abs=0.02)  # 1 s later, 1 kW/s
    assert seen[-1].reference_kw == 0.0
    assert seen[-1].constraint_violations == 0
    # coming back: the ramp counts from where the hardware is
    assert plant.step(2.0, TICK_S).violation == "ramp"


@pytest.mark.parametrize("dt_s", [0.0, -1.0, math.nan, math.inf])
def test_a_step_without_time_is_refused(dt_s: float) -> None:
    with pytest.raises(InputError, match="allowed above 0"):
        plugged().step(0.0, dt_s)


# efficiency, charge, temperature


def test_the_efficiency_table_is_scaled_to_the_best() -> None:
    hardware = Ek3Hardware(efficiency=0.962)
    for load, value in EFFICIENCY_TABLE:
        assert hardware.efficiency_at(3.3 * load) == pytest.approx(value)
        assert hardware.efficiency_at(-3.3 * load) == pytest.approx(value)
    assert hardware.efficiency_at(0.0) == pytest.approx(0.934)
    assert hardware.efficiency_at(3.3 * 0.375) == pytest.approx((0.948 + 0.960) / 2)
    assert Ek3Hardware(efficiency=0.5).efficiency_at(3.3 * 0.75) == pytest.approx(0.5)


def test_charge_moves_by_what_leaves_the_battery() -> None:
    quick = replace(HARDWARE, ramp_kw_per_s=1000.0, actuator_lag_s=0.0)
    for power, factor in ((2.0, 1.0 / quick.efficiency_at(2.0)), (-2.0, quick.efficiency_at(2.0))):
        plant = plugged(quick)
        for _ in range(3600):
            seen = plant.step(power, 1.0)
        assert seen.soc == pytest.approx(0.5 - power * factor / 50.0, abs=1e-9)
        assert seen.discharged_kwh - seen.charged_kwh == pytest.approx(power)
        assert min(seen.discharged_kwh, seen.charged_kwh) == 0.0


def test_there_and_back_loses_energy() -> None:
    plant = plugged(replace(HARDWARE, ramp_kw_per_s=1000.0))
    for power in (2.0, -2.0):
        for _ in range(600):
            seen = plant.step(power, 1.0)
    assert seen.soc < 0.5


def test_the_junction_settles_and_has_its_time_constant() -> None:
    quick = replace(HARDWARE, ramp_kw_per_s=1000.0, actuator_lag_s=0.0)
    plant = plugged(quick, ambient_c=25.0)
    loss_w = 1000.0 * (3.0 / quick.efficiency_at(3.0) - 3.0) + 3.0
    rise = loss_w * 1.2 / 8
    for _ in range(1800):
        seen = plant.step(3.0, 0.1)
    assert seen.temperature_c == pytest.approx(25.0 + rise * (1 - math.exp(-1)), abs=0.01)
    for _ in range(3000):
        seen = plant.step(3.0, 1.0)
    assert seen.temperature_c == pytest.approx(25.0 + rise, abs=0.01)
    assert 10.0 < rise < 40.0  # near theta p^2 of the cost


def test_heat_and_ambient_take_from_the_true_limits() -> None:
    hot = plugged(temperature_c=115.0)
    assert hot.measurement().limits.high_kw == pytest.approx(3.3 * 0.65)
    assert hot.measurement().limits.low_kw == pytest.approx(-3.3 * 0.85)
    warm = plugged(ambient_c=45.0)
    assert warm.measurement().limits.high_kw == pytest.approx(2.7)
    warm.set_ambient(60.0)
    assert warm.measurement().limits.high_kw == 0.0
    burnt = plugged(temperature_c=151.0)
    assert burnt.step(0.0, 0.1).fault == "overtemperature"


@pytest.mark.parametrize(("soc", "sign"), [(0.1, 1.0), (0.95, -1.0)])
def test_a_battery_at_its_end_goes_one_way_only(soc: float, sign: float) -> None:
    plant = plugged(replace(HARDWARE, ramp_kw_per_s=100.0), replace(VEHICLE, soc=soc))
    assert plant.step(-sign, 1.0).constraint_violations == 0
    bad = plugged(replace(HARDWARE, ramp_kw_per_s=100.0), replace(VEHICLE, soc=soc)).step(sign, 1.0)
    assert (bad.violation, bad.power_kw) == ("power beyond limit", 0.0)


def test_running_into_the_end_of_the_battery_stops_it() -> None:
    quick = replace(HARDWARE, ramp_kw_per_s=100.0)
    plant = plugged(quick, replace(VEHICLE, capacity_kwh=5.0, soc=0.12))
    for _ in range(300):
        seen = plant.step(3.0, 1.0)
    assert seen.soc == pytest.approx(0.10, abs=0.001)
    assert seen.power_kw == pytest.approx(0.0, abs=1e-9)
    assert seen.constraint_violations == 1


# vehicles


def test_without_a_vehicle_there_is_no_power() -> None:
    plant = Ek3Plant(HARDWARE)
    seen = plant.step(0.5, 1.0)
    assert (seen.power_kw, seen.violation) == (0.0, "power without a vehicle")
    assert math.isnan(seen.soc)
    assert not seen.vehicle.plugged


def test_unplugging_cuts_the_power_and_the_command_under_way_is_no_fault() -> None:
    plant = plugged()
    ramp_to(plant, 2.0, 3.0)
    plant.plug_out()
    seen = plant.step(2.0, TICK_S)  # the controller has not heard yet
    assert (seen.power_kw, seen.constraint_violations) == (0.0, 0)
    seen = plant.step(2.0, TICK_S)  # now it has
    assert seen.violation == "power without a vehicle"


def test_energy_due_shrinks_with_charging_and_grows_with_discharging() -> None:
    quick = replace(HARDWARE, ramp_kw_per_s=100.0)
    plant = plugged(quick, replace(VEHICLE, energy_due_kwh=10.0, departure_s=7200.0))
    due = [plant.measurement().vehicle.energy_due_kwh]
    for power in (-3.0, 3.0):
        for _ in range(600):
            seen = plant.step(power, 1.0)
        due.append(seen.vehicle.energy_due_kwh)
    assert due[0] == pytest.approx(10.0)
    assert due[1] == pytest.approx(10.0 - 0.5 * quick.efficiency_at(3.0), abs=0.01)
    assert due[2] > due[0]
    nothing_due = plugged(quick)
    assert nothing_due.step(3.0, 60.0).vehicle.energy_due_kwh == 0.0


def test_sessions_come_and_go() -> None:
    sessions = [Session("early", -3600.0, 100.0, 5.0), Session("missed", 200.0, 250.0, 1.0),
                Session("late", 300.0, 400.0, 30.0)]
    plant = Ek3Plant(HARDWARE, sessions=sessions, arrival_soc=0.6, arrival_capacity_kwh=50.0)
    assert plant.measurement().vehicle.session_id == "early"
    assert plant.measurement().vehicle.energy_due_kwh == pytest.approx(5.0)
    seen = {}
    for _ in range(50):
        measurement = plant.step(0.0, 10.0)
        seen[round(measurement.time_s)] = measurement.vehicle.session_id
    assert [seen[t] for t in (90, 100, 190, 200, 240, 250, 290, 300, 390, 400)] == [
        "early", "", "", "missed", "missed", "", "", "late", "late", ""]
    between = Ek3Plant(HARDWARE, time_s=150.0, sessions=sessions)
    assert not between.measurement().vehicle.plugged  # the one that has left is not plugged in late
    late = Ek3Plant(HARDWARE, time_s=310.0, sessions=sessions, arrival_soc=0.6, arrival_capacity_kwh=50.0)
    assert late.measurement().soc == pytest.approx(0.95 - 30.0 / 50.0)  # so that the energy due fits


def test_plugging_in_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="not plugged"):
        Ek3Plant(HARDWARE).plug_in(VehicleState(plugged=False))


# state over a restart


def test_state_survives_and_power_ramps_down_in_the_meantime() -> None:
    plant = plugged(vehicle=replace(VEHICLE, energy_due_kwh=4.0, departure_s=50000.0), time_s=1000.0)
    before = ramp_to(plant, 3.0, 4.0)
    saved = plant.to_state(saved_at_s=500.0)
    fresh = Ek3Plant(HARDWARE, time_s=1000.0)
    same = fresh.from_state(saved, now_s=500.0)
    assert same == before._replace(timed_out=same.timed_out)
    later = fresh.from_state(saved, now_s=501.3)
    assert later.power_kw == pytest.approx(2.0, abs=0.1)  # 0.3 s of time-out, then 1 s at 1 kW/s
    assert later.time_s == pytest.approx(before.time_s + 1.3)
    assert later.soc < before.soc
    after = fresh.from_state(saved, now_s=4100.0)
    assert after.power_kw == 0.0
    assert after.temperature_c == pytest.approx(30.0, abs=1.0)
    assert after.time_s == pytest.approx(before.time_s + 3600.0)
    assert after.constraint_violations == 0
    assert after.vehicle.departure_s == 50000.0


def test_a_clock_that_went_back_counts_as_no_time() -> None:
    plant = plugged()
    before = ramp_to(plant, 3.0, 4.0)
    assert Ek3Plant(HARDWARE).from_state(plant.to_state(100.0), now_s=50.0).power_kw == before.power_kw


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "not JSON"),
        ({"version": 2}, "version"),
        ({"soc": None}, "soc is None"),
        ({"soc": "0.5"}, "soc is '0.5'"),
        ({"plugged": 1}, "plugged is 1"),
        ({"power_kw": math.nan}, "power_kw is nan"),
        ({"saved_at_s": "now"}, "saved_at_s"),
        ({"colour": 3}, "colour"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(change: dict[str, object] | None, words: str) -> None:
    plant = plugged()
    text = plant.to_state(0.0)
    damaged = text[: len(text) // 2] if change is None else json.dumps({**json.loads(text), **change})
    with pytest.raises(InputError, match=words):
        plant.from_state(damaged, 0.0)
    assert plant.to_state(0.0) == text


# with the controller's own limits and gate: whatever is asked for, nothing true is broken


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), soc=st.floats(0.1, 0.95), ambient=st.floats(20.0, 50.0), hot=st.floats(20.0, 118.0),
       dt_s=st.sampled_from([0.005, 0.02, 0.1]))
def test_gated_commands_break_nothing(seed: int, soc: float, ambient: float, hot: float, dt_s: float) -> None:
    rng = random.Random(seed)
    # what is due can be met from a standstill, by charging at full power nearly all the time
    full_kw = 0.96 * 0.95 * 3.3 * EK3_DERATING.fractions(hot, ambient)[0]
    due_kwh = max(0.0, full_kw * 60.0 - rng.uniform(25.0, 60.0)) / 3600.0
    vehicle = replace(VEHICLE, capacity_kwh=1.0, soc=soc, departure_s=60.0, energy_due_kwh=due_kwh)
    plant = plugged(vehicle=vehicle, ambient_c=ambient, temperature_c=hot)
    rating = ModuleRating(3.3, 1.0, 0.10, 0.95, 0.96)
    seen, wanted = plant.measurement(), 0.0
    for tick in range(600):
        if tick % 50 == 0:
            wanted = rng.choice((math.nan, rng.uniform(-5, 5), 3.3, -3.3, 0.0))
        if tick == 400:
            plant.plug_out()
        hard = hard_limits(rating, seen.soc, seen.temperature_c, seen.vehicle, seen.time_s, ambient_c=ambient)
        command = gate(wanted, seen.reference_kw, hard, 1.0, dt_s).setpoint_kw
        seen = plant.step(command, dt_s)
        assert seen.constraint_violations == 0, seen.violation
        assert seen.fault == ""


def test_built_from_node_parameters() -> None:
    parameters = {
        "p_max_kw": 3.1, "ramp_kw_per_s": 0.5, "soc_min": 0.2, "soc_max": 0.9, "efficiency": 0.95,
        "command_timeout_s": 0.4, "actuator_lag_s": 0.0, "thermal_resistance_k_per_w": 1.0, "thermal_devices": 4,
        "thermal_tau_s": 100.0, "start_time_of_day_s": 500.0, "ambient_c": 31.0, "temperature_c": 44.0, "soc": 0.7,
        "vehicle_plugged": True, "vehicle_session_id": "x", "vehicle_capacity_kwh": 33.0,
        "vehicle_departure_s": math.nan, "vehicle_energy_due_kwh": 2.0}
    seen = build_plant(parameters).measurement()
    assert seen.limits.high_kw == 3.1
    assert (seen.time_s, seen.ambient_c, seen.temperature_c, seen.soc) == (500.0, 31.0, 44.0, 0.7)
    assert seen.vehicle == VehicleState(True, "x", 33.0, 0.7, None, seen.vehicle.energy_due_kwh)
    assert seen.vehicle.energy_due_kwh == pytest.approx(2.0)
    waiting = build_plant({**parameters, "vehicle_plugged": False, "session_ids": ["s"], "session_arrival_s": [510.0],
                           "session_departure_s": [600.0], "session_energy_kwh": [1.0]})
    assert not waiting.measurement().vehicle.plugged
    assert waiting.step(0.0, 10.0).vehicle.session_id == "s"
