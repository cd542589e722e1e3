"""The latest of every status on /diagnostics, as a listener has it."""

from __future__ import annotations

import contextlib
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from v2g_nodes.nodes import streams
from v2g_nodes.nodes.diagnostics import Level

EXCHANGE = "exchange with the neighbours"  # all modules tell the same of a neighbour that is excluded: told once


class DiagnosticsEar:
    """Keeps statuses; one that is not repeated is forgotten.

    Args:
        but: statuses of this one, the listener itself, are left out.
    """

    def __init__(self, but: str) -> None:
        self._but = but
        self._last: dict[str, tuple[float, DiagnosticStatus]] = {}  # with the steady time of receipt [s]

    def hear(self, message: DiagnosticArray) -> None:
        """Take in what a node tells."""
        now_s = time.monotonic()
        for status in message.status:
            if not status.name.startswith(f"{self._but}:"):
                self._last[status.name] = now_s, status

    def statuses(self) -> dict[str, DiagnosticStatus]:
        """Statuses that are fresh, by name."""
        oldest_s = time.monotonic() - streams.DIAGNOSTICS.max_age_s
        return {name: status for name, (heard_s, status) in self._last.items() if heard_s >= oldest_s}

    def errors(self, what: str = "") -> list[str]:
        """What does not work, in words, each once.

        Args:
            what: only statuses that tell about this; empty = all.
        """
        texts = {
            status.message if name.endswith(EXCHANGE) else f"{name}: {status.message}"
            for name, status in self.statuses().items()
            if ord(status.level) == Level.ERROR and name.endswith(what)
        }
        return sorted(texts)

    def figures(self, key: str) -> dict[str, float]:
        """A figure that several statuses have, by the name of the status."""
        found: dict[str, float] = {}
        for name, status in self.statuses().items():
            for item in status.values:
                if item.key == key:
                    with contextlib.suppress(ValueError):
                        found[name] = float(item.value)
        return found
