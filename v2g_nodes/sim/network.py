"""A seeded network that loses frames, and rounds played on it.

Time is counted in rounds: what a module broadcasts in one round arrives before the next, or is lost. Loss is
drawn per directed link, on `bus` once per frame (a broken CAN frame is broken for all). Bursts follow Gilbert
and Elliott: a link loses everything while it is bad; it turns bad and recovers at random so that the share of
lost frames is `loss` and a burst lasts `burst` rounds on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from v2g_nodes.core.dispatch.agent import Agent
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import Adjacency
from v2g_nodes.core.types import Frame

Message = TypeVar("Message")


class LossyNetwork:
    """Which broadcast reaches whom, round by round; deterministic from its seed.

    Args:
        neighbours: who hears whom.
        loss: share of frames lost, 0 <= loss < 1.
        burst: mean length of a burst of losses in rounds; 1 = independent losses, otherwise at least
            loss / (1 - loss), as the pauses between bursts last a round or more.
        per_frame: a frame is lost for all hearers or none, as on a bus.
        seed: of the random draws.

    Raises:
        InputError: loss or burst out of range.
    """

    def __init__(
        self, neighbours: Adjacency, loss: float = 0.0, burst: float = 1.0, per_frame: bool = False, seed: int = 0
    ) -> None:
        _check_losses(loss, burst)
        self._hearers = {k: tuple(v) for k, v in neighbours.items()}
        self._links = [(a, b) for a, others in sorted(neighbours.items()) for b in (others if not per_frame else (a,))]
        self._per_frame = per_frame
        self._loss = loss
        self._leave_bad = 1.0 / burst
        self._enter_bad = loss * self._leave_bad / (1.0 - loss)
        self._bursty = burst > 1.0
        self._random = np.random.default_rng(seed)
        self._bad = self._random.random(len(self._links)) < loss

    def deliver(self, broadcasts: Mapping[int, Sequence[Message]]) -> dict[int, list[Message]]:
        """One round: what each module receives of what all broadcast.

        Args:
            broadcasts: messages by sender.
        """
        lost = self._draw()
        inbox: dict[int, list[Message]] = {k: [] for k in self._hearers}
        for sender, messages in broadcasts.items():
            for hearer in self._hearers[sender]:
                if (sender, sender if self._per_frame else hearer) not in lost:
                    inbox[hearer].extend(messages)
        return inbox

    def _draw(self) -> set[tuple[int, int]]:
        if self._loss == 0.0:
            return set()
        draw = self._random.random(len(self._links))
        if self._bursty:
            self._bad = np.where(self._bad, draw >= self._leave_bad, draw < self._enter_bad)
        else:
            self._bad = draw < self._loss
        return {link for link, bad in zip(self._links, self._bad, strict=True) if bad}


def _check_losses(loss: float, burst: float) -> None:
    if not 0.0 <= loss < 1.0:
        raise InputError(f"loss is {loss:g}, allowed 0 up to below 1")
    if not burst >= 1.0:
        raise InputError(f"burst is {burst:g}, allowed from 1 rounds")
    shortest = loss / (1.0 - loss)
    if 1.0 < burst < shortest:
        raise InputError(
            f"burst is {burst:g}, allowed 1 or from {shortest:g} (losses of {loss:g} can't come in shorter bursts)"
        )


def play_epoch(agents: Mapping[int, Agent], network: LossyNetwork, rounds_max: int = 100_000) -> int:
    """Let agents exchange until all agree; the resend time of the agents counts in rounds (1 ns each).

    Returns:
        Rounds until the last module agreed.

    Raises:
        RuntimeError: no agreement after `rounds_max`.
    """
    broadcasts: dict[int, list[Frame]] = {k: agent.step([], 0) for k, agent in agents.items()}
    for elapsed in range(rounds_max):
        if all(agent.agreement is not None for agent in agents.values()):
            return elapsed
        inbox = network.deliver(broadcasts)
        broadcasts = {k: agent.step(inbox[k], elapsed + 1) for k, agent in agents.items()}
    raise RuntimeError(f"no agreement after {rounds_max} rounds")
