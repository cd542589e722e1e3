from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2g_nodes.core.release import SetpointRelease

HOLD, RISE = 750, 3700
powers = st.floats(-3.3, 3.3)


def release() -> SetpointRelease:
    return SetpointRelease(HOLD, RISE)


def agreed(power_kw: float, target_kw: float = 8.0) -> SetpointRelease:
    made = release()
    made.agree(power_kw, target_kw, 0.0, 0)
    return made


def test_nothing_is_in_force_before_an_agreement_and_after_forgetting() -> None:
    made = release()
    assert made.power_kw(0) is None
    made.group_changed(True, 5)
    assert made.power_kw(5) is None
    made = agreed(1.0)
    made.forget()
    assert made.power_kw(0) is None


def test_in_a_group_that_stays_an_agreement_is_in_force_at_once() -> None:
    made = agreed(1.5)
    assert made.power_kw(0) == 1.5
    made.agree(-2.0, -8.0, 0.0, 10)
    assert made.power_kw(10) == -2.0


@pytest.mark.parametrize(
    ("before_kw", "after_kw", "target_kw", "at_once_kw"),
    [
        (1.0, 2.0, 8.0, 1.0),  # more: later
        (2.0, 1.0, 8.0, 1.0),  # less: now
        (2.0, -1.0, 8.0, -1.0),
        (-1.0, 0.5, 8.0, -1.0),  # a module that has to charge; the others make up for it
        (-1.0, -2.0, -8.0, -1.0),
        (-2.0, -1.0, -8.0, -1.0),
    ],
)
def test_less_in_the_direction_of_the_target_at_once_and_more_later(
    before_kw: float, after_kw: float, target_kw: float, at_once_kw: float
) -> None:
    made = agreed(before_kw, target_kw)
    made.group_changed(True, 1000)
    made.agree(after_kw, target_kw, 99.0, 1010)
    assert made.power_kw(1010) == at_once_kw
    assert made.power_kw(1000 + HOLD) == at_once_kw
    assert made.power_kw(1000 + HOLD + RISE // 2) == pytest.approx((at_once_kw + after_kw) / 2)
    assert made.power_kw(1000 + HOLD + RISE) == after_kw


def test_after_a_target_of_the_other_sign_zero_is_reached_at_once() -> None:
    made = agreed(1.0, 8.0)
    made.group_changed(True, 1000)
    made.agree(-2.0, -8.0, 0.0, 1010)
    assert made.power_kw(1010) == 0.0
    assert made.power_kw(1000 + HOLD + RISE) == -2.0


@pytest.mark.parametrize(("agreed_kw", "at_once_kw"), [(1.0, 0.0), (0.0, 0.0), (-0.5, -0.5), (-3.0, -3.0)])
def test_a_new_life_drops_what_is_left_of_an_earlier_target(agreed_kw: float, at_once_kw: float) -> None:
    made = release()
    made.group_changed(True, 1000)
    made.agree(agreed_kw, 8.0, -2.2, 1010)
    assert made.power_kw(1010) == at_once_kw


def test_who_owes_nothing_goes_to_zero_before_it_has_agreed() -> None:
    made = agreed(1.0)
    made.group_changed(False, 1000)
    assert made.power_kw(1000) == 0.0
    assert made.power_kw(1_000_000) == 0.0


def test_a_further_change_begins_the_pause_again() -> None:
    made = agreed(1.0)
    made.group_changed(True, 1000)
    made.agree(2.0, 8.0, 0.0, 1010)
    halfway = 1000 + HOLD + RISE // 2
    made.group_changed(True, halfway)
    assert made.power_kw(halfway) == pytest.approx(1.5)
    made.agree(2.0, 8.0, 0.0, halfway + 10)
    assert made.power_kw(halfway + HOLD) == pytest.approx(1.5)
    assert made.power_kw(halfway + HOLD + RISE) == 2.0


def test_a_new_life_goes_on_from_what_droop_follows() -> None:
    made = release()
    made.group_changed(True, 1000)
    made.agree(1.5, 8.0, 1.2, 1010)
    assert made.power_kw(1010) == 1.2


@given(powers, powers, powers, st.integers(0, 6000), st.integers(0, 6000), st.sampled_from([8.0, -8.0]))
def test_within_the_rise_no_step_leads_further_towards_the_target(
    first: float, second: float, third: float, pause: int, later: int, target_kw: float
) -> None:
    made = agreed(first, target_kw)
    made.group_changed(True, 0)
    made.agree(second, target_kw, 0.0, pause)
    before = made.power_kw(pause + later)
    made.agree(third, target_kw, 0.0, pause + later)
    after = made.power_kw(pause + later)
    assert before is not None
    assert after is not None
    sign = 1.0 if target_kw > 0.0 else -1.0
    if pause + later < HOLD + RISE:
        assert sign * after <= sign * before + 1e-9
    else:
        assert after == third


def test_a_rise_is_never_faster_than_the_falls_it_makes_up_for() -> None:
    falls_kw = [0.2, 1.0, 3.33]  # ramped down at 0.9 kW/s
    made = agreed(1.0)
    made.group_changed(True, 0)
    made.agree(1.0 + sum(falls_kw), 8.0, 0.0, 0)
    for t in range(0, HOLD + RISE + 10, 10):
        given_up = sum(min(0.9 * t / 1000, kw) for kw in falls_kw)
        risen = made.power_kw(t)
        assert risen is not None
        assert risen - 1.0 <= given_up + 1e-9
