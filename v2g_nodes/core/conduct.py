"""How a neighbour behaves, judged by its own messages: who talks nonsense is excluded, and readmitted when sane.

Each fault counts three, a repeated sequence number one, a sane message takes one back; from nine on the neighbour is
excluded. So three faults in a row are enough (0.15 s at a heartbeat of 50 ms), nine repetitions (0.45 s), and what is
damaged now and then (below a quarter of all messages) does no harm. It is readmitted after a quarantine without faults,
2 s long at first and twice as long each time, up to a minute; a minute of good conduct makes it short again.

What can't be noticed: values in range inside a running average. They shift the agreed price; the harm ends at the
own box (a module never agrees to what it can't do), at the last gate, and at the balance that each member can add up.
"""

from __future__ import annotations

from collections import deque

FAULT, REPEATED, LIMIT = 3, 1, 9
REMEMBERED = 32  # sequence numbers
QUARANTINE_NS, QUARANTINE_MAX_NS = 2_000_000_000, 60_000_000_000


class Conduct:
    """One neighbour's conduct. Times are steady [ns]."""

    def __init__(self) -> None:
        self.excluded = False
        self.fault = ""  # the last one, in words
        self._strikes = 0
        self._sequences: deque[int] = deque(maxlen=REMEMBERED)
        self._incarnation: int | None = None
        self._quarantine_ns = QUARANTINE_NS
        self._fault_ns = -QUARANTINE_MAX_NS

    def lives(self, incarnation: int) -> None:
        """The neighbour named its life; another one counts its messages anew."""
        if incarnation != self._incarnation:
            self._incarnation = incarnation
            self._sequences.clear()

    def repeats(self, sequence: int, now_ns: int) -> bool:
        """Whether a message with this number came before; such a message says nothing new and is no sign of life."""
        if sequence in self._sequences:
            self._strike(REPEATED, "its sequence does not advance", now_ns)
            return True
        self._sequences.append(sequence)
        return False

    def judge(self, fault: str, now_ns: int) -> None:
        """Count a message.

        Args:
            fault: what is wrong with it, in words; empty for a sane one.
            now_ns: steady time.
        """
        if fault:
            self._strike(FAULT, fault, now_ns)
            return
        self._strikes = max(self._strikes - 1, 0)
        good_ns = now_ns - self._fault_ns
        if self.excluded and self._strikes == 0 and good_ns >= self._quarantine_ns:
            self.excluded = False
            self._quarantine_ns = min(2 * self._quarantine_ns, QUARANTINE_MAX_NS)
        elif good_ns >= QUARANTINE_MAX_NS:
            self._quarantine_ns = QUARANTINE_NS

    def _strike(self, weight: int, fault: str, now_ns: int) -> None:
        self._strikes = min(self._strikes + weight, LIMIT + FAULT)
        self.fault, self._fault_ns = fault, now_ns
        self.excluded = self.excluded or self._strikes >= LIMIT
