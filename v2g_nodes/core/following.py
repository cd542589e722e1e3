"""Whether hardware does what it is told: its power against the set-points of a moment ago."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

METER_SHARE = 0.02  # of the rating; twice the EK3 meter's class
METER_KW = 0.02  # kW, what its meter tells apart (core/module_control.py FLOWING_KW)
LAG_S = 0.4  # s: EK3 status comes at 10 Hz at least, its power follows within some 0.1 s
PATIENCE_S = 0.4  # s: what lasts no longer may be a message that came late


class Sample(NamedTuple):
    """One look at a module.

    Args:
        now_s: steady time [s].
        setpoint_kw: sent last [kW].
        reference_kw: what the hardware says it is steering to [kW].
        power_kw: measured [kW].
        taken: the hardware gets set-points in time.
    """

    now_s: float
    setpoint_kw: float
    reference_kw: float
    power_kw: float
    taken: bool


class SetpointWatch:
    """Compares what a module reports with all set-points of the last LAG_S: it must lie among them.

    Args:
        rating_kw: of the module [kW].
        stretch: wall seconds for one of the module's own, above 1 where simulated time is slow.
    """

    def __init__(self, rating_kw: float, stretch: float = 1.0) -> None:
        self._tolerance_kw = max(METER_SHARE * rating_kw, METER_KW)
        self._lag_s, self._patience_s = LAG_S * stretch, PATIENCE_S * stretch
        self._samples: deque[Sample] = deque()
        self._well_s = math.nan  # when all was well last
        self._problem = ""

    def see(self, sample: Sample) -> None:
        """Take in a look; several of them fall into LAG_S. After a pause nothing is known."""
        samples = self._samples
        if samples and sample.now_s - samples[-1].now_s > self._lag_s:
            samples.clear()
        if not samples:
            self._well_s = sample.now_s
        samples.append(sample)
        while sample.now_s - samples[0].now_s > self._lag_s:
            samples.popleft()
        self._problem = self._judge(sample)
        if not self._problem:
            self._well_s = sample.now_s

    @property
    def problem(self) -> str:
        """Why set-points do not reach the module, in words; empty when they do, or before the first look."""
        lasts = bool(self._samples) and self._samples[-1].now_s - self._well_s > self._patience_s
        return self._problem if lasts else ""

    def _judge(self, last: Sample) -> str:
        if not last.taken:
            return f"hardware gets no set-point and goes to zero by itself, it is at {last.power_kw:.3f} kW"
        setpoints = [sample.setpoint_kw for sample in self._samples]
        low_kw, high_kw = min(setpoints) - self._tolerance_kw, max(setpoints) + self._tolerance_kw
        if not low_kw <= last.reference_kw <= high_kw:  # NaN does not
            return f"hardware steers to {last.reference_kw:.3f} kW, the set-point is {last.setpoint_kw:.3f} kW"
        if not low_kw <= last.power_kw <= high_kw:
            return f"measured {last.power_kw:.3f} kW, the set-point is {last.setpoint_kw:.3f} kW"
        return ""
