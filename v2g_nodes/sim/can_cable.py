"""A cable between two virtual buses, that can be cut: two segments of one CAN bus."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame


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
        self._one = Link(one, lambda frames: self._pass(frames, self._other), name="cable")
        self._other = Link(other, lambda frames: self._pass(frames, self._one), name="cable")

    def _pass(self, frames: Sequence[WireFrame], to: Link) -> None:
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
