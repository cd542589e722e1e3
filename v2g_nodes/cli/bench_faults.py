"""`v2g bench faults`: processes killed and stopped, links cut, messages lost, damaged and untrue, in the live graph."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from v2g_nodes.bringup import (
    NodeSpec,
    Overrides,
    Parameter,
    ProcessPlan,
    ProcessSpec,
    droop_gain_kw_per_hz,
    process_plan,
    rating_kw,
    resolve_station,
)
from v2g_nodes.bringup_dds import remove_dead_segments, uses_our_profile
from v2g_nodes.bringup_network import network_environment
from v2g_nodes.bringup_parameters import run_parameters
from v2g_nodes.cli.fault_arena import Arena, Outcome, StationEndError
from v2g_nodes.cli.fault_figures import Trial, fault_table, slow, summarise
from v2g_nodes.cli.fault_runs import DURATION_S, LONG_S, RUN_KINDS, Left, UpRun
from v2g_nodes.cli.fault_trials import LIVE_KINDS
from v2g_nodes.cli.fault_watch import Watch
from v2g_nodes.cli.folders import run_folder
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.processes import Event
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.supervisor import Supervisor, Times
from v2g_nodes.cli.view import PatientConsole
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import CHOICES, Station, module_type, station_edges

MODULES = (3, 9)  # one process each
TRIALS = (1, 10_000)
RUNS_MAX = 3  # of each kind that needs a run of its own, unless asked for; they take long
LEVEL_S, LEVEL_PU = 6.0, (-0.5, 0.5)  # the regulation signal holds a random level so long: three epochs
DAY_S = 86400.0
LAST_WORD_S = 0.6  # until the witness has told the last of a trial
OFTEN = Times(deaths=1_000_000)  # processes die on purpose
KINDS = (*LIVE_KINDS, *RUN_KINDS)


def bench_faults(
    trials: Annotated[int, typer.Option(help=f"Faults to make, {TRIALS[0]} to {TRIALS[1]}.")] = 50,
    modules: Annotated[int, typer.Option(help=f"Modules, {MODULES[0]} to {MODULES[1]}.")] = 8,
    topology: Annotated[str, typer.Option(help=f"Who hears whom: {', '.join(CHOICES['topology'])}.")] = "ring",
    seed: Annotated[int, typer.Option(help="Of kinds, victims, moments and the default station.")] = 0,
    only: Annotated[str | None, typer.Option(metavar="KIND,...", help=f"Only these: {', '.join(KINDS)}.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the processes say.")] = False,
    json: Json = None,
) -> None:
    """Run the default station and make faults in it at random moments; every kind occurs if there are enough trials.

    A fault counts as recovered when all modules are in one agreement again within 10 s after it, or after its end.
    Exit code 0 when all are, nothing unsafe was sent and the times were kept (`verdict` is "ok"), 1 when not.
    """
    _in_range("--trials", trials, TRIALS)
    _in_range("--modules", modules, MODULES)
    chosen = _chosen(only)
    check_writable(json)
    kinds = draw_kinds(chosen, trials, random.Random(seed))
    bench = _Bench(modules, topology, seed, verbose)
    figures = bench.run(kinds)
    if json is None:
        Console().print(fault_table(figures))
    table = figures if json is not None else {key: value for key, value in figures.items() if key != "kinds"}
    emit(table, json, f"faults in a station of {modules} modules")
    raise typer.Exit(0 if figures["verdict"] == "ok" else 1)


def draw_kinds(allowed: Sequence[str], trials: int, chance: random.Random) -> list[str]:
    """Kinds of so many trials in random order, each allowed one among them if there are enough trials.

    Args:
        allowed: kinds.
        trials: how many.
        chance: of the seed.
    """
    once = chance.sample(list(allowed), len(allowed))[:trials]
    live = [kind for kind in allowed if kind in LIVE_KINDS]
    more = [kind for kind in allowed for _ in range(RUNS_MAX - 1) if kind in RUN_KINDS]
    pool = [*live * max(2, trials // max(1, len(live)) + 1), *more]
    chance.shuffle(pool)
    drawn = [*once, *pool[: trials - len(once)]]
    drawn += chance.choices(list(allowed), k=trials - len(drawn))
    chance.shuffle(drawn)
    return drawn


class Done(Protocol):
    """Hears of every trial made."""

    def __call__(self, kind: str, outcome: Outcome, **sums_kw: float) -> None:
        """Kind of the trial, what became of it, most by which sums exceeded the target."""


class _Bench:
    """The station, and trials one after another."""

    def __init__(self, modules: int, topology: str, seed: int, verbose: bool) -> None:
        self._overrides = Overrides(modules=modules, topology=topology, start="17:00", seed=seed)
        self._chance = random.Random(seed)
        self._seed, self._verbose = seed, verbose
        self._left = Left()
        self._trials: list[Trial] = []
        self._faults: list[str] = []
        self._extremes: Event = {}
        self._console = PatientConsole(stderr=True, highlight=False)

    def run(self, kinds: Sequence[str]) -> dict[str, object]:
        """All trials, and what they came to.

        Raises:
            KeyboardInterrupt: stopped.
            StartupError: the station did not come up.
        """
        station = resolve_station(None, self._overrides)
        live, runs = ([kind for kind in kinds if kind in chosen] for chosen in (LIVE_KINDS, RUN_KINDS))
        with StopSignals() as stop, Progress(console=self._console, transient=True,
                                             disable=not self._console.is_terminal) as progress:
            task = progress.add_task("faults", total=len(kinds))

            def done(kind: str, outcome: Outcome, **sums_kw: float) -> None:
                self._trials.append(Trial(len(self._trials) + 1, kind, outcome, **sums_kw))
                for text in filter(None, (outcome.text, slow(kind, outcome))):
                    self._say(f"trial {len(self._trials)}, {kind}: {text}")
                progress.advance(task)

            try:
                if live:
                    self._live(station, live, stop, done, lambda text: progress.update(task, description=text))
                for kind in runs:
                    progress.update(task, description=kind)
                    done(kind, self._own_run(kind, stop))
            except KeyboardInterrupt:
                self._say(f"interrupted after {len(self._trials)} of {len(kinds)} trials, all processes are gone")
                raise
        left = {"orphans": self._left.orphans, "shared_memory_left": self._left.segments}
        rate_hz, ramp = station.droop.rate_hz, max(module_type(station, m).ramp_kw_per_s for m in station.modules)
        return summarise(self._trials, self._extremes, left, rating_kw(station), ramp * (0.1 + 2.0 / rate_hz),
                         {"seed": self._seed, "modules": len(station.modules)}, self._faults)

    def _say(self, text: str) -> None:
        self._console.print(f"[bold]v2g[/] │ {text}", style="yellow", soft_wrap=True)

    def _own_run(self, kind: str, stop: StopSignals) -> Outcome:
        options = {"--modules": self._overrides.modules, "--topology": self._overrides.topology, "--seed": self._seed,
                   "--duration": f"{DURATION_S if kind == 'starting' else LONG_S:g}"}
        words = [str(word) for pair in options.items() for word in pair]
        with UpRun(words, self._left, stop) as run:
            return RUN_KINDS[kind](run, self._chance, self._left)

    def _live(self, station: Station, kinds: Sequence[str], stop: StopSignals,
              done: Done, step: Callable[[str], None]) -> None:
        with run_folder() as folder:
            levels = folder / "levels.csv"
            write_levels(levels, self._seed)
            (folder / "state").mkdir()
            overrides = replace(self._overrides, signal_csv=str(levels), state_dir=str(folder / "state"))
            network = station.network.model_copy(update={"packing": "never"})  # a fault hits one module
            apart = resolve_station(None, overrides).model_copy(update={"network": network})
            plan = with_witness(process_plan(apart, overrides), overrides)
            ours = network_environment(plan.station, os.environ)
            environment = {"ROS_LOG_DIR": str(folder / "ros"), **os.environ, **self._left.environment, **ours}
            logs = Logs(self._console if self._verbose else None)
            watch = Watch([module.id for module in station.modules])
            try:
                supervisor = Supervisor(plan, logs, stop, lambda _, event: watch.take(event), step,
                                        environment=environment, times=OFTEN)
                with supervisor:
                    supervisor.bring_up()
                    ratings_kw = {m.id: module_type(station, m).p_max_kw for m in station.modules}
                    arena = Arena(supervisor, watch, ratings_kw, station_edges(station), self._chance, stop,
                                  station.dispatch.epoch_period_s)
                    self._make(arena, kinds, done, step)
            finally:
                logs.close()
                if not uses_our_profile(environment):  # else there is none
                    remove_dead_segments()
        left = self._left.count()
        if left:
            self._faults.append(f"after the run: {left}")

    def _make(self, arena: Arena, kinds: Sequence[str], done: Done,
              step: Callable[[str], None]) -> None:
        try:
            for kind in kinds:
                step(kind)
                if not arena.settle():
                    self._faults.append(f"before trial {len(self._trials) + 1}: {arena.what_is_missing()}")
                self._left.pids()
                outcome = LIVE_KINDS[kind](arena)
                arena.wait(LAST_WORD_S)
                done(kind, outcome, **arena.watch.sums_kw)
                for text in arena.watch.news():
                    self._say(f"trial {len(self._trials)}, {kind}: {text}")
        except StationEndError as error:
            self._faults.append(str(error))
        self._extremes = arena.watch.extremes
        if arena.watch.refused:
            self._faults.append(arena.watch.refused)


def with_witness(plan: ProcessPlan, overrides: Overrides, tell_powers: bool = False) -> ProcessPlan:
    """The plan with a witness, started before the signal sets everything going.

    Args:
        plan: of a station.
        overrides: options it was made with.
        tell_powers: it tells what is to be added up with other hosts.
    """
    station = plan.station
    kinds = [module_type(station, module) for module in plan.modules]
    parameters: dict[str, Parameter] = {
        "module_ids": [module.id for module in plan.modules],
        "ratings_kw": [kind.p_max_kw for kind in kinds],
        "ramps_kw_per_s": [kind.ramp_kw_per_s for kind in kinds],
        "droop_gain_kw_per_hz": sum(droop_gain_kw_per_hz(station, module) for module in plan.modules),
        "deadband_hz": station.droop.deadband_hz,
        "tell_powers": tell_powers,
        **run_parameters(station, overrides, plan.inputs),
    }
    space = next(node.namespace for node in plan.nodes if node.kind == "station_monitor")
    witness = ProcessSpec("witness", "white", 0, (NodeSpec("witness", "witness", space, parameters),))
    *early, last = plan.processes
    return replace(plan, processes=(*early, witness, last))


def write_levels(path: Path, seed: int) -> None:
    """A recording of the regulation signal over a day: random levels, each held for a few epochs.

    Args:
        path: CSV to write.
        seed: of the levels.
    """
    times = np.arange(0.0, DAY_S, LEVEL_S)
    levels = np.random.default_rng(seed).uniform(*LEVEL_PU, times.size)
    rows = [f"{time:g},{level:.4f}" for time, level in zip(times, levels, strict=True)]
    path.write_text("\n".join(["second_of_day,signal_pu", *rows]) + "\n", encoding="utf-8")


def _chosen(only: str | None) -> list[str]:
    if only is None:
        return [*KINDS]
    words = [word.strip() for word in only.split(",") if word.strip()]
    wrong = [word for word in words if word not in KINDS]
    if wrong or not words:
        raise InputError(f"--only {wrong[0] if wrong else only!r}, allowed {', '.join(KINDS)}")
    return words


def _in_range(option: str, value: int, allowed: tuple[int, int]) -> None:
    if not allowed[0] <= value <= allowed[1]:
        raise InputError(f"{option} {value}, allowed {allowed[0]} to {allowed[1]}")
