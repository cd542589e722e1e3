"""`v2g plan network`: vehicles and power flow of a radial grid together, with a certificate."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.network_inputs import NetworkOptions, read_network
from v2g_nodes.cli.network_runs import METHODS, Asked, run_method
from v2g_nodes.cli.network_table import show_figures
from v2g_nodes.cli.output import Json, check_writable
from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import TOPOLOGIES
from v2g_nodes.planning.network.instance_file import EFFICIENCY_AT
from v2g_nodes.planning.network.peers import PEERS
from v2g_nodes.planning.network.samples import ARRIVALS
from v2g_nodes.planning.network.two_stage import Settings

SOLVERS = ("scipy.sparse", "clarabel", "highspy")


def plan_network(
    instance: Annotated[str | None, typer.Option(metavar="JSON", help="A day to plan, as a file.")] = None,
    case: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.m", help="Make a day on this MATPOWER case, as case18 or case69.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Names the day that is made.")] = 0,
    stations: Annotated[
        str | None, typer.Option(metavar="BUSES", help="Buses of the stations of that day, as 6,22. [default: 6]")
    ] = None,
    cap: Annotated[float | None, typer.Option(help="Most that each station may draw in kW. [default: no cap]")] = None,
    slots: Annotated[int, typer.Option(help="Slots of the day that is made, a multiple of 24.")] = 24,
    arrivals: Annotated[
        str, typer.Option(help=f"{' or '.join(ARRIVALS)}: one after another at each place, or so many every hour.")
    ] = "spots",
    spots: Annotated[int, typer.Option(help="Places of a station, or most arrivals per hour.")] = 5,
    load_factor: Annotated[float, typer.Option(help="Of all loads of the case.")] = 1.0,
    prices: Annotated[str | None, typer.Option(metavar="CSV", help="Day-ahead price of that day.")] = None,
    save: Annotated[str | None, typer.Option(metavar="FILE", help="Keep the day that is made as an instance.")] = None,
    efficiency_at: Annotated[
        str,
        typer.Option(
            help=f"Which side of the charger its losses show at: {', '.join(EFFICIENCY_AT)}. "
            "grid: powers are the battery's, as in the source."
        ),
    ] = "grid",
    line_charging: Annotated[bool, typer.Option("--line-charging", help="Count the charging of lines.")] = False,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "certified",
    gap: Annotated[float, typer.Option(help="Relative gap between plan and bound that is asked for.")] = 1e-6,
    seconds_max: Annotated[float, typer.Option(help="Ends then with what it has.")] = 600.0,
    radius: Annotated[str, typer.Option(metavar="LIST", help="two-stage: radii of stage 2, as 0,5,20.")] = "0,1,5,20",
    penalty: Annotated[float, typer.Option(help="two-stage: μ in EUR.")] = 0.5,
    threshold: Annotated[float, typer.Option(help="two-stage: nearer to 0 or 1 than this is integral.")] = 0.01,
    change: Annotated[float, typer.Option(help="two-stage: relative change of the cost at which stage 1 ends.")] = 1e-6,
    fractional: Annotated[float, typer.Option(help="two-stage: sum of z - z² at which stage 1 ends.")] = 1e-3,
    rounds_max: Annotated[int, typer.Option(help="two-stage: most rounds of stage 1.")] = 50,
    topology: Annotated[
        str, typer.Option(help=f"distributed: how stations are linked: {', '.join(TOPOLOGIES)}.")
    ] = "ring",
    loss: Annotated[float, typer.Option(help="distributed: share of frames lost, 0 to 0.9.")] = 0.0,
    surprise: Annotated[
        float, typer.Option(help="rolling: largest change of arrival and departure in hours against the forecast.")
    ] = 2.0,
    absent: Annotated[float, typer.Option(help="rolling: share of forecast vehicles that never come.")] = 0.1,
    peer: Annotated[
        list[str] | None, typer.Option(help=f"Solve the same by a peer too: {', '.join(PEERS)}; may be repeated.")
    ] = None,
    peer_runs: Annotated[int, typer.Option(help="Runs of each peer; the median time counts.")] = 1,
    peer_seconds: Annotated[float, typer.Option(help="Time limit of a peer.")] = 300.0,
    schedule: Annotated[
        str | None, typer.Option(metavar="CSV", help="Write vehicle, slot, power_kw, energy_kwh of the plan.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write report.html: diagram, prices, power, SOC, cost, studies.")
    ] = None,
    json: Json = None,
) -> None:
    """Plan vehicles at stations of a radial grid, so that generation and energy of vehicles cost least together.

    certified: vehicles answer slot prices; ends with a plan that an AC power flow confirms and a lower bound that no
    plan is below. two-stage: the source's method for several radii. rolling: plans again in each slot with the
    vehicles that really came. distributed: stations exchange slot prices with neighbours only.

    Powers of vehicles are the battery's, above 0 charges. Where not all can be had, the best effort is planned and the
    reasons are told (feasible: false, exit code 1). lower_bound_eur is that of the relaxed power flow; where an upper
    voltage limit binds it may be loose (loose_slots), and ac_bound_eur is that of plans an AC power flow keeps; the
    exit code goes by ac_gap. The times are those of solving, without reading files and loading
    libraries, for peers too.
    """
    if method not in METHODS:
        raise InputError(f"--method {method}: allowed {', '.join(METHODS)}")
    if topology not in TOPOLOGIES:
        raise InputError(f"--topology {topology}: allowed {', '.join(TOPOLOGIES)}")
    for one in peer or []:
        if one not in PEERS:
            raise InputError(f"--peer {one}: allowed {', '.join(PEERS)}")
    _check_ranges(
        (("--gap", gap, 0.0, 1.0), ("--seconds-max", seconds_max, 0.1, 1e6), ("--penalty", penalty, 0.0, 1e6),
         ("--threshold", threshold, 0.0, 0.499), ("--change", change, 0.0, 1.0), ("--fractional", fractional, 0.0, 1e6),
         ("--rounds-max", rounds_max, 1, 1000), ("--loss", loss, 0.0, 0.9), ("--surprise", surprise, 0.0, 24.0),
         ("--absent", absent, 0.0, 1.0), ("--peer-runs", peer_runs, 1, 100),
         ("--peer-seconds", peer_seconds, 1.0, 1e6)),
    )  # fmt: skip
    for path, option in ((json, "--json"), (schedule, "--schedule"), (save, "--save")):
        check_writable(path, option)
    settings = Settings(penalty, change, fractional, rounds_max, threshold, seconds_max=seconds_max)
    day, notes = read_network(NetworkOptions(
        instance, case, seed, stations, cap, slots, arrivals, spots, load_factor, prices, efficiency_at, line_charging,
        save,
    ))  # fmt: skip
    folder = prepare_folder(report, "--report") if report is not None else None
    for library in SOLVERS:  # loaded before any clock runs
        importlib.import_module(library)
    asked = Asked(day, method, gap, seconds_max, _radii(radius), settings, topology, loss, surprise, absent, seed,
                  tuple(peer or ()), peer_runs, peer_seconds, notes)  # fmt: skip
    run = run_method(asked)
    if schedule is not None:
        from v2g_nodes.cli.network_schedule import write_schedule

        write_schedule(schedule, run.plan)
    if folder is not None:
        from v2g_nodes.cli.network_report import write_report

        write_report(folder, run)
    show_figures(run.figures, json)
    if not run.figures["feasible"] or run.figures["ac_gap"] is None or run.figures["ac_gap"] > run.gap_allowed:
        raise typer.Exit(1)


def _check_ranges(ranges: tuple[tuple[str, float, float, float], ...]) -> None:
    for name, value, low, high in ranges:
        check_range(name, value, low, high)


def _radii(text: str) -> tuple[int, ...]:
    try:
        radii = tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise InputError(f"--radius {text}: allowed are whole numbers, as 0,5,20") from error
    if min(radii) < 0:
        raise InputError(f"--radius {text}: allowed are numbers from 0 up")
    return radii
