"""Launch files only wire: they hand every process of the plan to launch_ros, with its role.

`launch` and `launch_ros` are not on PyPI. Without them stand-ins record what a launch file makes.
"""

from __future__ import annotations

import ast
import json
import math
import runpy
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.bringup import Overrides, process_plan, resolve_station
from v2g_nodes.bringup_dds import RANGE_VARIABLE
from v2g_nodes.bringup_launch import (
    ARGUMENTS,
    MODULE_ARGUMENTS,
    RIG_ARGUMENTS,
    check_module,
    check_rig,
    launch_processes,
    network_environment,
    plan_from_text,
)
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import default_station

ROOT = Path(__file__).resolve().parents[1]
FILES = {name: ROOT / "launch" / f"{name}.launch.py" for name in ("station", "module", "rig")}
HAS_TO_BE_GIVEN = (("module", "module"), ("rig", "station"))
RIG = """
version: 1
can: {interface: socketcan, channel: can0}
modules: [{id: 1, backend: can, host: left}, {id: 2, backend: can, host: right}]
"""
ALLOWED_IMPORTS = {"os", "time", "launch", "launch.actions", "launch.events.process",
                   "launch.launch_description_sources", "launch.substitutions", "launch_ros.actions",
                   "v2g_nodes.bringup_launch"}


class Action:
    """Stands in for every class of launch and launch_ros."""

    def __init__(self, *positional: Any, **named: Any) -> None:  # noqa: ANN401 - as any class of launch
        self.positional, self.named = positional, named


def stand_in(name: str, *classes: str) -> types.ModuleType:
    module = types.ModuleType(name)
    for each in classes:
        setattr(module, each, type(each, (Action,), {}))
    return module


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        stand_in("launch", "LaunchContext", "LaunchDescription"),
        stand_in("launch.actions", "DeclareLaunchArgument", "IncludeLaunchDescription", "OpaqueFunction",
                 "SetEnvironmentVariable", "Shutdown"),
        stand_in("launch.events"),
        stand_in("launch.events.process", "ProcessExited"),
        stand_in("launch.launch_description_sources", "PythonLaunchDescriptionSource"),
        stand_in("launch.substitutions", "ThisLaunchFileDir"),
        stand_in("launch_ros"),
        stand_in("launch_ros.actions", "Node"),
    ):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def describe(name: str) -> list[Any]:
    """Actions of a launch file."""
    actions: list[Any] = runpy.run_path(str(FILES[name]))["generate_launch_description"]().positional[0]
    return actions


def kind_of(action: Any) -> str:  # noqa: ANN401 - as any class of launch
    return type(action).__name__


def carry_out(name: str, configurations: dict[str, str]) -> list[Any]:
    """What a launch file makes of its arguments, as launch goes through it."""
    made: list[Any] = []
    for action in describe(name):
        if kind_of(action) == "DeclareLaunchArgument":
            configurations.setdefault(action.positional[0], action.named["default_value"])
        elif kind_of(action) == "OpaqueFunction":
            made += action.named["function"](types.SimpleNamespace(launch_configurations=configurations)) or ()
        else:
            (source,) = action.positional
            folder, file = source.positional[0]
            assert kind_of(folder) == "ThisLaunchFileDir"
            made += carry_out(file.removeprefix("/").removesuffix(".launch.py"), configurations)
    return made


def make(name: str, **values: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Environment and nodes for launch arguments."""
    actions = carry_out(name, values)
    environment = dict(a.positional for a in actions if kind_of(a) == "SetEnvironmentVariable")
    return environment, [a.named for a in actions if kind_of(a) == "Node"]


def role(node: dict[str, Any]) -> list[dict[str, Any]]:
    name, option, text = node["arguments"]
    assert name == node["exec_name"]
    assert option == "--role"
    nodes: list[dict[str, Any]] = json.loads(text)
    return nodes


@pytest.mark.usefixtures("stand_ins")
def test_every_process_of_the_plan_is_started_with_its_role() -> None:
    _, made = make("station", modules="3", topology="line", seed="5", start="18:30")
    overrides = Overrides(modules=3, topology="line", seed=5, start="18:30")
    plan = process_plan(resolve_station(None, overrides), overrides)
    assert [node["exec_name"] for node in made] == [process.name for process in plan.processes]
    for node, process in zip(made, plan.processes, strict=True):
        assert node["package"] == "v2g_nodes"
        assert node["executable"] == "host"
        assert node["prefix"] == f"nice -n {process.nice}"
        for found, wanted in zip(role(node), process.nodes, strict=True):
            assert (found["kind"], found["name"], found["namespace"]) == (wanted.kind, wanted.name, wanted.namespace)
            assert same({**found["parameters"], **wanted.parameters}, found["parameters"])


def same(a: Any, b: Any) -> bool:  # noqa: ANN401 - parameters of any type
    """Equal, where NaN equals NaN."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@pytest.mark.usefixtures("stand_ins")
def test_nodes_that_tell_the_time_know_when_the_run_began() -> None:
    _, made = make("station", modules="1")
    began = {node["kind"]: node["parameters"].get("run_started_s") for each in made for node in role(each)}
    assert began["grid_signal"] == began["plant"] == began["market_planner"] is not None
    assert began["module"] == began["plant"], "vehicles leave by the same clock"
    assert began["optimizer"] is None


@pytest.mark.usefixtures("stand_ins")
def test_one_module_can_run_alone() -> None:
    _, made = make("module", module="2", modules="30")  # so many that modules share processes
    assert [node["exec_name"] for node in made] == ["ek3_02", "ek3_02_opt"]
    assert [[n["kind"] for n in role(node)] for node in made] == [["module", "droop"], ["optimizer"]]
    assert {n["namespace"] for node in made for n in role(node)} == {"/ek3_02"}


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("name", "arguments"), [("station", ARGUMENTS), ("module", MODULE_ARGUMENTS), ("rig", RIG_ARGUMENTS)])
def test_every_argument_is_declared_with_a_text(name: str, arguments: tuple[Any, ...]) -> None:
    declared = [action for action in describe(name) if kind_of(action) == "DeclareLaunchArgument"]
    assert [a.positional[0] for a in declared] == [a.name for a in arguments]
    for argument in declared:
        assert argument.named["description"]
        assert argument.named["default_value"] is not None or (name, argument.positional[0]) in HAS_TO_BE_GIVEN


@pytest.fixture
def rig_file(tmp_path: Path) -> Path:
    file = tmp_path / "rig.yaml"
    file.write_text(RIG)
    return file


@pytest.mark.usefixtures("stand_ins")
def test_a_rig_runs_hardware_that_waits_to_be_armed(rig_file: Path) -> None:
    _, made = make("rig", station=str(rig_file), max_kw="0.5", dry_run="true")
    nodes = [node for each in made for node in role(each)]
    assert "can_bridge" in {node["kind"] for node in nodes}
    assert not {"plant", "can_device"} & {node["kind"] for node in nodes}
    modules = [node["parameters"] for node in nodes if node["kind"] == "module"]
    assert [p["module_id"] for p in modules] == [1, 2]
    for parameters in modules:
        assert (parameters["backend"], parameters["armed"], parameters["max_kw"]) == ("can", False, 0.5)
        assert (parameters["can_interface"], parameters["can_dry_run"]) == ("socketcan", True)
    _, made = make("rig", station=str(rig_file), host="right")
    nodes = [node for each in made for node in role(each)]
    assert {node["namespace"] for node in nodes} == {"/", "/ek3_02"}
    (module,) = (node["parameters"] for node in nodes if node["kind"] == "module")
    assert module["can_dry_run"] is False


@pytest.mark.parametrize(
    ("change", "values", "message"),
    [
        (("channel: can0", "channel: vcan0, stand_ins: true"), {}, "can.stand_ins is true, allowed on a rig is false"),
        (("backend: can, host: left", "backend: sim, host: left"), {}, "module 1 has backend sim, allowed on a rig is"),
        (("", ""), {"dry_run": "perhaps"}, "dry_run 'perhaps', allowed is true or false"),
        (("", ""), {"host": "middle"}, "host 'middle', allowed left, right"),
        (("", ""), {"station": ""}, "station '', allowed is a station file"),
    ],
)
def test_a_rig_refuses_what_is_none(
    rig_file: Path, change: tuple[str, str], values: dict[str, str], message: str
) -> None:
    rig_file.write_text(RIG.replace(*change))
    with pytest.raises(InputError, match=message):
        check_rig({"station": str(rig_file), **values})


@pytest.mark.usefixtures("stand_ins")
def test_launch_keeps_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE_VARIABLE, "LOCALHOST")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    environment, _ = make("station", modules="1")
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"].endswith("fastdds_localhost.xml")


def test_a_station_file_may_open_the_subnet_but_not_over_the_users_word(tmp_path: Path) -> None:
    station = default_station(1)
    station = station.model_copy(update={"network": station.network.model_copy(update={"discovery": "subnet"})})
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    for asked in ({}, {RANGE_VARIABLE: "LOCALHOST"}):
        profile = Path(network_environment(station, {**cache, **asked})["FASTRTPS_DEFAULT_PROFILES_FILE"])
        assert "127.0.0.1" not in profile.read_text()
    assert network_environment(station, {RANGE_VARIABLE: "OFF"}) == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modules": "many"}, "modules 'many', allowed is a whole number"),
        ({"speed": "fast"}, "speed 'fast', allowed is a number"),
        ({"modules": "0"}, "modules 0, allowed 1 to 64"),
        ({"topology": "tree"}, "topology 'tree', allowed ring"),
        ({"station": "/no/such/file.yaml"}, "/no/such/file.yaml: No such file"),
    ],
)
def test_a_bad_argument_is_named(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_from_text(values)


@pytest.mark.parametrize(
    ("number", "message"),
    [("9", "module 9, allowed 1, 2"), ("", "module '', allowed is a whole number"), ("two", "module 'two', allowed")])
def test_a_module_that_is_not_there_is_named(number: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_module({"module": number, "modules": "2"})


def test_a_module_of_a_can_station_does_not_run_without_its_hosts_bridge(rig_file: Path) -> None:
    with pytest.raises(InputError, match=r"all modules on the CAN bus, allowed is rig.launch.py host:=NAME"):
        check_module({"module": "1", "station": str(rig_file)})


@pytest.mark.usefixtures("stand_ins")
def test_stand_ins_are_started_by_their_own_executable() -> None:
    _, made = make("station", station=str(ROOT / "config" / "station_can.yaml"))
    executables = {node["exec_name"]: node["executable"] for node in made}
    hardware = {name for name in executables if name.endswith("_hardware")}
    assert {executables[name] for name in hardware} == {"can_device"}
    assert {executables[name] for name in executables.keys() - hardware} == {"host"}
    assert "can_bridge" in executables
    assert {name.removesuffix("_hardware") for name in hardware} < executables.keys()
    assert (ROOT / "scripts" / "can_device").stat().st_mode & 0o100


@pytest.mark.parametrize("name", FILES)
def test_launch_files_only_wire(name: str) -> None:
    text = FILES[name].read_text()
    assert len(text.splitlines()) <= 80
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= ALLOWED_IMPORTS
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.If, ast.While, ast.Try, ast.For))]


@pytest.mark.usefixtures("stand_ins")
def test_nodes_may_be_left_to_a_manager_of_lifecycles() -> None:
    for text, state in (("true", "active"), ("False", "unconfigured")):
        _, made = make("station", modules="2", autostart=text)
        assert {each["state"] for node in made for each in role(node)} == {state}
    with pytest.raises(InputError, match="autostart 'perhaps', allowed is true or false"):
        make("station", modules="2", autostart="perhaps")


@pytest.mark.usefixtures("stand_ins")
def test_a_process_is_started_again_unless_it_refuses_its_parameters() -> None:
    _, made = make("station", modules="1")
    assert all(node["respawn"] for node in made)
    on_exit = made[0]["on_exit"]
    assert on_exit(types.SimpleNamespace(returncode=-9, process_name="ek3_01-3"), None) is None
    end = on_exit(types.SimpleNamespace(returncode=2, process_name="ek3_01-3"), None)
    assert (kind_of(end), end.named["reason"]) == ("Shutdown", "ek3_01-3 refuses its parameters")


def test_time_may_come_from_somebody_elses_clock() -> None:
    plan = plan_from_text({"modules": "1", "use_sim_time": "true"})
    assert all(node.parameters["use_sim_time"] for node in plan.nodes)
    assert not any(node.parameters["use_sim_time"] for node in plan_from_text({"modules": "1"}).nodes)


def test_a_namespace_around_it_is_refused() -> None:
    with pytest.raises(InputError, match="namespace /site pushed around the launch file, allowed is none"):
        launch_processes({"ros_namespace": "/site", "modules": "1"}, {}, 0.0)
    assert launch_processes({"ros_namespace": "/", "modules": "1"}, {}, 0.0).nodes


def test_our_folder_does_not_hide_the_launch_package(tmp_path: Path) -> None:
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__init__.py").write_text("real = True")
    code = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]; import launch; print(launch.real)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "True\n"
