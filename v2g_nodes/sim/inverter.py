"""The grid-side inverter of a station: passes the modules' power, gives reactive power, cuts both off where it must."""

from __future__ import annotations

import math
from typing import NamedTuple

from v2g_nodes.core.grid_code.service import Service
from v2g_nodes.core.grid_code.volt_var import VoltVar
from v2g_nodes.sim.grid import InverterInterface


class Passed(NamedTuple):
    """What passes.

    Args:
        power_kw: active, > 0 into the grid.
        reactive_kvar: > 0 delivers.
        tripped: whether grid protection has it off, or would.
    """

    power_kw: float
    reactive_kvar: float
    tripped: bool


class GridInverter:
    """The inverter, stepped by dt. Without codes it is the one of the station's specification, which only reports.

    Args:
        plain: rating, nominal values, Q(V) and limits of the specification.
        service: connection by a grid code; None = trips are reported, not carried out.
        volt_var: Q(V) by a grid code; None = that of the specification.
    """

    def __init__(self, plain: InverterInterface, service: Service | None, volt_var: VoltVar | None) -> None:
        self._plain = plain
        self._service = service
        self._volt_var = volt_var

    def update(self, power_kw: float, voltage_v: float, frequency_hz: float, dt_s: float) -> Passed:
        """What passes after dt.

        Args:
            power_kw: of the modules [kW].
            voltage_v: phase to phase [V]; NaN = not measured.
            frequency_hz: [Hz]; NaN = not measured.
            dt_s: since the last step [s].
        """
        plain, voltage_pu = self._plain, voltage_v / self._plain.nominal_v
        tripped = plain.trips(voltage_v, frequency_hz)
        if self._service is not None:
            tripped = not self._service.update(frequency_hz - plain.nominal_hz, voltage_pu, dt_s)
            if tripped:
                if self._volt_var is not None:
                    self._volt_var.reset()
                return Passed(0.0, 0.0, True)
        if self._volt_var is None:
            rated_kw = min(max(power_kw, -plain.rating_kw), plain.rating_kw)
            reactive_kvar = 0.0 if math.isnan(rated_kw) else plain.reactive_kvar(voltage_v, rated_kw)
            return Passed(power_kw, reactive_kvar, tripped)
        return Passed(*self._volt_var.update(voltage_pu, power_kw, dt_s), tripped)
