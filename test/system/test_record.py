"""A live station recorded from inside and from beside, and made again from either bag."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader

LONG_S = 120.0
V2G = (sys.executable, "-m", "v2g_nodes.cli.main")


def start(log: Path, *words: str) -> subprocess.Popen[str]:
    with log.open("w") as errors:
        return subprocess.Popen([*V2G, *words], stdout=subprocess.PIPE, stderr=errors, text=True)


def result(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    output, _ = process.communicate(timeout=LONG_S)
    assert process.returncode == 0, log.read_text()
    told: dict[str, Any] = json.loads(output)
    return told


def replayed(bag: Path, rows: Path) -> dict[str, Any]:
    words = ["replay", str(bag), "-o", str(rows), "--json", "-"]
    done = subprocess.run([*V2G, *words], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_run_is_made_again_from_its_bag(tmp_path: Path, ros_domain_id: int) -> None:
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    up_log, record_log = tmp_path / "up.txt", tmp_path / "record.txt"
    record = start(record_log, "record", "-o", str(beside), "--duration", "20", "--json", "-")
    up = start(up_log, "up", "--modules", "2", "--topology", "line", "--duration", "6", "--headless", "--json", "-",
               "--record", str(inside))  # fmt: skip
    try:
        run, recorded = result(up, up_log), result(record, record_log)
    finally:
        for process in (up, record):
            if process.poll() is None:
                process.terminate()
                process.wait(LONG_S)
    assert run["duration_s"] >= 6.0
    assert "samples of" in up_log.read_text()
    told = replayed(inside, tmp_path / "a.csv")
    assert (told["differing"], told["records_lost"]) == (0, 0)
    assert told["agreements"] >= 2 * 2
    assert told["base_setpoints"] > 0
    assert told["droop_ticks"] > 2 * 200
    replayed(inside, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (recorded["verdict"], recorded["bag"]) == ("ok", str(beside))
    assert replayed(beside, tmp_path / "c.csv")["differing"] == 0
    with AnyReader([inside]) as reader:
        topics = {one.topic for one in reader.connections}
    for k in (1, 2):
        streams = ["applied", "base_setpoint", "curve", "decision_record", "neighbor_state", "status"]
        parameters = [f"{node}/parameters_in_force" for node in ("module", "droop", "optimizer")]
        assert {f"/ek3_{k:02d}/{name}" for name in (*streams, *parameters)} <= topics
    assert {"/grid/signal", "/market/plan", "/diagnostics", "/grid/meter", "/station/status"} <= topics
