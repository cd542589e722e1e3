"""Optimizers on a ring in one process, their modules and the signal played by the test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.parameter import Parameter
from v2g_nodes.msg import Applied, BaseSetpoint, DecisionRecord, GridSignal, MarketPlan, ModuleStatus

from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.membership import COUNTS
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.optimizer_node import OptimizerNode
from v2g_nodes.nodes.run_record import module_record

from .conftest import SUCCESS, Bench

RATING_KW = 3.3
GAMMAS = (0.003, 0.01, 0.025, 0.06)
SOCS = (0.3, 0.5, 0.6, 0.7)
HEADROOM_KW = 0.8
PERIOD_S = 2.0
EDGES = [1, 2, 2, 3, 3, 4, 1, 4]
PLAN = MarketPlan(plan_version=3, rule="test", slot_s=3600.0, base_kw=[1.0] * 24, capacity_kw=[6.0] * 24)


class Ring:
    """Four optimizers; their modules say every 0.1 s that they are well."""

    def __init__(self, bench: Bench, **parameters: object) -> None:
        self.bench = bench
        self.more = parameters
        self.nodes: dict[int, OptimizerNode] = {}
        self.records: dict[int, list[DecisionRecord]] = {}
        self.setpoints: dict[int, list[BaseSetpoint]] = {}
        self._out: dict[int, tuple[Any, Any]] = {}
        self.ids = (1, 2, 3, 4)
        self.alive = set(self.ids)
        self.mode = dict.fromkeys(self.ids, ModuleStatus.READY)
        self.setpoint_kw = {k: 0.2 * k for k in self.ids}
        for k in self.ids:
            self.begin(k)
            space = f"/ek3_{k:02d}"
            self.records[k] = bench.heard(streams.DECISION_RECORD, space)
            self.setpoints[k] = bench.heard(streams.BASE_SETPOINT, space)
            self._out[k] = (bench.sender(streams.APPLIED, space), bench.sender(streams.STATUS, space))
        self.plan_out = bench.sender(streams.MARKET_PLAN, listeners=4)
        self.plan_out.publish(PLAN)
        self.signal_out = bench.sender(streams.GRID_SIGNAL, listeners=4)
        self.sequence = 0
        self.steps = 0
        self._due_s = 0.0
        self.until(lambda: self.agree_on_members(self.ids), "all four count on each other")
        self.until(lambda: all(n._plan is not None for n in self.nodes.values()), "the plan is known")

    def begin(self, k: int) -> None:
        self.nodes[k] = self.bench.start(
            OptimizerNode, "optimizer", f"/ek3_{k:02d}", module_id=k, module_ids=self.ids, ratings_kw=[RATING_KW] * 4,
            edges_flat=EDGES, wear_gamma=GAMMAS[k - 1], headroom_kw=HEADROOM_KW, epoch_period_s=PERIOD_S,
            ramp_kw_per_s=5.0, **self.more,
        )  # fmt: skip

    def agree_on_members(self, members: tuple[int, ...]) -> bool:
        groups = [self.nodes[k]._optimizer.membership.group for k in members]
        return all(g.members == members for g in groups) and len({g.fingerprint for g in groups}) == 1

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        def fed() -> object:
            if time.monotonic() >= self._due_s:
                self._due_s = time.monotonic() + 0.1
                for k in self.alive:
                    self.say(k)
            return condition()

        self.bench.until(fed, what)

    def say(self, k: int) -> None:
        applied, status = self._out[k]
        applied.publish(
            Applied(module_id=k, setpoint_kw=self.setpoint_kw[k], limit_low_kw=-RATING_KW, limit_high_kw=RATING_KW)
        )
        status.publish(
            ModuleStatus(
                module_id=k, mode=self.mode[k], armed=True, soc=SOCS[k - 1], temperature_c=40.0, vehicle_plugged=True,
                vehicle_capacity_kwh=60.0,
            )
        )

    def signal(self, signal_pu: float = 0.5, **fields: float) -> int:
        """A new epoch; its signal sequence."""
        self.sequence += 1
        self.steps += 1
        sequence = convert.signal_sequence(time.time() - 600.0 + self.steps * PERIOD_S, PERIOD_S)
        good = {"source_id": 1, "sequence": self.sequence, "signal_sequence": sequence, "frequency_hz": 50.0,
                "signal_pu": signal_pu, "site_load_kw": 0.0}
        self.signal_out.publish(GridSignal(**{**good, **fields}))
        return sequence

    def all_count(self) -> bool:
        """Whether every module has been taken in for good, so that the group changes no more."""
        reports = [self.nodes[1]._optimizer.membership._reports.get(k) for k in self.ids]
        return all(report is not None and report.standing == COUNTS for report in reports)

    def of_epoch(self, sequence: int, members: tuple[int, ...] | None = None) -> list[DecisionRecord]:
        """Every member's record of an epoch, once all have agreed."""
        members = members or self.ids
        mask = sum(1 << (k - 1) for k in members)

        def found(k: int) -> list[DecisionRecord]:
            return [r for r in self.records[k]
                    if r.kind == DecisionRecord.EPOCH and r.signal_sequence == sequence and r.members == mask]

        self.until(lambda: all(found(k) for k in members), f"{members} agree on epoch {sequence}")
        return [found(k)[-1] for k in members]


@pytest.fixture
def ring(bench: Bench) -> Ring:
    return Ring(bench)


def judge(records: list[DecisionRecord], target_kw: float) -> None:
    """All the same price, the target met, and the powers those of the centralised optimum."""
    assert {r.target_kw for r in records} == {target_kw}
    assert len({r.lambda_eur_per_kwh for r in records}) == 1
    assert sum(r.power_kw for r in records) == pytest.approx(records[0].clipped_target_kw, abs=1e-6)
    snapshots = [module_record(r) for r in records]
    costs = [LocalCost(s.cost, s.soc, s.temperature_c) for s in snapshots]
    best = dispatch_optimum(costs, [s.box for s in snapshots], records[0].clipped_target_kw)
    for record, power_kw in zip(records, best.powers_kw, strict=True):
        assert record.power_kw == pytest.approx(power_kw, abs=0.02)
        assert record.box_low_kw <= record.power_kw <= record.box_high_kw
    assert records[0].lambda_eur_per_kwh == pytest.approx(best.lambda_, abs=2e-3)
    spread = [r.power_kw for r in records]
    assert max(spread) - min(spread) > 0.1, "modules differ, so should their powers"


def test_all_agree_on_the_optimum_again_and_again(ring: Ring) -> None:
    for signal_pu, target_kw in ((0.5, 4.0), (-0.75, -3.5), (0.125, 1.75)):
        records = ring.of_epoch(ring.signal(signal_pu))
        judge(records, target_kw)
        assert all(r.started_ns <= r.agreed_ns and 0 < r.signal_received_ns <= r.agreed_ns for r in records)
        assert {r.kind for r in records} == {DecisionRecord.EPOCH}


def test_with_masks_all_agree_on_the_optimum_and_tell_no_power(bench: Bench) -> None:
    ring = Ring(bench, privacy="masks")
    keys, states = bench.heard(streams.MASK_KEY, "/ek3_02"), bench.heard(streams.NEIGHBOR_STATE, "/ek3_02")
    for signal_pu, target_kw in ((0.5, 4.0), (-0.75, -3.5)):
        judge(ring.of_epoch(ring.signal(signal_pu)), target_kw)
    ring.until(lambda: keys and any(state.flags & 1 for state in states), "a key and a report come")
    assert all(math.isnan(state.power_kw) for state in states)
    assert {node._optimizer.failed for node in ring.nodes.values()} == {""}
    assert all(convert.key_report(message) is not None for message in keys)


def test_the_agreed_power_is_told_to_droop_and_repeated_while_valid(ring: Ring) -> None:
    ring.of_epoch(ring.signal(0.25))
    ring.until(ring.all_count, "all count")
    records = ring.of_epoch(ring.signal())
    for k, record in zip(ring.ids, records, strict=True):
        told = ring.setpoints[k][-1]
        assert told.power_kw == pytest.approx(record.power_kw, abs=1e-6)
        assert told.lambda_eur_per_kwh == pytest.approx(record.lambda_eur_per_kwh, abs=1e-6)
        left_s = convert.to_seconds(told.valid_until) - time.time()
        assert 0.0 < left_s <= 1.0
        before = len(ring.setpoints[k])
        ring.until(lambda k=k, n=before: len(ring.setpoints[k]) > n, "it is repeated")  # type: ignore[misc]
        again = ring.setpoints[k][-1]
        assert again.power_kw == told.power_kw
        assert convert.to_seconds(again.valid_until) > convert.to_seconds(told.valid_until)


def test_a_set_point_ends_although_the_wall_clock_is_set_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(bench, setpoint_valid_s=0.7)
    ring.of_epoch(ring.signal())
    ring.until(ring.all_count, "all count")
    ring.of_epoch(ring.signal())
    for node in ring.nodes.values():
        monkeypatch.setattr(node, "now_s", lambda: time.time() - 3600.0)
    for told in ring.setpoints.values():
        told.clear()
    ring.until(lambda: all(len(s) >= 2 for s in ring.setpoints.values()))
    last = [s[-1] for s in ring.setpoints.values()]
    assert all(convert.to_seconds(t.valid_until) <= time.time() - 3600.0 + 0.7 for t in last)
    end_s = max(node._setpoint_until_s for node in ring.nodes.values())
    ring.until(lambda: time.monotonic() > end_s + 0.2, "it has ended")
    counts = [len(s) for s in ring.setpoints.values()]
    ring.until(lambda: time.monotonic() > end_s + 0.7, "another repeat would have come")
    assert [len(s) for s in ring.setpoints.values()] == counts


def test_after_clocks_were_set_back_new_epochs_are_agreed_on_all_the_same(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.of_epoch(ring.signal())
    for node in ring.nodes.values():
        monkeypatch.setattr(node, "now_s", lambda: time.time() - 7200.0)
    sequence = convert.signal_sequence(time.time() - 7200.0, PERIOD_S)
    ring.signal(-0.5, signal_sequence=sequence)
    judge(ring.of_epoch(sequence), -2.0)


def test_a_liar_is_excluded_told_of_and_taken_back_when_sane(ring: Ring) -> None:
    told: list[DiagnosticArray] = ring.bench.heard(streams.DIAGNOSTICS)

    def said(of: int) -> str:
        return next((a.status[0].message for a in reversed(told) if a.status[0].hardware_id == f"ek3_{of:02d}"), "")

    def lie(how: str) -> None:
        assert ring.nodes[3].set_parameters([Parameter("trial_lie", value=how)])[0].successful

    ring.of_epoch(ring.signal())
    ring.until(lambda: said(2) == "agrees with all modules")
    lie("range")
    ring.until(lambda: ring.agree_on_members((1, 2, 4)), "three count on each other")
    judge(ring.of_epoch(ring.signal(0.25), (1, 2, 4)), 2.5)
    ring.until(lambda: said(2).startswith("module 3 excluded: power 1e+06 kW, allowed -3.3 to 3.3 kW"))
    ring.until(lambda: said(1) == "island of 3 of 4 modules")
    lie("")
    ring.until(lambda: ring.agree_on_members(ring.ids), "it is back")
    judge(ring.of_epoch(ring.signal(-0.5)), -2.0)
    ring.until(lambda: said(2) == "agrees with all modules")


def test_a_dead_one_is_counted_out_and_the_others_take_over(ring: Ring) -> None:
    ring.of_epoch(ring.signal())
    dead = ring.nodes[3]
    ring.bench.nodes.remove(dead)
    ring.bench.executor.remove_node(dead)  # as killed: it says nothing any more
    ring.until(lambda: ring.agree_on_members((1, 2, 4)), "three count on each other")
    judge(ring.of_epoch(ring.signal(0.5), (1, 2, 4)), 4.0)
    ring.bench.nodes.append(dead)
    ring.bench.executor.add_node(dead)
    ring.until(lambda: ring.agree_on_members(ring.ids), "it is back")
    judge(ring.of_epoch(ring.signal(-0.5)), -2.0)


def test_one_that_leaves_politely_is_counted_out_and_may_come_back(ring: Ring) -> None:
    states = ring.bench.heard(streams.NEIGHBOR_STATE, "/ek3_02")
    ring.of_epoch(ring.signal())
    ring.until(lambda: states)
    assert ring.nodes[2].trigger_deactivate() is SUCCESS
    ring.until(lambda: states[-1].flags & 2, "it said that it leaves")
    ring.until(lambda: ring.agree_on_members((1, 3, 4)), "three count on each other")
    judge(ring.of_epoch(ring.signal(0.25), (1, 3, 4)), 2.5)
    assert ring.nodes[2].trigger_activate() is SUCCESS
    ring.until(lambda: ring.signal_out.get_subscription_count() == 4)
    ring.until(lambda: ring.agree_on_members(ring.ids), "it is back")
    judge(ring.of_epoch(ring.signal(-0.5)), -2.0)


@pytest.mark.parametrize("how", ["silent", "fault", "not a number"])
def test_an_optimizer_whose_module_is_out_of_service_leaves(ring: Ring, how: str) -> None:
    ring.of_epoch(ring.signal())
    if how == "silent":
        ring.alive.discard(2)
    elif how == "fault":
        ring.mode[2] = ModuleStatus.FAULT
    else:
        ring.setpoint_kw[2] = math.nan
    ring.until(lambda: ring.agree_on_members((1, 3, 4)), "the other three go on")
    judge(ring.of_epoch(ring.signal(0.5), (1, 3, 4)), 4.0)
    ring.alive.add(2)
    ring.mode[2], ring.setpoint_kw[2] = ModuleStatus.READY, 0.4
    ring.until(lambda: ring.agree_on_members(ring.ids), "it is back")


def test_a_missed_signal_is_taken_from_a_neighbour(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    ring.of_epoch(ring.signal())
    deaf = ring.nodes[3]
    monkeypatch.setattr(deaf._sources, "accept", lambda *_: False)
    records = ring.of_epoch(ring.signal(-0.5))
    judge(records, -2.0)
    assert all(r.signal_received_ns > 0 for r in records)


def test_a_second_source_does_not_ask_for_an_epoch_again_but_goes_on_when_the_first_is_silent(ring: Ring) -> None:
    """Each of several hosts has a source of its own; the lower id would win over the higher at the same time."""
    sequence = ring.signal(source_id=2)
    ring.of_epoch(sequence)
    ring.signal(0.25, source_id=1, signal_sequence=sequence)
    ring.until(lambda: all(1 in node._sources._sources for node in ring.nodes.values()), "the other is heard")
    ring.bench.spin(50)
    later = ring.signal(source_id=1)
    records = ring.of_epoch(later)
    assert {r.source_id for r in records} == {1}
    every = [r for k in ring.ids for r in ring.records[k] if r.kind == DecisionRecord.EPOCH]
    assert {r.source_id for r in every if r.signal_sequence == sequence} == {2}


def test_a_target_beyond_the_boxes_is_clipped_by_all_alike(ring: Ring) -> None:
    much = MarketPlan(plan_version=4, rule="test", slot_s=3600.0, base_kw=[40.0] * 24, capacity_kw=[0.0] * 24)
    ring.plan_out.publish(much)
    ring.until(lambda: all(n._plan is not None and n._plan.version == 4 for n in ring.nodes.values()))
    records = ring.of_epoch(ring.signal())
    top_kw = sum(r.box_high_kw for r in records)
    assert {r.target_kw for r in records} == {40.0}
    assert [r.power_kw for r in records] == pytest.approx([r.box_high_kw for r in records], abs=1e-4)
    assert records[0].clipped_target_kw == pytest.approx(top_kw, abs=1e-3)
    assert top_kw == pytest.approx(4 * (RATING_KW - HEADROOM_KW), abs=1e-3)


def test_malformed_and_repeated_signals_and_plans_start_nothing(ring: Ring) -> None:
    first = ring.signal()
    ring.of_epoch(first)
    before = {k: node._optimizer.epoch for k, node in ring.nodes.items()}
    for bad in ({"signal_pu": math.nan}, {"frequency_hz": 0.0}, {"source_id": 0}, {"sequence": 1}):
        ring.signal(**bad)
    ring.signal(signal_sequence=first - 200)  # an older epoch
    ring.plan_out.publish(MarketPlan(plan_version=9))
    ring.bench.spin(30)
    assert {k: node._optimizer.epoch for k, node in ring.nodes.items()} == before
    assert all(node._plan is not None and node._plan.version == 3 for node in ring.nodes.values())


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"algorithm": "magic"}, "algorithm is 'magic', allowed supply_curve"),
        ({"privacy": "veil"}, "privacy is 'veil', allowed none, masks"),
        ({"privacy": "masks", "algorithm": "newton"}, "algorithm newton, allowed with supply_curve"),
        ({"edges_flat": [1, 2, 2]}, "edges_flat has 3 entries"),
        ({"ratings_kw": [3.3]}, "ratings_kw 1, allowed"),
        ({"module_id": 5}, "module_id is 5, allowed one of module_ids [1, 2]"),
        ({"edges_flat": [1, 7]}, "7"),
        ({"eta_max": 0.5, "alpha": -1.0}, "alpha"),
    ],
)
def test_what_does_not_fit_together_is_refused(bench: Bench, parameters: dict[str, Any], text: str) -> None:
    station = {"module_ids": [1, 2], "ratings_kw": [3.3, 3.3], "edges_flat": [1, 2]}
    node = bench.make(OptimizerNode, "optimizer", "/ek3_01", **{**station, **parameters})
    assert node.trigger_configure() is not SUCCESS
    assert text in str(node.failure)
