"""`v2g bench domains`: two ROS domains joined by the CAN bus alone agree, part when it is cut, and merge again."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from v2g_nodes.bringup_network import network_environment
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.two_hosts import HOSTS, Side, Trial, TwoHosts, halves
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.can_cable import CanCable
from v2g_nodes.station import CanSection, Station, default_station, replace

SEGMENTS = ("239.255.43.11", "239.255.43.12")
ISLANDS_S = 6.0  # a cut lasts so long; islands agree within a part of it
MERGED_S = 1.0  # DESIGN: joining merges them within this time
LAMBDA_SPREAD = 1e-4  # relative
BALANCE = 1e-3  # of the rating


def bench_domains(
    modules: Annotated[int, typer.Option(help="Modules, 2 to 8, half of them on each host.")] = 8,
    cuts: Annotated[int, typer.Option(help="How often the bus is cut and joined, 0 to 1000.")] = 5,
    duration: Annotated[float, typer.Option(help="Time in which they agree before the first cut [s].")] = 20.0,
    domains: Annotated[str, typer.Option(metavar="N,M", help="The two ROS domains.")] = "1,2",
    seed: Annotated[int, typer.Option(help="Of the modules and the regulation signal.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what all processes log.")] = False,
    json: Json = None,
) -> None:
    """Two hosts that share nothing but a CAN-FD bus: one price, one target, islands when it is cut, one station again.

    Each host has half of the modules, a ROS domain, a bridge and a segment of the bus; a cable joins the segments.
    Hardware is played by stand-ins. Exit code 1 when a limit is missed.
    """
    bounds = (("--modules", modules, 2, 8), ("--cuts", cuts, 0, 1000), ("--seed", seed, 0, 2**31 - 1))
    for option, value, low, high in bounds:
        if not low <= value <= high:
            raise InputError(f"{option} {value}, allowed {low} to {high}")
    if not 1.0 <= duration <= 1e5:
        raise InputError(f"--duration {duration:g}, allowed 1 to 100000")
    check_writable(json)
    figures = _run(modules, _domains(domains), Trial(cuts, ISLANDS_S, duration, seed), verbose)
    emit(figures, json, "two ROS domains on one bus")
    raise typer.Exit(0 if figures["verdict"] == "ok" else 1)


def _run(modules: int, domains: tuple[int, int], trial: Trial, verbose: bool) -> dict[str, object]:
    port = 20000 + os.getpid() % 20000  # so that two of them do not hear each other
    sides = []
    for host, domain, channel in zip(HOSTS, domains, SEGMENTS, strict=True):
        station = host_station(modules, trial.seed, channel, port)
        environment = {**network_environment(station, os.environ), "ROS_DOMAIN_ID": str(domain)}
        sides.append(Side(host, station, environment))
    one, other = (CanSettings(channel=channel, port=port) for channel in SEGMENTS)
    with StopSignals() as stop, CanCable(one, other) as cable:
        found = TwoHosts(sides, cable, trial, stop, verbose).run()
    found.below("lambda_spread_max", LAMBDA_SPREAD)
    found.below("balance_error_kw_max", BALANCE * found.rating_kw)
    if trial.cuts:
        found.below("merge_s_max", MERGED_S)
    return {**found.figures, "domains": [*domains], "verdict": found.verdict}


def _domains(text: str) -> tuple[int, int]:
    numbers = [int(word) for word in text.split(",") if word.strip().isdecimal()]
    if len({*numbers}) != 2 or len(numbers) != text.count(",") + 1 or max(numbers) > 101:
        raise InputError(f"--domains {text}, allowed two different numbers from 0 to 101 such as 1,2")
    return numbers[0], numbers[1]


def host_station(modules: int, seed: int, channel: str, port: int) -> Station:
    """The station as the station file of one host has it: the same modules, its own segment of the bus.

    Args:
        modules: of both hosts.
        seed: of the modules.
        channel: segment of the bus.
        port: of the bus.
    """
    station = default_station(modules, "bus", seed=seed)
    changed = halves(station, backend="can")
    dispatch = station.dispatch.model_copy(update={"heartbeat_ms": 100.0})
    can = CanSection(channel=channel, port=port, stand_ins=True)
    return replace(station, modules=changed, topology=None, can=can, dispatch=dispatch)
