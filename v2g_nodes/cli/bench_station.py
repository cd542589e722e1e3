"""`v2g bench station`: the live station under steps, beside what bare messages and timers reach on the same machine."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from v2g_nodes.bringup import Overrides, ProcessPlan, process_plan, resolve_station
from v2g_nodes.cli.folders import run_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.run_station import RunOptions, run_station
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes.transport_floor import PROCESSES_MAX, TransportFloor, measure_transport
from v2g_nodes.station import CHOICES

MODULES = (2, 64)
DURATION_S = (5.0, 3600.0)
START_S = 17 * 3600.0  # local time of day; the evening, when the plan offers most
STEP_S = 2.0  # one step per epoch (dispatch.epoch_period_s)
STEP_PU = (0.25, 0.45)  # up and down in turn: as far as the ramp lets modules follow from one epoch to the next
MARGIN_S = 120.0  # of the step recording before the start and after the end
FLOOR_S = 3.0  # each time for ring and timers
EPOCH_MUST, JITTER_MUST, LATENCY_MUST_MS, BYTES_MUST = 2.5, 3.0, 100.0, 64
EPOCH_GOAL_MS, ROUND_GOAL_MS, JITTER_GOAL_MS, LATENCY_GOAL_MS = 20.0, 1.0, 1.0, 10.0


@dataclass(frozen=True)
class Floor:
    """Bare messages and timers, before and after the station; means of both.

    Args:
        round_ms: median round of a ring without computation [ms].
        hop_p99_ms: 99th percentile from publishing to callback [ms].
        timer_p99_ms: 99th percentile of the lateness of bare 200 Hz timers at normal priority [ms].
        real_time_p99_ms: the same in the real-time class, in which droop runs where permitted [ms]; NaN where not.
    """

    round_ms: float
    hop_p99_ms: float
    timer_p99_ms: float
    real_time_p99_ms: float = math.nan


def bench_station(
    modules: Annotated[int, typer.Option(help=f"Modules, {MODULES[0]} to {MODULES[1]}.")] = 8,
    topology: Annotated[str, typer.Option(help=f"Who hears whom: {', '.join(CHOICES['topology'])}.")] = "ring",
    duration: Annotated[float, typer.Option(help="Length of the run [s].")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of the steps and the default station.")] = 0,
    json: Json = None,
) -> None:
    """Run the default station under a step of the regulation signal in every epoch, and measure the floors.

    Floors are the same messages without computation and bare timers, taken right before and after on the same machine;
    times on shared cores mean little without them.
    """
    _in_range("--modules", modules, MODULES)
    _in_range("--duration", duration, DURATION_S)
    check_writable(json)
    with run_folder() as folder:
        steps = folder / "steps.csv"
        write_steps(steps, duration, seed)
        overrides = Overrides(modules=modules, topology=topology, signal_csv=str(steps), start="17:00",
                              duration_s=duration, seed=seed)
        plan = process_plan(resolve_station(None, overrides), overrides)
        before = _measure(plan, modules, "before")
        result = run_station(RunOptions(overrides=overrides))
        after = _measure(plan, modules, "after")
    floor = Floor(*((a + b) / 2.0 for a, b in (
        (before.round_ms_median, after.round_ms_median), (before.hop_ms_p99, after.hop_ms_p99),
        (before.timer_jitter_ms_p99, after.timer_jitter_ms_p99),
        (_real_time_p99_ms(before), _real_time_p99_ms(after)))))  # fmt: skip
    figures = compare(result.figures, floor)
    if json is None:
        Console().print(comparison_table(figures))
    emit(figures, json, f"station of {modules} modules under steps")
    raise typer.Exit(0 if result.ok else 1)


def _real_time_p99_ms(floor: TransportFloor) -> float:
    found = floor.timer_jitter_real_time_ms_p99
    return math.nan if found is None else found


def write_steps(path: Path, duration_s: float, seed: int) -> None:
    """A recording of the regulation signal that steps up and down in turn.

    Args:
        path: CSV to write.
        duration_s: length of the run from 17:00 on [s].
        seed: of the heights.
    """
    random = np.random.default_rng(seed)
    times = np.arange(START_S - MARGIN_S, START_S + duration_s + MARGIN_S, STEP_S)
    heights = random.uniform(*STEP_PU, times.size) * np.where(np.arange(times.size) % 2, 1.0, -1.0)
    rows = [f"{time:g},{height:.4f}" for time, height in zip(times, heights, strict=True)]
    path.write_text("\n".join(["second_of_day,signal_pu", *rows]) + "\n", encoding="utf-8")


def compare(figures: Mapping[str, object], floor: Floor) -> dict[str, object]:
    """The run's figures with the floors and the ratios to them.

    Args:
        figures: of the run, as `up` gives them.
        floor: of the same machine.
    """
    rounds, epoch_ms = _value(figures, "rounds_median"), _value(figures, "epoch_ms_median")
    return dict(figures) | {
        "transport_round_ms_median": floor.round_ms,
        "epoch_over_floor": epoch_ms / (rounds * floor.round_ms),
        "timer_jitter_ms_p99": floor.timer_p99_ms,
        "hop_ms_p99": floor.hop_p99_ms,
        "droop_jitter_over_floor": _value(figures, "droop_jitter_ms_p99") / floor.timer_p99_ms,
        "timer_jitter_real_time_ms_p99": floor.real_time_p99_ms,
        "droop_jitter_over_real_time_floor": _value(figures, "droop_jitter_ms_p99") / floor.real_time_p99_ms,
        "real_time": not math.isnan(floor.real_time_p99_ms),
    }


def comparison_table(figures: Mapping[str, object]) -> Table:
    """Station against floor, what is asked for, and the goals in milliseconds with what stands in their way.

    Args:
        figures: of `compare`.
    """
    def value(key: str) -> float:
        return _value(figures, key)

    floor_ms = value("rounds_median") * value("transport_round_ms_median")
    latency_must = min(1000.0 / value("droop_rate_hz") + 3.0 * value("hop_ms_p99"), LATENCY_MUST_MS)
    rows = (
        ("epoch, median [ms]", value("epoch_ms_median"), floor_ms, EPOCH_MUST * floor_ms, EPOCH_GOAL_MS),
        ("round, median [ms]", value("round_ms_median"), value("transport_round_ms_median"), None, ROUND_GOAL_MS),
        ("droop jitter, p99 [ms]", value("droop_jitter_ms_p99"), value("timer_jitter_ms_p99"),
         JITTER_MUST * value("timer_jitter_ms_p99"), JITTER_GOAL_MS),
        ("signal to set-point, p99 [ms]", value("signal_to_setpoint_ms_p99"), value("hop_ms_p99"), latency_must,
         LATENCY_GOAL_MS),
        ("message [B]", value("bytes_per_message_max"), None, float(BYTES_MUST), None),
        ("droop ticks missed", value("droop_overruns"), None, None, None),
    )
    table = Table(title="against the floors of this machine", caption=_real_time_text(figures))
    for title in ("", "station", "floor", "ratio", "must be at most", "", "goal", ""):
        table.add_column(title, justify="left" if title == "" else "right")
    for what, station, floor, must, goal in rows:
        ratio = "" if floor is None else f"{station / floor:.2f}"
        table.add_row(what, f"{station:.3g}", _shown(floor), ratio, _shown(must), _judged(station, must, "red"),
                      _shown(goal), _judged(station, goal, "yellow"))
    return table


def _judged(station: float, limit: float | None, color: str) -> str:
    return "" if limit is None else "[green]kept[/]" if station <= limit else f"[{color}]missed[/]"


def _real_time_text(figures: Mapping[str, object]) -> str:
    """How control was scheduled, and with it the bare timers of the same class: what the machine can do."""
    if not figures.get("real_time"):
        return "normal priority: the real-time class is not permitted here, v2g doctor says what to set"
    floor_ms = _value(figures, "timer_jitter_real_time_ms_p99")
    ratio = _value(figures, "droop_jitter_over_real_time_floor")
    return f"real-time class (SCHED_FIFO); bare timers in it: p99 {floor_ms:.3g} ms, droop {ratio:.3g} times that"


def _measure(plan: ProcessPlan, modules: int, when: str) -> TransportFloor:
    """The ring spread over as many processes as the station's optimizers."""
    optimizers = sum(any(node.kind == "optimizer" for node in process.nodes) for process in plan.processes)
    print(f"v2g │ measuring bare messages and timers {when} the run", file=sys.stderr, flush=True)
    with StopSignals() as stop:
        return measure_transport(modules, min(optimizers, PROCESSES_MAX), FLOOR_S, lambda: stop.requested)


def _value(figures: Mapping[str, object], key: str) -> float:
    found = figures.get(key)
    return float(found) if isinstance(found, (int, float)) else float("nan")


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"


def _in_range(option: str, value: float, allowed: tuple[float, float]) -> None:
    if not allowed[0] <= value <= allowed[1]:
        raise InputError(f"{option} {value:g}, allowed {allowed[0]:g} to {allowed[1]:g}")
