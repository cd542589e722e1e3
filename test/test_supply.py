"""What a module answers: best responses, their slope and proximal steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import Box, FloatArray

SEEDED = settings(deadline=None, derandomize=True, max_examples=150)
BOXES = (Box(-3.0, 3.0), Box(-3.0, -1.0), Box(0.5, 2.0), Box(-0.2, 3.0), Box(0.0, 0.0), Box(1.0, 1.0), Box(-1e-6, 1e-6))


def cost_of(temperature_c: float = 30.0, delta: float = 1.5, gamma: float = 0.02, soc: float = 0.4) -> LocalCost:
    parameters = CostParameters(3.3, 0.97, 0.02, 0.01, 0.10, gamma, delta, 2.0, 2e-4, 2.0, 50.0)
    return LocalCost(parameters, soc, temperature_c)


@st.composite
def supplies(draw: st.DrawFn) -> BoxedCost:
    delta = draw(st.one_of(st.sampled_from([1.0, 1.5, 2.0]), st.floats(1.0, 3.0)))
    gamma = draw(st.one_of(st.just(0.0), st.floats(1e-6, 0.5)))
    low, high = sorted((draw(st.floats(-3.3, 3.3)), draw(st.floats(-3.3, 3.3))))
    box = draw(st.sampled_from([Box(low, high), *BOXES]))
    return BoxedCost(cost_of(draw(st.floats(0.0, 90.0)), delta, gamma, draw(st.floats(0.0, 1.0))), box)


prices = st.floats(-2.0, 2.0)
weights = st.one_of(st.just(0.0), st.floats(1e-6, 10.0))


@SEEDED
@given(supply=supplies(), asked=st.lists(prices, min_size=2, max_size=12))
def test_the_response_rises_with_the_price_and_stays_in_the_box(supply: BoxedCost, asked: list[float]) -> None:
    rising = np.array([-math.inf, *sorted(asked), math.inf])
    powers = supply.response(rising)
    assert powers[0] == supply.box.low_kw
    assert powers[-1] == supply.box.high_kw
    assert (np.diff(powers) >= 0.0).all()
    np.testing.assert_array_equal(powers, supply.cost.response(rising, supply.box))


@SEEDED
@given(supply=supplies(), first=prices, second=prices, weight=weights)
def test_a_proximal_step_rises_with_the_price_and_no_faster_than_the_weight_allows(
    supply: BoxedCost, first: float, second: float, weight: float
) -> None:
    low, high = sorted((first, second))
    at_low, at_high = supply.proximal(low, weight), supply.proximal(high, weight)
    assert supply.box.low_kw <= at_low <= supply.box.high_kw
    assert supply.box.low_kw <= at_high <= supply.box.high_kw
    assert at_low <= at_high + 1e-10
    assert weight * (at_high - at_low) <= high - low + weight * 1e-9 + 1e-12


@SEEDED
@given(supply=supplies(), price=prices, weight=weights)
def test_a_proximal_step_solves_its_minimisation(supply: BoxedCost, price: float, weight: float) -> None:
    """Marginal cost plus that of the square meets the price: to the left it is no larger, to the right no smaller."""
    power, box = supply.proximal(price, weight), supply.box
    step = 1e-9
    if power < box.high_kw:
        right = min(power + step, box.high_kw)
        assert supply.cost.marginal_range(right)[1] + weight * right >= price - 1e-12
    if power > box.low_kw:
        left = max(power - step, box.low_kw)
        assert supply.cost.marginal_range(left)[0] + weight * left <= price + 1e-12


@pytest.mark.parametrize("box", [box for box in BOXES if box.low_kw < box.high_kw])
@pytest.mark.parametrize("temperature_c", [30.0, 60.0])
@pytest.mark.parametrize("weight", [0.0, 0.01, 0.3])
def test_a_proximal_step_beats_a_scan_and_a_minimiser(box: Box, temperature_c: float, weight: float) -> None:
    """Independent of the marginal cost: compares values of the cost only."""
    cost = cost_of(temperature_c)
    supply = BoxedCost(cost, box)
    grid: FloatArray = np.linspace(box.low_kw, box.high_kw, 5001, dtype=np.float64)
    for price in (-0.3, -0.05, -0.002, 0.0, 0.01, 0.08, 0.7):

        def value(p: float, price: float = price) -> float:
            return float(cost.cost(np.array([p]))[0]) + weight * p * p / 2 - price * p

        found = minimize_scalar(value, bounds=(box.low_kw, box.high_kw), method="bounded", options={"xatol": 1e-10})
        at_step = value(supply.proximal(price, weight))
        assert at_step <= min(float(found.fun), *(value(float(p)) for p in grid[::50])) + 1e-15
        values = cost.cost(grid) + weight * grid * grid / 2 - price * grid
        assert at_step <= values.min() + 1e-15
        assert abs(float(grid[values.argmin()]) - supply.proximal(price, weight)) <= 2 * (grid[1] - grid[0])


@SEEDED
@given(supply=supplies(), price=prices, weight=weights)
def test_a_mirrored_box_mirrors_the_answers(supply: BoxedCost, price: float, weight: float) -> None:
    """The cost counts |p|, so charging answers a negative price as discharging a positive one."""
    mirrored = BoxedCost(supply.cost, Box(-supply.box.high_kw, -supply.box.low_kw))
    assert mirrored.proximal(-price, weight) == -supply.proximal(price, weight)
    assert mirrored.slope(-price) == supply.slope(price)


@SEEDED
@given(supply=supplies(), price=prices)
def test_without_weight_a_proximal_step_is_the_response(supply: BoxedCost, price: float) -> None:
    assert supply.proximal(price, 0.0) == supply.response(np.array([price]))[0]


@SEEDED
@given(supply=supplies(), price=prices, weights=st.lists(weights, min_size=2, max_size=4))
def test_steps_of_other_weights_leave_no_trace(supply: BoxedCost, price: float, weights: list[float]) -> None:
    before = supply.response(np.array([price]))[0]
    slope = supply.slope(price)
    fresh = [BoxedCost(cost_like(supply.cost), supply.box).proximal(price, weight) for weight in weights]
    assert [supply.proximal(price, weight) for weight in weights] == fresh
    assert [supply.proximal(price, weight) for weight in reversed(weights)] == fresh[::-1]
    assert supply.response(np.array([price]))[0] == before
    assert supply.slope(price) == slope


def cost_like(cost: LocalCost) -> LocalCost:
    return LocalCost(cost.parameters, cost.soc, cost.temperature_c)


def test_a_square_on_top_is_half_the_weight() -> None:
    cost, p = cost_of(), np.array([-2.0, 0.5, 3.0])
    np.testing.assert_allclose(cost.with_square(0.4).cost(p), cost.cost(p) + 0.2 * p * p, rtol=1e-14)
    np.testing.assert_allclose(cost.with_square(0.4).marginal(p), cost.marginal(p) + 0.4 * p, rtol=1e-14)
    assert cost.with_square(0.4) is cost.with_square(0.4)  # an algorithm asks for the same one every time
    assert cost.with_square(0.4).with_square(0.1) is not cost.with_square(0.1)


@SEEDED
@given(supply=supplies(), price=prices)
def test_the_slope_is_the_derivative_of_the_response(supply: BoxedCost, price: float) -> None:
    h = 1e-7
    left, here, right = supply.response(np.array([price - h, price, price + h])).tolist()
    slope = supply.slope(price)
    assert slope >= 0.0
    if here in (supply.box.low_kw, supply.box.high_kw, 0.0):
        assert slope == 0.0
        return
    assume(left > supply.box.low_kw and right < supply.box.high_kw and left * right > 0.0 and abs(here) > 1e-3)
    by_difference = ((right - here) / h, (here - left) / h)
    rounding = 2e-10 / h
    assert min(by_difference) * (1 - 1e-3) - rounding <= slope <= max(by_difference) * (1 + 1e-3) + rounding


@pytest.mark.parametrize("price", [0.0, 0.0029, -0.0029, 5.0, -5.0])
def test_the_slope_is_zero_where_the_module_does_not_move(price: float) -> None:
    assert BoxedCost(cost_of(), Box(-3.0, 3.0)).slope(price) == 0.0


def test_the_slope_of_a_known_module() -> None:
    """Square wear only: f'' is 2 gamma (1 + kappa (SOC - 1/2)^2) + 2 c beta / P + 6 c alpha p / P^2."""
    supply = BoxedCost(cost_of(delta=2.0), Box(-3.0, 3.0))
    price = 0.03
    power = float(supply.response(np.array([price]))[0])
    bend = 2 * 0.02 * 1.02 + 2 * 0.1 * 0.01 / 3.3 + 6 * 0.1 * 0.02 * power / 3.3**2
    assert supply.slope(price) == pytest.approx(1 / bend, rel=1e-9)
