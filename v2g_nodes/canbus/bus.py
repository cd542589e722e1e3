"""Opens python-can's buses as the station file says, and turns their messages into frames and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import can
from can.typechecking import CanFilters

from v2g_nodes.canbus.multicast import LoopbackMulticastBus
from v2g_nodes.canbus.settings import MULTICAST, CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

RATE_SET_ELSEWHERE = ("socketcan", "virtual")  # SocketCAN: `ip link set can0 type can bitrate ...`
# python-can logs what it also raises; a link tells it once instead of with each attempt to open an adapter
logging.getLogger("can").setLevel(logging.CRITICAL)

Filter = tuple[int, int]  # identifier, mask: wanted when the identifiers agree in the bits of the mask


def open_bus(settings: CanSettings, channel: str, filters: Sequence[Filter] = (), own_echo: bool = False) -> can.BusABC:
    """Open one bus for CAN-FD.

    Args:
        settings: interface, rates, options.
        channel: bus A's or bus B's.
        filters: what is wanted; empty = everything. Done by the adapter or the kernel where it can.
        own_echo: whether own frames come back, marked by nothing.

    Raises:
        InputError: python-can has no such interface, or it refuses the settings as such.
        can.CanError: the bus can't be opened now.
        OSError: likewise.
    """
    wanted: CanFilters | None = [
        {"can_id": identifier, "can_mask": mask, "extended": True} for identifier, mask in filters
    ] or None
    options = dict(settings.options)
    if settings.interface == MULTICAST:
        if options:
            raise InputError(f"can.options has {sorted(options)}, allowed none with can.interface {MULTICAST!r}")
        return LoopbackMulticastBus(channel, settings.port, own_echo, wanted)
    arguments: dict[str, Any] = {"receive_own_messages": own_echo, "can_filters": wanted}
    arguments |= {"protocol": can.CanProtocol.CAN_FD} if settings.interface == "virtual" else {"fd": True}
    if settings.interface not in RATE_SET_ELSEWHERE:
        arguments |= {"bitrate": settings.bitrate, "data_bitrate": settings.data_bitrate}
    try:
        return can.Bus(channel, settings.interface, ignore_config=True, **(arguments | options))
    except NotImplementedError as error:
        raise InputError(
            f"can.interface is {settings.interface!r}: {error}; allowed {', '.join(sorted(can.VALID_INTERFACES))}"
        ) from error
    except (ValueError, TypeError) as error:  # how python-can's buses refuse arguments
        raise InputError(f"can.options is {options!r} with can.interface {settings.interface!r}: {error}") from error


def message_of(frame: WireFrame) -> can.Message:
    """What python-can sends for a frame."""
    return can.Message(
        arbitration_id=frame.identifier,
        data=frame.payload,
        dlc=len(frame.payload),
        is_extended_id=True,
        is_fd=True,
        bitrate_switch=True,
        check=False,
    )


def frame_of(message: can.Message, received_ns: int) -> WireFrame | None:
    """Frame of a message that came in; None for one that is no CAN-FD data frame with 29-bit identifier.

    Args:
        message: as python-can gives it.
        received_ns: steady time of arrival [ns].
    """
    if message.is_error_frame or message.is_remote_frame or not (message.is_extended_id and message.is_fd):
        return None
    return WireFrame(message.arbitration_id, bytes(message.data), received_ns)
