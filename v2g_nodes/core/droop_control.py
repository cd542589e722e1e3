"""What droop asks for at each tick: base power while it is valid, frequency while it is fresh, else towards zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

from v2g_nodes.core.droop import Droop
from v2g_nodes.core.limits import with_zero
from v2g_nodes.core.types import Box

DT_MAX_S = 1.0  # s, a longer pause (stopped process, clock step) must not give ramp to catch up


@dataclass(frozen=True)
class DroopInputs:
    """Everything one tick depends on.

    Args:
        base_kw: base power in force [kW]; 0 when none is valid.
        frequency_hz: [Hz]; None = no valid measurement.
        energised: whether power may flow.
        limits: hard limits [kW].
        due_kw: power the vehicle's departure allows at the most [kW]; infinite when nothing is due.
        applied_kw: what left the last gate [kW].
        dt_s: since the last tick [s].
    """

    base_kw: float
    frequency_hz: float | None
    energised: bool
    limits: Box
    due_kw: float
    applied_kw: float
    dt_s: float


class DroopControl:
    """Holds what came in last and decides at each tick. Times are ROS time [s].

    Args:
        law: the droop law.
        ramp_kw_per_s: largest change of the output [kW/s].
        signal_hold_s: how long a silent grid signal is held before power ramps to zero [s].
    """

    def __init__(self, law: Droop, ramp_kw_per_s: float, signal_hold_s: float) -> None:
        self._law = law
        self._ramp = ramp_kw_per_s
        self._signal_hold_s = signal_hold_s
        self._base_kw = 0.0
        self._base_until_s = -math.inf
        self._frequency_hz = math.nan
        self._signal_s = -math.inf
        self._tick_s: float | None = None

    def set_base(self, power_kw: float, valid_until_s: float) -> None:
        """A base set-point came in; one that is not finite is dropped."""
        if math.isfinite(power_kw) and math.isfinite(valid_until_s):
            self._base_kw, self._base_until_s = power_kw, valid_until_s

    def set_frequency(self, frequency_hz: float, now_s: float) -> None:
        """A valid frequency came in."""
        self._frequency_hz, self._signal_s = frequency_hz, now_s

    def signal_age_s(self, now_s: float) -> float:
        """Age of the last valid signal [s]; infinite before the first."""
        return now_s - self._signal_s

    def signal_valid(self, now_s: float) -> bool:
        """Whether the signal is fresh or still held."""
        return self.signal_age_s(now_s) <= self._signal_hold_s

    def reset(self, power_kw: float) -> None:
        """Continue from this power without a bump."""
        self._law.reset(power_kw)
        self._tick_s = None

    def inputs(self, now_s: float, energised: bool, limits: Box, due_kw: float, applied_kw: float) -> DroopInputs:
        """Freeze what this tick depends on."""
        dt_s = 0.0 if self._tick_s is None else min(max(now_s - self._tick_s, 0.0), DT_MAX_S)
        self._tick_s = now_s
        valid = self.signal_valid(now_s)
        base = self._base_kw if valid and now_s <= self._base_until_s else 0.0
        return DroopInputs(base, self._frequency_hz if valid else None, energised, limits, due_kw, applied_kw, dt_s)

    def decide(self, inputs: DroopInputs) -> float:
        """Power to ask for [kW]; a function of the inputs and the law's state only."""
        if not inputs.energised:
            return self._law.ramp_to_zero(with_zero(inputs.limits), inputs.applied_kw, inputs.dt_s)
        base_kw = min(inputs.base_kw, inputs.due_kw)
        power_kw = self._law.update(base_kw, inputs.frequency_hz, inputs.limits, inputs.applied_kw, inputs.dt_s)
        if power_kw > inputs.due_kw:
            power_kw = max(inputs.due_kw, min(power_kw, inputs.applied_kw - self._ramp * inputs.dt_s))
        return min(max(power_kw, inputs.limits.low_kw), inputs.limits.high_kw)
