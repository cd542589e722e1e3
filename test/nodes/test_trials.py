"""Faults made on purpose: off by default, set while the node runs, seen where messages come in and go out."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest
from rclpy.parameter import Parameter
from v2g_nodes.msg import Curve, NeighborState

from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.optimizer_node import OptimizerNode
from v2g_nodes.nodes.trials import ABSURD, LIES

from .conftest import Bench
from .test_optimizer_ring import Ring

PAIR = {"module_id": 1, "module_ids": [1, 2], "ratings_kw": [3.3, 3.3], "edges_flat": [1, 2]}
MESSAGES = 400


@pytest.fixture
def node(bench: Bench) -> OptimizerNode:
    made = bench.make(OptimizerNode, "optimizer", "/ek3_01", **PAIR)
    made._trials._chance = random.Random(1)
    return made


def put(node: OptimizerNode, **parameters: Any) -> str:  # noqa: ANN401
    """Set parameters; why they are refused."""
    results = node.set_parameters([Parameter(name, value=value) for name, value in parameters.items()])
    return "; ".join(result.reason for result in results if not result.successful)


def curves(node: OptimizerNode) -> list[Curve]:
    """What gets through of many messages of module 2."""
    sent = (Curve(module_id=2, round=k, values=[k] * 10) for k in range(MESSAGES))
    return [heard for message in sent for heard in node._trials.heard(message)]


def test_all_is_off_by_default(node: OptimizerNode) -> None:
    assert [message.round for message in curves(node)] == [*range(MESSAGES)]
    message = NeighborState(module_id=1, power_kw=1.5, sequence=7)
    assert node._trials.said(message) is message
    assert message == NeighborState(module_id=1, power_kw=1.5, sequence=7)
    assert abs(node.now_s() - time.time()) < 1.0


def test_a_cut_link_lets_nothing_through_until_it_is_whole(node: OptimizerNode) -> None:
    assert put(node, trial_cut=[3]) == ""
    assert len(curves(node)) == MESSAGES
    assert put(node, trial_cut=[3, 2]) == ""
    assert curves(node) == []
    assert put(node, trial_cut=[0]) == ""
    assert len(curves(node)) == MESSAGES


def test_a_share_of_messages_is_lost(node: OptimizerNode) -> None:
    assert put(node, trial_loss=0.2) == ""
    assert 0.72 * MESSAGES < len(curves(node)) < 0.88 * MESSAGES


def test_damaged_messages_are_others_or_none(node: OptimizerNode) -> None:
    assert put(node, trial_corrupt=1.0) == ""
    sent = Curve(module_id=2, round=5, values=[5] * 10)
    heard = [message for _ in range(MESSAGES) for message in node._trials.heard(sent)]
    assert sent == Curve(module_id=2, round=5, values=[5] * 10), "the message itself is left alone"
    assert sum(message == sent for message in heard) < 0.1 * MESSAGES, "but where bits of the padding were flipped"
    assert put(node, trial_corrupt=0.1) == ""
    damaged = [message for _ in range(MESSAGES) for message in node._trials.heard(sent) if message != sent]
    assert 0.02 * MESSAGES < len(damaged) < 0.2 * MESSAGES


def told(node: OptimizerNode, lie: str) -> list[NeighborState]:
    """Three reports under a lie: sequence, epoch and power advance in truth."""
    assert put(node, trial_lie=lie) == ""
    return [node._trials.said(NeighborState(
        module_id=1, sequence=k, signal_sequence=20 * k, power_kw=float(k), lambda_eur_per_kwh=0.1, target_kw=3.0))
        for k in (1, 2, 3)]  # fmt: skip


@pytest.mark.parametrize("lie", ["", *LIES])
def test_lies_are_told_with_a_fitting_checksum(node: OptimizerNode, lie: str) -> None:
    heard = told(node, lie)
    powers, prices = ([getattr(m, key) for m in heard] for key in ("power_kw", "lambda_eur_per_kwh"))
    numbers = [(m.sequence, m.signal_sequence) for m in heard]
    assert all(map(math.isnan, [*powers, *prices])) == (lie == "nan")
    assert (powers == prices == [ABSURD] * 3) == (lie == "range")
    assert (numbers == [(1, 20)] * 3) == (lie == "frozen")
    assert (powers == [1.0] * 3) == (lie == "stuck")
    assert all(m.target_kw == 3.0 for m in heard)
    if lie:
        assert all(convert.state_report(m) is not None for m in heard)


def test_a_new_lie_begins_anew(node: OptimizerNode) -> None:
    told(node, "stuck")
    assert put(node, trial_lie="") == ""
    assert node._trials.said(NeighborState(power_kw=7.0)).power_kw == 7.0
    assert put(node, trial_lie="stuck") == ""
    assert [node._trials.said(NeighborState(power_kw=kw)).power_kw for kw in (8.0, 9.0)] == [8.0, 8.0]


@pytest.mark.parametrize(("parameters", "why"), [
    ({"trial_loss": 0.96}, "0.96"),
    ({"trial_cut": [65]}, "trial_cut is 65, allowed 0 to 64"),
    ({"trial_lie": "white"}, "trial_lie is 'white', allowed nan, range, frozen, stuck or nothing"),
    ({"trial_corrupt": 1}, ""),
    ({"p_max_kw": 2.0}, "p_max_kw is read once"),
])  # fmt: skip
def test_what_cannot_be_is_refused(node: OptimizerNode, parameters: dict[str, Any], why: str) -> None:
    assert put(node, **parameters), parameters
    assert why in put(node, **parameters)
    assert len(curves(node)) == MESSAGES


def test_no_such_lie_at_the_start_either(bench: Bench) -> None:
    with pytest.raises(InputError, match="/ek3_01/optimizer: parameter trial_lie is 'white', allowed nan"):
        OptimizerNode("optimizer", "/ek3_01", {**PAIR, "trial_lie": "white"}, bench.context)


def test_a_stepped_clock_moves_ros_time_and_not_the_laws(node: OptimizerNode) -> None:
    before_s = node.law_s()
    assert put(node, trial_clock_step_s=-3600.0) == ""
    assert abs(node.now_s() - (time.time() - 3600.0)) < 1.0
    assert 0.0 <= node.law_s() - before_s < 10.0


def test_the_graph_falls_apart_where_links_are_cut_and_comes_together(bench: Bench) -> None:
    ring = Ring(bench)
    states: list[NeighborState] = bench.heard(streams.NEIGHBOR_STATE, "/ek3_02")
    for a, others in ((1, [2, 4]), (2, [1]), (4, [1])):
        assert put(ring.nodes[a], trial_cut=others) == ""
    ring.until(lambda: ring.agree_on_members((2, 3, 4)) and ring.agree_on_members((1,)), "1 is alone")
    assert put(ring.nodes[2], trial_lie="range") == ""
    ring.until(lambda: states and states[-1].power_kw == ABSURD, "2 lies")
    assert put(ring.nodes[2], trial_lie="") == ""
    for a in (1, 2, 4):
        assert put(ring.nodes[a], trial_cut=[0]) == ""
    ring.until(lambda: ring.agree_on_members((1, 2, 3, 4)), "all are together again")
