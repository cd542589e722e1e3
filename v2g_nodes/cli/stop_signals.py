"""Ctrl-C, SIGTERM and SIGHUP as a wish that the program looks at when it can."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts stop signals while it is entered; the first asks for an orderly end, the second for an end at once."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self.count > 0

    @property
    def urgent(self) -> bool:
        """Whether it is to end without waiting for anything."""
        return self.count > 1

    def __enter__(self) -> StopSignals:
        for number in NUMBERS:
            # nohup leaves SIGHUP ignored and means it; a script's `&` does the same to SIGINT without meaning it
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
