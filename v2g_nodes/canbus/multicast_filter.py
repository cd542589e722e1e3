"""A program for the kernel that drops the frames a process does not want before they wake it.

On a bus of processes every frame reaches every socket, and waking a Python process costs far more than looking at four
bytes. The program is classic BPF (Linux `Documentation/networking/filter.rst`); it sees the datagram from its UDP
header on. It knows one layout only, the one python-can packs a frame with a 29-bit identifier above 65535 into; of
anything else it lets the reader judge.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Sequence

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h
LOAD_BYTE, LOAD_HALF, LOAD_WORD = 0x30, 0x28, 0x20  # BPF_LD | BPF_ABS | size, linux/bpf_common.h
AND, JUMP_EQUAL, RETURN = 0x54, 0x15, 0x06
WHOLE = 0xFFFFFFFF  # bytes of an accepted datagram

SOURCE_PORT = 0  # where it is in the UDP header
UDP_HEADER_BYTES = 8
# MessagePack of python-can's fields: a map of 11, "timestamp" as float64, "arbitration_id" as uint32, two flags and
# then "is_error_frame".
MAP_OF_11, FLOAT64, UINT32, TRUE = 0x8B, 0xCB, 0xCE, 0xC3
MAP_AT, TIMESTAMP_AT, IDENTIFIER_TYPE_AT, IDENTIFIER_AT, ERROR_FRAME_AT = 0, 11, 35, 36, 88

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, value


def attach(reader: socket.socket, filters: Sequence[tuple[int, int]], own_port: int | None) -> bool:
    """Let the kernel drop what matches none of the filters.

    Args:
        reader: UDP socket that frames arrive on.
        filters: (identifier, mask) of what is wanted; empty = everything.
        own_port: UDP port of a sender whose frames are not wanted; None = there is none.

    Returns:
        Whether the kernel does it; if not, everything arrives as before.
    """
    program = compile_filter(filters, own_port)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    try:
        reader.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))
    except OSError:  # too long, or not allowed here
        with contextlib.suppress(OSError):
            reader.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)  # of an earlier call
        return False
    return True


def compile_filter(filters: Sequence[tuple[int, int]], own_port: int | None) -> list[Instruction]:
    """The program, instruction by instruction."""
    accept: Instruction = (RETURN, 0, 0, WHOLE)
    drop: Instruction = (RETURN, 0, 0, 0)
    program: list[Instruction] = []
    if own_port is not None:
        program += [(LOAD_HALF, 0, 0, SOURCE_PORT), (JUMP_EQUAL, 0, 1, own_port), drop]
    if not filters:
        return [*program, accept]
    for at, value in ((MAP_AT, MAP_OF_11), (TIMESTAMP_AT, FLOAT64), (IDENTIFIER_TYPE_AT, UINT32)):
        program += [(LOAD_BYTE, 0, 0, UDP_HEADER_BYTES + at), (JUMP_EQUAL, 1, 0, value), accept]
    program += [(LOAD_BYTE, 0, 0, UDP_HEADER_BYTES + ERROR_FRAME_AT), (JUMP_EQUAL, 0, 1, TRUE), accept]
    for identifier, mask in filters:
        program += [
            (LOAD_WORD, 0, 0, UDP_HEADER_BYTES + IDENTIFIER_AT),
            (AND, 0, 0, mask),
            (JUMP_EQUAL, 0, 1, identifier & mask),
            accept,
        ]
    return [*program, drop]
