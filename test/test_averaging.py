"""Exact sums over a group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.averaging.ball_sum import BallSum, SumPlan, sum_plan
from v2g_nodes.core.graph import TOPOLOGIES, Edges, adjacency, build_edges, diameter, hops_from
from v2g_nodes.sim.random_graph import random_edges

Vector = tuple[int, ...]


def play(plan: SumPlan, values: dict[int, Vector]) -> tuple[dict[int, Vector], int]:
    """All members' totals, and the largest magnitude that was broadcast."""
    sums = {k: BallSum(plan, k, v) for k, v in values.items()}
    largest = 0
    for _ in range(plan.rounds):
        assert not any(s.done for s in sums.values())
        balls = {k: s.ball for k, s in sums.items()}
        largest = max(largest, *(abs(value) for ball in balls.values() for value in ball))
        for k, s in sums.items():
            s.advance([balls[j] for j in plan.neighbours[k]])
    assert all(s.done for s in sums.values())
    return {k: s.total for k, s in sums.items()}, largest


def check_sums(ids: tuple[int, ...], edges: Edges, seed: int) -> SumPlan:
    random = np.random.default_rng(seed)
    values = {k: tuple(random.integers(-500, 501, 3).tolist()) for k in ids}
    plan = sum_plan(ids, edges)
    totals, largest = play(plan, values)
    assert set(totals.values()) == {tuple(map(sum, zip(*values.values(), strict=True)))}
    # nothing on the wire outgrows the sum of magnitudes, for which the wire format leaves room
    assert largest <= max(sum(abs(v[place]) for v in values.values()) for place in range(3))
    return plan


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("n", range(1, 65))
def test_sums_and_rounds_on_named_topologies(topology: str, n: int) -> None:
    ids = tuple(range(1, n + 1))
    edges = build_edges(topology, ids)
    neighbours = adjacency(ids, edges)
    plan = check_sums(ids, edges, seed=n)
    if topology == "mesh":
        assert plan.rounds <= 2 * min(max(hops_from(k, neighbours).values()) for k in ids)
    else:
        assert plan.rounds == diameter(neighbours)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_sums_and_rounds_on_random_graphs(n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = tuple(sorted(random.choice(np.arange(1, 65), n, replace=False).tolist()))
    edges = random_edges(ids, int(random.integers(0, n + 1)), random)
    neighbours = adjacency(ids, edges)
    plan = check_sums(ids, edges, seed)
    radius = min(max(hops_from(k, neighbours).values()) for k in ids)
    assert plan.rounds <= 2 * radius
    assert {(a, b) for a, others in plan.neighbours.items() for b in others if a < b} <= set(edges)


@pytest.mark.parametrize("n", [7, 8])
def test_sums_are_exact_for_values_that_floats_would_round(n: int) -> None:
    ids = tuple(range(1, n + 1))
    totals, _ = play(sum_plan(ids, build_edges("ring", ids)), {k: (2**55 + k,) for k in ids})
    assert set(totals.values()) == {(n * 2**55 + n * (n + 1) // 2,)}


@pytest.mark.parametrize(("n", "even"), [(3, False), (4, True), (5, False), (6, True), (2, False)])
def test_only_an_even_ring_halves_its_last_two_balls(n: int, even: bool) -> None:
    ids = tuple(range(1, n + 1))
    assert sum_plan(ids, build_edges("ring", ids)).even_ring is even


def test_a_ring_with_a_chord_uses_a_tree() -> None:
    ids = (1, 2, 3, 4, 5, 6)
    plan = sum_plan(ids, (*build_edges("ring", ids), (1, 4)))
    assert sum(len(v) for v in plan.neighbours.values()) == 2 * 5
    assert not plan.even_ring


def test_one_member_knows_its_sum_at_once() -> None:
    plan = sum_plan((5,), ())
    assert plan.rounds == 0
    lonely = BallSum(plan, 5, [4, -2])
    assert lonely.done
    assert lonely.total == (4, -2)


def test_a_sum_is_not_known_before_its_last_round() -> None:
    ids = (1, 2, 3)
    plan = sum_plan(ids, build_edges("line", ids))
    middle = BallSum(plan, 2, [1])
    middle.advance([(10,), (100,)])
    assert not middle.done  # it has all it needs, but its neighbours count on its second broadcast
    assert middle.ball == (111,)
