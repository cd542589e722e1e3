"""`v2g bench transport`: the floors of this machine, bare ROS messages in a ring and bare timers."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from v2g_nodes.cli.output import Json, emit
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.nodes.transport_floor import measure_transport


def bench_transport(
    modules: Annotated[int, typer.Option(help="Modules on the ring, and bare tickers; 2..64.")] = 8,
    processes: Annotated[
        int | None, typer.Option(help="Processes the modules are spread over, at most 32. [default: one per module]")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for the ring and for the tickers, each [s]; 0.5..600.")] = 4.0,
    json: Json = None,
) -> None:
    """Measure what ROS messages and timers cost on this machine without any computation.

    A ring of modules passes a message of the size of one round to both neighbours and waits for theirs; then one bare
    200 Hz ticker per module runs in a process of its own. What the station is measured against comes from here.
    """
    count = min(modules, 32) if processes is None else processes
    print(f"{modules} modules in {count} processes, then {modules} tickers, {seconds:g} s each", file=sys.stderr)
    with StopSignals() as stop:  # an exception raised in the wrong place gets lost, and Ctrl-C with it
        floor = measure_transport(modules, count, seconds, lambda: stop.requested)
    emit(dataclasses.asdict(floor), json, f"Transport, {modules} modules in {count} processes")
