"""IEEE 1547-2018: defaults and ranges of allowable settings, frequencies as deviations from 60 Hz."""

from __future__ import annotations

import math
from collections.abc import Mapping

Row = tuple[float, float, float, str]  # default, lowest, highest, source
Band = tuple[float, float, str, float, float]  # from, to, operation, least time [s], its rise

_DROOP = "IEEE 1547-2018 table 24"
_ENTER = "IEEE 1547-2018 table 4 and 4.10.3"
_FREQUENCY = "IEEE 1547-2018 table 18"

_COMMON: Mapping[str, Row] = {
    "deadband_over_hz": (0.036, 0.017, 1.0, _DROOP),
    "deadband_under_hz": (0.036, 0.017, 1.0, _DROOP),
    "enter_voltage_low_pu": (0.917, 0.88, 0.95, _ENTER),
    "enter_voltage_high_pu": (1.05, 1.05, 1.06, _ENTER),
    "enter_frequency_low_hz": (-0.5, -1.0, -0.1, _ENTER),
    "enter_frequency_high_hz": (0.1, 0.1, 1.0, _ENTER),
    "enter_delay_s": (300.0, 0.0, 600.0, _ENTER),
    "enter_ramp_s": (300.0, 1.0, 1000.0, _ENTER),
    "over_frequency_1_hz": (1.2, 1.0, 6.0, _FREQUENCY),
    "over_frequency_1_s": (300.0, 180.0, 1000.0, _FREQUENCY),
    "over_frequency_2_hz": (2.0, 1.8, 6.0, _FREQUENCY),
    "over_frequency_2_s": (0.16, 0.16, 1000.0, _FREQUENCY),
    "under_frequency_1_hz": (-1.5, -10.0, -1.0, _FREQUENCY),
    "under_frequency_1_s": (300.0, 180.0, 1000.0, _FREQUENCY),
    "under_frequency_2_hz": (-3.5, -10.0, -3.0, _FREQUENCY),
    "under_frequency_2_s": (0.16, 0.16, 1000.0, _FREQUENCY),
}


def _droop(slope_low: float, response_low_s: float) -> Mapping[str, Row]:
    return {
        "slope_over": (0.05, slope_low, 0.05, _DROOP),
        "slope_under": (0.05, slope_low, 0.05, _DROOP),
        "response_s": (5.0, response_low_s, 10.0, _DROOP),
    }


def _over_voltage(first_s: float, table: int) -> Mapping[str, Row]:
    source = f"IEEE 1547-2018 table {table}"
    return {
        "over_voltage_1_pu": (1.10, 1.10, 1.20, source),
        "over_voltage_1_s": (first_s, 1.0, 13.0, source),
        "over_voltage_2_pu": (1.20, 1.20, 1.20, source),
        "over_voltage_2_s": (0.16, 0.16, 0.16, source),
    }


def _under_voltage(first: tuple[float, float, float, float], second: tuple[float, float, float, float],
                   table: int) -> Mapping[str, Row]:
    """Each stage: default [pu], default, shortest and longest time [s]."""
    source = f"IEEE 1547-2018 table {table}"
    (v1, t1, low1, high1), (v2, t2, low2, high2) = first, second
    return {
        "under_voltage_1_pu": (v1, 0.0, 0.88, source),
        "under_voltage_1_s": (t1, low1, high1, source),
        "under_voltage_2_pu": (v2, 0.0, 0.50, source),
        "under_voltage_2_s": (t2, low2, high2, source),
    }


def _cease(under_pu: float, over_pu: float, table: int) -> Mapping[str, Row]:
    """Momentary cessation (III) and cease to energise (I, II); fixed by the category."""
    source = f"IEEE 1547-2018 table {table}"
    return {"cease_over_pu": (over_pu, over_pu, over_pu, source),
            "cease_under_pu": (under_pu, under_pu, under_pu, source)}


BOUNDS: Mapping[str, Mapping[str, Row]] = {
    "I": {**_COMMON, **_droop(0.03, 1.0), **_over_voltage(2.0, 11),
          **_under_voltage((0.70, 2.0, 2.0, 21.0), (0.45, 0.16, 0.16, 2.0), 11), **_cease(0.50, 1.20, 14)},
    "II": {**_COMMON, **_droop(0.03, 1.0), **_over_voltage(2.0, 12),
           **_under_voltage((0.70, 10.0, 2.0, 21.0), (0.45, 0.16, 0.16, 2.0), 12), **_cease(0.30, 1.20, 15)},
    "III": {**_COMMON, **_droop(0.02, 0.2), **_over_voltage(13.0, 13),
            **_under_voltage((0.88, 21.0, 21.0, 50.0), (0.50, 2.0, 2.0, 21.0), 13), **_cease(0.50, 1.10, 16)},
}

_CONTINUOUS = (0.88, 1.10, "continuous", math.inf, 0.0)
_HIGH = ((1.10, 1.15, "permissive", 1.0, 0.0), (1.15, 1.175, "permissive", 0.5, 0.0),
         (1.175, 1.20, "permissive", 0.2, 0.0))

#: voltage ride-through by category, tables 14 to 16: from [pu], to [pu], operation, least time at `from` [s] and its
#: rise with the voltage [s/pu]
RIDE_VOLTAGE: Mapping[str, tuple[Band, ...]] = {
    "I": (_CONTINUOUS, (0.70, 0.88, "mandatory", 0.7, 4.0), (0.50, 0.70, "permissive", 0.16, 0.0), *_HIGH),
    "II": (_CONTINUOUS, (0.65, 0.88, "mandatory", 3.0, 8.7), (0.45, 0.65, "permissive", 0.32, 0.0),
           (0.30, 0.45, "permissive", 0.16, 0.0), *_HIGH),
    "III": (_CONTINUOUS, (0.70, 0.88, "mandatory", 20.0, 0.0), (0.50, 0.70, "mandatory", 10.0, 0.0),
            (0.0, 0.50, "cessation", 1.0, 0.0), (1.10, 1.20, "cessation", 12.0, 0.0)),
}
#: frequency ride-through of all categories, table 19, as deviations [Hz]
RIDE_FREQUENCY: tuple[Band, ...] = (
    (-1.2, 1.2, "continuous", math.inf, 0.0), (-3.0, -1.2, "mandatory", 299.0, 0.0),
    (1.2, 1.8, "mandatory", 299.0, 0.0),
)
