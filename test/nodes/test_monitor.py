"""The monitor watches a station that the test plays."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from v2g_nodes.msg import (
    BaseSetpoint,
    DecisionRecord,
    GridSignal,
    MarketPlan,
    Meter,
    ModuleStatus,
    NeighborState,
    StationStatus,
)

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.types import Box
from v2g_nodes.nodes import graph_check, station_monitor_node, streams
from v2g_nodes.nodes.run_record import EPOCH_FIELDS, MODULE_FIELDS, SAMPLE_FIELDS
from v2g_nodes.nodes.station_monitor_node import StationMonitorNode

from .conftest import Bench

COSTS = tuple(CostParameters(3.3, 0.97, 0.02, 0.01, 0.1, gamma, 1.5, 2.0, 2e-4, 2.0, 50.0) for gamma in (0.005, 0.05))
BOX = Box(-2.5, 2.5)
STATION = {"module_ids": [1, 2]}
LINK = "/grid/signal /peer /station_monitor"
SUMMARY_KEYS = {
    "epochs", "complete_epochs", "cold_epochs", "rounds_median", "rounds_max", "round_ms_median", "epoch_ms_median",
    "epoch_ms_p99", "gap_max", "equal_split_gap_median", "balance_error_kw_max", "lambda_spread_max",
    "delivered_error_kw_p99", "constraint_violations", "gate_clips", "clipped_epochs", "shortfall_kw_max",
    "signal_to_setpoint_ms_median", "signal_to_setpoint_ms_p99", "droop_rate_hz", "droop_jitter_ms_p99",
    "unjudged_epochs", "droop_overruns", "bytes_per_message_max", "kbps_per_module_max", "energy_kwh", "cost_eur",
    "members", "unreached", "performance_score", "performance_parts", "settlement",
}  # fmt: skip


def optimum(target_kw: float) -> tuple[float, ...]:
    return dispatch_optimum([LocalCost(c, 0.5, 40.0) for c in COSTS], [BOX, BOX], target_kw).powers_kw


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test need wait for a second."""
    for name, period_s in (("TABLE_S", 0.1), ("SAMPLE_S", 0.2), ("STATUS_S", 0.3)):
        monkeypatch.setattr(station_monitor_node, name, period_s)
    monkeypatch.setattr(graph_check, "GRAPH_S", 0.1)


class Play:
    """Two modules, as the monitor sees them."""

    def __init__(self, bench: Bench, **parameters: object) -> None:
        self.bench = bench
        self.monitor = bench.start(StationMonitorNode, "station_monitor", **{**STATION, **parameters})
        self.published: list[StationStatus] = bench.heard(streams.STATION_STATUS)
        self.out = {
            (stream.topic, k): bench.sender(stream, f"/ek3_{k:02d}")
            for k in (1, 2)
            for stream in (streams.APPLIED, streams.STATUS, streams.DECISION_RECORD)
        }
        self.signal_out = bench.sender(streams.GRID_SIGNAL)
        self.meter_out = bench.sender(streams.GRID_METER)
        self.signals = 0

    def signal(self, frequency_hz: float = 50.0) -> None:
        self.signals += 1
        self.signal_out.publish(
            GridSignal(source_id=1, sequence=self.signals, signal_sequence=20 * self.signals, frequency_hz=frequency_hz,
                       price_eur_per_kwh=0.1, time_of_day_s=100.0 + self.signals)
        )
        self.bench.until(lambda: self.monitor._signal and self.monitor._signal.sequence == self.signals)

    def tell(self, stream: streams.Stream, k: int, **fields: object) -> None:
        self.out[stream.topic, k].publish(stream.message(module_id=k, **fields))

    def record(self, k: int, power_kw: float, **more: object) -> None:
        """An epoch's record of module k."""
        now_ns = time.monotonic_ns()
        fields: dict[str, Any] = {
            "kind": DecisionRecord.EPOCH, "module_id": k, "signal_sequence": 20 * self.signals, "plan_version": 1,
            "source_id": 1, "membership": 7, "members": 0b11, "rounds": 4, "target_kw": 3.0, "island_target_kw": 3.0,
            "clipped_target_kw": 3.0, "box_low_kw": BOX.low_kw, "box_high_kw": BOX.high_kw, "soc": 0.5,
            "temperature_c": 40.0, "lambda_eur_per_kwh": 0.05, "power_kw": power_kw,
            "cost_parameters": list(vars(COSTS[k - 1]).values()), "signal_received_ns": now_ns - 9_000_000,
            "started_ns": now_ns - 8_000_000, "agreed_ns": now_ns,
        }  # fmt: skip
        self.out["decision_record", k].publish(DecisionRecord(**{**fields, **more}))

    def epoch(self, target_kw: float = 3.0, **more: object) -> None:
        """An epoch on which both agree."""
        epochs = self.monitor._record.epochs
        for k, power_kw in enumerate(optimum(target_kw), 1):
            self.record(k, power_kw, target_kw=target_kw, island_target_kw=target_kw, **more)
        self.bench.until(lambda: self.monitor._record.epochs == epochs + 1, "the epoch is closed")

    @property
    def summary(self) -> dict[str, Any]:
        return self.monitor._record.summary()


@pytest.fixture
def play(bench: Bench) -> Play:
    return Play(bench)


def test_an_epoch_is_judged_when_the_last_member_has_told_its_part(play: Play) -> None:
    play.signal()
    best = optimum(3.0)
    play.record(1, best[0])
    play.bench.spin()
    assert play.monitor._record.epochs == 0
    play.record(2, best[1])
    play.bench.until(lambda: play.published)
    told = play.published[-1]
    assert (told.modules, told.members, told.rounds, told.signal_sequence) == (2, 2, 4, 20)
    assert (told.target_kw, told.agreed_kw) == (3.0, pytest.approx(3.0))
    assert 0.0 <= told.gap < 1e-6
    assert told.equal_split_gap > 0.1
    assert (told.clipped, told.lambda_eur_per_kwh) == (False, pytest.approx(0.05))
    assert play.monitor._record.complete_epochs == 1


def test_a_worse_split_shows_as_a_gap(play: Play) -> None:
    play.signal()
    play.record(1, 1.5)
    play.record(2, 1.5)
    play.bench.until(lambda: play.published)
    assert play.published[-1].gap == pytest.approx(play.published[-1].equal_split_gap)
    assert play.summary["gap_max"] > 0.1


def test_records_of_different_memberships_do_not_mix(play: Play) -> None:
    play.signal()
    best = optimum(3.0)
    play.record(1, best[0], membership=7)
    play.record(2, best[1], membership=8)
    play.bench.spin()
    assert play.monitor._record.epochs == 0
    play.record(2, best[1], membership=7)
    play.bench.until(lambda: play.monitor._record.epochs == 1)


def test_an_island_that_owes_nothing_is_not_counted(play: Play) -> None:
    play.signal()
    play.record(1, 2.0, members=0b01, membership=9, target_kw=2.0, island_target_kw=2.0)
    play.bench.until(lambda: play.monitor._record.epochs == 1)
    play.record(2, 0.0, members=0b10, membership=10, target_kw=2.0, island_target_kw=0.0)
    play.bench.spin()
    assert play.monitor._record.epochs == 1
    assert play.summary["complete_epochs"] == 0
    assert play.summary["members"] == 1


@pytest.mark.parametrize(
    "more", [{"power_kw": 3.0}, {"cost_parameters": [1.0, 2.0]}, {"soc": math.nan}, {"box_high_kw": -9.0}]
)
def test_an_epoch_that_can_not_be_judged_is_told_and_the_monitor_lives(
    play: Play, emitted: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    play.signal()
    best = optimum(3.0)
    play.record(2, best[1])
    play.record(1, **{"power_kw": best[0], **more})
    play.bench.until(lambda: play.monitor._record.unjudged_epochs == 1)
    for k in (1, 2):
        play.tell(streams.STATUS, k)
    play.bench.until(lambda: any("epoch not judged: " in e.get("text", "") for e in emitted))
    assert (play.summary["epochs"], play.summary["unjudged_epochs"]) == (0, 1)
    play.signal()
    play.epoch()


def test_a_clipped_target_and_the_shortfall_are_told(play: Play) -> None:
    play.signal()
    for k in (1, 2):
        play.record(k, 2.5, target_kw=8.0, island_target_kw=8.0, clipped_target_kw=5.0)
    play.bench.until(lambda: play.published)
    told = play.published[-1]
    assert (told.clipped, told.target_kw, told.clipped_target_kw) == (True, 8.0, 5.0)
    summary = play.summary
    assert (summary["clipped_epochs"], summary["shortfall_kw_max"]) == (1, pytest.approx(3.0))
    assert summary["balance_error_kw_max"] == pytest.approx(0.0, abs=1e-9)


def test_what_is_wrong_is_said_in_words(play: Play, emitted: list[dict[str, Any]]) -> None:
    def text() -> str:
        tables = [e for e in emitted if e["event"] == "table"]
        return str(tables[-1]["text"]) if tables else ""

    play.bench.until(lambda: text() == "no status from module 1, 2")
    play.bench.until(lambda: play.tell(streams.STATUS, 2) or text() == "no status from module 1")

    def both() -> None:
        play.tell(streams.STATUS, 1)
        play.tell(streams.STATUS, 2)

    play.bench.until(lambda: both() or (text() == "" and play.monitor._words.status.keys() == {1, 2}))
    play.signal()
    play.record(1, 2.0, members=0b01, target_kw=2.0, island_target_kw=2.0)
    play.bench.until(lambda: both() or text() == "1 of 2 modules agreed")


def test_delivered_power_is_compared_with_what_was_owed_at_the_end_of_an_epoch(bench: Bench) -> None:
    play = Play(bench, droop_gain_kw_per_hz=33.0)
    play.signal(49.96)
    play.epoch(3.0)
    owed_kw = 3.0 + 33.0 * 0.03
    play.tell(streams.APPLIED, 1, power_kw=owed_kw - 1.0)
    play.tell(streams.APPLIED, 2, power_kw=1.25)
    bench.until(lambda: len(play.monitor._words.applied) == 2)
    play.signal(50.0)
    assert play.summary["delivered_error_kw_p99"] == pytest.approx(0.25, abs=1e-4)


def test_a_silent_module_is_no_longer_measured(play: Play) -> None:
    play.tell(streams.APPLIED, 1, power_kw=2.0)
    play.tell(streams.APPLIED, 2, power_kw=1.0)
    play.bench.until(lambda: play.monitor._words.measured_kw() == pytest.approx(3.0))
    play.bench.until(lambda: play.tell(streams.APPLIED, 2, power_kw=1.0) or play.monitor._words.measured_kw() < 2.0)
    assert play.monitor._words.measured_kw() == pytest.approx(1.0)
    values = play.monitor._words.values(1)
    assert math.isnan(values["power_kw"]), "absent, not zero"


# what droop, modules and meter tell


def test_ticks_of_the_run_give_rate_jitter_and_latency(play: Play) -> None:
    early = {"kind": DecisionRecord.DROOP, "tick_ns": [1, 2], "lateness_ns": [10**9, 10**9]}
    play.tell(streams.DECISION_RECORD, 1, **early)
    play.signal()
    play.tell(streams.DECISION_RECORD, 1, **early)
    begin = time.monotonic_ns() + 10**9
    for second in range(2):
        ticks = [begin + (200 * second + k) * 5_000_000 for k in range(200)]
        late = [200_000] * 200
        late[3] = -1  # a frequency came
        play.tell(streams.DECISION_RECORD, 1, kind=DecisionRecord.DROOP, tick_ns=ticks, lateness_ns=late,
                  signal_to_setpoint_ns=[4_000_000])
    play.bench.until(lambda: play.summary["signal_to_setpoint_ms_median"] == pytest.approx(4.0))
    play.bench.until(lambda: play.summary["droop_rate_hz"] == pytest.approx(200.0, rel=0.02))
    summary = play.summary
    assert summary["droop_jitter_ms_p99"] == pytest.approx(0.2), "what was before the run does not count"
    assert summary["signal_to_setpoint_ms_p99"] == pytest.approx(4.0)


def test_counters_of_the_modules_add_up_over_restarts(play: Play) -> None:
    play.tell(streams.STATUS, 1, gate_clips=100)  # before the run
    play.signal()
    for clips, violations, overruns in ((2, 0, 50), (3, 1, 53), (1, 1, 2)):
        play.tell(streams.STATUS, 1, gate_clips=clips, constraint_violations=violations, droop_overruns=overruns)
    play.tell(streams.STATUS, 2, gate_clips=5)
    play.bench.until(lambda: play.summary["gate_clips"] == 3 + 1 + 5)
    assert play.summary["constraint_violations"] == 1
    assert play.summary["droop_overruns"] == 3 + 2


def test_energy_and_cost_go_on_over_a_restart_of_the_meter(play: Play) -> None:
    for exported, imported, cost in ((2.0, 0.5, -0.2), (0.25, 0.0, -0.05), (0.5, 0.0, -0.1)):
        play.meter_out.publish(Meter(exported_kwh=exported, imported_kwh=imported, cost_eur=cost))
    play.bench.until(lambda: play.summary["energy_kwh"] == pytest.approx(1.5 + 0.5))
    assert play.summary["cost_eur"] == pytest.approx(-0.3)


def test_what_modules_send_to_each_other_is_counted(play: Play) -> None:
    play.signal()
    begin = time.monotonic_ns()
    for epoch in range(3):
        play.epoch(agreed_ns=begin + epoch * 10**9, curves_sent=10 * epoch, states_sent=20 * epoch)
        play.signal()
    summary = play.summary
    assert summary["bytes_per_message_max"] <= 64
    bytes_per_s = summary["kbps_per_module_max"] * 1000.0 / 8.0
    assert 10 * 40 + 20 * 40 < bytes_per_s < 10 * 64 + 20 * 64


# regulation


def test_the_response_is_what_goes_beyond_base_power_and_droop(bench: Bench, tmp_path: Path) -> None:
    """The signal is that of the recording: what the station makes of it is judged by it, not the other way round."""
    signal, market = tmp_path / "s.csv", tmp_path / "m.csv"
    signal.write_text("time_s,signal_pu\n" + "".join(f"{10 * k},{0.5 if k < 4320 else -0.5}\n" for k in range(8640)))
    market.write_text("time_s,rmccp,rmpcp\n" + "".join(f"{300 * k},20,1.5\n" for k in range(288)))
    play = Play(bench, droop_gain_kw_per_hz=33.0, deadband_hz=0.0, start_time_of_day_s=3600.0,
                signal_csv=str(signal), market_csv=str(market))  # fmt: skip
    watch = play.monitor._regulation
    assert watch._moment(3600.0) is None, "neither signal nor plan yet"
    play.signal(49.9)
    assert watch._moment(3600.0) is None, "no plan yet"
    plans = bench.sender(streams.MARKET_PLAN)
    good = MarketPlan(plan_version=3, rule="market", slot_s=86400.0, base_kw=[-1.0], capacity_kw=[4.0],
                      rebate_eur_per_h=[0.25])  # fmt: skip
    plans.publish(good)
    bench.until(lambda: watch._plan)
    plans.publish(MarketPlan(plan_version=4, rule="market", slot_s=math.nan, base_kw=[-1.0], capacity_kw=[4.0]))
    play.epoch()

    def told() -> bool:
        for k, power_kw in ((1, 3.0), (2, 1.5)):
            play.tell(streams.APPLIED, k, power_kw=power_kw)
            play.tell(streams.STATUS, k, soc=0.5, temperature_c=30.0, vehicle_plugged=k == 2)
        moment = watch._moment(3600.0)
        return moment is not None and moment.response_kw > 2.0 and moment.rebates_eur_per_h > 0.0

    bench.until(told)
    moment = watch._moment(3600.0)
    assert moment is not None
    assert watch._plan is not None
    assert (moment.capacity_kw, moment.signal_pu, watch._plan.version) == (4.0, 0.5, 3)
    assert moment.response_kw == pytest.approx(4.5 - -1.0 - 3.3, abs=1e-3)
    assert (moment.capability_eur_per_kwh, moment.performance_eur_per_kwh) == (0.02, 0.0015)
    assert moment.rebates_eur_per_h == pytest.approx(0.25), "one vehicle"
    assert moment.wear_eur_per_h == pytest.approx(0.05 * 1.5**1.5), "of the one battery that is there"
    bench.until(lambda: play.tell(streams.STATUS, 1) or watch._words.silent() == [2])
    left = watch._moment(50_000.0)
    assert left is not None
    assert (left.signal_pu, left.rebates_eur_per_h) == (-0.5, 0.0), "the silent module counts as one without a vehicle"


@pytest.mark.parametrize(
    "nonsense",
    [{"soc": math.nan}, {"soc": math.inf}, {"temperature_c": math.nan}, {"power_kw": math.nan}, {"power_kw": 1e30},
     {"power_kw": math.inf}, {"capacity_kw": math.inf}, {"vehicle_plugged": False, "soc": math.nan}],
)  # fmt: skip
def test_no_word_of_a_module_or_planner_ends_the_watch(
    play: Play, emitted: list[dict[str, Any]], nonsense: dict[str, float]
) -> None:
    """Settled is what is left of it, in numbers that JSON knows."""
    watch = play.monitor._regulation
    plans = play.bench.sender(streams.MARKET_PLAN)
    plans.publish(MarketPlan(plan_version=3, rule="market", slot_s=86400.0, base_kw=[0.0],
                             capacity_kw=[nonsense.get("capacity_kw", 4.0)], rebate_eur_per_h=[0.25]))  # fmt: skip
    play.signal()
    play.epoch()
    status = {"soc": 0.5, "temperature_c": 30.0, "vehicle_plugged": True, **nonsense}
    status = {key: value for key, value in status.items() if key in ModuleStatus.get_fields_and_field_types()}
    status.pop("power_kw", None)

    def told() -> bool:
        for k in (1, 2):
            play.tell(streams.APPLIED, k, power_kw=nonsense.get("power_kw", 1.0))
            play.tell(streams.STATUS, k, **status)
        return len(play.monitor._words.status) == len(play.monitor._words.applied) == 2

    play.bench.until(told)
    for _ in range(3):
        watch.look()
    play.monitor.report()
    json.dumps(emitted[-1]["summary"], allow_nan=False)
    assert set(emitted[-1]["summary"]) == SUMMARY_KEYS


def test_a_run_at_high_speed_is_not_scored(bench: Bench) -> None:
    play = Play(bench, speed=20.0, use_sim_time=True)
    figures = play.monitor._regulation.figures()
    assert (figures["performance_score"], figures["settlement"]["net_eur"]) == (None, None)
    assert not play.monitor._regulation._scored
    assert Play(bench, speed=10.0, use_sim_time=True).monitor._regulation._scored


# report


def test_the_summary_has_its_keys_before_and_after_the_first_epoch(play: Play, emitted: list[dict[str, Any]]) -> None:
    play.monitor.report()
    empty = emitted[-1]
    assert empty["event"] == "summary"
    assert set(empty["summary"]) == SUMMARY_KEYS
    assert (empty["summary"]["epochs"], empty["summary"]["gap_max"]) == (0, None)
    json.dumps(empty, allow_nan=False)
    play.signal()
    play.epoch(cold=True)
    play.signal()
    play.epoch(-2.0)
    play.monitor.report()
    summary = emitted[-1]["summary"]
    assert set(summary) == SUMMARY_KEYS
    assert (summary["epochs"], summary["complete_epochs"], summary["cold_epochs"]) == (2, 2, 1)
    assert (summary["rounds_median"], summary["rounds_max"]) == (4.0, 4)
    assert isinstance(summary["rounds_max"], int)
    assert summary["epoch_ms_median"] > 8.9
    assert summary["round_ms_median"] == pytest.approx((summary["epoch_ms_median"] - 1.0) / 4.0, rel=0.2)
    assert 0.0 <= summary["gap_max"] < 1e-6
    assert summary["equal_split_gap_median"] > 0.1
    json.dumps(summary, allow_nan=False)


def test_the_series_file_holds_columns_of_one_length(
    bench: Bench, emitted: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "series.json"
    play = Play(bench, series_file=str(file))
    play.signal()
    play.epoch()
    play.tell(streams.STATUS, 1, soc=0.25, temperature_c=44.0)
    bench.until(lambda: len(play.monitor._record._samples.kept) >= 2)
    play.monitor.report()
    assert emitted[-1]["series_file"] == str(file)
    series = json.loads(file.read_text())
    assert set(series) == {*SAMPLE_FIELDS, "modules", "epochs", "regulation"}
    assert {len(series[name]) for name in SAMPLE_FIELDS} == {len(series["time_s"])}
    assert series["target_kw"][-1] == 3.0
    assert set(series["modules"]) == {"1", "2"}
    for k in ("1", "2"):
        assert set(series["modules"][k]) == set(MODULE_FIELDS)
        assert {len(v) for v in series["modules"][k].values()} == {len(series["time_s"])}
    assert series["modules"]["1"]["soc"][-1] == 0.25
    assert series["modules"]["2"]["soc"][-1] is None, "absent, not zero"
    assert {name: len(series["epochs"][name]) for name in EPOCH_FIELDS} == dict.fromkeys(EPOCH_FIELDS, 1)


def test_a_series_file_that_can_not_be_written_costs_no_summary(
    bench: Bench, emitted: list[dict[str, Any]], tmp_path: Path
) -> None:
    play = Play(bench, series_file=str(tmp_path / "nowhere" / "series.json"))
    play.monitor.report()
    assert (emitted[-1]["event"], emitted[-1]["series_file"]) == ("summary", "")


# live table and graph


def test_the_table_shows_modes_and_values(play: Play, emitted: list[dict[str, Any]]) -> None:
    play.signal(50.02)
    play.epoch()
    play.tell(streams.STATUS, 1, mode=ModuleStatus.CHARGING, soc=0.5, vehicle_plugged=True, session_id="s1",
              reason="why")
    play.tell(streams.APPLIED, 1, power_kw=-1.0, setpoint_kw=-1.25)

    def table() -> dict[str, Any]:
        return next((e for e in reversed(emitted) if e["event"] == "table"), {"modules": [{"mode": ""}]})

    play.bench.until(lambda: table()["modules"][0]["mode"] == "CHARGING" and play.monitor._words.applied)
    play.bench.until(lambda: table()["modules"][0]["power_kw"] == -1.0)
    one, two = table()["modules"]
    assert (one["setpoint_kw"], one["soc"], one["vehicle"], one["reason"]) == (-1.25, 0.5, "s1", "why")
    assert one["lambda"] == pytest.approx(0.05)
    assert (two["mode"], two["reason"], two["vehicle"]) == ("?", "not seen yet", "")
    shown = table()
    assert shown["frequency_hz"] == pytest.approx(50.02)
    assert (shown["epochs"], shown["members"], shown["rounds"], shown["target_kw"]) == (1, 2, 4, 3.0)


def test_missing_edges_are_named_until_the_graph_is_complete(bench: Bench, emitted: list[dict[str, Any]]) -> None:
    def missing() -> list[list[str]]:
        return next((list(map(list, e["missing"])) for e in reversed(emitted) if e["event"] == "link"), [["?"]])

    links = [LINK, "/ek3_01/base_setpoint /peer /peer"]
    bench.start(StationMonitorNode, "station_monitor", **STATION, links=links)
    bench.until(lambda: missing() == [link.split(" ") for link in links])
    bench.sender(streams.GRID_SIGNAL)
    bench.until(lambda: missing() == [links[1].split(" ")])
    told: list[BaseSetpoint] = bench.heard(streams.BASE_SETPOINT, "/ek3_01")
    bench.sender(streams.BASE_SETPOINT, "/ek3_01")
    assert told == []
    bench.until(lambda: missing()[0][0] == "one membership", "no heartbeats yet")
    states = [bench.sender(streams.NEIGHBOR_STATE, f"/ek3_{k:02d}") for k in (1, 2)]

    def beat(*memberships: int) -> None:
        for k, (out, membership) in enumerate(zip(states, memberships, strict=True), 1):
            out.publish(NeighborState(module_id=k, membership=membership))

    for _ in range(30):
        beat(5, 6)
        bench.spin(2)
    assert missing()[0][0] == "one membership", "two different groups"
    bench.until(lambda: beat(6, 6) or missing() == [])  # type: ignore[func-returns-value]
    count = len([e for e in emitted if e["event"] == "link"])
    bench.spin(60)
    assert len([e for e in emitted if e["event"] == "link"]) == count, "it stops looking"


def test_a_host_with_one_module_waits_for_it_and_one_that_is_no_group_alone_for_none(
    bench: Bench, emitted: list[dict[str, Any]]
) -> None:
    def missing() -> list[list[str]]:
        return next((list(map(list, e["missing"])) for e in reversed(emitted) if e["event"] == "link"), [["?"]])

    bench.start(StationMonitorNode, "station_monitor", module_ids=[3])
    bench.until(lambda: missing() == [["one membership", "/ek3_03/optimizer", "/ek3_03/optimizer"]])
    emitted.clear()
    bench.start(StationMonitorNode, "monitor_of_some", module_ids=[1, 3], joined=False)
    bench.until(lambda: any(e["event"] == "link" and not e["missing"] for e in emitted))


def test_station_status_is_repeated_when_epochs_stay_away(play: Play) -> None:
    play.signal()
    play.epoch()
    play.bench.until(lambda: play.published)
    count = len(play.published)
    play.bench.until(lambda: len(play.published) > count, "told again")
    assert play.published[-1].signal_sequence == play.published[0].signal_sequence
