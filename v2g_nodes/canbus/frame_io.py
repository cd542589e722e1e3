"""Frames out of python-can's buses and into them, never waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import can
from can.interfaces.socketcan import SocketcanBus

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


class _Seen(NamedTuple):
    identifier: int
    data: bytes
    is_error: bool
    is_ours: bool
    unix_s: float  # time of arrival; 0 = the bus does not tell


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
    wall_s = time.time()
    for seen in islice(_waiting(bus, first), most):
        if seen.is_error:
            error_frames += _is_fault(bus, seen.identifier)
            bus_off = bus_off or _is_bus_off(bus, seen.identifier)
        elif seen.is_ours:
            waited_ns = int((wall_s - seen.unix_s) * 1e9) if seen.unix_s else 0
            received_ns = now_ns - waited_ns if 0 < waited_ns < LONGEST_WAIT_NS else now_ns
            frames.append(WireFrame(seen.identifier, seen.data, received_ns))
        else:
            foreign += 1
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
    message = can.Message(
        arbitration_id=frame.identifier,
        data=frame.payload,
        dlc=len(frame.payload),
        is_extended_id=True,
        is_fd=True,
        bitrate_switch=True,
        check=False,
    )
    bus.send(message, timeout=0)


def _waiting(bus: can.BusABC, first: can.Message | None) -> Iterator[_Seen]:
    if isinstance(bus, LoopbackMulticastBus):  # without a can.Message in between, which costs as much as the rest
        while (fields := bus.read()) is not None:
            is_ours = fields["is_extended_id"] and fields["is_fd"] and not fields["is_remote_frame"]
            yield _Seen(
                fields["arbitration_id"], fields["data"], fields["is_error_frame"], is_ours, fields["timestamp"]
            )
        return
    has_unix_s = isinstance(bus, SocketcanBus)  # other adapters have clocks of their own
    message = first or bus.recv(timeout=0)
    while message is not None:
        yield _Seen(
            message.arbitration_id,
            bytes(message.data),
            message.is_error_frame,
            message.is_extended_id and message.is_fd and not message.is_remote_frame,
            message.timestamp if has_unix_s else 0.0,
        )
        message = bus.recv(timeout=0)


def _is_fault(bus: can.BusABC, error_class: int) -> bool:
    """SocketCAN reports lost arbitration and restarts as error frames too."""
    return not isinstance(bus, SocketcanBus) or bool(error_class & ~(LOST_ARBITRATION | RESTARTED))


def _is_bus_off(bus: can.BusABC, error_class: int) -> bool:
    if isinstance(bus, SocketcanBus):
        return bool(error_class & BUS_OFF)
    return bus.state is can.BusState.ERROR
