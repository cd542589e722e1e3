"""A CAN-FD bus of processes on one machine: python-can's UDP multicast, kept on the loopback interface.

The datagrams are those of python-can's `udp_multicast`, so its own buses and tools can listen and speak. What differs:
the group is joined and spoken to on 127.0.0.1 only, whatever the routes of the machine are, so it works with nothing
but `lo` up and sends nothing out; groups that share a port stay apart; the kernel drops unwanted frames; and own
frames come back when asked for.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import struct
from typing import Any

import can
import msgpack  # type: ignore[import-untyped]
from can.interfaces.udp_multicast.utils import pack_message
from can.typechecking import CanFilters

from v2g_nodes.canbus import multicast_filter

LOOPBACK = "127.0.0.1"
IP_MULTICAST_ALL = 49  # linux/in.h: off = only groups this socket has joined
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SO_TIMESTAMPNS = 35
RECEIVE_BUFFER_BYTES = 1 << 20  # some 800 frames: most of a second of a busy bus while the reader does not run
LONGEST_DATAGRAM_BYTES = 2048
TIMESPEC = struct.Struct("@ll")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size)
DATA_FRAME: dict[str, Any] = {  # what python-can packs, in its order
    "timestamp": 0.0,
    "arbitration_id": 0,
    "is_extended_id": True,
    "is_remote_frame": False,
    "is_error_frame": False,
    "channel": None,
    "dlc": 0,
    "data": b"",
    "is_fd": True,
    "bitrate_switch": True,
    "error_state_indicator": False,
}
FLAGS = [name for name, value in DATA_FRAME.items() if isinstance(value, bool)]
HIGHEST_IDENTIFIER, MOST_PAYLOAD_BYTES = (1 << 29) - 1, 64


class LoopbackMulticastBus(can.BusABC):
    """A bus whose wire is a multicast group on the loopback interface.

    Args:
        channel: IPv4 multicast group.
        port: UDP port.
        receive_own_messages: whether own frames come back.
        can_filters: what is wanted; None = everything. Error frames always come.

    Raises:
        OSError: the group can't be joined.
    """

    def __init__(
        self,
        channel: str,
        port: int = 43113,
        receive_own_messages: bool = False,
        can_filters: CanFilters | None = None,
    ) -> None:
        self.channel_info = f"UDP multicast {channel}:{port} on loopback"
        self._own_echo = receive_own_messages
        self._can_protocol = can.CanProtocol.CAN_FD
        self._wanted: list[tuple[int, int]] = []
        self.malformed = 0  # datagrams that are no frames
        self._writer = _open_writer(channel, port)
        self._own_port: int = self._writer.getsockname()[1]
        try:
            self._reader = _open_reader(channel, port)
        except OSError:
            self._writer.close()
            raise
        super().__init__(channel, can_filters)

    def _apply_filters(self, filters: CanFilters | None) -> None:
        self._wanted = [(wanted["can_id"] & wanted["can_mask"], wanted["can_mask"]) for wanted in filters or ()]
        multicast_filter.attach(self._reader, self._wanted, None if self._own_echo else self._own_port)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not select.select([self._reader], [], [], timeout)[0]:
            return None, True
        fields = self.read()
        return (None if fields is None else can.Message(check=False, **fields)), True

    def read(self) -> dict[str, Any] | None:
        """Next waiting frame that is wanted, as the fields of a `can.Message`; None when nothing waits.

        Raises:
            OSError: the socket is broken.
        """
        while True:
            try:
                data, ancillary, _, sender = self._reader.recvmsg(LONGEST_DATAGRAM_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return None
            fields = _unpack(data)
            if fields is None:
                self.malformed += 1
            elif self._is_wanted(fields, sender[1]):
                fields["timestamp"] = _arrival_s(ancillary)
                return fields

    def _is_wanted(self, fields: dict[str, Any], sender_port: int) -> bool:
        if sender_port == self._own_port and not self._own_echo:
            return False
        identifier = fields["arbitration_id"]
        return (
            not self._wanted
            or fields["is_error_frame"]
            or any(identifier & mask == wanted for wanted, mask in self._wanted)
        )

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Put a message on the bus; never waits.

        Raises:
            can.CanOperationError: with the error number of the socket.
        """
        self._write(pack_message(msg))

    def write(self, identifier: int, payload: bytes) -> None:
        """Put a CAN-FD data frame on the bus; never waits.

        Raises:
            can.CanOperationError: with the error number of the socket.
        """
        fields = {**DATA_FRAME, "arbitration_id": identifier, "dlc": len(payload), "data": payload}
        self._write(msgpack.packb(fields))

    def _write(self, datagram: bytes) -> None:
        try:
            self._writer.send(datagram)
        except OSError as error:
            raise can.CanOperationError(f"Failed to transmit: {error.strerror}", error.errno) from error

    def fileno(self) -> int:
        """File descriptor that becomes readable when a frame waits."""
        return self._reader.fileno()

    def shutdown(self) -> None:
        """Leave the group."""
        super().shutdown()
        self._reader.close()
        self._writer.close()


def _open_writer(group: str, port: int) -> socket.socket:
    writer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        writer.setblocking(False)
        writer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        writer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        writer.bind((LOOPBACK, 0))
        writer.connect((group, port))
    except OSError:
        writer.close()
        raise
    return writer


def _open_reader(group: str, port: int) -> socket.socket:
    if not ipaddress.IPv4Address(group).is_multicast:
        raise OSError(errno.EADDRNOTAVAIL, f"{group} is no IPv4 multicast group")
    reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        reader.setblocking(False)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reader.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        with contextlib.suppress(PermissionError):  # beyond the machine's limit, for those who may
            reader.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        reader.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        reader.bind((group, port))
        membership = socket.inet_aton(group) + socket.inet_aton(LOOPBACK)
        reader.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError:
        reader.close()
        raise
    return reader


def _arrival_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(data)
            return float(seconds + nanoseconds * 1e-9)
    return 0.0


def _unpack(datagram: bytes) -> dict[str, Any] | None:
    """Fields of a `can.Message`; None when the datagram is no frame. Whoever can reach the group may send anything."""
    try:
        fields = msgpack.unpackb(datagram, raw=False)
    except Exception:  # noqa: BLE001 - msgpack documents no complete list for bytes that are not its own
        return None
    if not isinstance(fields, dict) or fields.keys() != DATA_FRAME.keys():
        return None
    identifier, data = fields["arbitration_id"], fields["data"]
    good = (
        type(identifier) is int
        and 0 <= identifier <= HIGHEST_IDENTIFIER
        and type(data) is bytes
        and len(data) <= MOST_PAYLOAD_BYTES
        and fields["dlc"] == len(data)
        and all(type(fields[flag]) is bool for flag in FLAGS)
    )
    return fields if good else None
