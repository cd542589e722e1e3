"""Every node goes through its states again and again and leaves nothing behind, from inside and over its service."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.module_node import LOCAL_MODULES, ModuleNode
from v2g_nodes.nodes.parameters import RunParameters

from .conftest import SUCCESS, Bench, Untyped

STATION: Mapping[str, object] = {"module_ids": [1, 2], "ratings_kw": [3.3, 3.3], "edges_flat": [1, 2]}
PARAMETERS: Mapping[str, Mapping[str, object]] = {
    "module": {"armed": True},
    "droop": {},
    "optimizer": STATION,
    "grid_signal": {},
    "market_planner": {},
    "can_bridge": {"module_ids": [1], "station_ids": [1, 2], "can_port": 20000 + os.getpid() % 20000},
    "station_monitor": {"module_ids": [1, 2], "links": ["/grid/signal /grid_signal /ek3_01/droop"]},
    "plant": {"module_ids": [1, 2], "publish_measurement": True},
    "recorder": {"folder": "bag", "topics": ["/nothing"]},
    "witness": {"module_ids": [1, 2], "ratings_kw": [3.3, 3.3], "ramps_kw_per_s": [1.0, 1.0]},
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a recorder makes its bag."""
    monkeypatch.chdir(tmp_path)


def make(bench: Bench, kind: str) -> ManagedNode[Any]:
    space = "/ek3_01" if kind in ("module", "droop", "optimizer") else "/"
    if kind == "droop":
        bench.start(ModuleNode, "module", space, armed=True)
    return bench.make(KINDS[kind], kind, space, **PARAMETERS[kind])


def entities(node: ManagedNode[Any]) -> Counter[str]:
    """What the node has in the graph, and its timers."""
    names = [f"subscription {s.topic_name}" for s in node.subscriptions]
    names += [f"publisher {p.topic_name}" for p in node.publishers]
    return Counter([*names, *("timer" for _ in node.timers), *("guard" for _ in node.guards)])


def threads() -> int:
    return sum(thread.name.startswith(("droop_", "can link")) for thread in threading.enumerate())


@pytest.mark.parametrize("kind", KINDS)
def test_states_can_be_gone_through_again_and_leave_nothing_behind(bench: Bench, kind: str) -> None:
    node = make(bench, kind)
    unconfigured = entities(node)
    seen = []
    for _ in range(2):
        assert node.trigger_configure() is SUCCESS
        inactive = entities(node)
        for _ in range(2):
            assert node.trigger_activate() is SUCCESS
            assert node.active
            bench.spin(3)
            seen.append(entities(node))
            assert node.trigger_deactivate() is SUCCESS
            assert not node.active
            assert entities(node) == inactive
            bench.spin(2)
        assert node.trigger_cleanup() is SUCCESS
        assert entities(node) == unconfigured
    assert max(seen[0].values()) >= 1
    assert seen[0] > unconfigured
    assert seen == [seen[0]] * 4
    assert threads() == 0
    assert node.trigger_shutdown() is SUCCESS


@pytest.mark.parametrize("kind", KINDS)
def test_shutdown_from_active_leaves_nothing_behind(bench: Bench, kind: str) -> None:
    node = make(bench, kind)
    unconfigured = entities(node)
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    assert node.trigger_shutdown() is SUCCESS
    assert not node.active
    assert entities(node) == unconfigured
    assert threads() == 0
    assert LOCAL_MODULES.get(1) is not node


def test_a_node_destroyed_while_active_ends_in_order(bench: Bench) -> None:
    droop = make(bench, "droop")
    assert droop.trigger_configure() is SUCCESS
    assert droop.trigger_activate() is SUCCESS
    assert threads() == 1
    module = LOCAL_MODULES[1]
    for node in (droop, module):
        bench.nodes.remove(node)
        bench.executor.remove_node(node)
        node.destroy_node()
    assert threads() == 0
    assert LOCAL_MODULES == {}
    bench.until(lambda: bench.peer.get_node_names() == ["peer"], "both are gone from the graph")


def test_a_module_that_was_deactivated_goes_on_when_it_is_activated_again(bench: Bench) -> None:
    droop = make(bench, "droop")
    module = LOCAL_MODULES[1]
    assert droop.trigger_configure() is SUCCESS
    assert droop.trigger_activate() is SUCCESS
    bench.until(lambda: module.control.mode.name == "STANDBY" and module.control.limits.high_kw > 3.0)
    assert module.trigger_deactivate() is SUCCESS
    assert (module.control.mode.name, module.control.limits.high_kw) == ("OFF", 0.0)
    bench.spin()
    assert module.control.mode.name == "OFF", "droop still ticks, nobody listens"
    assert module.trigger_activate() is SUCCESS
    bench.until(lambda: module.control.mode.name == "STANDBY" and module.control.limits.high_kw > 3.0)


def change_state(bench: Bench, node: ManagedNode[Any], transition: int) -> bool:
    name = f"{node.get_fully_qualified_name()}/change_state"
    return bool(bench.ask(ChangeState, name, transition=Transition(id=transition)).success)


def state(bench: Bench, node: ManagedNode[Any]) -> int:
    return int(bench.ask(GetState, f"{node.get_fully_qualified_name()}/get_state").current_state.id)


@pytest.mark.parametrize("kind", ["droop", "optimizer", "station_monitor"])
def test_the_lifecycle_service_drives_a_node(bench: Bench, kind: str) -> None:
    node = make(bench, kind)
    steps = [
        (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
        (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED),
        (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
        (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, State.PRIMARY_STATE_FINALIZED),
    ]
    for transition, end in steps:
        assert change_state(bench, node, transition)
        assert state(bench, node) == end


# failures on the way


class FragileNode(ManagedNode[RunParameters]):
    """Fails where it is told to."""

    PARAMETERS = RunParameters
    error: Exception | None = None
    fails_in = ""
    cleaned = 0

    def configure(self) -> None:
        self.publisher_of("configure")

    def activate(self) -> None:
        self.publisher_of("activate")

    def deactivate(self) -> None:
        self.publisher_of("deactivate")

    def cleanup(self) -> None:
        self.cleaned += 1

    def publisher_of(self, step: str) -> None:
        self.every(10.0, lambda: None)
        if self.fails_in == step and self.error is not None:
            raise self.error


def fragile(bench: Bench, step: str, error: Exception) -> FragileNode:
    node = bench.make(FragileNode, "fragile")
    node.fails_in, node.error = step, error
    return node


@pytest.mark.parametrize("error", [InputError("no such file"), ZeroDivisionError("oops")])
def test_a_failure_while_configuring_leaves_it_unconfigured_and_says_why(bench: Bench, error: Exception) -> None:
    node = fragile(bench, "configure", error)
    assert node.trigger_configure() is not SUCCESS
    assert node.failure is error
    assert len(list(node.timers)) == 0
    assert state(bench, node) == State.PRIMARY_STATE_UNCONFIGURED
    node.fails_in = ""
    assert node.trigger_configure() is SUCCESS
    assert node.failure is None


@pytest.mark.parametrize(
    ("error", "end"),
    [(InputError("no"), State.PRIMARY_STATE_INACTIVE), (ZeroDivisionError("oops"), State.PRIMARY_STATE_UNCONFIGURED)],
)
def test_a_failure_while_activating_leaves_it_not_active(bench: Bench, error: Exception, end: int) -> None:
    node = fragile(bench, "activate", error)
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is not SUCCESS
    assert node.failure is error
    assert not node.active
    assert state(bench, node) == end
    configured = end == State.PRIMARY_STATE_INACTIVE
    assert len(list(node.timers)) == configured
    assert node.cleaned == (not configured)


def test_a_failure_while_deactivating_stops_it_all_the_same(bench: Bench) -> None:
    node = fragile(bench, "deactivate", ZeroDivisionError("oops"))
    assert node.trigger_configure() is SUCCESS
    assert node.trigger_activate() is SUCCESS
    assert node.trigger_deactivate() is SUCCESS
    assert not node.active
    assert len(list(node.timers)) == 1
    assert state(bench, node) == State.PRIMARY_STATE_INACTIVE


def test_the_log_tells_of_an_unexpected_error(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    node: Untyped = fragile(bench, "configure", ZeroDivisionError("oops"))
    node.trigger_configure()
    assert "ZeroDivisionError: oops" in capfd.readouterr().err
