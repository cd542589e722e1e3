"""The droop law of a grid code: frequency response, trips and return to service around the ramped base power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from v2g_nodes.core.droop import Droop
from v2g_nodes.core.grid_code.response import FrequencyResponse
from v2g_nodes.core.grid_code.ride_through import ride
from v2g_nodes.core.grid_code.service import Service, Status
from v2g_nodes.core.grid_code.settings import GridCode
from v2g_nodes.core.types import Box

SERVICE_VALUES = 11  # of the state
WORDS = {Status.IN_SERVICE: "", Status.ENTERING: "entering service", Status.TRIPPED: "tripped",
         Status.CEASED: "ceased by the voltage", Status.STARTED: "not in service yet"}  # fmt: skip


class GridCodeDroop:
    """Takes the place of `Droop` in the control; see there.

    Args:
        code: settings.
        nominal_hz: nominal frequency [Hz].
        p_max_kw: rating [kW].
        ramp_kw_per_s: largest change of the output [kW/s].
        in_service: at the start, see Service.

    Raises:
        InputError: a value out of range.
    """

    def __init__(
        self, code: GridCode, nominal_hz: float, p_max_kw: float, ramp_kw_per_s: float, in_service: bool = True
    ) -> None:
        self._nominal_hz = nominal_hz
        self._p_max_kw = p_max_kw
        self._power = Droop(0.0, nominal_hz, 0.0, ramp_kw_per_s)
        self._response = FrequencyResponse(code, nominal_hz, p_max_kw)
        self.service = Service(code, in_service)
        self._code = code
        self._seen = math.nan, math.nan

    @property
    def base_cap_kw(self) -> float:
        """Base power allowed to each side while service is entered [kW]."""
        return self.service.share * self._p_max_kw if self.service.share < 1.0 else math.inf

    @property
    def connection(self) -> str:
        """Why the connection to the grid is not in service, in words; empty where it is."""
        return WORDS[self.service.status]

    def told(self) -> Mapping[str, str]:
        """Connection and ride-through in words."""
        asked = ride(self._code, *self._seen)
        least = f", at least {asked.least_s:.2f} s" if 0.0 < asked.least_s < math.inf else ""
        return {"connection to the grid": self.connection or "in service",
                "ride-through": asked.operation.name.lower().replace("_", " ") + least}

    def may_flow(self, frequency_hz: float | None, voltage_pu: float, dt_s: float) -> bool:
        """One tick of the connection to the grid: whether power may flow; see Service.

        Args:
            frequency_hz: [Hz]; None = not measured.
            voltage_pu: over nominal; NaN = not measured.
            dt_s: since the last tick [s].
        """
        deviation_hz = math.nan if frequency_hz is None else frequency_hz - self._nominal_hz
        self._seen = deviation_hz, voltage_pu
        return self.service.update(deviation_hz, voltage_pu, dt_s)

    def start(self, power_kw: float, frequency_hz: float | None) -> None:
        """Continue from this power without a bump [kW].

        What flows is the settled answer to the frequency and, for the rest, base power; after a trip nothing flows and
        the answer begins anew.
        """
        self._response.reset(None if self.service.status is Status.ENTERING else frequency_hz)
        self._power.reset(power_kw - self._response.output_kw)

    def contribution_kw(self, frequency_hz: float | None) -> float:
        """Settled answer to a frequency, before limits and ramp [kW]."""
        return self._response.settled_kw(frequency_hz)

    def update(self, base_kw: float, frequency_hz: float | None, limits: Box, applied_kw: float, dt_s: float) -> float:
        """One tick: the power to ask for [kW]; see Droop.update."""
        cap_kw = self.base_cap_kw
        contribution_kw = self._response.update(self._power.base_kw, frequency_hz, limits, dt_s)
        return self._power.follow(min(max(base_kw, -cap_kw), cap_kw), contribution_kw, limits, applied_kw, dt_s)

    def ramp_to_zero(self, limits: Box, applied_kw: float, dt_s: float) -> float:
        """See Droop.ramp_to_zero."""
        return self._power.ramp_to_zero(limits, applied_kw, dt_s)

    def state(self) -> tuple[float, ...]:
        """What the next tick depends on besides its inputs."""
        return *self.service.state(), *self._power.state(), *self._response.state()

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state, as `state` gave it.

        Raises:
            InputError: not as many values.
        """
        self.service.restore(values[:SERVICE_VALUES])
        self._power.restore(values[SERVICE_VALUES : SERVICE_VALUES + 2])
        self._response.restore(values[SERVICE_VALUES + 2 :])
