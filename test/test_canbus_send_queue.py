"""Frames that wait for the bus."""

from __future__ import annotations

from v2g_nodes.canbus.send_queue import SendQueue
from v2g_nodes.canbus.wire_frame import WireFrame

MS = 1_000_000


def drain(queue: SendQueue, now_ns: int) -> list[WireFrame]:
    frames = []
    while (frame := queue.first(now_ns)) is not None:
        queue.remove(frame)
        frames.append(frame)
    return frames


def test_the_lowest_identifier_goes_first() -> None:
    queue = SendQueue()
    for identifier in (30, 10, 20):
        queue.put(WireFrame(identifier, b""), 0)
    assert [frame.identifier for frame in drain(queue, 0)] == [10, 20, 30]


def test_a_newer_frame_takes_the_place_of_the_one_before() -> None:
    queue = SendQueue()
    queue.put(WireFrame(10, b"old"), 0)
    queue.put(WireFrame(10, b"new"), 40 * MS)
    assert drain(queue, 90 * MS) == [WireFrame(10, b"new")]  # as old as the newer one
    assert (queue.replaced, queue.dropped) == (1, 0)


def test_a_full_queue_drops_the_least_urgent_be_it_the_newest() -> None:
    queue = SendQueue(places=2)
    for identifier in (20, 10, 30, 5):
        queue.put(WireFrame(identifier, b""), 0)
    assert [frame.identifier for frame in drain(queue, 0)] == [5, 10]
    assert queue.dropped == 2


def test_what_has_waited_too_long_never_goes_out() -> None:
    queue = SendQueue()
    queue.put(WireFrame(10, b""), 0)
    queue.put(WireFrame(20, b""), 30 * MS)
    assert queue.first(50 * MS) == WireFrame(10, b"")
    assert [frame.identifier for frame in drain(queue, 51 * MS)] == [20]
    assert queue.dropped == 1
    assert len(queue) == 0
