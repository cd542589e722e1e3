"""Frames of the bus read and judged, as a listener who is not addressed can: for `can dump` and `doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from v2g_nodes.canbus import verdict
from v2g_nodes.canbus.codec import Codec, SignalError
from v2g_nodes.canbus.frame_watch import FrameLine, FrameWatch
from v2g_nodes.canbus.identifier import Identifier, module_of
from v2g_nodes.canbus.message_spec import HEADER_BYTES, TRAILER_BYTES
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener
from v2g_nodes.cli.bus_ear import Heard

UNPROVEN = "unproven"  # verdict on a keyed frame whose receiver's life is not known yet; it is not counted
NS_PER_MS, NS_PER_S = 1_000_000, 1_000_000_000
STAMP = slice(1, 5)  # of the payload: the sender's Unix time modulo 2^32 [ms], little-endian
STAMPS = 1 << 32


class Reading(NamedTuple):
    """A frame in words.

    Args:
        bus: A or B.
        unix_ns: wall time of its reception [ns].
        identifier: its fields.
        name: of the message; empty where there is none of this code.
        signals: by name; None where they can't be read. Not to be believed where the frame is refused.
        verdict: of canbus/verdict.py, or UNPROVEN.
        detail: more on the verdict; may be empty.
        lost: frames missing before it.
        payload: as it came.
    """

    bus: str
    unix_ns: int
    identifier: Identifier
    name: str
    signals: Mapping[str, float] | None
    verdict: str
    detail: str
    lost: int
    payload: bytes

    @property
    def accepted(self) -> bool:
        """Whether a receiver would take it."""
        return self.verdict in verdict.ACCEPTED

    @property
    def stamp_lead_ms(self) -> int | None:
        """How far the sender's clock is ahead of ours, less the way here [ms]; None where there is no stamp."""
        if len(self.payload) < HEADER_BYTES:
            return None
        lead = (int.from_bytes(self.payload[STAMP], "little") - self.unix_ns // NS_PER_MS) % STAMPS
        return lead - STAMPS if lead >= STAMPS // 2 else lead


class BusReader:
    """Judges frames of either bus apart, as the same frame may come on both.

    Args:
        protection: with the key of the bus, where there is one.
    """

    def __init__(self, protection: Protection) -> None:
        self._codec = Codec.load()
        self._protection = protection
        self._now_unix_ns = self._begun_ns = self._ended_ns = 0
        self._buses: dict[str, tuple[Listener, FrameWatch]] = {}

    def read(self, heard: Heard) -> Reading:
        """What a frame says and is worth."""
        frame = heard.frame
        listener, _ = self._on(heard.bus)
        self._now_unix_ns = heard.unix_ns  # a recording is judged by the clock of its time
        self._begun_ns = min(self._begun_ns or frame.received_ns, frame.received_ns)
        self._ended_ns = max(self._ended_ns, frame.received_ns)
        identifier = Identifier.unpack(frame.identifier)
        if self._is_unproven(identifier, listener):
            received, word, detail = None, UNPROVEN, "its receiver has sent no heartbeat yet"
        else:
            received = listener.hear(frame, frame.received_ns)
            word, detail = listener.verdict, listener.detail
        spec = self._codec.by_code(frame.identifier & 0xFF)
        signals = None if received is None else received.signals
        if spec is not None and signals is None:
            signals = self._unchecked(spec.name, frame.payload)
        name = "" if spec is None else spec.name
        lost = 0 if received is None else received.lost
        return Reading(heard.bus, heard.unix_ns, identifier, name, signals, word, detail, lost, frame.payload)

    @property
    def span_s(self) -> float:
        """From the first frame to the last [s]."""
        return (self._ended_ns - self._begun_ns) / NS_PER_S

    def lines(self) -> list[tuple[str, FrameLine]]:
        """Bus, and what came of each message of each sender there, as it was at the last frame."""
        return [(bus, line) for bus, (_, watch) in sorted(self._buses.items()) for line in watch.lines(self._ended_ns)]

    def _on(self, bus: str) -> tuple[Listener, FrameWatch]:
        if bus not in self._buses:
            watch = FrameWatch()
            self._buses[bus] = Listener(self._protection, watch, lambda: self._now_unix_ns // NS_PER_MS), watch
        return self._buses[bus]

    def _is_unproven(self, identifier: Identifier, listener: Listener) -> bool:
        """Whether it is sealed for a device's life that is not known yet."""
        to_device = module_of(identifier.destination) == identifier.destination
        return self._protection.keyed and to_device and identifier.destination not in listener.lives

    def _unchecked(self, name: str, payload: bytes) -> Mapping[str, float] | None:
        try:
            return self._codec.unpack(name, payload[HEADER_BYTES:-TRAILER_BYTES])
        except SignalError:
            return None

