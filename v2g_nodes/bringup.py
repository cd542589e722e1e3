"""Station file -> process plan: which processes, which nodes in them, with which parameters, in start order.

Knows no ROS library: launch files map the plan to launch_ros, `./v2g up` to plain processes under a supervisor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from v2g_nodes.audit import check_writable
from v2g_nodes.bringup_graph import Link
from v2g_nodes.bringup_inputs import Inputs, Overrides, apply_overrides, resolve_station, validate_inputs
from v2g_nodes.bringup_parameters import (
    Parameter,
    Parameters,
    can_bridge_parameters,
    cost_parameters,
    droop_gain_kw_per_hz,
    droop_parameters,
    exchange_parameters,
    grid_signal_parameters,
    is_simulated,
    module_parameters,
    optimizer_parameters,
    plant_parameters,
    price_span_eur_per_kwh,
    rating_kw,
    recorder_parameters,
    run_parameters,
    station_monitor_parameters,
)
from v2g_nodes.bringup_planner import market_planner_parameters
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.privacy.masks import MASKS
from v2g_nodes.station import AUDIT_WORDS, Module, Station, host_namespace, is_on_bus, station_edges, station_hosts

__all__ = ["Inputs", "Link", "NodeSpec", "Overrides", "Parameter", "Parameters", "ProcessPlan", "ProcessSpec",
           "apply_overrides", "cost_parameters", "droop_gain_kw_per_hz", "expected_links", "module_namespace",
           "plan_text", "price_span_eur_per_kwh", "process_plan", "rating_kw", "resolve_station", "validate_inputs"]

BRIDGE = "can_bridge"
STAND_IN = "can_device"  # kind of the nodes that are no ROS nodes
SPARES = 2  # participants kept free: the warm spare, and one for the command itself or a tool
COLORS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow",
          "bright_magenta", "bright_blue")
STATION_COLOR = "white"
GROUPS_PER_CORE = 2  # of modules that share a process: more wake-ups cost more time than more processes gain
GROUPS_MIN = 4  # a process that dies takes a quarter of the station with it at the most: the rest is a majority
OBSERVER_NICE = 5  # what only watches or plans gives way to control
RECORDER_NICE = 10  # its samples wait; the monitor's figures would not be told in time


@dataclass(frozen=True)
class NodeSpec:
    """One ROS node.

    Args:
        kind: module, droop, optimizer, can_bridge, grid_signal, market_planner, station_monitor, recorder or plant;
            can_device in a process without ROS.
        name: node name.
        namespace: `/` or `/ek3_NN`.
        parameters: ROS parameters.
    """

    kind: str
    name: str
    namespace: str
    parameters: Parameters

    @property
    def full_name(self) -> str:
        """Name in the ROS graph."""
        return f"{self.namespace.rstrip('/')}/{self.name}"


@dataclass(frozen=True)
class ProcessSpec:
    """One operating system process; one DDS participant if it runs ROS nodes.

    Args:
        name: for logs and the supervisor, unique in the plan.
        color: rich colour name of its log prefix.
        nice: added niceness, 0 or more.
        nodes: what it runs.
    """

    name: str
    color: str
    nice: int
    nodes: tuple[NodeSpec, ...]

    @property
    def is_ros(self) -> bool:
        """Whether it runs ROS nodes; a stand-in for a module's hardware speaks on the CAN bus only."""
        return all(node.kind != STAND_IN for node in self.nodes)


@dataclass(frozen=True)
class ProcessPlan:
    """All processes of a station, or of one host's part of it.

    Args:
        processes: in start order.
        station: with the options laid over it.
        inputs: start time, sessions, notes.
        modules: that are run here, in the order of their ids.
    """

    processes: tuple[ProcessSpec, ...]
    station: Station
    inputs: Inputs
    modules: tuple[Module, ...]

    @property
    def participants(self) -> int:
        """DDS participants, the spares included."""
        return sum(process.is_ros for process in self.processes) + SPARES

    @property
    def nodes(self) -> tuple[NodeSpec, ...]:
        """All ROS nodes in start order."""
        return tuple(node for process in self.processes if process.is_ros for node in process.nodes)

    @property
    def is_partial(self) -> bool:
        """Whether other hosts run more modules of the station."""
        return len(self.modules) < len(self.station.modules)


def module_namespace(module_id: int) -> str:
    """Namespace of a module's nodes."""
    return f"/ek3_{module_id:02d}"


def process_plan(station: Station, overrides: Overrides | None = None, inputs: Inputs | None = None) -> ProcessPlan:
    """Turn a station into processes.

    Args:
        station: the station.
        overrides: options of the run, laid over it; None takes the defaults.
        inputs: what validate_inputs found; None calls it.

    Raises:
        InputError: more participants than allowed, a backend that is not there, a recording that can't be used.
    """
    options = overrides or Overrides()
    station = apply_overrides(station, options)
    _check_run(station, options)
    checked = validate_inputs(station, options) if inputs is None else inputs
    run = run_parameters(station, options, checked)
    modules = _modules_here(station, options.host)
    exchange = exchange_parameters(station)

    def hardware(module: Module) -> tuple[NodeSpec, ...]:
        space = module_namespace(module.id)
        return (NodeSpec("module", "module", space, {**module_parameters(station, module, options, checked), **run}),
                NodeSpec("droop", "droop", space, {**droop_parameters(station, module), **run}))

    def optimizer(module: Module) -> tuple[NodeSpec, ...]:
        return (NodeSpec("optimizer", "optimizer", module_namespace(module.id),
                         {**optimizer_parameters(station, module, exchange), **run}),)

    def stand_in(module: Module) -> NodeSpec:
        parameters = {**module_parameters(station, module, options, checked), **run}
        return NodeSpec(STAND_IN, STAND_IN, module_namespace(module.id), parameters)

    before, after = _station_processes(station, modules, run, options, checked)
    groups = _groups(station, modules, len(before) + len(after))
    processes = []
    for group in groups if station.can.stand_ins else ():
        nodes = tuple(stand_in(module) for module in group if module.backend == "can")
        processes += [ProcessSpec(_group_name(group) + "_hardware", STATION_COLOR, 0, nodes)] if nodes else []
    processes += before
    for suffix, make in (("", hardware), ("_opt", optimizer)):
        for k, group in enumerate(groups):
            nodes = tuple(node for module in group for node in make(module))
            processes.append(ProcessSpec(_group_name(group) + suffix, COLORS[k % len(COLORS)], 0, nodes))
    return ProcessPlan((*processes, *after), station, checked, tuple(modules))


def _modules_here(station: Station, host: str | None) -> list[Module]:
    hosts = station_hosts(station)
    if host is not None and host not in hosts:
        raise InputError(f"host {host!r}, allowed {', '.join(hosts) or 'none: no module of the station file has one'}")
    modules = sorted(station.modules, key=lambda module: module.id)
    return [module for module in modules if host in (None, module.host)]


def _station_processes(
    station: Station, modules: Sequence[Module], run: Parameters, options: Overrides, inputs: Inputs
) -> tuple[list[ProcessSpec], list[ProcessSpec]]:
    """Station nodes that start before the modules, and after them (the signal sets everything going: last).

    Args:
        station: the station.
        modules: that run here.
        run: parameters of every node.
        options: of the run.
        inputs: of the run.
    """
    place = _place(station, options.host)

    def alone(kind: str, parameters: Parameters, nice: int = 0) -> ProcessSpec:
        return ProcessSpec(kind, STATION_COLOR, nice, (NodeSpec(kind, kind, place.namespace, {**parameters, **run}),))

    recorder = alone("recorder", recorder_parameters(station, modules, options), RECORDER_NICE)
    before = [recorder] if options.record_dir else []
    before += [alone("plant", plant_parameters(station, modules))] if is_simulated(station) else []
    links = [f"{link.topic} {link.publisher} {link.subscriber}"
             for link in expected_links(station, modules, place.leads, place.namespace)]
    monitor = {**station_monitor_parameters(station, modules), "links": links}
    before.append(alone("station_monitor", monitor, OBSERVER_NICE))
    if is_on_bus(station):
        before.append(alone(BRIDGE, can_bridge_parameters(station, modules, options)))
    after = [alone("market_planner", market_planner_parameters(station, inputs), OBSERVER_NICE),
             alone("grid_signal", grid_signal_parameters(station, place.number))]
    return before, after if place.leads else []


@dataclass(frozen=True)
class _Place:
    """A host among those of the station.

    Args:
        number: 0 for the first host, and where one runs all.
        namespace: of the nodes it has for itself beside its modules'.
        leads: it has a signal and a plan of its own. On a bus one signal goes to all hosts; elsewhere each host has
            one, for it must go on alone.
    """

    number: int
    namespace: str
    leads: bool


def _place(station: Station, host: str | None) -> _Place:
    number = 0 if host is None else station_hosts(station).index(host)
    if is_on_bus(station):  # each host has a ROS domain of its own there
        return _Place(0, "/", number == 0)
    return _Place(number, "/" if number == 0 else host_namespace(str(host)), True)


def _check_run(station: Station, options: Overrides) -> None:
    """Refuse what can't be done on a bus or by one of several hosts, and a log that could not be kept."""
    if station.audit_file not in AUDIT_WORDS:
        check_writable(Path(station.audit_file))
    if options.speed != 1.0 and any(module.backend == "can" for module in station.modules):
        raise InputError(f"speed {options.speed:g} with modules on the CAN bus, allowed is 1")
    if options.host is None or is_on_bus(station):
        return
    if options.speed != 1.0:
        raise InputError(f"speed {options.speed:g} with host {options.host}, allowed is 1: hosts share the wall clock")
    if station.grid.response == "swing":
        raise InputError(f"key grid.response: swing with host {options.host}, allowed is recorded: each host would "
                         "have an island of its own")


def _groups(station: Station, modules: Sequence[Module], fixed: int) -> list[Sequence[Module]]:
    """Modules that share a process (and, apart from it, one for their optimizers); docs/decisions/0010-packing.md."""
    most = station.network.max_participants
    places = (most - SPARES - fixed) // 2
    if station.network.packing == "auto":
        places = min(places, max(GROUPS_MIN, GROUPS_PER_CORE * usable_cores()))
    elif len(modules) > places:
        need = fixed + 2 * len(modules) + SPARES
        raise InputError(f"key network.packing: never needs {need} DDS participants for {len(modules)} modules, "
                         f"allowed {most} (network.max_participants), that is up to {places} modules")
    size = -(-len(modules) // places)
    return [modules[k : k + size] for k in range(0, len(modules), size)]


def usable_cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def _group_name(group: Sequence[Module]) -> str:
    first, last = group[0].id, group[-1].id
    return f"ek3_{first:02d}" if first == last else f"ek3_{first:02d}_{last:02d}"


def expected_links(
    station: Station, modules: Sequence[Module], leads: bool = True, namespace: str = "/"
) -> tuple[Link, ...]:
    """Edges of the ROS graph that start-up waits for: between neighbours, along the set-point path, from the signal.

    Args:
        station: the station.
        modules: that run here.
        leads: signal and plan are made here; else the bridge brings them.
        namespace: of the nodes that make them.
    """
    spaces = [module_namespace(module.id) for module in modules]
    links = _exchange_links(station, spaces)
    own = namespace.rstrip("/")
    signal, planner = (f"{own}/grid_signal", f"{own}/market_planner") if leads else (f"/{BRIDGE}",) * 2
    for space in spaces:
        links += [
            Link(f"{space}/base_setpoint", f"{space}/optimizer", f"{space}/droop"),
            Link(f"{space}/applied", f"{space}/module", f"{space}/optimizer"),
            Link(f"{space}/status", f"{space}/module", f"{space}/optimizer"),
            Link("/grid/signal", signal, f"{space}/droop"),
            Link("/grid/signal", signal, f"{space}/optimizer"),
            Link("/market/plan", planner, f"{space}/optimizer"),
        ]
    return tuple(links)


def _exchange_links(station: Station, spaces: Sequence[str]) -> list[Link]:
    """Where prices and powers go: from neighbour to neighbour, or all through the bridge to the bus and back."""
    links = []
    for topic in ("neighbor_state", "curve", *(("mask_key",) if station.privacy == MASKS else ())):
        if is_on_bus(station):
            for space in spaces:
                links += [Link(f"{space}/{topic}", f"{space}/optimizer", f"/{BRIDGE}"),
                          Link(f"/bus/{topic}", f"/{BRIDGE}", f"{space}/optimizer")]
            continue
        ends = [tuple(map(module_namespace, edge)) for edge in station_edges(station)]
        links += [Link(f"{sender}/{topic}", f"{sender}/optimizer", f"{receiver}/optimizer")
                  for a, b in ends for sender, receiver in ((a, b), (b, a)) if {a, b} <= {*spaces}]
    return links


def plan_text(plan: ProcessPlan) -> str:
    """The plan as plain text: one line per process, then the notes."""
    width = max(len(process.name) for process in plan.processes)
    lines = [f"{process.name:<{width}}  {'  '.join(node.full_name for node in process.nodes)}"
             for process in plan.processes]
    return "\n".join([f"{plan.participants} DDS participants ({SPARES} of them spare)", *lines, *plan.inputs.notes])
