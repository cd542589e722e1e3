"""The station: read from a file, or made up as a default one with modules that differ."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic import BaseModel

from v2g_nodes.core import graph
from v2g_nodes.core.errors import GraphError, InputError
from v2g_nodes.core.grid_code.settings import grid_code
from v2g_nodes.core.grid_code.volt_var import STATION, volt_var_curve
from v2g_nodes.core.plan import DAY_S
from v2g_nodes.core.release import HOLD_OVER_SILENCE
from v2g_nodes.core.types import MODULES_MAX
from v2g_nodes.station_file import YamlFile, key_text
from v2g_nodes.station_model import (
    Algorithm,
    CanSection,
    Module,
    ModuleType,
    PlanRule,
    PlanSection,
    Privacy,
    Response,
    SignalSection,
    Station,
    Topology,
    Vehicle,
)

__all__ = ["AUDIT_WORDS", "CHOICES", "CanSection", "Module", "ModuleType", "SignalSection", "Station", "Vehicle",
           "check_station", "default_station", "host_namespace", "is_on_bus", "load_station", "module_type", "replace",
           "station_edges", "station_hosts", "topology_name"]

#: what keys and options with a fixed choice allow
CHOICES: dict[str, tuple[str, ...]] = {
    "topology": get_args(Topology), "algorithm": get_args(Algorithm), "response": get_args(Response),
    "planner": get_args(PlanRule), "privacy": get_args(Privacy)}

Fail = Callable[[Sequence[int | str], str], None]

PLANS_VEHICLES = ("valley", "allocation")  # rules that look at the vehicles of the station
AUDIT_WORDS = ("auto", "none")  # of audit_file; anything else is a file

WEAR_GAMMA = (0.003, 0.06)  # EUR/h/kW^1.5, log-uniform: unlike enough that an equal split is far from the optimum
P_MAX_KW = (3.0, 3.3)  # this and the next three: spread of the scenario constants of the project
EFFICIENCY = (0.95, 0.97)
SOC_START = (0.2, 0.8)
AMBIENT_C = (25.0, 40.0)
CAPACITY_KWH = (40.0, 80.0)  # chosen: batteries of today's cars


def load_station(path: str | Path) -> Station:
    """Read a station file. File names in it become absolute.

    Args:
        path: YAML, version 1; see config/station.yaml.

    Raises:
        InputError: one line with file, line, key, what was found and what is allowed.
    """
    file = YamlFile(path)
    station = _with_rule(file.model(Station), file.fail)
    check_station(station, file.fail)
    base = Path(path).resolve().parent
    sections = ("signal", "plan", "market", "can")
    changes: dict[str, object] = {key: _absolute(getattr(station, key), base) for key in sections}
    if station.audit_file not in AUDIT_WORDS:
        changes["audit_file"] = str(base / station.audit_file)
    return replace(station, **changes)


def _with_rule(station: Station, refuse: Fail) -> Station:
    """The key `planner` put where it belongs; the example file shows the rule's default beside it."""
    planner, plan = station.planner, station.plan
    if planner is None:
        return station
    if plan.rule not in (planner, PlanSection().rule):
        refuse(("planner",), f"{planner!r} beside plan.rule {plan.rule!r}, allowed is one of the two")
    return station.model_copy(update={"planner": None, "plan": plan.model_copy(update={"rule": planner})})


def _absolute(section: BaseModel, base: Path) -> BaseModel:
    names = {key: str(base / value) for key, value in section
             if key.endswith(("csv", "key_file")) and value is not None}
    return section.model_copy(update=names)


def replace(station: Station, **changes: object) -> Station:
    """A copy with other values, checked like a file.

    Raises:
        InputError: a value that is not allowed.
    """
    changed = station.model_copy(update=changes)
    check_station(changed)
    return changed


def check_station(station: Station, fail: Fail | None = None) -> None:
    """Refuse what single keys can't show: numbers that clash, graphs that fall apart, times in the wrong order.

    Args:
        station: a station whose single keys are all right.
        fail: called with key and text, raises; default raises InputError without a file.

    Raises:
        InputError: key, what was found, what is allowed.
    """
    refuse = fail or _fail
    _check_modules(station, refuse)
    _check_graph(station, refuse)
    _check_bus(station, refuse)
    _check_network(station, refuse)
    _check_times(station, refuse)
    _check_droop(station, refuse)
    _check_inverter(station, refuse)
    _check_plan(station, refuse)
    _check_privacy(station, refuse)


def _check_privacy(station: Station, refuse: Fail) -> None:
    if station.privacy == "none":
        return
    if station.algorithm != "supply_curve":
        refuse(("privacy",), f"{station.privacy!r} with algorithm {station.algorithm}, allowed with supply_curve: the "
               "others tell largest values, which no mask hides")
    if is_on_bus(station):
        refuse(("privacy",), f"{station.privacy!r} with all modules on the CAN bus, allowed is none: there everybody "
               "hears the state of every module anyway")


def _fail(key: Sequence[int | str], what: str) -> None:
    raise InputError(f"{key_text(key)}{what}")


def _check_plan(station: Station, refuse: Fail) -> None:
    plan = station.plan
    if plan.base_fraction + plan.capacity_fraction > 1.0 + 1e-9:
        refuse(("plan", "base_fraction"), f"{plan.base_fraction:g} with capacity_fraction {plan.capacity_fraction:g}, "
               "allowed is a sum up to 1")
    if plan.rule == "csv" and plan.csv is None:
        refuse(("plan", "csv"), "null, allowed is a file name with rule csv")
    if DAY_S % plan.slot_s:
        refuse(("plan", "slot_s"), f"{plan.slot_s:g}, allowed is a whole part of a day such as 300, 900 or 3600 s")
    if plan.rule == "market" and station.market.prices_csv is None and station.signal.missing == "none":
        refuse(("market", "prices_csv"), "null with signal.missing none, allowed is a file name with rule market")
    if plan.rule in PLANS_VEHICLES and station_hosts(station):
        refuse(("plan", "rule"), f"{plan.rule!r} with modules on several hosts, allowed is another rule: each host "
               "would plan for the vehicles it hears alone")


def _check_modules(station: Station, refuse: Fail) -> None:
    if not 1 <= len(station.modules) <= MODULES_MAX:
        refuse(("modules",), f"{len(station.modules)} modules, allowed 1 to {MODULES_MAX}")
    for name, kind in station.module_types.items():
        if kind.soc_min >= kind.soc_max:
            refuse(("module_types", name, "soc_min"), f"{kind.soc_min:g}, allowed below soc_max ({kind.soc_max:g})")
    first: dict[int, int] = {}
    for index, module in enumerate(station.modules):
        if module.id in first:
            refuse(("modules", index, "id"), f"{module.id} is also modules[{first[module.id]}], allowed is once")
        first[module.id] = index
        if module.type not in station.module_types:
            refuse(("modules", index, "type"), f"{module.type!r}, allowed {', '.join(sorted(station.module_types))}")


def _check_graph(station: Station, refuse: Fail) -> None:
    ids = [module.id for module in station.modules]
    if station.edges is None:
        return
    if station.topology is not None:
        refuse(("edges",), f"given beside topology {station.topology}, allowed is one of the two")
    for index, edge in enumerate(station.edges):
        for end in edge:
            if end not in ids:
                refuse(("edges", index), f"[{edge[0]}, {edge[1]}] names module {end}, "
                       f"allowed are {', '.join(map(str, sorted(ids)))}")
    try:
        graph.check_connected(ids, station.edges)
    except GraphError as error:
        refuse(("edges",), str(error))


def _check_bus(station: Station, refuse: Fail) -> None:
    if is_on_bus(station) and (station.edges is not None or station.topology not in (None, "bus")):
        key = "topology" if station.edges is None else "edges"
        refuse((key,), f"{getattr(station, key)!r}, allowed is bus or null: all modules are on the CAN bus, "
               "where everybody hears everybody")
    can = station.can
    if can.stand_ins and can.interface != "udp_multicast" and not can.channel.startswith("vcan"):
        refuse(("can", "stand_ins"), f"true on {can.interface} {can.channel}, allowed on udp_multicast or a vcan "
               "interface: stand-ins must not speak on a bus with hardware")


def _check_network(station: Station, refuse: Fail) -> None:
    hosts = {module.host for module in station.modules}
    if None in hosts and len(hosts) > 1:
        index = next(k for k, module in enumerate(station.modules) if module.host is None)
        refuse(("modules", index, "host"), "null, allowed is a name, as other modules have one")
    first: dict[str, str] = {}
    for host in station_hosts(station):
        other = first.setdefault(host_namespace(host), host)
        if other != host:
            refuse(("modules",), f"hosts {other!r} and {host!r}, allowed are names that differ in letters and digits")
    network = station.network
    for discovery, name in (("peers", "peers"), ("server", "servers")):
        given = getattr(network, name)
        if bool(given) != (network.discovery == discovery):
            refuse(("network", name), f"{[*given]} with discovery {network.discovery}, allowed are addresses with "
                   f"discovery {discovery} and [] without")
    for index, server in enumerate(network.servers):
        address, _, port = server.rpartition(":")
        if not (address and port.isdecimal() and 1024 <= int(port) <= 65535):
            refuse(("network", "servers", index), f"{server!r}, allowed is address:port with port 1024 to 65535")
    if network.discovery == "localhost" and network.interface is not None:
        refuse(("network", "interface"), f"{network.interface!r} with discovery localhost, allowed is null")


def station_hosts(station: Station) -> tuple[str, ...]:
    """Hosts by the lowest id of their modules; the first runs the nodes of the whole station. Empty: one host."""
    modules = sorted(station.modules, key=lambda module: module.id)
    return tuple(dict.fromkeys(module.host for module in modules if module.host is not None))


def host_namespace(host: str) -> str:
    """Namespace of the nodes that each host but the first has for itself: grid signal, planner, monitor, plant."""
    return "/host_" + re.sub(r"[^A-Za-z0-9_]", "_", host)


def is_on_bus(station: Station) -> bool:
    """Whether modules exchange prices and powers over the CAN bus: all of them are on it."""
    return all(module.backend == "can" for module in station.modules)


def _check_droop(station: Station, refuse: Fail) -> None:
    droop = station.droop
    if droop.law == "plain":
        if droop.settings:
            refuse(("droop", "settings"), f"{dict(droop.settings)} with law plain, allowed is {{}}")
        return
    try:
        grid_code(droop.law, droop.category, droop.settings)
    except InputError as error:
        refuse(("droop", "settings"), str(error))


def _check_inverter(station: Station, refuse: Fail) -> None:
    inverter = station.inverter
    if inverter.law == STATION:
        if inverter.settings:
            refuse(("inverter", "settings"), f"{dict(inverter.settings)} with law station, allowed is {{}}")
        return
    try:
        volt_var_curve(inverter.law, inverter.category, inverter.priority, inverter.settings)
    except InputError as error:
        refuse(("inverter", "settings"), str(error))


def _check_times(station: Station, refuse: Fail) -> None:
    dispatch, timeouts = station.dispatch, station.timeouts
    if dispatch.silence_ms <= 2 * dispatch.heartbeat_ms:
        refuse(("dispatch", "silence_ms"),
               f"{dispatch.silence_ms:g}, allowed above 2 heartbeats ({2 * dispatch.heartbeat_ms:g} ms)")
    if dispatch.setpoint_valid_s <= dispatch.epoch_period_s:
        refuse(("dispatch", "setpoint_valid_s"),
               f"{dispatch.setpoint_valid_s:g}, allowed above epoch_period_s ({dispatch.epoch_period_s:g} s)")
    # The others raise their power no earlier than this after a module's last word: what it held must be gone by then.
    taken_over_s = ((1.0 + HOLD_OVER_SILENCE) * dispatch.silence_ms - dispatch.heartbeat_ms) / 1000.0
    if timeouts.optimizer_silent_s > taken_over_s:
        refuse(("timeouts", "optimizer_silent_s"), f"{timeouts.optimizer_silent_s:g}, allowed up to {taken_over_s:g} s "
               f"({1.0 + HOLD_OVER_SILENCE:g} dispatch.silence_ms less a heartbeat)")
    if timeouts.droop_silent_s >= timeouts.signal_hold_s:
        refuse(("timeouts", "droop_silent_s"),
               f"{timeouts.droop_silent_s:g}, allowed below signal_hold_s ({timeouts.signal_hold_s:g} s)")
    if timeouts.signal_hold_s <= station.signal.period_s:
        refuse(("timeouts", "signal_hold_s"),
               f"{timeouts.signal_hold_s:g}, allowed above signal.period_s ({station.signal.period_s:g} s)")
    for name, kind in station.module_types.items():
        if kind.command_timeout_s > timeouts.droop_silent_s:
            refuse(("module_types", name, "command_timeout_s"),
                   f"{kind.command_timeout_s:g}, allowed up to timeouts.droop_silent_s ({timeouts.droop_silent_s:g} s)")


def station_edges(station: Station) -> graph.Edges:
    """Who hears whom, as ascending pairs of ids. Without topology and edges: a ring, or all on a CAN bus."""
    if station.edges is not None:
        return graph.normalise(station.edges)
    return graph.build_edges(topology_name(station), [module.id for module in station.modules])


def topology_name(station: Station) -> str:
    """Topology in a word, `edges` where it is given pair by pair."""
    if station.edges is not None:
        return "edges"
    return station.topology or ("bus" if is_on_bus(station) else "ring")


def module_type(station: Station, module: Module) -> ModuleType:
    """The module's type with what the module itself says laid over it."""
    own = {key: getattr(module, key) for key in ("p_max_kw", "ramp_kw_per_s", "efficiency", "wear_gamma")}
    return station.module_types[module.type].model_copy(
        update={key: value for key, value in own.items() if value is not None})


def default_station(modules: int, topology: str = "ring", algorithm: str = "supply_curve", seed: int = 0) -> Station:
    """A station of simulated modules that differ as real ones do, each with a vehicle that stays and is owed nothing.

    So it runs alike at any time of day; vehicles that leave and must be charged come from a station or sessions file.

    Every number of modules has the whole spread: values are drawn one from each of n equal strata.

    Args:
        modules: how many, 1 to 64.
        topology: who hears whom.
        algorithm: how they agree.
        seed: of the spread and of the synthetic day.

    Raises:
        InputError: a value that is not allowed.
    """
    _allow("modules", modules, 1, MODULES_MAX)
    _allow("seed", seed, 0, 2**31 - 1)
    for key, value in (("topology", topology), ("algorithm", algorithm)):
        allowed = CHOICES[key]
        if value not in allowed:
            raise InputError(f"{key} {value!r}, allowed {', '.join(allowed)}")
    rng = np.random.default_rng(seed)

    def spread(bounds: tuple[float, float]) -> list[float]:
        strata = (rng.permutation(modules) + rng.random(modules)) / modules
        return [float(bounds[0] + (bounds[1] - bounds[0]) * share) for share in strata]

    gammas = [math.exp(x) for x in spread((math.log(WEAR_GAMMA[0]), math.log(WEAR_GAMMA[1])))]
    rows = zip(gammas, spread(P_MAX_KW), spread(EFFICIENCY), spread(SOC_START), spread(AMBIENT_C),
               spread(CAPACITY_KWH), strict=True)
    built = tuple(
        Module(
            id=number, wear_gamma=round(gamma, 5), p_max_kw=round(p_max, 2), efficiency=round(efficiency, 4),
            soc=round(soc, 3), ambient_c=round(ambient, 1),
            vehicle=Vehicle(capacity_kwh=round(capacity, 1)),
        ) for number, (gamma, p_max, efficiency, soc, ambient, capacity) in enumerate(rows, 1))
    station = Station.model_validate({"version": 1, "name": f"default {modules}", "topology": topology,
                                      "algorithm": algorithm, "seed": seed, "modules": built})
    check_station(station)
    return station


def _allow(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{key} {value}, allowed {low} to {high}")
