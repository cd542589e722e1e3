"""One run of a station, from the process plan to its figures. `v2g up` and `v2g bench station` both use it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from v2g_nodes.bringup import (
    Overrides,
    Parameter,
    ProcessPlan,
    process_plan,
    rating_kw,
    resolve_station,
)
from v2g_nodes.bringup_dds import remove_dead_segments, ros_domain, uses_our_profile
from v2g_nodes.bringup_network import network_environment
from v2g_nodes.bringup_parameters import droop_settings
from v2g_nodes.cli.folders import run_folder
from v2g_nodes.cli.live_table import StationView
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.processes import Event
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.supervisor import Supervisor
from v2g_nodes.cli.verdict import BUS_KEYS, ordered, verdict
from v2g_nodes.cli.view import PatientConsole, View
from v2g_nodes.core.droop_settings import build_law
from v2g_nodes.core.graph import adjacency, diameter
from v2g_nodes.station import Station, module_type, station_edges, topology_name


@dataclass(frozen=True)
class RunOptions:
    """How a run goes.

    Args:
        station_file: YAML; None takes the default station.
        overrides: laid over it; `duration_s` there is wall time.
        live: show the live table.
        verbose: show all log lines.
        keep: folder for logs and the recorded series; None keeps neither.
        while_up: makes what is entered as soon as everything is up and left when the run is over.
    """

    station_file: str | None = None
    overrides: Overrides = field(default_factory=Overrides)
    live: bool = False
    verbose: bool = False
    keep: Path | None = None
    while_up: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        figures: keys of `up`, in order.
        station: as run.
        notes: what was recorded, what synthetic.
        series: 1 Hz samples and epochs for the plots; empty when the monitor gave none.
    """

    figures: Mapping[str, object]
    station: Station
    notes: tuple[str, ...]
    series: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the run was as it should be."""
        return self.figures.get("verdict") == "ok"


def run_station(options: RunOptions) -> RunResult:
    """Check everything, run the station, take it down.

    Args:
        options: how.

    Raises:
        InputError: a file, key or option that can't be used, or our nodes run already; nothing was started.
        StartupError: it did not come up.
        KeyboardInterrupt: stopped while starting, or asked twice.
    """
    with run_folder() as folder:
        overrides = replace(options.overrides, state_dir=str(folder / "state"))
        (folder / "state").mkdir()
        plan = process_plan(resolve_station(options.station_file, overrides), overrides)
        ros_domain(os.environ)
        plan = _tell_monitor(plan, folder / "series.json")
        # rclpy leaves a file per process in ~/.ros/log unless told where; what matters of it is in our logs
        ros_logs = {"ROS_LOG_DIR": str(folder / "ros")}
        environment = {**ros_logs, **os.environ, **network_environment(plan.station, os.environ)}
        ratings_kw = {m.id: module_type(plan.station, m).p_max_kw for m in plan.modules}
        console = PatientConsole(stderr=True, highlight=False)  # standard output belongs to the JSON
        view = View(StationView(plan.station.name, ratings_kw), options.live, overrides.duration_s, console)
        logs = Logs(console, None if options.keep is None else options.keep / "logs", options.verbose)
        try:
            with StopSignals() as stop, view:
                for note in plan.inputs.notes:
                    logs.say(note, "dim")
                bus: dict[str, object] = {}

                def hear(_: str, event: Event) -> None:
                    if event["event"] == "bus":
                        bus.update({key: event.get(key) for key in BUS_KEYS})
                    else:
                        view.show(event)

                supervisor = Supervisor(plan, logs, stop, hear, view.step, environment=environment)
                figures, fault = _supervise(supervisor, view, options)
                figures |= bus
        except KeyboardInterrupt:
            logs.say("interrupted, all processes are gone", "yellow")
            raise
        finally:
            logs.close()
            if not uses_our_profile(environment):  # else there is none
                remove_dead_segments()
        series = _with_owed(_read_series(folder / "series.json"), plan.station)
        return _result(plan, overrides, figures, fault, series)


def _supervise(supervisor: Supervisor, view: View, options: RunOptions) -> tuple[dict[str, object], str]:
    """Figures of monitor and supervisor, and why the run had to end."""
    overrides = options.overrides
    with supervisor:
        supervisor.bring_up()
        view.started()
        with options.while_up():
            fault = supervisor.run(overrides.duration_s)
        elapsed_s = supervisor.elapsed_s
        view.ending("summing up and shutting down")
        event = supervisor.report()
    summary: dict[str, object] = {} if event is None else dict(event["summary"])
    faults = [fault] if fault else []
    if event is None:
        faults.append("the station monitor gave no summary")
    run = {"duration_s": round(elapsed_s * overrides.speed, 1), "speed": overrides.speed,
           "restarts": supervisor.restarts}
    return summary | run, "; ".join(faults)


def _result(
    plan: ProcessPlan, overrides: Overrides, figures: Mapping[str, object], fault: str, series: Mapping[str, Any]
) -> RunResult:
    station, members = plan.station, figures.get("members")
    ids = [module.id for module in station.modules]
    known = dict(figures) | {
        "modules": len(ids),
        "topology": topology_name(station),
        "diameter": diameter(adjacency(ids, station_edges(station))),
        "algorithm": station.algorithm,
    }
    counted = members if isinstance(members, int) else None
    known["verdict"] = verdict(known, rating_kw(station), counted, fault, plan.is_partial)
    return RunResult(ordered(known), station, plan.inputs.notes, series)


def _tell_monitor(plan: ProcessPlan, series_file: Path) -> ProcessPlan:
    """The monitor writes its series here."""
    extra: dict[str, Parameter] = {"series_file": str(series_file)}
    processes = [
        replace(process, nodes=tuple(
            replace(node, parameters={**node.parameters, **extra}) if node.kind == "station_monitor" else node
            for node in process.nodes))
        for process in plan.processes]  # fmt: skip
    return replace(plan, processes=tuple(processes))


def _with_owed(series: dict[str, Any], station: Station) -> dict[str, Any]:
    """The series with `owed_kw`: the target as it could be met, plus what droop owes at the frequency of the moment."""
    law = build_law(droop_settings(station, station.modules))
    pairs = zip(series.get("clipped_target_kw", ()), series.get("frequency_hz", ()), strict=False)
    owed = [None if target is None else target + law.contribution_kw(frequency) for target, frequency in pairs]
    return {**series, "owed_kw": owed} if owed else series


def _read_series(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the monitor was not there to write it
        return {}
    return content if isinstance(content, dict) else {}
