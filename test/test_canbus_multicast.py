"""The bus of processes on one machine."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import can
import msgpack
import pytest
from can.interfaces.udp_multicast.utils import pack_message, unpack_message

from v2g_nodes.canbus import frame_io, multicast_filter
from v2g_nodes.canbus.multicast import LoopbackMulticastBus
from v2g_nodes.canbus.wire_frame import WireFrame

ROOT = Path(__file__).resolve().parents[1]
PORT = 20_000 + os.getpid() % 10_000
GROUP, OTHER_GROUP = "239.255.43.21", "239.255.43.22"
CURVE, SETPOINT = 0x0981FF20, 0x04810110

Filters = list[tuple[int, int]]
Opener = Callable[..., LoopbackMulticastBus]


@pytest.fixture
def open_multicast() -> Iterator[Opener]:
    """Opens buses that are closed at the end."""
    opened: list[LoopbackMulticastBus] = []

    def open_one(group: str = GROUP, echo: bool = False, filters: Filters | None = None) -> LoopbackMulticastBus:
        wanted = [{"can_id": identifier, "can_mask": mask, "extended": True} for identifier, mask in filters or []]
        opened.append(LoopbackMulticastBus(group, PORT, echo, wanted or None))
        return opened[-1]

    yield open_one
    for bus in opened:
        bus.shutdown()


def send(bus: LoopbackMulticastBus, *identifiers: int) -> None:
    for number, identifier in enumerate(identifiers):
        frame_io.write(bus, WireFrame(identifier, bytes([number]) * 64))


def heard(bus: LoopbackMulticastBus) -> list[int]:
    """Identifiers of what has come; on loopback a frame is there when `send` returns."""
    return [frame.identifier for frame in frame_io.read(bus, 1000, 0).frames]


def test_a_frame_arrives_as_it_was_sent(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast()
    payload = bytes(range(64))
    frame_io.write(sender, WireFrame(CURVE, payload))
    message = receiver.recv(timeout=1.0)
    assert message is not None
    assert (message.arbitration_id, bytes(message.data), message.dlc) == (CURVE, payload, 64)
    assert message.is_fd
    assert message.bitrate_switch
    assert message.is_extended_id
    assert not message.is_error_frame


def test_datagrams_are_those_of_python_can(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast()
    frame_io.write(sender, WireFrame(CURVE, bytes(range(24))))
    datagram = receiver._reader.recv(2048)
    message = unpack_message(datagram, check=True)
    assert pack_message(message) == datagram
    assert (message.arbitration_id, bytes(message.data)) == (CURVE, bytes(range(24)))
    sender.send(message)
    assert receiver._reader.recv(2048) == datagram


def test_the_time_of_arrival_is_told(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast()
    before_s = time.time()
    send(sender, CURVE)
    message = receiver.recv(timeout=1.0)
    assert message is not None
    assert before_s - 1e-6 <= message.timestamp <= time.time() + 1e-6


def test_groups_on_one_port_stay_apart(open_multicast: Opener) -> None:
    sender, same, other = open_multicast(), open_multicast(), open_multicast(OTHER_GROUP)
    send(sender, CURVE)
    assert heard(same) == [CURVE]
    assert heard(other) == []


@pytest.mark.parametrize("in_kernel", [True, False])
@pytest.mark.parametrize("echo", [True, False])
def test_own_frames_come_back_only_when_asked(
    open_multicast: Opener, monkeypatch: pytest.MonkeyPatch, in_kernel: bool, echo: bool
) -> None:
    if not in_kernel:
        monkeypatch.setattr(multicast_filter, "attach", lambda *_: False)
    bus, other = open_multicast(echo=echo), open_multicast()
    send(bus, CURVE)
    send(other, SETPOINT)
    assert heard(bus) == ([CURVE, SETPOINT] if echo else [SETPOINT])


@pytest.mark.parametrize("in_kernel", [True, False])
@pytest.mark.parametrize(
    ("filters", "passing"),
    [
        ([], [CURVE, SETPOINT, 0x1FFFFFFF, 5]),
        ([(0x20, 0xFF)], [CURVE]),
        ([(CURVE, 0x1FFFFFFF), (0x0100, 0xFF00)], [CURVE, SETPOINT]),
        ([(0xFFF5, 0xFF)], []),
        ([(5, 0x1FFFFFFF)], [5]),  # a short identifier is packed differently
        ([(n, 0x1FFFFFFF) for n in range(2000)], [5]),  # more than the kernel's program has room for
    ],
)
def test_filters_let_pass_exactly_what_matches(
    open_multicast: Opener, monkeypatch: pytest.MonkeyPatch, filters: Filters, passing: list[int], in_kernel: bool
) -> None:
    if not in_kernel:
        monkeypatch.setattr(multicast_filter, "attach", lambda *_: False)
    sender, receiver = open_multicast(), open_multicast(filters=filters)
    send(sender, CURVE, SETPOINT, 0x1FFFFFFF, 5)
    assert heard(receiver) == passing


def test_an_unwanted_frame_does_not_even_wake_the_reader(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast(filters=[(0x10, 0xFF)])
    send(sender, CURVE)
    send(receiver, SETPOINT)
    assert select.select([receiver], [], [], 0)[0] == []
    send(sender, SETPOINT)
    assert select.select([receiver], [], [], 1.0)[0] == [receiver]


@pytest.mark.parametrize("in_kernel", [True, False])
def test_error_frames_pass_every_filter(
    open_multicast: Opener, monkeypatch: pytest.MonkeyPatch, in_kernel: bool
) -> None:
    if not in_kernel:
        monkeypatch.setattr(multicast_filter, "attach", lambda *_: False)
    sender, receiver = open_multicast(), open_multicast(filters=[(0x10, 0xFF)])
    sender.send(can.Message(arbitration_id=CURVE, is_error_frame=True, timestamp=1.0))
    assert frame_io.read(receiver, 10, 0).error_frames == 1


def test_what_is_no_frame_is_counted_and_hurts_nobody(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast()
    good = msgpack.unpackb(pack_message(can.Message(arbitration_id=CURVE, is_fd=True, data=bytes(8))))
    spoiled = [
        b"",
        b"\xc1",
        b"\x91" * 2000,
        bytes(200),
        msgpack.packb([1, 2]),
        msgpack.packb({**good, "more": 1}),
        msgpack.packb({key: value for key, value in good.items() if key != "dlc"}),
        *(
            msgpack.packb({**good, **change})
            for change in (
                {"arbitration_id": 1 << 29},
                {"arbitration_id": -1},
                {"arbitration_id": "1"},
                {"arbitration_id": True},
                {"data": "text"},
                {"data": bytes(65), "dlc": 65},
                {"dlc": 9},
                {"is_fd": 1},
                {"is_error_frame": None},
            )
        ),
    ]
    for datagram in spoiled:
        sender._writer.send(datagram)
    send(sender, CURVE)
    assert heard(receiver) == [CURVE]
    assert receiver.malformed == len(spoiled)


def test_frames_of_other_kinds_are_told_apart(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast()
    for kind in ({"is_extended_id": False}, {"is_fd": False}, {"is_fd": False, "is_remote_frame": True}):
        sender.send(can.Message(arbitration_id=0x123, **{"is_fd": True, **kind}))
    reading = frame_io.read(receiver, 10, 0)
    assert (reading.frames, reading.foreign) == ([], 3)


def test_filters_may_change_also_to_more_than_the_kernel_takes(open_multicast: Opener) -> None:
    sender, receiver = open_multicast(), open_multicast(filters=[(0x10, 0xFF)])
    identifiers = range(CURVE - 2000, CURVE + 1)
    receiver.set_filters([{"can_id": n, "can_mask": 0x1FFFFFFF, "extended": True} for n in identifiers])
    send(sender, CURVE, SETPOINT)
    assert heard(receiver) == [CURVE]


def test_only_the_group_is_heard(open_multicast: Opener) -> None:
    receiver = open_multicast()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(pack_message(can.Message(arbitration_id=CURVE, is_fd=True, data=bytes(8))), ("127.0.0.1", PORT))
    assert heard(receiver) == []


def test_nothing_can_leave_the_machine(open_multicast: Opener) -> None:
    writer = open_multicast()._writer
    assert writer.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 0
    assert writer.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4) == socket.inet_aton("127.0.0.1")
    assert writer.getsockname()[0] == "127.0.0.1"


def test_with_nothing_but_loopback_up_and_plain_python_can_as_peer() -> None:
    """In a network namespace of its own; there python-can's bus finds loopback too, by a route."""
    script = """
        import socket
        import subprocess
        import can
        from can.interfaces.udp_multicast.utils import pack_message
        from v2g_nodes.canbus import frame_io
        from v2g_nodes.canbus.multicast import LoopbackMulticastBus
        from v2g_nodes.canbus.wire_frame import WireFrame

        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        a, b = (LoopbackMulticastBus("239.255.43.1", 43113) for _ in range(2))
        frame_io.write(a, WireFrame(0x0981FF20, bytes(64)))
        assert b.recv(timeout=5.0).arbitration_id == 0x0981FF20

        subprocess.run(["ip", "route", "add", "224.0.0.0/4", "dev", "lo"], check=True)
        with can.Bus("239.255.43.1", "udp_multicast", fd=True, hop_limit=0, ignore_config=True) as plain:
            frame_io.write(a, WireFrame(0x0981FF21, bytes(range(64))))
            message = plain.recv(timeout=5.0)
            assert (message.arbitration_id, bytes(message.data)) == (0x0981FF21, bytes(range(64))), message
            b.recv(timeout=5.0)
            plain.send(can.Message(arbitration_id=0x0981FF22, is_fd=True, bitrate_switch=True, data=bytes(48)))
            (frame,) = [f for f in [b.recv(timeout=5.0)] if f is not None]
            assert (frame.arbitration_id, len(frame.data)) == (0x0981FF22, 48)

        # somebody on a real network, who has joined the group there
        subprocess.run(["ip", "link", "add", "net0", "type", "veth"], check=True)
        subprocess.run(["ip", "address", "add", "10.9.9.1/24", "dev", "net0"], check=True)
        subprocess.run(["ip", "link", "set", "net0", "up"], check=True)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            group, own = socket.inet_aton("239.255.43.1"), socket.inet_aton("10.9.9.1")
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("239.255.43.1", 43113))
            stranger.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + own)
            stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
            data = pack_message(can.Message(arbitration_id=0x0981FF23, is_fd=True, data=bytes(48)))
            stranger.sendto(data, ("239.255.43.1", 43113))
            stranger.settimeout(5.0)
            assert stranger.recv(2048) == data
            assert b.recv(timeout=0) is None
        a.shutdown()
        b.shutdown()
        print("heard")
    """
    run_in_namespace(script)


def test_a_cable_may_be_out_for_a_while() -> None:
    """The loopback interface is switched off and on again under a running link."""
    script = """
        import subprocess
        import time
        from queue import Empty, SimpleQueue
        from v2g_nodes.canbus.link import Link
        from v2g_nodes.canbus.settings import CanSettings
        from v2g_nodes.canbus.wire_frame import WireFrame

        def switch(state):
            subprocess.run(["ip", "link", "set", "lo", state], check=True)

        def arrives():
            for _ in range(1000):
                sender.send(WireFrame(0x0981FF20, bytes(64)))
                try:
                    return heard.get(timeout=0.02)
                except Empty:
                    pass
            raise AssertionError(sender.state, receiver.state)

        heard, told = SimpleQueue(), SimpleQueue()
        switch("up")
        with (
            Link(CanSettings(), print, on_fault=told.put) as sender,
            Link(CanSettings(), heard.put) as receiver,
        ):
            arrives()
            switch("down")
            sender.send(WireFrame(0x0981FF20, bytes(64)))
            assert told.get(timeout=20.0).startswith("bus A can't send"), sender.state
            switch("up")
            arrives()
            for _ in range(1000):  # a frame may be heard before the thread that sent it has said so
                if sender.state.up:
                    break
                time.sleep(0.02)
            assert sender.state.up, sender.state
        print("heard")
    """
    run_in_namespace(script)


def run_in_namespace(script: str) -> None:
    """Run a script that prints "heard" in a network of its own; skip the test where there can be none."""
    try:
        subprocess.run(["unshare", "--net", "true"], check=True, capture_output=True, timeout=10)
        subprocess.run(["ip", "-V"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace: needs root, unshare and ip")
    command = ["unshare", "--net", sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
