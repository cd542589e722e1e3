"""The game of the modules: potential, equilibrium and price of anarchy against enumeration and definitions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.curves import curves_of
from v2g_nodes.core.game.equilibrium import best_response, safe_part
from v2g_nodes.core.game.payoffs import Game, congested
from v2g_nodes.core.game.pieces import convex_pieces
from v2g_nodes.core.game.potential import (
    cross_derivatives,
    has_one_equilibrium,
    has_potential,
    potential,
    potential_maximum,
)
from v2g_nodes.core.game.sweep import STEPS, free_sale_kw, losses, sweep, vanishes
from v2g_nodes.core.game.welfare import pairwise_welfare, price_of_anarchy, social_optimum
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import Box, FloatArray

SEEDED = settings(deadline=None, derandomize=True, max_examples=15)
PRICE = 0.10


def random_players(
    modules: int, seed: int, delta: float | None = None, warm_c: tuple[float, float] = (30.0, 55.0)
) -> tuple[BoxedCost, ...]:
    """Modules unlike each other: wear, exponent, heat that sets in inside the box or before it, boxes of all kinds."""
    rng = np.random.default_rng(seed)
    players = []
    for _ in range(modules):
        exponent = float(rng.choice([1.2, 1.5, 2.0, 2.6])) if delta is None else delta
        parameters = CostParameters(
            p_max_kw=float(rng.uniform(3.0, 3.3)), eta_max=float(rng.uniform(0.95, 0.97)), alpha=0.02, beta=0.01,
            loss_price_eur_per_kwh=0.10, wear_gamma=float(np.exp(rng.uniform(np.log(0.003), np.log(0.06)))),
            wear_delta=exponent, soc_kappa=2.0, thermal_psi=2e-4, thermal_theta_k_per_kw2=2.0,
            thermal_threshold_c=50.0,
        )  # fmt: skip
        cost = LocalCost(parameters, float(rng.uniform(0.2, 0.8)), float(rng.uniform(*warm_c)))
        high = 2.4 if rng.random() < 0.8 else float(rng.uniform(-1.0, 2.0))
        players.append(BoxedCost(cost, Box(-2.4, high)))
    return tuple(players)


def random_powers(game: Game, rng: np.random.Generator, count: int) -> FloatArray:
    curves = game.curves
    return rng.uniform(curves.low_kw, curves.high_kw, (count, curves.modules))


def random_game(modules: int, seed: int, symmetric: bool) -> Game:
    rng = np.random.default_rng([seed, 5])
    coupling = rng.uniform(0.0, 0.02, (modules, modules))
    if symmetric:
        coupling = 0.5 * (coupling + coupling.T)
    return Game(random_players(modules, seed), PRICE, coupling, rng.uniform(-0.1, 0.1, modules))


# curves: the shared arithmetic


@given(seed=st.integers(0, 10_000), weight=st.sampled_from([0.0, 0.003, 0.1]))
@SEEDED
def test_curves_are_the_local_costs(seed: int, weight: float) -> None:
    players = random_players(5, seed)
    game = congested(players, PRICE, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    powers, prices = random_powers(game, rng, 20), rng.uniform(-0.4, 0.4, (20, 5))
    cost, answers = game.curves.cost(powers), game.curves.responses(prices, weight)
    for i, player in enumerate(players):
        still = float(player.cost.cost(np.array(0.0)))
        assert cost[:, i] == pytest.approx(player.cost.cost(powers[:, i]) - still, abs=1e-14)
        for price, answer in zip(prices[:, i], answers[:, i], strict=True):
            assert answer == pytest.approx(player.proximal(float(price), weight), abs=2e-10)
            assert player.box.low_kw <= answer <= player.box.high_kw


# potential


@given(seed=st.integers(0, 10_000), modules=st.integers(2, 8), uniform=st.booleans())
@SEEDED
def test_a_module_that_moves_alone_changes_the_potential_by_its_payoff(seed: int, modules: int, uniform: bool) -> None:
    game = congested(random_players(modules, seed), PRICE, 3.0, 0.02) if uniform else random_game(modules, seed, True)
    rng = np.random.default_rng(seed)
    before, other = random_powers(game, rng, 2)
    for i in range(modules):
        after = before.copy()
        after[i] = other[i]
        own = game.payoffs(after)[i] - game.payoffs(before)[i]
        assert potential(game, after) - potential(game, before) == pytest.approx(own, abs=1e-13)


@given(seed=st.integers(0, 10_000), modules=st.integers(2, 6))
@SEEDED
def test_second_cross_derivatives_decide(seed: int, modules: int) -> None:
    rng = np.random.default_rng(seed)
    for symmetric in (True, False):
        game = random_game(modules, seed, symmetric)
        cross = cross_derivatives(game.payoffs, random_powers(game, rng, 1)[0])
        assert cross == pytest.approx(np.diag(game.own) - game.coupling, abs=1e-11)
        assert has_potential(game) == symmetric == (np.abs(cross - cross.T).max() < 1e-6 * np.abs(cross).max())
        if not symmetric:
            with pytest.raises(InputError, match="no exact potential"):
                potential(game, np.zeros(modules))


def test_weights_of_modules_agree_only_if_equal() -> None:
    players = random_players(3, 0)
    assert has_potential(congested(players, PRICE, 5.0, np.full(3, 0.01)))
    assert not has_potential(congested(players, PRICE, 5.0, np.array([0.01, 0.01, 0.0100001])))


def companion(game: Game, c: float, target_kw: float, p: FloatArray) -> FloatArray:
    """The companion's payoffs, -c p_i (sum p - P): what not to copy."""
    base = congested(game.players, game.price_eur_per_kwh, 0.0, 0.0).payoffs(p)
    wrong: FloatArray = base - c * p * (p.sum(axis=-1, keepdims=True) - target_kw)
    return wrong


def test_the_companions_form_is_not_aligned_with_its_potential() -> None:
    c, target_kw = 0.02, 4.0
    game = congested(random_players(4, 3, 1.5), PRICE, target_kw, c)
    rng = np.random.default_rng(0)
    before, other = random_powers(game, rng, 2)
    for i in range(4):
        after = before.copy()
        after[i] = other[i]
        wrong = companion(game, c, target_kw, after)[i] - companion(game, c, target_kw, before)[i]
        change = float(potential(game, after) - potential(game, before))
        # by the -c p_i too much in its derivative, integrated
        assert wrong - change == pytest.approx(-0.5 * c * (after[i] ** 2 - before[i] ** 2), abs=1e-13)
        assert abs(wrong - change) > 1e-3
    # its cross-derivatives agree all the same: the fault is the alignment, and Phi's maximum is no equilibrium of it
    cross = cross_derivatives(lambda p: companion(game, c, target_kw, p), before)
    assert cross == pytest.approx(cross.T, abs=1e-11)
    top = potential_maximum(game)
    gains = []
    for i in range(4):
        moved = np.repeat(top[None, :], 201, axis=0)
        moved[:, i] = np.linspace(game.curves.low_kw[i], game.curves.high_kw[i], 201)
        gains.append((companion(game, c, target_kw, moved)[:, i] - companion(game, c, target_kw, top)[i]).max())
    assert max(gains) > 1e-3
    assert game.exploitability(top) < 1e-12


def test_the_sources_condition_on_first_derivatives_is_another_thing() -> None:
    game = congested(random_players(2, 1), PRICE, 3.0, 0.02)
    p, step = np.array([1.0, -0.5]), 1e-3

    def slope(i: int, j: int) -> float:
        move = step * np.eye(2)[j]
        return float(game.payoffs(p + move)[i] - game.payoffs(p - move)[i]) / (2.0 * step)

    assert has_potential(game)
    assert abs(slope(0, 1) - slope(1, 0)) > 1e-3


# equilibrium


@given(seed=st.integers(0, 10_000), modules=st.integers(2, 12), c=st.sampled_from([0.0, 1e-3, 0.02, 0.1]))
@SEEDED
def test_best_responses_end_at_the_potentials_maximum_from_anywhere(seed: int, modules: int, c: float) -> None:
    rng = np.random.default_rng(seed)
    game = congested(random_players(modules, seed), PRICE, float(rng.uniform(-6.0, 6.0)), c)
    top = potential_maximum(game)
    assert has_one_equilibrium(game)
    for start in (None, *random_powers(game, rng, 2)):
        course = best_response(game, start)
        assert course.converged
        assert course.exploitability_eur_per_h < 1e-10
        assert course.powers_kw == pytest.approx(top, abs=1e-7)
        phi = potential(game, course.trace_kw)
        assert (np.diff(phi) >= -1e-13).all()
    assert (potential(game, random_powers(game, rng, 500)) <= potential(game, top)).all()


@given(seed=st.integers(0, 10_000), modules=st.integers(2, 8))
@SEEDED
def test_all_at_once_by_the_safe_part_never_loses_potential(seed: int, modules: int) -> None:
    game = congested(random_players(modules, seed), PRICE, 3.0, 0.05)
    assert 1.0 / modules <= safe_part(game) <= 1.0
    course = best_response(game, order="at-once")
    assert course.converged
    assert course.powers_kw == pytest.approx(potential_maximum(game), abs=1e-6)
    assert (np.diff(potential(game, course.trace_kw)) >= -1e-13).all()


def test_all_at_once_the_whole_way_circles() -> None:
    game = congested(random_players(6, 2, 1.5), PRICE, 3.0, 0.1)
    course = best_response(game, order="at-once", part=1.0, rounds_max=300)
    assert not course.converged
    assert course.exploitability_eur_per_h > 0.01
    assert course.rounds == 300


def test_without_a_potential_best_responses_may_circle() -> None:
    players = tuple(BoxedCost(p.cost, Box(-2.4, 2.4)) for p in random_players(2, 4, 1.5))
    game = Game(players, 0.0, np.array([[0.0, 1.0], [-1.0, 0.0]]), np.zeros(2))
    assert not has_potential(game)
    course = best_response(game, np.array([1.0, 1.0]), rounds_max=200)
    assert not course.converged
    assert course.exploitability_eur_per_h > 0.1
    # modules weighted apart have no exact potential either, but a weighted one: they do end
    weighted = congested(random_players(5, 1), PRICE, 4.0, np.array([0.01, 0.02, 0.03, 0.04, 0.05]))
    assert not has_potential(weighted)
    assert best_response(weighted).converged


@pytest.mark.parametrize(("modules", "seed"), [(2, 0), (2, 5), (3, 1), (3, 8)])
@pytest.mark.parametrize("c", [0.005, 0.1])
def test_the_equilibrium_is_that_of_the_enumerated_game(modules: int, seed: int, c: float) -> None:
    game = congested(random_players(modules, seed), PRICE, 2.0, c)
    points = 81 if modules == 2 else 25
    axes = [np.linspace(low, high, points) for low, high in zip(game.curves.low_kw, game.curves.high_kw, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    pay = game.payoffs(grid)
    # where no module gains by moving on the grid
    settled = np.ones(grid.shape[:-1], dtype=bool)
    for i in range(modules):
        settled &= pay[..., i] >= pay[..., i].max(axis=i, keepdims=True) - 1e-15
    found = best_response(game).powers_kw
    assert settled.any()
    step = max(axis[1] - axis[0] for axis in axes)
    # a grid holds every module back by up to a step, and those shift each other
    assert min(np.abs(p - found).max() for p in grid[settled]) <= modules * step
    # nobody gains by moving from the equilibrium to any of the enumerated powers
    for i, axis in enumerate(axes):
        moved = np.repeat(found[None, :], points, axis=0)
        moved[:, i] = axis
        assert game.payoffs(moved)[:, i].max() <= game.payoffs(found)[i] + 1e-12


@given(seed=st.integers(0, 10_000))
@SEEDED
def test_exploitability_is_the_largest_gain_that_enumeration_finds(seed: int) -> None:
    game = random_game(4, seed, symmetric=False)
    p = random_powers(game, np.random.default_rng(seed), 1)[0]
    gains = []
    for i in range(4):
        moved = np.repeat(p[None, :], 4001, axis=0)
        moved[:, i] = np.linspace(game.curves.low_kw[i], game.curves.high_kw[i], 4001)
        gains.append(float((game.payoffs(moved)[:, i] - game.payoffs(p)[i]).max()))
    found = game.exploitability(p)
    assert max(gains) - 1e-15 <= found <= max(gains) + 1e-6


class Careless(Game):
    """Answers that are none."""

    def best_responses(self, p: FloatArray) -> FloatArray:
        return np.clip(np.full_like(p, -1.0), self.curves.low_kw, self.curves.high_kw)


@pytest.mark.parametrize("seed", range(3))
def test_exploitability_bounds_all_gains_whatever_the_answers(seed: int) -> None:
    right = random_game(5, seed, symmetric=True)
    careless = Careless(right.players, right.price_eur_per_kwh, right.coupling, right.relief_eur_per_kwh)
    for p in random_powers(right, np.random.default_rng(seed), 20):
        assert careless.exploitability(p) >= right.exploitability(p) - 1e-12


def test_best_responses_to_coupling_of_any_form() -> None:
    game = random_game(6, 3, symmetric=False)
    assert has_one_equilibrium(replace(game, coupling=0.05 * game.coupling))
    course = best_response(replace(game, coupling=0.05 * game.coupling))
    assert course.converged
    assert course.exploitability_eur_per_h < 1e-10


def test_a_round_in_turn_is_by_its_definition() -> None:
    game = random_game(5, 2, symmetric=False)
    p = random_powers(game, np.random.default_rng(0), 1)[0]
    trace = best_response(game, p, rounds_max=1).trace_kw
    for i in range(5):
        p[i] = game.best_responses(p)[i]
    assert trace[1] == pytest.approx(p, abs=1e-9)


def test_at_the_price_of_the_dispatch_the_dispatch_is_the_equilibrium() -> None:
    players = random_players(8, 6)
    best = dispatch_optimum([p.cost for p in players], [p.box for p in players], 5.0)
    for c in (0.0, 0.01, 1.0):
        found = potential_maximum(congested(players, best.lambda_, 5.0, c))
        assert found == pytest.approx(best.powers_kw, abs=1e-6)


def test_five_hundred_modules() -> None:
    game = congested(random_players(500, 9, 1.5), PRICE, 500.0, 0.0001)
    course = best_response(game)
    assert course.converged
    assert course.exploitability_eur_per_h < 1e-12
    assert course.powers_kw == pytest.approx(potential_maximum(game), abs=1e-6)


def test_uniqueness_is_not_claimed_where_modules_may_part() -> None:
    players = tuple(BoxedCost(p.cost, Box(-2.4, 2.4)) for p in random_players(2, 4, 1.5))
    apart = Game(players, 0.0, np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2))
    assert has_potential(apart)
    assert not has_one_equilibrium(apart)
    ends = [best_response(apart, np.array(start)) for start in ([2.0, -2.0], [-2.0, 2.0])]
    assert all(end.converged and end.exploitability_eur_per_h < 1e-12 for end in ends)
    assert np.abs(ends[0].powers_kw - ends[1].powers_kw).max() > 1.0


# welfare and price of anarchy


@given(seed=st.integers(0, 10_000), c=st.sampled_from([0.0, 0.001, 0.004, 0.012, 0.02, 0.08]))
@SEEDED
def test_pieces_are_where_the_cost_bends_more_than_the_level(seed: int, c: float) -> None:
    players = (*random_players(20, seed), *random_players(20, seed, 1.5, warm_c=(48.0, 52.0)))
    curves = congested(players, PRICE, 0.0, 0.0).curves
    low, high = convex_pieces(curves, curves.low_kw, curves.high_kw, c)
    assert (low <= high).all()
    p = np.linspace(curves.low_kw, curves.high_kw, 2004)
    bent = curves.bend(np.abs(p)) > c
    near = (np.minimum(np.abs(p - low[:, None]), np.abs(p - high[:, None])) < 1e-9).any(axis=0)
    inside = ((low[:, None] <= p) & (p <= high[:, None])).any(axis=0)
    assert (inside == bent)[~near].all()


@pytest.mark.parametrize(("modules", "seed"), [(2, 0), (2, 1), (3, 3), (3, 4)])
@pytest.mark.parametrize("c", [0.0, 0.003, 0.03, 0.1])
def test_no_enumerated_powers_beat_the_optimum(modules: int, seed: int, c: float) -> None:
    game = congested(random_players(modules, seed), PRICE, 1.5, c)
    found = social_optimum(game, nodes_max=400)
    axes = [np.linspace(low, high, 161 if modules == 2 else 41)
            for low, high in zip(game.curves.low_kw, game.curves.high_kw, strict=True)]  # fmt: skip
    best = game.payoffs(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)).sum(axis=-1).max()
    assert found.certified
    assert found.welfare_eur_per_h == game.welfare(found.powers_kw)
    assert (found.powers_kw >= game.curves.low_kw).all()
    assert (found.powers_kw <= game.curves.high_kw).all()
    assert best <= found.welfare_eur_per_h + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_that_of_a_general_solver(seed: int) -> None:
    game = congested(random_players(7, seed, 1.5), PRICE, 4.0, 0.002)
    curves = game.curves
    bounds = list(zip(curves.low_kw, curves.high_kw, strict=True))
    starts = [np.clip(np.full(7, x), curves.low_kw, curves.high_kw) for x in (0.5, 1.5)]
    best = max(-float(minimize(lambda p: -game.welfare(p), start, bounds=bounds, method="L-BFGS-B").fun)
               for start in starts)  # fmt: skip
    found = social_optimum(game)
    assert found.nodes == 1
    assert found.welfare_eur_per_h == pytest.approx(best, rel=1e-5)
    assert found.welfare_eur_per_h >= best - 1e-9


def test_many_modules_leave_little_of_the_bound_open() -> None:
    game = congested(random_players(40, 1, 1.5), PRICE, 20.0, 0.1)
    found = social_optimum(game, nodes_max=5)
    assert 0.0 <= found.bound_eur_per_h - found.welfare_eur_per_h < 0.005 * found.welfare_eur_per_h


def test_an_open_bound_is_told() -> None:
    game = congested(random_players(12, 1, 1.5), PRICE, 4.0, 0.3)
    found = social_optimum(game, nodes_max=3)
    assert found.nodes == 3
    assert not found.certified
    assert found.bound_eur_per_h > found.welfare_eur_per_h


@pytest.mark.parametrize("seed", range(5))
def test_the_price_of_anarchy_falls_to_1_as_the_square_of_the_externality(seed: int) -> None:
    players = tuple(BoxedCost(p.cost, Box(-9.0, 9.0)) for p in random_players(8, seed, 1.5))  # out of reach
    target_kw = 0.5 * free_sale_kw(players, PRICE)
    found = losses(players, PRICE, target_kw)
    assert vanishes(found)
    for before, after in itertools.pairwise(found):
        assert 60.0 < before / after < 130.0
    last = price_of_anarchy(congested(players, PRICE, target_kw, STEPS[-1] / 8))
    assert last.price == pytest.approx(1.0, abs=1e-5)
    none = price_of_anarchy(congested(players, PRICE, target_kw, 0.0))
    assert none.price == pytest.approx(1.0, abs=1e-14)
    strong = price_of_anarchy(congested(players, PRICE, target_kw, 0.005))
    assert strong.price is not None
    assert strong.price > 1.01


@given(seed=st.integers(0, 10_000), modules=st.integers(2, 7), c=st.sampled_from([1e-4, 2e-3, 0.01]))
@settings(SEEDED, max_examples=20)
def test_the_price_of_anarchy_is_at_least_1_and_1_when_pairs_count_once(seed: int, modules: int, c: float) -> None:
    game = congested(random_players(modules, seed), PRICE, 2.0, c)
    found = price_of_anarchy(game)
    assert found.price is None or found.price >= 1.0 - 1e-12
    assert found.loss_eur_per_h >= -1e-12
    rng = np.random.default_rng(seed)
    own = pairwise_welfare(game, found.equilibrium_kw)
    for p in random_powers(game, rng, 50):
        once = game.welfare(p) + sum(c * p[i] * p[j] for i, j in itertools.combinations(range(modules), 2))
        assert pairwise_welfare(game, p) == pytest.approx(once, abs=1e-12)
        assert pairwise_welfare(game, p) <= own + 1e-12


def test_a_worthless_equilibrium_has_no_price() -> None:
    must_charge = tuple(BoxedCost(p.cost, Box(-2.4, -2.0)) for p in random_players(3, 0))
    assert price_of_anarchy(congested(must_charge, PRICE, 1.0, 0.001)).price is None


def test_losses_that_stay_do_not_vanish() -> None:
    assert vanishes((1e-2, 1e-4, 1e-6))
    assert vanishes((0.0, 0.0, 0.0))
    assert not vanishes((1e-2, 1e-2, 1e-6))
    assert not vanishes((1e-4, 1e-5, 2e-6))


def test_a_sweep_meets_itself() -> None:
    players = random_players(6, 2, 1.5)
    points = sweep(players, PRICE, 4.0, (0.0, 0.001, 0.01))
    assert [p.externality for p in points] == [0.0, 0.001, 0.01]
    assert all(p.has_potential and p.course.converged and p.apart_kw < 1e-8 for p in points)
    assert points[2].potential_eur_per_h == float(potential(congested(players, PRICE, 4.0, 0.01),
                                                            points[2].course.powers_kw))  # fmt: skip


# what is refused


def test_bad_games_are_refused() -> None:
    players = random_players(2, 0)
    game = congested(players, PRICE, 1.0, 0.01)
    bad = {
        "allowed at least 0": {"coupling": np.array([[-0.1, 0.0], [0.0, 0.1]])},
        "allowed \\(2, 2\\)": {"coupling": np.zeros((3, 3))},
        "not finite": {"relief_eur_per_kwh": np.array([np.nan, 0.0])},
        "price_eur_per_kwh is nan": {"price_eur_per_kwh": float("nan")},
    }
    for message, change in bad.items():
        with pytest.raises(InputError, match=message):
            replace(game, **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one connection"):
        social_optimum(congested(players, PRICE, 1.0, np.array([0.1, 0.2])))
    with pytest.raises(InputError, match="allowed in-turn, at-once"):
        best_response(game, order="by lot")
    with pytest.raises(InputError, match="part is 2"):
        best_response(game, order="at-once", part=2.0)
    with pytest.raises(InputError, match="box 0 is"):
        curves_of([players[0].cost], [Box(1.0, -1.0)])
