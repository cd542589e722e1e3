"""What may be set while nodes run is used by them, at once or from where it says; the laws' are in the records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rclpy.parameter import Parameter
from v2g_nodes.msg import DecisionRecord, GridSignal, MarketPlan

from v2g_nodes.nodes import streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.market_planner_node import MarketPlannerNode
from v2g_nodes.nodes.optimizer_node import OptimizerNode
from v2g_nodes.nodes.plant_node import PlantNode
from v2g_nodes.sim.replay_laws import DroopReplay

from .conftest import Bench
from .test_module_and_droop import RAMP, SPACE, DroopNode, ModuleNode, Rig

PAIR = {"module_id": 1, "module_ids": [1, 2], "ratings_kw": [3.3, 3.3], "edges_flat": [1, 2]}


def put(node: ManagedNode[Any], **values: object) -> str:
    """Set parameters together; why they are refused."""
    result = node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])
    return str(result.reason)


def test_gain_and_deadband_change_between_two_ticks_and_the_record_knows(bench: Bench) -> None:
    rig = Rig(bench)
    rig.frequency_hz = 50.11
    rig.reach(-1.0)
    assert put(rig.droop, gain_kw_per_hz=20.0, deadband_hz=0.03) == ""
    rig.reach(-1.6)
    rig.until(lambda: len({record.settings for record in rig.records}) > 1, "the new law is recorded")
    bench.drop(rig.droop)
    bench.spin()
    records = [record for record in rig.records if record.kind == DecisionRecord.DROOP]
    laws = [json.loads(record.settings)["law"] for record in records]
    assert [laws[0][name] for name in ("gain_kw_per_hz", "deadband_hz")] == [10.0, 0.01]
    assert [laws[-1][name] for name in ("gain_kw_per_hz", "deadband_hz")] == [20.0, 0.03]
    replay = DroopReplay()
    for record in records:
        assert replay.state in ((), tuple(record.state)), "no bump where the law changes"
        assert all(made.recorded == made.replayed for made in replay.play(record))


def test_a_grid_code_knows_no_gain(bench: Bench) -> None:
    bench.start(ModuleNode, "module", SPACE, armed=True, **RAMP)
    droop = bench.start(DroopNode, "droop", SPACE, law="en50549", ramp_kw_per_s=20.0)
    assert put(droop, gain_kw_per_hz=2.0) == "gain_kw_per_hz with law en50549, allowed with plain"
    assert put(droop, trial_clock_step_s=2.0) == ""


def test_another_plan_is_sent_at_once_under_the_next_version(bench: Bench) -> None:
    heard: list[MarketPlan] = bench.heard(streams.MARKET_PLAN)
    planner = bench.start(MarketPlannerNode, "market_planner", rating_kw=10.0, rule="none")
    bench.until(lambda: heard)
    assert put(planner, capacity_fraction=0.2) == ""
    bench.until(lambda: heard[-1].plan_version == 2)
    assert set(heard[-1].capacity_kw) == {2.0}
    allowed = "price_threshold, csv, none, market, valley, allocation"
    assert put(planner, rule="guess") == f"rule is 'guess', allowed {allowed}"
    assert put(planner, rule="csv", plan_csv="/no/such/file.csv").startswith("/no/such/file.csv: ")
    assert (planner.p.rule, planner._plan.version) == ("none", 2)


def test_of_two_planners_neither_changes_its_plan_alone(bench: Bench) -> None:
    planner = bench.start(MarketPlannerNode, "market_planner")
    bench.start(MarketPlannerNode, "market_planner", "/hall_b")
    bench.until(lambda: planner.count_publishers(streams.MARKET_PLAN.topic) == 2)
    assert put(planner, base_fraction=0.2).startswith("a planner in /hall_b sends its plan too")
    assert planner._plan.version == 1


def test_a_change_of_the_load_counts_from_the_next_epoch_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[GridSignal] = bench.heard(streams.GRID_SIGNAL)
    node = bench.start(GridSignalNode, "grid_signal", period_s=0.05, epoch_period_s=1.0)
    bench.until(lambda: heard)
    assert put(node, site_load_kw=7.0) == ""
    bench.until(lambda: heard[-1].site_load_kw == 7.0)
    by_epoch: dict[int, set[float]] = {}
    for message in heard:
        by_epoch.setdefault(message.signal_sequence, set()).add(message.site_load_kw)
    assert all(len(loads) == 1 for loads in by_epoch.values()), "one epoch has one target"
    plant = bench.start(PlantNode, "plant", module_ids=[1])
    assert put(plant, site_load_kw=7.0) == ""
    bench.until(lambda: plant._meter.reading.power_kw == pytest.approx(-7.0))


def test_the_headroom_counts_from_the_next_offer_on(bench: Bench) -> None:
    node = bench.start(OptimizerNode, "optimizer", "/ek3_01", headroom_kw=0.5, **PAIR)
    assert put(node, headroom_kw=0.8, trial_loss=0.5) == ""
    assert node._offer.headroom_kw == 0.8
    assert put(node, headroom_kw=0.9, trial_lie="white").startswith("trial_lie is 'white'")
    assert node._offer.headroom_kw == 0.8
    assert node._trials._values["trial_loss"] == 0.5
