"""Frequency droop of one module: p = p_base - k * deviation, limited and ramped. Needs no message but the frequency.

The gain of a module is its share of the station's, k = K_station P_max / sum of P_max, so that all modules
together answer with K_station whatever the exchange between them does. Low frequency discharges more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.types import Box

# Chosen: the base power may use this share of the ramp; the rest is there for a frequency event that falls
# into a change of base power.
BASE_RAMP_SHARE = 0.9


def module_gain_kw_per_hz(station_gain_kw_per_hz: float, p_max_kw: float, station_p_max_kw: float) -> float:
    """A module's share of the station's gain [kW/Hz]: K P_max / sum of P_max.

    Args:
        station_gain_kw_per_hz: K of the whole station [kW/Hz].
        p_max_kw: rating of the module [kW].
        station_p_max_kw: sum of the ratings in the station file [kW], not of the modules now alive.
    """
    return station_gain_kw_per_hz * p_max_kw / station_p_max_kw


def fall_s(p_max_kw: float, ramp_kw_per_s: float) -> float:
    """Time in which the base power has come down from the rating [s].

    Args:
        p_max_kw: rating [kW].
        ramp_kw_per_s: largest change of the output [kW/s].
    """
    return p_max_kw / (BASE_RAMP_SHARE * ramp_kw_per_s)


class Droop:
    """The droop law with its state: the ramped base power and the last output.

    Args:
        gain_kw_per_hz: k of this module [kW/Hz], at least 0.
        nominal_hz: nominal frequency [Hz], 50 or 60.
        deadband_hz: deviation without answer, to each side [Hz]; beyond it the deviation counts from its edge.
        ramp_kw_per_s: largest change of the output [kW/s].

    Raises:
        InputError: a value out of range.
    """

    def __init__(self, gain_kw_per_hz: float, nominal_hz: float, deadband_hz: float, ramp_kw_per_s: float) -> None:
        check_range("gain_kw_per_hz", gain_kw_per_hz, 0.0, math.inf, "kW/Hz")
        check_range("nominal_hz", nominal_hz, 45.0, 65.0, "Hz")
        check_range("deadband_hz", deadband_hz, 0.0, 1.0, "Hz")
        check_positive("ramp_kw_per_s", ramp_kw_per_s, "kW/s")
        self._gain = gain_kw_per_hz
        self._nominal_hz = nominal_hz
        self._deadband_hz = deadband_hz
        self._ramp = ramp_kw_per_s
        self._base_ramp = BASE_RAMP_SHARE * ramp_kw_per_s
        self._base_kw = 0.0
        self._output_kw = 0.0

    base_cap_kw = math.inf  # the plain law has no connection of its own that could hold base power back
    connection = ""

    @property
    def base_kw(self) -> float:
        """The ramped base power [kW]."""
        return self._base_kw

    def may_flow(self, frequency_hz: float | None, voltage_pu: float, dt_s: float) -> bool:
        """Whether the connection to the grid lets power flow: always, for the plain law."""
        return True

    def start(self, power_kw: float, frequency_hz: float | None) -> None:
        """Power may flow from now on: what flows already [kW] is answer to frequency and, for the rest, base power."""
        self.reset(power_kw - self.contribution_kw(frequency_hz))

    def told(self) -> Mapping[str, str]:
        """What there is to tell of the connection to the grid: nothing."""
        return {}

    def reset(self, power_kw: float) -> None:
        """Continue from this power without a bump (start, restart, arming)."""
        self._base_kw = self._output_kw = power_kw if math.isfinite(power_kw) else 0.0

    def state(self) -> tuple[float, ...]:
        """What the next tick depends on besides its inputs: ramped base power and last output [kW]."""
        return self._base_kw, self._output_kw

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state.

        Args:
            values: as `state` gave them.
        """
        self._base_kw, self._output_kw = values

    def contribution_kw(self, frequency_hz: float | None) -> float:
        """Static answer to a frequency, before limits and ramp [kW]: -k times the deviation beyond the deadband.

        Args:
            frequency_hz: [Hz]; None or not finite (no valid measurement) gives 0.
        """
        if frequency_hz is None or not math.isfinite(frequency_hz):
            return 0.0
        deviation = frequency_hz - self._nominal_hz
        if deviation > self._deadband_hz:
            return -self._gain * (deviation - self._deadband_hz)
        if deviation < -self._deadband_hz:
            return -self._gain * (deviation + self._deadband_hz)
        return 0.0

    def update(self, base_kw: float, frequency_hz: float | None, limits: Box, applied_kw: float, dt_s: float) -> float:
        """One tick: the power to ask for [kW].

        The base power is ramped first, at a share of the ramp; base plus contribution is saturated; the sum is
        ramped from what was really applied. Limits win over the ramp. Nothing winds up: the output starts at
        `applied_kw` each time, and a ramped base that comes back from beyond the limits starts at the limits.

        Args:
            base_kw: base power in force [kW]; not finite counts as 0.
            frequency_hz: [Hz]; None = no valid measurement, the contribution goes to zero within the ramp.
            limits: hard limits of this moment, low <= high.
            applied_kw: what left the last gate [kW]; not finite counts as the last output.
            dt_s: since the last tick [s]; negative counts as 0.
        """
        return self.follow(base_kw, self.contribution_kw(frequency_hz), limits, applied_kw, dt_s)

    def follow(self, base_kw: float, contribution_kw: float, limits: Box, applied_kw: float, dt_s: float) -> float:
        """One tick as `update`, for a contribution that is known [kW]."""
        dt = max(0.0, dt_s)
        low, high = limits.low_kw, limits.high_kw
        start = applied_kw if math.isfinite(applied_kw) else self._output_kw

        target = base_kw if math.isfinite(base_kw) else 0.0
        base = _without_excess(self._base_kw, low - contribution_kw, high - contribution_kw, target)
        reach = self._base_ramp * dt
        base = self._base_kw = min(max(target, base - reach), base + reach)

        reach = self._ramp * dt
        wanted = min(max(base + contribution_kw, low), high)
        ramped = min(max(wanted, start - reach), start + reach)
        self._output_kw = min(max(ramped, low), high)
        return self._output_kw

    def ramp_to_zero(self, limits: Box, applied_kw: float, dt_s: float) -> float:
        """One tick towards zero at the full ramp, whatever base and frequency say [kW].

        Limits still hold: while a vehicle is due energy they keep it charging. Pass them through
        `limits.with_zero` where the module must stop all the same.

        Args:
            limits: hard limits of this moment, low <= high.
            applied_kw: what left the last gate [kW]; not finite counts as the last output.
            dt_s: since the last tick [s].
        """
        start = applied_kw if math.isfinite(applied_kw) else self._output_kw
        reach = self._ramp * max(dt_s, 0.0)
        ramped = min(max(0.0, start - reach), start + reach)
        self.reset(limits.clip(ramped))
        return self._output_kw


def _without_excess(base: float, low: float, high: float, target: float) -> float:
    """Anti-windup: what of the ramped base lies beyond [low, high] is dropped once the base is to come back."""
    if base > high > target:
        return high
    if base < low < target:
        return low
    return base
