"""Every lifecycle state times every transition, for every kind of node, over the service that `ros2 lifecycle` uses."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState

from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.module_node import LOCAL_MODULES
from v2g_nodes.nodes.requests import state_of

from .conftest import SUCCESS, Bench, Untyped
from .test_lifecycle import PARAMETERS, empty_folder, make

__all__ = ["empty_folder"]  # a fixture

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = (
    State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE,
    State.PRIMARY_STATE_FINALIZED,
)  # fmt: skip
TO = {UNCONFIGURED: (), INACTIVE: ("configure",), ACTIVE: ("configure", "activate"), FINALIZED: ("shutdown",)}
ALLOWED = {
    (UNCONFIGURED, Transition.TRANSITION_CONFIGURE): INACTIVE,
    (INACTIVE, Transition.TRANSITION_CLEANUP): UNCONFIGURED,
    (INACTIVE, Transition.TRANSITION_ACTIVATE): ACTIVE,
    (ACTIVE, Transition.TRANSITION_DEACTIVATE): INACTIVE,
    (UNCONFIGURED, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN): FINALIZED,
    (INACTIVE, Transition.TRANSITION_INACTIVE_SHUTDOWN): FINALIZED,
    (ACTIVE, Transition.TRANSITION_ACTIVE_SHUTDOWN): FINALIZED,
}
#: all that the message names, those that only the state machine itself may take among them, and two that do not exist
TRANSITIONS = sorted({getattr(Transition, name) for name in dir(Transition) if name.startswith("TRANSITION_")})
EVENTS = [*TRANSITIONS, 99, 255]


def ask(bench: Bench, service: Untyped, node: ManagedNode[Any], name: str, **request: object) -> Untyped:
    return bench.ask(service, f"{node.get_fully_qualified_name()}/{name}", **request)


def bring(node: ManagedNode[Any], state: int) -> None:
    for step in TO[state]:
        assert getattr(node, f"trigger_{step}")() is SUCCESS, node.failure


def take_down(node: ManagedNode[Any]) -> None:
    if state_of(node) == "active":
        node.trigger_deactivate()
    if state_of(node) == "inactive":
        node.trigger_cleanup()


def another(bench: Bench, node: ManagedNode[Any], kind: str) -> ManagedNode[Any]:
    """A new one, once the old one is gone from the graph."""
    space = node.get_namespace()
    bench.drop(node)
    bench.until(lambda: (kind, space) not in bench.peer.get_node_names_and_namespaces())
    return bench.make(KINDS[kind], kind, space, **PARAMETERS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_takes_its_own_transitions_and_refuses_all_others(bench: Bench, kind: str) -> None:
    assert len(EVENTS) > 12
    node, taken = make(bench, kind), set()
    for state in TO:
        for event in EVENTS:
            if state_of(node) == "finalized" and state != FINALIZED:
                node = another(bench, node, kind)
            if state_of(node) != "finalized":
                take_down(node)
                bring(node, state)
            success = ask(bench, ChangeState, node, "change_state", transition=Transition(id=event)).success
            end = ask(bench, GetState, node, "get_state").current_state.id
            assert (success, end) == ((state, event) in ALLOWED, ALLOWED.get((state, event), state)), (state, event)
            assert node.active == (end == ACTIVE)
            assert node.configured == (end in (INACTIVE, ACTIVE))
            taken |= {(state, event)} if success else set()
    assert taken == set(ALLOWED)


@pytest.mark.parametrize(("label", "end"), [("configure", INACTIVE), ("shutdown", FINALIZED), ("dance", UNCONFIGURED)])
def test_a_transition_may_be_asked_for_by_its_label(bench: Bench, label: str, end: int) -> None:
    node = make(bench, "market_planner")
    answer = ask(bench, ChangeState, node, "change_state", transition=Transition(label=label))
    assert answer.success == (label != "dance")
    assert ask(bench, GetState, node, "get_state").current_state.id == end


def test_states_and_transitions_are_there_to_be_listed(bench: Bench) -> None:
    node = make(bench, "station_monitor")
    states = ask(bench, GetAvailableStates, node, "get_available_states").available_states
    assert {"unconfigured", "inactive", "active", "finalized"} <= {state.label for state in states}
    graph = ask(bench, GetAvailableTransitions, node, "get_transition_graph").available_transitions
    assert {(t.start_state.id, t.transition.id) for t in graph} >= set(ALLOWED)
    now = ask(bench, GetAvailableTransitions, node, "get_available_transitions").available_transitions
    assert {t.transition.label for t in now} == {"configure", "shutdown"}


# modules and their droop


def test_droop_is_not_activated_before_its_module(bench: Bench) -> None:
    droop = make(bench, "droop")
    module = LOCAL_MODULES[1]
    assert module.trigger_deactivate() is SUCCESS
    bring(droop, INACTIVE)
    activate = Transition(id=Transition.TRANSITION_ACTIVATE)
    assert not ask(bench, ChangeState, droop, "change_state", transition=activate).success
    assert str(droop.failure) == "module 1 is not active: activate it first"
    assert state_of(droop) == "inactive"
    assert ask(bench, ChangeState, module, "change_state", transition=activate).success
    assert ask(bench, ChangeState, droop, "change_state", transition=activate).success


@pytest.mark.parametrize("state", [INACTIVE, UNCONFIGURED, FINALIZED])
def test_a_module_may_go_while_its_droop_ticks(bench: Bench, state: int) -> None:
    droop = make(bench, "droop")
    module = LOCAL_MODULES[1]
    bring(droop, ACTIVE)
    bench.until(lambda: module.control.mode.name == "STANDBY")
    assert module.trigger_deactivate() is SUCCESS
    if state != INACTIVE:
        assert (module.trigger_cleanup if state == UNCONFIGURED else module.trigger_shutdown)() is SUCCESS
    bench.spin()
    assert droop.active
    assert (module.control.mode.name, module.control.limits.high_kw) == ("OFF", 0.0)
    if state == FINALIZED:
        return
    if state == UNCONFIGURED:
        assert module.trigger_configure() is SUCCESS
    assert module.trigger_activate() is SUCCESS
    bench.until(lambda: module.control.mode.name == "STANDBY" and module.control.limits.high_kw > 3.0)


# nothing is left behind


def open_things() -> tuple[int, int]:
    """Threads and file descriptors of this process."""
    return threading.active_count(), sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_no_thread_and_no_descriptor_is_left_however_often(bench: Bench, kind: str) -> None:
    node = make(bench, kind)

    def round_trip() -> None:
        bring(node, ACTIVE)
        bench.spin(2)
        take_down(node)

    round_trip()  # what is made once for all
    before = open_things()
    for _ in range(5):
        round_trip()
    assert open_things() == before
