"""The services behind `ros2 param list, get, describe, set, dump, load`, asked as another process does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as Message
from rcl_interfaces.msg import ParameterEvent, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.parameter import Parameter

from v2g_nodes.audit import verify
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.parameters import RunParameters, parameter

from .conftest import Bench, Untyped
from .test_lifecycle import empty_folder, make

__all__ = ["empty_folder"]  # a fixture


@dataclass(frozen=True)
class Example(RunParameters):
    """Some to be set and some not."""

    power_kw: float = parameter(1.5, "power", "kW", 0.0, 3.3, settable=True)
    count: int = parameter(3, "how many", "", 1, 64, settable=True)
    armed: bool = parameter(False, "armed", settable=True)
    rule: str = parameter("none", "rule", settable=True)
    ids: tuple[int, ...] = parameter((0,), "ids", "", 0, 64, settable=True)
    rating_kw: float = parameter(3.3, "rating", "kW", 0.0, 10.0)
    limit_kw: float = parameter(float("nan"), "limit; NaN = none", "kW", 0.0, 10.0)


class ExampleNode(ManagedNode[Example]):
    """Takes what it gets, with one exception and one fault."""

    PARAMETERS = Example

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Remember."""
        self.seen = dict(changes)
        if changes.get("rule") == "broken":
            raise ZeroDivisionError("oops")
        return "no power without a count" if changes.get("power_kw", 0.0) > 3.0 and "count" not in changes else ""


@pytest.fixture
def node(bench: Bench) -> ExampleNode:
    return bench.make(ExampleNode, "example")


def put(bench: Bench, **values: object) -> list[str]:
    """Set parameters one by one; the reasons of refusal."""
    messages = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    results = bench.ask(SetParameters, "/example/set_parameters", parameters=messages).results
    assert [not result.reason for result in results] == [result.successful for result in results]
    return [result.reason for result in results]


def put_together(bench: Bench, **values: object) -> str:
    messages = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    result = bench.ask(SetParametersAtomically, "/example/set_parameters_atomically", parameters=messages).result
    return "" if result.successful else str(result.reason)


def test_what_is_set_is_in_force_and_told(bench: Bench, node: ExampleNode) -> None:
    told: list[ParameterEvent] = []
    bench.peer.create_subscription(ParameterEvent, "/parameter_events", told.append, 10)
    bench.until(lambda: bench.peer.get_publishers_info_by_topic("/parameter_events"))
    assert put(bench, power_kw=2.0, armed=True, ids=[3, 4]) == ["", "", ""]
    assert (node.p.power_kw, node.p.armed, node.p.ids) == (2.0, True, (3, 4))
    assert node.get_parameter("power_kw").value == 2.0
    bench.until(lambda: told, "the event is heard")
    assert (told[0].node, told[0].changed_parameters[0].name) == ("/example", "power_kw")


ONCE = "is read once, at the start: change it in the station file and start again"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("power_kw", 3.4, "power_kw is 3.4, allowed 0.0 to 3.3 kW"),
        ("power_kw", float("nan"), "power_kw is nan, allowed 0.0 to 3.3 kW"),
        ("power_kw", float("inf"), "power_kw is inf, allowed 0.0 to 3.3 kW"),
        ("power_kw", 2, "power_kw is 2, allowed float"),
        ("count", 2.0, "count is 2.0, allowed int"),
        ("armed", 1, "armed is 1, allowed bool"),
        ("ids", [65], "ids is 65, allowed 0 to 64"),
        ("rating_kw", 5.0, f"rating_kw {ONCE}"),
        ("use_sim_time", True, f"use_sim_time {ONCE}"),
        ("powr_kw", 1.0, "powr_kw is no parameter of this node, known are armed, audit_file, count,"),
        ("power_kw", 3.2, "no power without a count"),
        ("rule", "broken", "ZeroDivisionError: oops"),
    ],
)
def test_a_refusal_says_why_in_one_line_and_changes_nothing(
    bench: Bench, node: ExampleNode, name: str, value: object, reason: str
) -> None:
    before = node.p
    assert put(bench, **{name: value})[0].startswith(reason)
    assert put_together(bench, **{name: value, "trial_clock_step_s": 9.0}).startswith(reason)
    assert node.p is before
    assert put(bench, count=7) == [""]


def test_all_or_none(bench: Bench, node: ExampleNode) -> None:
    assert put_together(bench, count=9, power_kw=9.9) == "power_kw is 9.9, allowed 0.0 to 3.3 kW"
    assert (node.p.count, node.get_parameter("count").value) == (3, 3)
    assert put_together(bench, count=9, power_kw=3.2) == ""
    assert node.seen == {"count": 9, "power_kw": 3.2}
    assert (node.p.count, node.p.power_kw) == (9, 3.2)
    assert put_together(bench) == ""


@pytest.mark.parametrize("kind", [0, 42])
def test_a_value_of_no_type_is_refused(bench: Bench, node: ExampleNode, kind: int) -> None:
    wrong = [Message(name="count", value=ParameterValue(type=kind))]
    good = [Parameter("armed", value=True).to_parameter_msg()]
    results = bench.ask(SetParameters, "/example/set_parameters", parameters=good + wrong).results
    assert [result.successful for result in results] == [True, False]
    name = "/example/set_parameters_atomically"
    assert not bench.ask(SetParametersAtomically, name, parameters=wrong).result.successful
    assert (node.p.count, node.p.armed) == (3, True)


def test_what_is_not_there_is_no_fault(bench: Bench, node: ExampleNode) -> None:
    assert not bench.ask(GetParameters, "/example/get_parameters", names=["nothing"]).values
    assert not bench.ask(DescribeParameters, "/example/describe_parameters", names=["nothing"]).descriptors
    assert not bench.ask(GetParameterTypes, "/example/get_parameter_types", names=["nothing"]).types
    assert put(bench, armed=True) == [""], "the node is still there"
    assert node.p.armed


def test_descriptions_tell_unit_range_and_whether_it_may_be_set(bench: Bench, node: ExampleNode) -> None:
    names = ["power_kw", "count", "rating_kw"]
    power, count, rating = bench.ask(DescribeParameters, "/example/describe_parameters", names=names).descriptors
    assert power.description == "power [kW]"
    assert (power.floating_point_range[0].from_value, power.floating_point_range[0].to_value) == (0.0, 3.3)
    assert (count.integer_range[0].from_value, count.integer_range[0].to_value) == (1, 64)
    assert [one.read_only for one in (power, count, rating)] == [False, False, True]
    assert node.p.count == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_dump_of_a_node_can_be_loaded_again(bench: Bench, kind: str) -> None:
    node = make(bench, kind)
    path = node.get_fully_qualified_name()
    names = bench.ask(ListParameters, f"{path}/list_parameters").result.names
    assert {field.name for field in fields(node.p) if getattr(node.p, field.name) != ()} <= {*names}
    values: Untyped = bench.ask(GetParameters, f"{path}/get_parameters", names=names).values
    dump = [Message(name=name, value=value) for name, value in zip(names, values, strict=True)]
    before = node.p
    results = bench.ask(SetParameters, f"{path}/set_parameters", parameters=dump).results
    assert [result.reason for result in results if not result.successful] == []
    assert repr(node.p) == repr(before)


def test_changes_and_transitions_go_to_the_audit_log_refused_or_not(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    node = bench.make(ExampleNode, "example", audit_file=str(file))
    put(bench, count=9, power_kw=9.9, rating_kw=3.3)
    for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CONFIGURE, 99):
        bench.ask(ChangeState, "/example/change_state", transition=Transition(id=number))
    assert node.audit.flush(30.0)
    assert verify(file) == []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["who"] for line in lines} == {"/example"}
    assert [(line["action"], line["details"]) for line in lines] == [
        ("parameter", {"name": "count", "value": 9, "before": 3, "refused": ""}),
        ("parameter", {"name": "power_kw", "value": 9.9, "before": 1.5,
                       "refused": "power_kw is 9.9, allowed 0.0 to 3.3 kW"}),
        ("transition", {"name": "configure", "before": "unconfigured", "state": "inactive", "refused": ""}),
        ("transition", {"name": "configure", "before": "inactive", "state": "inactive",
                        "refused": "not from state inactive"}),
        ("transition", {"name": "transition 99", "before": "inactive", "state": "inactive",
                        "refused": "not from state inactive"}),
    ]  # fmt: skip


def test_a_node_whose_audit_log_cannot_be_written_goes_on(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    node = bench.make(ExampleNode, "example", audit_file=str(tmp_path / "file" / "audit.jsonl"))
    assert put(bench, count=9) == [""]
    assert node.audit.flush(30.0)
    assert node.p.count == 9
