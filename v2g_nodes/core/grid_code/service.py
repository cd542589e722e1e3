"""Whether a grid code lets power flow: trip, return to service, cessation.

A trip lasts until voltage and frequency have been inside the window for enter service for its delay; then power may
rise from zero within the ramp. So does a start out of service: whoever starts cannot know whether it was tripped
before, and the codes ask for the same delay (IEEE 1547-2018 4.10, EN 50549-1 4.10). Without a trip, power ceases while
the voltage is beyond the cessation limits.
What is not measured trips nothing; without a frequency nothing enters service.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

from v2g_nodes.core.checks import check_count
from v2g_nodes.core.grid_code.settings import GridCode

# A time that is a whole number of steps counts as reached at the last of them, whatever the sum of the steps rounds to.
ROUNDING_S = 1e-9


class Status(IntEnum):
    """Of the connection to the grid."""

    IN_SERVICE = 0
    ENTERING = 1  # power is let rise
    TRIPPED = 2
    CEASED = 3  # no power, but connected
    STARTED = 4  # not in service yet


OUT_OF_SERVICE = (Status.TRIPPED, Status.STARTED)


class Service:
    """The connection to the grid, stepped by dt.

    Args:
        code: settings.
        in_service: at the start; else service has to be entered first.
    """

    def __init__(self, code: GridCode, in_service: bool = True) -> None:
        self._code = code
        self._stages = (  # which (frequency or voltage), above or below, limit, time
            (0, 1.0, code.over_frequency_1_hz, code.over_frequency_1_s),
            (0, 1.0, code.over_frequency_2_hz, code.over_frequency_2_s),
            (0, -1.0, code.under_frequency_1_hz, code.under_frequency_1_s),
            (0, -1.0, code.under_frequency_2_hz, code.under_frequency_2_s),
            (1, 1.0, code.over_voltage_1_pu, code.over_voltage_1_s),
            (1, 1.0, code.over_voltage_2_pu, code.over_voltage_2_s),
            (1, -1.0, code.under_voltage_1_pu, code.under_voltage_1_s),
            (1, -1.0, code.under_voltage_2_pu, code.under_voltage_2_s),
        )
        self._lasted_s = [0.0] * len(self._stages)
        self._entering_s = 0.0
        self._share = 1.0
        self.status = Status.IN_SERVICE if in_service else Status.STARTED

    @property
    def share(self) -> float:
        """Share of the rating that base power may use, 0 to 1."""
        return self._share

    def update(self, deviation_hz: float, voltage_pu: float, dt_s: float) -> bool:
        """Whether power may flow after dt.

        Args:
            deviation_hz: frequency less nominal [Hz]; NaN = not measured.
            voltage_pu: over nominal; NaN = not measured.
            dt_s: since the last step [s].
        """
        if self.status in OUT_OF_SERVICE:
            inside = self._may_enter(deviation_hz, voltage_pu)
            self._entering_s = self._entering_s + dt_s if inside else 0.0
            if inside and self._entering_s >= self._code.enter_delay_s - ROUNDING_S:
                self.status, self._share = Status.ENTERING, 0.0
        if self._trips((deviation_hz, voltage_pu), dt_s):
            self.status, self._entering_s = Status.TRIPPED, 0.0
        elif self.status not in OUT_OF_SERVICE:
            self._share = min(1.0, self._share + dt_s / self._code.enter_ramp_s)
            self.status = Status.IN_SERVICE if self._share >= 1.0 else Status.ENTERING
            if voltage_pu > self._code.cease_over_pu or voltage_pu < self._code.cease_under_pu:
                self.status = Status.CEASED
        return self.status in (Status.IN_SERVICE, Status.ENTERING)

    def _may_enter(self, deviation_hz: float, voltage_pu: float) -> bool:
        code = self._code
        return code.enter_frequency_low_hz <= deviation_hz <= code.enter_frequency_high_hz and (
            math.isnan(voltage_pu) or code.enter_voltage_low_pu <= voltage_pu <= code.enter_voltage_high_pu
        )

    def _trips(self, seen: tuple[float, float], dt_s: float) -> bool:
        tripped = False
        for k, (which, sign, limit, seconds) in enumerate(self._stages):
            if sign * (seen[which] - limit) > 0.0:
                self._lasted_s[k] += dt_s
                tripped = tripped or self._lasted_s[k] >= seconds - ROUNDING_S
            else:
                self._lasted_s[k] = 0.0
        return tripped

    def state(self) -> tuple[float, ...]:
        """What the next step depends on."""
        return float(self.status), self._share, self._entering_s, *self._lasted_s

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state, as `state` gave it.

        Raises:
            InputError: not as many values.
        """
        check_count("state of service", values, 3 + len(self._stages))
        self.status = Status(int(values[0]))
        self._share, self._entering_s = values[1], values[2]
        self._lasted_s = list(values[3:])
