"""Jumps, unsafe set-points and sums as a witness measures them."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.nodes.witness_measures import Counter, JumpMeter, LimitJudge, SumMeter

RATING_KW, RAMP = 3.0, 1.0


def jumps(*seen: tuple[float, float], offset_s: float = 0.0) -> float:
    """Largest of (stamp [s], set-point [kW]) received as they are stamped."""
    meter = JumpMeter()
    return max(meter.add(stamp + offset_s, stamp, kw) for stamp, kw in seen)


@pytest.mark.parametrize(("seen", "largest_kw"), [
    (((0.0, 1.0), (0.05, 1.05), (0.1, 1.1)), 0.1),  # a ramp
    (((0.0, 1.0), (0.01, 1.3)), 0.3),  # a step counts whole
    (((0.0, 1.0), (0.2, 1.3)), 0.15),  # 0.3 kW in 0.2 s
    (((0.0, 1.0), (0.05, 1.1), (0.1, 1.2)), 0.2),  # twice 0.1 kW within 0.1 s
    (((0.0, 1.0), (5.0, 2.0)), 0.02),  # a restarted process goes on elsewhere
])  # fmt: skip
def test_changes_are_scaled_to_a_tenth_of_a_second(seen: tuple[tuple[float, float], ...], largest_kw: float) -> None:
    assert jumps(*seen) == pytest.approx(largest_kw)
    assert jumps(*seen, offset_s=1e9) == pytest.approx(largest_kw, abs=1e-5)


def test_a_stepped_clock_is_another_clock() -> None:
    meter = JumpMeter()
    meter.add(100.0, 0.0, 1.0)
    assert meter.add(3700.05, 0.05, 1.3) == 0.0, "nobody knows how long that took"
    assert meter.add(3700.10, 0.10, 1.4) == pytest.approx(0.1)


@pytest.mark.parametrize(("setpoint_kw", "low_kw", "high_kw", "why"), [
    (1.0, -3.0, 3.0, ""),
    (math.nan, -3.0, 3.0, "finite"),
    (1.0, math.nan, 3.0, "finite"),
    (3.01, -4.0, 4.0, "rating"),
    (-1.0, -0.5, 3.0, "allowed -0.500 to 3.000"),
    (3.0005, -3.0, 3.0, ""),
])  # fmt: skip
def test_a_set_point_is_judged_by_rating_and_limits(
    setpoint_kw: float, low_kw: float, high_kw: float, why: str
) -> None:
    problem = LimitJudge(RATING_KW, RAMP).problem(0.0, setpoint_kw, low_kw, high_kw)
    assert (why in problem) if why else problem == ""


@pytest.mark.parametrize(("setpoints_kw", "unsafe"), [
    ((1.0, 0.95, 0.90, 0.85), 0),  # along the ramp
    ((1.0, 1.0, 0.95, 0.90), 0),  # closed a moment ago
    ((1.0, 0.95, 0.95, 0.95), 2),  # it stays
    ((1.0, 1.05, 1.0, 0.95), 1),  # it went the other way first
    ((0.0, 0.0, 0.05, 0.0), 1),
])  # fmt: skip
def test_a_limit_that_has_closed_is_reached_along_the_ramp(setpoints_kw: tuple[float, ...], unsafe: int) -> None:
    judge = LimitJudge(RATING_KW, RAMP)
    assert judge.problem(0.0, setpoints_kw[0], -3.0, 3.0) == ""
    found = [judge.problem(0.05 * k, kw, 0.0, 0.0) for k, kw in enumerate(setpoints_kw[1:], 1)]
    assert sum(map(bool, found)) == unsafe


def sums(*steps: tuple[float, float, float], target_kw: float = 2.0, droop_kw: float = 0.0) -> SumMeter:
    """Two modules; each step: time [s], base of module 1 and of module 2 [kW]."""
    meter = SumMeter()
    for now_s, first_kw, second_kw in steps:
        meter.target(now_s, target_kw)
        meter.droop(now_s, droop_kw)
        meter.module(now_s, 1, first_kw, first_kw)
        meter.module(now_s, 2, second_kw, second_kw)
    return meter


def test_the_sum_is_measured_against_the_target_in_its_direction() -> None:
    for sign in (1.0, -1.0):
        meter = sums(*((0.1 * k, sign * 1.5, sign * 1.5) for k in range(4)), target_kw=sign * 2.0)
        base_kw, setpoints_kw, words = meter.take()
        assert (base_kw, setpoints_kw) == pytest.approx((1.0, 1.0))
        assert words.startswith("base powers are 1.000 kW beyond the targets")
        assert meter.take() == (0.0, 0.0, ""), "since the last time"
        for kw in (0.5, -0.5):  # less, and the other direction
            assert sums(*((0.1 * k, kw, kw) for k in range(4)), target_kw=sign * 2.0).take() == (0.0, 0.0, "")


def test_between_targets_of_both_signs_and_at_zero_both_sides_count() -> None:
    meter = SumMeter()
    for target_kw, kw, excess_kw in ((2.0, 3.0, 1.0), (-2.0, 3.0, 1.0), (-2.0, -3.0, 1.0), (-2.0, -1.0, 0.0)):
        for k in range(4):
            meter.target(0.1 * k, target_kw)
            meter.module(0.1 * k, 1, kw, kw)
        assert meter.take()[0] == pytest.approx(excess_kw)
    none = SumMeter()
    for k in range(4):
        none.module(0.1 * k, 1, -0.5, -0.5)
    assert none.take()[0] == 0.5, "without a target nothing is owed"


def test_messages_of_two_instants_are_no_excess() -> None:
    assert sums((0.0, 1.5, 0.5), (0.05, 1.5, 1.5), (0.1, 0.5, 1.5), (0.3, 0.5, 1.5)).take()[0] == 0.0


def test_droops_share_belongs_to_the_set_points_only() -> None:
    meter = sums(*((0.1 * k, 1.5, 1.5) for k in range(4)), droop_kw=0.8)
    assert meter.take()[:2] == pytest.approx((1.0, 0.2))


def test_a_larger_target_counts_for_a_while() -> None:
    meter = SumMeter()
    meter.target(0.0, 3.0)
    for k in range(50):
        meter.target(0.1 * k, 2.0)
        meter.module(0.1 * k, 1, 3.0, 3.0)
        assert meter.take()[0] == (0.0 if k <= 27 else pytest.approx(1.0)), k


def test_who_is_silent_has_nothing_in_force() -> None:
    meter = SumMeter()
    meter.target(0.0, 2.0)
    meter.module(0.0, 1, 2.0, 2.0)
    for k in range(11, 15):
        meter.module(0.1 * k, 2, 2.0, 2.0)
    assert meter.take()[0] == 0.0


def test_counts_go_on_over_restarts() -> None:
    counter = Counter()
    assert [counter.take(1, n) for n in (2, 2, 3, 0, 1)] == [2, 0, 1, 0, 1]
    assert counter.take(2, 5) == 5
    assert counter.total == 9
