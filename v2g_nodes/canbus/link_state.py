"""What a link tells about itself."""

from __future__ import annotations

from typing import NamedTuple


class LinkState(NamedTuple):
    """How the link is.

    Args:
        up: whether the active bus works as far as can be told.
        active: "A" or "B": the bus that is spoken on.
        sent: frames a bus took.
        received: frames handed on.
        dropped: frames that were never sent: too old or least urgent in a full queue.
        replaced: frames that were never sent because a newer one of the same identifier came.
        errors: error frames heard, attempts to send that failed, callbacks that raised.
        reconnects: times a bus was opened again.
        takeovers: times the active bus changed.
        foreign: frames on the bus that are no CAN-FD data frames with 29-bit identifier.
        text: why it is not up; empty when it is.
    """

    up: bool
    active: str
    sent: int
    received: int
    dropped: int
    replaced: int
    errors: int
    reconnects: int
    takeovers: int
    foreign: int
    text: str
