"""Share of the time a bus is occupied, from the frames seen on it."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import NamedTuple

from v2g_nodes.canbus.bit_time import Stuffing, frame_time_s
from v2g_nodes.canbus.settings import CanSettings

SHORT_S, LONG_S = 0.1, 1.0
SHORT_NS = 100_000_000
SHORTS_PER_LONG = 10


class Load(NamedTuple):
    """Occupied share of the time, 1 = full; above 1 where a bus of processes carries more than a wire could.

    Args:
        mean: since the first frame.
        peak_100ms: in the busiest of the 0.1 s windows that follow each other.
        peak_1s: in the busiest second that begins with one of them.
        frames: counted.
    """

    mean: float
    peak_100ms: float
    peak_1s: float
    frames: int


class BusLoad:
    """Adds up frame times.

    Args:
        settings: both bit rates.
        stuffing: which frame time to count.
    """

    def __init__(self, settings: CanSettings, stuffing: Stuffing = "worst") -> None:
        self._frame_s = lru_cache(maxsize=None)(lambda payload_bytes: frame_time_s(payload_bytes, settings, stuffing))
        self._first_ns: int | None = None
        self._window = 0  # which 0.1 s since the first frame
        self._busy_s = 0.0  # in it
        self._before_s: deque[float] = deque(maxlen=SHORTS_PER_LONG - 1)  # in those before
        self._total_s = 0.0
        self._most_short_s = self._most_long_s = 0.0
        self._frames = 0

    def add(self, payload_bytes: int, now_ns: int) -> None:
        """Count a frame.

        Args:
            payload_bytes: length of its payload.
            now_ns: steady time at which it was seen [ns]; never before the one before.

        Raises:
            InputError: CAN-FD has no frame of this length.
        """
        busy_s = self._frame_s(payload_bytes)
        self._advance(now_ns)
        self._frames += 1
        self._total_s += busy_s
        self._busy_s += busy_s
        self._most_short_s = max(self._most_short_s, self._busy_s)
        self._most_long_s = max(self._most_long_s, sum(self._before_s) + self._busy_s)

    def load(self, now_ns: int) -> Load:
        """Load up to now; of less than one window, as if it were whole.

        Args:
            now_ns: steady time [ns].
        """
        if self._first_ns is None:
            return Load(0.0, 0.0, 0.0, 0)
        elapsed_s = max((now_ns - self._first_ns) * 1e-9, SHORT_S)
        return Load(
            self._total_s / elapsed_s, self._most_short_s / SHORT_S, self._most_long_s / LONG_S, self._frames
        )

    def _advance(self, now_ns: int) -> None:
        if self._first_ns is None:
            self._first_ns = now_ns
        window = (now_ns - self._first_ns) // SHORT_NS
        for _ in range(min(window - self._window, SHORTS_PER_LONG)):
            self._before_s.append(self._busy_s)
            self._busy_s = 0.0
        self._window = max(window, self._window)
