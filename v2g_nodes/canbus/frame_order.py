"""Whether a frame is newer than the one before it of the same identifier, and how many are missing between."""

from __future__ import annotations

from typing import NamedTuple

from v2g_nodes.canbus import verdict
from v2g_nodes.core.freshness import serial_newer

STAMP_BITS, SEQUENCE_BITS = 32, 16


class _Last(NamedTuple):
    """The last accepted frame of an identifier."""

    stamp_ms: int
    sequence: int
    nonce: int
    received_ns: int


class FrameOrder:
    """Time stamps and sequences of all speakers: the pair (stamp, sequence) has to rise."""

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def place(
        self, identifier: int, stamp_ms: int, sequence: int, nonce: int, now_ns: int, anew_ns: int | None
    ) -> tuple[str, int]:
        """Verdict (ok, lost, repeated or stale) and how many frames are missing before this one.

        A jump of more frames than milliseconds is a sender that began anew, not a loss: none sends that fast.

        Args:
            identifier: of the frame.
            stamp_ms: modulo 2^32 [ms].
            sequence: modulo 2^16.
            nonce: the frame was sealed with; another one begins anew.
            now_ns: receiver's steady clock [ns].
            anew_ns: silence after which a sender may begin anew with any stamp [ns]; None = never.
        """
        last, missing = self._last.get(identifier), 0
        if last is not None and last.nonce == nonce:
            if sequence == last.sequence:
                return verdict.REPEATED, 0
            if _newer(stamp_ms, sequence, last):
                missing = (sequence - last.sequence - 1) % (1 << SEQUENCE_BITS)
                if missing > (stamp_ms - last.stamp_ms) % (1 << STAMP_BITS):
                    missing = 0
            elif anew_ns is None or now_ns - last.received_ns < anew_ns:
                return verdict.STALE, 0
        self._last[identifier] = _Last(stamp_ms, sequence, nonce, now_ns)
        return verdict.LOST if missing else verdict.OK, missing


def _newer(stamp_ms: int, sequence: int, last: _Last) -> bool:
    if stamp_ms == last.stamp_ms:
        return serial_newer(sequence, last.sequence, SEQUENCE_BITS)
    return serial_newer(stamp_ms, last.stamp_ms, STAMP_BITS)
