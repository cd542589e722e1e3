"""Whether what was received is still good, judged by the receiver's steady clock and the sender's sequence.

The sender's own time stamp plays no part: clocks of two hosts differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from v2g_nodes.core.errors import InputError


class Verdict(Enum):
    """Verdict on the last accepted message."""

    NEVER = "never"  # nothing was ever accepted
    STALE = "stale"  # the last one is older than its maximum age
    FRESH = "fresh"


def serial_newer(sequence: int, than: int, bits: int = 32) -> bool:
    """Whether a sequence number that wraps at 2**bits comes after another (RFC 1982 serial numbers)."""
    step = (sequence - than) % (1 << bits)
    return 0 < step < 1 << (bits - 1)


class Freshness:
    """Judges the messages of one sender.

    A repeated number is refused. A step back is refused while the last message is fresh (an old frame that
    came late) and taken when it is stale (a restarted sender begins anew).

    Args:
        max_age_ns: age up to which a message is fresh [ns], above 0.
        bits: width of the sender's sequence number.

    Raises:
        InputError: max_age_ns not above 0, or bits not 2 to 64.
    """

    def __init__(self, max_age_ns: int, bits: int = 32) -> None:
        if max_age_ns <= 0:
            raise InputError(f"max_age_ns is {max_age_ns}, allowed above 0 ns")
        if not 2 <= bits <= 64:
            raise InputError(f"bits is {bits}, allowed 2 to 64")
        self._max_age_ns = max_age_ns
        self._bits = bits
        self._sequence: int | None = None
        self._received_ns = 0
        self.refused = 0

    def accept(self, sequence: int, now_ns: int) -> bool:
        """Take in a message; False if it is to be dropped.

        Args:
            sequence: the sender's number.
            now_ns: receiver's steady clock [ns].
        """
        if self._sequence is not None:
            repeated = (sequence - self._sequence) % (1 << self._bits) == 0
            newer = serial_newer(sequence, self._sequence, self._bits)
            if repeated or not (newer or self.verdict(now_ns) is Verdict.STALE):
                self.refused += 1
                return False
        self._sequence, self._received_ns = sequence, now_ns
        return True

    def age_ns(self, now_ns: int) -> int | None:
        """Age of the last accepted message [ns]; None before the first."""
        return None if self._sequence is None else max(now_ns - self._received_ns, 0)

    def verdict(self, now_ns: int) -> Verdict:
        """Verdict at this moment (steady clock [ns])."""
        age = self.age_ns(now_ns)
        if age is None:
            return Verdict.NEVER
        return Verdict.FRESH if age <= self._max_age_ns else Verdict.STALE


@dataclass(frozen=True)
class Choice:
    """The source to listen to.

    Args:
        source_id: the source.
        age_ns: age of its last message [ns].
    """

    source_id: int
    age_ns: int


class SourceChoice:
    """Chooses among several sources of the same signal: the freshest valid one, the lowest id on a tie.

    Args:
        max_age_ns: age up to which a message is fresh [ns], above 0.
        tie_ns: ages this close count as equal [ns]. With 0 two sources of one rate would take turns.
        bits: width of the senders' sequence numbers.

    Raises:
        InputError: a value out of range.
    """

    def __init__(self, max_age_ns: int, tie_ns: int = 0, bits: int = 32) -> None:
        Freshness(max_age_ns, bits)  # for its checks
        if tie_ns < 0:
            raise InputError(f"tie_ns is {tie_ns}, allowed at least 0 ns")
        self._max_age_ns = max_age_ns
        self._tie_ns = tie_ns
        self._bits = bits
        self._sources: dict[int, Freshness] = {}

    def accept(self, source_id: int, sequence: int, now_ns: int) -> bool:
        """Take in a message whose content is valid; False if its sequence refuses it.

        A message out of range must not come here: its source then ages like a silent one.

        Args:
            source_id: sender.
            sequence: the sender's number.
            now_ns: receiver's steady clock [ns].
        """
        if source_id not in self._sources:
            self._sources[source_id] = Freshness(self._max_age_ns, self._bits)
        return self._sources[source_id].accept(sequence, now_ns)

    def follows(self, source_id: int, sequence: int, now_ns: int) -> bool:
        """Take in a valid message, as `accept`; whether it comes from the source to listen to at this moment."""
        if not self.accept(source_id, sequence, now_ns):
            return False
        best = self.best(now_ns)
        return best is not None and best.source_id == source_id

    def best(self, now_ns: int) -> Choice | None:
        """The source to listen to at this moment; None when none is fresh."""
        ages = {
            source_id: source.age_ns(now_ns) or 0
            for source_id, source in self._sources.items()
            if source.verdict(now_ns) is Verdict.FRESH
        }
        if not ages:
            return None
        limit = min(ages.values()) + self._tie_ns
        chosen = min(source_id for source_id, age in ages.items() if age <= limit)
        return Choice(chosen, ages[chosen])

    def verdict(self, now_ns: int) -> Verdict:
        """FRESH if any source is, STALE if all once were, NEVER before the first message."""
        if not self._sources:
            return Verdict.NEVER
        return Verdict.STALE if self.best(now_ns) is None else Verdict.FRESH
