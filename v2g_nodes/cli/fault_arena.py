"""A running station in which faults are made: what a trial can do to it and wait for."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from v2g_nodes.bringup import module_namespace
from v2g_nodes.cli.fault_watch import NS_PER_S, Watch
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.supervisor import Supervisor
from v2g_nodes.core.errors import V2gError
from v2g_nodes.core.graph import Edges, adjacency, hops_from

TURN_S = 0.02  # longest wait before a condition is looked at again
RECOVERED_S = 10.0  # within this time after a fault or its end all must agree again
SETTLE_S = 30.0  # longest wait for a quiet station and a warm spare before a trial
NOBODY = [0]  # trial_cut without anybody


class StationEndError(V2gError):
    """The station can't go on; text says why."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial; times in seconds, None where there is none to tell.

    Args:
        recovered: all agree again, in time.
        recover_s: fault to survivors agreed under the group that is right now; None when the group never changed.
        rejoin_s: kill to the victim back in the agreement of all.
        spare_ready: a warm spare was there for every death.
        merge_s: end of the fault to all agreed.
        exclude_s: lie to agreement without the liar.
        text: what went wrong; empty if nothing did.
    """

    recovered: bool
    recover_s: float | None = None
    rejoin_s: float | None = None
    spare_ready: bool = True
    merge_s: float | None = None
    exclude_s: float | None = None
    text: str = ""


class Arena:
    """See module docstring.

    Args:
        supervisor: of the station.
        watch: hears its witness.
        ratings_kw: of all modules, by id [kW].
        edges: who hears whom.
        chance: source of all chance of the trials.
        stop: asks for the end.
        epoch_period_s: period of agreements [s].
    """

    def __init__(
        self, supervisor: Supervisor, watch: Watch, ratings_kw: Mapping[int, float], edges: Edges,
        chance: random.Random, stop: StopSignals, epoch_period_s: float,
    ) -> None:
        self.supervisor, self.watch, self.chance, self.stop = supervisor, watch, chance, stop
        self.ratings_kw, self.edges, self.epoch_period_s = dict(ratings_kw), edges, epoch_period_s
        self.modules = sorted(ratings_kw)
        self.group: int | None = None  # fingerprint when the trial began
        self._killed: dict[str, int | None] = {}  # pids by role

    # ---- waiting ---------------------------------------------------------------------------------------------------
    def until(self, done: Callable[[], object], seconds: float) -> bool:
        """Let the station run until something is true.

        Raises:
            StationEndError: the station can't go on.
            KeyboardInterrupt: a stop was asked for.
        """
        until_s = time.monotonic() + seconds
        while not done():
            left_s = until_s - time.monotonic()
            if left_s <= 0.0:
                return False
            if self.stop.requested:
                raise KeyboardInterrupt
            fault = self.supervisor.attend(min(TURN_S, left_s))
            if fault:
                raise StationEndError(fault)
        return True

    def wait(self, seconds: float) -> None:
        """Let the station run."""
        self.until(lambda: False, seconds)

    def settle(self) -> bool:
        """Wait until all agree and a spare is warm; then begin to watch anew, at a random moment of an epoch."""
        quiet = self.until(
            lambda: self.watch.settled(time.monotonic_ns()) and self.supervisor.spare_is_known, SETTLE_S)
        self.wait(self.chance.uniform(0.0, self.epoch_period_s))
        self.watch.clear()
        self.group = self.watch.group()
        return quiet

    def into_epoch(self, after_s: float) -> None:
        """Wait until so long after the next epoch's signal [s]; to about a millisecond."""
        before_ns = self.watch.signal_ns
        self.until(lambda: self.watch.signal_ns > before_ns, 2.0 * self.epoch_period_s)
        at_s = self.watch.signal_ns / NS_PER_S + self.epoch_period_s + after_s
        self.until(lambda: time.monotonic() > at_s - 2.0 * TURN_S, 2.0 * self.epoch_period_s)
        while time.monotonic() < at_s:
            time.sleep(0.0005)

    # ---- what can be done to it ------------------------------------------------------------------------------------
    def signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal to the process of a role; when [ns]."""
        pid = self.supervisor.pids.get(name)
        now_ns = time.monotonic_ns()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return now_ns

    def kill(self, *names: str) -> int:
        """SIGKILL for the processes of these roles; when the first of them died [ns]."""
        self._killed |= {name: self.supervisor.pids.get(name) for name in names}
        return min(self.signal(name, signal.SIGKILL) for name in names)

    def replaced(self, name: str) -> bool:
        """Whether another process has taken over the role of a killed one."""
        return self.supervisor.pids.get(name, self._killed[name]) != self._killed[name]

    def is_back(self, name: str) -> bool:
        """Whether that process's nodes are active."""
        return self.replaced(name) and self.supervisor.is_ready(name)

    @contextmanager
    def stopped(self, name: str) -> Iterator[int]:
        """A process does not run; continued whatever happens. Gives the time of the stop [ns]."""
        pid = self.supervisor.pids[name]
        try:
            yield self.signal(name, signal.SIGSTOP)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def set(self, module: int, node: str, **parameters: object) -> None:
        """Set parameters of a module's node."""
        process = optimizer_process(module) if node == "optimizer" else hardware_process(module)
        self.supervisor.tell(process, "set", node=f"{module_namespace(module)}/{node}", parameters=parameters)

    @contextmanager
    def everywhere(self, **parameters: float) -> Iterator[None]:
        """Parameters of all optimizers; zero again whatever happens."""
        try:
            for k in self.modules:
                self.set(k, "optimizer", **parameters)
            yield
        finally:
            for k in self.modules:
                self.set(k, "optimizer", **dict.fromkeys(parameters, 0.0))

    @contextmanager
    def cut(self, links: Collection[tuple[int, int]]) -> Iterator[int]:
        """Links are dead in both directions; whole again whatever happens. Gives the time of the cut [ns]."""
        unheard: dict[int, list[int]] = {}
        for a, b in links:
            unheard.setdefault(a, []).append(b)
            unheard.setdefault(b, []).append(a)
        try:
            for k, others in unheard.items():
                self.set(k, "optimizer", trial_cut=others)
            yield time.monotonic_ns()
        finally:
            for k in unheard:
                self.set(k, "optimizer", trial_cut=NOBODY)

    def islands(self, without: Collection[tuple[int, int]] = (), gone: Collection[int] = ()) -> list[frozenset[int]]:
        """Connected parts of the station without these links and modules."""
        left = {k for k in self.modules if k not in gone}
        links = [edge for edge in self.edges if edge not in without and left.issuperset(edge)]
        found: list[frozenset[int]] = []
        for k in sorted(left):
            if not any(k in island for island in found):
                found.append(frozenset(hops_from(k, adjacency(sorted(left), links))))
        return found

    # ---- what can be waited for ------------------------------------------------------------------------------------
    def all_agreed_ns(self, after_ns: int, *, regrouped: bool = False) -> int | None:
        """When all modules agreed after a moment, under another group than at the trial's begin if so asked [ns]."""
        return self.watch.agreed_ns(self.modules, after_ns, other_than=self.group if regrouped else None, exactly=True)

    def island_agreed_ns(self, islands: Collection[frozenset[int]], after_ns: int) -> int | None:
        """When each of these islands had agreed by itself [ns]."""
        found = [self.watch.agreed_ns(island, after_ns, other_than=self.group, exactly=True) for island in islands]
        times = [ns for ns in found if ns is not None]
        return max(times) if len(times) == len(found) else None

    def regrouped(self) -> bool:
        """Whether anybody has agreed under another group since the trial's begin."""
        return any(record.membership != self.group for record in self.watch.last.values())

    def after_deaths(self, killed_ns: int, names: Collection[str], survivors: Collection[int],
                     spare_ready: bool = True) -> Outcome:
        """Follow what comes after deaths.

        Args:
            killed_ns: when the (last) process died [ns].
            names: roles that died.
            survivors: modules of which no process died.
            spare_ready: a warm spare was there for each.
        """
        watch, ready_ns = self.watch, 0

        def back() -> bool:
            nonlocal ready_ns
            if not ready_ns and all(map(self.is_back, names)):
                ready_ns = time.monotonic_ns()
            return ready_ns > 0

        def whole() -> bool:
            return back() and self.all_agreed_ns(ready_ns) is not None and watch.settled(time.monotonic_ns())

        recovered = self.until(whole, RECOVERED_S)
        recover_ns, rejoin_ns = None, ready_ns or None
        if self.regrouped():  # a process with hardware may be back before its optimizer counts it as gone
            recover_ns = watch.agreed_ns(survivors, killed_ns, other_than=self.group)
            again_ns = self.all_agreed_ns(killed_ns, regrouped=True)
            hardware_ns = ready_ns if any(not name.endswith("_opt") for name in names) else 0
            rejoin_ns = None if again_ns is None else max(again_ns, hardware_ns)
        return Outcome(
            recovered=recovered, recover_s=_since(recover_ns, killed_ns), rejoin_s=_since(rejoin_ns, killed_ns),
            spare_ready=spare_ready, text="" if recovered else self.what_is_missing(names))

    def together_again(self, ended_ns: int, parted: int | None = None) -> tuple[bool, float | None]:
        """Wait until all agree after a fault has ended.

        Args:
            ended_ns: when it ended [ns].
            parted: fingerprint of the last group under the fault, which must give way; None: it need not.

        Returns:
            Whether they do; how long that took [s], None where the fault had left the group alone.
        """
        def agreed_ns() -> int | None:
            return self.watch.agreed_ns(self.modules, ended_ns, other_than=parted, exactly=True)

        recovered = self.until(
            lambda: agreed_ns() is not None and self.watch.settled(time.monotonic_ns()), RECOVERED_S)
        return recovered, _since(agreed_ns(), ended_ns) if self.regrouped() else None

    def what_is_missing(self, names: Collection[str] = ()) -> str:
        """Why all do not agree, in a few words."""
        absent = [name for name in names if not self.is_back(name)]
        if absent:
            return f"{', '.join(absent)} not back"
        last = self.watch.last
        views = {k: len(last[k].members) if k in last else 0 for k in self.modules}
        groups = len({record.membership for record in last.values()})
        newest = max((record.agreed_ns for record in last.values()), default=0)
        late = [k for k in self.modules if k not in last or newest - last[k].agreed_ns > self.epoch_period_s * NS_PER_S]
        return f"not all agree: {groups} groups, members {views}" + (f", silent {late}" if late else "")


def hardware_process(module: int) -> str:
    """Role with a module's hardware and droop."""
    return f"ek3_{module:02d}"


def optimizer_process(module: int) -> str:
    """Role with a module's optimizer."""
    return f"ek3_{module:02d}_opt"


def _since(when_ns: int | None, begin_ns: int) -> float | None:
    return None if when_ns is None else (when_ns - begin_ns) / NS_PER_S
