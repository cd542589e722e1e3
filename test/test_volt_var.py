"""Q(V) of the grid-side inverter, its priorities, and what passes the inverter."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.grid_code.service import Service
from v2g_nodes.core.grid_code.settings import grid_code
from v2g_nodes.core.grid_code.volt_var import BOUNDS, TEXTS, UNITS, VoltVar, VoltVarCurve, volt_var_curve
from v2g_nodes.sim.grid import InverterInterface
from v2g_nodes.sim.inverter import GridInverter

RATING_KW = 90.0
S_KVA = 100.0
PLAIN = InverterInterface(RATING_KW, 400.0, 50.0)


def volt_var(code: str = "ieee1547", category: str = "B", priority: str = "reactive", **changes: float) -> VoltVar:
    return VoltVar(volt_var_curve(code, category, priority, changes), S_KVA)


def test_every_setting_has_text_unit_and_source() -> None:
    for table in BOUNDS.values():
        assert set(table) == set(TEXTS) == set(UNITS)
        assert set(table) == {item.name for item in fields(VoltVarCurve)} - {"code", "category", "priority"}
        assert all(low <= default <= high and source for default, low, high, source in table.values())


@pytest.mark.parametrize(
    ("category", "voltage_pu", "share"),
    [  # IEEE 1547-2018 table 8, defaults
        ("B", 0.90, 0.44), ("B", 0.92, 0.44), ("B", 0.95, 0.22), ("B", 0.98, 0.0), ("B", 1.0, 0.0), ("B", 1.02, 0.0),
        ("B", 1.05, -0.22), ("B", 1.08, -0.44), ("B", 1.2, -0.44),
        ("A", 0.90, 0.25), ("A", 0.95, 0.125), ("A", 1.0, 0.0), ("A", 1.05, -0.125), ("A", 1.10, -0.25),
    ],
)
@pytest.mark.parametrize("power_kw", [0.0, 1e-6, 45.0, -45.0])
def test_volt_var_of_ieee_1547(category: str, voltage_pu: float, share: float, power_kw: float) -> None:
    law = volt_var(category=category)
    found = law.update(voltage_pu, power_kw, 0.1)
    assert found.reactive_kvar == pytest.approx(share * S_KVA), "at any power, none included"
    assert found.power_kw == power_kw


def test_the_curve_moves_with_its_reference_and_nothing_is_given_without_a_voltage() -> None:
    assert volt_var(reference_pu=1.04).update(0.99, 0.0, 0.1).reactive_kvar == pytest.approx(22.0)
    assert volt_var().update(math.nan, 50.0, 0.1).reactive_kvar == 0.0


def test_a_step_of_the_voltage_is_90_percent_answered_after_the_response_time() -> None:
    law = volt_var()
    law.update(1.0, 0.0, 0.1)
    for _ in range(50):
        found = law.update(0.92, 0.0, 0.1)
    assert found.reactive_kvar == pytest.approx(0.9 * 44.0, rel=0.01)


def test_priority_says_what_gives_way() -> None:
    asked = {"q1_pu": 0.6}
    reactive = volt_var(priority="reactive", **asked).update(0.9, 90.0, 0.1)
    assert reactive == (pytest.approx(80.0), pytest.approx(60.0))
    active = volt_var(priority="active", **asked).update(0.9, 90.0, 0.1)
    assert active.reactive_kvar == pytest.approx(44.0), "table 7 is kept for reactive power"
    assert active.power_kw == pytest.approx(math.sqrt(100.0**2 - 44.0**2))
    european = volt_var("en50549", priority="active", q1_pu=0.6).update(0.9, 90.0, 0.1)
    assert european == (pytest.approx(90.0), pytest.approx(math.sqrt(100.0**2 - 90.0**2)))


@given(st.floats(0.5, 1.5), st.floats(-120.0, 120.0), st.sampled_from(["reactive", "active"]), st.floats(0.0, 1.0))
def test_what_passes_is_inside_the_circle(voltage_pu: float, power_kw: float, priority: str, most: float) -> None:
    found = volt_var(priority=priority, q1_pu=most, q4_pu=-most).update(voltage_pu, power_kw, 0.1)
    assert math.hypot(*found) <= S_KVA * (1.0 + 1e-9)
    assert found.power_kw * power_kw >= 0.0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"response_s": 0.9}, r"response_s \(IEEE 1547-2018 table 8\) is 0.9 s, allowed 1 to 90 s"),
        ({"v2_pu": 1.1}, "v2_pu .* allowed 0.97 to 1 pu"),
        ({"v1_pu": 0.98, "v2_pu": 0.97}, "voltages are 0.98, 0.97, 1.02, 1.08 pu, allowed ascending"),
        ({"slope": 1.0}, "setting 'slope', allowed reference_pu"),
    ],
)
def test_settings_beyond_the_code_are_refused(changes: dict[str, float], text: str) -> None:
    with pytest.raises(InputError, match=text):
        volt_var_curve("ieee1547", "B", "reactive", changes)


def test_the_plain_inverter_passes_everything_and_reports_trips() -> None:
    inverter = GridInverter(PLAIN, None, None)
    passed = inverter.update(50.0, 360.0, 50.0, 0.1)
    assert passed == (50.0, pytest.approx(PLAIN.reactive_kvar(360.0, 50.0)), False)
    assert inverter.update(50.0, 330.0, 50.0, 0.1).tripped
    assert inverter.update(50.0, 330.0, 50.0, 0.1).power_kw == 50.0


def test_an_inverter_with_a_code_cuts_off_at_once_and_lets_power_back_after_the_delay() -> None:
    service = Service(grid_code("ieee1547", "III", {"enter_delay_s": 5.0}))
    inverter = GridInverter(PLAIN, service, volt_var())
    assert inverter.update(50.0, 380.0, 50.0, 0.1).reactive_kvar == pytest.approx(22.0)
    inverter.update(50.0, 490.0, 50.0, 0.1)
    assert inverter.update(50.0, 490.0, 50.0, 0.1) == (0.0, 0.0, True), "1.225 pu for 0.2 s"
    for _ in range(49):
        assert inverter.update(50.0, 400.0, 50.0, 0.1).tripped
    assert not inverter.update(50.0, 400.0, 50.0, 0.1).tripped
