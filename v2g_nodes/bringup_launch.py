"""What launch files and the supervisor have in common: roles of processes, their environment, arguments as text.

Launch files only wire; what they need worked out is worked out here and tested without ROS.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from v2g_nodes.bringup import (
    STAND_IN,
    Overrides,
    ProcessPlan,
    ProcessSpec,
    module_namespace,
    process_plan,
    resolve_station,
)
from v2g_nodes.bringup_network import network_environment
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import is_on_bus

ENCLAVES = "/v2g"  # enclaves of all processes are below it
OVERRIDE = "ROS_SECURITY_ENCLAVE_OVERRIDE"
HOST = "host"  # executable that runs any role (scripts/node)
# nodes that need to know what time of the run it is
CLOCK_KINDS = ("module", STAND_IN, "plant", "market_planner", "grid_signal")


@dataclass(frozen=True)
class LaunchArgument:
    """An argument of a launch file.

    Args:
        name: without dashes.
        text: what it is.
        field: of Overrides; empty for `station`.
        kind: turns its text into a value.
        default: as text; empty leaves the station file's value, None: it has to be given.
    """

    name: str
    text: str
    field: str = ""
    kind: Callable[[str], object] = str
    default: str | None = ""


def truth(text: str) -> bool:
    """A launch argument that is true or false.

    Raises:
        ValueError: it is neither.
    """
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


KIND_WORDS: Mapping[Callable[[str], object], str] = {
    int: "a whole number", float: "a number", truth: "true or false"}

AUTOSTART = LaunchArgument(
    "autostart", "false = nodes stay unconfigured, for a manager of lifecycles", kind=truth, default="true")

#: arguments of launch/station.launch.py
ARGUMENTS = (
    LaunchArgument("station", "station file (see config/station.yaml); empty = the default station"),
    LaunchArgument("modules", "modules of the default station", "modules", int),
    LaunchArgument("topology", "who hears whom: ring, line, star, bus, mesh", "topology"),
    LaunchArgument("algorithm", "how the modules agree", "algorithm"),
    LaunchArgument("privacy", "none, or masks: the modules hide their supply curves from each other", "privacy"),
    LaunchArgument("frequency", "CSV recording of grid frequency", "frequency_csv"),
    LaunchArgument("prices", "CSV recording of prices", "prices_csv"),
    LaunchArgument("signal", "CSV recording of the regulation signal", "signal_csv"),
    LaunchArgument("sessions", "CSV of charging sessions", "sessions_csv"),
    LaunchArgument("day", "day of recordings that hold many, YYYY-MM-DD", "day"),
    LaunchArgument("sessions_day", "day of the sessions, where it is another, YYYY-MM-DD", "sessions_day"),
    LaunchArgument("start", "local time of day at the start, HH:MM", "start"),
    LaunchArgument("speed", "the station's time over wall time", "speed", float, "1.0"),
    LaunchArgument("seed", "of the synthetic day and the default station", "seed", int),
    LaunchArgument("response", "grid frequency: recorded or swing", "response"),
    LaunchArgument("max_kw", "cap on every module's power [kW], for commissioning", "max_kw", float),
    LaunchArgument("state_dir", "folder in which simulated modules keep their state over a restart", "state_dir"),
    LaunchArgument("host", "only the modules that have this host in the station file; empty = all", "host"),
    LaunchArgument("module", "only the nodes of this module, for a machine of its own; empty = the whole station"),
    LaunchArgument("dry_run", "true = listen only, send nothing to hardware", "dry_run", truth, "false"),
    LaunchArgument("use_sim_time", "true = ROS time comes from /clock, as of ros2 bag play --clock; above speed 1 it "
                   "does anyway", "use_sim_time", truth, "false"),
    AUTOSTART,
)  # fmt: skip


def _some(*names: str) -> tuple[LaunchArgument, ...]:
    """Arguments of station.launch.py that a file which includes it has too."""
    by_name = {argument.name: argument for argument in ARGUMENTS}
    return tuple(by_name[name] for name in names)


#: arguments of launch/module.launch.py
MODULE_ARGUMENTS = (
    LaunchArgument("module", "number of the module", default=None),
    *_some("station", "modules", "topology", "seed", "max_kw", "state_dir", "use_sim_time", "autostart"))
#: arguments of launch/rig.launch.py
RIG_ARGUMENTS = (
    LaunchArgument("station", "station file with modules on a CAN bus (see config/station_can.yaml)", default=None),
    *_some("host", "max_kw", "dry_run", "autostart"))


@dataclass(frozen=True)
class LaunchProcesses:
    """What a launch file starts.

    Args:
        environment: variables to set first.
        nodes: keyword arguments of launch_ros.actions.Node, one for each process.
    """

    environment: Mapping[str, str]
    nodes: tuple[Mapping[str, Any], ...]


def launch_processes(
    values: Mapping[str, str], environment: Mapping[str, str], started_unix_s: float
) -> LaunchProcesses:
    """All that launch/station.launch.py starts.

    Args:
        values: launch configurations.
        environment: of the caller.
        started_unix_s: when the run begins, where the station file does not say so.

    Raises:
        InputError: a value that can't be used.
    """
    if values.get("ros_namespace", "/") not in ("", "/"):
        raise InputError(f"namespace {values['ros_namespace']} pushed around the launch file, allowed is none: names "
                         "are those of the station file; ROS_DOMAIN_ID keeps stations apart")
    plan = plan_from_text(values)
    state = "active" if _value(AUTOSTART, values.get("autostart") or "true") else "unconfigured"
    states = {node.full_name: state for node in plan.nodes}
    if plan.inputs.started_unix_s is not None:
        started_unix_s = plan.inputs.started_unix_s
    return LaunchProcesses(network_environment(plan.station, environment),
                           tuple(launch_node(process, started_unix_s, states) for process in plan.processes))


def plan_from_text(values: Mapping[str, str]) -> ProcessPlan:
    """The process plan for launch arguments.

    Args:
        values: by name of ARGUMENTS; empty text and missing names leave the default.

    Raises:
        InputError: a value that can't be used.
    """
    changes: dict[str, Any] = {}
    for argument in ARGUMENTS:
        text = values.get(argument.name, "")
        if argument.field and text:
            changes[argument.field] = _value(argument, text)
    overrides = replace(Overrides(), **changes)
    plan = process_plan(resolve_station(values.get("station") or None, overrides), overrides)
    return _of_module(plan, values["module"]) if values.get("module") else plan


def check_module(values: Mapping[str, str]) -> None:
    """Refuse for one module alone what names none.

    Args:
        values: by name of MODULE_ARGUMENTS.

    Raises:
        InputError: no number, or a value that can't be used.
    """
    if not values.get("module"):
        raise InputError("module '', allowed is a whole number")
    plan_from_text(values)


def check_rig(values: Mapping[str, str]) -> None:
    """Refuse for a rig what is no station of hardware.

    Args:
        values: by name of RIG_ARGUMENTS.

    Raises:
        InputError: a value that can't be used, or the station is not one of hardware.
    """
    file = values.get("station", "")
    if not file:
        raise InputError("station '', allowed is a station file with modules on a CAN bus")
    plan = plan_from_text(values)
    if plan.station.can.stand_ins:
        raise InputError(f"{file}: key can.stand_ins is true, allowed on a rig is false; ./v2g up runs stand-ins")
    simulated = [module.id for module in plan.station.modules if module.backend != "can"]
    if simulated:
        raise InputError(f"{file}: module {simulated[0]} has backend sim, allowed on a rig is can; "
                         "station.launch.py runs simulated ones")


def _of_module(plan: ProcessPlan, text: str) -> ProcessPlan:
    """The processes of one module only."""
    try:
        number = int(text)
    except ValueError as error:
        raise InputError(f"module {text!r}, allowed is a whole number") from error
    ids = [module.id for module in plan.station.modules]
    if number not in ids:
        raise InputError(f"module {number}, allowed {', '.join(map(str, ids))}")
    if is_on_bus(plan.station):
        raise InputError(f"module {number} alone with all modules on the CAN bus, allowed is rig.launch.py host:=NAME: "
                         "a host has one bridge for all of its modules")
    space = module_namespace(number)
    found = []
    for process in plan.processes:
        nodes = tuple(node for node in process.nodes if node.namespace == space)
        if nodes:
            suffix = "_opt" if nodes[0].kind == "optimizer" else ""
            found.append(replace(process, name=space.strip("/") + suffix, nodes=nodes))
    return replace(plan, processes=tuple(found))


def role_nodes(
    process: ProcessSpec, started_unix_s: float, states: Mapping[str, str] | None = None, again: bool = False
) -> list[dict[str, Any]]:
    """Nodes of a process as its host wants them.

    Args:
        process: of the plan.
        started_unix_s: when the run began; a node that is started again goes on where the run is.
        states: lifecycle states to bring nodes to, by full name; the others become active.
        again: they were there before, so droop may have been tripped and has to enter service.
    """
    nodes = [asdict(node) for node in process.nodes]
    for spec, node in zip(process.nodes, nodes, strict=True):
        if states and spec.full_name in states:
            node["state"] = states[spec.full_name]
        if node["kind"] in CLOCK_KINDS:
            node["parameters"] = {**node["parameters"], "run_started_s": started_unix_s}
        if again and node["kind"] == "droop":
            node["parameters"] = {**node["parameters"], "in_service": False}
    return nodes


def launch_node(process: ProcessSpec, started_unix_s: float, states: Mapping[str, str]) -> dict[str, Any]:
    """What launch_ros.actions.Node has to be told to run a process of the plan, and again when it dies.

    Args:
        process: of the plan.
        started_unix_s: when the run began.
        states: lifecycle states to bring nodes to, by full name.
    """
    role = json.dumps(role_nodes(process, started_unix_s, states), separators=(",", ":"))
    return {"package": "v2g_nodes", "executable": HOST if process.is_ros else STAND_IN,
            "arguments": [process.name, "--role", role], "exec_name": process.name,
            "prefix": f"nice -n {process.nice}", "output": "screen", "respawn": True, "respawn_delay": 1.0,
            "additional_env": security_environment(process.name, os.environ)}


def enclave_of(process: str) -> str:
    """Security enclave of a process of the plan, by its name."""
    return f"{ENCLAVES}/{process}"


def security_environment(process: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a process needs besides ROS_SECURITY_* of the caller: which enclave is its own.

    Args:
        process: its name.
        environment: of the caller; empty result unless security is on there.
    """
    if environment.get("ROS_SECURITY_ENABLE", "").lower() != "true" or OVERRIDE in environment:
        return {}
    return {OVERRIDE: enclave_of(process)}


def _value(argument: LaunchArgument, text: str) -> object:
    try:
        return argument.kind(text)
    except ValueError as error:
        raise InputError(f"{argument.name} {text!r}, allowed is {KIND_WORDS[argument.kind]}") from error
