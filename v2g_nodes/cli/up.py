"""`v2g up`: run a station."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.bringup import Overrides
from v2g_nodes.cli.folders import new_folder, prepare_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.run_station import RunOptions, RunResult, run_station
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import MODULES_MAX
from v2g_nodes.station import CHOICES

DURATION_S = (1.0, 1e7)
SPEED = (0.01, 1000.0)


def up(
    station: Annotated[str | None, typer.Option(metavar="FILE", help="Station file (see config/station.yaml).")] = None,
    modules: Annotated[
        int | None, typer.Option(help=f"Modules of the default station, 1 to {MODULES_MAX}. [default: 8]")
    ] = None,
    topology: Annotated[
        str | None, typer.Option(help=f"Who hears whom: {', '.join(CHOICES['topology'])}. [default: ring]")
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(help=f"How they agree: {', '.join(CHOICES['algorithm'])}.")
    ] = None,
    privacy: Annotated[
        str | None, typer.Option(
            help=f"{' or '.join(CHOICES['privacy'])}: modules hide their supply curves from each other. [default: none]"
        )
    ] = None,
    frequency: Annotated[
        str | None, typer.Option(metavar="CSV", help="Recording of grid frequency; without: synthetic, seeded.")
    ] = None,
    prices: Annotated[str | None, typer.Option(metavar="CSV", help="Recording of prices; without: synthetic.")] = None,
    signal: Annotated[
        str | None, typer.Option(metavar="CSV", help="Recording of the regulation signal; without: synthetic.")
    ] = None,
    regulation_prices: Annotated[
        str | None,
        typer.Option(metavar="CSV", help="Recording of regulation prices (rmccp, rmpcp); without: those of a made day.")
    ] = None,
    planner: Annotated[
        str | None, typer.Option(help=f"How the plan is made: {', '.join(CHOICES['planner'])}.")
    ] = None,
    sessions: Annotated[
        str | None, typer.Option(metavar="CSV", help="Charging sessions; without: a vehicle at every module.")
    ] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of recordings that hold many. [default: first]")
    ] = None,
    sessions_day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of the sessions. [default: --day, else their first]")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Local time at the start. [default: start of the recordings]")
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="Length of the run in seconds of the station's time. [default: until Ctrl-C]")
    ] = None,
    speed: Annotated[float, typer.Option(help="The station's time over wall time.")] = 1.0,
    response: Annotated[
        str | None, typer.Option(help=f"Grid frequency: {', '.join(CHOICES['response'])}. [default: recorded]")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run only this host's modules (key `host` of the station file).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send no frame to hardware on the CAN bus.")] = False,
    max_kw: Annotated[float | None, typer.Option(help="Cap on every module's power [kW], for commissioning.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the synthetic day and the default station. [default: 0]")] = None,
    report: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write report.html, summary.json, series, figure and logs there.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(metavar="DIR", help="Record all topics there as a rosbag2 folder, for `v2g replay`.")
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="No live table.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all log lines, not only warnings.")] = False,
    json: Json = None,
) -> None:
    """Run a station: every module in processes of its own, agreeing over ROS 2 or a CAN-FD bus.

    Modules are simulated unless the station file says `backend: can`; hardware is not energised before `v2g arm`.

    Ends after --duration or with Ctrl-C; a second Ctrl-C ends it at once. Exit code 0 when everything was as it should
    be (`verdict` is "ok"), 1 when not, 2 for bad input.
    """
    _in_range("--duration", duration, DURATION_S)
    _in_range("--speed", speed, SPEED)
    check_writable(json)
    overrides = Overrides(
        modules=modules, topology=topology, algorithm=algorithm, privacy=privacy, frequency_csv=frequency,
        prices_csv=prices, signal_csv=signal, market_csv=regulation_prices, planner=planner, sessions_csv=sessions,
        day=day, sessions_day=sessions_day, start=start,
        duration_s=None if duration is None else duration / speed, speed=speed, seed=seed, response=response,
        max_kw=max_kw, host=host, dry_run=dry_run, record_dir=new_folder(record, "--record"),
    )  # fmt: skip
    folder = None if report is None else prepare_folder(report, "--report")
    result = run_station(RunOptions(station, overrides, live=not headless, verbose=verbose, keep=folder))
    if folder is not None:
        _write_report(folder, result)
    emit(result.figures, json, result.station.name)
    raise typer.Exit(0 if result.ok else 1)


def _write_report(folder: Path, result: RunResult) -> None:
    from v2g_nodes.cli.report import write_report  # matplotlib takes a second to import

    print(f"v2g │ report: {write_report(folder, result)}", file=sys.stderr)


def _in_range(option: str, value: float | None, allowed: tuple[float, float]) -> None:
    if value is not None and not (math.isfinite(value) and allowed[0] <= value <= allowed[1]):
        raise InputError(f"{option} {value:g}, allowed {allowed[0]:g} to {allowed[1]:g}")
