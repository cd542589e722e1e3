"""Frames in and out of the bus, or of the two buses, whatever happens to them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import can

from v2g_nodes.canbus.bus import Filter, open_bus
from v2g_nodes.canbus.bus_port import BusPort, Opener
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.canbus.send_queue import SendQueue
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.takeover import Takeover
from v2g_nodes.canbus.waiter import Waiter
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

__all__ = ["NAMES", "Link", "LinkState"]

NAMES = ("A", "B")
HEARTBEAT_CODE = 0x33  # low byte of the identifier, ek3.dbc; sent on both buses
LAST_HEARTBEATS = 4  # of one sender, both buses; one copy may be read after the next beat of the other bus
MOST_HEARTBEATS = 256  # identifiers kept; no bus has more senders, but anybody can make them up
LONGEST_WAIT_S = 0.1  # of the thread, when nothing happens
RETRY_S = 0.001  # while frames wait: some ten frames of 64 B at 1/5 Mbit/s


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
        self._name = f"can link {name}".strip()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._sent = self._received = self._raised = 0
        self._own: set[int] = set()  # identifiers this link has sent
        self._heartbeats: dict[int, deque[tuple[int, bytes]]] = {}  # last of each sender: bus, payload
        self._waiter: Waiter | None = None  # while the thread lives

    def start(self) -> None:
        """Open the bus and begin; a bus that can't be opened now is tried again and again.

        Raises:
            InputError: the settings can never work.
        """
        now_ns = self._clock()
        try:
            for port in self._ports:
                bus = port.open(now_ns)
                if bus is not None:
                    port.attach(bus, now_ns)
        except InputError:
            for port in self._ports:
                _shut_down(port.detach(now_ns))
            raise
        self._waiter = Waiter()
        self._waiter.watch(self._ports)
        self._thread = threading.Thread(target=self._run, args=[self._waiter], name=self._name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop and close the bus; frames that wait are dropped."""
        with self._lock:
            self._closing = True
            self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

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
            foreign=sum(port.foreign for port in self._ports),
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

    # With the lock held.

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.wake()

    def _transmit(self, frame: WireFrame) -> bool:
        active, now_ns = self._takeover.active, self._clock()
        if len(self._ports) == 2:
            self._own.add(frame.identifier)
            if frame.identifier & 0xFF == HEARTBEAT_CODE:
                self._ports[1 - active].send(frame, now_ns)
        if self._ports[active].send(frame, now_ns):
            self._takeover.sent(active)
            self._sent += 1
            return True
        self._takeover.failed_send(active, now_ns)
        return False

    def _flush(self, now_ns: int) -> None:
        while (frame := self._queue.first(now_ns)) is not None and self._transmit(frame):
            self._queue.remove(frame)

    # In the link's thread.

    def _run(self, waiter: Waiter) -> None:
        try:
            while not self._closing:
                waiter.wait(RETRY_S if len(self._queue) else LONGEST_WAIT_S)
                frames = self._read(self._clock())
                if frames:
                    self._hand_on(frames)
                if self._keep(self._clock()):
                    waiter.watch(self._ports)
        finally:
            with self._lock:
                self._waiter = None
                waiter.close()
                buses = [port.detach(self._clock()) for port in self._ports]
            for bus in buses:
                _shut_down(bus)

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
        if len(self._heartbeats) > MOST_HEARTBEATS:
            self._heartbeats.clear()
        last = self._heartbeats.setdefault(frame.identifier, deque(maxlen=LAST_HEARTBEATS))
        is_copy = any(frame.payload == payload for bus, payload in last if bus != index)
        last.append((index, frame.payload))
        return not is_copy

    def _hand_on(self, frames: list[WireFrame]) -> None:
        self._received += len(frames)
        try:
            self._on_frames(frames)
        except Exception as error:  # noqa: BLE001 - the link outlives its listener's faults
            self._raised += 1
            self._tell(f"a frame could not be handled: {error!r}")

    def _keep(self, now_ns: int) -> bool:
        """Close what is broken, open what is due, change buses, send what waits; tell of changes.

        Returns:
            Whether a bus was closed or opened.
        """
        reopened = False
        for port in self._ports:
            if port.is_broken or port.is_due(now_ns):
                self._renew(port, now_ns)
                reopened = True
        if reopened or len(self._ports) == 2 or len(self._queue):
            with self._lock:
                changed = self._takeover.decide([port.is_open for port in self._ports], now_ns)
                self._flush(now_ns)
            if changed:
                self._tell(f"bus {NAMES[self._takeover.active]} takes over")
        for index, port in enumerate(self._ports):
            if port.text != self._said[index]:
                self._said[index] = port.text
                self._tell(f"bus {NAMES[index]} " + (port.text or "works again"))
        return reopened

    def _renew(self, port: BusPort, now_ns: int) -> None:
        if port.is_broken:
            with self._lock:
                lost = port.detach(now_ns)
            _shut_down(lost)
            return
        bus = None
        with contextlib.suppress(InputError):  # it could be opened once; the port says why not now
            bus = port.open(now_ns)
        if bus is not None:
            with self._lock:
                port.attach(bus, now_ns)

    def _tell(self, text: str) -> None:
        with contextlib.suppress(Exception):  # as in `_hand_on`
            self._on_fault(text)


def _shut_down(bus: can.BusABC | None) -> None:
    if bus is not None:
        with contextlib.suppress(Exception):  # it is lost anyway, and a vendor's driver may raise anything
            bus.shutdown()
