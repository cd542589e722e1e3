"""A socket that must not miss anything: room for what waits, and the kernel's count of what did not find any."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SO_MEMINFO = 55
MEMINFO = struct.Struct("@9I")  # linux/sock_diag.h, SK_MEMINFO_*
DROPS = 8  # index in it
ROOM_BYTES = 16 << 20  # some 12 000 frames: ten seconds of a busy bus


class AmpleSocket:
    """Another handle of a socket that somebody else reads.

    Args:
        number: its file descriptor.
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
