"""What chance does to frames on links: losses, delays, duplicates. Each kind draws from a stream of its own.

In every round each kind draws for all links, whether frames are under way or not. So a link's fate in a round is
named by the seed alone: the losses are the same with delays and without, with traffic and without.

Bursts follow Gilbert and Elliott: a link loses everything while it is bad; it turns bad and recovers at random so
that the share of lost frames is `loss` and a burst lasts `burst` rounds on average.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import Edge

Arrival = tuple[int, Any]  # hearer, message
BoolArray = NDArray[np.bool_]

COPY_LAG = 1  # a copy may be this many rounds later than the latest first arrival, so that some come apart
NO_COPY = -1


class Losses:
    """Which links lose what they carry, round by round.

    Args:
        links: how many lose independently.
        loss: share of rounds lost, 0 <= loss < 1.
        burst: mean length of a burst of losses in rounds; 1 = independent losses, otherwise at least
            loss / (1 - loss), as the pauses between bursts last a round or more.
        seed: of the random draws.

    Raises:
        InputError: loss or burst out of range.
    """

    def __init__(self, links: int, loss: float, burst: float, seed: int) -> None:
        _check_losses(loss, burst)
        self._loss = loss
        self._leave_bad = 1.0 / burst
        self._enter_bad = loss * self._leave_bad / (1.0 - loss)
        self._bursty = burst > 1.0
        self._random = np.random.default_rng(seed)
        self._bad: BoolArray = self._random.random(links) < loss

    def draw(self) -> BoolArray:
        """One round: whether each link loses, shape (links,)."""
        if self._loss > 0.0:
            draw = self._random.random(len(self._bad))
            if self._bursty:
                self._bad = np.where(self._bad, draw >= self._leave_bad, draw < self._enter_bad)
            else:
                self._bad = draw < self._loss
        return self._bad


class Transit:
    """Frames under way: how late they arrive, which arrive twice, and in what order.

    Args:
        links: (sender, hearer) of each.
        delay_max: a frame is 0 to this many rounds late, each as likely.
        duplicate: share of frames with a copy, 0 to 1; the copy is 0 to delay_max + COPY_LAG rounds late.
        shuffle: what arrives in a round comes in random order, otherwise in the order of sending.
        seed: of the random draws.

    Raises:
        InputError: delay_max or duplicate out of range.
    """

    def __init__(self, links: Sequence[Edge], delay_max: int, duplicate: float, shuffle: bool, seed: int) -> None:
        if not (delay_max >= 0 and delay_max % 1 == 0):
            raise InputError(f"delay_max is {delay_max:g}, allowed whole rounds from 0")
        if not 0.0 <= duplicate <= 1.0:
            raise InputError(f"duplicate is {duplicate:g}, allowed 0 to 1")
        self._links = links
        self._delay_max = delay_max
        self._duplicate = duplicate
        self._shuffle = shuffle
        self._delays, self._copies, self._order = (_random_stream(seed, kind) for kind in (1, 2, 3))
        self._round = 0
        self._due: defaultdict[int, list[Arrival]] = defaultdict(list)  # by round

    @property
    def direct(self) -> bool:
        """Whether every frame arrives at once, in order and only once, so that `carry` is not needed."""
        return not (self._delay_max or self._duplicate or self._shuffle)

    def carry(self, broadcasts: Mapping[int, Sequence[Any]], carries: BoolArray) -> list[Arrival]:
        """One round: what arrives, of what is under way and what is sent now.

        Args:
            broadcasts: messages by sender.
            carries: whether each link lets pass what is sent now, shape (links,).
        """
        now, due = self._round, self._due
        fates = zip(self._links, *self._draw(), strict=True)
        for (sender, hearer), late, copy_late in compress(fates, carries.tolist()):
            for message in broadcasts.get(sender, ()):
                due[now + late].append((hearer, message))
                if copy_late != NO_COPY:
                    due[now + copy_late].append((hearer, message))
        arrivals = due.pop(now, [])
        self._round = now + 1
        if not self._shuffle:
            return arrivals
        return [arrivals[k] for k in self._order.permutation(len(arrivals)).tolist()]

    def _draw(self) -> tuple[list[int], list[int]]:
        """How late each link's frames of this round are, and their copies."""
        # Whole numbers from uniform ones: how many of these a round takes doesn't depend on the options.
        late = self._delays.random(len(self._links)) * (self._delay_max + 1)
        chosen, uniform = self._copies.random((2, len(self._links)))
        copy_late = uniform * (self._delay_max + COPY_LAG + 1)
        copies = np.where(chosen < self._duplicate, copy_late.astype(np.int64), NO_COPY)
        return late.astype(np.int64).tolist(), copies.tolist()


def _random_stream(seed: int, kind: int) -> np.random.Generator:
    """Random numbers for one kind of fault, independent of those for the others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind,)))


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
