"""Reactive power by voltage, Q(V), and who gives way where active and reactive power do not fit into S together.

IEEE 1547-2018 5.3.3 (table 8) and EN 50549-1 4.7.2.3.3 (defaults of VDE-AR-N 4105). Unlike the law of the station's
specification (sim/grid.py), these curves give reactive power at rest too, so nothing depends on the sign of P.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.grid_code.lag import Lag

STATION = "station"  # the law of the station's specification, none of a code
PRIORITIES = ("reactive", "active")
CATEGORIES = ("A", "B")
UNITS = {"reference_pu": "pu", "response_s": "s", **{f"v{k}_pu": "pu" for k in (1, 2, 3, 4)},
         **{f"q{k}_pu": "pu" for k in (1, 2, 3, 4)}}
TEXTS = {"reference_pu": "voltage that the curve is around",
         **{f"v{k}_pu": f"voltage of point {k} at a reference of 1" for k in (1, 2, 3, 4)},
         **{f"q{k}_pu": f"reactive power of point {k} over the apparent power, > 0 delivers" for k in (1, 2, 3, 4)},
         "response_s": "open-loop response time: 90 % of a step"}

Row = tuple[float, float, float, str]  # default, lowest, highest, source


def _rows(voltages: Sequence[float], spans: Sequence[tuple[float, float]], reactive: float,
          response: tuple[float, float, float], source: str) -> Mapping[str, Row]:
    return {
        "reference_pu": (1.0, 0.95, 1.05, source),
        **{f"v{k}_pu": (value, *span, source)
           for k, (value, span) in enumerate(zip(voltages, spans, strict=True), start=1)},
        "q1_pu": (reactive, 0.0, 1.0, source), "q2_pu": (0.0, -1.0, 1.0, source),
        "q3_pu": (0.0, -1.0, 1.0, source), "q4_pu": (-reactive, -1.0, 0.0, source),
        "response_s": (*response, source),
    }


_IEEE = "IEEE 1547-2018 table 8"
_VDE_Q = math.sqrt(1.0 - 0.9**2)  # cos phi 0.9
_VDE_S = math.log(10.0) / 3.0 * 10.0  # 3 tau = 10 s, of which 90 % is ln 10 tau

BOUNDS: Mapping[tuple[str, str], Mapping[str, Row]] = {
    ("ieee1547", "A"): _rows((0.90, 1.0, 1.0, 1.10), ((0.82, 0.98), (1.0, 1.0), (1.0, 1.0), (1.02, 1.18)), 0.25,
                             (10.0, 1.0, 90.0), _IEEE),
    ("ieee1547", "B"): _rows((0.92, 0.98, 1.02, 1.08), ((0.82, 0.98), (0.97, 1.0), (1.0, 1.03), (1.02, 1.18)), 0.44,
                             (5.0, 1.0, 90.0), _IEEE),
    **{("en50549", category): _rows(
        (0.93, 0.97, 1.03, 1.07), ((0.80, 1.0), (0.90, 1.0), (1.0, 1.10), (1.0, 1.20)), _VDE_Q,
        (_VDE_S, 2.3, 46.0), "EN 50549-1 4.7.2.3.3; default VDE-AR-N 4105 5.7.2.4")
       for category in CATEGORIES},
}
#: reactive power that active power must leave room for whatever the priority: table 7, absorbing and delivering
KEPT_Q_PU: Mapping[tuple[str, str], tuple[float, float]] = {
    ("ieee1547", "A"): (0.25, 0.44), ("ieee1547", "B"): (0.44, 0.44),
    **{("en50549", category): (0.0, 0.0) for category in CATEGORIES},
}


@dataclass(frozen=True)
class VoltVarCurve:
    """All settings of a curve, resolved; names and texts as in `TEXTS`.

    Args:
        code: ieee1547 or en50549.
        category: normal operating performance category of IEEE 1547-2018, A or B.
        priority: what gives way last, reactive or active power.
    """

    code: str
    category: str
    priority: str
    reference_pu: float
    v1_pu: float
    v2_pu: float
    v3_pu: float
    v4_pu: float
    q1_pu: float
    q2_pu: float
    q3_pu: float
    q4_pu: float
    response_s: float

    @property
    def voltages_pu(self) -> tuple[float, float, float, float]:
        """Of the points, around the reference."""
        shift = self.reference_pu - 1.0
        return self.v1_pu + shift, self.v2_pu + shift, self.v3_pu + shift, self.v4_pu + shift


def volt_var_curve(code: str, category: str, priority: str, changes: Mapping[str, float]) -> VoltVarCurve:
    """The code's defaults with changes.

    Raises:
        InputError: no such code, category, priority or setting, a value outside what the code allows, or voltages that
            do not ascend.
    """
    if (code, category) not in BOUNDS:
        raise InputError(f"Q(V) is {code!r} of category {category!r}, allowed ieee1547 or en50549, A or B")
    if priority not in PRIORITIES:
        raise InputError(f"priority is {priority!r}, allowed {', '.join(PRIORITIES)}")
    table = BOUNDS[code, category]
    for name, value in changes.items():
        if name not in table:
            raise InputError(f"Q(V) setting {name!r}, allowed {', '.join(table)}")
        _, low, high, source = table[name]
        check_range(f"{name} ({source})", value, low, high, UNITS[name])
    values = {name: float(changes.get(name, row[0])) for name, row in table.items()}
    curve = VoltVarCurve(code=code, category=category, priority=priority, **values)
    if not curve.v1_pu < curve.v2_pu <= curve.v3_pu < curve.v4_pu:
        raise InputError(f"Q(V) voltages are {curve.v1_pu:g}, {curve.v2_pu:g}, {curve.v3_pu:g}, {curve.v4_pu:g} pu, "
                         "allowed ascending")
    return curve


class Apparent(NamedTuple):
    """What passes the inverter.

    Args:
        power_kw: active, > 0 into the grid.
        reactive_kvar: > 0 delivers (raises the voltage).
    """

    power_kw: float
    reactive_kvar: float


class VoltVar:
    """Q(V) with its response time, and the share of S.

    Args:
        curve: settings.
        apparent_kva: S of the inverter [kVA].

    Raises:
        InputError: S is not above 0.
    """

    def __init__(self, curve: VoltVarCurve, apparent_kva: float) -> None:
        check_positive("apparent_kva", apparent_kva, "kVA")
        self._curve = curve
        self._apparent_kva = apparent_kva
        self._lag = Lag(curve.response_s)
        self._settled = False

    def wanted_pu(self, voltage_pu: float) -> float:
        """Reactive power that the curve asks for over S; none where no voltage is measured (NaN)."""
        if math.isnan(voltage_pu):
            return 0.0
        curve = self._curve
        return float(np.interp(voltage_pu, curve.voltages_pu, (curve.q1_pu, curve.q2_pu, curve.q3_pu, curve.q4_pu)))

    def reset(self) -> None:
        """No reactive power flows."""
        self._lag.reset(0.0)
        self._settled = True

    def update(self, voltage_pu: float, power_kw: float, dt_s: float) -> Apparent:
        """Active and reactive power after dt; the first call settles.

        Args:
            voltage_pu: over nominal; NaN = not measured.
            power_kw: active power on offer [kW].
            dt_s: since the last step [s].
        """
        wanted = self.wanted_pu(voltage_pu)
        if not self._settled:
            self._lag.reset(wanted)
            self._settled = True
        return self.within(power_kw, self._lag.update(wanted, dt_s) * self._apparent_kva)

    def within(self, power_kw: float, reactive_kvar: float) -> Apparent:
        """The two brought inside the circle of S: the one of lower priority gives way."""
        s_kva = self._apparent_kva
        reactive_kvar = min(max(reactive_kvar, -s_kva), s_kva)
        if math.hypot(power_kw, reactive_kvar) <= s_kva:
            return Apparent(power_kw, reactive_kvar)
        if self._curve.priority == "active":
            absorbed, delivered = KEPT_Q_PU[self._curve.code, self._curve.category]
            left_kvar = math.sqrt(max(s_kva**2 - power_kw**2, 0.0))
            low_kvar, high_kvar = -max(left_kvar, absorbed * s_kva), max(left_kvar, delivered * s_kva)
            reactive_kvar = min(max(reactive_kvar, low_kvar), high_kvar)
        room_kw = math.sqrt(max(s_kva**2 - reactive_kvar**2, 0.0))
        return Apparent(min(max(power_kw, -room_kw), room_kw), reactive_kvar)
