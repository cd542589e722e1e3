"""Which of the two buses is spoken on.

A is the normal one. The other takes over when the active one is gone or has shown more than ten faults (error frames,
sends it did not take) within 100 ms (FOUND, EK3 specification). Everybody listens to both, so that the others can
follow (CHOSEN): who hears somebody speak on B goes there too, and who is left alone on B goes back to A once A is where
the others speak. Heartbeats go out on both buses and therefore tell nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

FAULTS = 10  # more than these
WINDOW_NS = 100_000_000
SETTLE_NS = 1_000_000_000  # after a change; the others need a few periods of their frames to follow
NEVER_NS = -(1 << 62)
A, B = 0, 1


class Takeover:
    """Decides from what happened on each bus; with one bus there is nothing to decide.

    Args:
        buses: 1 or 2.
    """

    def __init__(self, buses: int) -> None:
        self.active = A
        self.takeovers = 0
        self._buses = buses
        self._error_frames: list[deque[int]] = [deque(maxlen=FAULTS + 1) for _ in range(buses)]  # when [ns]
        self._failed_sends: list[deque[int]] = [deque(maxlen=FAULTS + 1) for _ in range(buses)]
        self._spoken_ns = [NEVER_NS] * buses
        self._changed_ns = NEVER_NS

    def error_frame(self, bus: int, now_ns: int) -> None:
        """Somebody broke off a frame on this bus."""
        self._error_frames[bus].append(now_ns)

    def failed_send(self, bus: int, now_ns: int) -> None:
        """This bus did not take a frame."""
        self._failed_sends[bus].append(now_ns)

    def sent(self, bus: int) -> None:
        """This bus took a frame: what it refused before was a full buffer and no fault."""
        self._failed_sends[bus].clear()

    def spoken(self, bus: int, now_ns: int) -> None:
        """Somebody else was heard there with a frame that is no heartbeat."""
        self._spoken_ns[bus] = now_ns

    def use(self, bus: int, now_ns: int) -> None:
        """Speak on this bus from now on."""
        if bus != self.active:
            self.active = bus
            self.takeovers += 1
            self._changed_ns = now_ns

    def decide(self, usable: Sequence[bool], now_ns: int) -> bool:
        """Change the bus where there is a reason to.

        Args:
            usable: of each bus, whether it is open.
            now_ns: steady time [ns].

        Returns:
            Whether the active bus changed.
        """
        if self._buses == 1:
            return False
        other = B if self.active == A else A
        if not usable[other] or self._fails(other, now_ns):
            return False
        change = not usable[self.active] or self._fails(self.active, now_ns) or self._others_are_on(other, now_ns)
        if change:
            self.use(other, now_ns)
        return change

    def _others_are_on(self, other: int, now_ns: int) -> bool:
        if now_ns - self._changed_ns < SETTLE_NS or self._spoken_ns[other] < self._changed_ns + SETTLE_NS:
            return False
        if now_ns - self._spoken_ns[other] >= SETTLE_NS:
            return False
        return other == B or now_ns - self._spoken_ns[self.active] >= SETTLE_NS

    def _fails(self, bus: int, now_ns: int) -> bool:
        since_ns = now_ns - WINDOW_NS
        faults = sum(when > since_ns for kind in (self._error_frames, self._failed_sends) for when in kind[bus])
        return faults > FAULTS
