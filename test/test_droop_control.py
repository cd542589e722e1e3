from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.droop import Droop
from v2g_nodes.core.droop_control import DroopControl, DroopInputs
from v2g_nodes.core.droop_settings import DroopSettings, build_control
from v2g_nodes.core.types import Box

GAIN_KW_PER_HZ = 10.0
RAMP_KW_PER_S = 1.0
HOLD_S = 5.0
TICK_S = 0.005
WIDE = Box(-3.3, 3.3)
REACH_KW = RAMP_KW_PER_S * TICK_S
LOW_HZ = 49.91  # 80 mHz beyond the deadband: 0.8 kW


class Loop:
    """The controller and a gate that lets everything through, on a clock of its own."""

    def __init__(self, power_kw: float = 0.0, now_s: float = 1000.0) -> None:
        self.control = DroopControl(Droop(GAIN_KW_PER_HZ, 50.0, 0.01, RAMP_KW_PER_S), RAMP_KW_PER_S, HOLD_S)
        self.power_kw = power_kw
        self.now_s = now_s
        self.energised = True
        self.limits = WIDE
        self.due_kw = math.inf
        self.seen: list[DroopInputs] = []

    def tick(self, dt_s: float = TICK_S) -> float:
        self.now_s += dt_s
        inputs = self.control.inputs(
            self.now_s, dt_s, self.energised, self.limits, self.due_kw, self.power_kw
        )
        self.seen.append(inputs)
        before_kw, self.power_kw = self.power_kw, self.control.decide(inputs)
        assert abs(self.power_kw - before_kw) <= RAMP_KW_PER_S * dt_s + 1e-12, "a tick beyond the ramp"
        return self.power_kw

    def run(self, seconds: float, frequency_hz: float | None = None, dt_s: float = TICK_S) -> float:
        """Ticks; with a frequency it arrives every second."""
        for k in range(round(seconds / dt_s)):
            if frequency_hz is not None and k % round(1.0 / dt_s) == 0:
                self.control.set_frequency(frequency_hz, self.now_s)
            self.tick(dt_s)
        return self.power_kw


def test_base_power_and_frequency_add_up_within_the_ramp() -> None:
    loop = Loop()
    loop.control.set_base(1.0, loop.now_s + 100.0)
    assert loop.run(3.0, 50.0) == pytest.approx(1.0)
    assert loop.run(3.0, LOW_HZ) == pytest.approx(1.8), "low frequency discharges"
    assert loop.run(3.0, 50.09) == pytest.approx(0.2)


def test_base_power_ends_with_its_validity_and_droop_stays() -> None:
    loop = Loop()
    loop.control.set_base(1.0, loop.now_s + 10.0)
    assert loop.run(9.9, LOW_HZ) == pytest.approx(1.8)
    assert loop.run(3.0, LOW_HZ) == pytest.approx(0.8)


def test_a_lost_signal_is_held_and_then_all_power_goes() -> None:
    loop = Loop()
    loop.control.set_base(1.0, loop.now_s + 100.0)
    loop.run(3.0, LOW_HZ)
    lost_s = loop.now_s - 1.0  # last arrival
    while loop.now_s - lost_s <= HOLD_S - TICK_S:
        assert loop.tick() == pytest.approx(1.8), "held"
    assert loop.run(0.9) == pytest.approx(0.9, abs=0.02), "on its way down at the ramp"
    assert loop.run(2.0) == 0.0, "base power counts for nothing without a signal"
    assert loop.seen[-1].frequency_hz is None
    assert loop.control.signal_age_s(loop.now_s) > HOLD_S


def test_before_the_first_signal_nothing_flows() -> None:
    loop = Loop()
    assert loop.control.signal_age_s(loop.now_s) == math.inf
    loop.control.set_base(1.0, loop.now_s + 100.0)
    assert loop.run(1.0) == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_dropped(value: float) -> None:
    loop = Loop()
    loop.control.set_base(1.0, loop.now_s + 100.0)
    loop.control.set_frequency(LOW_HZ, loop.now_s)
    loop.control.set_base(value, loop.now_s + 100.0)
    loop.control.set_base(2.0, value)
    loop.control.set_frequency(value, loop.now_s)
    loop.tick()
    assert (loop.seen[-1].base_kw, loop.seen[-1].frequency_hz) == (1.0, LOW_HZ)


def test_not_energised_power_goes_whatever_is_asked_for() -> None:
    loop = Loop()
    loop.control.set_base(2.0, loop.now_s + 1000.0)
    loop.run(4.0, LOW_HZ)
    loop.energised = False
    assert loop.run(1.0, LOW_HZ) == pytest.approx(1.8)
    assert loop.run(3.0, LOW_HZ) == 0.0


@pytest.mark.parametrize("off_s", [TICK_S, 0.5, 10.0])
def test_toggling_is_without_a_bump(off_s: float) -> None:
    """Power must go back to where it was on a straight way, without overshoot on the way."""
    loop = Loop()
    loop.control.set_base(1.0, loop.now_s + 1000.0)
    settled_kw = loop.run(4.0, LOW_HZ)
    loop.energised = False
    loop.run(off_s, LOW_HZ)
    loop.energised = True
    path = []
    for _ in range(800):
        loop.control.set_frequency(LOW_HZ, loop.now_s)
        path.append(loop.tick())
    assert path == sorted(path), "no way back"
    assert max(path) <= settled_kw + 1e-9
    assert path[-1] == pytest.approx(settled_kw)


def test_power_that_flows_at_the_start_is_taken_over_without_a_bump() -> None:
    loop = Loop(power_kw=1.5)
    loop.control.set_base(1.5 - 0.8, loop.now_s + 1000.0)
    loop.control.set_frequency(LOW_HZ, loop.now_s)
    for _ in range(100):
        assert loop.tick() == pytest.approx(1.5)


def test_what_is_due_pulls_power_down_within_the_ramp_never_in_a_step() -> None:
    loop = Loop()
    loop.control.set_base(2.0, loop.now_s + 1000.0)
    loop.run(4.0, LOW_HZ)
    loop.due_kw = -1.5
    path = [loop.power_kw, *(loop.tick() for _ in range(900))]
    assert path[-1] == pytest.approx(-1.5)
    steps = [a - b for a, b in zip(path, path[1:], strict=False)]
    assert max(steps) <= REACH_KW + 1e-12
    down = [step for step, power in zip(steps, path, strict=False) if power > -1.4]
    assert min(down) == pytest.approx(REACH_KW), "and no slower than the ramp"


def test_what_is_due_bounds_the_answer_to_frequency_too() -> None:
    loop = Loop(power_kw=-1.5)
    loop.due_kw = -1.5
    loop.control.set_base(-2.0, loop.now_s + 1000.0)
    assert loop.run(5.0, 49.7) == pytest.approx(-1.5), "low frequency asks to discharge, the vehicle has to leave full"
    assert loop.run(5.0, 50.03) == pytest.approx(-2.2), "high frequency may charge more"


def test_limits_win_over_what_is_due() -> None:
    loop = Loop(power_kw=-1.0)
    loop.due_kw, loop.limits = -3.0, Box(-1.0, 1.0)
    assert loop.run(3.0, 50.0) == -1.0


values = st.floats(-1e6, 1e6)
powers = st.floats(-5.0, 5.0)


@settings(deadline=None)
@given(
    base=values, frequency=st.none() | st.floats(40.0, 70.0), energised=st.booleans(), ends=st.tuples(powers, powers),
    due=powers | st.just(math.inf), applied=powers, dt=st.floats(0.0, 0.1),
)  # fmt: skip
def test_the_request_is_inside_the_limits_and_inside_the_ramp_where_they_let_it(
    base: float, frequency: float | None, energised: bool, ends: tuple[float, float], due: float, applied: float,
    dt: float,
) -> None:
    control = Loop().control
    limits = Box(min(ends), max(ends))
    power = control.decide(DroopInputs(base, frequency, energised, limits, due, applied, dt))
    low, high = (limits.low_kw, limits.high_kw) if energised else (min(limits.low_kw, 0.0), max(limits.high_kw, 0.0))
    assert low - 1e-9 <= power <= high + 1e-9
    inside = min(max(applied, low), high)
    assert abs(power - inside) <= RAMP_KW_PER_S * dt + abs(applied - inside) + 1e-9


@given(ticks=st.integers(0, 400), seed=st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_a_controller_goes_on_from_a_state_bit_by_bit(ticks: int, seed: int) -> None:
    """What a record relies on: state and inputs are all there is."""
    loop = Loop()
    loop.control.set_base(2.9, loop.now_s + 100.0)
    loop.energised = seed % 3 > 0
    for k in range(ticks):
        loop.control.set_frequency(50.0 + 0.1 * math.sin(seed + k / 7), loop.now_s)
        loop.tick()
    other = build_control(DroopSettings(GAIN_KW_PER_HZ, 50.0, 0.01, RAMP_KW_PER_S, HOLD_S))
    other.restore(loop.control.state())
    done = len(loop.seen)
    loop.energised = True
    asked = [loop.tick() for _ in range(50)]
    assert [other.decide(inputs) for inputs in loop.seen[done:]] == asked
