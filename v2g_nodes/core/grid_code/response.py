"""Frequency droop of a grid code: deadband and slope to each side, open-loop response time, power before the event.

IEEE 1547-2018 6.5.2.7.2 (frequency-droop) and EN 50549-1 4.6.1, 4.6.2 (LFSM-O, LFSM-U) ask for

    p = p_pre - (f - f_edge) / (f_nominal k) P

with p_pre the power at the moment at which the frequency left the deadband. In between a station is given new base
power, which must not wait for the frequency: here p_pre counts as base power plus what of an earlier answer was still
there, and only that part is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2g_nodes.core.checks import check_count, check_positive
from v2g_nodes.core.grid_code.lag import Lag
from v2g_nodes.core.grid_code.settings import GridCode
from v2g_nodes.core.types import Box


class FrequencyResponse:
    """What is added to base power, with its state.

    Args:
        code: settings.
        nominal_hz: nominal frequency [Hz].
        p_max_kw: rating, to which the slopes refer [kW].

    Raises:
        InputError: a value out of range.
    """

    def __init__(self, code: GridCode, nominal_hz: float, p_max_kw: float) -> None:
        check_positive("nominal_hz", nominal_hz, "Hz")
        check_positive("p_max_kw", p_max_kw, "kW")
        self._nominal_hz = nominal_hz
        self._over_hz, self._under_hz = code.deadband_over_hz, code.deadband_under_hz
        self._over_kw_per_hz = p_max_kw / (nominal_hz * code.slope_over)
        self._under_kw_per_hz = p_max_kw / (nominal_hz * code.slope_under)
        self._lag = Lag(code.response_s)
        self._side = 0  # of the deadband: 1 above, -1 below
        self._left_kw = 0.0  # of an earlier answer when the frequency left the deadband

    @property
    def output_kw(self) -> float:
        """The latest answer [kW]."""
        return self._lag.output

    def settled_kw(self, frequency_hz: float | None) -> float:
        """Answer that a frequency [Hz] leads to from inside the deadband [kW]; 0 where it is not measured."""
        return self._beyond(frequency_hz)[1]

    def reset(self, frequency_hz: float | None) -> None:
        """Settled at this frequency [Hz]; None = no answer yet."""
        self._side, answer_kw = self._beyond(frequency_hz)
        self._lag.reset(answer_kw)
        self._left_kw = 0.0

    def update(self, base_kw: float, frequency_hz: float | None, limits: Box, dt_s: float) -> float:
        """Answer after dt [kW].

        Args:
            base_kw: base power [kW], beside which the answer has room up to the limits.
            frequency_hz: [Hz]; None or not finite = not measured, the answer fades.
            limits: of the power [kW].
            dt_s: since the last step [s].
        """
        side, wanted_kw = self._beyond(frequency_hz)
        if side != self._side:
            self._side, self._left_kw = side, self._lag.output
        if side:
            wanted_kw = limits.clip(base_kw + self._left_kw + wanted_kw) - base_kw
        return self._lag.update(wanted_kw, dt_s)

    def _beyond(self, frequency_hz: float | None) -> tuple[int, float]:
        """Side of the deadband, and the static answer there [kW]."""
        if frequency_hz is None or not math.isfinite(frequency_hz):
            return 0, 0.0
        deviation = frequency_hz - self._nominal_hz
        if deviation > self._over_hz:
            return 1, -self._over_kw_per_hz * (deviation - self._over_hz)
        if deviation < -self._under_hz:
            return -1, -self._under_kw_per_hz * (deviation + self._under_hz)
        return 0, 0.0

    def state(self) -> tuple[float, ...]:
        """What the next step depends on."""
        return float(self._side), self._left_kw, *self._lag.state()

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state, as `state` gave it.

        Raises:
            InputError: not as many values.
        """
        check_count("state of the frequency response", values, 4)
        self._side, self._left_kw = int(values[0]), values[1]
        self._lag.restore(values[2:])
