"""A module and its droop in one process, as they run, with the rest of the station played by the test."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from v2g_nodes.msg import Applied, BaseSetpoint, DecisionRecord, GridSignal, ModuleStatus

from v2g_nodes.core.mode import Mode
from v2g_nodes.nodes import convert, droop_node, module_node, streams
from v2g_nodes.nodes.droop_node import DroopNode
from v2g_nodes.nodes.module_node import LOCAL_MODULES, ModuleNode

from .conftest import SUCCESS, Bench

SPACE = "/ek3_01"
RAMP = {"ramp_kw_per_s": 20.0, "command_timeout_s": 0.15}  # fast, so that tests are
GAIN_KW_PER_HZ = 10.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test need wait for a second."""
    monkeypatch.setattr(module_node, "STATUS_S", 0.1)
    monkeypatch.setattr(droop_node, "RECORD_S", 0.3)


class Rig:
    """Module 1 and its droop; signals and set-points on demand."""

    def __init__(
        self, bench: Bench, *, optimizer_silent_s: float = 60.0, law: Mapping[str, Any] | None = None, **module: object
    ) -> None:
        self.bench = bench
        self.module = bench.start(ModuleNode, "module", SPACE, **{"armed": True, **RAMP, **module})
        self.droop = bench.start(
            DroopNode, "droop", SPACE, gain_kw_per_hz=GAIN_KW_PER_HZ, ramp_kw_per_s=self.module.p.ramp_kw_per_s,
            signal_hold_s=self.module.p.signal_hold_s, optimizer_silent_s=optimizer_silent_s,
            **(law or {}),
        )  # fmt: skip
        self.applied: list[Applied] = bench.heard(streams.APPLIED, SPACE)
        self.status: list[ModuleStatus] = bench.heard(streams.STATUS, SPACE)
        self.records: list[DecisionRecord] = bench.heard(streams.DECISION_RECORD, SPACE)
        self.signal_out = bench.sender(streams.GRID_SIGNAL)
        self.base_out = bench.sender(streams.BASE_SETPOINT, SPACE)
        self.e_stop_out = bench.sender(streams.E_STOP)
        self.sequence = 0
        self.frequency_hz: float | None = 50.0
        self.voltage_v = math.nan
        self.base_kw = 0.0
        self._due_s = 0.0

    def signal(self, **fields: Any) -> None:  # noqa: ANN401
        self.sequence += 1
        good = {"source_id": 1, "sequence": self.sequence, "frequency_hz": 50.0, "voltage_v": self.voltage_v,
                "time_of_day_s": 100.0}
        self.signal_out.publish(GridSignal(**{**good, **fields}))

    def base(self, power_kw: float, valid_s: float = 60.0) -> None:
        until = convert.to_time(time.time() + valid_s)
        self.base_out.publish(BaseSetpoint(power_kw=power_kw, valid_until=until))

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Turn everything, with a signal and a set-point ten times a second, until something is true."""

        def fed() -> object:
            if time.monotonic() >= self._due_s:
                self._due_s = time.monotonic() + 0.1
                if self.frequency_hz is not None:
                    self.signal(frequency_hz=self.frequency_hz)
                if not math.isnan(self.base_kw):
                    self.base(self.base_kw)
            return condition()

        self.bench.until(fed, what)

    @property
    def mode(self) -> Mode:
        return self.module.control.mode

    @property
    def reason(self) -> str:
        return str(self.status[-1].reason) if self.status else "nothing said yet"

    def flows(self, power_kw: float) -> bool:
        return bool(self.applied) and abs(self.applied[-1].power_kw - power_kw) < 0.02

    def reach(self, power_kw: float) -> None:
        self.until(lambda: self.flows(power_kw), f"{power_kw} kW flow")

    def arm(self, value: bool) -> Any:  # noqa: ANN401
        return self.module.set_parameters([Parameter("armed", value=value)])[0]


@pytest.fixture
def rig(bench: Bench) -> Iterator[Rig]:
    rig = Rig(bench)
    yield rig
    assert rig.module._seen.constraint_violations == 0, rig.module._seen.violation


def test_base_power_and_frequency_reach_the_hardware(rig: Rig) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    assert rig.mode is Mode.DISCHARGING
    rig.frequency_hz = 50.11
    rig.reach(0.0)
    rig.base_kw = -1.0
    rig.reach(-2.0)
    assert rig.mode is Mode.CHARGING
    applied = rig.applied[-1]
    assert (applied.module_id, applied.mode) == (1, ModuleStatus.CHARGING)
    assert (applied.limit_low_kw, applied.limit_high_kw) == (pytest.approx(-3.3), pytest.approx(3.3))
    assert rig.module.control.gate_clips == 0


def test_status_tells_what_there_is_to_know(rig: Rig) -> None:
    rig.base_kw = 0.5
    rig.reach(0.5)
    rig.status.clear()
    rig.until(lambda: rig.status)
    status = rig.status[-1]
    assert (status.module_id, status.armed, status.reason) == (1, True, "")
    assert status.vehicle_plugged
    assert status.vehicle_capacity_kwh == 60.0
    assert status.soc == pytest.approx(0.5, abs=1e-3)
    assert 0.0 <= status.signal_age_s < 5.0
    assert (status.gate_clips, status.constraint_violations) == (0, 0)
    assert math.isnan(status.departure_time_of_day_s)


def test_every_tick_is_recorded_with_what_it_depended_on(rig: Rig) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    first = rig.records[-1] if rig.records else None
    rig.until(lambda: len(rig.records) > 1 and rig.records[-1] is not first, "a second of ticks")
    record = rig.records[-1]
    assert (record.kind, record.module_id) == (DecisionRecord.DROOP, 1)
    ticks = len(record.tick_ns)
    assert ticks > 20
    columns = ("lateness_ns", "dt_s", "frequency_hz", "base_kw", "low_kw", "high_kw", "due_kw", "applied_kw")
    for name in columns:
        assert len(getattr(record, name)) == ticks
    assert list(record.tick_ns) == sorted(record.tick_ns)
    assert min(record.dt_s) > 0.0
    assert max(record.dt_s) <= 0.1
    assert record.frequency_hz[-1] == 50.0
    assert record.applied_kw[-1] == pytest.approx(1.0)
    assert len(record.signal_to_setpoint_ns) > 0
    assert all(0 < latency < 10e9 for latency in record.signal_to_setpoint_ns)


def test_an_e_stop_latches_safe_until_released_and_armed(rig: Rig) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    rig.e_stop_out.publish(Bool(data=True))
    rig.until(lambda: rig.mode is Mode.SAFE)
    rig.reach(0.0)
    rig.until(lambda: rig.reason == "e-stop")
    assert rig.module.get_parameter("armed").value is False
    refusal = rig.arm(True)
    assert not refusal.successful
    assert "e-stop is in force" in refusal.reason
    rig.e_stop_out.publish(Bool(data=False))
    rig.until(lambda: not rig.module.control.e_stop)
    rig.bench.spin()
    assert rig.mode is Mode.SAFE
    assert rig.arm(True).successful
    rig.reach(1.0)


def test_disarmed_it_goes_to_zero_and_comes_back_when_armed(rig: Rig) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    assert rig.arm(False).successful
    rig.reach(0.0)
    rig.until(lambda: rig.reason == "not armed")
    assert (rig.mode, rig.status[-1].armed) == (Mode.STANDBY, False)
    assert rig.arm(True).successful
    rig.reach(1.0)


def test_hardware_is_not_armed_by_itself(bench: Bench) -> None:
    rig = Rig(bench, armed=False)
    rig.base_kw = 1.0
    rig.until(lambda: rig.reason == "not armed")
    for _ in range(5):
        rig.until(lambda: True)
        bench.spin()
    assert rig.module.control.setpoint_kw == 0.0


def test_a_lost_signal_is_held_then_all_goes_to_zero_and_the_status_says_so(bench: Bench) -> None:
    rig = Rig(bench, signal_hold_s=1.0, ramp_kw_per_s=2.0)
    rig.base_kw = 1.0
    rig.reach(1.0)
    rig.until(lambda: rig.reason == "")
    rig.frequency_hz = None
    rig.applied.clear()
    rig.until(lambda: rig.reason == "grid signal lost: ramping to zero")
    held = [m for m in rig.applied if m.setpoint_kw > 0.999]
    assert held, "held for a while"
    rig.reach(0.0)
    rig.until(lambda: rig.reason == "no grid signal")
    assert rig.mode is Mode.STANDBY
    rig.frequency_hz = 50.0
    rig.reach(1.0)
    assert rig.module.control.gate_clips == 0


def test_base_power_ends_with_its_validity(rig: Rig) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    rig.base_kw = math.nan  # no more
    rig.base(1.0, valid_s=0.3)
    rig.reach(0.0)
    assert rig.reason == ""


@pytest.mark.parametrize(
    "fields",
    [{"frequency_hz": math.nan}, {"frequency_hz": 0.0}, {"signal_pu": 2.0}, {"source_id": 0}, {"time_of_day_s": -5.0},
     {"sequence": 1}],
)  # fmt: skip
def test_malformed_and_repeated_signals_are_refused(rig: Rig, fields: dict[str, Any]) -> None:
    rig.until(lambda: rig.module.signal_age_s < 1.0, "the first signal")
    good_hz = rig.droop._control._signal[0]
    for _ in range(5):
        rig.signal(**{"frequency_hz": 49.5, **fields})
    rig.base(2.0)
    rig.bench.until(lambda: rig.droop._control._base[0] == 2.0, "what was sent afterwards is there")
    rig.bench.spin(5)
    assert rig.droop._control._signal[0] == good_hz


def test_of_two_sources_the_lower_number_wins_while_it_speaks(rig: Rig) -> None:
    def both(of_1: float | None, of_2: float) -> None:
        rig.sequence += 1
        for source, frequency in ((1, of_1), (2, of_2)):
            if frequency is not None:
                rig.signal_out.publish(GridSignal(source_id=source, sequence=rig.sequence, frequency_hz=frequency))
        rig.bench.spin(5)

    rig.frequency_hz = None
    rig.bench.until(lambda: both(49.95, 50.05) or rig.droop._control._signal[0] == pytest.approx(49.95))
    for _ in range(5):
        both(49.95, 50.05)
        assert rig.droop._control._signal[0] == pytest.approx(49.95)
    rig.bench.until(lambda: both(None, 50.05) or rig.droop._control._signal[0] == pytest.approx(50.05), "2 takes over")


def test_a_grid_code_answers_trips_on_a_voltage_and_enters_service_again(bench: Bench) -> None:
    settings = {"slope_under": 0.02, "response_s": 0.2, "enter_delay_s": 0.0, "enter_ramp_s": 1.0}
    rig = Rig(bench, law={"law": "ieee1547", "law_settings": json.dumps(settings), "in_service": True})
    rig.base_kw = 1.0
    rig.reach(1.0)
    rig.frequency_hz = 49.864
    rig.reach(1.33)  # 0.1 Hz beyond the deadband of 36 mHz, over 50 Hz * 2 %, of 3.3 kW
    rig.voltage_v = 490.0  # 1.225 pu
    rig.reach(0.0)
    assert rig.module.control.energised
    assert not rig.module.control.enabled
    rig.until(lambda: rig.reason == "grid code: tripped")
    rig.until(lambda: (rig.applied[-1].limit_low_kw, rig.applied[-1].limit_high_kw) == (0.0, 0.0), "nothing on offer")
    rig.voltage_v, rig.frequency_hz = 400.0, 50.0
    rig.until(lambda: rig.reason == "grid code: entering service")
    rig.reach(1.0)
    assert rig.module.control.enabled


def test_a_droop_configured_anew_has_to_enter_service(bench: Bench) -> None:
    rig = Rig(bench, law={"law": "ieee1547", "law_settings": json.dumps({"enter_delay_s": 300.0}), "in_service": True})
    rig.base_kw = 1.0
    rig.reach(1.0)
    for step in ("deactivate", "cleanup", "configure", "activate"):
        assert getattr(rig.droop, f"trigger_{step}")() is SUCCESS
    rig.until(lambda: rig.reason == "grid code: not in service yet")
    rig.reach(0.0)


def test_a_silent_droop_is_noticed_and_the_module_goes_to_zero(bench: Bench) -> None:
    rig = Rig(bench, droop_silent_s=0.3, ramp_kw_per_s=2.0)
    rig.base_kw = 1.0
    rig.reach(1.0)
    assert rig.droop.trigger_deactivate() is SUCCESS
    rig.bench.until(lambda: rig.flows(0.0))
    rig.bench.until(lambda: rig.reason == "droop silent: ramping to zero")
    assert (rig.applied[-1].limit_low_kw, rig.applied[-1].limit_high_kw) == (0.0, 0.0), "it offers nothing"
    assert rig.mode is Mode.STANDBY
    assert rig.droop.trigger_activate() is SUCCESS
    rig.until(lambda: rig.signal_out.get_subscription_count() >= 1)
    rig.reach(1.0)
    assert rig.module._seen.constraint_violations == 0


def test_a_droop_that_fails_ends_the_process_and_leaves_the_module_at_zero(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    rig = Rig(bench, droop_silent_s=0.3)
    rig.base_kw = 1.0
    rig.reach(1.0)

    def broken(_: object) -> float:
        raise ZeroDivisionError("law")

    monkeypatch.setattr(rig.droop._control, "decide", broken)
    with pytest.raises(RuntimeError, match="/ek3_01/droop: droop's tick has failed"):
        bench.until(lambda: False)
    monkeypatch.setattr(rig.droop._seat, "failed", False)
    bench.until(lambda: rig.flows(0.0))


def test_a_backend_that_fails_is_a_fault_and_power_goes_to_zero_once_it_answers(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    step = rig.module._backend.step

    def broken(setpoint_kw: float | None, dt_s: float, enable: bool) -> None:
        raise OSError("bus is down")

    monkeypatch.setattr(rig.module._backend, "step", broken)
    rig.until(lambda: rig.mode is Mode.FAULT)
    rig.until(lambda: rig.reason == "backend: bus is down")
    rig.until(lambda: rig.applied[-1].mode == ModuleStatus.FAULT and rig.applied[-1].setpoint_kw == 0.0)
    assert not rig.droop._seat.failed
    monkeypatch.setattr(rig.module._backend, "step", lambda setpoint_kw, dt_s, enable: step(None, dt_s, enable))
    rig.until(lambda: rig.reason == "backend: bus is down (gone; arm to go on)")
    rig.reach(0.0)
    monkeypatch.setattr(rig.module._backend, "step", step)
    assert rig.mode is Mode.FAULT, "latched"
    assert rig.arm(True).successful
    rig.reach(1.0)


def test_a_fault_that_cannot_be_reset_refuses_arming(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("no answer")

    monkeypatch.setattr(rig.module._backend, "reset_fault", broken)
    refusal = rig.arm(True)
    assert (refusal.successful, refusal.reason) == (False, "backend: no answer")


def test_a_pause_gives_no_ramp_to_catch_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law time jumps by some seconds, as after a stopped process: the hardware has gone to zero meanwhile."""
    rig = Rig(bench, ramp_kw_per_s=2.0)
    rig.base_kw = 1.0
    rig.reach(1.0)
    seen: list[tuple[float, float]] = []
    drive = rig.module.drive

    def spied(request: Any) -> float | None:  # noqa: ANN401
        before_kw = rig.module.control.setpoint_kw
        after_kw = drive(request)
        if after_kw is not None:
            seen.append((before_kw, after_kw))
        return after_kw

    monkeypatch.setattr(rig.module, "drive", spied)
    time_before_s = rig.module._seen.time_s
    monkeypatch.setattr(rig.module, "law_s", lambda: time.monotonic() + 3.0)
    rig.until(lambda: any(after < 0.5 < before for before, after in seen), "it goes on from where the hardware is")
    rig.applied.clear()
    rig.reach(1.0)
    rises = [after - before for before, after in seen if after > before]
    assert max(rises) <= 2.0 * 0.1 + 1e-9
    assert rig.module._seen.constraint_violations == 0, rig.module._seen.violation
    assert rig.module._seen.time_s - time_before_s > 3.0, "the plant has lived through it"


def test_a_step_of_the_wall_clock_changes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.base_kw = math.nan
    rig.base(1.0, valid_s=60.0)
    rig.reach(1.0)
    rig.applied.clear()
    for shift_s in (3600.0, -3600.0):
        monkeypatch.setattr(rig.module, "now_s", lambda shift_s=shift_s: time.time() + shift_s)
        rig.until(lambda: len(rig.applied) > 3)
        assert all(m.setpoint_kw == pytest.approx(1.0) for m in rig.applied)
        rig.applied.clear()
    # stamps of the optimizer have stepped with the clock: what counts is how long they are valid from now on
    rig.base_out.publish(BaseSetpoint(power_kw=2.0, valid_until=convert.to_time(time.time() - 3600.0 + 0.4)))
    rig.reach(2.0)
    rig.reach(0.0)


def test_a_base_power_that_is_not_repeated_is_given_up_however_long_it_claims_to_be_valid(bench: Bench) -> None:
    rig = Rig(bench, optimizer_silent_s=0.3)
    rig.base_kw = 1.0
    rig.reach(1.0)
    assert rig.applied[-1].base_kw == 1.0
    rig.base_kw = math.nan
    rig.base(1.0, valid_s=3600.0)
    rig.reach(0.0)
    assert rig.applied[-1].base_kw == 0.0


def test_an_unplugged_module_says_so_and_offers_nothing(bench: Bench) -> None:
    rig = Rig(bench, vehicle_plugged=False)
    rig.base_kw = 1.0
    rig.until(lambda: rig.reason == "no vehicle")
    assert (rig.applied[-1].limit_low_kw, rig.applied[-1].limit_high_kw) == (0.0, 0.0)
    assert math.isnan(rig.status[-1].soc)
    assert math.isnan(rig.status[-1].vehicle_capacity_kwh)


def test_the_commissioning_cap_holds(bench: Bench) -> None:
    rig = Rig(bench, max_kw=0.4)
    rig.base_kw = 3.0
    rig.reach(0.4)
    assert rig.module.control.gate_clips == 0


def test_the_cap_may_be_set_while_power_flows(rig: Rig) -> None:
    rig.base_kw = 1.5
    rig.reach(1.5)
    assert rig.module.set_parameters([Parameter("max_kw", value=0.4)])[0].successful
    rig.reach(0.4)
    assert rig.module.p.max_kw == 0.4
    assert rig.module.control.forced_steps == 0
    assert rig.module.set_parameters([Parameter("max_kw", value=3.3)])[0].successful
    rig.reach(1.5)


def test_a_refused_arming_takes_nothing_else_along(rig: Rig) -> None:
    rig.e_stop_out.publish(Bool(data=True))
    rig.until(lambda: rig.mode is Mode.SAFE)
    result = rig.module.set_parameters_atomically([Parameter("max_kw", value=0.4), Parameter("armed", value=True)])
    assert (result.successful, result.reason) == (False, "e-stop is in force, allowed after its release")
    assert (rig.module.p.max_kw, rig.module.control.max_kw, rig.module.p.armed) == (3.3, 3.3, False)


# state over a restart


def test_battery_and_power_survive_a_restart(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "ek3_01.json"
    rig = Rig(bench, state_file=str(file), soc=0.4, command_timeout_s=5.0, vehicle_capacity_kwh=0.5)
    rig.base_kw = 3.0
    rig.until(lambda: rig.module._seen.soc < 0.3995, "the battery has given some of its charge")
    soc = rig.module._seen.soc
    bench.drop(rig.droop)
    bench.drop(rig.module)
    assert json.loads(file.read_text())["soc"] == pytest.approx(soc, abs=1e-3)

    again = Rig(bench, state_file=str(file), soc=0.9, command_timeout_s=5.0, vehicle_capacity_kwh=0.5)
    assert again.module._seen.soc < 0.3996, "the file counts, not the parameter"
    assert again.module.control.setpoint_kw > 0.5, "goes on from the power that flows"
    again.base_kw = 3.0
    again.reach(3.0)
    assert again.module._seen.constraint_violations == 0


def test_what_was_told_is_kept_for_who_takes_over(bench: Bench, tmp_path: Path) -> None:
    """A killed process says no farewell: at any moment the file is no older than the last message."""
    file = tmp_path / "ek3_01.json"
    rig = Rig(bench, state_file=str(file), ramp_kw_per_s=1.0)
    told: list[float] = []
    kept: list[float] = []

    def listen(message: Applied) -> None:
        told.append(message.setpoint_kw)
        kept.append(json.loads(file.read_text())["reference_kw"])

    bench.peer.create_subscription(streams.APPLIED.message, f"{SPACE}/applied", listen, streams.APPLIED.qos)
    rig.base_kw = 1.0
    rig.reach(1.0)
    rising = [(a, b) for a, b in zip(told, kept, strict=True) if 0.1 < a < 0.9]
    assert len(rising) > 5
    assert all(b >= a - 1e-3 for a, b in rising)


@pytest.mark.parametrize("content", ["", "{}", '{"version": 1}'])
def test_a_state_file_that_is_something_else_is_refused_by_name(bench: Bench, tmp_path: Path, content: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(content)
    module = bench.make(ModuleNode, "module", SPACE, state_file=str(file))
    assert module.trigger_configure() is not SUCCESS
    assert str(module.failure).startswith(f"state_file {file}: ")


def test_state_that_cannot_be_kept_is_no_reason_to_stop(bench: Bench, tmp_path: Path) -> None:
    rig = Rig(bench, state_file=str(tmp_path / "nowhere" / "state.json"))
    rig.module._save()
    rig.base_kw = 0.5
    rig.reach(0.5)


# what does not fit together


def test_a_droop_without_its_module_is_refused(bench: Bench) -> None:
    bench.start(ModuleNode, "module", SPACE, module_id=1)
    droop = bench.make(DroopNode, "droop", "/ek3_02", module_id=2)
    assert droop.trigger_configure() is not SUCCESS
    assert str(droop.failure) == "module 2 is not in the process of its droop, found [1]"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"backend": "rig"}, "backend is 'rig', allowed sim, can"),
        ({"soc_min": 0.9, "soc_max": 0.2}, "soc_min is 0.9, allowed below soc_max 0.2"),
        ({"session_ids": ["a"], "session_arrival_s": [1.0, 2.0]}, "differ in length"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    bench: Bench, parameters: dict[str, Any], text: str
) -> None:
    module = bench.make(ModuleNode, "module", SPACE, **parameters)
    assert module.trigger_configure() is not SUCCESS
    assert text in str(module.failure)
    assert LOCAL_MODULES == {}


# simulated time


def test_before_simulated_time_has_come_nothing_moves(bench: Bench) -> None:
    module = bench.start(ModuleNode, "module", SPACE, armed=True, use_sim_time=True, speed=60.0)
    bench.start(DroopNode, "droop", SPACE, use_sim_time=True, speed=60.0)
    bench.spin()
    began_s = module._seen.time_s
    assert began_s < 60.0
    clock = bench.sender(streams.CLOCK, listeners=2)
    started_s = 1.7e9
    for k in range(50):
        clock.publish(streams.CLOCK.message(clock=convert.to_time(started_s + 1.2 * k)))
        bench.spin(2)
    bench.until(lambda: module._seen.time_s - began_s > 30.0)
    assert module._seen.time_s - began_s <= 1.2 * 50
