"""The load of the bus from the counts of its supervisor, against the one counted frame by frame."""

from __future__ import annotations

import pytest

from v2g_nodes.canbus.bus_load import BusLoad
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import controller_slot
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.verdict import OK
from v2g_nodes.canbus.watched_load import watched_load

SETTINGS = CanSettings()
SECOND_NS = 1_000_000_000


def test_it_is_that_of_all_frames_one_by_one() -> None:
    codec, watch, load = Codec.load(), FrameWatch(), BusLoad(SETTINGS)
    curve, setpoint = codec.spec("CURVE"), codec.spec("SETPOINT")
    for k in range(200):
        now_ns = k * SECOND_NS // 100
        watch.note(controller_slot(k % 2 + 1) << 16 | curve.code, OK, now_ns)
        for spec in (curve, setpoint):
            load.add(spec.length, now_ns)
    lines = watch.lines(2 * SECOND_NS)
    assert sum(line.rate_hz for line in lines) == 100.0
    counted = load.load(2 * SECOND_NS).mean
    assert watched_load(lines, SETTINGS, setpoints_hz=100.0) == pytest.approx(counted, rel=0.01)


def test_what_is_no_message_of_ours_does_not_count() -> None:
    watch = FrameWatch()
    watch.note(0x12340000 | 0xFE, "unknown", 0)
    assert watched_load(watch.lines(SECOND_NS), SETTINGS) == 0.0
