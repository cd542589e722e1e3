"""Every decision follows from its record: made again bit by bit, and a record that was changed is caught."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from v2g_nodes.msg import DecisionRecord

from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.droop_control import DroopInputs
from v2g_nodes.core.droop_settings import DroopSettings
from v2g_nodes.core.droop_ticks import COLUMNS, inputs_of, row_of
from v2g_nodes.core.types import Box
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.module_node import ModuleNode
from v2g_nodes.sim.replay import Decision, Replay

from .conftest import Bench
from .recorded import Ring, ring_records, tick_records


def play(records: Sequence[Any], module_id: int | None = None) -> tuple[Replay, list[Decision]]:
    replay, made = Replay(module_id), []
    for number, record in enumerate(records):
        made += replay.add(record, 10**9 * (1000 + number))
    made += replay.finish()
    return replay, made


@pytest.mark.parametrize("algorithm", METHODS)
def test_agreements_and_base_setpoints_of_every_algorithm_are_made_again(algorithm: str) -> None:
    replay, made = play(ring_records(algorithm))
    assert replay.differences == []
    assert replay.made["agreement"] >= 16, "four modules agree on four targets"
    assert replay.made["base"] > 50
    prices = {d.made.replayed[0] for d in made if d.made.decision == "agreement"}
    assert len(prices) >= 4, "the runs do not tell one number again and again"
    assert all(not text for text in replay.gaps)


def test_ticks_of_droop_and_of_a_module_alone_are_made_again() -> None:
    replay, made = play(tick_records())
    assert replay.differences == []
    assert (replay.made["droop"], replay.made["gate"]) == (600, 30)
    assert len({d.made.replayed for d in made}) > 200
    assert replay.gaps == []


@pytest.mark.parametrize("law", ["ieee1547", "en50549"])
def test_ticks_of_a_grid_code_are_made_again(law: str) -> None:
    settings = DroopSettings(12.0, 50.0, 0.01, 1.0, 5.0, law=law, p_max_kw=3.3)
    replay, _ = play(tick_records(settings=settings))
    assert replay.differences == []
    assert replay.made["droop"] == 600


def test_only_one_modules_decisions_are_told() -> None:
    replay, made = play(ring_records("supply_curve"), module_id=3)
    assert {decision.node for decision in made} == {"/ek3_03/optimizer"}
    assert replay.made["agreement"] >= 4


def epoch(records: list[DecisionRecord]) -> DecisionRecord:
    return next(record for record in records if record.kind == DecisionRecord.EPOCH and record.rounds > 0)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lambda_eur_per_kwh", lambda r: setattr(r, "lambda_eur_per_kwh", math.nextafter(r.lambda_eur_per_kwh, 9.0))),
        ("power_kw", lambda r: setattr(r, "power_kw", r.power_kw + 1e-12)),
        ("power_kw", lambda r: setattr(r, "soc", r.soc + 0.1)),
        ("rounds", lambda r: setattr(r, "rounds", r.rounds + 1)),
    ],
)
def test_a_changed_agreement_is_caught(name: str, change: Callable[[DecisionRecord], None]) -> None:
    records = copy.deepcopy(ring_records("supply_curve"))
    change(epoch(records))
    replay, _ = play(records)
    assert replay.differing > 0
    assert any(name in text and "/ek3_" in text for text in replay.differences)


@pytest.mark.parametrize("name", ["requested_kw", "applied_kw", "frequency_hz", "base_kw", "state"])
def test_a_changed_tick_is_caught(name: str) -> None:
    records = copy.deepcopy(tick_records())
    column = getattr(records[1], name)
    for k, value in enumerate(column):
        column[k] = math.nextafter(value, -math.inf)
    replay, _ = play(records)
    assert replay.differing > 0
    assert replay.differences[0].startswith("/ek3_01/droop")


def test_a_changed_base_setpoint_is_caught() -> None:
    records = copy.deepcopy(ring_records("supply_curve"))
    page = next(r for r in records if r.kind == DecisionRecord.BASE and any(map(math.isfinite, r.base_kw)))
    place = next(k for k, kw in enumerate(page.base_kw) if math.isfinite(kw))
    page.base_kw[place] += 1e-9
    replay, _ = play(records)
    assert replay.differing == 1
    assert "base: power_kw recorded" in replay.differences[0]


def test_settings_that_are_none_are_caught() -> None:
    records = copy.deepcopy(tick_records())
    records[0].settings = "{}"
    replay, _ = play(records)
    assert "can't be replayed" in replay.differences[0]


def test_lost_records_and_restarts_are_named() -> None:
    records = tick_records(4)
    replay, _ = play([records[0], records[3]])
    assert replay.lost == 2
    assert "/ek3_01/droop: 2 records lost before record 4" in replay.gaps
    assert replay.differing == 0, "state is not compared across a gap"
    replay, _ = play([records[1], records[0]])
    assert any("started anew after record 2" in gap for gap in replay.gaps)
    assert any("before the bag begins" in gap for gap in replay.gaps)


def test_an_agreement_without_all_members_records_is_a_gap() -> None:
    records = [r for r in ring_records("supply_curve") if r.module_id != 2]
    replay, made = play(records)
    assert replay.differing == 0
    assert not any(d.made.decision == "agreement" and d.made.recorded[1] for d in made)
    assert any("no record of module 2; what module 1, 3, 4 agreed to stays open" in gap for gap in replay.gaps)


def exchanging(turns: int) -> Ring:
    """A line that has come together, so many turns after the signal of an epoch."""
    ring = Ring("supply_curve", 3, "line")
    ring.run((2.0,))
    ring.signal(60, -2.0)
    for _ in range(turns):
        ring.turn()
    return ring


def agreed(ring: Ring) -> list[int]:
    return [k for k, epoch in ring.agreed.items() if epoch.signal_sequence == 60]


def test_an_exchange_that_not_everybody_ended_is_made_again() -> None:
    """Module 1 hears nothing at the last turn, so the others agree and it begins the next epoch instead."""
    last = next(turns for turns in range(50) if agreed(exchanging(turns)))
    ring = exchanging(last - 1)
    ring.turn(deaf=(1,))
    assert agreed(ring) == [2, 3]
    ring.signal(80, 3.0)
    for _ in range(600):
        ring.turn()
    ring.write(ended=True)
    kinds = [r.kind for r in ring.records if r.signal_sequence == 60]
    assert set(kinds) == {DecisionRecord.EPOCH, DecisionRecord.BEGUN}
    replay, _ = play(ring.records)
    assert (replay.differences, replay.gaps) == ([], [])
    assert replay.made["agreement"] == sum(r.kind == DecisionRecord.EPOCH for r in ring.records)


def test_every_input_of_a_tick_has_a_column() -> None:
    inputs = DroopInputs(1.0, 49.9, True, Box(-2.0, 3.0), 0.5, 0.25, 0.005, 1.01)
    assert inputs_of(row_of(inputs), True) == inputs
    assert inputs_of(row_of(inputs), False) == DroopInputs(1.0, 49.9, False, Box(-2.0, 3.0), 0.5, 0.25, 0.005, 1.01)
    assert len(row_of(inputs)) == len(COLUMNS)
    assert set(COLUMNS) <= set(DecisionRecord.get_fields_and_field_types())


def test_what_a_module_does_while_droop_is_silent_is_recorded(bench: Bench) -> None:
    module = bench.start(ModuleNode, "module", "/ek3_01", armed=True, droop_silent_s=0.05)
    heard: list[DecisionRecord] = bench.heard(streams.DECISION_RECORD, "/ek3_01")
    bench.until(lambda: module._record_out.get_subscription_count() > 0, "somebody listens")
    bench.until(lambda: len(module._record._rows) > 2, "it ticks by itself")
    module.trigger_deactivate()
    bench.until(lambda: heard, "its record is there")
    replay, _ = play(heard)
    assert replay.differences == []
    assert replay.made["gate"] > 2


def test_first_records_of_a_successor_that_are_lost_are_told() -> None:
    records = [record for record in tick_records() if record.kind == DecisionRecord.DROOP]
    successor = copy.deepcopy(records[1:])  # without its first
    replay, _ = play(records + successor)
    assert replay.lost == 1
    assert replay.gaps == ["/ek3_01/droop: started anew after record 3, 1 records lost before record 2"]
