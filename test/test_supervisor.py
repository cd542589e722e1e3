"""Start, replacement and end of processes, with hosts that only speak the protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.bringup import SPARES, Inputs, NodeSpec, ProcessPlan, ProcessSpec
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.cli.supervisor import Supervisor, Times
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.station import default_station

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIMIT_S = 20.0  # of waiting for something that takes milliseconds on an idle machine
QUICK = Times(warm_s=LIMIT_S, scout_s=0.0, ready_s=LIMIT_S, graph_s=LIMIT_S, stop_s=LIMIT_S, kill_s=LIMIT_S)


def node(kind: str, wishes: dict[str, Any]) -> NodeSpec:
    space, _, name = kind.rpartition("/")
    return NodeSpec(name, name, f"/{space}", wishes)


def plan(**wishes: dict[str, Any]) -> ProcessPlan:
    """Five processes; `wishes` by process name say how the fake host behaves."""
    nodes = {"plant": "plant", "station_monitor": "station_monitor", "ek3_01": "ek3_01/module",
             "ek3_01_opt": "ek3_01/optimizer", "grid_signal": "grid_signal"}
    processes = tuple(ProcessSpec(name, "white", 0, (node(kind, wishes.get(name, {})),))
                      for name, kind in nodes.items())
    station = default_station(1)
    return ProcessPlan(processes, station, Inputs(0.0), station.modules)


class Bench:
    """A supervisor of fake hosts and what they heard."""

    fake = (sys.executable, "-S", str(HERE / "fake_host.py"))
    fake_stand_in = (sys.executable, "-S", "-B", str(HERE / "fake_host.py"))  # the same as another program

    def __init__(self, folder: Path, times: Times, **environment: str) -> None:
        self.heard_file = folder / "heard"
        self.heard_file.touch()
        self.stop = StopSignals()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.steps: list[str] = []
        self.on_step: Callable[[str], None] = self.steps.append
        self._times = times
        self._environment = {**os.environ, "FAKE_LOG": str(self.heard_file), **environment}
        self.logs = Logs(None, folder / "logs")
        self._folder = folder

    def supervise(self, process_plan: ProcessPlan) -> Supervisor:
        return Supervisor(
            process_plan, self.logs, self.stop, lambda name, event: self.events.append((name, dict(event))),
            self.on_step, self.fake, self._environment, self._times, self.fake_stand_in)

    @property
    def heard(self) -> list[list[str]]:
        return [line.split(" ", 2) for line in self.heard_file.read_text().splitlines()]

    def commands(self, word: str) -> list[str]:
        """Second words of the commands that begin with `word`, or names of who heard it, in order."""
        return [rest.split(" ")[1] if word == "role" else name for _, name, rest in self.heard if rest.startswith(word)]

    def roles(self, name: str) -> list[dict[str, Any]]:
        """Parameters of each time a role was given."""
        return [json.loads(rest.split(" ", 2)[2]) for _, _, rest in self.heard if rest.startswith(f"role {name} ")]

    def log_of(self, name: str) -> str:
        return (self._folder / "logs" / f"{name}.log").read_text()

    def nobody_lives(self) -> bool:
        return not any(is_alive(int(pid)) for pid in {entry[0] for entry in self.heard})


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def eventually(condition: Callable[[], object]) -> bool:
    until = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def run_until(supervisor: Supervisor, condition: Callable[[], object]) -> str:
    """Let the supervisor work in short slices until something has happened."""
    until = time.monotonic() + LIMIT_S
    fault = ""
    while not condition() and not fault and time.monotonic() < until:
        fault = supervisor.run(supervisor.elapsed_s + 0.02)
    return fault


def start_and_stop_twice(supervisor: Supervisor, bench: Bench) -> None:
    supervisor.bring_up()
    bench.stop.count = 2
    supervisor.report()


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made = []

    def make(times: Times = QUICK, **environment: str) -> Bench:
        made.append(Bench(tmp_path, times, **environment))
        return made[-1]

    yield make
    for bench in made:
        bench.logs.close()
        assert bench.nobody_lives()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_processes_start_in_order_and_end_in_reverse(bench: Bench) -> None:
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        assert supervisor.run(0.0) == ""
        assert supervisor.restarts == 0
    assert bench.commands("scout") == ["station_monitor"]
    first_role = next(k for k, entry in enumerate(bench.heard) if entry[2].startswith("role"))
    assert bench.commands("scout") == [entry[1] for entry in bench.heard[:first_role] if entry[2] == "scout"]
    assert sorted(bench.commands("role")[:4]) == ["module", "optimizer", "plant", "station_monitor"]
    assert bench.commands("role")[4] == "grid_signal"
    assert bench.commands("stopped") == ["grid_signal", "ek3_01_opt", "ek3_01", "station_monitor", "plant"]


def test_events_reach_people_and_text_reaches_the_logs(bench: Bench) -> None:
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
    assert ("station_monitor", {"event": "table", "members": 2}) in bench.events
    assert "5 of 5 processes started" in bench.steps
    assert "log of module" in bench.log_of("ek3_01")
    assert "not JSON {" in bench.log_of("ek3_01")


def test_nodes_of_the_same_names_are_an_input_error(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(QUICK, FAKE_FOUND='["/ek3_01/module", "/plant"]', ROS_DOMAIN_ID="42")
    message = r"^ROS domain 42: node /ek3_01/module \(and 1 more\) is already running, allowed is"
    with pytest.raises(InputError, match=message), bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
    assert bench.commands("role") == []


@pytest.mark.parametrize(
    ("process", "wishes", "message"),
    [
        ("ek3_01", {"error": "p_max_kw is -1"}, "ek3_01 ended with code 1 while starting: p_max_kw is -1"),
        ("ek3_01_opt", {"last_words": "ImportError: no x"}, "ek3_01_opt ended with code 3 while starting: ImportError"),
        ("plant", {"never_ready": True}, "after 1.5 s not ready: plant"),
        ("grid_signal", {"never_ready": True}, "after 1.5 s not ready: grid_signal"),
        ("station_monitor",
         {"missing_links": [["/ek3_01/curve", "/ek3_01/optimizer", "/ek3_02/optimizer"], ["a", "b", "c"]]},
         r"edge of the graph is missing: /ek3_01/curve, /ek3_01/optimizer to /ek3_02/optimizer \(and 1 more\)"),
        ("station_monitor", {"dies": True}, "station_monitor killed by SIGKILL; this is its end no. 5 within 60 s"),
    ],
)  # fmt: skip
def test_a_start_that_fails_says_why(
    make_bench: Callable[..., Bench], process: str, wishes: dict[str, Any], message: str
) -> None:
    waits = "never_ready" in wishes or "missing_links" in wishes
    bench = make_bench(Times(scout_s=0.0, ready_s=1.5, graph_s=1.5) if waits else QUICK)
    with pytest.raises(StartupError, match=message), bench.supervise(plan(**{process: wishes})) as supervisor:
        supervisor.bring_up()


def test_edges_of_the_last_process_are_waited_for_when_it_runs(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Times(scout_s=0.0, graph_s=1.5))
    edge = ["/grid/signal", "/grid_signal", "/ek3_01/droop"]
    message = "edge of the graph is missing: /grid/signal, /grid_signal to /ek3_01/droop$"
    wishes = {"missing_links": [edge]}
    with pytest.raises(StartupError, match=message), bench.supervise(plan(station_monitor=wishes)) as supervisor:
        supervisor.bring_up()
    assert bench.commands("role")[-1] == "grid_signal"


def test_a_start_can_be_interrupted(bench: Bench) -> None:
    bench.stop.count = 1
    with pytest.raises(KeyboardInterrupt), bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
    assert bench.commands("role") == []


@pytest.mark.parametrize("when", ["processes started", "processes running"])
@pytest.mark.parametrize("victim", ["ek3_01", "station_monitor"])
def test_who_is_killed_while_the_station_starts_is_replaced(bench: Bench, when: str, victim: str) -> None:
    killed: list[int] = []

    def kill(step: str) -> None:
        if step.endswith(when) and not killed:
            killed.append(supervisor.pids[victim])
            os.kill(killed[0], signal.SIGKILL)

    bench.on_step = kill
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        run_until(supervisor, lambda: supervisor.restarts == 1)  # it may have said all it had to say before its end
        run_until(supervisor, lambda: supervisor.is_ready(victim))
        assert supervisor.run(0.0) == ""
        assert not is_alive(killed[0])
    role = {"ek3_01": "module", "station_monitor": "station_monitor"}[victim]
    assert len(bench.roles(role)) == 1 or when == "processes running", "the successor has its role once"
    assert bench.commands("stopped")[0] == "grid_signal"


@pytest.mark.parametrize("kills", [1, 2])
def test_a_stand_in_is_started_again_as_its_own_program_and_leaves_the_spare_alone(bench: Bench, kills: int) -> None:
    some = plan()
    device = ProcessSpec("ek3_01_hardware", "white", 0, (NodeSpec("can_device", "can_device", "/ek3_01", {}),))
    some = replace(some, processes=(device, *some.processes))
    assert not device.is_ros
    assert some.participants == 5 + SPARES
    with bench.supervise(some) as supervisor:
        supervisor.bring_up()
        run_until(supervisor, lambda: "spare" in supervisor.pids)
        spare = supervisor.pids["spare"]
        for _ in range(kills):
            killed = supervisor.pids["ek3_01_hardware"]
            assert "-B" in Path(f"/proc/{killed}/cmdline").read_text().split("\0"), "its own program"
            os.kill(killed, signal.SIGKILL)
            run_until(supervisor, lambda: not supervisor.is_ready("ek3_01_hardware"))
            assert run_until(supervisor, lambda: supervisor.is_ready("ek3_01_hardware")) == ""
            assert supervisor.pids["ek3_01_hardware"] != killed
        assert supervisor.pids["spare"] == spare
        assert supervisor.restarts == kills
    assert len(bench.roles("can_device")) == 1 + kills


def test_a_command_reaches_the_role_and_nobody_while_it_is_vacant(bench: Bench) -> None:
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        supervisor.tell("ek3_01", "set", node="/ek3_01/module", parameters={})
        run_until(supervisor, lambda: bench.commands("set"))
        run_until(supervisor, lambda: "spare" in supervisor.pids)
        for name in ("spare", "ek3_01"):  # both, or the role would be taken again at once
            os.kill(supervisor.pids[name], signal.SIGKILL)
        run_until(supervisor, lambda: "ek3_01" not in supervisor.pids)
        supervisor.tell("ek3_01", "set", node="/ek3_01/module", parameters={})
        run_until(supervisor, lambda: supervisor.is_ready("ek3_01"))
    assert bench.commands("set") == ["ek3_01"]


def test_a_stopped_process_leaves_as_the_others_do(bench: Bench) -> None:
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        os.kill(supervisor.pids["ek3_01"], signal.SIGSTOP)
    assert bench.commands("stopped") == ["grid_signal", "ek3_01_opt", "ek3_01", "station_monitor", "plant"]


def test_the_spare_takes_over_what_a_dead_process_did(bench: Bench) -> None:
    with bench.supervise(plan(ek3_01={"p_max_kw": 3.3}, grid_signal={"period_s": 1.0})) as supervisor:
        supervisor.bring_up()
        for name, role in (("ek3_01", "module"), ("grid_signal", "grid_signal")):
            run_until(supervisor, lambda: "spare" in supervisor.pids)
            spare, dead = supervisor.pids["spare"], supervisor.pids[name]
            os.kill(dead, signal.SIGKILL)
            run_until(supervisor, lambda role=role: len(bench.roles(role)) == 2)  # type: ignore[misc]
            assert supervisor.pids[name] == spare
            assert not is_alive(dead)
        run_until(supervisor, lambda: "spare" in supervisor.pids)
        assert supervisor.restarts == 2
        assert supervisor.pids["spare"] not in (spare, dead)
    first, second = bench.roles("grid_signal")
    assert first == second, "time goes on where it was"
    assert abs(first["run_started_s"] - time.time()) < 3600.0
    assert bench.roles("module") == [{"p_max_kw": 3.3, "run_started_s": first["run_started_s"]}] * 2


def test_a_successor_brings_a_node_to_the_state_it_was_put_in(bench: Bench) -> None:
    with bench.supervise(plan(ek3_01={"put_in": "inactive"})) as supervisor:
        supervisor.bring_up()
        assert run_until(supervisor, lambda: "spare" in supervisor.pids) == ""
        for role in ("ek3_01", "ek3_01_opt"):
            roles = len(bench.commands("role"))
            os.kill(supervisor.pids[role], signal.SIGKILL)
            assert run_until(supervisor, lambda n=roles: len(bench.commands("role")) > n) == ""
    assert [role.get("state") for role in bench.roles("module")] == [None, "inactive"]
    assert [role.get("state") for role in bench.roles("optimizer")] == [None, None]


def test_a_successor_s_droop_has_to_enter_service(bench: Bench) -> None:
    droop = ProcessSpec("ek3_01", "white", 0, (node("ek3_01/droop", {"in_service": True}),))
    whole = plan()
    processes = tuple(droop if process.name == "ek3_01" else process for process in whole.processes)
    with bench.supervise(replace(whole, processes=processes)) as supervisor:
        supervisor.bring_up()
        assert run_until(supervisor, lambda: "spare" in supervisor.pids) == ""
        os.kill(supervisor.pids["ek3_01"], signal.SIGKILL)
        assert run_until(supervisor, lambda: len(bench.roles("droop")) == 2) == ""
    assert [role["in_service"] for role in bench.roles("droop")] == [True, False]


def test_two_deaths_at_once_are_both_replaced(bench: Bench) -> None:
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        run_until(supervisor, lambda: "spare" in supervisor.pids)
        for name in ("ek3_01", "plant"):
            os.kill(supervisor.pids[name], signal.SIGKILL)
        run_until(supervisor, lambda: len(bench.roles("module")) == len(bench.roles("plant")) == 2)
        assert supervisor.restarts == 2
        assert {"ek3_01", "plant"} < set(supervisor.pids)


def test_a_process_that_dies_again_and_again_ends_the_run(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Times(scout_s=0.0, deaths=3, deaths_s=LIMIT_S))
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        fault, killed = "", set[int]()
        while not fault:
            pid = supervisor.pids.get("ek3_01")
            if pid is not None and pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            fault = supervisor.run(supervisor.elapsed_s + 0.02)
        assert supervisor.run(supervisor.elapsed_s + 100.0) == fault, "it does not go on"
    assert fault == f"ek3_01 killed by SIGKILL; this is its end no. 3 within {LIMIT_S:g} s"
    assert len(killed) == 3


def test_spares_that_die_do_not_end_the_run(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Times(scout_s=0.0, deaths=3, deaths_s=LIMIT_S), FAKE_SPARE_DIES="1")
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        run_until(supervisor, lambda: bench.commands("start").count("spare") == 3)
        assert supervisor.run(supervisor.elapsed_s + 0.3) == ""
        assert "spare" not in supervisor.pids
    assert bench.commands("start").count("spare") == 3


def test_a_process_that_does_not_stop_is_killed_and_the_others_end_well(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Times(scout_s=0.0, stop_s=1.0, kill_s=0.2))
    with bench.supervise(plan(ek3_01={"deaf": True})) as supervisor:
        supervisor.bring_up()
    assert bench.commands("stopped") == ["grid_signal", "ek3_01_opt", "station_monitor", "plant"]


@pytest.mark.usefixtures("hangups_are_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_the_run_in_order(bench: Bench, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with bench.stop:
        with bench.supervise(plan()) as supervisor:
            supervisor.bring_up()
            os.kill(os.getpid(), number)
            assert supervisor.run(None) == ""
        assert len(bench.commands("stopped")) == 5
    assert signal.getsignal(number) == before


def test_a_second_stop_signal_ends_everything_at_once(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt), bench.supervise(plan(ek3_01={"deaf": True})) as supervisor:
        start_and_stop_twice(supervisor, bench)
    assert bench.commands("stopped") == []


@pytest.mark.parametrize(("number", "heard"), [(signal.SIGHUP, False), (signal.SIGINT, True)])
def test_nohup_is_respected(number: signal.Signals, heard: bool) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), number)
            assert stop.requested == heard
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_the_monitor_sums_up_however_long_that_is(bench: Bench) -> None:
    with bench.supervise(plan(station_monitor={"long": 3_000_000})) as supervisor:
        supervisor.bring_up()
        summary = supervisor.report()
    assert summary is not None
    assert summary["summary"]["epochs"] == 3
    assert len(summary["summary"]["text"]) == 3_000_000


def test_without_the_monitor_there_is_no_summary(bench: Bench) -> None:
    with bench.supervise(plan()) as supervisor:
        supervisor.bring_up()
        os.kill(supervisor.pids["station_monitor"], signal.SIGKILL)
        assert supervisor.report() is None


def test_hosts_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(HERE)!r}, {str(ROOT)!r}]
        from pathlib import Path
        from test_supervisor import Bench, QUICK, plan
        with Bench(Path({str(tmp_path)!r}), QUICK).supervise(plan(ek3_01={{"asleep": True}})) as supervisor:
            supervisor.bring_up()
            print("up", flush=True)
            supervisor.run(None)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        pids = {int(line.split()[0]) for line in (tmp_path / "heard").read_text().splitlines()}
        assert len(pids) >= 5
        assert all(map(is_alive, pids))
        stopped = sorted(pids)[1]
        os.kill(stopped, signal.SIGSTOP)
        process.kill()
    assert eventually(lambda: not any(map(is_alive, pids)))
