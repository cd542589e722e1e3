"""Local cost, marginal cost and best response."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from v2g_nodes.core.cost import CostParameters, LocalCost, conversion_loss_kw
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import Box

SEEDED = settings(deadline=None, derandomize=True, max_examples=400)
EPS = 2.0**-52

PARAMETERS = CostParameters(
    p_max_kw=3.3,
    eta_max=0.97,
    alpha=0.02,
    beta=0.01,
    loss_price_eur_per_kwh=0.10,
    wear_gamma=0.02,
    wear_delta=1.5,
    soc_kappa=2.0,
    thermal_psi=2e-4,
    thermal_theta_k_per_kw2=2.0,
    thermal_threshold_c=50.0,
)
WIDE = Box(-3.3, 3.3)


def cost_of(soc: float = 0.3, temperature_c: float = 40.0, **changes: float) -> LocalCost:
    return LocalCost(replace(PARAMETERS, **changes), soc, temperature_c)


# --- cost and its derivatives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_cost_is_the_sum_worked_out_by_hand(sign: float) -> None:
    """P = 3.3 kW, |p| = 3 kW, SOC 0.3, 40 deg C."""
    loss_kw = 0.03 * 3.0 + 0.01 * 9.0 / 3.3 + 0.02 * 27.0 / 10.89
    wear = 0.02 * 5.196152422706632 * 1.08  # 3^1.5, 1 + 2 * 0.2^2
    heat = 2e-4 * (40.0 + 18.0 - 50.0) ** 2
    assert cost_of().cost(np.array([sign * 3.0]))[0] == pytest.approx(0.10 * loss_kw + wear + heat, rel=1e-14)
    assert conversion_loss_kw(PARAMETERS, sign * 3.0) == pytest.approx(loss_kw, rel=1e-14)


def test_losses_cost_in_both_directions() -> None:
    """A loss counted with signed power would make charging a gain."""
    p = np.linspace(0.1, 3.3, 33)
    cost = cost_of()
    np.testing.assert_array_equal(cost.cost(p), cost.cost(-p))
    assert (cost.cost(-p) > 0.0).all()
    np.testing.assert_array_equal(cost.marginal(-p), -cost.marginal(p))


@pytest.mark.parametrize("temperature_c", [20.0, 40.0, 60.0])
@pytest.mark.parametrize("delta", [1.0, 1.1, 1.5, 2.0, 2.7])
def test_marginal_is_the_derivative_of_cost_and_curvature_that_of_marginal(temperature_c: float, delta: float) -> None:
    cost = cost_of(temperature_c=temperature_c, wear_delta=delta)
    p = np.concatenate((-np.linspace(0.2, 3.2, 40), np.linspace(0.2, 3.2, 40))) + 0.0123  # off the onset of heat
    h = 1e-5
    np.testing.assert_allclose((cost.cost(p + h) - cost.cost(p - h)) / (2 * h), cost.marginal(p), rtol=1e-7)
    np.testing.assert_allclose((cost.marginal(p + h) - cost.marginal(p - h)) / (2 * h), cost.curvature(p), rtol=1e-6)


def test_kink_at_zero() -> None:
    cost = cost_of()
    left, right = cost.marginal_range(0.0)
    assert (left, right) == pytest.approx((-0.003, 0.003))
    assert right == pytest.approx((cost.cost(np.array([1e-12]))[0] - cost.cost(np.array([0.0]))[0]) / 1e-12, rel=1e-2)
    assert cost.marginal(np.array([0.0]))[0] == 0.0
    assert cost.marginal_range(-2.0)[0] == cost.marginal_range(-2.0)[1] == cost.marginal(np.array([-2.0]))[0]
    assert np.isinf(cost.curvature(np.array([0.0]))[0])
    assert cost_of(wear_delta=2.0).curvature(np.array([0.0]))[0] == pytest.approx(2 * 0.1 * 0.01 / 3.3 + 2 * 0.0216)


def test_linear_wear_belongs_to_the_kink() -> None:
    assert cost_of(wear_delta=1.0).marginal_range(0.0)[1] == pytest.approx(0.003 + 0.02 * 1.08)


# --- best response ------------------------------------------------------------------------------------------------


@st.composite
def problems(draw: st.DrawFn) -> tuple[LocalCost, Box, list[float]]:
    """Any allowed cost, any box, any prices."""

    def positive(high: float) -> st.SearchStrategy[float]:
        return st.one_of(st.just(0.0), st.floats(1e-9, high))

    parameters = PARAMETERS
    if draw(st.booleans()):
        alpha, beta, gamma = draw(positive(0.2)), draw(positive(0.2)), draw(positive(1.0))
        delta = draw(st.one_of(st.just(1.0), st.just(1.5), st.floats(1.0, 1.01), st.floats(1.0, 3.0)))
        assume(alpha + beta > 0.0 or gamma * (delta - 1.0) > 0.0)
        parameters = CostParameters(
            p_max_kw=draw(st.floats(0.5, 20.0)),
            eta_max=draw(st.floats(0.5, 1.0)),
            alpha=alpha,
            beta=beta,
            loss_price_eur_per_kwh=draw(st.floats(0.01, 1.0)),
            wear_gamma=gamma,
            wear_delta=delta,
            soc_kappa=draw(positive(4.0)),
            thermal_psi=draw(positive(1e-2)),
            thermal_theta_k_per_kw2=draw(positive(5.0)),
            thermal_threshold_c=draw(st.floats(20.0, 80.0)),
        )
    p_max = parameters.p_max_kw
    ends = sorted((draw(st.floats(-p_max, p_max)), draw(st.floats(-p_max, p_max))))
    shape = draw(st.sampled_from(("as drawn", "point", "tiny", "full", "from zero", "to zero")))
    low, high = {
        "as drawn": (ends[0], ends[1]),
        "point": (ends[0], ends[0]),
        "tiny": (ends[0], ends[0] + 1e-13),
        "full": (-p_max, p_max),
        "from zero": (0.0, abs(ends[0])),
        "to zero": (-abs(ends[0]), 0.0),
    }[shape]
    cost = LocalCost(parameters, draw(st.floats(0.0, 1.0)), draw(st.floats(0.0, 90.0)))
    reach = 1.5 * max(abs(cost.marginal_range(low)[0]), abs(cost.marginal_range(high)[1]), 1e-6)
    special = st.sampled_from((0.0, math.inf, -math.inf, *cost.marginal_range(0.0), *cost.marginal_range(low)))
    prices = draw(st.lists(st.one_of(st.floats(-reach, reach), special), min_size=1, max_size=20))
    return cost, Box(low, high), prices


@SEEDED
@given(problem=problems())
def test_response_is_the_clipped_inverse_of_the_marginal(problem: tuple[LocalCost, Box, list[float]]) -> None:
    cost, box, prices = problem
    powers = cost.response(np.array(prices), box)
    assert ((powers >= box.low_kw) & (powers <= box.high_kw)).all()
    order = np.argsort(prices, kind="stable")
    assert (np.diff(powers[order]) >= 0.0).all()
    for price, power in zip(prices, powers.tolist(), strict=True):
        if not math.isfinite(price):
            assert power == (box.high_kw if price > 0 else box.low_kw)
            continue
        # no better power 1e-10 kW away, as far as the rounding of the price can tell
        rounding = 16 * EPS * (abs(price) + cost.marginal_range(0.0)[1])
        if power < box.high_kw:
            assert cost.marginal_range(min(power + 1e-10, box.high_kw))[1] >= price - rounding
        if power > box.low_kw:
            assert cost.marginal_range(max(power - 1e-10, box.low_kw))[0] <= price + rounding


@pytest.mark.parametrize("box", [WIDE, Box(-3.3, -1.0), Box(0.5, 2.0), Box(-0.2, 3.0)])
@pytest.mark.parametrize("temperature_c", [30.0, 48.0, 60.0])
def test_response_beats_every_power_of_a_fine_grid(box: Box, temperature_c: float) -> None:
    """Independent of the marginal cost: compares values of the cost only."""
    cost = cost_of(temperature_c=temperature_c)
    prices = np.linspace(-0.15, 0.15, 20)
    powers = cost.response(prices, box)
    grid = np.linspace(box.low_kw, box.high_kw, 40_001)
    for price, power in zip(prices, powers, strict=True):
        values = cost.cost(grid) - price * grid
        at_response = cost.cost(np.array([power]))[0] - price * power
        assert at_response <= values.min() + 1e-15
        assert abs(grid[values.argmin()] - power) < 2e-4


def test_response_round_trip_is_exact() -> None:
    cost = cost_of(temperature_c=48.0)
    powers = np.array([-3.2, -1.7, -0.4, -1e-3, 1e-6, 0.3, 0.9999, 2.5, 3.29])
    np.testing.assert_allclose(cost.response(cost.marginal(powers), WIDE), powers, rtol=0, atol=1e-10)


def test_dead_zone_and_order_of_prices() -> None:
    cost = cost_of()
    kink = cost.marginal_range(0.0)[1]
    powers = cost.response(np.array([0.05, -kink, 0.0, kink, -0.05, math.nextafter(kink, 1.0)]), WIDE)
    assert powers[1] == powers[2] == powers[3] == 0.0
    assert powers[0] == -powers[4] > 0.5
    assert 0.0 <= powers[5] < 1e-10
    assert not np.signbit(powers[1])


def test_zero_outside_the_box_gives_the_nearest_end() -> None:
    cost = cost_of()
    assert cost.response(np.array([0.0]), Box(1.0, 2.0))[0] == 1.0
    assert cost.response(np.array([0.0]), Box(-2.0, -1.0))[0] == -1.0
    inside = -cost.response(np.array([0.05]), WIDE)[0]
    assert cost.response(np.array([0.05, -0.05]), Box(-2.0, -1.0)).tolist() == [-1.0, pytest.approx(inside, abs=1e-10)]


class CountingMath:
    """The math module, counting logarithms: the response takes one per step and two per bracket."""

    def __init__(self) -> None:
        self.logs = 0

    def __getattr__(self, name: str) -> object:
        return getattr(math, name)

    def log(self, x: float) -> float:
        self.logs += 1
        return math.log(x)


@pytest.mark.parametrize("temperature_c", [25.0, 45.0, 70.0])
def test_response_needs_a_handful_of_steps(monkeypatch: pytest.MonkeyPatch, temperature_c: float) -> None:
    """Bisection alone would be as right and ten times as slow."""
    counter = CountingMath()
    cost = cost_of(temperature_c=temperature_c)
    prices = np.linspace(0.004, 0.05, 20)
    monkeypatch.setattr("v2g_nodes.core.cost.math", counter)
    cost.response(prices, WIDE)
    assert 20 * 4 < counter.logs <= 20 * (3 + 8)


def test_empty_prices_give_no_powers() -> None:
    assert cost_of().response(np.array([]), WIDE).shape == (0,)


def test_slope_is_the_derivative_of_the_response() -> None:
    cost = cost_of(temperature_c=47.0)
    prices = np.array([-0.3, -0.05, -0.004, 0.0, 0.002, 0.0035, 0.02, 0.07, 0.3])
    slope = cost.response_slope(prices, WIDE)
    h = 1e-7
    by_difference = (cost.response(prices + h, WIDE) - cost.response(prices - h, WIDE)) / (2 * h)
    np.testing.assert_allclose(slope, by_difference, rtol=1e-4, atol=1e-9)
    assert slope[[0, 3, 4, 8]].tolist() == [0.0] * 4
    assert (slope[[1, 2, 5, 6, 7]] > 0.0).all()


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("p_max_kw", 0.0, "p_max_kw is 0.0 kW, allowed above 0 kW"),
        ("eta_max", 1.01, "eta_max is 1.01, allowed 0 to 1"),
        ("eta_max", 0.0, "eta_max is 0.0, allowed above 0"),
        ("alpha", -0.1, "alpha is -0.1, allowed at least 0"),
        ("beta", math.nan, "beta is nan, allowed at least 0"),
        ("loss_price_eur_per_kwh", -1.0, "loss_price_eur_per_kwh is -1.0 EUR/kWh"),
        ("wear_gamma", -0.02, "wear_gamma is -0.02"),
        ("wear_delta", 0.9, "wear_delta is 0.9, allowed 1 to 3"),
        ("wear_delta", 3.5, "wear_delta is 3.5, allowed 1 to 3"),
        ("soc_kappa", -1.0, "soc_kappa is -1.0"),
        ("thermal_psi", math.inf, "thermal_psi is inf"),
        ("thermal_theta_k_per_kw2", -2.0, "thermal_theta_k_per_kw2 is -2.0"),
        ("thermal_threshold_c", -300.0, "thermal_threshold_c is -300.0 deg C"),
    ],
)
def test_parameter_out_of_range_is_named(name: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        replace(PARAMETERS, **{name: value})


def test_cost_without_curvature_is_refused() -> None:
    with pytest.raises(InputError, match="no curvature"):
        replace(PARAMETERS, alpha=0.0, beta=0.0, wear_delta=1.0)
    with pytest.raises(InputError, match="no curvature"):
        replace(PARAMETERS, loss_price_eur_per_kwh=0.0, wear_gamma=0.0)


@pytest.mark.parametrize(("soc", "temperature_c"), [(1.01, 30.0), (math.nan, 30.0), (0.5, math.nan), (0.5, -400.0)])
def test_state_out_of_range_is_refused(soc: float, temperature_c: float) -> None:
    with pytest.raises(InputError, match=r"soc is|temperature_c is"):
        LocalCost(PARAMETERS, soc, temperature_c)


@pytest.mark.parametrize("box", [Box(1.0, 0.0), Box(math.nan, 1.0), Box(0.0, math.inf)])
def test_bad_box_is_refused(box: Box) -> None:
    with pytest.raises(InputError, match="allowed is low <= high, both finite"):
        cost_of().response(np.array([0.0]), box)


def test_price_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        cost_of().response(np.array([0.1, math.nan]), WIDE)


def test_order_of_fields_is_the_order_on_the_wire() -> None:
    assert [field.name for field in fields(CostParameters)] == [
        "p_max_kw",
        "eta_max",
        "alpha",
        "beta",
        "loss_price_eur_per_kwh",
        "wear_gamma",
        "wear_delta",
        "soc_kappa",
        "thermal_psi",
        "thermal_theta_k_per_kw2",
        "thermal_threshold_c",
    ]
