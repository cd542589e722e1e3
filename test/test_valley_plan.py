"""The price iteration: its optimum, its convergence, and the same without a coordinator and on a cluster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from v2g_nodes.core.averaging.plans import averaging_plan
from v2g_nodes.core.graph import build_edges
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.bounds import coupling, iterations_bound
from v2g_nodes.planning.valley.central import solve_centrally
from v2g_nodes.planning.valley.consensus import price_agents
from v2g_nodes.planning.valley.fleet import Fleet, random_fleet, uniform_fleet
from v2g_nodes.planning.valley.grid_cost import GridCost, source_base_kw, source_slope
from v2g_nodes.planning.valley.plan import ValleyPlan, plan_valley, schedule_of
from v2g_nodes.planning.valley.price_iteration import Course, Rule, iterate
from v2g_nodes.planning.valley.workers import DaskWorkers, ThreadWorkers
from v2g_nodes.sim.network import LossyNetwork, play_epoch


def source_cost(vehicles: int, slots: int = 24) -> GridCost:
    return GridCost(source_base_kw(vehicles, slots), np.full(slots, 0.06), source_slope(vehicles), 24.0 / slots)


def planned(fleet: Fleet, cost: GridCost, rule: Rule, size: int = 50) -> ValleyPlan:
    with ThreadWorkers([Block(part, cost.slot_h) for part in fleet.blocks(size)], 2) as workers:
        return plan_valley(cost, workers, rule)


def random_problem(seed: int) -> tuple[Fleet, GridCost]:
    draw = np.random.default_rng(seed)
    count = int(draw.integers(20, 500))
    fleet = random_fleet(count, 24, 1.0, [seed], discharging=0.3 * (seed % 2))
    if seed % 4 > 1:
        fleet = replace(fleet, benefit=np.where(draw.random(count) < 0.5, np.inf, fleet.benefit))
    price = draw.uniform(-0.02, 0.1, 24) if seed % 3 else np.full(24, 0.06)
    return fleet, GridCost(source_base_kw(count, 24), price, source_slope(count) * draw.uniform(0.3, 3), 1.0)


@pytest.mark.parametrize("seed", range(50))
def test_the_fixed_point_is_the_central_optimum_and_comes_within_the_computed_bound(seed: int) -> None:
    fleet, cost = random_problem(seed)
    coupled = coupling([fleet], 24, cost.slope)
    rule = Rule(coupled.eta_best, 1e-9)
    plan = planned(fleet, cost, rule)
    assert plan.course.converged
    assert abs(plan.gap_to(solve_centrally(cost, fleet).cost_eur)) < 1e-6
    assert -1e-12 < plan.gap_certified < 1e-9
    prices, rate = plan.course.prices, coupled.rate(rule.eta)
    ends = np.linalg.norm(prices - prices[-1], axis=1)
    first = float(np.linalg.norm(prices[1] - prices[0]))
    for distance in (1e-3 * first, 1e-6 * first):
        bound = iterations_bound(distance, first, rate)
        assert bound is not None
        assert np.all(ends[bound:] <= distance * 1.01)
    assert np.all(ends[1:] <= rate * ends[:-1] + 1e-8), "each step contracts as the bound says"


def course_of(eta: float, iterations: int = 400, tolerance: float = 1e-9) -> Course:
    fleet, cost = uniform_fleet(5000, 24), source_cost(5000)
    with ThreadWorkers([Block(fleet, 1.0)], 1) as workers:
        return iterate(cost, workers.demand, Rule(eta, tolerance, iterations))


def test_the_sources_setting_has_the_sources_bound() -> None:
    coupled = coupling([uniform_fleet(5000, 24)], 24, source_slope(5000))
    assert coupled.source == pytest.approx(0.96667, abs=1e-4)
    assert coupled.eta_source == pytest.approx(1.017, abs=1e-3)
    assert coupled.rate_source(1.0) == pytest.approx(0.96667, abs=1e-4)
    assert coupled.eta_max == pytest.approx(1.348, abs=1e-3)
    assert coupled.eta_best == pytest.approx(0.805, abs=1e-3)


@pytest.mark.parametrize(("eta", "rate"), [(0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (1.0, 0.4833), (1.2, 0.78)])
def test_it_converges_at_the_rates_of_the_linear_part(eta: float, rate: float) -> None:
    course = course_of(eta)
    assert course.converged
    changes = course.changes
    late = changes[(changes > 1e-8) & (changes < 1e-4)]
    assert (late[-1] / late[0]) ** (1 / (len(late) - 1)) == pytest.approx(rate, abs=0.03)


def test_it_diverges_beyond_the_true_limit_and_is_fast_at_the_best() -> None:
    assert not course_of(1.36).converged
    assert course_of(1.34, iterations=2000).converged
    assert course_of(0.805, tolerance=1e-3).iterations <= 10


def test_delivered_energy_rises_with_its_worth_and_the_total_stays_below_the_base_peak() -> None:
    cost, got = source_cost(500), []
    for benefit in (0.003, 0.03, 0.1, 1.0):
        plan = planned(uniform_fleet(500, 24, benefit=benefit), cost, Rule(0.8, 1e-8))
        got.append(plan.planned.delivered_kwh / 500)
        assert (cost.base_kw + plan.planned.demand_kw).max() <= cost.base_kw.max() + 1e-6
    assert got == pytest.approx([0.0, 16.4, 18.9, 19.9], abs=0.1)  # EQUATIONS 001.4


def test_a_plan_costs_less_than_doing_without() -> None:
    fleet, cost = random_problem(3)
    plan = planned(replace(fleet, benefit=np.full(len(fleet), np.inf)), cost, Rule(0.5, 1e-8))
    for other in (plan.arrival, plan.cheapest):
        assert plan.cost_eur(plan.planned) < plan.cost_eur(other)
        assert other.delivered_kwh == pytest.approx(plan.planned.delivered_kwh)


@pytest.mark.parametrize(("count", "slots", "averaging", "topology", "loss"), [
    (20, 24, "exact", "ring", 0.0), (12, 25, "exact", "line", 0.2), (8, 24, "chebyshev", "ring", 0.0),
])  # fmt: skip
def test_without_a_coordinator_it_is_the_same(
    count: int, slots: int, averaging: str, topology: str, loss: float
) -> None:
    fleet = random_fleet(count, slots, 24.0 / slots, [count], discharging=0.3)
    cost, rule, ids = source_cost(count, slots), Rule(0.8, 1e-6), tuple(range(1, count + 1))
    plan = averaging_plan(averaging, ids, build_edges(topology, ids), 1e-9)
    agents = price_agents(fleet, cost, rule, plan, resend_ns=2)
    play_epoch(agents, LossyNetwork(plan.neighbours, loss=loss, seed=1))
    central = planned(fleet, cost, rule).course
    for agent in agents.values():
        assert agent.agreement is not None
        assert agent.agreement.course.iterations == central.iterations
        np.testing.assert_allclose(agent.agreement.course.price, central.price, rtol=1e-6)


def test_blocks_and_threads_change_nothing_but_rounding() -> None:
    fleet, cost = random_problem(5)
    one, many = (planned(fleet, cost, Rule(0.5, 1e-8), size) for size in (1000, 7))
    np.testing.assert_allclose(one.course.price, many.course.price, rtol=1e-12)
    power = schedule_of(Block(fleet, 1.0), one.course.price)
    np.testing.assert_allclose(power.sum(axis=0), one.planned.demand_kw, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_two_worker_processes_gives_the_same_bits() -> None:
    from distributed import LocalCluster

    fleet, cost = random_problem(5)
    here = planned(fleet, cost, Rule(0.5, 1e-6))
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        blocks = [Block(part, cost.slot_h) for part in fleet.blocks(50)]
        with DaskWorkers(blocks, cluster.scheduler_address) as workers:
            there = plan_valley(cost, workers, Rule(0.5, 1e-6))
    assert np.array_equal(here.course.prices, there.course.prices)
    assert np.array_equal(here.planned.demand_kw, there.planned.demand_kw)
