"""A fault goes in, the status that tells it comes out, with its level and in words."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from v2g_nodes.msg import DecisionRecord, Meter, ModuleStatus

from v2g_nodes.canbus.frame_watch import FrameLine
from v2g_nodes.canbus.identifier import device_slot
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.core.gate import GateResult
from v2g_nodes.nodes import diagnostics, droop_diagnostics, streams
from v2g_nodes.nodes.can_diagnostics import bus_status
from v2g_nodes.nodes.diagnostics import Diagnostics, Level, Rise, Status
from v2g_nodes.nodes.diagnostics_ear import DiagnosticsEar
from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.market_planner_node import MarketPlannerNode
from v2g_nodes.nodes.module_node import ModuleNode
from v2g_nodes.nodes.optimizer_node import OptimizerNode
from v2g_nodes.nodes.plant_node import PlantNode
from v2g_nodes.sim.ek3_module import Measurement

from .conftest import Bench
from .test_can_module import BUS, stand_in
from .test_module_and_droop import Rig
from .test_monitor import Play


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test need wait for a second."""
    monkeypatch.setattr(diagnostics, "PERIOD_S", 0.1)
    monkeypatch.setattr(diagnostics, "LOOK_S", 0.05)


class Told:
    """The latest of each status.

    Args:
        bench: of the nodes.
        until: turns the nodes until something is true.
    """

    def __init__(self, bench: Bench, until: Callable[[Callable[[], object], str], None] | None = None) -> None:
        self.last: dict[str, Any] = {}
        self._until = until or bench.until
        bench.peer.create_subscription(
            DiagnosticArray, streams.DIAGNOSTICS.topic, self._hear, streams.DIAGNOSTICS.qos
        )

    def _hear(self, message: DiagnosticArray) -> None:
        self.last |= {status.name: status for status in message.status}

    def wait(self, name: str, level: Level, text: str) -> dict[str, str]:
        """Wait until a status has this level and says this; its values."""
        def told() -> bool:
            status = self.last.get(name)
            return status is not None and ord(status.level) == level and text in status.message

        try:
            self._until(told, f"{name} {level.name} {text}")
        except AssertionError as error:
            status = self.last.get(name)
            found = "nothing" if status is None else f"{ord(status.level)} {status.message}"
            raise AssertionError(f"{name}: {found}, expected {level.name} {text}") from error
        return self.values(name)

    def values(self, name: str) -> dict[str, str]:
        """Values of the latest."""
        return {item.key: item.value for item in self.last[name].values}


# how a status is made and when it goes out


def test_a_status_has_the_worst_level_and_says_the_worst_first() -> None:
    status = Status("ek3_01", "limits", "all well", {"a kW": 1.23456789, "b": "word", "c": 7})
    assert (status.text, status.level) == ("all well", Level.OK)
    status.note("so it is")
    status.warn("look")
    status.error("broken")
    status.warn("look again")
    message = status.to_message()
    assert (message.name, message.hardware_id, message.level) == ("ek3_01: limits", "ek3_01", b"\x02")
    assert message.message == "broken; look; so it is; look again"
    assert {item.key: item.value for item in message.values} == {"a kW": "1.2346", "b": "word", "c": "7"}


def test_what_happened_once_is_told_for_a_while() -> None:
    rise = Rise(3)
    assert not rise.lately(3, 0.0)
    assert rise.lately(4, 1.0)
    assert rise.lately(4, 10.0)
    assert not rise.lately(4, 12.0)
    assert not rise.lately(0, 13.0), "begun anew"
    assert rise.lately(1, 14.0)


def test_statuses_go_out_each_period_and_at_once_when_a_level_changes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "PERIOD_S", 1000.0)
    node = bench.start(MarketPlannerNode, "other", rule="none")
    told = bench.heard(streams.DIAGNOSTICS)
    status = Status("x", "y", "well")
    sender = Diagnostics(node, lambda: [status])
    bench.until(sender._out.get_subscription_count)

    def count() -> int:
        bench.spin(5)
        return sum(array.status[0].name == "x: y" for array in told)

    sender.look()
    bench.until(lambda: count() == 1)
    status.note("other words, same level")
    sender.look()
    assert count() == 1
    status.warn("now")
    sender.look()
    bench.until(lambda: count() == 2)
    monkeypatch.setattr(diagnostics, "PERIOD_S", 0.0)
    sender.look()
    bench.until(lambda: count() == 3)


def test_a_tool_with_the_default_quality_of_service_hears_statuses(bench: Bench) -> None:
    node = bench.start(MarketPlannerNode, "other", rule="none")
    told: list[DiagnosticArray] = []
    bench.peer.create_subscription(DiagnosticArray, "/diagnostics", told.append, 10)
    sender = Diagnostics(node, lambda: [Status("x", "y", "well")])
    bench.until(sender._out.get_subscription_count)
    bench.until(lambda: sender.look() or any(array.status[0].name == "x: y" for array in told))


def test_a_node_that_stops_acting_does_not_leave_its_statuses_well(bench: Bench) -> None:
    node = bench.start(MarketPlannerNode, "other", rule="none")
    told = bench.heard(streams.DIAGNOSTICS)
    bench.until(lambda: told)
    node.trigger_deactivate()
    bench.until(lambda: told[-1].status[0].message == "not active")
    assert told[-1].status[0].name == "other: plan"
    assert ord(told[-1].status[0].level) == Level.WARN
    count = len(told)
    node.trigger_activate()
    bench.until(lambda: len(told) > count, "told at once when active again")
    assert told[-1].status[0].message != "not active"


def test_a_listener_forgets_what_is_not_repeated_and_tells_an_exclusion_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = DiagnosticsEar(but="station")
    for who in ("ek3_01", "ek3_02", "station"):
        status = Status(who, "exchange with the neighbours", "", {"bus load": 0.25})
        status.error("module 3 excluded: lies")
        ear.hear(DiagnosticArray(status=[status.to_message()]))
    lost = Status("ek3_04", "set-points", "")
    lost.error("no answer")
    ear.hear(DiagnosticArray(status=[lost.to_message()]))
    assert ear.errors() == ["ek3_04: set-points: no answer", "module 3 excluded: lies"]
    assert ear.errors("set-points") == ["ek3_04: set-points: no answer"]
    assert ear.figures("bus load") == {f"ek3_0{k}: exchange with the neighbours": 0.25 for k in (1, 2)}
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + streams.DIAGNOSTICS.max_age_s + 1.0)
    assert ear.errors() == []


# what a module tells


@pytest.fixture
def rig(bench: Bench) -> Rig:
    return Rig(bench)


@pytest.fixture
def told(bench: Bench, rig: Rig) -> Told:
    return Told(bench, rig.until)


def test_set_points_are_well_only_while_the_hardware_follows(
    rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.base_kw = 1.0
    rig.reach(1.0)
    values = told.wait("ek3_01: set-points", Level.OK, "1.000 kW as set")
    assert (values["set-point kW"], values["mode"], values["armed"]) == ("1", "DISCHARGING", "True")
    really = rig.module._backend.step

    def deaf(setpoint_kw: float | None, dt_s: float, enable: bool) -> Measurement:
        return really(setpoint_kw, dt_s, enable)._replace(reference_kw=0.25, power_kw=0.25)

    with monkeypatch.context() as broken:
        broken.setattr(rig.module._backend, "step", deaf)
        told.wait("ek3_01: set-points", Level.ERROR, "hardware steers to 0.250 kW, the set-point is 1.000 kW")
    told.wait("ek3_01: set-points", Level.OK, "1.000 kW as set")


def test_a_backend_that_does_not_answer_is_an_error(rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.base_kw = 0.5
    rig.reach(0.5)
    monkeypatch.setattr(rig.module._backend, "problem", lambda: "no status from the module")
    told.wait("ek3_01: set-points", Level.ERROR, "no status from the module")


def test_hardware_that_trips_is_an_error(rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.until(lambda: rig.mode.name == "READY", "ready")
    really = rig.module._backend.step
    monkeypatch.setattr(rig.module._backend, "step", lambda *a: really(*a)._replace(fault="overtemperature"))
    told.wait("ek3_01: set-points", Level.ERROR, "overtemperature")


def test_a_module_that_is_not_armed_tells_so(rig: Rig, told: Told) -> None:
    rig.until(lambda: rig.mode.name == "READY", "ready")
    rig.arm(False)
    told.wait("ek3_01: set-points", Level.WARN, "not armed")
    rig.arm(True)
    told.wait("ek3_01: set-points", Level.OK, "as set")


def test_a_trip_of_the_grid_code_is_told(bench: Bench) -> None:
    settings = json.dumps({"enter_delay_s": 0.0, "enter_ramp_s": 1.0})
    rig = Rig(bench, law={"law": "ieee1547", "law_settings": settings})
    told = Told(bench, rig.until)
    rig.base_kw = 1.0
    rig.reach(1.0)
    rig.voltage_v = 490.0
    told.wait("ek3_01: set-points", Level.WARN, "grid code: tripped")
    rig.voltage_v = 400.0
    told.wait("ek3_01: set-points", Level.OK, "1.000 kW as set")


def test_without_a_vehicle_there_is_nothing_to_set(bench: Bench) -> None:
    rig = Rig(bench, vehicle_plugged=False)
    told = Told(bench, rig.until)
    told.wait("ek3_01: set-points", Level.OK, "no vehicle")
    told.wait("ek3_01: limits", Level.OK, "no vehicle")


def test_a_module_without_its_droop_is_an_error(bench: Bench) -> None:
    bench.start(ModuleNode, "module", "/ek3_01", armed=True, droop_silent_s=0.05)
    Told(bench).wait("ek3_01: set-points", Level.ERROR, "droop silent")


def test_derating_and_the_cap_are_told_with_their_reason(bench: Bench) -> None:
    rig = Rig(bench, temperature_c=115.0, thermal_tau_s=1e5, max_kw=1.0)
    told = Told(bench, rig.until)
    values = told.wait("ek3_01: limits", Level.WARN, "derated to 85% charging, 65% discharging at 115 deg C")
    assert "capped at 1 kW" in told.last["ek3_01: limits"].message
    assert (values["lowest kW"], values["highest kW"]) == ("-1", "1")


def test_a_broken_limit_and_a_gate_that_had_to_act_are_told(
    rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.wait("ek3_01: limits", Level.OK, "the full rating")
    control = rig.module.control
    really = control.apply

    def clipping(requested_kw: float, dt_s: float) -> GateResult:
        control.gate_clips += 1
        return really(requested_kw, dt_s)

    monkeypatch.setattr(control, "apply", clipping)
    told.wait("ek3_01: limits", Level.WARN, "the last gate had to change set-points")
    step = rig.module._backend.step
    monkeypatch.setattr(
        rig.module._backend, "step", lambda *a: step(*a)._replace(constraint_violations=1, violation="ramp")
    )
    told.wait("ek3_01: limits", Level.ERROR, "constraint violation: ramp")


def test_a_module_on_the_bus_tells_whether_it_is_reached_and_the_load(bench: Bench, tmp_path: Path) -> None:
    rig = Rig(bench, backend="can", **BUS)
    told = Told(bench, rig.until)
    rig.base_kw = 1.0
    told.wait("ek3_01: set-points", Level.ERROR, "module has not answered")
    with stand_in(tmp_path / "state.json"):
        rig.reach(1.0)
        told.wait("ek3_01: set-points", Level.OK, " kW as set")
        told.wait("ek3_01: CAN bus", Level.OK, "bus A works")
        rig.until(lambda: float(told.values("ek3_01: CAN bus")["bus load"]) > 0.001, "some frames a second")
        assert told.values("ek3_01: CAN bus")["STATUS of module 1"].startswith("ok: ")
    told.wait("ek3_01: set-points", Level.ERROR, "module has left the bus")
    told.wait("ek3_01: CAN bus", Level.ERROR, "module has left the bus")


def test_a_message_that_is_late_is_named() -> None:
    up = LinkState(True, "A", 0, 0, 0, 0, 0, 0, 0, 0, "")
    late = FrameLine("STATUS", device_slot(3), 7, 0.0, 2.0, 0, "ok", {}, late=True)
    status = bus_status("ek3_03", up, [late])
    assert (status.level, status.text) == (Level.WARN, "STATUS of module 3 is late")


def test_a_dry_run_is_worth_a_warning(bench: Bench, tmp_path: Path) -> None:
    rig = Rig(bench, backend="can", can_dry_run=True, **BUS)
    told = Told(bench, rig.until)
    with stand_in(tmp_path / "state.json"):
        rig.base_kw = 1.0
        told.wait("ek3_01: set-points", Level.WARN, "dry run: nothing is sent to the hardware")


# droop


def test_droop_tells_its_rate_and_what_it_has_not(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(droop_diagnostics, "RATE_SHARE", 0.0)  # a busy machine is no fault of the code
    monkeypatch.setattr(droop_diagnostics, "LATE_PERIODS", 1e9)
    rig = Rig(bench, signal_hold_s=0.5)
    told = Told(bench, rig.until)
    rig.base_kw, rig.frequency_hz = math.nan, None
    told.wait("ek3_01: droop", Level.WARN, "no grid signal yet; no base set-point yet")
    rig.base_kw, rig.frequency_hz = 0.5, 50.0
    values = told.wait("ek3_01: droop", Level.OK, " Hz")
    assert 0.0 < float(values["rate Hz"]) < 300.0
    assert float(values["lateness p99 ms"]) >= 0.0
    assert float(values["grid signal age s"]) < 0.5
    rig.frequency_hz = None
    told.wait("ek3_01: droop", Level.WARN, "grid signal lost for ")


def test_figures_of_ticks_are_those_of_the_second(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.droop, "_on_record", lambda: None)
    lateness_ns = [-1, *([100_000] * 97), *([4_000_000] * 2)]  # the first was woken, the last but one is missing
    tick_ns = [3_000_000, *(k * 5_000_000 for k in range(98)), 99 * 5_000_000]
    told = rig.droop._diagnostics
    arrivals_ns = [2_000_000, 7_000_000]
    told.took(DecisionRecord(tick_ns=tick_ns, lateness_ns=lateness_ns, signal_to_setpoint_ns=arrivals_ns), 41)
    values = told._status().values
    assert values["rate Hz"] == pytest.approx(200.0 * 98 / 99)
    assert (values["missed in the last second"], values["missed since the start"]) == (1, 41)
    assert values["lateness p99 ms"] == pytest.approx(4.0, abs=0.1)
    assert values["signal to set-point worst ms"] == 7.0


def test_a_droop_that_ticks_too_slowly_is_worth_a_warning(
    rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(droop_diagnostics, "RATE_SHARE", 10.0)
    told.wait("ek3_01: droop", Level.WARN, " Hz of 200 Hz")


def test_a_droop_that_has_not_ticked_is_an_error(rig: Rig, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(droop_diagnostics, "SILENT_S", -1.0)
    told.wait("ek3_01: droop", Level.ERROR, "does not tick")


# exchange


def test_an_optimizer_tells_when_its_module_falls_silent_and_nothing_is_agreed(bench: Bench) -> None:
    told = Told(bench)
    bench.start(OptimizerNode, "optimizer", "/ek3_01", module_ids=(1, 2), ratings_kw=(3.3, 3.3), edges_flat=(1, 2))
    name = "ek3_01: exchange with the neighbours"
    told.wait(name, Level.WARN, "own module not heard yet; island of 1 of 2 modules; nothing agreed yet")
    bench.sender(streams.APPLIED, "/ek3_01").publish(streams.APPLIED.message(module_id=1))
    bench.until(lambda: "own module" not in told.last[name].message)
    assert float(told.values(name)["own module silent s"]) < streams.APPLIED.max_age_s
    told.wait(name, Level.ERROR, "own module silent for ")


# station


@pytest.fixture
def play(bench: Bench) -> Play:
    return Play(bench, rating_kw=6.6, droop_gain_kw_per_hz=33.0)


def test_the_station_tells_how_well_it_agrees(play: Play) -> None:
    told = Told(play.bench)
    told.wait("station: agreement", Level.WARN, "nothing agreed yet")
    play.signal()
    play.epoch()
    values = told.wait("station: agreement", Level.OK, "all modules agree")
    assert (values["members"], values["rounds"]) == ("2", "4")
    assert float(values["gap"]) < 1e-6
    assert float(values["balance error kW"]) < 1e-6
    play.signal()
    play.record(1, 1.5)
    play.record(2, 1.4)
    told.wait("station: agreement", Level.WARN, "gap 1.")
    assert "agreed powers miss the target by 0.100 kW" in told.last["station: agreement"].message
    play.signal()
    play.record(1, 2.0, members=0b01, target_kw=2.0, island_target_kw=2.0)
    told.wait("station: agreement", Level.WARN, "1 of 2 modules agreed")


def test_the_station_tells_what_it_does_not_deliver(play: Play) -> None:
    told = Told(play.bench)
    play.signal(50.0)
    play.epoch(3.0)
    for k in (1, 2):
        play.tell(streams.APPLIED, k, power_kw=1.5)
    play.bench.until(lambda: play.monitor._words.measured_kw() == 3.0)
    told.wait("station: delivery", Level.OK, "3.00 kW as owed")
    play.tell(streams.APPLIED, 2, power_kw=0.5)
    play.bench.until(lambda: play.monitor._words.measured_kw() == 2.0)
    play.signal(50.0)
    values = told.wait("station: delivery", Level.WARN, "-1.00 kW off what was owed")
    assert values["error at the end of the last epoch kW"] == "-1"
    play.meter_out.publish(Meter(tripped=True, voltage_v=500.0, frequency_hz=50.0))
    told.wait("station: delivery", Level.ERROR, "grid protection has tripped at 500 V")


def test_the_station_gathers_what_its_modules_tell(play: Play, emitted: list[dict[str, Any]]) -> None:
    told = Told(play.bench)
    told.wait("station: modules", Level.ERROR, "no status from module 1, 2")
    peer = play.bench.sender(streams.DIAGNOSTICS)

    def say(*statuses: Status) -> None:
        for k in (1, 2):
            play.tell(streams.STATUS, k, mode=ModuleStatus.READY)
        peer.publish(DiagnosticArray(status=[status.to_message() for status in statuses]))

    lost, slow = Status("ek3_02", "set-points", ""), Status("ek3_01", "droop", "", {"rate Hz": 187.5})
    lost.error("no answer")
    known = "ek3_02: set-points: no answer"
    play.bench.until(lambda: say(lost, slow) or known in told.last["station: modules"].message)
    values = told.wait("station: modules", Level.ERROR, "no answer")
    play.monitor.report()
    assert emitted[-1]["summary"]["unreached"] == [known], "for the verdict of the run"
    assert values["slowest droop Hz"] == "187.5"
    loads = [Status(who, "CAN bus", "", {"bus load": load})
             for who, load in (("can_bridge", 0.25), ("b/can_bridge", 0.2), ("ek3_01", 0.25), ("ek3_02", 0.375))]
    play.bench.until(lambda: say(Status("ek3_02", "set-points", "well"), *loads) or "station: CAN bus" in told.last)
    told.wait("station: CAN bus", Level.WARN, "load 88%")
    told.wait("station: modules", Level.OK, "all modules answer")


# signal, plan, grid


def test_a_grid_signal_tells_what_stands_in_and_when_there_is_no_frequency(bench: Bench) -> None:
    told = Told(bench)
    bench.start(GridSignalNode, "grid_signal", seed=7)
    values = told.wait("grid_signal: source", Level.OK, "synthetic frequency, prices, signal (seed 7)")
    assert float(values["frequency Hz"]) == pytest.approx(50.0, abs=1.0)
    bench.start(GridSignalNode, "second", source="topic", missing="none", source_id=2)
    told.wait("second: source", Level.ERROR, "no frequency from topic")


def test_a_meter_that_falls_silent_is_an_error(bench: Bench) -> None:
    told = Told(bench)
    bench.start(GridSignalNode, "grid_signal", source="topic", period_s=0.05)
    sender = bench.sender(streams.GRID_MEASUREMENT)
    sender.publish(streams.GRID_MEASUREMENT.message(source_id=1, sequence=1, frequency_hz=50.0))
    values = told.wait("grid_signal: source", Level.OK, "synthetic prices, signal")
    assert 0.0 <= float(values["last measurement s ago"]) <= streams.GRID_MEASUREMENT.max_age_s + 1.0
    told.wait("grid_signal: source", Level.ERROR, "no frequency from topic for ")


def test_a_signal_without_a_price_is_worth_a_warning(bench: Bench) -> None:
    told = Told(bench)
    bench.start(GridSignalNode, "grid_signal", missing="none")
    told.wait("grid_signal: source", Level.WARN, "no price")


def test_planner_and_plant_tell_what_stands_in(bench: Bench) -> None:
    told = Told(bench)
    bench.start(MarketPlannerNode, "market_planner")
    values = told.wait("market_planner: plan", Level.OK, "synthetic prices (seed 0)")
    assert values["rule"] == "price_threshold"
    bench.start(PlantNode, "plant", module_ids=(3,))
    told.wait("plant: grid", Level.WARN, "module 3 not heard")
    applied = bench.sender(streams.APPLIED, "/ek3_03")
    power = streams.APPLIED.message(module_id=3, power_kw=1.0)
    bench.until(lambda: applied.publish(power) or ord(told.last["plant: grid"].level) == Level.OK)
