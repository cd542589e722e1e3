"""ROS parameters of every node that speaks on the CAN bus."""

from __future__ import annotations

from dataclasses import dataclass

from v2g_nodes.nodes.parameters import RunParameters, parameter


@dataclass(frozen=True)
class CanParameters(RunParameters):
    """The bus, as the station file's section `can` has it; canbus/parameters.py makes its settings of them."""

    can_interface: str = parameter("udp_multicast", "kind of bus: socketcan, udp_multicast or another of python-can")
    can_channel: str = parameter("239.255.43.1", "bus A: interface such as can0, or multicast group")
    can_backup_channel: str = parameter("", "bus B; empty = none")
    can_port: int = parameter(43113, "UDP port of udp_multicast", "", 1024, 65535)
    can_bitrate: int = parameter(1_000_000, "arbitration bit rate", "bit/s", 10_000, 1_000_000)
    can_data_bitrate: int = parameter(5_000_000, "data bit rate", "bit/s", 10_000, 8_000_000)
    can_options: str = parameter("{}", "further options of python-can's interface, as JSON")
    can_key_file: str = parameter("", "key of the bus; empty = frames carry a checksum only")
    can_dry_run: bool = parameter(False, "no frame is sent on the bus")
