"""Buses of who must not miss anything: room for what waits, and the kernel's count of what did not find any."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

import can

from v2g_nodes.canbus.bus import Filter, open_bus
from v2g_nodes.canbus.settings import CanSettings

SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SO_MEMINFO = 55
MEMINFO = struct.Struct("@9I")  # linux/sock_diag.h, SK_MEMINFO_*
DROPS = 8  # index in it
ROOM_BYTES = 16 << 20  # some 12 000 frames: ten seconds of a busy bus


class AmpleSocket:
    """Another handle of a socket that somebody else reads.

    Args:
        number: its file descriptor.

    Raises:
        OSError: it is no socket.
    """

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=os.dup(number))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)  # up to the machine's limit
        with suppress(PermissionError):  # beyond it, for those who may
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM_BYTES)

    @property
    def missed(self) -> int:
        """Datagrams or frames that the kernel threw away since the socket was opened."""
        drops: int = MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size))[DROPS]
        return drops

    def close(self) -> None:
        """Let go of this handle; the socket itself stays open."""
        self._socket.close()


class AmpleOpener:
    """Opens buses with room; a link may be given it as its opener."""

    def __init__(self) -> None:
        self._sockets: dict[str, AmpleSocket] = {}  # by channel
        self._missed_before = 0  # by those that were opened again since

    def __call__(
        self, settings: CanSettings, channel: str, filters: Sequence[Filter] = (), own_echo: bool = False
    ) -> can.BusABC:
        """See `open_bus`."""
        if channel in self._sockets:
            before = self._sockets.pop(channel)
            self._missed_before += before.missed
            before.close()
        bus = open_bus(settings, channel, filters, own_echo)
        with suppress(NotImplementedError, OSError):  # not every adapter is a socket
            self._sockets[channel] = AmpleSocket(bus.fileno())
        return bus

    @property
    def missed(self) -> int:
        """Frames that were thrown away before they could be read, on all buses opened, where the kernel tells."""
        return self._missed_before + sum(one.missed for one in self._sockets.values())

    def close(self) -> None:
        """Let go of the buses, which are closed by who has opened them."""
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()
