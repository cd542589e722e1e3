"""A short campaign of hostile frames into the bridge; benchmarks/can_fuzz.py runs the long one."""

from __future__ import annotations

import pytest
from rclpy.context import Context

from v2g_nodes.nodes.fuzz_bridge import BridgeTarget
from v2g_nodes.sim.frame_fuzz import FrameFuzz, FuzzClock


@pytest.mark.parametrize("key", [None, bytes(range(16))], ids=["crc", "mac"])
def test_only_what_the_other_host_said_comes_out_of_the_bridge(context: Context, key: bytes | None) -> None:
    clock = FuzzClock()
    target = BridgeTarget(key, clock, context)
    fuzz = FrameFuzz(target, clock, seed=4)
    fuzz.run(5000)
    target.node.destroy_node()
    assert fuzz.report.faults == []
    assert target.accepted() == fuzz.report.frames["good"] > 500
