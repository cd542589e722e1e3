"""`v2g can log`: record the bus in a file that other tools read too."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.canbus.recording import Recorder, check_name
from v2g_nodes.cli.can_bus import Channel, Duration, Interface, StationFile, check_duration, choose_bus, listen
from v2g_nodes.core.errors import InputError


def can_log(
    file: Annotated[str, typer.Argument(help="New file; its ending says how: .blf (binary) or .asc (text).")],
    station: StationFile = None,
    interface: Interface = None,
    channel: Channel = None,
    duration: Duration = None,
) -> None:
    """Record every frame of the bus, of both if there are two, exactly as it was.

    Ends with Ctrl-C or after --duration. `v2g can dump --file FILE` decodes the recording, `v2g can replay` plays it.
    """
    check_duration(duration)
    if check_name(file).exists():
        raise InputError(f"{file} is there already, allowed is a new file")
    choice = choose_bus(station, interface, channel)
    begun_s = time.monotonic()
    with Recorder(file) as recorder:
        for turn in listen(choice.settings, duration):
            for bus, frame, unix_ns in turn:
                recorder.write(bus, frame, unix_ns)
            if sys.stderr.isatty():
                print(f"\rv2g │ {_progress(recorder.frames, begun_s)}", end="", file=sys.stderr, flush=True)
    lead = "\r" if sys.stderr.isatty() else ""
    size = Path(file).stat().st_size
    print(f"{lead}v2g │ {file}: {_progress(recorder.frames, begun_s)}, {size / 1e3:.0f} kB", file=sys.stderr)


def _progress(frames: int, begun_s: float) -> str:
    return f"{frames} frames in {time.monotonic() - begun_s:.1f} s"
