"""Frames out of python-can's buses and into them, never waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import can
from can.interfaces.socketcan import SocketcanBus

from v2g_nodes.canbus.bus import frame_of, message_of
from v2g_nodes.canbus.multicast import LoopbackMulticastBus
from v2g_nodes.canbus.wire_frame import WireFrame

LOST_ARBITRATION, BUS_OFF, RESTARTED = 0x2, 0x40, 0x100  # error classes, linux/can/error.h
LONGEST_WAIT_NS = 60_000_000_000  # a longer one between arrival and reading is a clock that was set


class Reading(NamedTuple):
    """What had come in.

    Args:
        frames: CAN-FD data frames with 29-bit identifier, in the order they came.
        error_frames: error frames that tell of a fault.
        foreign: frames of other kinds.
        bus_off: whether the controller has left the bus.
    """

    frames: list[WireFrame]
    error_frames: int
    foreign: int
    bus_off: bool


def read(bus: can.BusABC, most: int, now_ns: int, first: can.Message | None = None) -> Reading:
    """Read what waits.

    Args:
        bus: to be read.
        most: at most so many frames.
        now_ns: steady time [ns].
        first: a message read before.

    Raises:
        can.CanError: the bus can't be read.
        OSError: likewise.
    """
    frames: list[WireFrame] = []
    error_frames = foreign = 0
    bus_off = False
    for seen in islice(_waiting(bus, now_ns, first), most):
        if isinstance(seen, WireFrame):
            frames.append(seen)
        elif seen is None:
            foreign += 1
        else:
            error_frames += _is_fault(bus, seen)
            bus_off = bus_off or _is_bus_off(bus, seen)
    return Reading(frames, error_frames, foreign, bus_off)


def write(bus: can.BusABC, frame: WireFrame) -> None:
    """Give a frame to the bus.

    Raises:
        can.CanError: the bus did not take it.
        OSError: likewise.
    """
    if isinstance(bus, LoopbackMulticastBus):
        bus.write(frame.identifier, frame.payload)
        return
    bus.send(message_of(frame), timeout=0)


def _waiting(bus: can.BusABC, now_ns: int, first: can.Message | None) -> Iterator[WireFrame | int | None]:
    """Frames, classes of error frames, and None for what is neither."""
    wall_s = time.time()
    if isinstance(bus, LoopbackMulticastBus):  # without a can.Message in between, which costs as much as the rest
        while (fields := bus.read()) is not None:
            if fields["is_error_frame"]:
                yield fields["arbitration_id"]
            elif fields["is_extended_id"] and fields["is_fd"] and not fields["is_remote_frame"]:
                received_ns = _arrival_ns(fields["timestamp"], wall_s, now_ns)
                yield WireFrame(fields["arbitration_id"], fields["data"], received_ns)
            else:
                yield None
        return
    tells_unix_time = isinstance(bus, SocketcanBus)  # other adapters have clocks of their own
    message = first or bus.recv(timeout=0)
    while message is not None:
        if message.is_error_frame:
            yield message.arbitration_id
        else:
            yield frame_of(message, _arrival_ns(message.timestamp, wall_s, now_ns) if tells_unix_time else now_ns)
        message = bus.recv(timeout=0)


def _arrival_ns(unix_s: float, wall_s: float, now_ns: int) -> int:
    """Steady time of what the kernel stamped, so that frames a stopped process finds waiting are as old as they are."""
    waited_ns = int((wall_s - unix_s) * 1e9)
    return now_ns - waited_ns if 0 < waited_ns < LONGEST_WAIT_NS else now_ns


def _is_fault(bus: can.BusABC, error_class: int) -> bool:
    """SocketCAN reports lost arbitration and restarts as error frames too."""
    return not isinstance(bus, SocketcanBus) or bool(error_class & ~(LOST_ARBITRATION | RESTARTED))


def _is_bus_off(bus: can.BusABC, error_class: int) -> bool:
    if isinstance(bus, SocketcanBus):
        return bool(error_class & BUS_OFF)
    return bus.state is can.BusState.ERROR
