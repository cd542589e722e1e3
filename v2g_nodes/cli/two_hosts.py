"""Two hosts with half of a station each, what joins them cut and joined again: what they agree on, and how soon."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from v2g_nodes.bringup import Overrides, process_plan
from v2g_nodes.bringup_dds import remove_dead_segments, uses_our_profile
from v2g_nodes.cli.bench_faults import with_witness, write_levels
from v2g_nodes.cli.fault_watch import NS_PER_S, Watch
from v2g_nodes.cli.folders import run_folder
from v2g_nodes.cli.host_pool import HOST_COMMAND
from v2g_nodes.cli.joint_figures import JointSums, joint_figures
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.processes import Event
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.supervisor import Supervisor
from v2g_nodes.cli.view import PatientConsole
from v2g_nodes.core.errors import StartupError
from v2g_nodes.station import Module, Station, module_type

HOSTS = ("a", "b")
TURN_S = 0.01
SETTLE_S = 60.0  # longest wait for all to agree before a cut
MERGE_S = 30.0  # longest wait for a merge


class Way(Protocol):
    """What joins the hosts."""

    connected: bool


@dataclass(frozen=True)
class Side:
    """One of the hosts.

    Args:
        host: its name in the station file.
        station: as its station file has it.
        environment: of its processes, over this process's own.
        enter: words before a command that is to run there.
    """

    host: str
    station: Station
    environment: Mapping[str, str]
    enter: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What is done to them.

    Args:
        cuts: how often they are parted.
        cut_s: for how long [s].
        seconds: in which they agree, before the first cut and with lost packets [s].
        seed: of the regulation signal.
        losses: what makes packets get lost, and for how long they do; None: no such trial.
    """

    cuts: int
    cut_s: float
    seconds: float
    seed: int
    losses: Callable[[bool], None] | None = None


@dataclass
class Cut:
    """What became of one cut; times in seconds, NaN where it did not come."""

    islands_s: float = math.nan
    merge_s: float = math.nan
    fault: str = ""


@dataclass
class Findings:
    """Figures of a run, for who made it to judge.

    Args:
        figures: by key.
        cuts: one by one.
        rating_kw: of the station.
    """

    figures: dict[str, object]
    cuts: Sequence[Cut]
    rating_kw: float
    faults: list[str] = field(default_factory=list)

    def below(self, key: str, limit: float) -> None:
        """A figure must be there and below a limit."""
        value = self.figures[key]
        if not (isinstance(value, float) and value < limit):
            self.faults.append(f"{key} {value}, allowed below {limit:g}")

    @property
    def verdict(self) -> str:
        """ok, or what was wrong."""
        found = [*(cut.fault for cut in self.cuts if cut.fault), *self.faults]
        return "; ".join(dict.fromkeys(found)) or "ok"


class TwoHosts:
    """See module docstring.

    Args:
        sides: the hosts.
        way: what joins them.
        trial: what is done to them.
        stop: asks for the end.
        verbose: show what all processes log.
    """

    def __init__(self, sides: Sequence[Side], way: Way, trial: Trial, stop: StopSignals, verbose: bool) -> None:
        self._sides, self._way, self._trial, self._stop, self._verbose = sides, way, trial, stop, verbose
        modules = sides[0].station.modules
        self._islands = [[m.id for m in modules if m.host == side.host] for side in sides]
        self._ratings_kw = {m.id: module_type(sides[0].station, m).p_max_kw for m in modules}
        self._watch = Watch([module.id for module in modules])
        self._sums = JointSums(sides[0].station)
        self._supervisors: list[Supervisor] = []
        self._console = PatientConsole(stderr=True, highlight=False)

    def run(self) -> Findings:
        """Bring both hosts up, cut and join, lose packets, and tell what it came to.

        Raises:
            KeyboardInterrupt: stopped.
            StartupError: a host did not come up, or could not go on.
        """
        with run_folder() as folder, ExitStack() as stack:
            logs = Logs(self._console if self._verbose else None)
            stack.callback(logs.close)
            levels = folder / "levels.csv"
            write_levels(levels, self._trial.seed)
            for side in self._sides:
                self._say(f"starting host {side.host}")
                supervisor = self._supervisor(folder / side.host, side, levels, logs)
                self._supervisors.append(stack.enter_context(supervisor))
                supervisor.bring_up()
            joint = self._joint()
            cuts = []
            for number in range(self._trial.cuts):
                cuts.append(self._cut())
                self._say(f"cut {number + 1} of {self._trial.cuts}: islands after {cuts[-1].islands_s:.3f} s, "
                          f"merged after {cuts[-1].merge_s:.3f} s{f', {cuts[-1].fault}' if cuts[-1].fault else ''}")
            lossy = {} if self._trial.losses is None else self._lossy(self._trial.losses)
            if self._sums.words:
                self._say(f"at the most {self._sums.words}")
            return self._findings({**joint, **lossy}, cuts)

    def _supervisor(self, folder: Path, side: Side, levels: Path, logs: Logs) -> Supervisor:
        (folder / "state").mkdir(parents=True)
        overrides = Overrides(host=side.host, signal_csv=str(levels), state_dir=str(folder / "state"))
        plan = with_witness(process_plan(side.station, overrides), overrides, tell_powers=True)
        environment = {"ROS_LOG_DIR": str(folder / "ros"), **os.environ, **side.environment}
        if not uses_our_profile(environment):
            remove_dead_segments()
        return Supervisor(plan, logs, self._stop, self._hear, command=(*side.enter, *HOST_COMMAND),
                          environment=environment)

    def _hear(self, _: str, event: Event) -> None:
        self._watch.take(event)
        self._sums.take(event)

    def _joint(self) -> dict[str, object]:
        """All agree for a while: their prices, the sum of their powers and its cost, epoch by epoch."""
        self._settle()
        self._sums.clear()
        self._until(lambda: False, self._trial.seconds)
        return joint_figures(self._watch.epochs_of_all())

    def _lossy(self, losses: Callable[[bool], None]) -> dict[str, object]:
        """The same while packets get lost."""
        self._settle()
        losses(True)
        self._until(lambda: False, self._trial.seconds)
        figures = joint_figures(self._watch.epochs_of_all())
        losses(False)
        self._say(f"with losses: {figures['epochs']} epochs, gap {figures['gap_max']}")
        return {f"lossy_{key}": value for key, value in figures.items()}

    def _settle(self) -> None:
        if not self._until(lambda: self._watch.settled(time.monotonic_ns()), SETTLE_S):
            groups = len({record.membership for record in self._watch.last.values()})
            raise StartupError(f"the two hosts did not agree on a price, {groups} groups after {SETTLE_S:g} s")
        self._watch.clear()

    def _cut(self) -> Cut:
        """Part the hosts for a while, join them again."""
        cut, watch = Cut(), self._watch
        if not self._until(lambda: watch.settled(time.monotonic_ns()), SETTLE_S):
            cut.fault = "not agreed before the cut"
            return cut
        watch.clear()
        self._way.connected, cut_ns = False, time.monotonic_ns()
        self._until(lambda: False, self._trial.cut_s)
        agreed = [watch.agreed_ns(island, cut_ns, exactly=True) for island in self._islands]
        if None in agreed:
            cut.fault = "an island did not agree"
        else:
            cut.islands_s = (max(ns for ns in agreed if ns is not None) - cut_ns) / NS_PER_S
        cut.fault = cut.fault or watch.island_fault(self._islands, self._ratings_kw, cut_ns)
        watch.clear()
        self._way.connected, join_ns = True, time.monotonic_ns()
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

    def _findings(self, measured: Mapping[str, object], cuts: Sequence[Cut]) -> Findings:
        islands = [cut.islands_s for cut in cuts if math.isfinite(cut.islands_s)]
        merges = [cut.merge_s for cut in cuts if math.isfinite(cut.merge_s)]
        figures: dict[str, object] = {
            "modules": len(self._watch.modules),
            "epochs_asked": int(self._trial.seconds / self._sides[0].station.dispatch.epoch_period_s),
            **measured,
            "cuts": len(cuts),
            "cuts_right": sum(not cut.fault for cut in cuts),
            "islands_s_max": max(islands, default=None),
            "merge_s_median": statistics.median(merges) if merges else None,
            "merge_s_max": max(merges, default=None),
            "sum_above_target_kw_max": self._sums.base_kw,
            "restarts": sum(supervisor.restarts for supervisor in self._supervisors),
        }
        return Findings(figures, cuts, sum(self._ratings_kw.values()))

    def _say(self, text: str) -> None:
        self._console.print(f"[bold]v2g[/] │ {text}", soft_wrap=True)


def halves(station: Station, **changes: object) -> tuple[Module, ...]:
    """The station's modules, the first half on the first host, the other half on the second.

    Args:
        station: the station.
        changes: further keys of all modules.
    """
    count = len(station.modules)
    return tuple(module.model_copy(update={**changes, "host": HOSTS[2 * index // count]})
                 for index, module in enumerate(station.modules))
