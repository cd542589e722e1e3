"""Grid codes: each clause with numbers of the standard's tables."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from v2g_nodes.core.droop_control import DroopControl, DroopInputs
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.grid_code.lag import Lag
from v2g_nodes.core.grid_code.law import GridCodeDroop
from v2g_nodes.core.grid_code.ride_through import Operation, ride
from v2g_nodes.core.grid_code.service import Service, Status
from v2g_nodes.core.grid_code.settings import CATEGORIES, CODES, TEXTS, GridCode, bounds, grid_code
from v2g_nodes.core.types import Box

P_MAX_KW = 10.0
RAMP_KW_PER_S = 100.0
WIDE = Box(-P_MAX_KW, P_MAX_KW)
TICK_S = 0.01


class Unit:
    """A controller with a grid code and a gate that lets everything through."""

    def __init__(
        self, code: str = "ieee1547", nominal_hz: float = 60.0, in_service: bool = True, **changes: float
    ) -> None:
        self.law = GridCodeDroop(grid_code(code, "III", changes), nominal_hz, P_MAX_KW, RAMP_KW_PER_S, in_service)
        self.control = DroopControl(self.law, RAMP_KW_PER_S, math.inf)
        self.nominal_hz, self.power_kw, self.base_kw, self.due_kw = nominal_hz, 0.0, 0.0, math.inf

    def run(
        self, seconds: float, deviation_hz: float = 0.0, voltage_pu: float = math.nan, dt_s: float = TICK_S
    ) -> float:
        for _ in range(round(seconds / dt_s)):
            self.power_kw = self.control.decide(DroopInputs(
                self.base_kw, self.nominal_hz + deviation_hz, True, WIDE, self.due_kw, self.power_kw, dt_s, voltage_pu))
        return self.power_kw


def in_service(deviation_hz: float = 0.0, voltage_pu: float = 1.0, category: str = "III", **changes: float) -> float:
    """Time at which a unit trips that sees this from now on [s]; infinite after 400 s."""
    service = Service(grid_code("ieee1547", category, changes))
    step_s = 0.02
    for k in range(20_000):
        service.update(deviation_hz, voltage_pu, step_s)
        if service.status is Status.TRIPPED:
            return (k + 1) * step_s
    return math.inf


# --- settings


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("category", CATEGORIES)
def test_every_setting_has_text_unit_source_and_a_default_in_range(code: str, category: str) -> None:
    table = bounds(code, category)
    assert set(table) == set(TEXTS) == {item.name for item in fields(GridCode)} - {"code", "category"}
    for name, (default, low, high, source) in table.items():
        assert low <= default <= high, name
        assert source.startswith(("IEEE 1547-2018", "EN 50549-1")), name


@pytest.mark.parametrize(
    ("category", "name", "default", "low", "high"),
    [  # table 24, table 4, table 18, table 11 to 13
        ("III", "deadband_over_hz", 0.036, 0.017, 1.0),
        ("III", "slope_under", 0.05, 0.02, 0.05),
        ("I", "slope_over", 0.05, 0.03, 0.05),
        ("III", "response_s", 5.0, 0.2, 10.0),
        ("II", "response_s", 5.0, 1.0, 10.0),
        ("III", "enter_voltage_low_pu", 0.917, 0.88, 0.95),
        ("III", "enter_frequency_high_hz", 0.1, 0.1, 1.0),
        ("III", "enter_delay_s", 300.0, 0.0, 600.0),
        ("III", "over_frequency_2_hz", 2.0, 1.8, 6.0),
        ("III", "under_frequency_1_s", 300.0, 180.0, 1000.0),
        ("III", "under_voltage_1_pu", 0.88, 0.0, 0.88),
        ("II", "under_voltage_1_s", 10.0, 2.0, 21.0),
        ("I", "under_voltage_2_pu", 0.45, 0.0, 0.50),
    ],
)
def test_ieee_1547_defaults_and_ranges(category: str, name: str, default: float, low: float, high: float) -> None:
    assert getattr(grid_code("ieee1547", category, {}), name) == default
    for edge in (low, high):
        assert getattr(grid_code("ieee1547", category, {name: edge}), name) == edge
    for beyond in (low - 0.001, high + 0.001):
        with pytest.raises(InputError, match=rf"{name} \(IEEE 1547-2018 table .*\) is .* allowed {low:g} to {high:g}"):
            grid_code("ieee1547", category, {name: beyond})


def test_unknown_code_category_and_setting_are_named() -> None:
    with pytest.raises(InputError, match="grid code is 'vde', allowed ieee1547, en50549"):
        grid_code("vde", "III", {})
    with pytest.raises(InputError, match="category is 'IV', allowed I, II, III"):
        grid_code("ieee1547", "IV", {})
    with pytest.raises(InputError, match="setting 'deadband', allowed deadband_over_hz"):
        grid_code("ieee1547", "III", {"deadband": 0.1})


# --- frequency response


def test_a_lag_is_90_percent_there_after_its_response_time() -> None:
    lag = Lag(5.0)
    for _ in range(500):
        lag.update(1.0, 0.01)
    assert lag.output == pytest.approx(0.9, abs=0.001)
    assert Lag(0.2).update(1.0, 1.0) == 1.0, "a longer step has settled"
    assert Lag(0.0).update(1.0, 0.01) == 1.0


@pytest.mark.parametrize(
    ("deviation_hz", "share"),
    [  # IEEE 1547-2018 6.5.2.7.2: (|df| - 0.036 Hz) / (60 Hz 0.05)
        (0.036, 0.0), (-0.036, 0.0), (0.336, -0.1), (-0.336, 0.1), (-1.236, 0.4),
    ],
)
def test_frequency_droop_of_ieee_1547(deviation_hz: float, share: float) -> None:
    unit = Unit()
    unit.base_kw = 1.0
    unit.run(1.0)
    assert unit.run(20.0, deviation_hz) == pytest.approx(1.0 + share * P_MAX_KW, abs=0.002)
    assert unit.run(20.0) == pytest.approx(1.0, abs=0.01), "back inside the deadband"


def test_slopes_and_deadbands_to_each_side_are_their_own() -> None:
    unit = Unit(deadband_over_hz=0.1, slope_over=0.04, deadband_under_hz=0.02, slope_under=0.02)
    assert unit.run(30.0, 0.34) == pytest.approx(-0.1 * P_MAX_KW, abs=1e-3)
    assert unit.run(60.0, -0.14) == pytest.approx(0.1 * P_MAX_KW - 0.1 * P_MAX_KW, abs=1e-3), "from where it was left"


def test_lfsm_of_en_50549_begins_at_200_mhz_with_five_percent() -> None:
    assert Unit("en50549", 50.0).run(10.0, 0.2) == pytest.approx(0.0, abs=1e-9)
    assert Unit("en50549", 50.0).run(20.0, 0.45) == pytest.approx(-0.1 * P_MAX_KW, abs=1e-3)
    assert Unit("en50549", 50.0).run(20.0, -0.45) == pytest.approx(0.1 * P_MAX_KW, abs=1e-3)


def test_the_answer_takes_its_response_time_and_starts_settled() -> None:
    unit = Unit()
    unit.run(1.0)
    assert unit.run(5.0, -0.336) == pytest.approx(0.9, abs=0.01)
    assert Unit().run(0.5, -0.336) == pytest.approx(1.0, abs=0.01), "the frequency was there before it"


def test_base_power_is_followed_while_the_frequency_is_off() -> None:
    unit = Unit()
    unit.run(20.0, -0.336)
    unit.base_kw = 3.0
    assert unit.run(1.0, -0.336) == pytest.approx(4.0, abs=0.01)


def test_what_is_saturated_does_not_wind_up() -> None:
    unit = Unit(response_s=10.0)
    unit.base_kw = 9.0
    unit.run(1.0)
    unit.run(60.0, -0.996)  # 3.2 kW asked for, 1 kW of room
    assert unit.power_kw == pytest.approx(P_MAX_KW)
    assert unit.run(10.0) == pytest.approx(9.1, abs=0.01), "10 % of what was there is left after the response time"


def test_without_a_frequency_the_answer_fades() -> None:
    unit = Unit()
    unit.run(20.0, -0.336)
    assert unit.run(15.0, math.nan) == pytest.approx(0.0, abs=0.01)


# --- trips (IEEE 1547-2018 table 18 and 11 to 13)


@pytest.mark.parametrize(
    ("deviation_hz", "voltage_pu", "category", "seconds"),
    [
        (2.01, 1.0, "III", 0.16), (1.21, 1.0, "III", 300.0), (1.19, 1.0, "III", math.inf),
        (-3.51, 1.0, "III", 0.16), (-1.51, 1.0, "III", 300.0), (-1.49, 1.0, "III", math.inf),
        (0.0, 1.21, "III", 0.16), (0.0, 1.11, "III", 13.0), (0.0, 1.11, "II", 2.0), (0.0, 1.10, "III", math.inf),
        (0.0, 0.87, "III", 21.0), (0.0, 0.49, "III", 2.0), (0.0, 0.69, "II", 10.0), (0.0, 0.44, "II", 0.16),
        (0.0, 0.69, "I", 2.0), (0.0, math.nan, "III", math.inf), (math.nan, 1.0, "III", math.inf),
    ],
)
def test_must_trip_after_its_time(deviation_hz: float, voltage_pu: float, category: str, seconds: float) -> None:
    assert in_service(deviation_hz, voltage_pu, category) == pytest.approx(seconds, abs=0.021)


def test_a_stage_that_is_left_counts_anew() -> None:
    service = Service(grid_code("ieee1547", "III", {}))
    for _ in range(30):
        for deviation_hz in (2.5, 2.5, 2.5, 0.0):
            service.update(deviation_hz, 1.0, 0.05)
    assert service.status is Status.IN_SERVICE


def test_a_trip_leads_to_zero_within_the_ramp_whatever_is_due() -> None:
    unit = Unit()
    unit.base_kw, unit.due_kw = -5.0, -5.0
    unit.run(1.0)
    assert unit.power_kw == pytest.approx(-5.0)
    unit.run(0.3, 2.5)
    assert unit.power_kw == 0.0
    assert unit.run(290.0, 0.0, dt_s=0.5) == 0.0


# --- enter service (table 4, 4.10.3)


def test_service_is_entered_after_its_delay_and_within_its_ramp() -> None:
    unit = Unit(enter_delay_s=100.0, enter_ramp_s=50.0)
    unit.base_kw, unit.due_kw = -8.0, -8.0  # what is due does not hurry it
    unit.run(1.0)
    unit.run(1.0, -3.6)
    assert unit.law.service.status is Status.TRIPPED
    assert unit.run(99.0, 0.0, dt_s=0.1) == 0.0
    unit.run(60.0, 0.2, dt_s=0.1)  # above 60.1 Hz: the delay begins anew
    assert unit.run(99.0, 0.0, dt_s=0.1) == 0.0
    assert unit.run(11.0, 0.0, dt_s=0.1) == pytest.approx(-2.0, abs=0.05), "10 s of a ramp of 50 s"
    assert unit.law.service.status is Status.ENTERING
    assert unit.run(45.0, 0.0, dt_s=0.1) == pytest.approx(-8.0)
    assert unit.law.service.status is Status.IN_SERVICE


def test_who_starts_out_of_service_enters_it_as_after_a_trip() -> None:
    unit = Unit(in_service=False, enter_delay_s=100.0, enter_ramp_s=50.0)
    unit.base_kw = 8.0
    assert unit.run(50.0, 0.2, dt_s=0.1) == 0.0, "outside the window"
    assert unit.control.connection == "not in service yet"
    assert unit.control.offer_cap_kw == 0.0
    assert unit.run(99.0, 0.0, dt_s=0.1) == 0.0
    assert unit.run(11.0, 0.0, dt_s=0.1) == pytest.approx(2.0, abs=0.05), "10 s of a ramp of 50 s"
    assert unit.run(45.0, 0.0, dt_s=0.1) == pytest.approx(8.0)
    assert unit.control.connection == ""


@pytest.mark.parametrize(
    ("deviation_hz", "voltage_pu", "enters"),
    [(-0.5, 1.0, True), (-0.51, 1.0, False), (0.1, 1.0, True), (0.11, 1.0, False), (0.0, 0.917, True),
     (0.0, 0.916, False), (0.0, 1.05, True), (0.0, 1.051, False), (0.0, math.nan, True), (math.nan, 1.0, False)],
)
def test_window_for_enter_service(deviation_hz: float, voltage_pu: float, enters: bool) -> None:
    service = Service(grid_code("ieee1547", "III", {}))
    service.update(2.5, 1.0, 0.2)
    for _ in range(301):
        service.update(deviation_hz, voltage_pu, 1.0)
    assert (service.status is Status.ENTERING) == enters


# --- ride-through (tables 14 to 16, 19; EN 50549-1 4.7.4, 4.4.2)


@pytest.mark.parametrize(
    ("code", "category", "deviation_hz", "voltage_pu", "operation", "least_s"),
    [
        ("ieee1547", "III", 0.0, 1.0, Operation.CONTINUOUS, math.inf),
        ("ieee1547", "III", 0.0, 0.8, Operation.MANDATORY, 20.0),
        ("ieee1547", "III", 0.0, 0.6, Operation.MANDATORY, 10.0),
        ("ieee1547", "III", 0.0, 0.4, Operation.CESSATION, 1.0),
        ("ieee1547", "III", 0.0, 1.15, Operation.CESSATION, 12.0),
        ("ieee1547", "II", 0.0, 0.75, Operation.MANDATORY, 3.87),
        ("ieee1547", "II", 0.0, 0.5, Operation.PERMISSIVE, 0.32),
        ("ieee1547", "II", 0.0, 0.4, Operation.PERMISSIVE, 0.16),
        ("ieee1547", "I", 0.0, 0.8, Operation.MANDATORY, 1.1),
        ("ieee1547", "I", 0.0, 1.12, Operation.PERMISSIVE, 1.0),
        ("ieee1547", "III", -2.5, 1.0, Operation.MANDATORY, 299.0),
        ("ieee1547", "III", 1.9, 1.0, Operation.NOT_ASKED, 0.0),
        ("ieee1547", "III", -2.5, math.nan, Operation.MANDATORY, 299.0),
        ("en50549", "III", -2.0, 1.0, Operation.MANDATORY, 1800.0),
        ("en50549", "III", 0.0, 0.05, Operation.MANDATORY, 0.25),
        ("en50549", "III", 0.0, 1.18, Operation.MANDATORY, 5.0),
    ],
)
def test_ride_through(
    code: str, category: str, deviation_hz: float, voltage_pu: float, operation: Operation, least_s: float
) -> None:
    found = ride(grid_code(code, category, {}), deviation_hz, voltage_pu)
    assert found.operation is operation
    assert found.least_s == pytest.approx(least_s)


def test_power_ceases_while_the_voltage_is_beyond_and_comes_back_without_a_delay() -> None:
    unit = Unit()
    unit.base_kw = 5.0
    unit.run(1.0, voltage_pu=1.0)
    assert unit.run(1.0, voltage_pu=0.49) == 0.0
    assert unit.law.service.status is Status.CEASED
    assert unit.run(0.5, voltage_pu=0.95) == pytest.approx(5.0)


def test_connection_and_ride_through_are_told_in_words() -> None:
    unit = Unit()
    unit.run(0.1, voltage_pu=1.0)
    assert unit.control.told() == {"connection to the grid": "in service", "ride-through": "continuous"}
    unit.run(0.1, voltage_pu=0.8)
    assert unit.control.told()["ride-through"] == "mandatory, at least 20.00 s"
    unit.run(0.1, voltage_pu=0.4)
    assert unit.control.told() == {
        "connection to the grid": "ceased by the voltage", "ride-through": "cessation, at least 1.00 s"}
    unit.run(0.2, 2.5)
    assert unit.control.told() == {"connection to the grid": "tripped", "ride-through": "not asked"}
    assert unit.control.connection == "tripped"


# --- replay


def test_it_goes_on_from_its_state_bit_by_bit() -> None:
    changes = {"enter_delay_s": 5.0, "enter_ramp_s": 20.0}
    story = [(3.0, 0.0, 1.0), (4.0, -0.4, 1.0), (1.0, 2.5, 1.0), (8.0, -0.2, 0.97), (2.0, 0.05, 0.4), (6.0, 0.3, 1.0)]
    for cut in range(1, len(story)):
        whole, second = Unit(**changes), Unit(**changes)
        whole.base_kw = second.base_kw = 4.0
        for part in story[:cut]:
            whole.run(*part)
        second.control.restore(whole.control.state())
        second.power_kw = whole.power_kw
        for part in story[cut:]:
            assert second.run(*part) == whole.run(*part)
            assert second.control.state() == whole.control.state()


def test_a_state_of_another_law_is_refused() -> None:
    with pytest.raises(InputError, match=r"has .* values, allowed are"):
        Unit().control.restore((1.0, 0.0, 0.0))
