"""Nothing listens beyond this host, and nothing leaves it: every socket of every process of a running station."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from v2g_nodes.cli.host_network import HostNetwork, why_not

LONG_S = 120.0  # a test that waits this long has failed
TABLES = {"udp": 4, "udplite": 4, "tcp": 4, "raw": 4, "udp6": 6, "udplite6": 6, "tcp6": 6, "raw6": 6}
RING = "version: 1\nmodules: [{id: 1}, {id: 2}]\n"
BUS = "version: 1\ncan: {stand_ins: true, port: PORT}\nmodules: [{id: 1, backend: can}, {id: 2, backend: can}]\n"


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def sockets(pid: int) -> Iterator[tuple[str, ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """Internet sockets of a process: protocol, local address, port."""
    mine = set()
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        for link in [*Path(f"/proc/{pid}/fd").iterdir()]:
            with suppress(FileNotFoundError):  # or closed it
                mine.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    for table, version in TABLES.items():
        file = Path(f"/proc/{pid}/net/{table}")
        for line in file.read_text().splitlines()[1:] if mine and file.exists() else []:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[9] in mine:
                yield table, decoded(address, version), int(port, 16)


def decoded(text: str, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Address as the kernel prints it: words of four bytes in the machine's order."""
    raw = b"".join(struct.pack("=I", int(text[k : k + 8], 16)) for k in range(0, len(text), 8))
    if version == 4:
        return ipaddress.IPv4Address(raw)
    return ipaddress.IPv6Address(raw).ipv4_mapped or ipaddress.IPv6Address(raw)


def open_to_others(pid: int) -> tuple[int, list[str]]:
    """How many sockets these processes have, and those bound neither to loopback nor to a multicast group."""
    every = [(process, *found) for process in family(pid) for found in sockets(process)]
    return len(every), [f"{process} {table} {address}:{port}" for process, table, address, port in every
                        if not (address.is_loopback or address.is_multicast)]


def test_an_open_socket_is_seen() -> None:
    before = open_to_others(os.getpid())
    for kind, address, expected in ((socket.AF_INET, "0.0.0.0", "0.0.0.0"), (socket.AF_INET6, "::", "::")):
        with socket.socket(kind, socket.SOCK_DGRAM) as one:
            one.bind((address, 0))
            count, found = open_to_others(os.getpid())
            assert count == before[0] + 1
            assert f"{expected}:{one.getsockname()[1]}" in "".join(found)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        assert open_to_others(os.getpid()) == (before[0] + 1, before[1])


@pytest.mark.usefixtures("ros_domain_id")
@pytest.mark.parametrize("text", [RING, BUS], ids=["topics", "bus"])
def test_a_station_listens_on_loopback_only_and_sends_nothing_out(tmp_path: Path, text: str) -> None:
    station = tmp_path / "station.yaml"
    station.write_text(text.replace("PORT", str(20000 + os.getpid() % 20000)))
    command = [sys.executable, "-m", "v2g_nodes.cli.main", "up", "--headless", "--station", str(station)]
    log = tmp_path / "log.txt"
    with ExitStack() as stack:
        network = None
        if not why_not():  # then on a host of its own, with an interface that everything not meant for it goes out by
            network = stack.enter_context(HostNetwork(1))
            run(network, "ip route add default dev eth0; echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6 || true")
            command = [*network.enter(0), *command]
        before = "" if network is None else sent(network)
        with log.open("w") as out:
            up = subprocess.Popen(command, stdout=out, stderr=out)
        stack.callback(up.wait)
        stack.callback(up.send_signal, signal.SIGTERM)
        until = time.monotonic() + LONG_S
        while "station is up" not in log.read_text():
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        count, found = open_to_others(up.pid)
        assert count > 10, "there are sockets to be seen"
        assert found == []
        if network is not None:
            groups = run(network, "cat /proc/net/igmp").partition("eth0")[2].partition("\n")[2].split("\n\n")[0]
            assert [line.split()[0] for line in groups.splitlines()] == ["010000E0"], "no group but all-hosts on eth0"
            assert sent(network) == before, "packets left the host"


def run(network: HostNetwork, script: str) -> str:
    return subprocess.run([*network.enter(0), "sh", "-c", script], capture_output=True, text=True, check=True).stdout


def sent(network: HostNetwork) -> str:
    """Packets that have left the host."""
    line = next(line for line in run(network, "cat /proc/net/dev").splitlines() if "eth0:" in line)
    return line.partition(":")[2].split()[9]
