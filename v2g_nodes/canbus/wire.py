"""Speaker and listener: signals to sealed frames, and received frames to signals or to a verdict why not."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Container, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from v2g_nodes.canbus import verdict
from v2g_nodes.canbus.codec import Codec, SignalError
from v2g_nodes.canbus.frame_order import FrameOrder
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import BROADCAST, MODULES_MAX, Identifier
from v2g_nodes.canbus.message_spec import HEADER_BYTES, TRAILER_BYTES, MessageSpec
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire_frame import WireFrame

FLAG_KEYED = 1
STAMP_MODULO, SEQUENCE_MODULO = 1 << 32, 1 << 16
CLOCK_WINDOW_MS = 2000  # how far a keyed frame's stamp may be from the receiver's clock
ANEW_NS = 1_000_000_000  # without keys: silence after which a sender may begin anew
HEARTBEAT_ANEW_NS = 300_000_000  # three cycles: then a device that restarted without a clock is believed
HEARTBEAT = "HEARTBEAT"
_HEADER = struct.Struct("<BIHB")  # version, stamp, sequence, flags


class Received(NamedTuple):
    """An accepted frame.

    Args:
        name: of the message.
        source: slot of the sender.
        destination: slot, or BROADCAST.
        sequence: of the frame.
        stamp_ms: sender's Unix time modulo 2^32 [ms].
        signals: see Codec.unpack.
        received_ns: receiver's steady clock at arrival [ns].
        lost: frames missing before this one.
    """

    name: str
    source: int
    destination: int
    sequence: int
    stamp_ms: int
    signals: Mapping[str, float]
    received_ns: int
    lost: int


class _Route(NamedTuple):
    """What all frames of a message from one slot to another have in common."""

    identifier: int
    sequences: Iterator[int]


def unix_ms() -> int:
    """This machine's clock, as stamps count [ms]."""
    return time.time_ns() // 1_000_000


class Speaker:
    """Makes frames; several threads may use it, each for messages of its own.

    Args:
        slot: own slot.
        protection: seals them.
        clock_ms: Unix time [ms]; it should never step back.
        codec: of the wire contract; None = the one of ek3.dbc.
    """

    def __init__(
        self, slot: int, protection: Protection, clock_ms: Callable[[], int], codec: Codec | None = None
    ) -> None:
        self.slot = slot
        self._protection = protection
        self._clock_ms = clock_ms
        self._codec = codec or Codec.load()
        self._flags = FLAG_KEYED if protection.keyed else 0
        self._routes: dict[tuple[str, int, int], _Route] = {}

    def say(
        self,
        name: str,
        signals: Mapping[str, float],
        destination: int = BROADCAST,
        nonce: int = 0,
        source: int | None = None,
    ) -> WireFrame:
        """The next frame of a message.

        Args:
            name: of the message.
            signals: see Codec.pack.
            destination: slot; BROADCAST = all.
            nonce: the life of the device it is for, from its HEARTBEAT; 0 for anyone else.
            source: slot it is said for; None = the own one.

        Raises:
            SignalError: see Codec.pack.
        """
        key = (name, self.slot if source is None else source, destination)
        route = self._routes.get(key) or self._routes.setdefault(key, self._route(*key))
        data = self._codec.pack(name, signals)
        sequence = next(route.sequences) % SEQUENCE_MODULO
        header = _HEADER.pack(self._codec.version, self._clock_ms() % STAMP_MODULO, sequence, self._flags)
        return WireFrame(route.identifier, self._protection.seal(route.identifier, header + data, nonce))

    def _route(self, name: str, source: int, destination: int) -> _Route:
        spec = self._codec.spec(name)
        identifier = Identifier(spec.priority, spec.kind, source, destination, spec.code).pack()
        # begins at random, so that the first frame after a restart does not repeat the last one
        return _Route(identifier, count(random.getrandbits(16)))


class Listener:
    """Judges and reads frames.

    Args:
        protection: tells genuine ones.
        watch: counts what came of them.
        clock_ms: Unix time [ms]; None = has no clock and takes it from unicast frames, whose nonce proves them fresh.
            Until the first one it accepts no broadcast, if there is a key.
        nonce: own life, with which unicast frames to own slots are sealed; 0 for all but devices. May be changed later.
        codec: of the wire contract; None = the one of ek3.dbc.
        slots: own slots; frames to others are refused. None = hears everything, as tools do.
    """

    def __init__(
        self,
        protection: Protection,
        watch: FrameWatch,
        clock_ms: Callable[[], int] | None,
        nonce: int = 0,
        codec: Codec | None = None,
        slots: Container[int] | None = None,
    ) -> None:
        self._protection = protection
        self._watch = watch
        self._clock_ms = clock_ms
        self.nonce = nonce
        self._codec = codec or Codec.load()
        self._slots = slots
        self._flags = FLAG_KEYED if protection.keyed else 0
        self._order = FrameOrder()
        self._clock_lead_ms: int | None = None  # of a clock taken from frames, over the steady clock
        self.lives: dict[int, int] = {}  # of each device that was heard, by slot
        self.verdict, self.detail = "", ""  # on the last frame, in a word and in more

    def hear(self, frame: WireFrame, now_ns: int) -> Received | None:
        """The signals of a frame, or None if it is refused.

        Args:
            frame: as received.
            now_ns: steady clock [ns].
        """
        self.verdict, self.detail, lost, received = self._judge(frame, now_ns)
        self._watch.note(frame.identifier, self.verdict, now_ns, lost, self.detail)
        return received

    def time_ms(self, now_ns: int) -> int | None:
        """Unix time modulo 2^32 by the own clock or the one taken from frames [ms]; None while there is neither."""
        if self._clock_ms is not None:
            return self._clock_ms() % STAMP_MODULO
        return None if self._clock_lead_ms is None else (now_ns // 1_000_000 + self._clock_lead_ms) % STAMP_MODULO

    def _judge(self, frame: WireFrame, now_ns: int) -> tuple[str, str, int, Received | None]:
        """Verdict, more words about it, how many frames are missing before this one, and its signals."""
        bits, payload = frame.identifier, frame.payload
        spec, word, detail = self._check(bits, payload)
        if spec is None:
            return word, detail, 0, None
        _, stamp_ms, sequence, _ = _HEADER.unpack_from(payload)
        word, missing, detail = self._place(spec, bits, stamp_ms, sequence, now_ns)
        if word not in verdict.ACCEPTED:
            return word, detail, 0, None
        try:
            signals = self._codec.unpack(spec.name, payload[HEADER_BYTES:-TRAILER_BYTES])
        except SignalError as error:
            return verdict.RANGE, str(error), missing, None
        source = bits >> 16 & 255
        if spec.name == HEARTBEAT and 1 <= source <= MODULES_MAX:
            self.lives[source] = int(signals["life"])
        destination = bits >> 8 & 255
        arrived_ns = frame.received_ns or now_ns
        received = Received(spec.name, source, destination, sequence, stamp_ms, signals, arrived_ns, missing)
        return word, "", missing, received

    def _check(self, bits: int, payload: bytes) -> tuple[MessageSpec | None, str, str]:
        """The message, if the frame is whole, genuine and for us; else None, the verdict and more words about it."""
        if not payload:
            return None, verdict.LENGTH, "empty"
        if payload[0] != self._codec.version:  # before all else: another version may look different
            return None, verdict.VERSION, f"speaks version {payload[0]}, this is {self._codec.version}"
        spec = self._codec.by_code(bits & 255)
        if spec is None or bits >> 24 != spec.priority << 2 | spec.kind:
            return None, verdict.UNKNOWN, ""
        destination = bits >> 8 & 255
        if self._slots is not None and destination != BROADCAST and destination not in self._slots:
            return None, verdict.DESTINATION, ""
        if len(payload) != spec.length:
            return None, verdict.LENGTH, f"{len(payload)} B instead of {spec.length} B"
        if payload[HEADER_BYTES - 1] != self._flags:
            return None, verdict.CHECK, "no keyed frame" if self._flags else "keyed or of unknown flags, here is no key"
        if not self._protection.genuine(bits, payload, self._nonce_of(bits)):
            return None, verdict.CHECK, ""
        return spec, verdict.OK, ""

    def _nonce_of(self, bits: int) -> int:
        """Nonce that a frame was sealed with, if it is fresh."""
        destination = bits >> 8 & 255
        if self._slots is not None and destination in self._slots:
            return self.nonce
        return self.lives.get(destination, 0)

    def _place(self, spec: MessageSpec, bits: int, stamp_ms: int, sequence: int, now_ns: int) -> tuple[str, int, str]:
        """Verdict on the frame's time, how many frames are missing before it, and more words about the verdict."""
        if not self._protection.keyed:
            return *self._order.place(bits, stamp_ms, sequence, 0, now_ns, ANEW_NS), ""
        nonce = self._nonce_of(bits)
        if nonce:
            word, missing = self._order.place(bits, stamp_ms, sequence, nonce, now_ns, None)
            if self._clock_ms is None and word in verdict.ACCEPTED:
                self._clock_lead_ms = stamp_ms - now_ns // 1_000_000
            return word, missing, ""
        if spec.name == HEARTBEAT:  # grants nothing, and a device without a clock has to be heard to get one
            return *self._order.place(bits, stamp_ms, sequence, 0, now_ns, HEARTBEAT_ANEW_NS), ""
        time_ms = self.time_ms(now_ns)
        if time_ms is None:
            return verdict.STALE, 0, "no clock yet"
        ahead_ms = _ahead_ms(stamp_ms, time_ms)
        if abs(ahead_ms) > CLOCK_WINDOW_MS:
            return verdict.STALE, 0, f"its time is {ahead_ms / 1000:+.1f} s off, allowed 2 s either way"
        return *self._order.place(bits, stamp_ms, sequence, 0, now_ns, None), ""


def _ahead_ms(stamp_ms: int, time_ms: int) -> int:
    """How far a stamp is ahead of a time, both modulo 2^32 [ms]."""
    half = STAMP_MODULO // 2
    return (stamp_ms - time_ms + half) % STAMP_MODULO - half
