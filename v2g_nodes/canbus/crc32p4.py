"""CRC-32P4, the check of AUTOSAR E2E Profile 4 (AUTOSAR CP R22-11, Specification of CRC Routines, section 7.2.4).

Polynomial 0xF4ACFB13, reflected, start and final XOR 0xFFFFFFFF; Hamming distance 6 up to 4096 bytes. Not the CRC-32
of zlib.
"""

from __future__ import annotations

from functools import reduce
from operator import getitem, xor

POLYNOMIAL_REFLECTED = 0xC8DF352F  # 0xF4ACFB13 read from the other end
LENGTH_MAX = 72  # bytes; the longest message is 64 B and a Profile 4 header


def _byte_table() -> list[int]:
    """Remainder of each value of a byte."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL_REFLECTED if value & 1 else 0)
        table.append(value)
    return table


def _position_tables() -> list[list[int]]:
    """For each distance from the end, what each value of a byte there adds to the check: a CRC is linear."""
    byte = _byte_table()
    tables = [byte]
    for _ in range(LENGTH_MAX - 1):
        tables.append([value >> 8 ^ byte[value & 255] for value in tables[-1]])
    return tables[::-1]


_TABLES = _position_tables()
_TABLES_BY_LENGTH = [_TABLES[LENGTH_MAX - length :] for length in range(LENGTH_MAX + 1)]


def _of_zeros(length: int) -> int:
    """Check of zeros: what the start value alone leaves."""
    byte, check = _TABLES[-1], 0xFFFFFFFF
    for _ in range(length):
        check = check >> 8 ^ byte[check & 255]
    return check ^ 0xFFFFFFFF


_OF_ZEROS = [_of_zeros(length) for length in range(LENGTH_MAX + 1)]


def crc32p4(data: bytes) -> int:
    """Check of up to LENGTH_MAX bytes.

    Raises:
        IndexError: more bytes.
    """
    length = len(data)
    return reduce(xor, map(getitem, _TABLES_BY_LENGTH[length], data), _OF_ZEROS[length])
