"""`v2g can replay`: play a recording back onto a bus of processes, as a source for tests and tools."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Annotated

import typer

from v2g_nodes.canbus.link import NAMES, Link
from v2g_nodes.canbus.recording import read_recording
from v2g_nodes.canbus.settings import MULTICAST, CanSettings
from v2g_nodes.cli.can_bus import Channel, Interface, StationFile, choose_bus
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.core.errors import InputError

SPEED = (0.01, 1000.0)
TURN_S = 0.1  # longest sleep, so that a stop is seen


def can_replay(
    file: Annotated[str, typer.Argument(help="Recording, .blf or .asc.")],
    station: StationFile = None,
    interface: Interface = None,
    channel: Channel = None,
    speed: Annotated[float, typer.Option(help="Times as fast as it was.")] = 1.0,
) -> None:
    """Send the frames of a recording again, at their distances in time.

    A replay speaks for others, set-points included, so a bus that may have hardware on it is refused: allowed are
    udp_multicast and vcan. Receivers with a key refuse all of it as stale.
    """
    if not SPEED[0] <= speed <= SPEED[1]:
        raise InputError(f"--speed {speed:g}, allowed {SPEED[0]:g} to {SPEED[1]:g}")
    settings = choose_bus(station, interface, channel).settings
    check_harmless(settings)
    frames = list(read_recording(file))
    print(f"v2g │ {len(frames)} frames to {settings.interface} {' and '.join(settings.channels)}", file=sys.stderr)
    links = {bus: Link(replace(settings, channel=group, backup_channel=""), lambda _: None, name=f"replay {bus}")
             for bus, group in zip(NAMES, settings.channels, strict=False)}  # fmt: skip
    begun_s = time.monotonic()
    sent = 0
    with StopSignals() as stop:
        for link in links.values():
            link.start()
        try:
            for bus, frame in frames:
                due_s = begun_s + (frame.received_ns - frames[0][1].received_ns) / 1e9 / speed
                while not stop.requested and (left_s := due_s - time.monotonic()) > 0.0:
                    time.sleep(min(left_s, TURN_S))
                if stop.requested:
                    break
                if bus in links:
                    links[bus].send(frame)
                    sent += 1
        finally:
            for link in links.values():
                link.close()
    print(f"v2g │ {sent} frames sent in {time.monotonic() - begun_s:.1f} s", file=sys.stderr)


def check_harmless(settings: CanSettings) -> None:
    """Refuse a bus that may have hardware on it.

    Raises:
        InputError: it is neither of processes nor virtual.
    """
    virtual = settings.interface in (MULTICAST, "virtual") or (
        settings.interface == "socketcan" and all(channel.startswith("vcan") for channel in settings.channels))
    if not virtual:
        raise InputError(f"replay onto {settings.interface} {settings.channel}, allowed are udp_multicast and vcan: it "
                         "would speak for modules and their controllers")
