"""`v2g bench domains`: two ROS domains joined by the CAN bus alone agree, part when it is cut, and merge again."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.bringup import Overrides, process_plan
from v2g_nodes.bringup_dds import remove_dead_segments, uses_our_profile
from v2g_nodes.bringup_launch import node_environment
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.cli.bench_faults import with_witness, write_levels
from v2g_nodes.cli.fault_watch import NS_PER_S, Watch
from v2g_nodes.cli.folders import run_folder
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.supervisor import Supervisor
from v2g_nodes.cli.view import PatientConsole
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.sim.can_cable import CanCable
from v2g_nodes.station import CanSection, Station, default_station, module_type, replace

HOSTS = ("a", "b")
SEGMENTS = ("239.255.43.11", "239.255.43.12")
TURN_S = 0.01
SETTLE_S = 60.0  # longest wait for all to agree before a cut
ISLANDS_S = 6.0  # a cut lasts so long; islands agree within a part of it
MERGE_S = 10.0  # longest wait for a merge
MERGED_S = 1.0  # DESIGN: joining merges them within this time
LAMBDA_SPREAD = 1e-4  # relative


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
    figures = TwoHosts(modules, cuts, duration, _domains(domains), seed, verbose).run()
    emit(figures, json, "two ROS domains on one bus")
    raise typer.Exit(0 if figures["verdict"] == "ok" else 1)


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
    changed = tuple(module.model_copy(update={"backend": "can", "host": HOSTS[2 * index // modules]})
                    for index, module in enumerate(station.modules))
    dispatch = station.dispatch.model_copy(update={"heartbeat_ms": 100.0})
    can = CanSection(channel=channel, port=port, stand_ins=True)
    return replace(station, modules=changed, topology=None, can=can, dispatch=dispatch)


@dataclass
class Cut:
    """What became of one cut; times in seconds, NaN where it did not come."""

    islands_s: float = math.nan
    merge_s: float = math.nan
    fault: str = ""


class TwoHosts:
    """See bench_domains, whose options these are."""

    def __init__(
        self, modules: int, cuts: int, seconds: float, domains: tuple[int, int], seed: int, verbose: bool
    ) -> None:
        self._cuts, self._seconds, self._domains, self._verbose = cuts, seconds, domains, verbose
        port = 20000 + os.getpid() % 20000  # so that two of them do not hear each other
        self._stations = [host_station(modules, seed, channel, port) for channel in SEGMENTS]
        self._segments = [CanSettings(channel=channel, port=port) for channel in SEGMENTS]
        self._seed = seed
        ids = [module.id for module in self._stations[0].modules]
        self._islands = [[m.id for m in self._stations[0].modules if m.host == host] for host in HOSTS]
        self._ratings_kw = {m.id: module_type(self._stations[0], m).p_max_kw for m in self._stations[0].modules}
        self._watch = Watch(ids)
        self._supervisors: list[Supervisor] = []
        self._stop = StopSignals()
        self._console = PatientConsole(stderr=True, highlight=False)

    def run(self) -> dict[str, object]:
        """Bring both hosts up, cut and join, and say what it came to.

        Raises:
            KeyboardInterrupt: stopped.
            StartupError: a host did not come up, or could not go on.
        """
        with run_folder() as folder, ExitStack() as stack:
            stack.enter_context(self._stop)
            cable = stack.enter_context(CanCable(*self._segments))
            logs = Logs(self._console if self._verbose else None)
            stack.callback(logs.close)
            levels = folder / "levels.csv"
            write_levels(levels, self._seed)
            for host, domain, station in zip(HOSTS, self._domains, self._stations, strict=True):
                self._say(f"starting host {host} in ROS domain {domain}")
                supervisor = self._supervisor(folder / host, station, host, domain, levels, logs)
                self._supervisors.append(stack.enter_context(supervisor))
                supervisor.bring_up()
            joint = self._joint()
            cuts = []
            for number in range(self._cuts):
                cuts.append(self._cut(cable))
                self._say(f"cut {number + 1} of {self._cuts}: islands after {cuts[-1].islands_s:.3f} s, "
                          f"merged after {cuts[-1].merge_s:.3f} s{f', {cuts[-1].fault}' if cuts[-1].fault else ''}")
            return self._figures(joint, cuts)

    def _supervisor(
        self, folder: Path, station: Station, host: str, domain: int, levels: Path, logs: Logs
    ) -> Supervisor:
        (folder / "state").mkdir(parents=True)
        overrides = Overrides(host=host, signal_csv=str(levels), state_dir=str(folder / "state"))
        plan = with_witness(process_plan(station, overrides), overrides)
        environment = {"ROS_LOG_DIR": str(folder / "ros"), **os.environ, **node_environment(station, os.environ),
                       "ROS_DOMAIN_ID": str(domain)}
        if not uses_our_profile(environment):
            remove_dead_segments()
        return Supervisor(plan, logs, self._stop, lambda _, event: self._watch.take(event), environment=environment)

    def _joint(self) -> dict[str, object]:
        """All agree for a while: their prices and the sum of their powers, epoch by epoch."""
        if not self._until(lambda: self._watch.settled(time.monotonic_ns()), SETTLE_S):
            raise StartupError("the two hosts did not agree on a price, "
                               f"{len({r.membership for r in self._watch.last.values()})} groups after {SETTLE_S:g} s")
        self._watch.clear()
        self._until(lambda: False, self._seconds)
        epochs = self._watch.epochs_of_all()
        prices = [[record.lambda_eur_per_kwh for record in records] for records in epochs]
        return {
            "epochs": len(epochs),
            "lambda_spread_max": max(((max(p) - min(p)) / max(map(abs, p)) for p in prices if any(p)), default=None),
            "balance_error_kw_max": max(
                (abs(sum(r.power_kw for r in records) - records[0].target_kw) for records in epochs), default=None),
        }

    def _cut(self, cable: CanCable) -> Cut:
        """Cut the bus for a while, join it again."""
        cut, watch = Cut(), self._watch
        if not self._until(lambda: watch.settled(time.monotonic_ns()), SETTLE_S):
            cut.fault = "not agreed before the cut"
            return cut
        watch.clear()
        cable.connected, cut_ns = False, time.monotonic_ns()
        self._until(lambda: False, ISLANDS_S)
        agreed = [watch.agreed_ns(island, cut_ns, exactly=True) for island in self._islands]
        if None in agreed:
            cut.fault = "an island did not agree"
        else:
            cut.islands_s = (max(ns for ns in agreed if ns is not None) - cut_ns) / NS_PER_S
        cut.fault = cut.fault or watch.island_fault(self._islands, self._ratings_kw, cut_ns)
        watch.clear()
        cable.connected, join_ns = True, time.monotonic_ns()
        if self._until(lambda: watch.agreed_ns(watch.modules, join_ns) is not None, MERGE_S):
            cut.merge_s = ((watch.agreed_ns(watch.modules, join_ns) or join_ns) - join_ns) / NS_PER_S
        else:
            cut.fault = cut.fault or f"not one station again after {MERGE_S:g} s"
        return cut

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        until_s = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until_s:
                return False
            if self._stop.requested:
                raise KeyboardInterrupt
            for supervisor in self._supervisors:
                fault = supervisor.attend(TURN_S)
                if fault:
                    raise StartupError(fault)
        return True

    def _figures(self, joint: Mapping[str, object], cuts: Sequence[Cut]) -> dict[str, object]:
        islands = [cut.islands_s for cut in cuts if math.isfinite(cut.islands_s)]
        merges = [cut.merge_s for cut in cuts if math.isfinite(cut.merge_s)]
        figures: dict[str, object] = {
            "modules": len(self._watch.modules),
            "domains": list(self._domains),
            **joint,
            "cuts": len(cuts),
            "cuts_right": sum(not cut.fault for cut in cuts),
            "islands_s_max": max(islands, default=None),
            "merge_s_median": statistics.median(merges) if merges else None,
            "merge_s_max": max(merges, default=None),
            "restarts": sum(supervisor.restarts for supervisor in self._supervisors),
        }
        return figures | {"verdict": self._verdict(figures, cuts)}

    def _verdict(self, figures: Mapping[str, object], cuts: Sequence[Cut]) -> str:
        limits = [("lambda_spread_max", LAMBDA_SPREAD), ("balance_error_kw_max", 1e-3 * sum(self._ratings_kw.values()))]
        limits += [("merge_s_max", MERGED_S)] if cuts else []
        faults = [cut.fault for cut in cuts if cut.fault]
        for key, limit in limits:
            value = figures[key]
            if not (isinstance(value, float) and value < limit):
                faults.append(f"{key} {value}, allowed below {limit:g}")
        return "; ".join(dict.fromkeys(faults)) or "ok"

    def _say(self, text: str) -> None:
        self._console.print(f"[bold]v2g[/] │ {text}", soft_wrap=True)
