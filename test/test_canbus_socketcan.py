"""The link on the kernel's CAN, where there is one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame

PATIENCE_S, ATTEMPTS = 20.0, 100
OWN_NAME = f"vc{os.getpid() % 10**9}"
CAN_LINK_TYPE = "280"  # ARPHRD_CAN, linux/if_arp.h
SETPOINT, CURVE = 0x04810110, 0x0981FF20


@pytest.fixture
def vcan() -> Iterator[str]:
    """A virtual CAN-FD interface: one made for the test, else one that exists."""
    made = subprocess.run(
        ["ip", "link", "add", "dev", OWN_NAME, "mtu", "72", "up", "type", "vcan"], check=False, capture_output=True
    )
    if made.returncode == 0:
        yield OWN_NAME
        subprocess.run(["ip", "link", "del", OWN_NAME], check=True)
        return
    existing = [
        path.name
        for path in Path("/sys/class/net").glob("vcan*")
        if (path / "type").read_text().strip() == CAN_LINK_TYPE and (path / "mtu").read_text().strip() == "72"
    ]
    if not existing:
        pytest.skip("no vcan interface: the kernel has no SocketCAN, or making one needs root")
    yield existing[0]


def test_frames_pass_filters_and_come_back_as_on_any_bus(vcan: str) -> None:
    settings = CanSettings(interface="socketcan", channel=vcan)
    mine, theirs = SimpleQueue[list[WireFrame]](), SimpleQueue[list[WireFrame]]()
    with Link(settings, mine.put, own_echo=True) as one, Link(settings, theirs.put, filters=[(0x20, 0xFF)]) as other:
        one.send(WireFrame(SETPOINT, bytes(24)))
        assert mine.get(timeout=PATIENCE_S)[0][:2] == (SETPOINT, bytes(24))
        one.send(WireFrame(CURVE, bytes(range(64))))
        assert theirs.get(timeout=PATIENCE_S)[0][:2] == (CURVE, bytes(range(64)))
        assert one.state.up
        assert other.state.received == 1


def test_the_interface_may_go_down_and_come_back(vcan: str) -> None:
    if vcan != OWN_NAME:
        pytest.skip(f"{vcan} is not ours to switch off")
    settings, heard = CanSettings(interface="socketcan", channel=vcan), SimpleQueue[list[WireFrame]]()
    told = SimpleQueue[str]()
    with Link(settings, heard.put, own_echo=True, on_fault=told.put) as link:
        subprocess.run(["ip", "link", "set", vcan, "down"], check=True)
        assert "bus A can't" in told.get(timeout=PATIENCE_S)
        subprocess.run(["ip", "link", "set", vcan, "up"], check=True)
        for _ in range(ATTEMPTS):
            link.send(WireFrame(SETPOINT, bytes(24)))
            with contextlib.suppress(Empty):
                heard.get(timeout=PATIENCE_S / ATTEMPTS)
                break
        assert link.state.up
