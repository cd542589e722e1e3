"""The mode of a module, changed in one pure function.

OFF -> STANDBY -> READY <-> CHARGING, DISCHARGING, DERATED; any mode -> SAFE on an e-stop and -> FAULT on a fault,
both latched until a reset; any mode -> OFF when it is no longer configured.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Mode(IntEnum):
    """Values as in msg/ModuleStatus.msg."""

    OFF = 0  # not configured
    STANDBY = 1  # configured; not armed, no vehicle, or no power without a valid signal
    READY = 2  # may be energised, no power flows
    CHARGING = 3
    DISCHARGING = 4
    DERATED = 5  # may be energised, temperature takes away from the rating
    FAULT = 6  # latched until a reset with the cause gone
    SAFE = 7  # latched by an e-stop until a reset with the e-stop released


#: modes in which power may flow; in any other the module goes to zero
ENERGISED = frozenset({Mode.READY, Mode.CHARGING, Mode.DISCHARGING, Mode.DERATED})


class Events(NamedTuple):
    """What is true at this moment.

    Args:
        configured: parameters read, backend open.
        armed: energising is allowed (simulation arms itself). An e-stop must also take this away.
        e_stop: an e-stop or `v2g stop` is in force.
        fault: the hardware or its supervision reports a fault.
        reset: someone asks to leave FAULT or SAFE.
        signal_valid: grid signal fresh enough.
        vehicle_plugged: a vehicle is connected.
        derated: temperature takes away from the rating.
        charging: power below zero flows.
        discharging: power above zero flows; both at once contradict each other and count as neither.
    """

    configured: bool = False
    armed: bool = False
    e_stop: bool = False
    fault: bool = False
    reset: bool = False
    signal_valid: bool = False
    vehicle_plugged: bool = False
    derated: bool = False
    charging: bool = False
    discharging: bool = False


def next_mode(mode: Mode, events: Events) -> Mode:
    """The mode that follows.

    Order: not configured, fault, e-stop, latches, leave to energise, signal, power. OFF is left to STANDBY
    (or a latch) and STANDBY to READY, so nothing is energised in one step from cold.

    Args:
        mode: mode now.
        events: what is true now.
    """
    if not events.configured:
        return Mode.OFF
    if events.fault or (mode is Mode.FAULT and not events.reset):
        return Mode.FAULT
    if events.e_stop or (mode is Mode.SAFE and not events.reset):
        return Mode.SAFE
    if mode in (Mode.OFF, Mode.FAULT, Mode.SAFE) or not (events.armed and events.vehicle_plugged):
        return Mode.STANDBY
    flows = events.charging != events.discharging
    if not events.signal_valid and not (mode in ENERGISED and flows):
        return Mode.STANDBY
    if mode is Mode.STANDBY:
        return Mode.READY
    if events.derated:
        return Mode.DERATED
    if not flows:
        return Mode.READY
    return Mode.CHARGING if events.charging else Mode.DISCHARGING
