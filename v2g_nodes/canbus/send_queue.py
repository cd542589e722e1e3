"""Frames that wait because the bus could not take them."""

from __future__ import annotations

from v2g_nodes.canbus.wire_frame import WireFrame

PLACES = 64
LONGEST_WAIT_NS = 50_000_000  # an older set-point must not come out after a pause


class SendQueue:
    """Waiting frames in order of priority, one of each identifier, none of them old.

    Args:
        places: most frames that wait.
        longest_wait_ns: what has waited longer is dropped [ns].
    """

    def __init__(self, places: int = PLACES, longest_wait_ns: int = LONGEST_WAIT_NS) -> None:
        self._places = places
        self._longest_wait_ns = longest_wait_ns
        self._waiting: dict[int, tuple[WireFrame, int]] = {}  # by identifier: frame, since when [ns]
        self.dropped = 0
        self.replaced = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, frame: WireFrame, now_ns: int) -> None:
        """Let a frame wait: in place of one with its identifier, else at the cost of the least urgent when all is full.

        Args:
            frame: to be sent.
            now_ns: steady time [ns].
        """
        if frame.identifier in self._waiting:
            self.replaced += 1
        self._waiting[frame.identifier] = (frame, now_ns)
        if len(self._waiting) > self._places:
            del self._waiting[max(self._waiting)]
            self.dropped += 1

    def first(self, now_ns: int) -> WireFrame | None:
        """The most urgent frame, after dropping what has waited too long; None when nothing waits.

        Args:
            now_ns: steady time [ns].
        """
        for identifier, (_, since_ns) in list(self._waiting.items()):
            if now_ns - since_ns > self._longest_wait_ns:
                del self._waiting[identifier]
                self.dropped += 1
        return self._waiting[min(self._waiting)][0] if self._waiting else None

    def remove(self, frame: WireFrame) -> None:
        """Forget a frame that has gone out."""
        del self._waiting[frame.identifier]
