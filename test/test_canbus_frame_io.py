"""What SocketCAN says in its own way; its kernel part is played, so no CAN is needed."""

from __future__ import annotations

import time

import can
import pytest
from can.interfaces.socketcan import SocketcanBus

from v2g_nodes.canbus import frame_io

CURVE = 0x0981FF20
LOST_ARBITRATION, NO_ACKNOWLEDGE, BUS_OFF, RESTARTED = 0x02, 0x20, 0x40, 0x100  # linux/can/error.h


class PlayedSocketcan(SocketcanBus):
    """Gives the messages of the test."""

    def __init__(self, *messages: can.Message) -> None:
        self._messages = list(messages)
        self._is_shutdown = True

    def recv(self, timeout: float | None = None) -> can.Message | None:
        assert timeout == 0
        return self._messages.pop(0) if self._messages else None


@pytest.mark.parametrize(
    ("error_class", "faults", "bus_off"),
    [
        (LOST_ARBITRATION, 0, False),
        (RESTARTED, 0, False),
        (NO_ACKNOWLEDGE, 1, False),
        (LOST_ARBITRATION | NO_ACKNOWLEDGE, 1, False),
        (BUS_OFF, 1, True),
    ],
)
def test_error_classes(error_class: int, faults: int, bus_off: bool) -> None:
    bus = PlayedSocketcan(can.Message(arbitration_id=error_class, is_error_frame=True))
    assert frame_io.read(bus, 10, 0) == ([], faults, 0, bus_off)


def test_a_frame_that_waited_is_as_old_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, now_ns = 1e9, 10**12
    monkeypatch.setattr(time, "time", lambda: now_s)
    stamps_s = (now_s - 2.5, now_s + 100.0, now_s - 1e6)  # waited; the clock was set back; the clock was set forward
    bus = PlayedSocketcan(
        *(can.Message(arbitration_id=CURVE, is_fd=True, data=bytes(8), timestamp=stamp_s) for stamp_s in stamps_s)
    )
    waited, early, ancient = frame_io.read(bus, 10, now_ns).frames
    assert now_ns - waited.received_ns == 2_500_000_000
    assert early.received_ns == ancient.received_ns == now_ns


def test_no_more_than_asked_is_read() -> None:
    bus = PlayedSocketcan(*(can.Message(arbitration_id=n, is_fd=True, data=b"") for n in range(5)))
    assert [frame.identifier for frame in frame_io.read(bus, 3, 0).frames] == [0, 1, 2]
    assert [frame.identifier for frame in frame_io.read(bus, 3, 0).frames] == [3, 4]
