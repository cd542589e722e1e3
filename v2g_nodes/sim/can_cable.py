"""A cable between two virtual buses, that can be cut: two segments of one CAN bus."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame

CABLE_PRIORITY = 4  # a wire is faster than whoever speaks on it


class CanCable:
    """Passes every frame of either segment on to the other; a context manager.

    Args:
        one: a segment.
        other: another one.

    Raises:
        InputError: a segment that can't be opened.
    """

    def __init__(self, one: CanSettings, other: CanSettings) -> None:
        self.connected = True
        self._hurried: set[int] = set()  # threads
        self._one = Link(one, lambda frames: self._pass(frames, self._other), name="cable")
        self._other = Link(other, lambda frames: self._pass(frames, self._one), name="cable")

    def _pass(self, frames: Sequence[WireFrame], to: Link) -> None:
        if threading.get_ident() not in self._hurried:
            self._hurried.add(threading.get_ident())
            _hurry()
        if self.connected:
            for frame in frames:
                to.send(frame)

    def __enter__(self) -> CanCable:
        self._one.start()
        self._other.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._one.close()
        self._other.close()


def _hurry() -> None:
    """Let this thread run before the station's processes, where the machine permits it; children don't inherit it."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(CABLE_PRIORITY))
