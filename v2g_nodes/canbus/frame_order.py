"""Whether a frame is newer than the one before it of the same identifier, and how many are missing between."""

from __future__ import annotations

from v2g_nodes.canbus import verdict
from v2g_nodes.core.freshness import serial_newer

STAMP_BITS, SEQUENCE_BITS = 32, 16


class FrameOrder:
    """Time stamps and sequences of all speakers.

    The pair (stamp, sequence) has to rise. Who was silent for a while may begin anew, where that is allowed.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], tuple[int, int, int]] = {}

    def place(
        self, key: tuple[int, int], stamp_ms: int, sequence: int, now_ns: int, anew_ns: int | None
    ) -> tuple[str, int]:
        """Verdict (ok, lost, repeated or stale) and how many frames are missing before this one.

        A jump of more frames than milliseconds is a sender that began anew, not a loss: none sends that fast.

        Args:
            key: identifier, and the nonce it was sealed with.
            stamp_ms: of the frame, modulo 2^32 [ms].
            sequence: of the frame, modulo 2^16.
            now_ns: receiver's steady clock [ns].
            anew_ns: silence after which any pair but the last is taken [ns]; None = never.
        """
        last = self._last.get(key)
        missing = 0
        if last is not None:
            last_stamp_ms, last_sequence, last_ns = last
            if sequence == last_sequence:
                return verdict.REPEATED, 0
            newer = serial_newer(stamp_ms, last_stamp_ms, STAMP_BITS) or (
                stamp_ms == last_stamp_ms and serial_newer(sequence, last_sequence, SEQUENCE_BITS)
            )
            if not newer and (anew_ns is None or now_ns - last_ns < anew_ns):
                return verdict.STALE, 0
            missing = (sequence - last_sequence - 1) % (1 << SEQUENCE_BITS)
            if missing > (stamp_ms - last_stamp_ms) % (1 << STAMP_BITS):
                missing = 0
        self._last[key] = (stamp_ms, sequence, now_ns)
        return verdict.LOST if missing else verdict.OK, missing
