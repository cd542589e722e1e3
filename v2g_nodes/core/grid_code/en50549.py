"""EN 50549-1:2019: ranges, with the defaults of that standard or, where it leaves them open, of VDE-AR-N 4105:2018.

Frequencies are deviations from 50 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Row = tuple[float, float, float, str]  # default, lowest, highest, source
Band = tuple[float, float, str, float, float]  # from, to, operation, least time [s], its rise

_OVER = "EN 50549-1 4.6.1, LFSM-O"
_UNDER = "EN 50549-1 4.6.2, LFSM-U"
_ENTER = "EN 50549-1 4.10.2, after a trip"
_TRIP = "EN 50549-1 4.9.3; default VDE-AR-N 4105 table 2"
_CEASE = "EN 50549-1 4.7.4.2, zero current"

BOUNDS: Mapping[str, Row] = {
    "deadband_over_hz": (0.2, 0.2, 2.0, _OVER),
    "deadband_under_hz": (0.2, 0.2, 4.0, _UNDER),
    "slope_over": (0.05, 0.02, 0.12, _OVER),
    "slope_under": (0.05, 0.02, 0.12, _UNDER),
    "response_s": (2.0, 0.1, 30.0, _OVER),
    "enter_voltage_low_pu": (0.85, 0.50, 1.00, _ENTER),
    "enter_voltage_high_pu": (1.10, 1.00, 1.20, _ENTER),
    "enter_frequency_low_hz": (-0.5, -3.0, 0.0, _ENTER),
    "enter_frequency_high_hz": (0.2, 0.0, 2.0, _ENTER),
    "enter_delay_s": (60.0, 10.0, 600.0, _ENTER),
    "enter_ramp_s": (600.0, 2.0, 1000.0, _ENTER),
    "over_frequency_1_hz": (1.5, 0.0, 2.0, _TRIP),
    "over_frequency_1_s": (0.1, 0.1, 100.0, _TRIP),
    "over_frequency_2_hz": (2.0, 0.0, 2.0, _TRIP),
    "over_frequency_2_s": (0.1, 0.1, 5.0, _TRIP),
    "under_frequency_1_hz": (-2.5, -3.0, 0.0, _TRIP),
    "under_frequency_1_s": (0.1, 0.1, 100.0, _TRIP),
    "under_frequency_2_hz": (-3.0, -3.0, 0.0, _TRIP),
    "under_frequency_2_s": (0.1, 0.1, 5.0, _TRIP),
    "over_voltage_1_pu": (1.15, 1.0, 1.2, _TRIP),
    "over_voltage_1_s": (60.0, 0.1, 100.0, _TRIP),
    "over_voltage_2_pu": (1.25, 1.0, 1.3, _TRIP),
    "over_voltage_2_s": (0.1, 0.1, 5.0, _TRIP),
    "under_voltage_1_pu": (0.80, 0.2, 1.0, _TRIP),
    "under_voltage_1_s": (3.0, 0.1, 100.0, _TRIP),
    "under_voltage_2_pu": (0.45, 0.2, 1.0, _TRIP),
    "under_voltage_2_s": (0.3, 0.1, 5.0, _TRIP),
    "cease_over_pu": (1.30, 1.0, 1.3, _CEASE),
    "cease_under_pu": (0.0, 0.0, 1.0, _CEASE),
}

#: voltage ride-through 4.7.4: the stringent under-voltage curve and the over-voltage steps; as in ieee1547.py
RIDE_VOLTAGE: tuple[Band, ...] = (
    (0.85, 1.10, "continuous", math.inf, 0.0), (0.05, 0.85, "mandatory", 0.25, 2.75 / 0.8),
    (1.10, 1.15, "mandatory", 60.0, 0.0), (1.15, 1.20, "mandatory", 5.0, 0.0), (1.20, 1.25, "mandatory", 0.1, 0.0),
)
#: operating frequency range 4.4.2, as deviations [Hz]
RIDE_FREQUENCY: tuple[Band, ...] = (
    (-1.0, 1.0, "continuous", math.inf, 0.0), (-2.5, -1.0, "mandatory", 1800.0, 0.0),
    (1.0, 1.5, "mandatory", 1800.0, 0.0), (-3.0, -2.5, "mandatory", 20.0, 0.0),
)
