"""What a droop controller is built from: the constants that its node takes from its parameters and a record carries."""

from __future__ import annotations

from dataclasses import dataclass

from v2g_nodes.core.droop import Droop
from v2g_nodes.core.droop_control import DroopControl


@dataclass(frozen=True)
class DroopSettings:
    """Constants of the law, each of a type that JSON knows.

    Args:
        gain_kw_per_hz: k of this module [kW/Hz].
        nominal_hz: nominal frequency [Hz].
        deadband_hz: deviation without answer, to each side [Hz].
        ramp_kw_per_s: largest change of the output [kW/s].
        signal_hold_s: how long a silent grid signal is held [s].
    """

    gain_kw_per_hz: float
    nominal_hz: float
    deadband_hz: float
    ramp_kw_per_s: float
    signal_hold_s: float


def build_control(settings: DroopSettings) -> DroopControl:
    """The controller, at rest.

    Raises:
        InputError: a value out of range.
    """
    law = Droop(settings.gain_kw_per_hz, settings.nominal_hz, settings.deadband_hz, settings.ramp_kw_per_s)
    return DroopControl(law, settings.ramp_kw_per_s, settings.signal_hold_s)
