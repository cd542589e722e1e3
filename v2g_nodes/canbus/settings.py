"""Where the bus is and how fast: what a station file says about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from v2g_nodes.core.errors import InputError

MULTICAST = "udp_multicast"
LOWEST_PORT, HIGHEST_PORT = 1024, 65535
LOWEST_BITRATE, HIGHEST_BITRATE = 10_000, 1_000_000  # bit/s; ISO 11898-2, arbitration
HIGHEST_DATA_BITRATE = 8_000_000  # bit/s; ISO 11898-2:2016, data phase


@dataclass(frozen=True)
class CanSettings:
    """One bus or a pair of buses, as python-can opens it.

    Args:
        interface: one of python-can's; `udp_multicast` is a bus of processes on this machine.
        channel: bus A: network interface, IPv4 multicast group or whatever the interface calls it.
        backup_channel: bus B; empty = there is none.
        port: UDP port of `udp_multicast`.
        bitrate: in the arbitration phase [bit/s]. SocketCAN takes it from `ip link`, not from here.
        data_bitrate: in the data phase [bit/s].
        options: further arguments of python-can's bus, by name.
        key_file: file with the key of the frames; empty = frames carry a CRC only.

    Raises:
        InputError: with key, value and what is allowed.
    """

    interface: str = MULTICAST
    channel: str = "239.255.43.1"
    backup_channel: str = ""
    port: int = 43113
    bitrate: int = 1_000_000
    data_bitrate: int = 5_000_000
    options: Mapping[str, object] = field(default_factory=dict)
    key_file: str = ""

    def __post_init__(self) -> None:
        _check_text("interface", self.interface)
        _check_text("channel", self.channel)
        if self.backup_channel == self.channel:
            raise InputError(f"can.backup_channel is {self.backup_channel!r}, allowed another one than can.channel")
        _check_integer("port", self.port, LOWEST_PORT, HIGHEST_PORT, "")
        _check_integer("bitrate", self.bitrate, LOWEST_BITRATE, HIGHEST_BITRATE, " bit/s")
        _check_integer("data_bitrate", self.data_bitrate, self.bitrate, HIGHEST_DATA_BITRATE, " bit/s")
        if self.interface == MULTICAST:
            for key, group in (("channel", self.channel), ("backup_channel", self.backup_channel)):
                if group or key == "channel":
                    _check_group(key, group)

    @property
    def channels(self) -> tuple[str, ...]:
        """Bus A and, where there is one, bus B."""
        return (self.channel, self.backup_channel) if self.backup_channel else (self.channel,)


def _check_text(key: str, value: str) -> None:
    if not value.strip():
        raise InputError(f"can.{key} is {value!r}, allowed any name that is not empty")


def _check_integer(key: str, value: int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise InputError(f"can.{key} is {value!r}{unit}, allowed {low} to {high}{unit}")


def _check_group(key: str, value: str) -> None:
    try:
        good = ipaddress.IPv4Address(value).is_multicast
    except ValueError:
        good = False
    if not good:
        raise InputError(f"can.{key} is {value!r}, allowed an IPv4 multicast group such as '239.255.43.1'")
