"""One frame as it is on the wire."""

from __future__ import annotations

from typing import NamedTuple


class WireFrame(NamedTuple):
    """A CAN-FD data frame with extended identifier and bit rate switch.

    Args:
        identifier: 29 bits; the lower one wins the bus.
        payload: 0 to 64 bytes.
        received_ns: steady time of arrival [ns]; 0 in a frame to be sent.
    """

    identifier: int
    payload: bytes
    received_ns: int = 0
