"""What the CAN link costs on a bus of processes: frames without loss, one-way latency, processor time per frame.

    .venv/bin/python benchmarks/can_link.py [--rate 1000] [--burst 1] [--seconds 5] [--payload 64] [--json FILE]

Four processes: one sends numbered frames, one wants them all, two want none of them: one with the filter in the kernel,
one with the filter in Python as python-can does it. Latency is from just before `send` to the callback, on the clock
that all processes of a machine share. Processor time is that of the whole process during the run, per frame on the bus;
what a process without any frames uses in the same time (its thread wakes ten times a second) is not taken off.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import struct
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from v2g_nodes.canbus import multicast_filter
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame

IDENTIFIER = 0x09_81_FF_20  # a CURVE of module 1: priority 2, status, source 129, broadcast
HEAD = struct.Struct("<IQ")  # number, sent at [ns]
SETTLE_S = 0.5


def listen(pipe: Connection, settings: CanSettings, wants: bool, in_kernel: bool) -> None:
    """Count frames until told to stop; report what was seen."""
    numbers: list[int] = []
    latencies_ns: list[int] = []
    batches: list[int] = []

    def hear(frames: list[WireFrame]) -> None:
        now_ns = time.monotonic_ns()
        batches.append(len(frames))
        for frame in frames:
            number, sent_ns = HEAD.unpack_from(frame.payload)
            numbers.append(number)
            latencies_ns.append(now_ns - sent_ns)

    if not in_kernel:
        multicast_filter.attach = lambda *_: False
    with Link(settings, hear, filters=[(0x20 if wants else 0x7F, 0xFF)]) as link:
        pipe.send("ready")
        pipe.recv()
        cpu_s = time.process_time()
        pipe.recv()
        cpu_s = time.process_time() - cpu_s
    pipe.send({
        "frames": len(numbers),
        "in_order": numbers == sorted(numbers),
        "batches": len(batches),
        "latency_ms_median": float(np.median(latencies_ns)) * 1e-6 if numbers else None,
        "latency_ms_p99": float(np.quantile(latencies_ns, 0.99)) * 1e-6 if numbers else None,
        "cpu_s": cpu_s,
        "state": link.state._asdict(),
    })


def talk(settings: CanSettings, rate_hz: float, burst: int, seconds: float, payload: int) -> dict[str, Any]:
    """Send as asked; 0 Hz is as fast as it goes."""
    rest = bytes(payload - HEAD.size)
    sent = 0
    with Link(settings, lambda frames: None, filters=[(0x7F, 0xFF)]) as link:
        cpu_s, began_s = time.process_time(), time.monotonic()
        while (elapsed_s := time.monotonic() - began_s) < seconds:
            if rate_hz and sent > elapsed_s * rate_hz:
                time.sleep(max(sent / rate_hz - elapsed_s, 0.0))
            for _ in range(burst):
                link.send(WireFrame(IDENTIFIER, HEAD.pack(sent, time.monotonic_ns()) + rest))
                sent += 1
        cpu_s, elapsed_s = time.process_time() - cpu_s, time.monotonic() - began_s
    return {"sent": sent, "seconds": elapsed_s, "cpu_s": cpu_s, "state": link.state._asdict()}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0, help="frames/s; 0 = as fast as it goes")
    parser.add_argument("--burst", type=int, default=1, help="frames sent at once")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--payload", type=int, default=64, help="bytes, at least 12")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()

    settings = CanSettings(port=20_000 + os.getpid() % 10_000)
    spawn = multiprocessing.get_context("spawn")
    kinds = {"wanted": (True, True), "unwanted_kernel": (False, True), "unwanted_python": (False, False)}
    pipes: dict[str, Connection] = {}
    for kind, (wants, in_kernel) in kinds.items():
        pipes[kind], theirs = spawn.Pipe()
        spawn.Process(target=listen, args=(theirs, settings, wants, in_kernel), daemon=True).start()
    for pipe in pipes.values():
        pipe.recv()
    for pipe in pipes.values():
        pipe.send("begin")
    sender = talk(settings, options.rate, options.burst, options.seconds, options.payload)
    time.sleep(SETTLE_S)
    for pipe in pipes.values():
        pipe.send("end")
    heard = {kind: pipe.recv() for kind, pipe in pipes.items()}

    sent = sender["sent"]
    figures = {
        "frames_sent": sent,
        "frames_per_s": round(sent / sender["seconds"]),
        "frames_lost": sent - heard["wanted"]["frames"],
        "in_order": heard["wanted"]["in_order"],
        "frames_per_wake": round(heard["wanted"]["frames"] / max(heard["wanted"]["batches"], 1), 2),
        "latency_ms_median": heard["wanted"]["latency_ms_median"],
        "latency_ms_p99": heard["wanted"]["latency_ms_p99"],
        "sender_us_per_frame": round(1e6 * sender["cpu_s"] / sent, 1),
        **{f"{kind}_us_per_frame": round(1e6 * report["cpu_s"] / sent, 2) for kind, report in heard.items()},
    }
    for name, value in figures.items():
        print(f"{name:28} {value if not isinstance(value, float) else round(value, 3)}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
