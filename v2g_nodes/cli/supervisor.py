"""Runs the processes of a plan: brings them up in order, hands a dead one's role to a warm spare, takes them down.

Every process is a host that imports and joins the graph first and gets its role afterwards. The spare is a host that
waits for one. Host protocol: v2g_nodes/nodes/host.py.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from v2g_nodes.bringup import ProcessPlan, ProcessSpec
from v2g_nodes.bringup_launch import role_nodes
from v2g_nodes.cli.host_pool import HOST_COMMAND, STAND_IN_COMMAND, HostPool
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.processes import Event, Host, may_lower_nice
from v2g_nodes.cli.startup import Startup
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.core.errors import StartupError

SPARE, SPARE_COLOR = "spare", "bright_black"
SPARE_NICE = 10  # where it may be taken back: importing must not disturb the station
PUMP_S = 0.1  # longest wait, so that signals and deaths are seen
# nodes and hosts tell others than us
PASSED_ON = ("table", "epoch", "signal", "extremes", "refused", "bus", "power", "target")
DISCOVERED_S = 1.5  # after joining; what is lost of a discovery Fast DDS repeats once a second
ENDING_S = 0.002  # while a host has closed its output but is not gone yet


@dataclass(frozen=True)
class Times:
    """Limits of the supervisor.

    Args:
        warm_s: until all hosts have imported and joined the graph [s]; on a slow machine they take turns.
        scout_s: the first host looks so long for nodes of our names [s].
        ready_s: until all nodes of a role are active [s].
        graph_s: until every edge of the graph is discovered [s].
        report_s: until the monitor has summed up [s].
        stop_s: for an orderly end before SIGTERM [s].
        kill_s: from SIGTERM to SIGKILL [s].
        deaths: so many of one process ...
        deaths_s: ... within this time end the run [s].
    """

    warm_s: float = 90.0
    scout_s: float = 1.5
    ready_s: float = 60.0
    graph_s: float = 60.0
    report_s: float = 15.0
    stop_s: float = 3.0
    kill_s: float = 3.0
    deaths: int = 5
    deaths_s: float = 60.0


class Supervisor:
    """The processes of one run. A context manager: nothing it has started outlives it.

    Args:
        plan: which processes, in start order; the last one sets time going.
        logs: where log text goes.
        stop: asks for the end.
        on_event: called with (process name, event) for what concerns others.
        on_step: called with a few words about what start-up is waiting for.
        command: program of a host; its name is added.
        environment: of the hosts; default this process's own.
        times: limits.
        stand_in: program of a process without ROS nodes; its name is added.
    """

    def __init__(
        self, plan: ProcessPlan, logs: Logs, stop: StopSignals, on_event: Callable[[str, Event], None],
        on_step: Callable[[str], None] = lambda text: None, command: Sequence[str] = HOST_COMMAND,
        environment: Mapping[str, str] | None = None, times: Times | None = None,
        stand_in: Sequence[str] = STAND_IN_COMMAND,
    ) -> None:
        self.restarts = 0
        self._plan, self._logs, self._on_event, self._on_step = plan, logs, on_event, on_step
        self._times, self._stand_in = times or Times(), tuple(stand_in)
        self._pool = HostPool(logs, stop, command, environment, self._times.stop_s, self._times.kill_s)
        self._colors = {spec.name: spec.color for spec in plan.processes} | {SPARE: SPARE_COLOR}
        self._hosts: dict[str, Host] = {}  # by role
        self._spares: list[Host] = []
        self._vacant: list[ProcessSpec] = []  # roles whose process is dead, until a spare is warm
        self._again: dict[str, ProcessSpec] = {}  # stand-ins that were started again and are not warm yet
        self._deaths: dict[str, deque[float]] = {}
        self._spare_nice = SPARE_NICE if may_lower_nice() else 0
        self._given: set[str] = set()  # roles that are taken, or to be taken at once by a successor
        self._started_unix_s: float | None = None  # when the first role was given: zero of the run's clock
        self._running_s: float | None = None
        self._fault = ""
        self._states: dict[str, str] = {}  # lifecycle states that nodes were put in while they ran
        self._notes: set[object] = set()  # told already; every module has the same to say

    def event(self, host: Host, event: Event) -> None:
        """Hear a host."""
        if event["event"] in PASSED_ON:
            self._on_event(host.name, event)
        elif event["event"] == "state":
            self._states[str(event["node"])] = str(event["state"])
            self._logs.say(f"{event['node']} is {event['state']}, as asked", "yellow")
        elif event["event"] == "note" and event.get("text") not in self._notes:
            self._notes.add(event.get("text"))
            self._logs.say(f"{host.name}: {event.get('text')}", "yellow")

    def text(self, host: Host, text: str) -> None:
        """Hear a host's log."""
        self._logs.line(host.name, self._colors[host.name], text)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by role, the spare's under `spare`."""
        named = [(SPARE, spare) for spare in self._spares] + list(self._hosts.items())
        return {name: host.pid for name, host in named}

    @property
    def elapsed_s(self) -> float:
        """Wall time since everything was up [s]."""
        return 0.0 if self._running_s is None else time.monotonic() - self._running_s

    # ---- start -----------------------------------------------------------------------------------------------------
    def bring_up(self) -> None:
        """Start everything, in order; returns when the whole graph is there.

        Raises:
            InputError: nodes of our names are running already.
            StartupError: a process or an edge of the graph is missing.
            KeyboardInterrupt: a stop was asked for.
        """
        watcher = self._watcher
        for spec in sorted(self._plan.processes, key=lambda spec: spec.name != watcher):
            self._hosts[spec.name] = self._start(spec)
        startup = Startup(self._pool, self._hosts, watcher, self._tend_start, self._on_step)
        startup.wait_for("warm", [*self._hosts], self._times.warm_s, "processes started")
        startup.scout([node.full_name for node in self._plan.nodes], self._times.scout_s)
        *early, last = self._plan.processes
        later = {node.full_name for node in last.nodes}
        for specs, not_yet in ((early, later), ([last], set[str]())):
            for spec in specs:
                self._given.add(spec.name)
                if spec.name in self._hosts:  # else its successor gets the role
                    self._give_role(self._hosts[spec.name], spec)
            startup.wait_for("ready", [spec.name for spec in specs], self._times.ready_s, "processes running")
            startup.wait_for_graph(self._times.graph_s, not_yet)
        self._running_s = time.monotonic()

    def _start(self, spec: ProcessSpec) -> Host:
        return self._pool.start(spec.name, spec.nice, self, () if spec.is_ros else self._stand_in)

    def _tend_start(self) -> None:
        """While starting: replace who was killed.

        Raises:
            StartupError: a process has ended by itself, or was killed too often.
        """
        for name, host in self._hosts.items():
            if host.poll() and not host.was_killed:
                text = str(host.said.get("error", {}).get("text", "")) or self._logs.last_words(name)
                raise StartupError(f"{name} {host.end_text} while starting{f': {text}' if text else ''}")
        self._look_after()
        if self._fault:
            raise StartupError(self._fault)

    @property
    def _watcher(self) -> str:
        """The process that sees the graph: the one with the monitor."""
        for spec in self._plan.processes:
            if any(node.kind == "station_monitor" for node in spec.nodes):
                return spec.name
        return self._plan.processes[0].name

    def _give_role(self, host: Host, spec: ProcessSpec) -> None:
        if self._started_unix_s is None:
            given_s = self._plan.inputs.started_unix_s
            self._started_unix_s = time.time() if given_s is None else given_s
        host.send("role", nodes=role_nodes(
            spec, self._started_unix_s, self._states, again=self._running_s is not None))

    # ---- run -------------------------------------------------------------------------------------------------------
    def run(self, seconds: float | None = None) -> str:
        """Look after the processes.

        Args:
            seconds: wall time since start-up after which to end; None: until a stop is asked for.

        Returns:
            Why the run can't go on; empty when it ended as it should.
        """
        while not (self._pool.stop_signals.requested or self._fault):
            left_s = PUMP_S if seconds is None else seconds - self.elapsed_s
            if left_s <= 0.0:
                break
            self.attend(left_s)
        return self._fault

    def attend(self, seconds: float) -> str:
        """One turn: pass on what hosts say, waiting for it no longer than `seconds`, and replace who has died.

        Returns:
            Why the run can't go on; empty while it can.
        """
        ending = any(host.closing for host in (*self._hosts.values(), *self._spares))
        self._pool.pump(min(ENDING_S if ending else PUMP_S, seconds))
        self._look_after()
        return self._fault

    def tell(self, name: str, command: str, **fields: object) -> None:
        """Send a command to the host of a role; nobody hears it while the role is vacant."""
        if name in self._hosts:
            self._hosts[name].send(command, **fields)

    def is_ready(self, name: str) -> bool:
        """Whether a role is taken and all its nodes are active."""
        return name in self._hosts and self._hosts[name].ready

    @property
    def spare_is_known(self) -> bool:
        """Whether somebody whom all others have discovered is ready to take over, and nobody has to."""
        warm_since_s = min((spare.warm_since_s for spare in self._spares), default=float("inf"))
        return not self._vacant and time.monotonic() - warm_since_s > DISCOVERED_S

    def _look_after(self) -> None:
        for spec in self._plan.processes:
            host = self._hosts.get(spec.name)
            if host is not None and host.poll():
                self._lost(spec, host)
        for spare in [*self._spares]:
            if spare.poll():
                self._spares.remove(spare)
                self._died(SPARE, f"the spare {self._end(spare)}")
        for name in [name for name in self._again if self._hosts[name].warm]:
            spec = self._again.pop(name)
            if name in self._given:
                self._give_role(self._hosts[name], spec)
        for spare in [spare for spare in self._spares if spare.warm][: len(self._vacant)]:
            self._spares.remove(spare)
            self._take_over(spare, self._vacant.pop(0))
        self._keep_spare()

    def _lost(self, spec: ProcessSpec, host: Host) -> None:
        del self._hosts[spec.name]
        what = f"{spec.name} {self._end(host)}"
        if self._died(spec.name, what) >= self._times.deaths:
            self._fault = f"{what}; this is its end no. {self._times.deaths} within {self._times.deaths_s:g} s"
            return
        self.restarts += 1
        if spec.is_ros:
            self._vacant.append(spec)
        else:  # a spare has joined the graph, where a stand-in has no business
            self._hosts[spec.name], self._again[spec.name] = self._start(spec), spec

    def _end(self, host: Host) -> str:
        text = str(host.said.get("error", {}).get("text", "")) or self._logs.last_words(host.name)
        return host.end_text if host.was_killed or not text else f"{host.end_text}: {text}"

    def _died(self, name: str, what: str) -> int:
        """Count and tell an end; how many there were lately."""
        self._logs.say(what, "red")
        deaths = self._deaths.setdefault(name, deque())
        now_s = time.monotonic()
        deaths.append(now_s)
        while deaths[0] < now_s - self._times.deaths_s:
            deaths.popleft()
        return len(deaths)

    def _take_over(self, spare: Host, spec: ProcessSpec) -> None:
        spare.set_nice(spec.nice)
        self._hosts[spec.name] = spare
        spare.name = spec.name
        if spec.name in self._given:
            self._give_role(spare, spec)
        self._logs.say(f"process {spare.pid} takes over {spec.name}", "yellow")

    def _keep_spare(self) -> None:
        """Have one spare, or as many as there are vacant roles; none while somebody else is still coming up."""
        if self._vacant:
            for spare in self._spares:
                spare.set_nice(0)
            while len(self._spares) < len(self._vacant):
                self._spares.append(self._pool.start(SPARE, 0, self))
        elif not self._spares and all(host.ready for host in self._hosts.values()) and not self._spares_die:
            self._spares.append(self._pool.start(SPARE, self._spare_nice, self))

    @property
    def _spares_die(self) -> bool:
        return len(self._deaths.get(SPARE, ())) >= self._times.deaths

    # ---- end -------------------------------------------------------------------------------------------------------
    def report(self) -> Event | None:
        """What the monitor sums up; None when it does not answer."""
        host = self._hosts.get(self._watcher)
        if host is None or not host.ready:
            return None
        host.said.pop("summary", None)
        host.send("report")
        self._pool.pump_until(lambda: "summary" in host.said or host.poll(), self._times.report_s)
        return host.said.get("summary")

    def shut_down(self) -> None:
        """End everything, role by role in reverse order.

        Raises:
            KeyboardInterrupt: an end at once was asked for.
        """
        stages = [[self._hosts[spec.name] for spec in stage if spec.name in self._hosts]
                  for _, stage in itertools.groupby(reversed(self._plan.processes), _kinds)]
        self._pool.end(stages)
        self._hosts.clear()
        self._spares.clear()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._pool.stop_signals.urgent:
                self.shut_down()
        finally:
            self._pool.close()


def _kinds(spec: ProcessSpec) -> tuple[str, ...]:
    return tuple(sorted({node.kind for node in spec.nodes}))
