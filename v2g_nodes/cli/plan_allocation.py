"""`v2g plan allocation`: active and reactive power of a fleet by output consensus."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.cli.allocation_inputs import AllocationOptions, Inputs, read_inputs
from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.checks import check_positive
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.allocation.allocation import Allocation, allocate
from v2g_nodes.planning.allocation.slot_graph import GRAPHS
from v2g_nodes.planning.allocation.studies import run_studies
from v2g_nodes.planning.allocation.summary import summary

COLUMNS = ("vehicle", "slot", "start_h", "power_kw", "reactive_kvar", "soc_kwh")


def plan_allocation(
    vehicles: Annotated[
        int | None, typer.Option(help="Vehicles: equal ones, or random ones with --seed. [default: 6]")
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(help="Slots of the plan. [default: 12; 24 with --load, 96 with --sessions; as --fleet says]"),
    ] = None,
    slot_h: Annotated[
        float | None, typer.Option(help="Width of a slot in hours. [default: 1, or 24/slots if there are more than 24]")
    ] = None,
    commitment: Annotated[
        float | None,
        typer.Option(
            help="α of all, 0.001 to 1: 1 follows the owner's reference alone, small ones help the grid "
            "(the smaller the shorter the slots). "
            "[default: 0.05; with --seed each its own, 0.025 to 0.1]"
        ),
    ] = None,
    smoothing: Annotated[
        float, typer.Option(help="β, 0 to 1: 1 smooths the load from slot to slot, 0 flattens it to its mean.")
    ] = 1.0,
    barrier: Annotated[
        float | None,
        typer.Option(help="ε of the barriers in kWh². [default: shrinks until the barriers cost nothing that matters]"),
    ] = None,
    graph: Annotated[
        str, typer.Option(help=f"Which slots of a vehicle exchange energy: {', '.join(GRAPHS)}.")
    ] = "complete",
    seed: Annotated[int | None, typer.Option(help="Random vehicles that differ in everything; names them.")] = None,
    fleet: Annotated[
        str | None,
        typer.Option(
            metavar="CSV",
            help="A vehicle per row, columns all optional: vehicle, arrival_slot, departure_slot, soc_start_kwh, "
            "soc_goal_kwh, soc_min_kwh, soc_max_kwh, power_kw, rating_kva, commitment.",
        ),
    ] = None,
    sessions: Annotated[
        str | None, typer.Option(metavar="CSV", help="A vehicle per charging session: arrival, departure, energy_kwh.")
    ] = None,
    power_kw: Annotated[float, typer.Option(help="Charger of vehicles from files that don't say.")] = 3.3,
    battery_kwh: Annotated[float, typer.Option(help="Battery of vehicles from files that don't say.")] = 24.0,
    load: Annotated[
        str | None,
        typer.Option(metavar="CSV", help="Load without vehicles: time, site_load_kw and, optional, site_load_kvar."),
    ] = None,
    load_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the load file, of any name, such as a profile's.")
    ] = None,
    load_kw: Annotated[float | None, typer.Option(help="Mean of the load over the plan. [default: as it is]")] = None,
    power_factor: Annotated[float, typer.Option(help="Of the load, where no reactive load is given.")] = 0.95,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Day of the sessions, else of the load. [default: first]")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="HH:MM", help="Local time of the first slot. [default: start of the files]")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="FILE", help=f"Write the plan as CSV: {', '.join(COLUMNS)}.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write report.html with all figures, and their numbers as JSON.")
    ] = None,
    json: Json = None,
) -> None:
    """Plan the power of each vehicle and slot so that the grid's load is smooth and every vehicle leaves charged.

    Each vehicle shifts energy between its own slots, from those with a high marginal cost to those with a low one,
    until all are equal; it hears of the others through the load of the grid alone. Its battery and charger limits
    hold at every step and its energy is met at every step. Reactive power follows, within what the charger's rating
    leaves beside the active power. The result is compared with the optimum found centrally.

    Signs in all results: power_kw above 0 discharges to the grid, reactive_kvar above 0 supplies it; loads above 0
    consume. Roughness is the sum of squared steps of the load from slot to slot, in kW². "Without" is the load
    without vehicles, "uncoordinated" with vehicles that follow their owners' references.
    """
    if graph not in GRAPHS:
        raise InputError(f"--graph {graph}: allowed {', '.join(GRAPHS)}")
    if barrier is not None:
        check_positive("--barrier", barrier, "kWh²")
    inputs = read_inputs(AllocationOptions(
        vehicles, slots, slot_h, commitment, smoothing, seed, power_kw, battery_kwh, fleet, sessions, load,
        load_column, load_kw, power_factor, day, start,
    ))  # fmt: skip
    check_writable(json)
    check_writable(schedule, "--schedule")
    folder = prepare_folder(report, "--report") if report is not None else None
    began = time.perf_counter()
    with _counter("plan") as heard:
        allocation = allocate(inputs.problem, graph, barrier, heard)
    seconds = time.perf_counter() - began
    figures = {**_ordered(summary(allocation), seconds, graph), "energy_short_kwh": inputs.short_kwh}
    if schedule is not None:
        _write_schedule(allocation, schedule)
    if folder is not None:
        _report(folder, inputs, allocation, figures, graph)
    emit(figures, json, title="allocation")


def _ordered(found: dict[str, object], seconds: float, graph: str) -> dict[str, object]:
    """The figures with the time of the plan behind those of the issue."""
    keys = list(found)
    cut = keys.index("iterations") + 1
    return {**{key: found[key] for key in keys[:cut]}, "seconds": seconds, "graph": graph,
            **{key: found[key] for key in keys[cut:]}}  # fmt: skip


def _write_schedule(allocation: Allocation, path: str) -> None:
    problem = allocation.problem
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for k, vehicle in enumerate(problem.vehicles):
                for slot in range(vehicle.arrival_slot, vehicle.departure_slot):
                    values = (allocation.power_kw, allocation.reactive_kvar, allocation.soc_kwh)
                    row = [repr(float(each[k, slot])) for each in values]
                    writer.writerow([vehicle.name, slot, f"{slot * problem.slot_h:g}", *row])
    except OSError as error:
        raise InputError(f"--schedule {path}: {error.strerror}") from error


def _report(folder: Path, inputs: Inputs, allocation: Allocation, figures: dict[str, object], graph: str) -> None:
    from v2g_nodes.cli.allocation_report import write_report  # matplotlib takes a second to import

    with _counter("studies") as heard:
        studies = run_studies(inputs.problem, inputs.spare, graph, heard)
    write_report(folder, inputs.notes, allocation, figures, studies)


@contextmanager
def _counter(what: str) -> Iterator[Callable[[], None]]:
    """Counts steps on the terminal, if standard error is one."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}: step {task.completed:.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda: progress.advance(task)
