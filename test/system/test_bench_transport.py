"""The floor benchmark with real processes: keys, samples, clean-up."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from v2g_nodes.core.errors import StartupError
from v2g_nodes.nodes import transport_floor
from v2g_nodes.nodes.transport_floor import measure_transport

LONG_S = 60.0  # a test that waits this long has failed
KEYS = ["modules", "processes", "round_ms_median", "round_ms_p99", "hop_ms_p99", "timer_jitter_ms_p99"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "v2g_nodes.cli.main", "bench", "transport", *arguments]


@pytest.mark.usefixtures("ros_domain_id")
def test_one_json_object_with_stable_keys() -> None:
    run = subprocess.run(
        command("--modules", "4", "--processes", "2", "--seconds", "0.6", "--json", "-"),
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=True,
    )
    result = json.loads(run.stdout)
    assert list(result)[: len(KEYS)] == KEYS
    assert (result["modules"], result["processes"]) == (4, 2)
    times = [result[key] for key in KEYS[2:]]
    assert all(math.isfinite(value) and value > 0 for value in times)
    assert result["round_ms_median"] <= result["round_ms_p99"]
    assert result["burst_round_ms_median"] > 0


@pytest.mark.parametrize("arguments", [("--modules", "0"), ("--modules", "4", "--processes", "5"), ("--seconds", "0")])
def test_bad_numbers_are_one_line(arguments: tuple[str, ...]) -> None:
    run = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=LONG_S, check=False)
    assert run.returncode == 2
    assert run.stdout == ""
    errors = [line for line in run.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "found" in errors[0]
    assert "allowed" in errors[0]


def probes_of(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def test_an_interrupt_leaves_no_process(ros_domain_id: int) -> None:
    run = subprocess.Popen(
        command("--modules", "3", "--seconds", "60"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        end_s = time.monotonic() + LONG_S
        while len(probes_of(run.pid)) < 3:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        probes = probes_of(run.pid)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=LONG_S)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130
    assert "Traceback" not in err
    assert not [pid for pid in probes if Path(f"/proc/{pid}").exists()]


@pytest.mark.usefixtures("ros_domain_id")
def test_probes_end_with_whoever_started_them() -> None:
    run = subprocess.Popen(command("--modules", "3", "--seconds", "60"), stderr=subprocess.DEVNULL)
    end_s = time.monotonic() + LONG_S
    while len(probes_of(run.pid)) < 3:
        assert time.monotonic() < end_s
        time.sleep(0.02)
    probes = probes_of(run.pid)
    run.kill()
    run.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in probes):
        assert time.monotonic() < end_s, "a probe outlives its parent"
        time.sleep(0.02)


@pytest.mark.usefixtures("ros_domain_id")
def test_a_probe_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_floor, "PROBE", ("-c", "import sys; sys.exit(3)"))
    with pytest.raises(StartupError, match=r"transport probe \(ring\) ended early"):
        measure_transport(2, 2, 0.5)
    assert not probes_of(os.getpid())


@pytest.mark.usefixtures("ros_domain_id")
def test_a_silent_probe_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_floor, "PROBE", ("-c", "import sys; sys.stdin.read()"))
    monkeypatch.setattr(transport_floor, "READY_LIMIT_S", 0.2)
    with pytest.raises(StartupError, match=r"2 of 2 transport probes silent for 0\.2 s"):
        measure_transport(2, 2, 0.5)
    assert not probes_of(os.getpid())
