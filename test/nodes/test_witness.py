"""The witness tells what a station does that the test plays."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from v2g_nodes.msg import Applied, BaseSetpoint, DecisionRecord, GridSignal, ModuleStatus, NeighborState

from v2g_nodes.nodes import convert, streams, witness_node
from v2g_nodes.nodes.witness_node import WitnessNode

from .conftest import Bench

STREAMS = {Applied: streams.APPLIED, BaseSetpoint: streams.BASE_SETPOINT, DecisionRecord: streams.DECISION_RECORD,
           ModuleStatus: streams.STATUS, NeighborState: streams.NEIGHBOR_STATE}  # fmt: skip


COST = [3.0, 0.5, 0.25]


class Play:
    """One module, as the witness sees it."""

    def __init__(self, bench: Bench, emitted: list[dict[str, Any]]) -> None:
        self.bench, self.emitted = bench, emitted
        bench.start(WitnessNode, "witness", module_ids=[1], ratings_kw=[3.0], ramps_kw_per_s=[1.0],
                    droop_gain_kw_per_hz=10.0)  # fmt: skip
        self.out = {kind: bench.sender(stream, "/ek3_01") for kind, stream in STREAMS.items()}
        self.signal_out = bench.sender(streams.GRID_SIGNAL)

    def tell(self, message: Any) -> None:  # noqa: ANN401
        self.out[type(message)].publish(message)

    def applied(self, setpoint_kw: float, at_s: float = 0.0, **fields: float) -> None:
        self.tell(Applied(module_id=1, setpoint_kw=setpoint_kw, stamp=convert.to_time(1e9 + at_s),
                          **{"limit_low_kw": -3.0, "limit_high_kw": 3.0, **fields}))

    def last(self, event: str = "extremes") -> dict[str, Any]:
        return next((e for e in reversed(self.emitted) if e["event"] == event), {})

    def until(self, condition: Callable[[], object], what: str) -> None:
        self.bench.until(condition, what)


@pytest.fixture
def play(bench: Bench, emitted: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(witness_node, "TELL_S", 0.05)
    return Play(bench, emitted)


def test_a_finished_epoch_is_told_at_once_and_exactly(play: Play) -> None:
    price = 0.1 + 1e-16 + 2e-17
    play.tell(DecisionRecord(kind=DecisionRecord.DROOP, module_id=1))
    play.tell(DecisionRecord(
        module_id=1, signal_sequence=40, plan_version=3, source_id=2, membership=77, members=0b11, agreed_ns=123,
        lambda_eur_per_kwh=price, power_kw=1.5, target_kw=2.0, island_target_kw=2.0, box_low_kw=-1.5, box_high_kw=2.5,
        cost_parameters=COST, soc=0.5, temperature_c=40.0))  # fmt: skip
    play.until(lambda: play.last("epoch"), "an epoch is told")
    assert [e for e in play.emitted if e["event"] == "epoch"] == [{
        "event": "epoch", "module": 1, "members": 3, "membership": 77, "epoch": [40, 3, 2], "agreed_ns": 123,
        "lambda_eur_per_kwh": price, "power_kw": 1.5, "target_kw": 2.0, "island_target_kw": 2.0,
        "box": [-1.5, 2.5], "cost": COST, "soc": 0.5, "temperature_c": 40.0}]  # fmt: skip


def test_powers_and_targets_are_told_for_a_sum_over_hosts_only_if_asked(play: Play) -> None:
    play.applied(1.0, base_kw=0.5)
    play.tell(NeighborState(module_id=1, target_kw=0.5))
    play.until(play.last, "the extremes are told")
    assert not play.last("power")
    assert not play.last("target")
    play.bench.start(WitnessNode, "witness_of_host", module_ids=[1], ratings_kw=[3.0], ramps_kw_per_s=[1.0],
                     tell_powers=True)  # fmt: skip
    for base_kw in (1.25, 1.25, 0.75):
        play.applied(1.0, base_kw=base_kw)
        play.tell(NeighborState(module_id=1, target_kw=2.0 * base_kw))
        play.until(lambda kw=base_kw: play.last("power").get("base_kw") == kw, "the power is told")
        play.until(lambda kw=base_kw: play.last("target").get("target_kw") == 2.0 * kw, "the target is told")
    assert {e["module"] for e in play.emitted if e["event"] == "power"} == {1}


def test_a_signal_is_told_once_per_epoch(play: Play) -> None:
    before_ns = time.monotonic_ns()
    for sequence in (20, 20, 40):
        play.signal_out.publish(GridSignal(source_id=1, signal_sequence=sequence, frequency_hz=50.0))
    play.until(lambda: play.last("signal").get("sequence") == 40, "both epochs are told")
    told = [e for e in play.emitted if e["event"] == "signal"]
    assert [e["sequence"] for e in told] == [20, 40]
    assert all(before_ns < e["received_ns"] <= time.monotonic_ns() for e in told)


def test_jumps_go_on_over_a_restart_of_the_module(play: Play) -> None:
    play.applied(1.0, 0.0)
    play.applied(1.05, 0.05)
    play.applied(1.45, 0.25)  # from a new process
    play.until(lambda: play.last().get("power_jump_kw_max", 0.0) > 0.1, "the jump is told")
    assert play.last()["power_jump_kw_max"] == pytest.approx(0.2, abs=1e-5)
    assert any("module 1 moves 0.200 kW in 0.1 s" in e.get("texts", ()) for e in play.emitted)
    assert play.last()["unsafe_setpoints"] == 0


@pytest.mark.parametrize(("message", "text"), [
    (Applied(module_id=1, setpoint_kw=math.nan, limit_low_kw=-3.0, limit_high_kw=3.0), "module 1: set-point nan kW"),
    (Applied(module_id=1, setpoint_kw=1.0, limit_low_kw=-3.0, limit_high_kw=0.5), "module 1: set-point 1.000 kW"),
    (BaseSetpoint(power_kw=math.nan), "module 1: base power nan kW, allowed up to 3 kW"),
    (BaseSetpoint(power_kw=-3.1), "module 1: base power -3.1 kW, allowed up to 3 kW"),
])  # fmt: skip
def test_what_is_unsafe_is_counted_and_told(play: Play, message: Any, text: str) -> None:  # noqa: ANN401
    play.tell(message)
    play.until(lambda: play.last().get("unsafe_setpoints"), "it is counted")
    assert play.last()["unsafe_setpoints"] == 1
    assert any(line.startswith(text) for e in play.emitted for line in e.get("texts", ()))


def test_violations_are_added_up_over_restarts(play: Play) -> None:
    for count in (1, 1, 2, 0, 1):
        play.tell(ModuleStatus(module_id=1, constraint_violations=count, forced_steps=count))
    play.until(lambda: play.last().get("constraint_violations") == 3, "all are counted")
    assert play.last()["forced_steps"] == 3


def test_the_sum_is_held_against_the_target_that_modules_count_on(play: Play) -> None:
    begun_s = time.monotonic()

    def more(base_kw: float) -> float:
        play.tell(NeighborState(module_id=1, target_kw=1.0))
        play.applied(1.0, time.monotonic() - begun_s, base_kw=base_kw)
        return max((e["sum_above_target_kw"] for e in play.emitted if e["event"] == "extremes"), default=0.0)

    end_s = time.monotonic() + 0.5
    play.until(lambda: more(1.0) or time.monotonic() > end_s, "some messages")
    assert more(1.0) == 0.0
    play.until(lambda: more(1.5), "the excess is told")
    assert more(1.5) == pytest.approx(0.5)
