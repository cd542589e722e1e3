"""However a ROS process is asked to end, it says its last safe message, leaves in order and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2g_nodes.bringup_dds import loopback_environment

LONG_S = 30.0  # a test that waits this long has failed

PROGRAM = """
import sys, threading, time
from pathlib import Path
from rclpy.lifecycle import LifecycleNode
from v2g_nodes.bringup_dds import check_loopback
from v2g_nodes.nodes import spin
from v2g_nodes.nodes.spin import RosProcess, leave
from v2g_nodes.msg import Curve

def say(*words):
    print(*words, flush=True)

spin.WAKE_LIMIT_S = 3600.0  # so that only what has to wake it does
process = RosProcess()
node = LifecycleNode("ends", context=process.context)
process.add(node)
check_loopback()
publisher = node.create_publisher(Curve, "/ends", 10)

def participants():
    return sum((task / "comm").read_text().startswith("dds.ev") for task in Path("/proc/self/task").iterdir())

def farewell():
    assert participants() == 1
    publisher.publish(Curve())
    say("farewell")

def line(text):
    say("line", text, threading.current_thread() is threading.main_thread())
    if text == "fail":
        raise RuntimeError("callback failed")
    if text == "hang":
        process.on_stop(lambda: time.sleep(1000))
    if text == "fail last":
        process.on_stop(lambda: 1 / 0)

process.on_stop(farewell)
process.watch_stdin(line)
say("ready")
code = 1
try:
    code = process.run()
finally:
    if participants():
        say("a DDS participant is left")
    say("left:", process.stop_reason)
    if sys.argv[1:] == ["leave"]:
        leave(code)
sys.exit(code)
"""


@pytest.fixture
def start(ros_domain_id: int) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    environment = {**os.environ, **loopback_environment(os.environ)}

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


@pytest.mark.parametrize("way_out", ["", "leave"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(start: Callable[..., subprocess.Popen[str]], number: signal.Signals, way_out: str) -> None:
    process = start(way_out)
    time.sleep(0.4)  # most likely in its wait for work then
    process.send_signal(number)
    process.wait(LONG_S)  # with its standard input still open
    out, err = process.communicate(timeout=LONG_S)
    assert (out.splitlines(), err) == (["farewell", f"left: {number.name}"], "")
    assert process.returncode == 0


def test_lines_come_in_order_and_their_end_stops_it(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start()
    lines = [f"number {k}" for k in range(50)]
    out, err = process.communicate("\n".join(lines), timeout=LONG_S)  # the last one without an end of line
    expected = [f"line {line} True" for line in lines]
    assert (out.splitlines(), err) == ([*expected, "farewell", "left: standard input was closed"], "")
    assert process.returncode == 0


def test_a_failing_callback_ends_it_in_order(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start()
    tell(process, "fail\n")
    out, err = process.communicate(timeout=LONG_S)
    assert out.splitlines() == ["line fail True", "farewell", "left: RuntimeError: callback failed"]
    assert "RuntimeError: callback failed" in err
    assert process.returncode == 1


def test_a_failing_farewell_does_not_keep_the_others_from_theirs(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start()
    out, err = process.communicate("fail last\n", timeout=LONG_S)
    assert "farewell" in out.splitlines()
    assert "ZeroDivisionError" in err
    assert process.returncode == 1


def test_a_hanging_exit_is_cut_short(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start()
    out, _ = process.communicate("hang\n", timeout=LONG_S)
    assert "left:" not in out
    assert process.returncode == -signal.SIGALRM


def test_a_second_signal_ends_it_at_once(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start()
    tell(process, "hang\n")
    assert process.stdout is not None
    assert process.stdout.readline() == "line hang True\n"
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:  # until the first one has been taken
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 128 + signal.SIGTERM


def test_a_killed_process_leaves_no_shared_memory(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start()
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "/dev/shm/fastrtps" not in maps
    process.kill()
    assert process.wait(LONG_S) == -signal.SIGKILL
