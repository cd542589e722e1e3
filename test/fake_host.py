"""Stands in for v2g_nodes.nodes.host: speaks the protocol, knows no ROS. Behaves as its role's parameters say.

Every command it hears is appended to the file FAKE_LOG as `pid name command`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

NAME = sys.argv[1]


def emit(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def note(command: str) -> None:
    with Path(os.environ["FAKE_LOG"]).open("a") as log:
        log.write(f"{os.getpid()} {NAME} {command}\n")


def take(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    wishes = dict(nodes[0]["parameters"])
    state = {"state": nodes[0]["state"]} if "state" in nodes[0] else {}
    note(f"role {nodes[0]['name']} {json.dumps(wishes | state)}")
    print(f"[WARN] [1.5] [{nodes[0]['name']}]: log of {nodes[0]['name']}", file=sys.stderr, flush=True)
    if "error" in wishes:
        emit("error", text=wishes["error"])
        sys.exit(1)
    if "last_words" in wishes:
        print(wishes["last_words"], file=sys.stderr, flush=True)
        sys.exit(3)
    if wishes.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if wishes.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "put_in" in wishes and not state:  # somebody asks for a transition
        emit("state", node=f"{nodes[0]['namespace']}/{nodes[0]['name']}", state=wishes["put_in"])
    if not wishes.get("never_ready"):
        emit("ready", nodes=[node["name"] for node in nodes])
    if nodes[0]["kind"] == "station_monitor":
        emit("link", missing=[["/grid/signal", "/grid_signal", "/ek3_01/droop"], *wishes.get("missing_links", [])])
        emit("table", members=2)
        emit("link", missing=wishes.get("missing_links", []))
    if wishes.get("asleep"):
        time.sleep(1000.0)
    return wishes


def report(wishes: dict[str, Any]) -> None:
    """Figures and series as the monitor gives them; FAKE_FIGURES lays others over them."""
    figures = {
        "epochs": 3, "members": len(wishes.get("module_ids", ())), "gap_max": 1e-5, "balance_error_kw_max": 1e-6,
        "constraint_violations": 0, "gate_clips": 0, "text": "x" * wishes.get("long", 0),
    } | json.loads(os.environ.get("FAKE_FIGURES", "{}"))  # fmt: skip
    if wishes.get("series_file"):
        note(f"links {len(wishes['links'])}")
        series = {"time_s": [1.0, 2.0], "clipped_target_kw": [1.0, None], "frequency_hz": [49.9, 50.0]}
        Path(wishes["series_file"]).write_text(json.dumps(series))
    emit("summary", summary=figures)


def main() -> None:
    note("start")
    note(f"ros_log {os.environ.get('ROS_LOG_DIR')}")
    if NAME == "spare" and os.environ.get("FAKE_SPARE_DIES"):
        sys.exit(4)
    emit("warm", pid=os.getpid())
    print("not JSON {", flush=True)
    wishes: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "role":
            wishes = take(request["nodes"])
            continue
        note(request["cmd"])
        if request["cmd"] == "scout":
            emit("scout", found=json.loads(os.environ.get("FAKE_FOUND", "[]")))
        elif request["cmd"] == "report":
            report(wishes)
        elif request["cmd"] == "stop":
            break
    while wishes.get("deaf"):
        time.sleep(0.1)
    note("stopped")
    emit("stopped")


if __name__ == "__main__":
    main()
