"""One bus with its life: opened, read, written to, lost, opened again."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import can

from v2g_nodes.canbus.bus import Filter, open_bus
from v2g_nodes.canbus.frame_io import read, write
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

FIRST_BACKOFF_NS, LONGEST_BACKOFF_NS = 50_000_000, 1_000_000_000
PATIENCE_NS = 50_000_000  # with a bus that takes no frames
MOST_AT_ONCE = 256  # frames of one reading: a flood must not keep the thread from sending
GONE = (errno.ENODEV, errno.ENXIO, errno.ENETDOWN, errno.EBADF)
BUFFER_FULL = (errno.ENOBUFS, errno.EAGAIN)

Opener = Callable[[CanSettings, str, Sequence[Filter], bool], can.BusABC]


class BusPort:
    """One of a link's buses.

    `send` may be called by any thread that holds the link's lock, everything else by the link's thread; what closes or
    replaces the bus needs both.

    Args:
        settings: how to open it.
        channel: which bus.
        filters: what is wanted.
        own_echo: whether own frames come back.
        opener: opens the bus.
    """

    def __init__(
        self,
        settings: CanSettings,
        channel: str,
        filters: Sequence[Filter] = (),
        own_echo: bool = False,
        opener: Opener = open_bus,
    ) -> None:
        self._how = (settings, channel, filters, own_echo)
        self._opener = opener
        self._bus: can.BusABC | None = None
        self._peeked: can.Message | None = None
        self._opened_ns = self._due_ns = 0
        self._backoff_ns = FIRST_BACKOFF_NS
        self._broken = False
        self._fails_since_ns: int | None = None
        self.text = "not open yet"
        self.error_frames = self.foreign = self.failed_sends = self.opened = 0

    @property
    def is_open(self) -> bool:
        """Whether frames can be given to it."""
        return self._bus is not None and not self._broken

    @property
    def is_broken(self) -> bool:
        """Whether it is to be closed."""
        return self._broken

    @property
    def up(self) -> bool:
        """Whether it is open and nothing has failed since it last worked."""
        return self.is_open and not self.text

    def is_due(self, now_ns: int) -> bool:
        """Whether it is closed and the next attempt to open it is due."""
        return self._bus is None and now_ns >= self._due_ns

    def open(self, now_ns: int) -> can.BusABC | None:
        """Try to open the bus; it is used from `attach` on.

        Raises:
            InputError: it can never be opened as the settings are.
        """
        try:
            return self._opener(*self._how)
        except InputError as error:
            self._back_off(str(error), now_ns)
            raise
        except Exception as error:  # noqa: BLE001 - a vendor's driver may raise anything
            self._back_off(f"can't open: {_said(error)}", now_ns)
            return None

    def attach(self, bus: can.BusABC, now_ns: int) -> None:
        """Use an opened bus."""
        self._bus, self._opened_ns = bus, now_ns
        self.opened += 1
        if self.opened == 1:
            self.text = ""

    def detach(self, now_ns: int) -> can.BusABC | None:
        """Use the bus no more; it is the caller's to shut down."""
        bus, self._bus, self._peeked, self._fails_since_ns = self._bus, None, None, None
        self.text = self.text or "closed"
        if self._broken:
            self._broken = False
            if now_ns - self._opened_ns > LONGEST_BACKOFF_NS:
                self._backoff_ns = FIRST_BACKOFF_NS
            self._back_off(self.text, now_ns)
        return bus

    def fileno(self) -> int | None:
        """What to wait on for frames; None where there is no such thing or the bus is not open."""
        if self._bus is None:
            return None
        try:
            number = self._bus.fileno()
        except NotImplementedError:
            return None
        return number if number >= 0 else None

    def wait(self, timeout_s: float) -> None:
        """Wait for a frame on a bus without a file descriptor.

        Args:
            timeout_s: longest wait [s].
        """
        if self._bus is None or self._peeked is not None:
            return
        try:
            self._peeked = self._bus.recv(timeout_s)
        except Exception as error:  # noqa: BLE001 - as in `open`
            self.fail(f"can't read: {_said(error)}")

    def read(self, now_ns: int) -> list[WireFrame]:
        """Everything that waits, up to a limit; counts what is no frame of ours.

        Args:
            now_ns: steady time [ns].
        """
        if not self.is_open or self._bus is None:
            return []
        first, self._peeked = self._peeked, None
        try:
            reading = read(self._bus, MOST_AT_ONCE, now_ns, first)
        except Exception as error:  # noqa: BLE001 - as in `open`
            self.fail(f"can't read: {_said(error)}")
            return []
        self.error_frames += reading.error_frames
        self.foreign += reading.foreign
        if reading.bus_off:
            self.fail("bus-off")
        elif reading.frames and self._fails_since_ns is None:
            self.text = ""
        return reading.frames

    def send(self, frame: WireFrame, now_ns: int) -> bool:
        """Give a frame to the bus; never waits.

        Args:
            frame: to be sent.
            now_ns: steady time [ns].

        Returns:
            Whether the bus took it.
        """
        if not self.is_open or self._bus is None:
            return False
        try:
            write(self._bus, frame)
        except Exception as error:  # noqa: BLE001 - as in `open`
            self.failed_sends += 1
            self._judge(error, now_ns)
            return False
        self._fails_since_ns = None
        self.text = ""
        return True

    def _judge(self, error: Exception, now_ns: int) -> None:
        """A buffer that is full for a moment is no fault, and one that stays full empties when the cable is back."""
        if self._fails_since_ns is None:
            self._fails_since_ns = now_ns
        lasts = now_ns - self._fails_since_ns > PATIENCE_NS
        number = _number(error)
        is_full = number in BUFFER_FULL or isinstance(error, can.CanTimeoutError)
        if isinstance(error, can.CanOperationError) and number is None:
            is_full = True  # what python-can says of a socket that is not writable
        if lasts or not is_full:
            self.text = f"can't send: {_said(error)}"
        if number in GONE or (lasts and not is_full):
            self._broken = True

    def fail(self, text: str) -> None:
        """This bus is of no use as it is: to be closed and opened again."""
        self.text, self._broken = text, True

    def _back_off(self, text: str, now_ns: int) -> None:
        self.text = text
        self._due_ns = now_ns + self._backoff_ns
        self._backoff_ns = min(2 * self._backoff_ns, LONGEST_BACKOFF_NS)


def _number(error: Exception) -> int | None:
    number = getattr(error, "error_code", None) or getattr(error, "errno", None)
    return number if isinstance(number, int) else None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
