"""The link on buses that follow a script: full, off, gone and back."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

import can
import pytest

from v2g_nodes.canbus.bus_port import BusPort
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.multicast import LoopbackMulticastBus
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.waiter import Waiter
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

MS = 1_000_000
SETPOINT, CURVE, HEARTBEAT = 0x04810110, 0x0981FF20, 0x1901FF33
ONE, TWO = CanSettings(), CanSettings(backup_channel="239.255.43.2")
PATIENCE_S = 20.0  # for something that must happen


class ScriptedBus(can.BusABC):
    """Takes and gives what the test says."""

    def __init__(self) -> None:
        self.channel_info = "scripted"
        self.sent: list[can.Message] = []
        self.coming: SimpleQueue[can.Message | Exception] = SimpleQueue()
        self.refusal: Exception | None = None  # of every frame
        self.refusals: list[Exception] = []  # of the next frames
        self.closed = False
        self.now_state = can.BusState.ACTIVE
        super().__init__("scripted")

    @property
    def state(self) -> can.BusState:
        return self.now_state

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        assert timeout == 0, "the link may not wait for the bus"
        if self.refusals:
            raise self.refusals.pop()
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(msg)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            coming = self.coming.get(block=True, timeout=timeout)
        except Empty:
            return None, True
        if isinstance(coming, Exception):
            raise coming
        return coming, True

    def shutdown(self) -> None:
        super().shutdown()
        self.closed = True


class Rack:
    """Opens scripted buses and keeps them by channel; a channel in `missing` has no adapter."""

    def __init__(self) -> None:
        self.opened: dict[str, list[ScriptedBus]] = {}
        self.missing: set[str] = set()
        self.attempts = 0

    def __call__(
        self, settings: CanSettings, channel: str, filters: Sequence[tuple[int, int]], own_echo: bool
    ) -> can.BusABC:
        self.attempts += 1
        if channel in self.missing:
            raise OSError(errno.ENODEV, "No such device")
        self.opened.setdefault(channel, []).append(ScriptedBus())
        return self.opened[channel][-1]

    def bus(self, channel: str = ONE.channel) -> ScriptedBus:
        return self.opened[channel][-1]


def message(identifier: int, data: bytes = b"12345678") -> can.Message:
    return can.Message(arbitration_id=identifier, data=data, is_extended_id=True, is_fd=True)


def full() -> can.CanOperationError:
    return can.CanOperationError("Failed to transmit: No buffer space available", errno.ENOBUFS)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until another thread has done it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        threading.Event().wait(0.001)


# One bus by itself, in steps of given time.


def opened_port(rack: Rack, now_ns: int = 0) -> BusPort:
    port = BusPort(ONE, ONE.channel, opener=rack)
    bus = port.open(now_ns)
    assert bus is not None
    port.attach(bus, now_ns)
    return port


def test_attempts_to_open_come_after_50_ms_then_twice_as_long_up_to_a_second() -> None:
    rack = Rack()
    rack.missing.add(ONE.channel)
    port = BusPort(ONE, ONE.channel, opener=rack)
    waits_ms, now_ns = [], 0
    for _ in range(7):
        assert port.open(now_ns) is None
        begin_ns = now_ns
        while not port.is_due(now_ns):
            now_ns += 10 * MS
        waits_ms.append((now_ns - begin_ns) // MS)
    assert waits_ms == [50, 100, 200, 400, 800, 1000, 1000]
    assert port.text == "can't open: [Errno 19] No such device"


def test_a_bus_that_worked_for_a_while_is_opened_soon_again_and_one_that_did_not_is_not() -> None:
    port = opened_port(Rack())
    for now_ns, wait_ms in ((1100 * MS, 50), (1200 * MS, 100), (1400 * MS, 200), (9000 * MS, 50)):
        port.fail("pulled out")
        port.detach(now_ns)
        assert not port.is_due(now_ns + wait_ms * MS - 1)
        assert port.is_due(now_ns + wait_ms * MS)
        bus = port.open(now_ns + wait_ms * MS)
        assert bus is not None
        port.attach(bus, now_ns + wait_ms * MS)


@pytest.mark.parametrize("refusal", [full(), can.CanOperationError("Transmit buffer full"), can.CanTimeoutError()])
def test_a_full_buffer_is_borne_and_told_only_when_it_lasts(refusal: can.CanError) -> None:
    rack = Rack()
    port = opened_port(rack)
    rack.bus().refusal = refusal
    assert not port.send(WireFrame(CURVE, b""), 0)
    assert port.up
    assert not port.send(WireFrame(CURVE, b""), 51 * MS)
    assert not port.up
    assert port.text.startswith("can't send")
    assert port.is_open
    rack.bus().refusal = None
    assert port.send(WireFrame(CURVE, b""), 60 * MS)
    assert port.up


@pytest.mark.parametrize("refusal", [can.CanOperationError("odd", 9999), RuntimeError("of a vendor's driver")])
def test_an_adapter_that_is_gone_is_given_up_at_once_and_other_faults_when_they_last(refusal: Exception) -> None:
    rack = Rack()
    port = opened_port(rack)
    rack.bus().refusal = refusal
    assert not port.send(WireFrame(CURVE, b""), 0)
    assert not port.up
    assert port.is_open
    assert not port.send(WireFrame(CURVE, b""), 51 * MS)
    assert port.is_broken
    port = opened_port(rack)
    rack.bus().refusal = can.CanOperationError("Failed to transmit: No such device", errno.ENODEV)
    assert not port.send(WireFrame(CURVE, b""), 0)
    assert port.is_broken


def test_error_frames_are_counted_and_bus_off_closes_the_bus() -> None:
    rack = Rack()
    port = opened_port(rack)
    rack.bus().coming.put(can.Message(is_error_frame=True))
    rack.bus().coming.put(message(CURVE))
    assert [frame.identifier for frame in port.read(5)] == [CURVE]
    assert (port.error_frames, port.up) == (1, True)
    rack.bus().now_state = can.BusState.ERROR
    rack.bus().coming.put(can.Message(is_error_frame=True))
    port.read(6)
    assert port.is_broken
    assert port.text == "bus-off"


def test_after_a_fault_a_bus_counts_as_up_when_it_has_worked() -> None:
    rack = Rack()
    port = opened_port(rack)
    rack.bus().coming.put(OSError(errno.ENETDOWN, "Network is down"))
    assert port.read(0) == []
    port.detach(0)
    bus = port.open(10**9)
    assert bus is not None
    port.attach(bus, 10**9)
    assert port.is_open
    assert not port.up
    assert port.text == "can't read: [Errno 100] Network is down"
    rack.bus().coming.put(message(CURVE))
    port.read(10**9)
    assert port.up


# The whole link, in its thread.


def test_frames_go_out_at_once_and_come_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2g_nodes.canbus.link.LONGEST_WAIT_S", 10 * PATIENCE_S)
    rack, batches = Rack(), SimpleQueue[list[WireFrame]]()
    with Link(ONE, batches.put, opener=rack) as link:
        link.send(WireFrame(SETPOINT, bytes(24)))
        (sent,) = rack.bus().sent  # by `send` itself, not by the thread
        assert (sent.arbitration_id, sent.data, sent.dlc) == (SETPOINT, bytes(24), 24)
        assert sent.is_fd
        assert sent.bitrate_switch
        assert sent.is_extended_id
        rack.bus().coming.put(message(CURVE))
        assert batches.get(timeout=PATIENCE_S)[0][:2] == (CURVE, b"12345678")
        assert link.state.up
        assert (link.state.sent, link.state.received) == (1, 1)
    assert rack.bus().closed
    assert not link.state.up


def test_while_the_bus_is_full_the_urgent_waits_first_and_the_newest_only() -> None:
    rack = Rack()
    now_ns = [0]
    with Link(ONE, lambda frames: None, opener=rack, clock=lambda: now_ns[0]) as link:
        rack.bus().refusal = full()
        for identifier, payload in ((CURVE, b"c"), (SETPOINT, b"old"), (SETPOINT, b"new")):
            link.send(WireFrame(identifier, payload))
        rack.bus().refusal = None
        wait_for(lambda: len(rack.bus().sent) == 2)
        assert [(m.arbitration_id, bytes(m.data)) for m in rack.bus().sent] == [(SETPOINT, b"new"), (CURVE, b"c")]
        assert (link.state.replaced, link.state.dropped, link.state.sent) == (1, 0, 2)


def test_nothing_overtakes_a_frame_that_waits() -> None:
    rack, inside, goes_on = Rack(), threading.Event(), threading.Event()

    def hear(frames: list[WireFrame]) -> None:  # keeps the thread from sending
        inside.set()
        goes_on.wait(PATIENCE_S)

    with Link(ONE, hear, opener=rack, clock=lambda: 0) as link:
        rack.bus().coming.put(message(HEARTBEAT))
        inside.wait(PATIENCE_S)
        rack.bus().refusals.append(full())
        link.send(WireFrame(SETPOINT, b""))
        link.send(WireFrame(CURVE, b""))
        assert rack.bus().sent == []
        goes_on.set()
        wait_for(lambda: len(rack.bus().sent) == 2)
        assert [m.arbitration_id for m in rack.bus().sent] == [SETPOINT, CURVE]


class RefusingOnce(LoopbackMulticastBus):
    """A bus with a file descriptor that does not take the first frame."""

    refused = False

    def write(self, identifier: int, payload: bytes) -> None:
        if not self.refused:
            self.refused = True
            raise full()
        super().write(identifier, payload)


def test_a_frame_that_waits_wakes_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2g_nodes.canbus.link.LONGEST_WAIT_S", 10 * PATIENCE_S)
    port = 20_000 + os.getpid() % 10_000
    heard = SimpleQueue[list[WireFrame]]()
    opener = lambda settings, channel, *_: RefusingOnce(channel, settings.port, receive_own_messages=True)  # noqa: E731
    with Link(CanSettings(port=port), heard.put, opener=opener, clock=lambda: 0) as link:
        link.send(WireFrame(SETPOINT, b""))
        assert heard.get(timeout=PATIENCE_S)[0].identifier == SETPOINT


def test_an_adapter_that_hangs_up_is_noticed() -> None:
    reading, writing = os.pipe()
    bus = ScriptedBus()
    bus.fileno = lambda: reading  # type: ignore[method-assign]
    port = BusPort(ONE, ONE.channel, opener=lambda *_: bus)
    port.attach(bus, 0)
    waiter = Waiter()
    waiter.watch([port])
    waiter.wait(0.0)
    assert port.is_open
    os.close(writing)
    waiter.wait(PATIENCE_S)
    assert (port.is_open, port.text) == (False, "adapter gone")
    waiter.close()
    os.close(reading)


def test_an_old_setpoint_never_comes_out_after_a_pause() -> None:
    rack = Rack()
    now_ns = [0]
    with Link(ONE, lambda frames: None, opener=rack, clock=lambda: now_ns[0]) as link:
        rack.bus().refusal = full()
        link.send(WireFrame(SETPOINT, b"old"))
        now_ns[0] = 51 * MS
        wait_for(lambda: link.state.dropped == 1)
        rack.bus().refusal = None
        link.send(WireFrame(CURVE, b""))
        wait_for(lambda: len(rack.bus().sent) == 1)
        assert rack.bus().sent[0].arbitration_id == CURVE


def test_an_adapter_may_vanish_and_return() -> None:
    rack, heard, told = Rack(), SimpleQueue[list[WireFrame]](), list[str]()
    with Link(ONE, heard.put, opener=rack, on_fault=told.append) as link:
        first = rack.bus()
        rack.missing.add(ONE.channel)
        first.coming.put(can.CanOperationError("Failed to receive: No such device", errno.ENODEV))
        wait_for(lambda: first.closed)
        link.send(WireFrame(SETPOINT, b""))  # nobody is hurt
        attempts = rack.attempts
        wait_for(lambda: rack.attempts > attempts)
        assert not link.state.up
        rack.missing.clear()
        wait_for(lambda: rack.bus() is not first)
        rack.bus().coming.put(message(CURVE))
        heard.get(timeout=PATIENCE_S)
        wait_for(lambda: told[-1:] == ["bus A works again"])
        assert link.state.up
        assert link.state.reconnects == 1
    assert told[0].startswith("bus A can't read: Failed to receive: No such device")


def test_a_link_starts_without_its_adapter() -> None:
    rack = Rack()
    rack.missing.add(ONE.channel)
    with Link(ONE, lambda frames: None, opener=rack) as link:
        assert not link.state.up
        assert link.state.text == "can't open: [Errno 19] No such device"
        rack.missing.clear()
        wait_for(lambda: bool(rack.opened))
        wait_for(lambda: _sends(link, rack))


def _sends(link: Link, rack: Rack) -> bool:
    link.send(WireFrame(SETPOINT, b""))
    return link.state.up and bool(rack.bus().sent)


def test_a_listener_that_raises_does_not_end_the_link() -> None:
    rack, heard, told = Rack(), list[int](), SimpleQueue[str]()

    def hear(frames: list[WireFrame]) -> None:
        heard.append(frames[0].identifier)
        if frames[0].identifier == CURVE:
            raise ZeroDivisionError("by the listener")

    with Link(ONE, hear, opener=rack, on_fault=told.put) as link:
        rack.bus().coming.put(message(CURVE))
        assert "by the listener" in told.get(timeout=PATIENCE_S)
        rack.bus().coming.put(message(SETPOINT))
        wait_for(lambda: heard == [CURVE, SETPOINT])
        assert link.state.errors == 1


def test_settings_that_can_never_work_are_refused_at_the_start() -> None:
    with pytest.raises(InputError, match=r"can.interface is 'no_such'.*allowed .*socketcan"):
        Link(CanSettings(interface="no_such", channel="x"), lambda frames: None).start()
    with pytest.raises(InputError, match=r"can.options is \{'odd': 1\}|can.options has \['odd'\]"):
        Link(CanSettings(options={"odd": 1}), lambda frames: None).start()


def test_closing_leaves_no_thread_and_no_file_open() -> None:
    def count() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(3):
        with Link(CanSettings(port=20_000 + os.getpid() % 10_000), lambda frames: None) as link:
            link.send(WireFrame(CURVE, bytes(64)))
        link.close()
        link.send(WireFrame(CURVE, bytes(64)))
    Link(ONE, lambda frames: None).close()  # never started
    assert count() == before


def test_python_cans_virtual_bus_carries_frames_both_ways() -> None:
    settings = CanSettings(interface="virtual", channel=f"{__name__}")
    mine, theirs = SimpleQueue[list[WireFrame]](), SimpleQueue[list[WireFrame]]()
    with Link(settings, mine.put, own_echo=True) as one, Link(settings, theirs.put, filters=[(0x20, 0xFF)]):
        one.send(WireFrame(SETPOINT, bytes(24)))
        assert mine.get(timeout=PATIENCE_S)[0].identifier == SETPOINT
        one.send(WireFrame(CURVE, bytes(range(64))))
        assert theirs.get(timeout=PATIENCE_S)[0][:2] == (CURVE, bytes(range(64)))


# Two buses.


def test_a_lost_bus_a_is_taken_over_by_b_and_heartbeats_go_out_on_both() -> None:
    rack, told = Rack(), SimpleQueue[str]()
    with Link(TWO, lambda frames: None, opener=rack, on_fault=told.put) as link:
        a, b = rack.bus(TWO.channel), rack.bus(TWO.backup_channel)
        link.send(WireFrame(SETPOINT, b""))
        link.send(WireFrame(HEARTBEAT, b""))
        assert [m.arbitration_id for m in a.sent] == [SETPOINT, HEARTBEAT]
        assert [m.arbitration_id for m in b.sent] == [HEARTBEAT]
        for _ in range(11):
            a.coming.put(can.Message(is_error_frame=True))
        assert told.get(timeout=PATIENCE_S) == "bus B takes over"
        link.send(WireFrame(SETPOINT, b""))
        assert [m.arbitration_id for m in b.sent] == [HEARTBEAT, SETPOINT]
        assert (link.state.active, link.state.takeovers, link.state.errors) == ("B", 1, 11)
        link.use_bus("A")
        link.send(WireFrame(SETPOINT, b""))
        assert len(a.sent) == 3
        with pytest.raises(InputError, match="bus is 'C', allowed A, B"):
            link.use_bus("C")


def test_a_frame_that_bus_a_does_not_take_goes_out_on_b() -> None:
    rack = Rack()
    with Link(TWO, lambda frames: None, opener=rack, clock=lambda: 0) as link:
        rack.bus(TWO.channel).refusal = full()
        link.send(WireFrame(SETPOINT, b"now"))
        wait_for(lambda: len(rack.bus(TWO.backup_channel).sent) == 1)
        assert link.state.active == "B"


def test_who_speaks_on_b_is_followed_there() -> None:
    port = 20_000 + os.getpid() % 10_000
    settings = CanSettings(channel="239.255.43.23", backup_channel="239.255.43.24", port=port)
    heard = SimpleQueue[list[WireFrame]]()
    with Link(settings, lambda frames: None) as leader, Link(settings, heard.put) as follower:
        leader.send(WireFrame(CURVE, bytes(64)))
        heard.get(timeout=PATIENCE_S)
        assert follower.state.active == "A"
        leader.use_bus("B")
        leader.send(WireFrame(HEARTBEAT, bytes(24)))
        heard.get(timeout=PATIENCE_S)
        assert follower.state.active == "A"  # a heartbeat is on both and tells nothing
        leader.send(WireFrame(CURVE, bytes(64)))
        heard.get(timeout=PATIENCE_S)
        wait_for(lambda: follower.state.active == "B")
        assert leader.state.active == "B"


def test_a_buffer_that_is_full_now_and_then_is_no_reason_to_change() -> None:
    rack = Rack()
    with Link(TWO, lambda frames: None, opener=rack, clock=lambda: 0) as link:
        a = rack.bus(TWO.channel)
        for number in range(1, 30):
            a.refusals.append(full())
            link.send(WireFrame(SETPOINT, b""))
            wait_for(lambda number=number: len(a.sent) == number)  # type: ignore[misc]
        assert link.state.active == "A"


def test_own_frames_that_come_back_are_nobody_speaking_on_b() -> None:
    rack, now_ns, heard = Rack(), [0], SimpleQueue[list[WireFrame]]()
    with Link(TWO, heard.put, opener=rack, clock=lambda: now_ns[0]) as link:
        a, b = rack.bus(TWO.channel), rack.bus(TWO.backup_channel)
        link.send(WireFrame(CURVE, b""))
        now_ns[0] = 2_000 * MS
        for bus, identifier in ((b, CURVE), (a, SETPOINT)):  # after the second the first has been judged
            bus.coming.put(message(identifier))
            assert heard.get(timeout=PATIENCE_S)[0].identifier == identifier
        assert link.state.active == "A"


def test_both_buses_are_heard_and_a_heartbeat_counts_once() -> None:
    rack, heard = Rack(), list[tuple[int, bytes]]()
    with Link(TWO, lambda frames: heard.extend(frame[:2] for frame in frames), opener=rack) as link:
        a, b = rack.bus(TWO.channel), rack.bus(TWO.backup_channel)
        expected = []
        for number in (b"1", b"2"):
            a.coming.put(message(HEARTBEAT, number))
            expected.append((HEARTBEAT, number))
            wait_for(lambda: heard == expected)
            b.coming.put(message(HEARTBEAT, number))
        a.coming.put(message(HEARTBEAT, b"2"))  # the same again on the same bus is for others to judge
        b.coming.put(message(CURVE, b"3"))
        wait_for(lambda: (CURVE, b"3") in heard)
        assert link.state.active == "B"  # somebody speaks there
        assert heard.count((HEARTBEAT, b"1")) == 1
