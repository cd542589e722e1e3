"""Counts, rates, ages and news of what the bus carried."""

from __future__ import annotations

import math

from v2g_nodes.canbus import verdict
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.frame_watch import NEWS_LINES_MAX, FrameLine, FrameWatch
from v2g_nodes.canbus.identifier import BROADCAST, Identifier

S = 1_000_000_000  # ns


def identifier(name: str = "STATUS", source: int = 3) -> int:
    spec = Codec.load().spec(name)
    return Identifier(spec.priority, spec.kind, source, BROADCAST, spec.code).pack()


def test_a_line_per_message_and_sender() -> None:
    watch = FrameWatch()
    for step in range(40):
        watch.note(identifier(), verdict.OK, step * S // 20)
    watch.note(identifier(source=4), verdict.LOST, S, lost=7)
    watch.note(identifier(source=4), verdict.CHECK, 2 * S)
    watch.note(identifier("FAULT"), verdict.STALE, 2 * S)
    fault, third, fourth = watch.lines(2 * S)
    assert fault == FrameLine("FAULT", 3, 0, 0.0, math.inf, 0, verdict.STALE, {verdict.STALE: 1}, late=False)
    assert third == FrameLine("STATUS", 3, 40, 20.0, 0.05, 0, verdict.OK, {}, late=False)
    assert fourth == FrameLine("STATUS", 4, 1, 1.0, 1.0, 7, verdict.CHECK, {verdict.CHECK: 1}, late=True)
    assert (watch.frames, watch.lost) == (41, 7)
    assert watch.refused == {verdict.STALE: 1, verdict.CHECK: 1}


def test_rate_falls_to_zero_in_silence() -> None:
    watch = FrameWatch()
    for step in range(100):
        watch.note(identifier(), verdict.OK, step * S // 100)
    assert [watch.lines(now)[0].rate_hz for now in (S, 3 * S // 2, 2 * S, 9 * S)] == [100.0, 100.0, 0.0, 0.0]
    unasked = FrameWatch()
    for step in range(100):
        unasked.note(identifier(), verdict.OK, step * S // 100)
    assert unasked.lines(9 * S)[0].rate_hz == 0.0


def test_only_what_has_a_cycle_can_be_late() -> None:
    watch = FrameWatch()
    watch.note(identifier("FAULT"), verdict.OK, 0)  # has one while the fault lasts
    watch.note(identifier("STATUS"), verdict.OK, 0)
    assert [line.late for line in watch.lines(149 * S // 1000)] == [False, False]
    assert [line.late for line in watch.lines(151 * S // 1000)] == [False, True]


def test_the_first_of_a_kind_is_told_at_once_then_one_line_each_five_seconds() -> None:
    watch = FrameWatch()
    told = []
    for step in range(1100):
        watch.note(identifier(), verdict.CHECK, step * S // 100)
        told += watch.news(step * S // 100)
    assert told == [f"STATUS of module 3: {count} refused, check" for count in ("1 frame", "500 frames", "500 frames")]
    watch.note(identifier(source=4), verdict.CHECK, 11 * S, detail="no keyed frame")
    assert watch.news(11 * S) == ["STATUS of module 4: 1 frame refused, check (no keyed frame)"]
    assert watch.news(12 * S) == []


def test_losses_are_counted_in_frames() -> None:
    watch = FrameWatch()
    watch.note(identifier("CURVE", 131), verdict.LOST, 0, lost=12)
    watch.note(identifier("CURVE", 131), verdict.OK, 0)
    assert watch.news(0) == ["CURVE of controller 3: 12 frames lost"]


def test_noise_on_the_bus_floods_neither_log_nor_memory() -> None:
    watch = FrameWatch()
    for bits in range(0, 1 << 29, 977):
        watch.note(bits, verdict.UNKNOWN, 0)
    lines = watch.news(0)
    assert len(lines) == NEWS_LINES_MAX + 1
    assert lines[-1].startswith("and ")
    assert lines[-1].endswith(f" of {256 - NEWS_LINES_MAX} other kinds")
    assert len(watch.lines(0)) == 256
