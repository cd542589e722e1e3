"""`v2g scenario`: stations and days as data with a verdict, simulated faster than real time or run live."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.scenario_figures import FIGURES, ScenarioResult
from v2g_nodes.sim.scenario_file import NAMES, SEED_MAX, Scenario, load_scenario, shortened

ALL = "ALL"


def scenario(
    name: Annotated[str, typer.Argument(metavar="NAME|all", help=f"One of {', '.join(NAMES)}, or all; in any case.")],
    seed: Annotated[
        int | None, typer.Option(help="Of modules, signals and losses. [default: the scenario's own]")
    ] = None,
    algorithm: Annotated[str, typer.Option(help=f"How the modules agree: {', '.join(METHODS)}.")] = "supply_curve",
    duration: Annotated[
        float | None, typer.Option(help="Shorten to so many seconds; failures move in proportion. [default: all of it]")
    ] = None,
    figure: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw power, price and charge: .png, .svg or .html.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Run in the live ROS graph at real time, with the verdict of `v2g up`.")
    ] = False,
    json: Json = None,
) -> None:
    """Play a scenario and judge it: agents exchange frames over the simulated network, droop and hardware are stepped.

    BASIC: 10 modules, constant target, 1 h. TRACKING: steps each 15 min, 4 h. FREQUENCY: 50 modules answer grid
    frequency, 1 h. ARBITRAGE: 50 modules trade for a day. SCALE: 200 modules, 1 h. ROBUST: 50 modules, 10 % loss and
    two failures, 2 h. Data and limits, each with its reason, are in config/scenarios/.

    Exit code 0 when every verdict is met, 1 when one is not, 2 for bad input.
    """
    if algorithm not in METHODS:
        raise InputError(f"--algorithm {algorithm}: allowed {', '.join(METHODS)}")
    if seed is not None and not 0 <= seed <= SEED_MAX:
        raise InputError(f"--seed {seed}: allowed 0 to {SEED_MAX}")
    names = NAMES if name.upper() == ALL else (name,)
    chosen = [_changed(load_scenario(each, FIGURES), seed, duration) for each in names]
    check_writable(json)
    if live:
        _live(chosen, algorithm, figure, json)
        return
    _simulated(chosen, algorithm, duration is None, figure, json)


def _changed(chosen: Scenario, seed: int | None, duration_s: float | None) -> Scenario:
    if seed is not None:
        chosen = chosen.model_copy(update={"seed": seed})
    if duration_s is None:
        return chosen
    if not (math.isfinite(duration_s) and chosen.epoch_s <= duration_s <= chosen.duration_s):
        raise InputError(
            f"--duration {duration_s:g}: allowed {chosen.epoch_s:g} to {chosen.duration_s:g} s for {chosen.name}"
        )
    return shortened(chosen, duration_s)


def _simulated(chosen: Sequence[Scenario], algorithm: str, whole: bool, figure: str | None, json: str | None) -> None:
    from v2g_nodes.cli.scenario_figure import check_figure, write_figure  # matplotlib takes a second to import
    from v2g_nodes.cli.scenario_table import faults, summary, table

    check_figure(figure)
    results = _play(chosen, algorithm)
    if figure is not None:
        write_figure(results, figure)
    if json is None:
        Console().print(table(results, whole))
    _end([summary(result, whole) for result in results], sum(not faults(result, whole) for result in results), json)


def _play(chosen: Sequence[Scenario], algorithm: str) -> list[ScenarioResult]:
    from v2g_nodes.cli.scenario_pool import play_all

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} "
               "epochs"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = [progress.add_task(each.name, total=each.epochs) for each in chosen]
        return play_all(chosen, algorithm, len(os.sched_getaffinity(0)),
                        lambda place, epochs: progress.update(tasks[place], completed=epochs))


def _live(chosen: Sequence[Scenario], algorithm: str, figure: str | None, json: str | None) -> None:
    from v2g_nodes.cli.scenario_live import check_live, run_live

    if figure is not None:
        raise InputError("--figure with --live: allowed in simulation; `v2g up --report` draws a live run")
    for each in chosen:
        check_live(each)
    runs = {each.name: run_live(each, algorithm, headless=json is not None) for each in chosen}
    if json is None:
        for name, run in runs.items():
            emit(run.figures, None, f"{name}, live")
    listed = [{"name": name, "live": True, **run.figures} for name, run in runs.items()]
    _end(listed, sum(run.ok for run in runs.values()), json)


def _end(listed: Sequence[Mapping[str, object]], met: int, json: str | None) -> NoReturn:
    """Write the JSON, if it is asked for, and end with the exit code."""
    good = met == len(listed)
    if json is not None:
        emit({"scenarios": listed, "met": met, "verdict": "ok" if good else "not met"}, json, "scenarios")
    raise typer.Exit(0 if good else 1)
