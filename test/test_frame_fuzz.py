"""A short campaign of hostile frames; benchmarks/can_fuzz.py runs the long one."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

import pytest

from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.sim.frame_fuzz import SHARES, FrameFuzz, FuzzClock
from v2g_nodes.sim.fuzz_listener import ListenerTarget

KEYS = pytest.mark.parametrize("key", [None, bytes(range(16))], ids=["crc", "mac"])
FRAMES = 5000


@KEYS
def test_nothing_hostile_is_accepted_and_nothing_good_refused(key: bytes | None) -> None:
    clock = FuzzClock()
    fuzz = FrameFuzz(ListenerTarget(key, clock), clock, seed=1)
    fuzz.run(FRAMES)
    assert fuzz.report.faults == []
    assert set(fuzz.report.frames) == set(SHARES)
    assert fuzz.report.frames.total() == FRAMES


def test_memory_stays_flat() -> None:
    clock = FuzzClock()
    target = ListenerTarget(None, clock)
    held = []
    tracemalloc.start()
    for _ in range(3):  # the same senders each time: their tables are full after the first
        FrameFuzz(target, clock, seed=2).run(2000)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert abs(held[2] - held[1]) < 20_000  # bytes; a kept frame would cost some 200 each


class Credulous(ListenerTarget):
    """Believes the first frame of each kind of change too."""

    def __init__(self, key: bytes | None, clock: FuzzClock) -> None:
        super().__init__(key, clock)
        self.believed = 0

    def hear(self, frame: WireFrame, now_ns: int) -> None:
        super().hear(frame, now_ns)
        self.believed += self._received is None and len(frame.payload) == 24

    def accepted(self) -> int:
        return super().accepted() + self.believed


class Deaf(ListenerTarget):
    """Hears nothing."""

    def hear(self, frame: WireFrame, now_ns: int) -> None:
        pass


class Confused(ListenerTarget):
    """Takes a frame for another one."""

    def good_frame(self, random: Random) -> WireFrame:
        frame = super().good_frame(random)
        self._said = {name: value + 1 for name, value in self._said.items()}
        return frame


@pytest.mark.parametrize(("target", "words"), [(Credulous, ": 1 accepted"), (Deaf, "good frame"), (Confused, "said {")])
def test_a_bad_listener_is_found_out(target: type[ListenerTarget], words: str) -> None:
    clock = FuzzClock()
    fuzz = FrameFuzz(target(None, clock), clock, seed=3)
    fuzz.run(500)
    assert fuzz.report.faults_total > 10
    assert words in fuzz.report.faults[0]
