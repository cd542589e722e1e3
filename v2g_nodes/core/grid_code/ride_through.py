"""What a grid code asks for at a voltage and frequency before a trip, and how long it must be borne at least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from v2g_nodes.core.grid_code import en50549, ieee1547
from v2g_nodes.core.grid_code.settings import GridCode


class Operation(IntEnum):
    """The stricter the higher."""

    CONTINUOUS = 0
    MANDATORY = 1  # must go on
    PERMISSIVE = 2  # may go on; a station does
    CESSATION = 3  # power ceases, the connection stays
    NOT_ASKED = 4  # outside all ride-through; goes on until a trip stage has run out


class Ride(NamedTuple):
    """Ride-through at one moment.

    Args:
        operation: what is asked for.
        least_s: for so long at least [s]; infinite = always, 0 where nothing is asked.
    """

    operation: Operation
    least_s: float


def ride(code: GridCode, deviation_hz: float, voltage_pu: float) -> Ride:
    """What voltage and frequency ask for, the stricter of the two.

    Args:
        code: settings.
        deviation_hz: frequency less nominal [Hz]; NaN = not measured.
        voltage_pu: over nominal; NaN = not measured.
    """
    if code.code == "ieee1547":
        voltage, frequency = ieee1547.RIDE_VOLTAGE[code.category], ieee1547.RIDE_FREQUENCY
    else:
        voltage, frequency = en50549.RIDE_VOLTAGE, en50549.RIDE_FREQUENCY
    return max(_in(voltage, voltage_pu), _in(frequency, deviation_hz))


def _in(bands: Sequence[ieee1547.Band], value: float) -> Ride:
    """The first band that holds the value, its ends included; what is not measured asks for nothing."""
    if math.isnan(value):
        return Ride(Operation.CONTINUOUS, math.inf)
    for low, high, operation, least_s, rise_s in bands:
        if low <= value <= high:
            return Ride(Operation[operation.upper()], least_s + rise_s * (value - low))
    return Ride(Operation.NOT_ASKED, 0.0)
