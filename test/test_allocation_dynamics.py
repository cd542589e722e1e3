"""Allocation dynamics: what holds at every step on random fleets, seen from the strategies themselves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation import barrier, dynamics
from v2g_nodes.planning.allocation.active import ActivePopulation
from v2g_nodes.planning.allocation.allocation import Allocation, allocate, gap_to_central
from v2g_nodes.planning.allocation.fleet import Fleet, fleet_of
from v2g_nodes.planning.allocation.grid import Grid, wish
from v2g_nodes.planning.allocation.problem import Problem, Vehicle, problem
from v2g_nodes.planning.allocation.reactive import ReactivePopulation, available
from v2g_nodes.planning.allocation.samples import equal_vehicles, random_vehicles, sample_load_kw
from v2g_nodes.planning.allocation.slot_graph import GRAPHS, laplacian, path_metric
from v2g_nodes.planning.allocation.summary import rises


def random_problem(seed: int, count: int = 8, slots: int = 24, smoothing: float = 0.6) -> Problem:
    random = np.random.default_rng(seed)
    slot_h = float(random.choice((0.25, 0.5, 1.0)))
    vehicles = random_vehicles(count, slots, slot_h, None, seed)
    load = 40.0 + 15.0 * random.standard_normal(slots)
    return problem(vehicles, load, 0.4 * load + random.standard_normal(slots), slot_h, smoothing)


class Watched(ActivePopulation):
    """Keeps every state of a run."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.states: list[FloatArray] = []

    def violations(self, x: FloatArray) -> int:
        self.states.append(x.copy())
        return super().violations(x)


class WatchedReactive(ReactivePopulation):
    """Keeps every state of a run."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments)
        self.states: list[FloatArray] = []

    def violations(self, x: FloatArray) -> int:
        self.states.append(x.copy())
        return super().violations(x)


def settled(asked: Problem, graph: str, eps: float | None = None) -> tuple[Fleet, Watched, dynamics.Run]:
    fleet = fleet_of(asked.vehicles, asked.slots, asked.slot_h)
    population = Watched(fleet, graph)
    grid = Grid(asked.load_kw * asked.slot_h, wish(asked.slots, asked.smoothing))
    return fleet, population, dynamics.settle(population, grid, eps)


@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.sampled_from([None, 1e-3, 1e-1]))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_energy_and_limits_hold_at_every_step(seed: int, graph: str, eps: float | None) -> None:
    asked = random_problem(seed, count=5)
    _, population, run = settled(asked, graph, eps)
    assert len(population.states) > 5
    for x in population.states:
        for vehicle, row in zip(asked.vehicles, x, strict=True):
            stay = row[vehicle.arrival_slot : vehicle.departure_slot]
            assert stay.sum() == pytest.approx(vehicle.energy_kwh, abs=1e-12)
            assert not row[: vehicle.arrival_slot].any()
            assert not row[vehicle.departure_slot :].any()
            assert np.all(np.abs(stay) < vehicle.power_kw * asked.slot_h)
            charge = vehicle.soc_start_kwh + np.cumsum(stay)[:-1]
            assert np.all((charge > vehicle.soc_min_kwh) & (charge < vehicle.soc_max_kwh))
    assert rises(np.array(run.trace.storage)) == 0
    assert run.trace.storage[-1] < run.trace.storage[0]
    assert run.at_rest


@pytest.mark.parametrize("seed", range(4))
def test_reactive_power_and_slack_hold_at_every_step(seed: int) -> None:
    asked = random_problem(seed)
    energy = -allocate(asked, reactive=False).power_kw * asked.slot_h
    fleet = fleet_of(asked.vehicles, asked.slots, asked.slot_h)
    population = WatchedReactive(fleet, energy)
    run = dynamics.settle(population, Grid(asked.load_kvar * asked.slot_h, wish(asked.slots, 0.3)))
    room = np.sqrt(fleet.rating[:, None] ** 2 - energy**2) * fleet.inside
    for x in population.states:
        drawn, supplied, slack = x[:, : asked.slots], x[:, asked.slots : -1], x[:, -1]
        assert np.all(drawn[fleet.inside] > 0.0)
        assert np.all(supplied[fleet.inside] > 0.0)
        assert np.all(slack > 0.0)
        assert not np.any(x[:, :-1][~np.hstack((fleet.inside, fleet.inside))])
        assert np.all((drawn + supplied < room)[fleet.inside])
        np.testing.assert_allclose(x.sum(axis=1), room.sum(axis=1), rtol=1e-13)
        assert np.all(np.hypot(energy, drawn - supplied) <= fleet.rating[:, None])
    assert rises(np.array(run.trace.storage)) == 0
    assert run.trace.storage[-1] < 0.5 * run.trace.storage[0]


def test_a_small_eps_is_come_to_from_a_large_one() -> None:
    """At once it would put the limits in the way of every step: such runs go on for hundreds and don't settle."""
    for seed in range(6):
        _, _, run = settled(random_problem(seed, count=20, slots=48), "ring", 1e-5)
        assert run.trace.eps[0] > 1e-2
        assert run.trace.eps[-1] == 1e-5
        assert run.at_rest
        assert len(run.trace.eps) < 80


def worst(found: Allocation) -> tuple[float, float, float]:
    gaps = [gap_to_central(found, stage) for stage in found.stages]
    return max(g.relative for g in gaps), min(g.relative for g in gaps), max(g.largest_kw for g in gaps)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_payoffs_agree_at_the_central_optimum(seed: int, smoothing: float) -> None:
    asked = random_problem(100 + seed, count=10, smoothing=smoothing)
    found = allocate(asked, GRAPHS[seed])
    assert [stage.kind for stage in found.stages] == ["active", "reactive"]
    for stage in found.stages:
        assert stage.run.at_rest
        assert stage.run.trace.spread[0] > 0.1
        assert stage.run.trace.spread[-1] < 1e-5
    high, low, power_kw = worst(found)
    assert -1e-8 < low <= high < dynamics.BIAS
    assert power_kw < 0.1


def test_payoffs_of_interior_strategies_agree_by_the_source_formula() -> None:
    """Equation 22, written out anew: without barriers, which reach no strategy away from the limits."""
    vehicles = equal_vehicles(6, 12, 1.0, 0.2)
    asked = problem(vehicles, sample_load_kw(12, 1.0), smoothing=0.7)
    found = allocate(asked)
    p, total = -found.power_kw, found.grid_kw
    reference = fleet_of(vehicles, 12, 1.0).reference
    for i in range(6):
        payoffs, terms = [], []
        for t in range(12):
            steps = sum(total[t] - total[k] for k in (t - 1, t + 1) if 0 <= k < 12)
            grid = 0.7 * steps + 0.3 * (total[t] - total.mean())
            payoffs.append(0.2 * (p[i, t] - reference[i, t]) + 0.8 * grid)
            terms.append(0.8 * abs(grid))
        assert max(payoffs) - min(payoffs) < 1e-4 * max(terms)


def test_the_gap_sees_a_plan_that_is_not_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = random_problem(7)
    exact, _, _ = worst(allocate(asked))
    heavy, _, _ = worst(allocate(asked, eps=1.0))
    monkeypatch.setattr(dynamics, "ITERATIONS_MAX", 2)
    early = allocate(asked)
    assert exact < 1e-5 < 1e-2 < heavy
    assert worst(early)[0] > 1e-2
    assert not early.stages[0].run.at_rest
    assert early.stages[0].run.trace.violations == [0, 0, 0]


def test_the_barrier_costs_no_more_than_its_bound() -> None:
    asked = random_problem(11)
    for eps in (1e-1, 1e-2, 1e-3):
        found = allocate(asked, eps=eps)
        for stage in found.stages:
            gap = gap_to_central(found, stage)
            group = fleet_of(asked.vehicles, asked.slots, asked.slot_h)
            stay = group.inside.sum(axis=1)
            terms = 2 * (2 * stay - 1) if stage.kind == "active" else 3 * stay
            bound = eps * float(np.sum(terms))
            assert 0.0 < gap.objective - gap.optimum < bound


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_short_step_is_the_flow_along_the_graph(graph: str) -> None:
    """For h to zero the implicit step is -h L F with the Laplacian of each stay, rate included."""
    asked = random_problem(3)
    fleet = fleet_of(asked.vehicles, asked.slots, asked.slot_h)
    population = ActivePopulation(fleet, graph)
    x, h, eps = population.start(), 1e-7, 1e-3
    slope = np.random.default_rng(0).standard_normal(x.shape)
    change = -population.response(x, eps, h).apply(slope)
    for row, (vehicle, values) in enumerate(zip(asked.vehicles, slope, strict=True)):
        stay = slice(vehicle.arrival_slot, vehicle.departure_slot)
        flow = -h * (1.0 - vehicle.commitment) * laplacian(graph, vehicle.stay_slots) @ values[stay]
        np.testing.assert_allclose(change[row, stay], flow, rtol=1e-2, atol=1e-9)


def test_a_short_reactive_step_is_the_exchange_with_the_slack() -> None:
    asked = random_problem(3)
    fleet = fleet_of(asked.vehicles, asked.slots, asked.slot_h)
    population = ReactivePopulation(fleet, fleet.even())
    slope = np.random.default_rng(0).standard_normal(population.start().shape)
    slope[:, :-1] *= np.hstack((fleet.inside, fleet.inside))
    change = -population.response(population.start(), 1e-3, 1e-7).apply(slope)
    flow = -1e-7 * (1.0 - fleet.commitment)[:, None] * (slope[:, :-1] - slope[:, -1:])
    flow *= np.hstack((fleet.inside, fleet.inside))
    np.testing.assert_allclose(change[:, :-1], flow, rtol=1e-3, atol=1e-12)
    np.testing.assert_allclose(change.sum(axis=1), 0.0, atol=1e-18)


@pytest.mark.parametrize("kind", ["active", "reactive"])
def test_slopes_are_those_of_the_storage_function(kind: str) -> None:
    asked = random_problem(5, count=3, slots=10)
    fleet = fleet_of(asked.vehicles, asked.slots, asked.slot_h)
    population = ActivePopulation(fleet, "ring") if kind == "active" else ReactivePopulation(fleet, fleet.even())
    x, eps, random = population.start(), 0.3, np.random.default_rng(1)
    change = -population.response(x, eps, 1.0).apply(random.standard_normal(x.shape))
    change *= 1e-5 / np.max(np.abs(change))

    def value(at: FloatArray) -> float:
        return population.own_value(at) + eps * population.barrier_value(at)

    assert value(x + change) - value(x - change) == pytest.approx(
        2.0 * float(np.vdot(population.local_slope(x, eps), change)), rel=1e-6
    )
    bend = population.local_slope(x + change, eps) - population.local_slope(x - change, eps)
    answer = population.response(x, eps, 1e15).apply(bend)  # the graph's metric is gone: the inverse curvature alone
    np.testing.assert_allclose(answer, 2.0 * change, atol=1e-3 * np.max(np.abs(change)))


def test_the_explicit_step_would_be_stable_below_the_known_bound() -> None:
    """2 / largest eigenvalue of L H: 0.0526 for a ring of 12 slots, 3 vehicles, alpha 0.2, beta 1 (EQUATIONS 002.4)."""
    alpha = 0.2
    joint = alpha * np.eye(36) + (1 - alpha) * np.kron(np.ones((3, 3)), wish(12, 1.0))
    flow = np.kron(np.eye(3), laplacian("ring", 12))
    assert 2.0 / max(np.linalg.eigvals(flow @ joint).real) == pytest.approx(0.0526, abs=5e-5)


def test_the_end_does_not_depend_on_the_graph() -> None:
    asked = random_problem(21)
    plans = [allocate(asked, graph) for graph in GRAPHS]
    for other in plans[1:]:
        np.testing.assert_allclose(other.power_kw, plans[0].power_kw, atol=2e-3)
    ways = [p.stages[0].run.trace.storage for p in plans[:3]]
    assert len({way[1] for way in ways}) == 3  # but the way does


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("slots", [2, 3, 7, 12])
def test_graphs_are_connected_and_symmetric(graph: str, slots: int) -> None:
    flow = laplacian(graph, slots)
    np.testing.assert_array_equal(flow, flow.T)
    np.testing.assert_array_equal(flow.sum(axis=0), 0.0)
    eigenvalues = np.linalg.eigvalsh(flow)
    assert eigenvalues[0] == pytest.approx(0.0, abs=1e-12)
    assert eigenvalues[1] > 0.05
    assert np.all(np.linalg.eigvalsh(path_metric(graph, slots)) > 0.0)


def test_graphs_by_name() -> None:
    assert laplacian("line", 3).tolist() == [[1, -1, 0], [-1, 2, -1], [0, -1, 1]]
    assert laplacian("ring", 4)[0].tolist() == [2, -1, 0, -1]
    assert laplacian("complete", 4)[1].tolist() == [-1, 3, -1, -1]
    with pytest.raises(InputError, match="graph 'torus', allowed complete, ring, line, star, mesh"):
        laplacian("torus", 4)


def test_the_barrier() -> None:
    x, low, high = np.linspace(-0.9, 2.9, 9), np.array(-1.0), np.array(3.0)
    assert barrier.potential(np.array(1.0), low, high) == pytest.approx(0.0)
    assert np.all(barrier.potential(x, low, high) >= 0.0)
    assert np.all(np.isinf(barrier.potential(np.array([-1.0, 3.0, 4.0, -2.0]), low, high)))
    rise = (barrier.potential(x + 1e-6, low, high) - barrier.potential(x - 1e-6, low, high)) / 2e-6
    np.testing.assert_allclose(barrier.slope(x, low, high), rise, atol=1e-6)
    np.testing.assert_allclose(barrier.slope(x, low, high), 1 / (3 - x) - 1 / (x + 1))
    bend = (barrier.slope(x + 1e-6, low, high) - barrier.slope(x - 1e-6, low, high)) / 2e-6
    np.testing.assert_allclose(barrier.curvature(x, low, high), bend, rtol=1e-5)


def test_violations_and_lost_energy_are_counted() -> None:
    fleet = fleet_of([Vehicle("a", 1, 5, 10.0, 12.0), Vehicle("b", 0, 6, 10.0, 10.0)], 6, 1.0)
    population = ActivePopulation(fleet, "line")
    x = population.start()
    assert (population.violations(x), population.resource_error(x)) == (0, pytest.approx(0.0, abs=1e-12))
    for row, slot, value, count in ((0, 1, 3.4, 1), (0, 0, 0.1, 1), (1, 2, -3.31, 1), (1, 0, -6.5, 6)):
        worse = x.copy()
        worse[row, slot] = value
        if count == 6:
            worse[1, 1:] = 0.0  # one power, five slots below the battery's limit with the one itself
        assert population.violations(worse) == count + (count == 6)
        assert population.resource_error(worse) > 0.05
    reactive = ReactivePopulation(fleet, x)
    y = reactive.start()
    assert reactive.violations(y) == 0
    too_much, negative, outside = y.copy(), y.copy(), y.copy()
    too_much[0, 2] = reactive.available[0, 2]
    negative[0, 2] = -0.1
    outside[0, 0] = 0.1
    assert [reactive.violations(z) for z in (too_much, negative, outside)] == [1, 1, 1]
    beyond = y.copy()
    beyond[0, 2], beyond[0, 8] = 1.1 * reactive.available[0, 2], 0.0
    assert reactive.violations(beyond) == 2  # what the slot has, and the apparent power
    assert reactive.limits == 3 * 10
    assert reactive.resource_error(negative) > 0.05


def test_the_spread_is_that_of_payoffs_away_from_the_limits() -> None:
    fleet = fleet_of([Vehicle("a", 0, 3, 10.0, 10.0, commitment=0.2, reference_kw=(0.0,) * 3)], 3, 1.0)
    population, none = ActivePopulation(fleet, "line"), np.zeros(3)
    x, slope = np.array([[2.0, 1.0, -3.0]]), np.array([[5.0, 3.0, 4.0]])
    largest = 0.8 * 0.25 * 3.0  # the rate times the largest term, the owner's weight times 3 kWh
    assert population.spread(slope, x, none) == pytest.approx(0.8 * 2.0 / largest)
    near = np.array([[-0.2, 3.3 * (1 - 5e-4), -3.3 * (1 - 5e-4)]])
    assert population.spread(slope, near, none) == 0.0  # one interior strategy has nothing to agree with
    reactive = ReactivePopulation(fleet, np.zeros((1, 3)))
    y = reactive.start()
    agreed = np.array([[2.0] * 6 + [0.0]])
    assert reactive.spread(agreed, y, np.ones(3)) == pytest.approx(0.8 * 2.0 / 0.8)  # but not with the slack
    y[0, :3] = [0.9, 0.99 * 11 / 3, 0.9]
    agreed[0, :6] = [0.0, 7.0, 0.0, 0.0, 7.0, 0.0]
    y[0, 1] = reactive.available[0, 1] * (1 - 1e-4)
    y[0, 4] = 0.0
    assert reactive.spread(agreed, y, np.ones(3)) == 0.0  # the slot at the rating does not count


def test_few_vehicles_in_a_large_grid_are_planned_as_well() -> None:
    """Against the whole objective of such a grid a plan of no use would look perfect."""
    asked = random_problem(4, count=3)
    large = problem(asked.vehicles, 1e3 * asked.load_kw, None, asked.slot_h, 1.0)
    found = allocate(large, reactive=False)
    stage = found.stages[0]
    gap = gap_to_central(found, stage)
    saved = stage.run.objective_start - gap.optimum
    assert saved < 0.05 * gap.optimum
    assert 0.0 <= gap.objective - gap.optimum < dynamics.BIAS * saved
    assert gap.relative == pytest.approx((gap.objective - gap.optimum) / saved)


def test_available_reactive_power() -> None:
    fleet = fleet_of([Vehicle("a", 1, 3, 10.0, 12.0, power_kw=4.0, rating_kva=5.0)], 3, 1.0)
    assert available(fleet, np.array([[0.0, 3.0, -4.0]])).tolist() == [[0.0, 4.0, 3.0]]
    full = fleet_of([Vehicle("a", 0, 3, 10.0, 22.0, power_kw=4.0, rating_kva=4.0)], 3, 1.0)
    assert available(full, full.even()).tolist() == [[0.0, 0.0, 0.0]]


def test_a_plan_is_repeatable_and_tells_its_steps() -> None:
    asked = random_problem(9)
    steps: list[int] = []
    first = allocate(asked, heard=lambda: steps.append(1))
    again = allocate(asked)
    np.testing.assert_array_equal(first.power_kw, again.power_kw)
    assert len(steps) == sum(len(stage.run.trace.storage) - 1 for stage in first.stages)
    assert all(a >= b for a, b in pairwise(first.stages[0].run.trace.eps))
