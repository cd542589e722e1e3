"""The last gate: finite, then hard limits, then ramp; hard limits win."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.gate import FORCED_STEP, HARD_LIMIT, NOT_FINITE, RAMP, GateResult, gate
from v2g_nodes.core.types import Box

SEEDED = settings(deadline=None, derandomize=True, max_examples=500)
HARD = Box(-3.0, 2.0)
ANY = st.floats(allow_nan=True, allow_infinity=True)
POWER = st.floats(-5.0, 5.0)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    low, high = sorted((draw(POWER), draw(POWER)))
    return Box(low, high)


@pytest.mark.parametrize(
    ("requested", "previous", "expected"),
    [
        (1.0, 1.0, GateResult(1.0, False, False, "")),
        (1.5, 1.0, GateResult(1.5, False, False, "")),
        (9.0, 1.8, GateResult(2.0, True, False, HARD_LIMIT)),
        (-9.0, -2.9, GateResult(-3.0, True, False, HARD_LIMIT)),
        (1.9, 1.0, GateResult(1.5, True, False, RAMP)),
        (-1.0, 1.0, GateResult(0.5, True, False, RAMP)),
        (math.nan, 1.0, GateResult(0.5, True, False, RAMP)),
        (math.inf, -0.2, GateResult(0.0, True, False, NOT_FINITE)),
        (-math.inf, 0.3, GateResult(0.0, True, False, NOT_FINITE)),
        (2.5, 2.6, GateResult(2.0, True, True, FORCED_STEP)),  # limit fell: 2.6 -> 2.0 though the ramp allows 0.5
        (2.0, 3.0, GateResult(2.0, False, True, FORCED_STEP)),  # asked for, and still a step beyond the ramp
        (-5.0, 5.0, GateResult(2.0, True, True, FORCED_STEP)),  # no further than the limit asks
    ],
)
def test_cases(requested: float, previous: float, expected: GateResult) -> None:
    """Ramp 1 kW/s over 0.5 s, hard limits -3 to 2 kW."""
    result = gate(requested, previous, HARD, 1.0, 0.5)
    assert result.setpoint_kw == pytest.approx(expected.setpoint_kw, abs=1e-12)
    assert (result.clipped, result.forced_step, result.reason) == (
        expected.clipped,
        expected.forced_step,
        expected.reason,
    )


def test_unplugged_goes_to_zero_at_once() -> None:
    assert gate(3.0, 3.0, Box(0.0, 0.0), 1.0, 0.005) == GateResult(0.0, True, True, FORCED_STEP)


def test_must_charge_below_zero_is_held() -> None:
    assert gate(0.0, -3.0, Box(-3.3, -2.8), 1.0, 0.5).setpoint_kw == -2.8
    assert gate(math.nan, -3.0, Box(-3.3, -2.8), 1.0, 0.5).setpoint_kw == -2.8


@pytest.mark.parametrize("hard", [Box(math.nan, 1.0), Box(-1.0, math.nan), Box(1.0, -1.0), Box(math.inf, math.inf)])
def test_hard_limits_that_make_no_sense_allow_zero_only(hard: Box) -> None:
    assert gate(1.0, 1.0, hard, 1.0, 0.5).setpoint_kw == 0.0


@pytest.mark.parametrize(("ramp", "dt"), [(-1.0, 0.5), (1.0, -0.5), (-1.0, -0.5), (math.nan, 1.0), (math.inf, 0.0)])
def test_bad_ramp_or_time_allows_no_change(ramp: float, dt: float) -> None:
    assert gate(2.0, 1.0, HARD, ramp, dt).setpoint_kw == 1.0


def test_previous_that_is_no_number_counts_as_zero() -> None:
    assert gate(2.0, math.nan, HARD, 1.0, 0.5).setpoint_kw == 0.5


def test_rounding_is_no_clip() -> None:
    result = gate(2.0 + 1e-12, 2.0, HARD, 1.0, 0.005)
    assert result.setpoint_kw == 2.0
    assert not result.clipped
    assert result.reason == ""


@SEEDED
@given(requested=ANY, previous=ANY, low=ANY, high=ANY, ramp=ANY, dt=ANY)
def test_never_raises_and_is_always_finite_and_inside(
    requested: float, previous: float, low: float, high: float, ramp: float, dt: float
) -> None:
    result = gate(requested, previous, Box(low, high), ramp, dt)
    assert math.isfinite(result.setpoint_kw)
    if low <= high and low < math.inf and high > -math.inf:
        assert low <= result.setpoint_kw <= high


@SEEDED
@given(requested=ANY, previous=POWER, hard=boxes(), ramp=st.floats(0.0, 10.0), dt=st.floats(0.0, 1.0))
def test_order_finite_hard_ramp(requested: float, previous: float, hard: Box, ramp: float, dt: float) -> None:
    result = gate(requested, previous, hard, ramp, dt)
    reach = ramp * dt
    assert hard.low_kw <= result.setpoint_kw <= hard.high_kw
    step = abs(result.setpoint_kw - previous)
    assert result.forced_step == (step > reach + 1e-9)
    if hard.low_kw <= previous <= hard.high_kw:
        assert not result.forced_step
    if result.forced_step:  # no further than the nearest limit
        assert result.setpoint_kw in (hard.low_kw, hard.high_kw)
    wanted = requested if math.isfinite(requested) else 0.0
    if hard.low_kw <= wanted <= hard.high_kw and abs(wanted - previous) <= reach:
        assert result.setpoint_kw == wanted
    # nothing better is allowed: it is as near to the bounded request as ramp and limits let it
    bounded = min(max(wanted, hard.low_kw), hard.high_kw)
    nearer = result.setpoint_kw + math.copysign(1e-6, bounded - result.setpoint_kw)
    if abs(result.setpoint_kw - bounded) > 1e-6 and not result.forced_step:
        assert abs(nearer - previous) > reach - 1e-9
    assert result.clipped == (not abs(result.setpoint_kw - requested) <= 1e-9)
    assert (result.reason == "") == (not result.clipped and not result.forced_step)


@SEEDED
@given(requested=ANY, previous=POWER, hard=boxes(), reach=st.floats(0.0, 2.0))
def test_a_second_pass_changes_nothing(requested: float, previous: float, hard: Box, reach: float) -> None:
    once = gate(requested, previous, hard, 1.0, reach)
    again = gate(once.setpoint_kw, previous, hard, 1.0, reach)
    assert again.setpoint_kw == once.setpoint_kw
    assert not again.clipped
