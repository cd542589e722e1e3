"""Random, cut, damaged and replayed CAN-FD frames into what listens to the bus: nothing wrong may have an effect.

    .venv/bin/python benchmarks/can_fuzz.py --frames 1000000 --seed 1 [--target listener] [--json -]

Each target is fired at twice, without and with a key. Exit code 1 when a frame was wrongly accepted or refused, or when
the process grew by more than 8 MiB after the first tenth. The bridge is a ROS node and needs the messages ./v2g builds.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy

from v2g_nodes.nodes.fuzz_bridge import BridgeTarget
from v2g_nodes.sim.frame_fuzz import FrameFuzz, FuzzClock, FuzzTarget
from v2g_nodes.sim.fuzz_device import DeviceTarget
from v2g_nodes.sim.fuzz_listener import ListenerTarget

TARGETS: dict[str, Callable[[bytes | None, FuzzClock], FuzzTarget]] = {
    "bridge": lambda key, clock: BridgeTarget(key, clock, rclpy.get_default_context()),
    "device": DeviceTarget,
    "listener": ListenerTarget,
}
KEY = bytes(range(16))
WARM_UP_SHARE = 0.1  # of the frames: all tables are filled by then
CHUNK = 10_000  # frames
GROWTH_MAX_KIB = 8192
SHOW_EVERY_S = 10.0


def rss_kib() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def campaign(target: str, key: bytes | None, seed: int, frames: int) -> dict[str, Any]:
    clock = FuzzClock()
    fuzz = FrameFuzz(TARGETS[target](key, clock), clock, seed)
    name = f"{target} {'with' if key else 'without'} a key"
    fuzz.run(int(frames * WARM_UP_SHARE))
    before_kib, began_s = rss_kib(), time.perf_counter()
    shown_s = began_s
    left = frames - int(frames * WARM_UP_SHARE)
    while left > 0:
        fuzz.run(min(CHUNK, left))
        left -= CHUNK
        if time.perf_counter() - shown_s > SHOW_EVERY_S:
            shown_s = time.perf_counter()
            print(f"{name}: {fuzz.report.frames.total()} frames, {fuzz.report.faults_total} faults", file=sys.stderr)
    took_s = time.perf_counter() - began_s
    return {
        "target": target,
        "keyed": key is not None,
        "frames": fuzz.report.frames.total(),
        "by_kind": dict(fuzz.report.frames),
        "faults_total": fuzz.report.faults_total,
        "faults": fuzz.report.faults,
        "rss_before_kib": before_kib,
        "rss_growth_kib": rss_kib() - before_kib,
        "us_per_frame": round(took_s * 1e6 / (frames - int(frames * WARM_UP_SHARE)), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000, help="into each target, without and with a key each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one (may be repeated)")
    parser.add_argument("--json", help="where to write the figures; - = standard output")
    options = parser.parse_args()
    if options.frames < 100:
        parser.error(f"--frames is {options.frames}, allowed 100 or more")
    rclpy.init()
    campaigns = []
    for target in options.target or sorted(TARGETS):
        for key in (None, KEY):
            figures = campaign(target, key, options.seed, options.frames)
            campaigns.append(figures)
            shown = {name: value for name, value in figures.items() if name != "by_kind"}
            print("  ".join(f"{name} {value}" for name, value in shown.items()), file=sys.stderr)
    text = json.dumps({"seed": options.seed, "campaigns": campaigns}, indent=2)
    if options.json == "-":
        print(text)
    elif options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    rclpy.try_shutdown()
    return int(any(c["faults_total"] or c["rss_growth_kib"] > GROWTH_MAX_KIB for c in campaigns))


if __name__ == "__main__":
    sys.exit(main())
