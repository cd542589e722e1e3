"""Listens to the bus, or to both, without ever sending: what `can dump`, `can log`, `doctor` and `bench can` hear."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple

from v2g_nodes.canbus.link import NAMES, Link, LinkState
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame

FIRST_S = 1.0  # a bus that has not come up by then is worth a word


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
        self._heard: queue.SimpleQueue[tuple[str, list[WireFrame]]] = queue.SimpleQueue()
        self._links = {
            bus: Link(replace(settings, channel=channel, backup_channel=""),
                      lambda frames, bus=bus: self._heard.put((bus, frames)), name=f"ear {bus}")  # type: ignore[misc]
            for bus, channel in zip(NAMES, settings.channels, strict=False)
        }  # fmt: skip
        self._wall_minus_steady_ns = time.time_ns() - time.monotonic_ns()
        self._started: list[Link] = []

    def __enter__(self) -> BusEar:
        for link in self._links.values():
            link.start()
            self._started.append(link)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._started:
            link.close()

    def take(self, wait_s: float) -> list[Heard]:
        """What has come since the last call, waiting up to wait_s [s] for the first frame."""
        heard: list[Heard] = []
        for bus, frames in self._batches(wait_s):
            heard += [Heard(bus, frame, frame.received_ns + self._wall_minus_steady_ns) for frame in frames]
        return heard

    @property
    def states(self) -> dict[str, LinkState]:
        """How each bus is."""
        return {bus: link.state for bus, link in self._links.items()}

    def _batches(self, wait_s: float) -> Iterator[tuple[str, list[WireFrame]]]:
        try:
            yield self._heard.get(timeout=wait_s)
            while True:
                yield self._heard.get_nowait()
        except queue.Empty:
            return
