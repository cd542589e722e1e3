from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
from rcl_interfaces.msg import ParameterEvent
from rclpy.context import Context
from rclpy.parameter import Parameter, parameter_value_to_python

from v2g_nodes.bringup import process_plan
from v2g_nodes.bringup_inputs import Overrides
from v2g_nodes.cli.bench_faults import with_witness
from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.parameters import LimitParameters, RunParameters, check, parameter
from v2g_nodes.station import default_station, load_station
from v2g_nodes.station_config import config_path

from .conftest import SUCCESS, Bench


@dataclass(frozen=True)
class Example(RunParameters):
    """Parameters of every type."""

    power_kw: float = parameter(1.5, "power", "kW", 0.0, 3.3)
    share: float = parameter(0.5, "share")
    limit_kw: float = parameter(math.nan, "limit; NaN = none", "kW", 0.0, 10.0)
    count: int = parameter(3, "how many", "", 1, 64)
    rule: str = parameter("none", "rule")
    armed: bool = parameter(False, "may be set", settable=True)
    ids: tuple[int, ...] = parameter((), "ids", "", 1, 64)
    ratings_kw: tuple[float, ...] = parameter((), "ratings", "kW", 0.0)
    names: tuple[str, ...] = parameter((), "names")


class ExampleNode(ManagedNode[Example]):
    """A node that only has parameters."""

    PARAMETERS = Example


FIELD = {field.name: field for field in fields(Example)}

ALLOWED: list[tuple[str, Any]] = [
    ("power_kw", 0.0), ("power_kw", 3.3), ("share", -1e9), ("limit_kw", math.nan), ("count", 64), ("rule", ""),
    ("armed", True), ("ids", [1, 64]), ("ids", []), ("ratings_kw", [0.0, 1e6]), ("names", ["a", ""]),
]  # fmt: skip
REFUSED: list[tuple[str, Any, str]] = [
    ("power_kw", 3.4, "power_kw is 3.4, allowed 0.0 to 3.3 kW"),
    ("power_kw", -0.1, "power_kw is -0.1, allowed 0.0 to 3.3 kW"),
    ("power_kw", math.nan, "power_kw is nan, allowed 0.0 to 3.3 kW"),
    ("power_kw", 3, "power_kw is 3, allowed float"),
    ("power_kw", "3", "power_kw is '3', allowed float"),
    ("share", math.inf, "share is inf, allowed a finite number"),
    ("share", math.nan, "share is nan, allowed a finite number"),
    ("limit_kw", -1.0, "limit_kw is -1.0, allowed 0.0 to 10.0 kW"),
    ("count", 0, "count is 0, allowed 1 to 64"),
    ("count", 3.0, "count is 3.0, allowed int"),
    ("count", True, "count is True, allowed int"),
    ("rule", 1, "rule is 1, allowed str"),
    ("armed", "yes", "armed is 'yes', allowed bool"),
    ("ids", [1, 65], "ids is 65, allowed 1 to 64"),
    ("ids", [1.0], "ids is 1.0, allowed int"),
    ("ids", 7, "ids is 7, allowed an array of int"),
    ("ids", "12", "ids is '12', allowed an array of int"),
    ("ratings_kw", [3.3, -1.0], "ratings_kw is -1.0, allowed 0.0 to None kW"),
    ("ratings_kw", [math.nan], "ratings_kw is nan, allowed 0.0 to None kW"),
    ("ratings_kw", [3], "ratings_kw is 3, allowed float"),
    ("names", [1], "names is 1, allowed str"),
]


@pytest.mark.parametrize(("name", "value"), ALLOWED)
def test_values_in_range_are_allowed(name: str, value: object) -> None:
    assert check(FIELD[name], value) == ""


@pytest.mark.parametrize(("name", "value", "text"), REFUSED)
def test_a_refusal_names_parameter_value_and_range(name: str, value: object, text: str) -> None:
    assert check(FIELD[name], value) == text


def test_overrides_end_in_the_dataclass(context: Context) -> None:
    overrides = {"power_kw": 2.0, "ids": (1, 2), "names": ["a"], "ratings_kw": [3.0, 3.3], "use_sim_time": True,
                 "speed": 60.0}
    node = ExampleNode("example", "/ek3_01", overrides, context)
    assert node.p == Example(speed=60.0, power_kw=2.0, ids=(1, 2), names=("a",), ratings_kw=(3.0, 3.3),
                             limit_kw=node.p.limit_kw)
    assert math.isnan(node.p.limit_kw)
    assert node.get_fully_qualified_name() == "/ek3_01/example"
    assert node.get_parameter("count").value == 3
    node.destroy_node()


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"powr_kw": 1.0}, "/example: unknown parameter powr_kw, known are"),
        ({"power_kw": 9.0}, "/example: parameter power_kw is 9.0, allowed 0.0 to 3.3 kW"),
        ({"count": "many"}, "/example: parameter count is 'many', allowed int"),
        ({"ids": [0]}, "/example: parameter ids is 0, allowed 1 to 64"),
        ({"rule": None}, "/example: parameter rule is None, allowed str"),
        ({"rule": {}}, "parameter rule is {}, allowed a ROS parameter's value"),
        ({"ids": [1, "a"]}, "parameter ids is [1, 'a'], allowed a ROS parameter's value"),
        ({"speed": 60.0}, "/example: parameter speed is 60.0, allowed without use_sim_time is 1.0"),
    ],
)
def test_a_node_with_a_wrong_parameter_is_not_made(
    bench: Bench, overrides: dict[str, object], text: str
) -> None:
    with pytest.raises(InputError) as error:
        bench.make(ExampleNode, "example", "/", **overrides)
    assert text in str(error.value)
    bench.until(lambda: bench.peer.get_node_names() == ["peer"], "the refused node is gone")


@pytest.mark.parametrize(("speed", "held_s"), [(0.5, 5.0), (1.0, 5.0), (10.0, 5.0), (60.0, 30.0)])
def test_in_fast_simulated_time_a_hold_lasts_half_a_second_on_the_wall(speed: float, held_s: float) -> None:
    assert LimitParameters(speed=speed).held_s(5.0) == held_s
    assert LimitParameters().held_s(0.2) == 0.2


def test_all_nodes_of_a_module_hold_alike(bench: Bench) -> None:
    fast = {"speed": 60.0, "use_sim_time": True, "signal_hold_s": 5.0}
    module = bench.start(KINDS["module"], "module", "/ek3_01", **fast)
    droop = bench.start(KINDS["droop"], "droop", "/ek3_01", **fast)
    assert (module._hold_s, droop._control._signal_hold_s) == (30.0, 30.0)
    station = {"module_ids": [1], "ratings_kw": [3.3], "setpoint_valid_s": 6.0}
    optimizer = bench.start(KINDS["optimizer"], "optimizer", "/ek3_01", **station, **fast)
    assert optimizer._valid_s == 30.0


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_every_node_takes_what_the_process_plan_gives_it(bench: Bench, speed: float, tmp_path: Path) -> None:
    """Names, types and ranges of both sides agree; a list of one node of each kind."""
    overrides = replace(Overrides(), speed=speed, record_dir=str(tmp_path / "bag"))
    plan = with_witness(process_plan(default_station(2, "line", "supply_curve"), overrides), overrides)
    on_bus = process_plan(load_station(config_path("station_can.yaml")))
    bridges = [node for node in on_bus.nodes if node.kind == "can_bridge" and speed == 1.0]  # a bus has one time only
    made = {}
    for spec in (*plan.nodes, *bridges):
        if spec.kind not in made:
            node = bench.make(KINDS[spec.kind], spec.name, spec.namespace, **dict(spec.parameters))
            assert node.trigger_configure() is SUCCESS, node.failure
            made[spec.kind] = node
            assert node.p.speed == speed
    assert set(made) == set(KINDS) - ({"can_bridge"} if speed != 1.0 else set())


def test_parameters_in_force_are_told_to_whoever_comes_late(bench: Bench) -> None:
    node = bench.start(KINDS["module"], "module", "/ek3_01", max_kw=2.0)
    told: list[Any] = bench.heard(streams.Stream("/ek3_01/module/parameters_in_force", ParameterEvent, "", 0.0,
                                                 reliable=True, latched=True))  # fmt: skip

    def in_force() -> dict[str, Any]:
        return {item.name: parameter_value_to_python(item.value) for item in told[-1].new_parameters} if told else {}

    bench.until(lambda: in_force().get("max_kw") == 2.0, "they are heard")
    assert told[-1].node == "/ek3_01/module"
    assert {"p_max_kw", "ramp_kw_per_s", "use_sim_time"} <= set(in_force())
    assert node.set_parameters([Parameter("max_kw", value=1.0)])[0].successful
    bench.until(lambda: in_force().get("max_kw") == 1.0, "the change is heard")
