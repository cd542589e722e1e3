"""Listens to the bus, or to both, without ever sending: what `can dump`, `can log`, `doctor` and `bench can` hear."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple

from v2g_nodes.canbus.ample_bus import AmpleOpener
from v2g_nodes.canbus.link import NAMES, Link, LinkState
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

TURN_S = 0.2  # longest wait, so that a stop is seen
LATE_S, LATE_TURN_S = 1.0, 0.05  # for what came in time but could not be read yet
NS_PER_S = 1e9


class Heard(NamedTuple):
    """A frame, on which bus, when."""

    bus: str  # A or B
    frame: WireFrame
    unix_ns: int  # wall time of its reception


class BusEar:
    """A context manager; every bus has a link of its own, so that it is known which one a frame came from.

    Args:
        settings: of the station's bus or buses.

    Raises:
        InputError: settings that can never work (on entering).
    """

    def __init__(self, settings: CanSettings) -> None:
        self._opener = AmpleOpener()
        self._heard: queue.SimpleQueue[tuple[str, list[WireFrame]]] = queue.SimpleQueue()
        self._links = {
            bus: Link(replace(settings, channel=channel, backup_channel=""),
                      lambda frames, bus=bus: self._heard.put((bus, frames)), name=f"ear {bus}",  # type: ignore[misc]
                      opener=self._opener)
            for bus, channel in zip(NAMES, settings.channels, strict=False)
        }  # fmt: skip
        self._wall_minus_steady_ns = time.time_ns() - time.monotonic_ns()

    def __enter__(self) -> BusEar:
        try:
            for link in self._links.values():
                link.start()
        except InputError:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def take(self, wait_s: float) -> list[Heard]:
        """What has come since the last call, waiting up to wait_s [s] for the first frame."""
        heard: list[Heard] = []
        for bus, frames in self._batches(wait_s):
            heard += [Heard(bus, frame, frame.received_ns + self._wall_minus_steady_ns) for frame in frames]
        return heard

    def turns(self, seconds: float | None, stopped: Callable[[], bool] = lambda: False) -> Iterator[list[Heard]]:
        """What has come, turn by turn; an empty list where nothing came for a while.

        On a busy machine frames are read long after they came. So listening goes on for a while after its time, until
        a frame comes that is later, and what is later is left out.

        Args:
            seconds: how long; None = until stopped.
            stopped: looked at in every turn.
        """
        until_ns = math.inf if seconds is None else time.monotonic_ns() + seconds * NS_PER_S
        while not stopped() and (left_s := (until_ns - time.monotonic_ns()) / NS_PER_S) > -LATE_S:
            turn = self.take(min(TURN_S, left_s) if left_s > 0.0 else LATE_TURN_S)
            yield [heard for heard in turn if heard.frame.received_ns <= until_ns]
            if turn and turn[-1].frame.received_ns > until_ns:
                break

    @property
    def states(self) -> dict[str, LinkState]:
        """How each bus is."""
        return {bus: link.state for bus, link in self._links.items()}

    @property
    def missed(self) -> int:
        """Frames that came but were thrown away by the kernel before they could be read, where it tells."""
        return self._opener.missed

    def _close(self) -> None:
        for link in self._links.values():
            link.close()
        self._opener.close()

    def _batches(self, wait_s: float) -> Iterator[tuple[str, list[WireFrame]]]:
        try:
            yield self._heard.get(timeout=wait_s)
            while True:
                yield self._heard.get_nowait()
        except queue.Empty:
            return
