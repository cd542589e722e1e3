"""Averages and largest values of numbers over the group, as rounds of frames.

A frame's ten words hold two numbers of 64 bits for the average and one of 32 bits, of which every member ends with the
largest one of all. The largest is exact whatever the average, so decisions taken from it, as when to stop, are the
same everywhere. (The integers of fixed-point averages stay below 2^53 and so cross exactly as float64.)
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from functools import lru_cache

from v2g_nodes.core.averaging.average import AveragingPlan
from v2g_nodes.core.dispatch.lockstep import Words
from v2g_nodes.core.graph import diameter
from v2g_nodes.core.target import to_float32
from v2g_nodes.core.types import Frame

LARGEST_VALUE = 2.0**14  # kW, EUR/kWh or kW per EUR/kWh; 64 members' sum in units of 2^-32 stays below 2^53
_WORDS, _NUMBERS = struct.Struct("<10h"), struct.Struct("<ddf")

#: (average of each number, the largest value of all)
Means = tuple[tuple[float, ...], float]


class Collective:
    """One member's averages over its group.

    Args:
        plan: how the group averages.
        member: own id.
        links: neighbours whose words come in, in their order; the plan's among them.
    """

    def __init__(self, plan: AveragingPlan, member: int, links: Sequence[int]) -> None:
        self._plan = plan
        self._member = member
        self._places = [links.index(k) for k in plan.neighbours[member]]
        self.rounds = plan.rounds
        if plan.rounds < _width(tuple(plan.neighbours.items())):
            raise ValueError(f"plan has {plan.rounds} rounds, allowed from the diameter, or the largest is not known")

    def means(
        self, values: tuple[float, float], largest: float = 0.0
    ) -> Generator[tuple[Words, int], list[Words], Means]:
        """Average of two numbers over the group, and the largest of the third.

        Args:
            values: own numbers; limited to 2^14.
            largest: at least 0; rounded to float32.
        """
        number = int if self._plan.fixed_point else float
        first, second = (min(max(value, -LARGEST_VALUE), LARGEST_VALUE) for value in values)
        average = self._plan.start(self._member, (first, second))
        largest = saturate_float32(largest)
        while not average.done:
            message = average.message
            received = yield pack(message[0], message[1], largest), 0
            numbers = [unpack(received[place]) for place in self._places]
            largest = max([largest, *(one[2] for one in numbers)])
            average.advance([(number(one[0]), number(one[1])) for one in numbers])
        return average.mean, largest


@lru_cache(maxsize=64)
def _width(neighbours: tuple[tuple[int, tuple[int, ...]], ...]) -> int:
    """Diameter of the links used; an agent is made for every epoch, the links stay."""
    return diameter(dict(neighbours))


def saturate_float32(value: float) -> float:
    """The nearest number of 32 bits; beyond its range the largest."""
    return to_float32(min(max(value, -3e38), 3e38))


def pack(first: float, second: float, largest: float) -> Words:
    """Two numbers of 64 bits and one of 32 as ten int16 words, little-endian."""
    return _WORDS.unpack(_NUMBERS.pack(first, second, largest))


def unpack(words: Words) -> tuple[float, float, float]:
    """Inverse of `pack`."""
    first, second, largest = _NUMBERS.unpack(_WORDS.pack(*words))
    return first, second, largest


def plausible_frame(frame: Frame) -> bool:
    """Whether both rounds in a frame can be numbers of a working neighbour."""
    return all(plausible(words) for words in (frame.values, frame.values_previous) if words)


def plausible(words: Words) -> bool:
    """Whether the words can be numbers of a working neighbour."""
    first, second, largest = unpack(words)
    return abs(first) < 2.0**53 and abs(second) < 2.0**53 and 0.0 <= largest <= 3.1e38
