"""Links between modules that work or not, lose messages and take their time. Everything follows from the seed.

Unlike the rounds of sim/link_faults.py, messages come at any tick and few links carry one in a tick: fates are drawn
for messages, when they are sent.
"""

from __future__ import annotations

import random

from v2g_nodes.core.graph import Edge

TICK_NS = 1_000_000
LATENCIES = 3  # a message takes one to so many ticks, each as likely, so messages overtake each other


class ChurnLinks:
    """What becomes of messages.

    Args:
        draws: source of the draws.
        loss: share of messages lost, drawn for each hearer.
        burst_ms: mean length of the times in which a link loses everything; 0 = losses are independent.
    """

    def __init__(self, draws: random.Random, loss: float, burst_ms: float) -> None:
        self.broken: set[Edge] = set()  # directed: (from, to)
        self._random = draws.random
        self._loss = loss
        # memory of a link's state over one tick (two-state Markov chain whose stay in the bad state is burst_ms)
        self._memory = max(0.0, 1.0 - TICK_NS / 1e6 / (burst_ms * (1.0 - loss))) if burst_ms else 0.0
        self._states: dict[Edge, tuple[int, bool]] = {}  # when a link was asked last, and whether it lost

    def arrival(self, link: Edge, tick: int) -> int | None:
        """The tick in which a message that is sent now arrives; None if it gets lost."""
        if link in self.broken or (self._loss and self._lost(link, tick)):
            return None
        return tick + 1 + int(LATENCIES * self._random())

    def _lost(self, link: Edge, tick: int) -> bool:
        """Independent losses, or bursts after Gilbert and Elliott."""
        if not self._memory:
            return self._random() < self._loss
        asked, bad = self._states.get(link, (0, False))
        bad = self._random() < self._loss + (bad - self._loss) * self._memory ** (tick - asked)
        self._states[link] = (tick, bad)
        return bad
