"""The centralised reference against scipy, cvxpy and what must hold of any optimum."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_gap, dispatch_optimum, equal_split
from v2g_nodes.core.errors import InfeasibleError, InputError
from v2g_nodes.core.types import Box

SEEDED = settings(deadline=None, derandomize=True, max_examples=150)
Problem = tuple[list[LocalCost], list[Box]]


def station(
    modules: int,
    seed: int,
    wear_gamma: float | None = None,
    temperature_c: tuple[float, float] = (25.0, 40.0),
    full_boxes: bool = True,
    **changes: float,
) -> Problem:
    """Modules spread as those of the default station: wear log-uniform over 0.003 to 0.06 EUR/h/kW^1.5."""
    rng = np.random.default_rng(seed)
    costs, boxes = [], []
    for _ in range(modules):
        drawn = {
            "p_max_kw": float(rng.uniform(3.0, 3.3)),
            "eta_max": float(rng.uniform(0.95, 0.97)),
            "alpha": 0.02,
            "beta": 0.01,
            "loss_price_eur_per_kwh": 0.10,
            "wear_gamma": float(np.exp(rng.uniform(np.log(0.003), np.log(0.06)))),
            "wear_delta": 1.5,
            "soc_kappa": 2.0,
            "thermal_psi": 2e-4,
            "thermal_theta_k_per_kw2": 2.0,
            "thermal_threshold_c": 50.0,
        }
        if wear_gamma is not None:
            drawn["wear_gamma"] = wear_gamma
        parameters = CostParameters(**{**drawn, **changes})
        costs.append(LocalCost(parameters, float(rng.uniform(0.2, 0.8)), float(rng.uniform(*temperature_c))))
        ends = np.sort(rng.uniform(-parameters.p_max_kw, parameters.p_max_kw, 2))
        p_max = parameters.p_max_kw
        boxes.append(Box(-p_max, p_max) if full_boxes else Box(float(ends[0]), float(ends[1])))
    return costs, boxes


def total_cost(costs: list[LocalCost], powers: np.ndarray) -> float:
    return float(sum(cost.cost(np.array([p]))[0] for cost, p in zip(costs, powers, strict=True)))


def targets(boxes: list[Box], shares: tuple[float, ...]) -> list[float]:
    low, high = sum(box.low_kw for box in boxes), sum(box.high_kw for box in boxes)
    return [low + share * (high - low) for share in shares]


HETEROGENEOUS = [
    station(8, 1),
    station(8, 2, full_boxes=False),
    station(8, 3, temperature_c=(35.0, 65.0)),
    station(12, 4, full_boxes=False, temperature_c=(30.0, 60.0)),
]


# --- against other solvers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", HETEROGENEOUS)
@pytest.mark.parametrize("share", [0.03, 0.3, 0.52, 0.7, 0.95])
def test_agrees_with_cvxpy_and_clarabel(problem: Problem, share: float) -> None:
    """A conic interior point: the cost written down a third time, as cones."""
    costs, boxes = problem
    target = targets(boxes, (share,))[0]
    q = [c.parameters for c in costs]
    array = lambda name: np.array([getattr(each, name) for each in q])  # noqa: E731
    p = cp.Variable(len(costs))
    a = cp.abs(p)
    price, rating = array("loss_price_eur_per_kwh"), array("p_max_kw")
    wear = array("wear_gamma") * (1.0 + array("soc_kappa") * (np.array([c.soc for c in costs]) - 0.5) ** 2)
    warmth = np.array([c.temperature_c for c in costs]) - array("thermal_threshold_c")
    heat = cp.pos(warmth + cp.multiply(array("thermal_theta_k_per_kw2"), cp.square(p)))
    objective = (
        (price * (1.0 - array("eta_max"))) @ a
        + (price * array("beta") / rating) @ cp.square(p)
        + (price * array("alpha") / rating**2) @ cp.power(a, 3)
        + wear @ cp.power(a, 1.5)
        + array("thermal_psi") @ cp.square(heat)
    )
    low, high = np.array([b.low_kw for b in boxes]), np.array([b.high_kw for b in boxes])
    solver = cp.Problem(cp.Minimize(objective), [cp.sum(p) == target, p >= low, p <= high])
    solver.solve(solver=cp.CLARABEL)
    ours = dispatch_optimum(costs, boxes, target)
    assert solver.status == cp.OPTIMAL
    assert ours.cost_eur_per_h == pytest.approx(solver.value, rel=1e-7, abs=1e-8)
    np.testing.assert_allclose(ours.powers_kw, p.value, atol=2e-3)


@pytest.mark.parametrize("problem", HETEROGENEOUS)
@pytest.mark.parametrize("share", [0.1, 0.45, 0.8])
def test_agrees_with_the_dual_by_scipy(problem: Problem, share: float) -> None:
    """Maximise the dual over the price, each module's answer by scipy on values of its cost only."""
    costs, boxes = problem
    target = targets(boxes, (share,))[0]

    def best(cost: LocalCost, box: Box, price: float) -> float:
        def value(p: float) -> float:
            return float(cost.cost(np.array([p]))[0]) - price * p

        inner = minimize_scalar(value, bounds=(box.low_kw, box.high_kw), method="bounded", options={"xatol": 1e-9})
        return min(
            float(inner.fun), value(box.low_kw), value(box.high_kw), value(min(max(0.0, box.low_kw), box.high_kw))
        )

    def dual(price: float) -> float:
        return -(price * target + sum(best(c, b, price) for c, b in zip(costs, boxes, strict=True)))

    found = minimize_scalar(dual, bounds=(-0.5, 0.5), method="bounded", options={"xatol": 1e-8})
    ours = dispatch_optimum(costs, boxes, target)
    assert ours.cost_eur_per_h == pytest.approx(-found.fun, rel=1e-7)
    assert dual(ours.lambda_) <= found.fun + 1e-9


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_slsqp_finds_nothing_cheaper(share: float) -> None:
    costs, boxes = station(6, 5, full_boxes=False)
    target = targets(boxes, (share,))[0]
    start = np.array(equal_split(boxes, target))
    found = minimize(
        lambda p: total_cost(costs, p),
        start,
        jac=lambda p: np.array([c.marginal(np.array([x]))[0] for c, x in zip(costs, p, strict=True)]),
        bounds=[(b.low_kw, b.high_kw) for b in boxes],
        constraints={"type": "eq", "fun": lambda p: p.sum() - target, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    ours = dispatch_optimum(costs, boxes, target)
    assert abs(found.x.sum() - target) < 1e-9
    assert ours.cost_eur_per_h <= total_cost(costs, found.x) + 1e-12
    assert ours.cost_eur_per_h == pytest.approx(total_cost(costs, found.x), rel=1e-5)


# --- what must hold of an optimum ---------------------------------------------------------------------------------


@SEEDED
@given(
    modules=st.integers(1, 20),
    seed=st.integers(0, 10_000),
    share=st.one_of(st.floats(0.0, 1.0), st.sampled_from((0.0, 0.5, 1.0))),
    full_boxes=st.booleans(),
    changes=st.sampled_from(
        (
            {},
            {"wear_gamma": 0.0},
            {"wear_delta": 1.01},
            {"wear_delta": 1.0},
            {"wear_delta": 2.5},
            {"thermal_psi": 0.0},
            {"alpha": 0.0, "beta": 0.0},
            {"wear_gamma": 0.0, "beta": 0.0},
            {"loss_price_eur_per_kwh": 0.0},
        )
    ),
)
def test_optimum_is_certified(
    modules: int, seed: int, share: float, full_boxes: bool, changes: dict[str, float]
) -> None:
    costs, boxes = station(modules, seed, full_boxes=full_boxes, temperature_c=(25.0, 60.0), **changes)
    target = targets(boxes, (share,))[0]
    solution = dispatch_optimum(costs, boxes, target)
    powers = np.array(solution.powers_kw)
    assert abs(powers.sum() - target) < 1e-9
    for box, power in zip(boxes, solution.powers_kw, strict=True):
        assert box.low_kw <= power <= box.high_kw
    assert solution.cost_eur_per_h == pytest.approx(total_cost(costs, powers), rel=1e-12, abs=1e-15)
    # weak duality: no allocation costs less than the bound, and ours reaches it
    assert solution.bound_eur_per_h <= solution.cost_eur_per_h <= solution.bound_eur_per_h * (1 + 1e-9) + 1e-10
    split = np.array(equal_split(boxes, target))
    assert total_cost(costs, split) >= solution.bound_eur_per_h - 1e-12
    assert 0.0 <= dispatch_gap(costs, boxes, solution.powers_kw) < 1e-8
    assert dispatch_gap(costs, boxes, split) >= 0.0


@pytest.mark.parametrize("problem", HETEROGENEOUS)
@pytest.mark.parametrize("share", [0.1, 0.35, 0.6, 0.9])
def test_modules_inside_their_boxes_share_one_price(problem: Problem, share: float) -> None:
    costs, boxes = problem
    solution = dispatch_optimum(costs, boxes, targets(boxes, (share,))[0])
    inside = 0
    for cost, box, power in zip(costs, boxes, solution.powers_kw, strict=True):
        left, right = cost.marginal_range(power)
        if power > box.low_kw + 1e-9:
            assert left <= solution.lambda_ + 1e-8
        if power < box.high_kw - 1e-9:
            assert right >= solution.lambda_ - 1e-8
        inside += box.low_kw < power < box.high_kw
    assert inside >= 1


def test_bound_holds_even_when_the_price_is_rough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak duality: a badly chosen price gives a dearer allocation and a lower bound, the optimum between them."""
    costs, boxes = HETEROGENEOUS[0]
    for target in (-15.0, 4.0, 12.0, 20.0):
        exact = dispatch_optimum(costs, boxes, target).cost_eur_per_h
        with monkeypatch.context() as patch:
            patch.setattr("v2g_nodes.core.dispatch.reference._BALANCE_KW", 3.0)
            rough = dispatch_optimum(costs, boxes, target)
        assert rough.cost_eur_per_h > exact * (1.0 + 1e-7)
        assert rough.bound_eur_per_h < exact * (1.0 - 1e-7)
        assert rough.bound_eur_per_h > 0.5 * exact


def test_agrees_with_the_response_of_the_modules() -> None:
    costs, boxes = HETEROGENEOUS[2]
    solution = dispatch_optimum(costs, boxes, 9.0)
    answered = [c.response(np.array([solution.lambda_]), b)[0] for c, b in zip(costs, boxes, strict=True)]
    np.testing.assert_allclose(solution.powers_kw, answered, atol=1e-7)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_target_at_the_end_of_the_boxes(end: float) -> None:
    costs, boxes = HETEROGENEOUS[1]
    solution = dispatch_optimum(costs, boxes, targets(boxes, (end,))[0])
    expected = [box.high_kw if end else box.low_kw for box in boxes]
    np.testing.assert_allclose(solution.powers_kw, expected, atol=1e-12)


def test_boxes_without_room() -> None:
    costs, _ = station(3, 1)
    boxes = [Box(1.0, 1.0), Box(0.0, 0.0), Box(-2.0, -2.0)]
    assert dispatch_optimum(costs, boxes, -1.0).powers_kw == (1.0, 0.0, -2.0)


def test_zero_target_costs_nothing() -> None:
    costs, boxes = station(8, 1, temperature_c=(25.0, 40.0))
    solution = dispatch_optimum(costs, boxes, 0.0)
    np.testing.assert_allclose(solution.powers_kw, 0.0, atol=1e-12)
    assert abs(solution.lambda_) <= costs[0].marginal_range(0.0)[1]


# --- gap ----------------------------------------------------------------------------------------------------------


def test_equal_split_is_far_from_the_optimum_when_wear_differs() -> None:
    """Ten modules, 20 kW, wear over 0.003 to 0.06: of 20 draws mean 0.47, smallest 0.18; alike 0.0034 at most."""
    spread, alike = [], []
    for seed in range(20):
        costs, boxes = station(10, seed)
        spread.append(dispatch_gap(costs, boxes, equal_split(boxes, 20.0)))
        costs, boxes = station(10, seed, wear_gamma=0.02)
        alike.append(dispatch_gap(costs, boxes, equal_split(boxes, 20.0)))
    assert min(spread) > 0.1
    assert 0.3 < np.mean(spread) < 0.6
    assert 0.0 < max(alike) < 0.01


def test_gap_is_relative_to_the_optimum_of_the_same_sum() -> None:
    costs, boxes = station(4, 7)
    best = dispatch_optimum(costs, boxes, 6.0)
    powers = np.add(best.powers_kw, [0.2, -0.2, 0.1, -0.1])
    expected = total_cost(costs, powers) / best.cost_eur_per_h - 1.0
    assert dispatch_gap(costs, boxes, powers.tolist()) == pytest.approx(expected, rel=1e-6)


def test_gap_near_zero_power_is_relative_to_two_percent_of_full_power() -> None:
    costs, boxes = station(4, 7)
    full = sum(total_cost([c], np.array([c.parameters.p_max_kw])) for c in costs)
    powers = [0.1, -0.1, 0.0, 0.0]
    assert dispatch_gap(costs, boxes, powers) == pytest.approx(
        total_cost(costs, np.array(powers)) / (0.02 * full), rel=1e-9
    )


def test_rounding_of_messages_counts_as_inside_and_more_does_not() -> None:
    costs, boxes = station(4, 7)
    high = [float(np.float32(box.high_kw)) for box in boxes]
    assert 0.0 <= dispatch_gap(costs, boxes, high) < 1e-6
    with pytest.raises(InputError, match=r"power 2 is .* kW, allowed -3\.\d* to 3\.\d* kW"):
        dispatch_gap(costs, boxes, [0.0, 0.0, boxes[2].high_kw + 1e-5, 0.0])
    with pytest.raises(InputError, match="power 1 is nan kW"):
        dispatch_gap(costs, boxes, [0.0, float("nan"), 0.0, 0.0])
    with pytest.raises(InputError, match="3 powers, allowed 4"):
        dispatch_gap(costs, boxes, [0.0, 0.0, 0.0])


# --- equal split --------------------------------------------------------------------------------------------------


def test_equal_split_spreads_what_a_box_does_not_take() -> None:
    boxes = [Box(-3.0, 3.0), Box(-3.0, 1.0), Box(-3.0, 3.0)]
    assert equal_split(boxes, 2.4) == pytest.approx((0.8, 0.8, 0.8))
    assert equal_split(boxes, 5.0) == pytest.approx((2.0, 1.0, 2.0))
    assert equal_split(boxes, -9.0) == pytest.approx((-3.0, -3.0, -3.0))
    assert equal_split([Box(2.0, 3.0), Box(-1.0, 3.0)], 2.0) == pytest.approx((2.0, 0.0))
    assert equal_split([Box(0.0, 0.0), Box(0.0, 0.0)], 0.0) == (0.0, 0.0)


@SEEDED
@given(
    ends=st.lists(st.tuples(st.floats(-3.3, 3.3), st.floats(-3.3, 3.3)), min_size=1, max_size=20),
    share=st.floats(0.0, 1.0),
)
def test_equal_split_meets_the_target_inside_the_boxes(ends: list[tuple[float, float]], share: float) -> None:
    boxes = [Box(min(pair), max(pair)) for pair in ends]
    target = targets(boxes, (share,))[0]
    powers = equal_split(boxes, target)
    assert sum(powers) == pytest.approx(target, abs=1e-9)
    for box, power in zip(boxes, powers, strict=True):
        assert box.low_kw <= power <= box.high_kw


# --- what is refused ----------------------------------------------------------------------------------------------


def test_target_outside_the_boxes_is_infeasible() -> None:
    costs, boxes = station(2, 1)
    with pytest.raises(InfeasibleError, match=r"target is 9.0 kW, allowed -6\.\d* to 6\.\d* kW"):
        dispatch_optimum(costs, boxes, 9.0)
    with pytest.raises(InfeasibleError, match=r"target is -9.0 kW"):
        equal_split(boxes, -9.0)
    with pytest.raises(InfeasibleError, match="target is nan kW"):
        dispatch_optimum(costs, boxes, float("nan"))


def test_numbers_of_costs_and_boxes_must_agree() -> None:
    costs, boxes = station(2, 1)
    with pytest.raises(InputError, match="2 costs and 1 boxes"):
        dispatch_optimum(costs, boxes[:1], 0.0)
    with pytest.raises(InputError, match="0 costs and 0 boxes"):
        dispatch_optimum([], [], 0.0)
    with pytest.raises(InputError, match=r"box 1 is \[1.0, -1.0\] kW"):
        dispatch_optimum(costs, [boxes[0], Box(1.0, -1.0)], 0.0)
    with pytest.raises(InputError, match="0 boxes"):
        equal_split([], 0.0)
