"""Settings of a grid code: each with default, allowed range, unit, text and source. Frequencies are deviations.

The codes are written for one nominal frequency (IEEE 1547-2018 for 60 Hz, EN 50549-1 for 50 Hz); as deviations from
nominal the settings serve both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.grid_code import en50549, ieee1547

CODES = ("ieee1547", "en50549")
CATEGORIES = ("I", "II", "III")


class SettingText(NamedTuple):
    """What a setting is, whatever the code: words and unit."""

    text: str
    unit: str


TEXTS: Mapping[str, SettingText] = {
    "deadband_over_hz": SettingText("deviation above nominal without an answer", "Hz"),
    "deadband_under_hz": SettingText("deviation below nominal without an answer", "Hz"),
    "slope_over": SettingText("high frequency: deviation over nominal that takes the whole rating", "pu"),
    "slope_under": SettingText("low frequency: deviation over nominal that takes the whole rating", "pu"),
    "response_s": SettingText("open-loop response time: 90 % of a step of the answer", "s"),
    "enter_voltage_low_pu": SettingText("enters service at or above", "pu"),
    "enter_voltage_high_pu": SettingText("enters service at or below", "pu"),
    "enter_frequency_low_hz": SettingText("enters service at or above this deviation", "Hz"),
    "enter_frequency_high_hz": SettingText("enters service at or below this deviation", "Hz"),
    "enter_delay_s": SettingText("voltage and frequency stay inside so long before it enters service", "s"),
    "enter_ramp_s": SettingText("from zero to the rating when it enters service", "s"),
    "over_frequency_1_hz": SettingText("trips above this deviation, first stage", "Hz"),
    "over_frequency_1_s": SettingText("when it lasts so long", "s"),
    "over_frequency_2_hz": SettingText("trips above this deviation, second stage", "Hz"),
    "over_frequency_2_s": SettingText("when it lasts so long", "s"),
    "under_frequency_1_hz": SettingText("trips below this deviation, first stage", "Hz"),
    "under_frequency_1_s": SettingText("when it lasts so long", "s"),
    "under_frequency_2_hz": SettingText("trips below this deviation, second stage", "Hz"),
    "under_frequency_2_s": SettingText("when it lasts so long", "s"),
    "over_voltage_1_pu": SettingText("trips above, first stage", "pu"),
    "over_voltage_1_s": SettingText("when it lasts so long", "s"),
    "over_voltage_2_pu": SettingText("trips above, second stage", "pu"),
    "over_voltage_2_s": SettingText("when it lasts so long", "s"),
    "under_voltage_1_pu": SettingText("trips below, first stage", "pu"),
    "under_voltage_1_s": SettingText("when it lasts so long", "s"),
    "under_voltage_2_pu": SettingText("trips below, second stage", "pu"),
    "under_voltage_2_s": SettingText("when it lasts so long", "s"),
    "cease_over_pu": SettingText("no power above, until the voltage is back", "pu"),
    "cease_under_pu": SettingText("no power below, until the voltage is back", "pu"),
}


@dataclass(frozen=True)
class GridCode:
    """All settings of one code, resolved; names, units and texts as in `TEXTS`.

    Args:
        code: one of `CODES`.
        category: abnormal operating performance category of IEEE 1547-2018: I, II or III; else III.
    """

    code: str
    category: str
    deadband_over_hz: float
    deadband_under_hz: float
    slope_over: float
    slope_under: float
    response_s: float
    enter_voltage_low_pu: float
    enter_voltage_high_pu: float
    enter_frequency_low_hz: float
    enter_frequency_high_hz: float
    enter_delay_s: float
    enter_ramp_s: float
    over_frequency_1_hz: float
    over_frequency_1_s: float
    over_frequency_2_hz: float
    over_frequency_2_s: float
    under_frequency_1_hz: float
    under_frequency_1_s: float
    under_frequency_2_hz: float
    under_frequency_2_s: float
    over_voltage_1_pu: float
    over_voltage_1_s: float
    over_voltage_2_pu: float
    over_voltage_2_s: float
    under_voltage_1_pu: float
    under_voltage_1_s: float
    under_voltage_2_pu: float
    under_voltage_2_s: float
    cease_over_pu: float
    cease_under_pu: float


def bounds(code: str, category: str) -> Mapping[str, tuple[float, float, float, str]]:
    """Default, lowest and highest value, and source of each setting of a code.

    Raises:
        InputError: no such code or category.
    """
    if category not in CATEGORIES:
        raise InputError(f"grid-code category is {category!r}, allowed {', '.join(CATEGORIES)}")
    if code == "ieee1547":
        return ieee1547.BOUNDS[category]
    if code == "en50549":
        return en50549.BOUNDS
    raise InputError(f"grid code is {code!r}, allowed {', '.join(CODES)}")


def grid_code(code: str, category: str, changes: Mapping[str, float]) -> GridCode:
    """The code's defaults with changes.

    Args:
        code: one of `CODES`.
        category: I, II or III.
        changes: settings by name that differ from the default.

    Raises:
        InputError: no such code, category or setting, or a value outside what the code allows.
    """
    table = bounds(code, category)
    for name, value in changes.items():
        if name not in table:
            raise InputError(f"grid-code setting {name!r}, allowed {', '.join(table)}")
        _, low, high, source = table[name]
        check_range(f"{name} ({source})", value, low, high, TEXTS[name].unit)
    values = {name: float(changes.get(name, row[0])) for name, row in table.items()}
    return GridCode(code=code, category=category, **values)
