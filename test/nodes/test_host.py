"""The process every node runs in: its protocol over pipes, its command line, its ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from v2g_nodes.msg import GridSignal

from v2g_nodes.nodes import streams
from v2g_nodes.nodes.host import LAST_WORDS_S, Host

from .conftest import Bench

ROOT = Path(__file__).resolve().parents[2]
LONG_S = 60.0  # a test that waits this long has failed

MODULE = {"kind": "module", "name": "module", "namespace": "/ek3_01", "parameters": {"armed": True}}
DROOP = {"kind": "droop", "name": "droop", "namespace": "/ek3_01", "parameters": {"gain_kw_per_hz": 16.0}}
MONITOR = {
    "kind": "station_monitor", "name": "station_monitor", "namespace": "/",
    "parameters": {"module_ids": [1], "links": ["/grid/signal /nobody /nobody"]},
}  # fmt: skip
SIGNAL = {"kind": "grid_signal", "name": "grid_signal", "namespace": "/", "parameters": {"source_id": 5}}


class Process:
    """A host process; its events as they come."""

    def __init__(self, command: list[str], domain: int) -> None:
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONPATH": str(ROOT)}
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            cwd=ROOT,
        )  # fmt: skip
        self.events: list[dict[str, Any]] = []
        self.text: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)

    def send(self, cmd: str, **fields: object) -> None:
        self.line(json.dumps({"cmd": cmd, **fields}))

    def line(self, text: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(text + "\n")
        self.child.stdin.flush()

    def event(self, name: str, where: Callable[[dict[str, Any]], object] = lambda event: True) -> dict[str, Any]:
        """The next event of a name."""
        end_s = time.monotonic() + LONG_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end_s - time.monotonic()))
            except queue.Empty:
                self.child.kill()
                pytest.fail(f"no event {name}; got {self.events}, {self.text}, {self.errors()}")
            if not line.startswith("{"):
                self.text.append(line)
                continue
            event: dict[str, Any] = json.loads(line)
            self.events.append(event)
            if event["event"] == name and where(event):
                return event

    def errors(self) -> str:
        return self.child.communicate(timeout=LONG_S)[1]

    def end(self) -> int:
        """Exit code, once it has ended by itself."""
        return self.child.wait(LONG_S)


@pytest.fixture
def start(ros_domain_id: int) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def begin(*arguments: str) -> Process:
        processes.append(Process([sys.executable, "-m", "v2g_nodes.nodes.host", *arguments], ros_domain_id))
        return processes[-1]

    yield begin
    for process in processes:
        if process.child.poll() is None:
            process.child.kill()
        process.child.wait()
        for pipe in (process.child.stdin, process.child.stdout, process.child.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


Start = Callable[..., Process]


def test_from_warm_to_stopped(start: Start) -> None:
    """All of the protocol in the life of two processes."""
    host, watcher = start("ek3_01"), start("watch")
    warm = host.event("warm")
    assert warm["pid"] == host.child.pid
    watcher.event("warm")
    watcher.send("scout", seconds=0.1, names=["/ek3_01/module"])
    assert watcher.event("scout")["found"] == []
    host.line("")  # nothing
    host.send("role", nodes=[MODULE, DROOP])
    assert host.event("ready")["nodes"] == ["/ek3_01/module", "/ek3_01/droop"]
    for _ in range(50):
        watcher.send("scout", seconds=0.2, names=["/ek3_01/module", "/ek3_02/module"])
        if found := watcher.event("scout")["found"]:
            break
    assert found == ["/ek3_01/module"]
    watcher.send("role", nodes=[MONITOR])
    assert watcher.event("ready")["nodes"] == ["/station_monitor"]
    assert watcher.event("link")["missing"] == [["/grid/signal", "/nobody", "/nobody"]]
    table = watcher.event("table", lambda event: event["modules"][0]["mode"] == "STANDBY")
    assert table["modules"][0]["reason"] == "no grid signal"
    watcher.send("report")
    summary = watcher.event("summary")
    assert (summary["summary"]["epochs"], summary["series_file"]) == (0, "")
    host.send("role", nodes=[SIGNAL])
    assert "has its role already: /ek3_01/module" in host.event("error")["text"]
    host.event("stopped")
    assert host.end() == 1
    watcher.send("stop")
    watcher.event("stopped")
    assert watcher.end() == 0
    for process in (host, watcher):
        assert process.text == [], "nothing but events"
        assert "Traceback" not in process.errors()


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGINT"])
def test_it_ends_when_its_standard_input_does_or_when_told_by_a_signal(start: Start, how: str) -> None:
    host = start("ek3_01")
    host.event("warm")
    if how != "stdin":
        host.send("role", nodes=[MODULE, DROOP])
        host.event("ready")
        host.child.send_signal(signal.Signals[how])
    else:
        assert host.child.stdin is not None
        host.child.stdin.close()
    host.event("stopped")
    assert host.end() == 0


def test_parameters_are_set_while_it_runs(start: Start) -> None:
    host = start("ek3_01")
    host.event("warm")
    host.send("role", nodes=[MODULE, DROOP])
    host.event("ready")
    host.send("set", node="/ek3_01/module", parameters={"armed": False, "trial_clock_step_s": 5.0})
    refused = {
        ("/ek3_01/module", "p_max_kw"): (2.0, "read once"), ("/ek3_01/droop", "trial_clock_step_s"): (1e9, "allowed"),
        ("/ek3_01/droop", "nonsense"): (1, "nonsense"), ("/ek3_02/droop", "x"): (1, "(/ek3_01/module, /ek3_01/droop)"),
        ("/ek3_01/droop", "y"): ({}, "y"),
    }  # fmt: skip
    for (node, name), (value, why) in refused.items():
        host.send("set", node=node, parameters={name: value})
        text = host.event("refused")["text"]
        assert text.startswith(f"set {node} ")
        assert why in text
        assert "\n" not in text
    host.send("stop")
    host.event("stopped")
    assert [event["event"] for event in host.events].count("refused") == len(refused)


@pytest.mark.parametrize(
    ("module", "droop", "reached"),
    [
        ("active", "inactive", ["active", "inactive"]), ("inactive", "active", ["inactive", "inactive"]),
        ("unconfigured", "active", ["unconfigured", "unconfigured"]),
        ("finalized", "active", ["finalized", "unconfigured"]),
    ],
)  # fmt: skip
def test_nodes_are_brought_to_their_state_and_droop_no_further_than_its_module(
    start: Start, bench: Bench, module: str, droop: str, reached: list[str]
) -> None:
    host = start("ek3_01")
    host.send("role", nodes=[{**MODULE, "state": module}, {**DROOP, "state": droop}])
    host.event("ready")
    answers = [bench.ask(GetState, f"/ek3_01/{name}/get_state") for name in ("module", "droop")]
    assert [answer.current_state.label for answer in answers] == reached


def test_a_transition_that_is_asked_for_is_told(start: Start, bench: Bench) -> None:
    host = start("ek3_01")
    host.send("role", nodes=[MODULE, DROOP])
    host.event("ready")
    client = bench.peer.create_client(ChangeState, "/ek3_01/droop/change_state")
    bench.until(client.service_is_ready)
    for transition, state in ((Transition.TRANSITION_DEACTIVATE, "inactive"), (99, "inactive")):
        client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        bench.spin(1)
        assert host.event("state") == {"event": "state", "node": "/ek3_01/droop", "state": state}
    host.send("stop")
    host.event("stopped")
    assert [event["event"] for event in host.events].count("state") == 2, "the end of the process is none"


ROLES = [
    ([{**MODULE, "kind": "toaster"}], "node kind 'toaster', allowed module, droop"),
    ([{**MODULE, "parameters": {"p_max_kw": 900.0}}], "/ek3_01/module: parameter p_max_kw is 900.0, allowed 0.1 to"),
    ([{**MODULE, "parameters": {"powr": 1}}], "/ek3_01/module: unknown parameter powr"),
    ([{**MODULE, "parameters": {"soc_min": 0.9, "soc_max": 0.5}}], "/ek3_01/module: soc_min is 0.9, allowed below"),
    ([{**MODULE, "name": "not a name"}], "not a name"),
    ([{**MODULE, "state": "asleep"}], "role has state 'asleep' of module, allowed unconfigured, inactive, active,"),
    ([{"kind": "module"}], "allowed an object with kind (str), name (str), namespace (str), parameters (dict)"),
    ([DROOP], "module 1 is not in the process of its droop"),
    ([], "role is [], allowed a list of at least one node"),
]


@pytest.mark.parametrize(("nodes", "text"), ROLES, ids=[str(k) for k in range(len(ROLES))])
def test_a_bad_role_is_refused_in_one_line(start: Start, nodes: list[dict[str, Any]], text: str) -> None:
    host = start("ek3_01")
    host.send("role", nodes=nodes)
    assert text in host.event("error")["text"]
    host.event("stopped")
    assert host.end() == 2
    lines = [line for line in host.errors().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert text in lines[0]


@pytest.mark.parametrize("line", ["not json", "[1]", '{"cmd": "dance"}'])
def test_a_bad_command_is_refused(start: Start, line: str) -> None:
    host = start("ek3_01")
    host.line(line)
    assert line in host.event("error")["text"]
    assert host.end() == 2


def test_a_reader_that_is_gone_is_no_error(ros_domain_id: int) -> None:
    """The supervisor was killed: nobody reads the events any more, then standard input ends."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "v2g_nodes.nodes.host", "watch"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.PIPE, env=environment, text=True
    ) as child:
        os.close(writer)
        assert child.stdin is not None
        child.stdin.write(json.dumps({"cmd": "role", "nodes": [MONITOR]}) + "\n")
        child.stdin.flush()
        heard = b""
        while b'"ready"' not in heard:
            chunk = os.read(reader, 65536)
            assert chunk, "it has ended"
            heard += chunk
        os.close(reader)
        _, errors = child.communicate('{"cmd": "report"}\n', timeout=LONG_S)
        assert child.returncode == 0
        assert "Traceback" not in errors


# from a launch file and from the shell


def test_a_role_on_the_command_line(start: Start, bench: Bench) -> None:
    heard: list[GridSignal] = bench.heard(streams.GRID_SIGNAL)
    host = start("grid", "--role", json.dumps([SIGNAL]))
    bench.until(lambda: heard)
    assert heard[0].source_id == 5
    host.child.send_signal(signal.SIGTERM)
    assert host.end() == 0
    out, err = host.child.communicate()
    assert "Traceback" not in err
    assert out == "", "events are for a supervisor only"


@pytest.mark.parametrize(
    ("role", "text"), [("{", "{ is not JSON"), ("7", "role is 7, allowed a list"), ('[{"kind": 1}]', "role has node")]
)
def test_a_bad_role_on_the_command_line(start: Start, role: str, text: str) -> None:
    host = start("grid", "--role", role)
    assert host.end() == 2
    assert text in host.errors()


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[str], list[str]]:
    """The executable of a kind, as it is installed."""

    def install(kind: str) -> list[str]:
        path = tmp_path / kind
        path.write_text((ROOT / "scripts" / "node").read_text())
        return [sys.executable, str(path)]

    return install


def run_installed(command: list[str], domain: int) -> Process:
    return Process(command, domain)


def test_a_node_under_its_own_name_takes_ros_arguments(
    installed: Callable[[str], list[str]], bench: Bench, ros_domain_id: int
) -> None:
    heard: list[GridSignal] = bench.heard(streams.GRID_SIGNAL)
    arguments = ["--ros-args", "-p", "source_id:=9", "-r", "__node:=meter", "-r", "__ns:=/site"]
    process = run_installed([*installed("grid_signal"), *arguments], ros_domain_id)
    try:
        bench.until(lambda: heard)
        assert heard[0].source_id == 9
        bench.until(lambda: ("meter", "/site") in bench.peer.get_node_names_and_namespaces())
        process.child.send_signal(signal.SIGINT)
        assert process.end() == 0
        assert "Traceback" not in process.errors()
    finally:
        process.child.kill()
        process.child.wait()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-p", "source_id:=900"], "/grid_signal: parameter source_id is 900, allowed 1 to 255"),
        (["-p", "sorce:=csv"], "/grid_signal: unknown parameter sorce"),
        (["-p", "source:=csv"], "/grid_signal: frequency_csv is '' with source csv"),
        (["-p", "source_id"], "source_id"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_ros_arguments_end_it_with_one_line(
    installed: Callable[[str], list[str]], ros_domain_id: int, arguments: list[str], text: str
) -> None:
    process = run_installed([*installed("grid_signal"), "--ros-args", *arguments], ros_domain_id)
    assert process.end() == 2
    errors = process.errors()
    assert "Traceback" not in errors
    assert any(line.startswith("error: ") and text in line for line in errors.splitlines())


def test_the_last_records_have_reached_their_listeners_before_a_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, done = 128.0, []

    class Publisher:
        def wait_for_all_acked(self, timeout: Any) -> bool:  # noqa: ANN401 - rclpy's Duration
            nonlocal now_s
            done.append(timeout.nanoseconds / 1e9)
            now_s += timeout.nanoseconds / 1e9  # nobody confirms
            return False

    class Node:
        active, publishers = True, (Publisher(), Publisher())

        def trigger_deactivate(self) -> None:
            done.append("deactivated")

    host = Host.__new__(Host)
    monkeypatch.setattr(host, "_nodes", [Node(), Node()], raising=False)
    monkeypatch.setattr("v2g_nodes.nodes.host.time.monotonic", lambda: now_s)
    host._farewell()
    assert done == ["deactivated", "deactivated", *(pytest.approx(s, abs=1e-6) for s in (LAST_WORDS_S, 0, 0, 0))]
