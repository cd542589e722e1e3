"""How long a CAN-FD frame occupies the bus.

Data frame with 29-bit identifier, bit rate switch on, after ISO 11898-1:2015 (FD extended frame format, FEFF):

- arbitration rate, 36 bits: start of frame 1, base identifier 11, SRR 1, IDE 1, identifier extension 18, RRS 1, FDF 1,
  res 1, BRS 1;
- data rate: ESI 1, DLC 4, data 8 n, stuff count 4, CRC 17 (n <= 16) or 21, one fixed stuff bit before every four bits
  of stuff count and CRC (6 or 7), CRC delimiter 1;
- arbitration rate again, 12 bits: acknowledge 1, its delimiter 1, end of frame 7, intermission 3.

The rate changes within BRS and within the CRC delimiter, at the sample point; with equal sample points the two parts at
either rate add up to one whole bit each, as counted here.

From start of frame to the last data bit a stuff bit follows five equal bits. The stuff bit is the first of the next
five, so L bits take at most floor((L - 1) / 4) of them; 36 bits at arbitration rate at most 8. The worst case takes
those 8 there and the rest at data rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.core.errors import InputError

Stuffing = Literal["worst", "none"]

LENGTHS: Sequence[int] = (*range(9), 12, 16, 20, 24, 32, 48, 64)  # payloads CAN-FD knows [bytes]
HEAD_BITS = 36  # arbitration rate, start of frame to BRS
CONTROL_BITS = 5  # data rate, ESI and DLC
TAIL_BITS = 12  # arbitration rate, acknowledge to intermission
STUFF_COUNT_BITS = 4
SHORT_CRC_BITS, LONG_CRC_BITS = 17, 21
LONGEST_WITH_SHORT_CRC_BYTES = 16
DELIMITER_BITS = 1


class FrameBits(NamedTuple):
    """Bits of one frame at either rate."""

    arbitration: int
    data: int


def frame_bits(payload_bytes: int, stuffing: Stuffing = "worst") -> FrameBits:
    """Bits of a frame, intermission included.

    Args:
        payload_bytes: length of the payload.
        stuffing: "worst" = most stuff bits any content can need, "none" = only the fixed ones.

    Raises:
        InputError: CAN-FD has no frame of this length.
    """
    if payload_bytes not in LENGTHS:
        raise InputError(f"payload is {payload_bytes} bytes, allowed {', '.join(map(str, LENGTHS))}")
    checked = STUFF_COUNT_BITS + (SHORT_CRC_BITS if payload_bytes <= LONGEST_WITH_SHORT_CRC_BYTES else LONG_CRC_BITS)
    fixed_stuff = -(-checked // 4)
    stuffed = CONTROL_BITS + 8 * payload_bytes
    head_stuff = all_stuff = 0
    if stuffing == "worst":
        head_stuff, all_stuff = (HEAD_BITS - 1) // 4, (HEAD_BITS + stuffed - 1) // 4
    return FrameBits(
        arbitration=HEAD_BITS + head_stuff + TAIL_BITS,
        data=stuffed + all_stuff - head_stuff + checked + fixed_stuff + DELIMITER_BITS,
    )


def frame_time_s(payload_bytes: int, settings: CanSettings, stuffing: Stuffing = "worst") -> float:
    """Time a frame occupies the bus [s], up to the moment the next one may begin.

    Args:
        payload_bytes: length of the payload.
        settings: both bit rates.
        stuffing: as in `frame_bits`.

    Raises:
        InputError: CAN-FD has no frame of this length.
    """
    bits = frame_bits(payload_bytes, stuffing)
    return bits.arbitration / settings.bitrate + bits.data / settings.data_bitrate
