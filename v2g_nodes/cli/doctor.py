"""`v2g doctor`: is everything there that a station needs? One line each, with what to do."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from v2g_nodes.bringup_network import network_environment
from v2g_nodes.canbus.bit_time import LENGTHS, frame_time_s
from v2g_nodes.cli.bus_ear import BusEar
from v2g_nodes.cli.bus_reader import BusReader
from v2g_nodes.cli.can_bus import BusChoice, Channel, Interface, KeyFile, StationFile, check_duration, choose_bus
from v2g_nodes.cli.doctor_bus import BusHealth
from v2g_nodes.cli.doctor_interface import interface_findings
from v2g_nodes.cli.doctor_machine import findings_of_modules, machine_findings
from v2g_nodes.cli.finding import NOTE, WRONG, Finding, all_well, show
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.errors import V2gError
from v2g_nodes.station import Station, module_type

DISCOVERY_S = 2.0  # a node that joins late was seen after 0.3 to 1.4 s


def doctor(
    station: StationFile = None,
    interface: Interface = None,
    channel: Channel = None,
    key_file: KeyFile = None,
    seconds: Annotated[float, typer.Option(help="How long to listen.")] = 2.0,
    json: Json = None,
) -> None:
    """Look at ROS 2, this machine and the CAN bus of a station, and say what is wrong and what to do about it.

    Sends nothing on the bus. Without a station file or a bus only ROS 2 and the machine are looked at. Exit code 1 when
    something is wrong.
    """
    check_duration(seconds, "--seconds")
    check_writable(json)
    with_bus = station is not None or interface is not None or channel is not None
    choice = choose_bus(station, interface, channel, key_file) if with_bus else None
    findings = machine_findings()
    loaded = None if choice is None else choice.station
    if choice is not None and (loaded is None or any(module.backend == "can" for module in loaded.modules)):
        findings += interface_findings(choice.settings)
        findings += listen_to_bus(choice, seconds)
    findings += look_at_graph(loaded, seconds)
    well = all_well(findings)
    if json is None:
        show(findings, Console())
    else:
        emit({"findings": [asdict(finding) for finding in findings], "verdict": "ok" if well else "something is wrong"},
             json, "")
    from v2g_nodes.nodes.spin import leave  # not before: rclpy reads the environment that was set for it

    leave(0 if well else 1)


def listen_to_bus(choice: BusChoice, seconds: float) -> list[Finding]:
    """What is heard on the bus.

    Args:
        choice: which bus.
        seconds: how long [s].

    Raises:
        InputError: settings that can never work, or a key that can't be used.
    """
    ratings_kw = {} if choice.station is None else {
        module.id: module_type(choice.station, module).p_max_kw for module in choice.station.modules
        if module.backend == "can"}  # fmt: skip
    reader, health = BusReader(choice.protection), BusHealth(ratings_kw)
    busy_s: dict[str, float] = defaultdict(float)
    with BusEar(choice.settings) as ear:
        for turn in ear.turns(seconds):
            for heard in turn:
                health.add(reader.read(heard))
                if len(heard.frame.payload) in LENGTHS:
                    busy_s[heard.bus] += frame_time_s(len(heard.frame.payload), choice.settings)
        states, missed = ear.states, ear.missed
    found = health.findings(states, {bus: busy_s[bus] / seconds for bus in states}, seconds)
    if missed:
        found.append(Finding("frames", NOTE, f"{missed} came but were missed", "this machine is too busy: try again"))
    return found


def look_at_graph(station: Station | None, seconds: float) -> list[Finding]:
    """Module nodes in this ROS domain.

    Args:
        station: names those that should be there, and how far to look; None = any, on this host.
        seconds: how long to look at least [s].
    """
    os.environ.update(network_environment(station, os.environ))
    try:
        from v2g_nodes.nodes.operator import Operator  # rclpy reads the environment when it starts
    except ImportError:  # told by the look at ROS 2 already
        return []
    expected = () if station is None else [module.id for module in station.modules]
    try:
        with Operator() as operator:
            seen = operator.look(max(seconds, DISCOVERY_S))
    except V2gError as error:
        return [Finding("ROS graph", WRONG, str(error), "see discovery above")]
    return findings_of_modules(expected, seen)
