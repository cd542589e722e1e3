"""Droop, mode, limits and gate around the module as it really behaves, tick by tick, as the nodes run them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.droop import Droop
from v2g_nodes.core.droop_control import DroopControl
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.module_control import ModuleControl, Observation
from v2g_nodes.sim.ek3_hardware import Ek3Hardware
from v2g_nodes.sim.ek3_module import Ek3Plant, Measurement
from v2g_nodes.sim.series import Series, read_columns
from v2g_nodes.sim.sessions import Session, read_sessions
from v2g_nodes.sim.synthetic import SyntheticFrequency

TICK_S = 0.005
HARDWARE = Ek3Hardware()
RATING = ModuleRating(HARDWARE.p_max_kw, HARDWARE.ramp_kw_per_s, HARDWARE.soc_min, HARDWARE.soc_max)
VEHICLE = VehicleState(plugged=True, session_id="a", capacity_kwh=60.0, soc=0.5)
GAIN_KW_PER_HZ = HARDWARE.p_max_kw / 0.2

Value = Callable[[float], float]


class Loop:
    """One module under droop. Frequency arrives every second, base power every two."""

    def __init__(self, vehicle: VehicleState, *, start_s: float = 0.0, power_kw: float = 0.0, max_kw: float = 3.3,
                 temperature_c: float = 35.0, ambient_c: float = 30.0, longest_tick_s: float = 0.1) -> None:
        self.plant = Ek3Plant(HARDWARE, time_s=start_s, ambient_c=ambient_c, temperature_c=temperature_c)
        self.plant.plug_in(vehicle)
        self.seen: Measurement = self.plant.measurement()
        self.start_s = start_s
        self.hold_s = max(5.0, 5.0 * longest_tick_s)
        self.control = ModuleControl(RATING, max_kw, armed=True, longest_tick_s=longest_tick_s)
        law = Droop(GAIN_KW_PER_HZ, 50.0, 0.01, RATING.ramp_kw_per_s)
        self.droop = DroopControl(law, RATING.ramp_kw_per_s, self.hold_s)
        self.powers_kw: list[float] = []
        self.base_kw: Value = lambda t: power_kw
        self.frequency_hz: Value = lambda t: 50.0
        if power_kw:
            self.run(abs(power_kw) / RATING.ramp_kw_per_s + 0.5)

    def run(self, seconds: float, dt_s: float = TICK_S) -> Measurement:
        second = max(round(1.0 / dt_s), 1)
        for k in range(round(seconds / dt_s)):
            now_s = self.seen.time_s
            if k % second == 0:
                frequency_hz = self.frequency_hz(now_s)
                if math.isfinite(frequency_hz):
                    self.droop.set_frequency(frequency_hz, now_s)
            if k % (2 * second) == 0:
                self.droop.set_base(self.base_kw(now_s), now_s + self.hold_s + 1.0)
            control = self.control
            inputs = self.droop.inputs(
                now_s, dt_s, control.energised, control.limits, control.due_kw, control.setpoint_kw
            )
            sent_kw = control.apply(self.droop.decide(inputs), dt_s).setpoint_kw
            self.seen = seen = self.plant.step(sent_kw, dt_s)
            control.observe(
                Observation(seen.time_s, seen.power_kw, seen.soc, seen.temperature_c, seen.ambient_c, seen.vehicle,
                            seen.fault),
                signal_valid=self.droop.signal_age_s(seen.time_s) <= self.hold_s,
            )
            self.powers_kw.append(seen.power_kw)
        return self.seen

    def assert_clean(self) -> None:
        """What acceptance asks for."""
        assert (self.seen.constraint_violations, self.seen.violation) == (0, "")
        assert (self.control.gate_clips, self.control.forced_steps) == (0, 0)


def test_a_calm_run_follows_base_and_frequency_without_a_clip() -> None:
    loop = Loop(VEHICLE)
    frequency = SyntheticFrequency(1)
    loop.frequency_hz = lambda t: frequency.at(61_200.0 + t)
    loop.base_kw = lambda t: 2.0 * math.sin(t / 20.0)
    loop.run(120.0)
    loop.assert_clean()
    assert max(loop.powers_kw) > 1.5
    assert min(loop.powers_kw) < -1.5
    loop.frequency_hz, loop.base_kw = (lambda t: 49.95), (lambda t: 1.0)
    assert loop.run(6.0).power_kw == pytest.approx(1.0 + 0.04 * GAIN_KW_PER_HZ)


@pytest.mark.parametrize("wild", ["frequency", "base", "both"])
def test_wild_inputs_cause_no_clip_and_no_violation(wild: str) -> None:
    loop = Loop(VEHICLE)
    if wild != "base":
        loop.frequency_hz = lambda t: 50.0 + (0.4 if int(t) % 3 else -0.4)
    if wild != "frequency":
        loop.base_kw = lambda t: 50.0 if int(t / 4.0) % 2 else -50.0
    loop.run(60.0)
    loop.assert_clean()
    assert max(loop.powers_kw) > 0.8


@pytest.mark.parametrize(("soc", "base_kw"), [(0.1015, 3.3), (0.9485, -3.3)])
def test_a_battery_that_runs_out_is_left_within_the_ramp(soc: float, base_kw: float) -> None:
    loop = Loop(replace(VEHICLE, capacity_kwh=10.0, soc=soc), power_kw=base_kw)
    loop.run(60.0)
    loop.assert_clean()
    assert abs(loop.seen.power_kw) < 0.35
    edge = HARDWARE.soc_min if base_kw > 0 else HARDWARE.soc_max
    assert loop.seen.soc == pytest.approx(edge, abs=2e-4)
    assert (loop.seen.soc - edge) * base_kw > 0.0


@pytest.mark.parametrize("tick_s", [1.2, 6.0])
@pytest.mark.parametrize(("soc", "base_kw"), [(0.12, 3.3), (0.93, -3.3)])
def test_in_fast_simulated_time_a_battery_is_not_run_past_its_limits(tick_s: float, soc: float, base_kw: float) -> None:
    loop = Loop(replace(VEHICLE, capacity_kwh=10.0, soc=soc), longest_tick_s=5.0 * tick_s)
    loop.base_kw = lambda t: base_kw
    loop.run(1200.0, dt_s=tick_s)
    assert (loop.seen.constraint_violations, loop.seen.violation) == (0, "")
    edge = HARDWARE.soc_min if base_kw > 0 else HARDWARE.soc_max
    assert loop.seen.soc == pytest.approx(edge, abs=0.002)
    assert (loop.seen.soc - edge) * base_kw > 0.0


def test_a_hot_module_is_derated_without_a_clip() -> None:
    loop = Loop(VEHICLE, power_kw=3.3, temperature_c=99.0, ambient_c=34.0)
    loop.plant.hardware = replace(HARDWARE, thermal_resistance_k_per_w=6.0, thermal_tau_s=120.0)
    loop.run(90.0, dt_s=0.01)
    loop.assert_clean()
    assert loop.control.mode is Mode.DERATED
    assert 100.0 < loop.seen.temperature_c < 130.0
    assert loop.seen.power_kw < 3.2


@pytest.mark.parametrize("base_kw", [3.3, -3.3])
def test_a_lost_signal_and_a_returning_one_cause_no_clip(base_kw: float) -> None:
    loop = Loop(VEHICLE, power_kw=base_kw)
    loop.frequency_hz = lambda t: math.nan
    loop.run(9.5)
    assert loop.seen.power_kw == pytest.approx(0.0, abs=1e-3)
    assert loop.control.mode is Mode.STANDBY
    loop.frequency_hz = lambda t: 49.95
    loop.run(8.0)
    assert loop.control.mode in (Mode.CHARGING, Mode.DISCHARGING)
    loop.assert_clean()


# vehicles that have to leave charged


def critical_s(departure_s: float, due_kwh: float) -> float:
    """When a module that discharges at full power has to begin to brake."""
    plan_kw = 0.95 * HARDWARE.p_max_kw
    slack_kwh = (plan_kw + HARDWARE.p_max_kw) ** 2 / (0.5 * RATING.ramp_kw_per_s * RATING.efficiency) / 3600.0
    return departure_s - (due_kwh + slack_kwh) / (RATING.efficiency * plan_kw) * 3600.0


def must_leave(departure_s: float, due_kwh: float, earliest_s: float = -math.inf, dt_s: float = TICK_S,
               seconds: float = 20.0) -> Loop:
    """Discharging at full power, as the market asks, until the vehicle has to be charged."""
    # discharged on the way there: 8 s of full power
    start_s = max(critical_s(departure_s, due_kwh + 8.0 * HARDWARE.p_max_kw / 3600.0) - 6.0, earliest_s)
    vehicle = VehicleState(True, "s", 200.0, 0.3, departure_s, due_kwh)
    loop = Loop(vehicle, start_s=start_s)
    loop.base_kw = lambda t: HARDWARE.p_max_kw
    loop.frequency_hz = lambda t: 49.98
    loop.run(seconds, dt_s)
    return loop


@pytest.mark.parametrize("due_kwh", [0.5, 3.0, 20.0])
def test_a_vehicle_with_little_time_left_is_charged_without_a_step(due_kwh: float) -> None:
    loop = must_leave(9 * 3600.0, due_kwh, seconds=50.0)
    loop.assert_clean()
    assert max(loop.powers_kw) > 3.0, "it did discharge before"
    assert loop.seen.power_kw < -0.9 * HARDWARE.p_max_kw, "and charges in time"


@pytest.mark.parametrize("due_kwh", [1.0, 1.5, 8.0])
def test_a_vehicle_that_comes_too_late_is_charged_at_once_within_the_ramp(due_kwh: float) -> None:
    loop = must_leave(1200.0, due_kwh, earliest_s=0.0)
    loop.assert_clean()
    if due_kwh > 1.1:
        assert max(loop.powers_kw) < 0.5
        assert loop.seen.power_kw == pytest.approx(-HARDWARE.p_max_kw, rel=0.06)


def test_the_energy_due_is_there_at_departure() -> None:
    loop = must_leave(1800.0, 0.4, dt_s=0.05, seconds=20.0)
    loop.run(1800.0 - loop.seen.time_s - 2.0, dt_s=0.05)
    assert loop.seen.vehicle.plugged
    assert loop.seen.vehicle.energy_due_kwh < 0.01
    loop.run(4.0, dt_s=0.05)
    assert not loop.seen.vehicle.plugged
    assert loop.seen.constraint_violations <= 1, "power flows when the plug is pulled"


def test_real_sessions_force_no_step(shared_data: Path) -> None:
    """Every third session of a month at a car park, each at its tightest moment."""
    sessions = [s for s in read_sessions(shared_data / "ev_sessions_acn_caltech_2019-03.csv") if s.energy_kwh > 0.0]
    tight = [s for s in sessions if critical_s(s.departure_s, s.energy_kwh) < s.arrival_s]
    assert len(sessions) > 900
    assert len(tight) > 200, "these can't be met or hardly"
    unclean: list[Session] = []
    for session in sessions[::3]:
        loop = must_leave(session.departure_s, session.energy_kwh, session.arrival_s, dt_s=0.05, seconds=14.0)
        if loop.control.forced_steps or loop.control.gate_clips or loop.seen.constraint_violations:
            unclean.append(session)
    assert unclean == []


def test_recorded_frequency_causes_no_clip(shared_data: Path) -> None:
    frequency: Series = read_columns(str(shared_data / "freq_CE_1s_2024-09-03.csv"), ("frequency",))["frequency"]
    loop = Loop(VEHICLE, start_s=19.99 * 3600.0)  # around the change of the hour the frequency moves most
    loop.frequency_hz = frequency.at
    loop.base_kw = lambda t: 1.5 * math.cos(t / 15.0)
    loop.run(120.0)
    loop.assert_clean()
