"""`v2g bench hosts`: two hosts on one network agree, part when it is cut, merge again, go on when packets get lost."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from v2g_nodes.bringup_network import network_environment
from v2g_nodes.cli.host_network import LOSS_MAX, NETWORK, HostNetwork, addresses
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.two_hosts import HOSTS, Side, Trial, TwoHosts, halves
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import CHOICES, Station, default_station, replace

GAP = 1e-3  # DESIGN section 5
SUM = 1e-3  # of the rating, as for the balance of an agreement
PARTICIPANTS = 8  # modules of a host share a process: two hosts' worth of processes run on this machine


def bench_hosts(
    modules: Annotated[int, typer.Option(help="Modules on each host, 1 to 8.")] = 4,
    cuts: Annotated[int, typer.Option(help="How often the network is cut and joined, 0 to 1000.")] = 2,
    cut: Annotated[float, typer.Option(help="For how long each time [s].")] = 5.0,
    loss: Annotated[float, typer.Option(help=f"Share of packets lost at the end, 0 to {LOSS_MAX:g}; 0 = none.")] = 0.2,
    duration: Annotated[
        float, typer.Option(help="Time in which they agree, before the first cut and with losses [s].")
    ] = 20.0,
    topology: Annotated[str, typer.Option(help=f"Who hears whom: {', '.join(CHOICES['topology'])}.")] = "ring",
    seed: Annotated[int, typer.Option(help="Of the modules and the regulation signal.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what all processes log.")] = False,
    json: Json = None,
) -> None:
    """Two hosts, each with half of a station: one price bit for bit, islands when they are parted, one station again.

    The hosts are network namespaces of this machine (needs root, iproute2 and nftables), joined by a bridge that is cut
    and that drops packets; nodes find each other by static peers. Exit code 1 when a limit is missed.
    """
    bounds = (("--modules", modules, 1, 8), ("--cuts", cuts, 0, 1000), ("--seed", seed, 0, 2**31 - 1),
              ("--loss", loss, 0.0, LOSS_MAX), ("--cut", cut, 2.0, 1e5), ("--duration", duration, 1.0, 1e5))
    for option, value, low, high in bounds:
        if not low <= value <= high:
            raise InputError(f"{option} {value:g}, allowed {low:g} to {high:g}")
    check_writable(json)
    station = two_host_station(modules, topology, seed)
    with StopSignals() as stop, HostNetwork(len(HOSTS)) as network:

        def lose(on: bool) -> None:
            network.loss = loss if on else 0.0

        sides = [Side(host, station, network_environment(station, os.environ, address), network.enter(number))
                 for number, (host, address) in enumerate(zip(HOSTS, addresses(len(HOSTS)), strict=True))]
        trial = Trial(cuts, cut, duration, seed, lose if loss else None)
        found = TwoHosts(sides, network, trial, stop, verbose).run()
    keys = ("", "lossy_") if loss else ("",)
    for key in keys:
        found.below(f"{key}gap_max", GAP)
        found.below(f"{key}balance_error_kw_max", GAP * found.rating_kw)
        if found.figures[f"{key}lambda_spread_max"] != 0.0:
            found.faults.append(f"{key}lambda_spread_max {found.figures[f'{key}lambda_spread_max']}, allowed 0")
    found.below("sum_above_target_kw_max", SUM * found.rating_kw)
    figures = {**found.figures, "loss": loss, "cut_s": cut, "verdict": found.verdict}
    emit(figures, json, "two hosts on one network")
    raise typer.Exit(0 if found.verdict == "ok" else 1)


def two_host_station(modules: int, topology: str, seed: int) -> Station:
    """The station as the station file of both hosts has it.

    Args:
        modules: on each host.
        topology: who hears whom.
        seed: of the modules.
    """
    station = default_station(len(HOSTS) * modules, topology, seed=seed)
    network = station.network.model_copy(update={
        "discovery": "peers", "peers": tuple(addresses(len(HOSTS))), "interface": NETWORK,
        "max_participants": PARTICIPANTS})
    return replace(station, modules=halves(station), network=network)

