"""What nodes tell on /diagnostics, in one place: how a status is made, and when a node's statuses go out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode

PERIOD_S = 1.0  # s, wall: every status goes out so often
LOOK_S = 0.25  # s, wall: and within this time when its level changes
RECENT_S = 10.0  # s, wall: what happened once is told so long


class Level(IntEnum):
    """Values as in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass
class Status:
    """One status while it is being made: level and words grow with what is found.

    Args:
        who: module (`ek3_NN`), `station` or the name of a node; diagnostic_aggregator groups by it.
        what: the status tells about.
        well: words where there is nothing to complain about.
        values: figures and words by name, units in the names.
    """

    who: str
    what: str
    well: str
    values: dict[str, object] = field(default_factory=dict)
    level: Level = Level.OK
    _texts: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something worth a word that is as it should be."""
        self._texts.append(text)

    def warn(self, text: str) -> None:
        """Something that somebody should look at."""
        self._found(Level.WARN, text)

    def error(self, text: str) -> None:
        """Something that does not work."""
        self._found(Level.ERROR, text)

    @property
    def name(self) -> str:
        """Name of the status."""
        return f"{self.who}: {self.what}"

    @property
    def text(self) -> str:
        """All that was found, the worst first."""
        return "; ".join(self._texts) or self.well

    def to_message(self) -> DiagnosticStatus:
        """The status as it goes out."""
        return DiagnosticStatus(
            level=bytes([self.level]),
            name=self.name,
            message=self.text,
            hardware_id=self.who,
            values=[KeyValue(key=key, value=_words(value)) for key, value in self.values.items()],
        )

    def _found(self, level: Level, text: str) -> None:
        if level > self.level:
            self._texts.insert(0, text)
            self.level = level
        else:
            self._texts.append(text)


class Rise:
    """Remembers for a while that a counter has gone up.

    Args:
        count: from which it counts.
    """

    def __init__(self, count: int = 0) -> None:
        self._count = count
        self._risen_s = -RECENT_S

    def lately(self, count: int, now_s: float) -> bool:
        """Whether it has gone up within RECENT_S.

        Args:
            count: of now; one below that of before has begun anew.
            now_s: steady time [s].
        """
        if count > self._count:
            self._risen_s = now_s
        self._count = count
        return now_s - self._risen_s < RECENT_S


class Diagnostics:
    """The statuses of one node: all of them each second, and at once when one changes its level.

    Args:
        node: whose; make this while it is configured.
        make: looks at the node and returns its statuses; called every LOOK_S.
    """

    def __init__(self, node: ManagedNode[Any], make: Callable[[], Sequence[Status]]) -> None:
        self._node, self._make = node, make
        self._out = node.publisher(streams.DIAGNOSTICS)
        self._levels: list[tuple[str, Level]] = []
        self._sent_s = -PERIOD_S

    def start(self) -> None:
        """Begin to tell; for `activate` of the node."""
        self._node.every(LOOK_S, self.look)
        self._node.last_words = self._end

    def look(self) -> None:
        """Make the statuses and send them if they are due."""
        statuses = self._make()
        levels = [(status.name, status.level) for status in statuses]
        now_s = time.monotonic()
        if levels == self._levels and now_s - self._sent_s < PERIOD_S - LOOK_S / 2:
            return
        self._levels, self._sent_s = levels, now_s
        self._send(statuses)

    def _end(self) -> None:
        """Nobody looks any more: what was well must not stay the last that was told."""
        silent = []
        for name, _ in self._levels:
            who, _, what = name.partition(": ")
            silent.append(Status(who, what, ""))
            silent[-1].warn("not active")
        self._levels = []
        self._send(silent)

    def _send(self, statuses: Sequence[Status]) -> None:
        array = DiagnosticArray(status=[status.to_message() for status in statuses])
        array.header.stamp = convert.to_time(self._node.now_s())
        self._out.publish(array)


def module_name(module_id: int) -> str:
    """Who a status of a module is about."""
    return f"ek3_{module_id:02d}"


def node_name(node: ManagedNode[Any]) -> str:
    """Who a status of any other node is about: its name, with that of its host where there are several."""
    return str(node.get_fully_qualified_name()).lstrip("/")


def _words(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
