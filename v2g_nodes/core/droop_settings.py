"""What a droop controller is built from: the constants that its node takes from its parameters and a record carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from v2g_nodes.core.droop import Droop
from v2g_nodes.core.droop_control import DroopControl, Law
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.grid_code.law import GridCodeDroop
from v2g_nodes.core.grid_code.settings import CODES, grid_code

PLAIN = "plain"
LAWS = (PLAIN, *CODES)


@dataclass(frozen=True)
class DroopSettings:
    """Constants of the law, each of a type that JSON knows.

    Args:
        gain_kw_per_hz: k of this module, of the plain law [kW/Hz].
        nominal_hz: nominal frequency [Hz].
        deadband_hz: deviation without answer, to each side, of the plain law [Hz].
        ramp_kw_per_s: largest change of the output [kW/s].
        signal_hold_s: how long a silent grid signal is held [s].
        law: one of `LAWS`.
        p_max_kw: rating, to which the slopes of a grid code refer [kW].
        category: of IEEE 1547-2018, see core/grid_code/settings.py.
        changes: settings of the grid code that differ from its defaults.
    """

    gain_kw_per_hz: float
    nominal_hz: float
    deadband_hz: float
    ramp_kw_per_s: float
    signal_hold_s: float
    law: str = PLAIN
    p_max_kw: float = 1.0
    category: str = "III"
    changes: Mapping[str, float] = field(default_factory=dict)


def build_law(settings: DroopSettings, in_service: bool = True) -> Law:
    """The law, at rest.

    Args:
        settings: its constants.
        in_service: whether a grid code's connection to the grid is in service at the start.

    Raises:
        InputError: a value out of range, no such law.
    """
    s = settings
    if s.law == PLAIN:
        if s.changes:
            raise InputError(f"grid-code setting {next(iter(s.changes))!r} with law plain, allowed with "
                             f"{' or '.join(CODES)}")
        return Droop(s.gain_kw_per_hz, s.nominal_hz, s.deadband_hz, s.ramp_kw_per_s)
    if s.law not in LAWS:
        raise InputError(f"droop law is {s.law!r}, allowed {', '.join(LAWS)}")
    return GridCodeDroop(grid_code(s.law, s.category, s.changes), s.nominal_hz, s.p_max_kw, s.ramp_kw_per_s,
                         in_service)


def build_control(settings: DroopSettings, in_service: bool = True) -> DroopControl:
    """The controller, at rest.

    Args:
        settings: constants of its law.
        in_service: as build_law.

    Raises:
        InputError: as build_law.
    """
    return DroopControl(build_law(settings, in_service), settings.ramp_kw_per_s, settings.signal_hold_s)
