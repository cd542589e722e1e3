"""Whether a module follows its set-points, judged from what it reports."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from v2g_nodes.core.following import LAG_S, PATIENCE_S, Sample, SetpointWatch

STEP_S = 0.05
RATING_KW = 3.3

Power = Callable[[float], float]


def watch(setpoint: Power, reported: Power, seconds: float = 5.0, taken: bool = True) -> SetpointWatch:
    """A watch that has seen a module for so long."""
    watch = SetpointWatch(RATING_KW)
    for k in range(round(seconds / STEP_S)):
        now_s = k * STEP_S
        watch.see(Sample(now_s, setpoint(now_s), reported(now_s), reported(now_s), taken))
    return watch


def ramp(now_s: float) -> float:
    return min(now_s, 2.0)


def test_hardware_that_follows_within_its_lag_is_well() -> None:
    assert watch(ramp, lambda t: ramp(t - 0.2)).problem == ""
    assert watch(lambda t: math.sin(3.0 * t), lambda t: math.sin(3.0 * (t - 0.2)) + 0.03).problem == ""


@pytest.mark.parametrize(
    ("reported", "text"),
    [
        (lambda t: 0.0, "hardware steers to 0.000 kW, the set-point is 2.000 kW"),
        (lambda t: 0.9 * ramp(t), "hardware steers to 1.800 kW, the set-point is 2.000 kW"),
        (lambda t: 1.1 * ramp(t), "hardware steers to 2.200 kW, the set-point is 2.000 kW"),
        (lambda t: -ramp(t), "hardware steers to -2.000 kW"),
        (lambda t: math.nan, "hardware steers to nan kW"),
    ],
)
def test_hardware_that_does_something_else_is_found(reported: Power, text: str) -> None:
    assert watch(ramp, reported).problem.startswith(text)


def test_power_that_does_not_follow_what_the_hardware_steers_to_is_found() -> None:
    seen = SetpointWatch(RATING_KW)
    for k in range(40):
        seen.see(Sample(k * STEP_S, 1.0, 1.0, 0.5, taken=True))
    assert seen.problem == "measured 0.500 kW, the set-point is 1.000 kW"


def test_hardware_that_gets_nothing_is_found() -> None:
    assert watch(lambda t: 0.0, lambda t: 0.0, taken=False).problem.startswith("hardware gets no set-point")


def test_one_message_that_comes_late_is_no_problem() -> None:
    seen = watch(lambda t: 1.0, lambda t: 1.0)
    begun_s = 5.0
    lateness_s = 0.0
    while lateness_s < PATIENCE_S - STEP_S:
        seen.see(Sample(begun_s + lateness_s, 1.0, 0.0, 0.0, taken=True))
        lateness_s += STEP_S
    assert seen.problem == ""
    for k in range(5):
        seen.see(Sample(begun_s + lateness_s + k * STEP_S, 1.0, 0.0, 0.0, taken=True))
    assert seen.problem != ""
    seen.see(Sample(begun_s + lateness_s + 5 * STEP_S, 1.0, 1.0, 1.0, taken=True))
    assert seen.problem == "", "it follows again"


def test_after_a_pause_nothing_is_known_of_the_time_before() -> None:
    seen = watch(lambda t: 0.0, lambda t: 0.0)
    seen.see(Sample(60.0, 2.0, 0.0, 0.0, taken=True))
    assert seen.problem == ""


def test_a_jump_is_judged_by_all_set_points_of_the_lag() -> None:
    def step(now_s: float) -> float:
        return 0.0 if now_s < 2.0 else 3.0

    assert watch(step, lambda t: step(t - LAG_S + STEP_S), 2.0 + LAG_S).problem == ""
