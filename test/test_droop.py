"""Droop: sign, deadband, saturation, ramp, no windup, no bump."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.droop import BASE_RAMP_SHARE, Droop, module_gain_kw_per_hz
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.gate import gate
from v2g_nodes.core.limits import with_zero
from v2g_nodes.core.types import Box

SEEDED = settings(deadline=None, derandomize=True, max_examples=300)
WIDE = Box(-3.3, 3.3)
GAIN = 16.5  # kW/Hz, 3.3 kW / 0.2 Hz
DT = 0.005


def droop() -> Droop:
    return Droop(gain_kw_per_hz=GAIN, nominal_hz=50.0, deadband_hz=0.010, ramp_kw_per_s=1.0)


def settle(law: Droop, base: float, frequency: float | None, limits: Box, start: float, seconds: float = 20.0) -> float:
    power = start
    for _ in range(int(seconds / DT)):
        power = law.update(base, frequency, limits, power, DT)
    return power


# --- static answer ------------------------------------------------------------------------------------------------


def test_low_frequency_discharges_more_and_high_frequency_less() -> None:
    assert settle(droop(), 0.0, 49.9, WIDE, 0.0) == pytest.approx(GAIN * 0.09)
    assert settle(droop(), 0.0, 50.1, WIDE, 0.0) == pytest.approx(-GAIN * 0.09)
    assert settle(droop(), 1.0, 49.95, WIDE, 0.0) == pytest.approx(1.0 + GAIN * 0.04)
    assert settle(droop(), -1.0, 50.05, WIDE, 0.0) == pytest.approx(-1.0 - GAIN * 0.04)


def test_sixty_hertz() -> None:
    law = Droop(GAIN, 60.0, 0.01, 1.0)
    assert law.contribution_kw(59.9) == pytest.approx(GAIN * 0.09)
    assert law.contribution_kw(60.0) == 0.0


@pytest.mark.parametrize("deviation", [0.0, 0.005, -0.005, 0.0099, -0.0099])
def test_deadband_gives_no_answer(deviation: float) -> None:
    assert droop().contribution_kw(50.0 + deviation) == 0.0


@pytest.mark.parametrize("edge", [50.01, 49.99])
def test_answer_is_continuous_at_the_edge_of_the_deadband(edge: float) -> None:
    law = droop()
    assert abs(law.contribution_kw(edge + 1e-6) - law.contribution_kw(edge - 1e-6)) < 5e-5
    assert law.contribution_kw(edge - 0.02) > law.contribution_kw(edge + 0.02)


@pytest.mark.parametrize("frequency", [None, math.nan, math.inf, -math.inf])
def test_no_valid_frequency_gives_no_answer(frequency: float | None) -> None:
    assert droop().contribution_kw(frequency) == 0.0


def test_gain_is_shared_by_rating() -> None:
    assert module_gain_kw_per_hz(132.0, 3.0, 26.4) == pytest.approx(15.0)


# --- limits, ramp -------------------------------------------------------------------------------------------------


def test_saturates_at_the_limits() -> None:
    assert settle(droop(), 3.0, 49.8, WIDE, 0.0) == 3.3
    assert settle(droop(), 3.0, 49.8, Box(-1.0, 2.0), 0.0) == 2.0
    assert settle(droop(), 0.0, None, Box(-3.3, -2.0), 0.0) == -2.0


def test_limits_win_over_the_ramp() -> None:
    assert droop().update(0.0, None, Box(-3.3, -2.0), 0.0, DT) == -2.0
    law = droop()
    law.reset(3.0)
    assert law.update(3.0, None, Box(0.0, 0.0), 3.0, DT) == 0.0


def test_frequency_step_uses_the_whole_ramp_at_once() -> None:
    law = droop()
    assert law.update(0.0, 49.9, WIDE, 0.0, DT) == pytest.approx(0.005)
    assert settle(law, 0.0, 49.9, WIDE, 0.005, 1.0) == pytest.approx(1.005)


def test_base_leaves_part_of_the_ramp_to_frequency() -> None:
    """While the base is on its way, a frequency event shows in the output."""
    calm, event = droop(), droop()
    undisturbed = settle(calm, 3.0, 50.0, WIDE, 0.0, 1.0)
    answered = settle(event, 3.0, 49.985, WIDE, 0.0, 1.0)  # 82.5 W
    assert undisturbed == pytest.approx(BASE_RAMP_SHARE)
    assert answered - undisturbed == pytest.approx(GAIN * 0.005)


def test_stale_frequency_takes_the_contribution_to_zero_within_the_ramp() -> None:
    law = droop()
    power = settle(law, 1.0, 49.9, WIDE, 0.0)
    before = power
    for _ in range(100):
        power = law.update(1.0, None, WIDE, power, DT)
    assert power == pytest.approx(before - 100 * DT)
    assert settle(law, 1.0, None, WIDE, power) == pytest.approx(1.0)


def test_the_gate_has_nothing_to_clip() -> None:
    """Base jumps, frequency jumps and goes away: what droop asks for passes the gate of the same ramp unchanged."""
    law, applied, clips = droop(), 0.0, 0
    for tick in range(6000):
        base = (2.0, -3.0, 0.7)[tick // 400 % 3]
        frequency = (50.0, 49.93, None, 50.2, math.nan)[tick // 170 % 5]
        limits = Box(-3.3, 3.3 - 2.0 * abs((tick % 4000) * DT / 20.0 - 0.5))  # moves at 0.1 kW/s
        dt = (DT, 0.0, 3 * DT)[tick % 3]
        result = gate(law.update(base, frequency, limits, applied, dt), applied, limits, 1.0, dt)
        clips += result.clipped or result.forced_step
        applied = result.setpoint_kw
    assert clips == 0


@SEEDED
@given(
    base=st.floats(allow_nan=True, allow_infinity=True),
    frequency=st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(49.0, 51.0)),
    ends=st.tuples(st.floats(-3.3, 3.3), st.floats(-3.3, 3.3)),
    applied=st.one_of(st.floats(-3.3, 3.3), st.just(math.nan)),
    dt=st.one_of(st.floats(-1.0, 1.0), st.just(math.nan)),
)
def test_any_input_gives_a_power_inside_limits_and_ramp(
    base: float, frequency: float | None, ends: tuple[float, float], applied: float, dt: float
) -> None:
    limits = Box(min(ends), max(ends))
    law = droop()
    law.reset(0.5)
    power = law.update(base, frequency, limits, applied, dt)
    assert limits.low_kw <= power <= limits.high_kw
    start = 0.5 if math.isnan(applied) else applied
    if limits.low_kw <= start <= limits.high_kw:
        assert abs(power - start) <= (max(dt, 0.0) if dt == dt else 0.0) + 1e-12
    again = law.update(0.0, None, limits, power, DT)  # nothing of it is left behind
    assert math.isfinite(again)


# --- no windup, no bump -------------------------------------------------------------------------------------------


def test_leaves_saturation_at_once() -> None:
    """Base far beyond a limit for long; when it comes back the output moves in the same tick."""
    law = droop()
    limits = Box(-3.3, 2.0)
    power = settle(law, 3.3, 49.9, limits, 0.0)
    assert power == 2.0
    assert law.update(0.0, 50.0, limits, power, DT) < 2.0 - 0.8 * DT
    law = droop()
    power = settle(law, -3.3, 50.1, Box(-2.0, 3.3), 0.0)
    assert law.update(0.0, 50.0, Box(-2.0, 3.3), power, DT) > -2.0 + 0.8 * DT


def test_saturated_sum_is_that_of_the_whole_base() -> None:
    """Base 3, contribution -0.3, limit 2: the sum 2.7 still saturates."""
    law = droop()
    power = settle(law, 3.0, 50.0, Box(-3.3, 2.0), 0.0)
    assert settle(law, 3.0, 50.01 + 0.3 / GAIN, Box(-3.3, 2.0), power, 1.0) == 2.0


def test_starts_from_what_was_really_applied() -> None:
    """The gate held the module at zero: no jump when it lets go."""
    law = droop()
    for _ in range(2000):
        law.update(3.0, 49.9, WIDE, 0.0, DT)
    assert law.update(3.0, 49.9, WIDE, 0.0, DT) == pytest.approx(DT)


def test_reset_continues_without_a_bump() -> None:
    law = droop()
    law.reset(-1.7)
    assert law.update(-1.7, 50.0, WIDE, -1.7, DT) == -1.7
    assert law.update(-1.7, 50.0, WIDE, math.nan, DT) == -1.7
    law.reset(math.nan)
    assert law.update(0.0, 50.0, WIDE, math.nan, DT) == 0.0


def test_base_that_is_no_number_counts_as_zero() -> None:
    assert settle(droop(), math.nan, 50.0, WIDE, 1.0) == 0.0


# --- ramp to zero -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [2.0, -2.0])
def test_ramp_to_zero_takes_the_whole_ramp(start: float) -> None:
    law, power = droop(), start
    powers = []
    for _ in range(500):
        power = law.ramp_to_zero(WIDE, power, DT)
        powers.append(power)
    assert abs(powers[0]) == pytest.approx(2.0 - DT)
    assert abs(powers[199]) == pytest.approx(1.0)
    assert powers[-1] == 0.0
    assert law.update(0.0, None, WIDE, math.nan, DT) == 0.0


def test_ramp_to_zero_keeps_charging_what_is_due_unless_told_otherwise() -> None:
    law = droop()
    limits = Box(-3.3, -2.5)
    assert law.ramp_to_zero(limits, -2.5, 1.0) == -2.5
    assert law.ramp_to_zero(with_zero(limits), -2.5, 1.0) == -1.5
    assert law.ramp_to_zero(with_zero(limits), math.nan, 1.0) == -0.5
    assert law.ramp_to_zero(with_zero(limits), math.nan, -1.0) == -0.5


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 50.0, 0.01, 1.0), "gain_kw_per_hz is -1.0 kW/Hz, allowed at least 0"),
        ((1.0, 0.0, 0.01, 1.0), "nominal_hz is 0.0 Hz, allowed 45 to 65 Hz"),
        ((1.0, 50.0, -0.01, 1.0), "deadband_hz is -0.01 Hz, allowed 0 to 1 Hz"),
        ((1.0, 50.0, 0.01, 0.0), "ramp_kw_per_s is 0.0 kW/s, allowed above 0"),
    ],
)
def test_parameters_out_of_range_are_named(arguments: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Droop(*arguments)
