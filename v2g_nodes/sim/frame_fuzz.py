"""Hostile frames for whatever listens to the bus: random, cut, damaged and replayed ones between good ones.

A target has to accept each good frame, for who refuses everything proves nothing, and none of the others.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import BROADCAST, IDENTIFIER_MAX, Identifier
from v2g_nodes.canbus.message_spec import MessageSpec
from v2g_nodes.canbus.wire_frame import WireFrame

GOOD = "good"
SHARES = {GOOD: 0.2, "random": 0.2, "well-formed": 0.1, "cut": 0.15, "damaged": 0.2, "replayed": 0.15}
FLIPPED_BITS_MAX = 5  # CRC-32P4 finds any five
PAYLOAD_MAX = 64  # bytes
KEPT_FRAMES = 1000  # for replay
STEP_NS_MAX = 400_000  # between two frames: a bus that is never idle
FAULTS_SHOWN = 20


@dataclass
class FuzzClock:
    """Time of a campaign, which its target reads too."""

    now_ns: int = 1_000_000_000

    def unix_ms(self) -> int:
        """Unix time; its 32 bits wrap a minute after the start [ms]."""
        return 0xFFFF_0000 + self.now_ns // 1_000_000


class FuzzTarget(Protocol):
    """What is under fire."""

    def good_frame(self, random: Random) -> WireFrame:
        """The next frame that has to be accepted, made now."""

    def hear(self, frame: WireFrame, now_ns: int) -> None:
        """Take in a frame."""

    def accepted(self) -> int:
        """How many frames have had an effect so far."""

    def fault(self) -> str:
        """What is wrong with the effect of the last good frame; empty if nothing."""


@dataclass
class FuzzReport:
    """Result of a campaign.

    Args:
        frames: sent, by kind.
        faults: the first few, in words.
        faults_total: number of all.
    """

    frames: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    faults_total: int = 0

    def add_fault(self, text: str) -> None:
        """Note a fault."""
        self.faults_total += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(text)


class FrameFuzz:
    """A seeded campaign against one target.

    Args:
        target: under fire.
        clock: that the target reads.
        seed: names the campaign.
    """

    def __init__(self, target: FuzzTarget, clock: FuzzClock, seed: int) -> None:
        self.report = FuzzReport()
        self._target = target
        self._clock = clock
        self._random = Random(seed)
        self._specs = Codec.load().messages
        self._heard: deque[WireFrame] = deque(maxlen=KEPT_FRAMES)
        self._makers = {
            "random": self._random_frame,
            "well-formed": self._well_formed_frame,
            "cut": self._cut_frame,
            "damaged": self._damaged_frame,
            "replayed": self._replayed_frame,
        }

    def run(self, frames: int) -> None:
        """Send so many more frames."""
        for kind in self._random.choices(list(SHARES), list(SHARES.values()), k=frames):
            self._clock.now_ns += self._random.randint(1, STEP_NS_MAX)
            if kind == GOOD or not self._heard:
                self._send_good()
            else:
                self._send(kind, self._makers[kind](), 0)

    def _send_good(self) -> None:
        frame = self._target.good_frame(self._random)
        self._send(GOOD, frame, 1)
        self._heard.append(frame)
        fault = self._target.fault()
        if fault:
            self.report.add_fault(fault)

    def _send(self, kind: str, frame: WireFrame, expected: int) -> None:
        before = self._target.accepted()
        self._target.hear(frame, self._clock.now_ns)
        taken = self._target.accepted() - before
        self.report.frames[kind] += 1
        if taken != expected:
            self.report.add_fault(f"{kind} frame {frame.identifier:08x} {frame.payload.hex()}: {taken} accepted")

    def _random_frame(self) -> WireFrame:
        random = self._random
        return WireFrame(random.randint(0, IDENTIFIER_MAX), random.randbytes(random.randint(0, PAYLOAD_MAX)))

    def _well_formed_frame(self) -> WireFrame:
        """A message as a stranger would make it: all but the check is in order."""
        random, spec = self._random, self._random.choice(self._specs)
        destination = random.choice((BROADCAST, random.randint(0, BROADCAST)))
        identifier = Identifier(spec.priority, spec.kind, random.randint(0, 255), destination, spec.code).pack()
        header = self._heard[-1].payload[:5] + random.randbytes(2) + self._heard[-1].payload[7:8]
        return WireFrame(identifier, header + random.randbytes(spec.length - len(header)))

    def _cut_frame(self) -> WireFrame:
        frame = self._target.good_frame(self._random)
        return frame._replace(payload=frame.payload[: self._random.randrange(len(frame.payload))])

    def _damaged_frame(self) -> WireFrame:
        frame = self._target.good_frame(self._random)
        bits = len(frame.payload) * 8
        flips = 0
        for bit in self._random.sample(range(bits + 29), self._random.randint(1, FLIPPED_BITS_MAX)):
            flips |= 1 << bit
        payload = int.from_bytes(frame.payload, "little") ^ flips % (1 << bits)
        return WireFrame(frame.identifier ^ flips >> bits, payload.to_bytes(len(frame.payload), "little"))

    def _replayed_frame(self) -> WireFrame:
        return self._random.choice(self._heard)


def random_signals(spec: MessageSpec, random: Random) -> dict[str, float]:
    """An allowed value of each signal of a message."""
    return {
        signal.name: random.uniform(signal.minimum, signal.maximum)
        if signal.is_float or signal.scale != 1
        else random.randint(int(signal.minimum), int(signal.maximum))
        for signal in spec.signals
    }
