"""Iterative algorithms that start from the last price: what they agree on stays, the way there gets shorter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.cli.dispatch_trial import Instance, random_instance
from v2g_nodes.core.averaging.plans import averaging_plan
from v2g_nodes.core.dispatch.agent import LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.methods import FIXED_POINT, METHODS, averagings, build_agent, gap_limit
from v2g_nodes.core.dispatch.start_price import start_code, start_price
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import Agreement
from v2g_nodes.sim.network import LossyNetwork, play_epoch

ITERATIVE = tuple(method for method in METHODS if method != "supply_curve")
PAIRS = [(method, averaging) for method in ITERATIVE for averaging in averagings(method)]
BALANCE = {"newton": 1e-8, "admm": 2e-3, "primal_dual": 2e-3, "price_tracking": 1e-3}
SHORTER = {"newton": 0.85, "admm": 0.6, "primal_dual": 0.7, "price_tracking": 0.5}  # newton has few iterations to save
SPAN = 0.37
NOTHING_KNOWN = (None, math.nan, math.inf, -math.inf, 0.0, 1e-12, 1e9, -1e9)

Starts = Mapping[int, float | None]


# ---- the number that carries a price


@given(share=st.floats(-0.999, 0.999))
def test_a_price_crosses_as_a_number_of_32_bits(share: float) -> None:
    code = start_code(share * SPAN, SPAN)
    assert code == float(np.float32(code)) == int(code) >= 0
    found = start_price(code, SPAN)
    assert abs((found or 0.0) - share * SPAN) <= SPAN * 2**-22


@pytest.mark.parametrize("price", [*NOTHING_KNOWN, SPAN, -SPAN, float(np.float32(SPAN)), SPAN * (1 - 6e-8)])
def test_what_is_no_price_inside_the_span_is_nothing_known(price: float | None) -> None:
    assert start_code(price, SPAN) == 0.0
    assert start_price(0.0, SPAN) is None


def test_the_largest_number_is_the_price_of_the_largest_magnitude() -> None:
    prices = (0.0, 0.01, -0.02, 0.3, -0.31)
    codes = [start_code(price, SPAN) for price in prices]
    assert codes == sorted(codes)
    assert [round(start_price(code, SPAN) or 0.0, 6) for code in codes] == list(prices)


@pytest.mark.parametrize("code", [0.7, 1.0, 2.0**23, 2.0**24, 3e38])
def test_a_number_that_nobody_sends_is_no_price(code: float) -> None:
    assert start_price(code, SPAN) is None


# ---- what is agreed on


def agents_of(
    instance: Instance, method: str, averaging: str | None, starts: Starts, cold: bool = False
) -> dict[int, LockstepAgent]:
    agents = {}
    for k, cost, box in zip(instance.group.members, instance.costs, instance.boxes, strict=True):
        supply, span = BoxedCost(cost, box), instance.span_eur_per_kwh
        problem = LocalProblem(k, box, supply, instance.epoch, instance.target_kw, span, starts.get(k))
        agents[k] = build_agent(method, problem, instance.group, None, 1, cold, averaging)
    return agents


def played(
    instance: Instance, method: str, averaging: str | None, starts: Starts, cold: bool = False
) -> dict[int, Agreement]:
    agents = agents_of(instance, method, averaging, starts, cold)
    play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges)), rounds_max=300_000)
    return agreements(agents)


def agreements(agents: Mapping[int, LockstepAgent]) -> dict[int, Agreement]:
    return {k: cast("Agreement", agent.agreement) for k, agent in agents.items()}


def check(instance: Instance, found: Mapping[int, Agreement], method: str, averaging: str) -> None:
    powers = [one.power_kw for one in found.values()]
    gap, balance = instance.quality(powers)
    assert gap < gap_limit(method)
    assert balance < BALANCE[method]
    assert all(box.low_kw <= kw <= box.high_kw for kw, box in zip(powers, instance.boxes, strict=True))
    assert len({(one.rounds, one.iterations) for one in found.values()}) == 1
    if averaging in FIXED_POINT:
        assert len({(one.lambda_eur_per_kwh, one.clipped_target_kw) for one in found.values()}) == 1


def shares_of_the_span() -> st.SearchStrategy[float | None]:
    return st.one_of(st.none(), st.floats(-1.5, 1.5), st.sampled_from([0.999, -0.999, math.nan, math.inf]))


@pytest.mark.parametrize(("method", "averaging"), PAIRS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    topology=st.sampled_from(["ring", "star", "bus"]),
    shares=st.lists(shares_of_the_span(), min_size=1, max_size=6),
    trial=st.integers(0, 50),
)
def test_any_prices_to_start_from_end_at_the_optimum(
    method: str, averaging: str, topology: str, shares: list[float | None], trial: int
) -> None:
    instance = random_instance(topology, len(shares), 61, trial)
    span = instance.span_eur_per_kwh
    starts = {k: None if share is None else share * span for k, share in enumerate(shares, 1)}
    check(instance, played(instance, method, averaging, starts), method, averaging)


@pytest.mark.parametrize("method", ITERATIVE)
@pytest.mark.parametrize("target_kw", [100.0, -100.0])
def test_a_target_beyond_the_boxes_is_clipped_from_any_price(method: str, target_kw: float) -> None:
    instance = replace(random_instance("ring", 5, 62, 0), target_kw=target_kw)
    for share in (0.9, -0.9, 0.1):
        found = played(instance, method, None, {2: share * instance.span_eur_per_kwh})
        check(instance, found, method, "exact")
        assert all(one.clipped for one in found.values())


@pytest.mark.parametrize(("method", "averaging"), PAIRS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(loss=st.floats(0.0, 0.6), delay_max=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_the_network_changes_no_bit_of_a_warm_result(
    method: str, averaging: str, loss: float, delay_max: int, seed: int
) -> None:
    instance = random_instance("ring", 4, 63, seed % 7)
    starts = {1: 0.2 * instance.span_eur_per_kwh, 3: -0.3 * instance.span_eur_per_kwh}
    wild = agents_of(instance, method, averaging, starts)
    neighbours = adjacency(instance.group.members, instance.group.edges)
    play_epoch(wild, LossyNetwork(neighbours, loss, seed=seed, delay_max=delay_max, shuffle=True), rounds_max=300_000)
    assert agreements(wild) == played(instance, method, averaging, starts)


@pytest.mark.parametrize(("method", "averaging"), PAIRS)
def test_all_start_from_the_price_of_the_largest_magnitude(method: str, averaging: str) -> None:
    instance = random_instance("line", 5, 64, 1)
    known = -0.3 * instance.span_eur_per_kwh
    by_all = played(instance, method, averaging, dict.fromkeys(instance.group.members, known))
    assert played(instance, method, averaging, {5: known}) == by_all
    assert played(instance, method, averaging, {1: -0.9 * known, 4: known, 3: math.nan}) == by_all
    assert played(instance, method, averaging, {}) != by_all


@pytest.mark.parametrize("method", METHODS)
def test_without_a_price_or_when_told_so_the_start_is_cold(method: str) -> None:
    instance = random_instance("ring", 5, 65, 0)
    cold = played(instance, method, None, {})
    span = instance.span_eur_per_kwh
    assert played(instance, method, None, dict(zip(range(1, 6), NOTHING_KNOWN[:4], strict=False))) == cold
    assert played(instance, method, None, {1: 1e9, 2: -span, 3: 0.0}) == cold
    assert played(instance, method, None, dict.fromkeys(range(1, 6), 0.2 * span), cold=True) == cold


# ---- how long it takes


def neighbouring_target(instance: Instance, share: float) -> Instance:
    """The target moved by this share of the rating, towards the middle of the boxes."""
    middle = sum(0.5 * (box.low_kw + box.high_kw) for box in instance.boxes)
    step_kw = math.copysign(share * instance.rating_kw, middle - instance.target_kw)
    return replace(instance, target_kw=instance.target_kw + step_kw)


def iterations(instance: Instance, method: str, starts: Starts) -> int:
    return next(iter(played(instance, method, None, starts).values())).iterations


def prices(found: Mapping[int, Agreement]) -> dict[int, float]:
    return {k: one.lambda_eur_per_kwh for k, one in found.items()}


@pytest.mark.parametrize("method", ITERATIVE)
def test_a_target_close_to_the_last_is_met_in_fewer_iterations(method: str) -> None:
    cold = warm = 0
    for trial in range(6):
        before = random_instance("mesh", 8, 66, trial)
        instance = neighbouring_target(before, 0.01)
        if trial % 2:
            before, instance = instance, before  # the other way
        last = prices(played(before, method, None, {}))
        cold, warm = cold + iterations(instance, method, {}), warm + iterations(instance, method, last)
    assert warm < SHORTER[method] * cold


def without_the_last(instance: Instance) -> Instance:
    """The same station on a bus before its last module has joined."""
    ids = instance.group.members[:-1]
    group = replace(instance.group, members=ids, edges=build_edges("bus", ids))
    return replace(instance, costs=instance.costs[:-1], boxes=instance.boxes[:-1], group=group)


@pytest.mark.parametrize("method", ["newton", "admm", "primal_dual"])
def test_every_answer_to_the_group_counts_as_an_iteration(method: str) -> None:
    instance = random_instance("ring", 6, 69, 0)
    found = played(instance, method, "exact", {2: 0.2 * instance.span_eur_per_kwh})[1]
    inner = averaging_plan("exact", instance.group.members, instance.group.edges).rounds
    assert found.rounds == inner * (found.iterations + 1)  # one for the ends of the boxes


@pytest.mark.parametrize("method", ITERATIVE)
@pytest.mark.parametrize("told", [True, False])
def test_who_joins_starts_from_its_neighbours_price(method: str, told: bool) -> None:
    """Whether the others' price came in time, as float32, or not."""
    cold = warm = 0
    for trial in range(6):
        instance = random_instance("bus", 8, 67, trial)
        last = prices(played(without_the_last(instance), method, None, {}))
        starts = {**last, 8: float(np.float32(last[7]))} if told else last
        cold, warm = cold + iterations(instance, method, {}), warm + iterations(instance, method, starts)
    assert warm < SHORTER[method] * cold


@pytest.mark.parametrize("method", ITERATIVE)
@pytest.mark.parametrize("share", [0.95, -0.95])
def test_a_price_that_makes_no_sense_costs_little(method: str, share: float) -> None:
    cold = warm = 0
    for trial in range(6):
        instance = random_instance("mesh", 8, 68, trial)
        starts = {3: share * instance.span_eur_per_kwh}
        cold, warm = cold + iterations(instance, method, {}), warm + iterations(instance, method, starts)
    assert warm <= 1.3 * cold
