"""`v2g record`: a rosbag2 folder of what the station that runs in this ROS domain says."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from v2g_nodes.bringup_launch import security_environment
from v2g_nodes.bringup_network import network_environment
from v2g_nodes.cli.folders import new_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.station import load_station

if TYPE_CHECKING:
    from v2g_nodes.nodes.recorder_node import RecorderNode
    from v2g_nodes.nodes.spin import RosProcess

NICE = 10  # control goes first
SHOW_S = 1.0


def record(
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="A new folder. [default: v2g_DATE-TIME]")
    ] = None,
    station: Annotated[
        str | None, typer.Option(metavar="FILE", help="Station file; kept in the bag, and says how far to look.")
    ] = None,
    topics: Annotated[
        list[str] | None, typer.Option(metavar="REGEX", help="Topics to record; may be given often. [default: all]")
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Wall time to record for [s]. [default: until Ctrl-C]")] = None,
    json: Json = None,
) -> None:
    """Record the topics of a running station, however it was started, as a rosbag2 folder with MCAP storage.

    `v2g replay` makes its decisions again; `ros2 bag info` and `ros2 bag play` know the folder too. Topics that appear
    later are taken in. Exit code 1 when nothing was heard or the disk was full.
    """
    if duration is not None and not (math.isfinite(duration) and duration > 0.0):
        raise InputError(f"--duration {duration:g}, allowed above 0")
    check_writable(json)
    where = output or time.strftime("v2g_%Y_%m_%d-%H_%M_%S")
    folder = new_folder(where, "--output")
    known = None if station is None else load_station(station)
    os.environ.update(network_environment(known, os.environ))
    os.environ.update(security_environment("recorder", os.environ))
    os.nice(NICE)
    from v2g_nodes.nodes.recorder_node import NAP_S, RecorderNode  # rclpy reads the environment when it starts
    from v2g_nodes.nodes.spin import RosProcess, leave

    process = RosProcess()
    parameters: dict[str, object] = {"folder": folder, "topics": tuple(topics or ())}
    if station is not None:
        parameters["station"] = Path(station).read_text(encoding="utf-8")
    node = RecorderNode(f"recorder_{os.getpid()}", "/", parameters, process.context)  # others may record too
    process.add(node)
    node.trigger_configure()
    if node.failure is not None:
        process.close()
        raise node.failure if isinstance(node.failure, InputError) else StartupError(str(node.failure))
    node.trigger_activate()
    begun_s = time.monotonic()
    _spin(process, node, begun_s, duration, NAP_S)
    node.trigger_deactivate()
    node.trigger_cleanup()
    text = node.failure_text or ("" if node.bag.samples else "nothing was heard: does a station run in this domain?")
    emit(
        {"bag": str(node.bag.folder), "duration_s": round(time.monotonic() - begun_s, 3), "topics": node.topics,
         "samples": node.bag.samples, "samples_missed": node.missed, "cpu_s": round(time.process_time(), 3),
         "verdict": text or "ok"},
        json, "record",
    )  # fmt: skip
    if text:
        print(f"v2g: error: {text}", file=sys.stderr)
    process.close()
    leave(1 if text else 0)


def _spin(process: RosProcess, node: RecorderNode, begun_s: float, seconds: float | None, nap_s: float) -> None:
    """Serve until stopped, the time is up or nothing can be written; a line on the terminal says how it goes."""
    console = Console(stderr=True)
    with console.status("recording; Ctrl-C ends it") as status:
        shown_s = begun_s
        while process.stop_reason is None and not node.failure_text:
            left_s = SHOW_S if seconds is None else begun_s + seconds - time.monotonic()
            if left_s <= 0.0:
                return
            process.executor.spin_once(timeout_sec=min(left_s, SHOW_S))
            time.sleep(nap_s)
            if time.monotonic() - shown_s >= SHOW_S:
                shown_s = time.monotonic()
                heard = f"{node.bag.samples} samples of {node.topics} topics"
                status.update(f"recording {shown_s - begun_s:.0f} s: {heard}")
