"""The last eight bytes of a payload: a check against damage, or with a key a proof of origin.

Without a key: end-to-end protection after AUTOSAR E2E Profile 4 (AUTOSAR FO R22-11, E2E Protocol Specification):
CRC-32P4 over length, 16-bit counter, 32-bit data id and data. Counter is the payload's sequence and data id the
identifier, which the frame carries anyway; the EK3 layout leaves 8 of Profile 4's 12 bytes, so CRC and length are sent.
With a key: AES-CMAC (RFC 4493) over identifier, body and nonce, cut to 8 bytes as the EK3 layout says.
"""

from __future__ import annotations

import hmac
import stat
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

from v2g_nodes.canbus.crc32p4 import crc32p4
from v2g_nodes.canbus.message_spec import TRAILER_BYTES
from v2g_nodes.core.errors import InputError

KEY_BYTES = 16  # AES-128
P4_HEADER_BYTES = 12  # length, counter, data id, CRC
_P4_HEADER = struct.Struct(">HHI")  # length, counter, data id: what precedes the CRC, in network order
_P4_TRAILER = struct.Struct("<IHH")
_CMAC_FRAME = struct.Struct("<I")


def read_key(file: Path) -> bytes:
    """Key in a file: 32 hex digits, which nobody but its owner may read.

    Raises:
        InputError: it can't be read, others may read it, or it holds something else.
    """
    try:
        mode, content = stat.S_IMODE(file.stat().st_mode), file.read_bytes()
    except OSError as error:
        raise InputError(f"key file {file}: can't be read ({error.strerror})") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"key file {file} has mode {mode:04o}, allowed 0400 or 0600 (chmod 600)")
    digits = content.strip()
    if len(digits) != 2 * KEY_BYTES or not set(digits) <= set(b"0123456789abcdefABCDEF"):
        raise InputError(f"key file {file} holds {len(digits)} bytes, allowed are {2 * KEY_BYTES} hex digits")
    return bytes.fromhex(digits.decode("ascii"))


class Protection:
    """Seals payloads and tells genuine ones.

    Args:
        key: shared by all speakers of a bus, 16 bytes; None = check against damage only.

    Raises:
        InputError: the key has another length.
    """

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and len(key) != KEY_BYTES:
            raise InputError(f"key has {len(key)} bytes, allowed {KEY_BYTES}")
        self.keyed = key is not None
        self._cmac = CMAC(algorithms.AES(key)) if key is not None else None

    def seal(self, identifier: int, body: bytes, nonce: int = 0) -> bytes:
        """Whole payload: the body and its trailer.

        Args:
            identifier: of the frame, 29 bits.
            body: header and data.
            nonce: what the receiver has to know besides [32 bits]; without a key it plays no part.
        """
        return body + self._trailer(identifier, body, nonce)

    def genuine(self, identifier: int, payload: bytes, nonce: int = 0) -> bool:
        """Whether a payload is as it was sealed (see seal); it has a header and a trailer at least."""
        body = payload[:-TRAILER_BYTES]
        return hmac.compare_digest(payload[-TRAILER_BYTES:], self._trailer(identifier, body, nonce))

    def _trailer(self, identifier: int, body: bytes, nonce: int) -> bytes:
        if self._cmac is not None:
            cmac = self._cmac.copy()
            cmac.update(_CMAC_FRAME.pack(identifier) + body + _CMAC_FRAME.pack(nonce))
            return cmac.finalize()[:TRAILER_BYTES]
        length = P4_HEADER_BYTES + len(body)
        counter = int.from_bytes(body[5:7], "little")
        return _P4_TRAILER.pack(crc32p4(_P4_HEADER.pack(length, counter, identifier) + body), length, 0)


def protection_of(key_file: str) -> Protection:
    """The protection of a bus.

    Args:
        key_file: see read_key; empty = there is no key.

    Raises:
        InputError: see read_key.
    """
    return Protection(read_key(Path(key_file)) if key_file else None)
