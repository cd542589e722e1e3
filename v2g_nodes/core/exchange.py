"""Rounds that wait for each other and survive lost, repeated and reordered frames.

A member moves on to round r + 1 once it has every neighbour's values of round r, so two neighbours are never
more than one round apart. A frame carries its round and the one before: whatever a neighbour still needs is in
the last frame, and one frame that arrives is enough. A member that waits repeats its frame after a while; who
hears a frame of a round that lies behind it answers. A member that has finished counts as one round further and
answers with a frame of that round, so two members never answer each other's answers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from v2g_nodes.core.types import EpochId, Frame

INT16_MIN, INT16_MAX = -32768, 32767
KEPT_ROUNDS = 8  # of each neighbour; then those that are over are forgotten


def exchange_tag(epoch: EpochId, fingerprint: int) -> int:
    """32-bit name of one exchange: which agreement, and between whom."""
    return zlib.crc32(struct.pack("<IHBI", *epoch, fingerprint))


class Exchange:
    """One module's rounds with its neighbours for one epoch.

    Args:
        module_id: own id.
        neighbours: ids whose frames are waited for.
        tag: of the exchange; frames of others are not for this one.
        resend_ns: pause before a waiting member repeats its frame [ns].
    """

    def __init__(self, module_id: int, neighbours: Sequence[int], tag: int, resend_ns: int) -> None:
        self._module_id = module_id
        self._neighbours = tuple(neighbours)
        self._tag = tag
        self._resend_ns = resend_ns
        self.restart(0)

    def restart(self, bracket: int) -> None:
        """Forget all rounds and begin again under another price grid."""
        self.bracket = bracket
        self.round = -1  # of the last posted frame
        self.finished = False
        self.resends = 0
        self._frame: Frame | None = None
        self._sent_ns = 0
        self._answer = False
        self._received: dict[tuple[int, int], tuple[int, ...]] = {}

    def addressed(self, frame: Frame) -> bool:
        """Whether a frame is a neighbour's of this epoch and group (its bracket may differ)."""
        return frame.tag == self._tag and frame.sender in self._neighbours

    def take(self, frame: Frame) -> None:
        """Store an addressed frame of the same bracket; notice who is behind.

        A working neighbour is one round ahead at the most; frames from further on are forgotten.
        """
        if frame.round > self.round + 1:
            return
        if frame.round < self.round + self.finished:
            self._answer = True
        self._received[frame.sender, frame.round] = frame.values
        if frame.values_previous:
            self._received[frame.sender, frame.round - 1] = frame.values_previous

    def post(self, values: Sequence[int], exponent: int, now_ns: int) -> Frame:
        """Begin the next round with own values (saturated to int16)."""
        before = self._frame
        words = tuple(values)
        if min(words) < INT16_MIN or max(words) > INT16_MAX:
            words = tuple(min(max(value, INT16_MIN), INT16_MAX) for value in words)
        self.round += 1
        self._frame = Frame(
            sender=self._module_id,
            tag=self._tag,
            round=self.round,
            bracket=self.bracket,
            exponent=exponent,
            values=words,
            exponent_previous=before.exponent if before else 0,
            values_previous=before.values if before else (),
        )
        self._sent_ns = now_ns
        self._answer = False
        if len(self._received) > KEPT_ROUNDS * len(self._neighbours):
            self._received = {key: words for key, words in self._received.items() if key[1] >= self.round}
        return self._frame

    def complete(self) -> list[tuple[int, ...]] | None:
        """Values of the current round in the order of the neighbours, or None while one is missing."""
        now, received = self.round, []
        for neighbour in self._neighbours:
            values = self._received.get((neighbour, now))
            if values is None:
                return None
            received.append(values)
        return received

    def repeat(self, now_ns: int) -> Frame | None:
        """The last frame, if a neighbour is behind or this member has waited long enough.

        Who has just sent does not answer: the frame that seemed late was under way at the same time, and answers to
        answers under way would pile up.
        """
        pause_ns = now_ns - self._sent_ns
        wanted = self._answer and pause_ns >= max(1, self._resend_ns // 4)
        overdue = not self.finished and pause_ns >= self._resend_ns
        self._answer = False
        if self._frame is None or not (wanted or overdue):
            return None
        self._sent_ns = now_ns
        self.resends += 1
        return _closing(self._frame) if self.finished else self._frame


def _closing(last: Frame) -> Frame:
    """The frame of a member that is through: nothing new, and the values of its last round."""
    return last._replace(
        round=last.round + 1,
        values=(0,) * len(last.values),
        exponent_previous=last.exponent,
        values_previous=last.values,
    )
