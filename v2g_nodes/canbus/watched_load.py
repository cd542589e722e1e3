"""Share of the time that the frames of one link occupy the bus, from what its supervisor has counted anyway."""

from __future__ import annotations

from collections.abc import Sequence

from v2g_nodes.canbus.bit_time import frame_time_s
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.frame_watch import FrameLine
from v2g_nodes.canbus.settings import CanSettings


def watched_load(lines: Sequence[FrameLine], settings: CanSettings, setpoints_hz: float = 0.0) -> float:
    """Sum over messages of rate * frame time over the last full second, 1 = full. Each frame with its most stuff bits.

    Args:
        lines: what the link hears, its own frames among them where they come back.
        settings: both bit rates.
        setpoints_hz: SETPOINT frames sent by a link to which they do not come back [1/s].
    """
    lengths = {spec.name: spec.length for spec in Codec.load().messages}
    rates = [(line.name, line.rate_hz) for line in lines if line.name in lengths]
    return sum(hz * frame_time_s(lengths[name], settings) for name, hz in [*rates, ("SETPOINT", setpoints_hz)])
