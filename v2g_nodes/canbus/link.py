"""Frames in and out of the bus, or of the two buses, whatever happens to them."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from v2g_nodes.canbus.bus import Filter, open_bus
from v2g_nodes.canbus.bus_port import BusPort, Opener
from v2g_nodes.canbus.send_queue import SendQueue
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.takeover import Takeover
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

NAMES = ("A", "B")
HEARTBEAT_CODE = 0x33  # low byte of the identifier, ek3.dbc; sent on both buses
LONGEST_WAIT_S = 0.1  # of the thread, when nothing happens
POLL_S = 0.005  # where a bus has no file descriptor
RETRY_S = 0.001  # while frames wait: some ten frames of 64 B at 1/5 Mbit/s
ERROR_EVENTS = select.POLLERR | select.POLLHUP | select.POLLNVAL


class LinkState(NamedTuple):
    """How the link is.

    Args:
        up: whether the active bus works as far as can be told.
        active: "A" or "B": the bus that is spoken on.
        sent: frames a bus took.
        received: frames handed on.
        dropped: frames that were never sent: too old or least urgent in a full queue.
        replaced: frames that were never sent because a newer one of the same identifier came.
        errors: error frames heard, sends refused and callbacks that raised.
        reconnects: times a bus was opened again.
        takeovers: times the active bus changed.
        text: why it is not up; empty when it is.
    """

    up: bool
    active: str
    sent: int
    received: int
    dropped: int
    replaced: int
    errors: int
    reconnects: int
    takeovers: int
    text: str


class Link:
    """Sends and receives frames in a thread of its own; a fault of the bus never reaches the caller.

    Args:
        settings: the bus or buses.
        on_frames: called in the link's thread with all frames that had come, at least one.
        filters: (identifier, mask) of what is wanted; empty = everything.
        own_echo: whether own frames come back.
        name: of the thread, for debuggers.
        clock: steady time [ns].
        on_fault: called in the link's thread with a line of text when a bus is lost, is back or takes over, and when
            `on_frames` raises.
        opener: opens a bus.
    """

    def __init__(
        self,
        settings: CanSettings,
        on_frames: Callable[[list[WireFrame]], None],
        filters: Sequence[Filter] = (),
        own_echo: bool = False,
        name: str = "",
        clock: Callable[[], int] = time.monotonic_ns,
        on_fault: Callable[[str], None] = lambda text: None,
        opener: Opener = open_bus,
    ) -> None:
        self._on_frames, self._on_fault, self._clock = on_frames, on_fault, clock
        self._ports = [BusPort(settings, channel, filters, own_echo, opener) for channel in settings.channels]
        self._said = [""] * len(self._ports)
        self._takeover = Takeover(len(self._ports))
        self._queue = SendQueue()
        self._lock = threading.Lock()  # guards sending: ports' buses, queue, takeover
        self._thread = threading.Thread(target=self._run, name=f"can link {name}".strip(), daemon=True)
        self._closing = False
        self._sent = self._received = self._raised = 0
        self._own: set[int] = set()  # identifiers this link has sent
        self._heartbeats: dict[int, tuple[int, bytes]] = {}  # last of each sender: bus, payload
        self._wake_read, self._wake_write = -1, -1

    def start(self) -> None:
        """Open the bus and begin; a bus that can't be opened now is tried again and again.

        Raises:
            InputError: the settings can never work.
        """
        now_ns = self._clock()
        for port in self._ports:
            bus = port.open(now_ns)
            if bus is not None:
                port.attach(bus, now_ns)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread.start()

    def close(self) -> None:
        """Stop and close the bus; frames that wait are dropped."""
        with self._lock:
            self._closing = True
        if self._wake_write < 0:
            return
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        with self._lock:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_read = self._wake_write = -1

    def __enter__(self) -> Link:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> LinkState:
        """How it is now."""
        active = self._ports[self._takeover.active]
        return LinkState(
            up=active.up,
            active=NAMES[self._takeover.active],
            sent=self._sent,
            received=self._received,
            dropped=self._queue.dropped,
            replaced=self._queue.replaced,
            errors=self._raised + sum(port.error_frames + port.failed_sends for port in self._ports),
            reconnects=sum(max(port.opened - 1, 0) for port in self._ports),
            takeovers=self._takeover.takeovers,
            text=active.text,
        )

    def send(self, frame: WireFrame) -> None:
        """Send a frame now or, when the bus can't take it, within 50 ms or never.

        Args:
            frame: with 29-bit identifier; its time of arrival does not matter.
        """
        with self._lock:
            if self._closing:
                return
            if not len(self._queue) and self._transmit(frame):
                return
            wakes = not len(self._queue)
            self._queue.put(frame, self._clock())
            if wakes:
                self._wake()

    def use_bus(self, name: str) -> None:
        """Speak on this bus from now on, until there is a reason to change.

        Args:
            name: "A" or "B".

        Raises:
            InputError: there is no such bus.
        """
        names = NAMES[: len(self._ports)]
        if name not in names:
            raise InputError(f"bus is {name!r}, allowed {', '.join(names)}")
        with self._lock:
            self._takeover.use(names.index(name), self._clock())

    def _wake(self) -> None:
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):  # full: it will wake anyway
                os.write(self._wake_write, b"\0")

    # With the lock held.

    def _transmit(self, frame: WireFrame) -> bool:
        active = self._takeover.active
        if len(self._ports) == 2:
            self._own.add(frame.identifier)
            if frame.identifier & 0xFF == HEARTBEAT_CODE:
                self._ports[1 - active].send(frame)
        if self._ports[active].send(frame):
            self._takeover.sent(active)
            self._sent += 1
            return True
        self._takeover.failed_send(active, self._clock())
        return False

    def _flush(self, now_ns: int) -> None:
        while (frame := self._queue.first(now_ns)) is not None and self._transmit(frame):
            self._queue.remove(frame)

    # In the link's thread.

    def _run(self) -> None:
        try:
            while not self._closing:
                self._wait()
                now_ns = self._clock()
                frames = self._read(now_ns)
                if frames:
                    self._hand_on(frames)
                self._keep(self._clock())
        finally:
            with self._lock:
                buses = [port.detach(self._clock()) for port in self._ports]
            for bus in buses:
                if bus is not None:
                    bus.shutdown()

    def _wait(self) -> None:
        open_ports = [port for port in self._ports if port.is_open]
        by_number = {number: port for port in open_ports if (number := port.fileno()) is not None}
        blind = [port for port in open_ports if port not in by_number.values()]
        timeout_s = RETRY_S if len(self._queue) else LONGEST_WAIT_S
        for port in blind:
            port.wait(min(timeout_s, POLL_S))
            timeout_s = 0.0
        poll = select.poll()
        for number in (self._wake_read, *by_number):
            poll.register(number, select.POLLIN)
        for number, events in poll.poll(timeout_s * 1e3):
            if number == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            elif events & ERROR_EVENTS and not events & select.POLLIN:
                by_number[number].fail("adapter gone")

    def _read(self, now_ns: int) -> list[WireFrame]:
        frames: list[WireFrame] = []
        for index, port in enumerate(self._ports):
            errors_before = port.error_frames
            read = port.read(now_ns)
            if len(self._ports) == 2:
                read = [frame for frame in read if self._is_news(index, frame)]
                with self._lock:
                    for _ in range(port.error_frames - errors_before):
                        self._takeover.error_frame(index, now_ns)
            frames += read
        return frames

    def _is_news(self, index: int, frame: WireFrame) -> bool:
        """Notice who speaks where; False for the second copy of a heartbeat."""
        if frame.identifier & 0xFF != HEARTBEAT_CODE:
            if frame.identifier not in self._own:
                self._takeover.spoken(index, frame.received_ns)
            return True
        last_index, last_payload = self._heartbeats.get(frame.identifier, (index, b""))
        is_copy = last_index != index and last_payload == frame.payload
        self._heartbeats[frame.identifier] = (index, frame.payload)
        return not is_copy

    def _hand_on(self, frames: list[WireFrame]) -> None:
        self._received += len(frames)
        try:
            self._on_frames(frames)
        except Exception as error:  # noqa: BLE001 - the link outlives its listener's faults
            self._raised += 1
            self._on_fault(f"a frame could not be handled: {error!r}")

    def _keep(self, now_ns: int) -> None:
        """Close what is broken, open what is due, change buses, send what waits; tell of changes."""
        for port in self._ports:
            if port.is_broken:
                with self._lock:
                    lost = port.detach(now_ns)
                if lost is not None:
                    with contextlib.suppress(Exception):
                        lost.shutdown()
            elif port.is_due(now_ns):
                bus = None
                with contextlib.suppress(InputError):  # it could be opened once; the port says why not now
                    bus = port.open(now_ns)
                if bus is not None:
                    with self._lock:
                        port.attach(bus, now_ns)
        with self._lock:
            changed = self._takeover.decide([port.is_open for port in self._ports], now_ns)
            self._flush(now_ns)
        if changed:
            self._on_fault(f"bus {NAMES[self._takeover.active]} takes over")
        for index, port in enumerate(self._ports):
            if port.text != self._said[index]:
                self._said[index] = port.text
                self._on_fault(f"bus {NAMES[index]} " + (port.text or "works again"))
