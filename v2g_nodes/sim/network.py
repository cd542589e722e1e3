"""A seeded network that loses, delays, repeats and reorders frames, and rounds played on it.

Time is counted in rounds: what a module broadcasts in one round arrives before the next, or `delay_max` rounds later
at most, or is lost. Loss is drawn per directed link, on `bus` once per frame (a broken CAN frame is broken for all);
delays and copies are drawn per directed link on a bus too. What a module broadcasts in one round has one fate.

Links can be cut, modules die and return. Link and sender count when a frame is sent, the hearer when it arrives: a
module's last frames still arrive after its death, and one that returns may hear frames from before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Protocol, TypeVar

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import Adjacency, Edge
from v2g_nodes.core.types import Frame
from v2g_nodes.sim.link_faults import BoolArray, Losses, Transit

Message = TypeVar("Message")


class Talker(Protocol):
    """What exchanges frames until it has a result, such as an `Agent`."""

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        """See `Agent.step`."""

    @property
    def agreement(self) -> object | None:
        """The result, or None while the exchange runs."""


class LossyNetwork:
    """Which broadcast reaches whom, round by round; deterministic from its seed.

    Args:
        neighbours: who hears whom.
        loss: share of frames lost, 0 <= loss < 1.
        burst: mean length of a burst of losses in rounds; 1 = independent losses, otherwise at least
            loss / (1 - loss), as the pauses between bursts last a round or more.
        per_frame: a frame is lost for all hearers or none, as on a bus.
        seed: of the random draws.
        delay_max: a frame arrives 0 to this many rounds later than usual, so frames overtake each other.
        duplicate: share of the frames that arrive a second time, at once or up to delay_max + 1 rounds later.
        shuffle: what a module hears in one round comes in random order.

    Raises:
        InputError: an option out of range.
    """

    def __init__(
        self,
        neighbours: Adjacency,
        loss: float = 0.0,
        burst: float = 1.0,
        per_frame: bool = False,
        seed: int = 0,
        *,
        delay_max: int = 0,
        duplicate: float = 0.0,
        shuffle: bool = False,
    ) -> None:
        self._modules = tuple(sorted(neighbours))
        self._links = [(a, b) for a in self._modules for b in neighbours[a]]
        self._per_frame = per_frame
        self._place = np.array([self._modules.index(a) for a, _ in self._links], dtype=np.int64)  # of the sender
        self._losses = Losses(len(self._modules if per_frame else self._links), loss, burst, seed)
        self._transit = Transit(self._links, delay_max, duplicate, shuffle, seed)
        self._cut: set[Edge] = set()
        self._dead: set[int] = set()
        self._refresh()

    def deliver(self, broadcasts: Mapping[int, Sequence[Message]]) -> dict[int, list[Message]]:
        """One round: what each living module receives of what all broadcast.

        Args:
            broadcasts: messages by sender; those of dead modules are not sent.

        Raises:
            InputError: a sender that is no module of the network.
        """
        if strangers := broadcasts.keys() - self._modules:
            raise InputError(f"broadcasts of modules {sorted(strangers)}, allowed {list(self._modules)}")
        lost = self._losses.draw()
        carries = self._open & ~(lost[self._place] if self._per_frame else lost)
        inbox: dict[int, list[Message]] = {k: [] for k in self._modules}
        if self._transit.direct:
            for sender, hearer in compress(self._links, carries.tolist()):
                if messages := broadcasts.get(sender):
                    inbox[hearer].extend(messages)
        else:
            for hearer, message in self._transit.carry(broadcasts, carries):
                inbox[hearer].append(message)
        for k in self._dead:
            del inbox[k]
        return inbox

    def cut(self, a: int, b: int, one_way: bool = False) -> None:
        """Break a link, or only its direction from a to b.

        Raises:
            InputError: there is no such link.
        """
        self._cut |= self._directions(a, b, one_way)
        self._refresh()

    def heal(self, a: int, b: int, one_way: bool = False) -> None:
        """Mend a link, or only its direction from a to b.

        Raises:
            InputError: there is no such link.
        """
        self._cut -= self._directions(a, b, one_way)
        self._refresh()

    def kill(self, module: int) -> None:
        """A module neither sends nor hears from now on.

        Raises:
            InputError: no such module, or dead already.
        """
        if not self.lives(module):
            raise InputError(f"module {module} is dead, allowed are living ones")
        self._dead.add(module)
        self._refresh()

    def birth(self, module: int) -> None:
        """A dead module sends and hears again.

        Raises:
            InputError: no such module, or alive.
        """
        if self.lives(module):
            raise InputError(f"module {module} is alive, allowed are dead ones: {sorted(self._dead)}")
        self._dead.remove(module)
        self._refresh()

    def lives(self, module: int) -> bool:
        """Whether a module has not died.

        Raises:
            InputError: no such module.
        """
        if module not in self._modules:
            raise InputError(f"module {module}, allowed {list(self._modules)}")
        return module not in self._dead

    def _directions(self, a: int, b: int, one_way: bool) -> set[Edge]:
        if (a, b) not in self._links:
            raise InputError(f"link from {a} to {b}, allowed from {a} to {[j for k, j in self._links if k == a]}")
        return {(a, b)} if one_way else {(a, b), (b, a)}

    def _refresh(self) -> None:
        open_links = [link not in self._cut and link[0] not in self._dead for link in self._links]
        self._open: BoolArray = np.array(open_links, dtype=np.bool_)


def play_epoch(
    agents: Mapping[int, Talker],
    network: LossyNetwork,
    rounds_max: int = 100_000,
    events: Mapping[int, Callable[[], None]] | None = None,
) -> int:
    """Let agents exchange until all agree; the resend time of the agents counts in rounds (1 ns each).

    Args:
        agents: by module id; those of dead modules are neither stepped nor waited for.
        network: what carries their frames.
        rounds_max: give up after so many.
        events: what happens in a round before its steps, such as `network.kill`; an event may replace agents. The play
            does not end while events are to come.

    Returns:
        Rounds until the last module agreed and the last event was over.

    Raises:
        InputError: an event before round 0 or after `rounds_max`.
        RuntimeError: no agreement after `rounds_max`; names who has not agreed.
    """
    events = events or {}
    last_event = max(events, default=0)
    if not 0 <= min(events, default=0) <= last_event <= rounds_max:
        raise InputError(f"events in rounds {sorted(events)}, allowed 0 to {rounds_max}")
    inbox: dict[int, list[Frame]] = {}
    living = {k: agent for k, agent in agents.items() if network.lives(k)}
    for elapsed in range(rounds_max + 1):
        if elapsed in events:
            events[elapsed]()
            living = {k: agent for k, agent in agents.items() if network.lives(k)}
        broadcasts = {k: agent.step(inbox.get(k, []), elapsed) for k, agent in living.items()}
        if elapsed >= last_event and all(agent.agreement is not None for agent in living.values()):
            return elapsed
        inbox = network.deliver(broadcasts)
    missing = [k for k, agent in living.items() if agent.agreement is None]
    raise RuntimeError(f"no agreement after {rounds_max} rounds: modules {missing} have not agreed")
