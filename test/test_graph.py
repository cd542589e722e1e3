"""Communication graphs."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.errors import GraphError
from v2g_nodes.core.graph import (
    TOPOLOGIES,
    Adjacency,
    Edges,
    adjacency,
    build_edges,
    check_connected,
    diameter,
    hops_from,
    laplacian_spectrum,
    metropolis_weights,
    normalise,
    second_eigenvalue,
    spanning_tree,
    tree_diameter,
)


def named(topology: str, n: int) -> Adjacency:
    ids = range(1, n + 1)
    return adjacency(ids, build_edges(topology, ids))


@st.composite
def connected_graphs(draw: st.DrawFn, largest: int = 14) -> tuple[tuple[int, ...], Edges]:
    """Ids with gaps, joined by a random tree and some edges more."""
    ids = tuple(draw(st.lists(st.integers(1, 64), min_size=1, max_size=largest, unique=True)))
    pairs = [(ids[k], ids[draw(st.integers(0, k - 1))]) for k in range(1, len(ids))]
    if len(ids) > 1:
        ends = st.tuples(st.sampled_from(ids), st.sampled_from(ids))
        pairs += [(a, b) for a, b in draw(st.lists(ends, max_size=2 * len(ids))) if a != b]
    return tuple(sorted(ids)), normalise(pairs)


@pytest.mark.parametrize(
    ("topology", "n", "edges"),
    [
        *((topology, 1, ()) for topology in TOPOLOGIES),
        *((topology, 2, ((1, 2),)) for topology in TOPOLOGIES),
        ("ring", 3, ((1, 2), (1, 3), (2, 3))),
        ("line", 3, ((1, 2), (2, 3))),
        ("star", 3, ((1, 2), (1, 3))),
        ("bus", 3, ((1, 2), (1, 3), (2, 3))),
        ("mesh", 3, ((1, 2), (1, 3))),
        ("ring", 5, ((1, 2), (1, 5), (2, 3), (3, 4), (4, 5))),
        ("mesh", 6, ((1, 2), (1, 4), (2, 3), (2, 5), (3, 6), (4, 5), (5, 6))),
    ],
)
def test_named_topologies(topology: str, n: int, edges: Edges) -> None:
    assert build_edges(topology, range(1, n + 1)) == edges


def test_edges_follow_the_order_of_the_ids() -> None:
    assert build_edges("line", (7, 3, 5)) == ((3, 5), (3, 7))
    assert build_edges("star", (9, 2, 4)) == ((2, 9), (4, 9))


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("n", range(1, 65))
def test_named_topologies_are_connected(topology: str, n: int) -> None:
    ids = range(1, n + 1)
    check_connected(ids, build_edges(topology, ids))


def test_unknown_topology_names_the_allowed_ones() -> None:
    with pytest.raises(GraphError, match=r"topology 'torus', allowed ring, line, star, bus, mesh"):
        build_edges("torus", (1, 2, 3))


@pytest.mark.parametrize(
    ("topology", "n", "expected"),
    [
        ("ring", 1, 0), ("ring", 2, 1), ("ring", 3, 1), ("ring", 8, 4), ("ring", 9, 4), ("ring", 64, 32),
        ("line", 8, 7), ("star", 8, 2), ("star", 2, 1), ("bus", 8, 1), ("bus", 1, 0),
        ("mesh", 4, 2), ("mesh", 8, 4), ("mesh", 16, 6), ("mesh", 64, 14),
    ],
)  # fmt: skip
def test_diameters(topology: str, n: int, expected: int) -> None:
    assert diameter(named(topology, n)) == expected


def test_hops() -> None:
    assert hops_from(1, named("ring", 6)) == {1: 0, 2: 1, 6: 1, 3: 2, 5: 2, 4: 3}
    assert hops_from(1, adjacency((1, 2, 3), ((2, 3),))) == {1: 0}


def test_edges_are_normalised() -> None:
    assert normalise([(3, 1), (1, 3), (2, 1)]) == ((1, 2), (1, 3))
    assert adjacency((1, 2, 3), [(3, 1), (1, 3), (2, 1)]) == {1: (2, 3), 2: (1,), 3: (1,)}


@pytest.mark.parametrize(
    ("edges", "text"),
    [
        ([(1, 1)], "edge [1, 1] joins a module to itself"),
        ([(1, 2), (2, 9)], "edge [2, 9] names module 9, known are [1, 2, 3]"),
    ],
)
def test_bad_edges_are_named(edges: list[tuple[int, int]], text: str) -> None:
    with pytest.raises(GraphError, match=re.escape(text)):
        adjacency((1, 2, 3), edges)


def test_a_disconnected_graph_is_refused_with_its_parts() -> None:
    with pytest.raises(GraphError, match=re.escape("graph is not connected: [4] | [2, 5] | [1, 3, 6]; allowed is one")):
        check_connected(range(1, 7), [(1, 3), (3, 6), (2, 5)])
    with pytest.raises(GraphError, match=re.escape("graph is not connected: [3] | [1, 2]; allowed is one part")):
        check_connected(range(1, 4), [(1, 2)])
    check_connected((), ())


@settings(deadline=None)
@given(connected_graphs())
def test_spanning_tree(graph: tuple[tuple[int, ...], Edges]) -> None:
    ids, edges = graph
    neighbours = adjacency(ids, edges)
    tree = spanning_tree(neighbours)
    assert set(tree) <= set(edges)
    assert len(tree) == len(ids) - 1
    check_connected(ids, tree)
    radius = min(max(hops_from(k, neighbours).values()) for k in ids)
    links = adjacency(ids, tree)
    assert tree_diameter(links) == diameter(links) <= 2 * radius
    shuffled = {k: neighbours[k] for k in reversed(ids)}
    assert spanning_tree(shuffled) == tree  # everyone who knows the graph finds the same one


def test_spanning_tree_of_a_mesh_is_rooted_in_its_centre() -> None:
    tree = adjacency(range(1, 10), spanning_tree(named("mesh", 9)))
    assert max(hops_from(5, tree).values()) == 2
    assert diameter(tree) == 4


@settings(deadline=None)
@given(connected_graphs())
def test_metropolis_weights_are_doubly_stochastic(graph: tuple[tuple[int, ...], Edges]) -> None:
    ids, edges = graph
    neighbours = adjacency(ids, edges)
    weights = metropolis_weights(neighbours)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-14)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-14)
    assert (weights >= 0.0).all()
    linked = {(a, b) for a in ids for b in ids if a == b or b in neighbours[a]}
    for row, a in enumerate(ids):
        for column, b in enumerate(ids):
            assert (weights[row, column] > 0.0) == ((a, b) in linked)
    assert second_eigenvalue(weights) < 1.0  # averaging converges


def test_metropolis_weight_of_one_link() -> None:
    weights = metropolis_weights(named("star", 4))
    assert weights[0, 1] == pytest.approx(1 / 4)
    assert weights[1, 1] == pytest.approx(3 / 4)


def test_second_eigenvalue_of_a_ring_of_ten() -> None:
    expected = (1 + 2 * math.cos(math.radians(36))) / 3
    assert expected == pytest.approx(0.8727, abs=5e-5)
    assert second_eigenvalue(metropolis_weights(named("ring", 10))) == pytest.approx(expected, abs=1e-12)


def test_gap_of_a_mesh_of_fifty() -> None:
    ids = range(1, 51)
    edges = (*build_edges("mesh", range(1, 50)), (49, 50))
    assert 1 - second_eigenvalue(metropolis_weights(adjacency(ids, edges))) == pytest.approx(0.0385, abs=5e-5)


def test_second_eigenvalue_of_one_module_and_of_a_bus() -> None:
    assert second_eigenvalue(metropolis_weights(named("ring", 1))) == 0.0
    assert second_eigenvalue(metropolis_weights(named("bus", 6))) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(connected_graphs())
def test_laplacian_spectrum(graph: tuple[tuple[int, ...], Edges]) -> None:
    ids, edges = graph
    spectrum = laplacian_spectrum(adjacency(ids, edges))
    assert spectrum[0] == pytest.approx(0.0, abs=1e-12)
    assert spectrum.sum() == pytest.approx(2 * len(edges))
    assert (spectrum[1:] > 1e-6).all()  # connected: zero is a simple eigenvalue


def test_laplacian_spectrum_of_a_ring() -> None:
    expected = sorted(2 - 2 * math.cos(2 * math.pi * k / 6) for k in range(6))
    np.testing.assert_allclose(laplacian_spectrum(named("ring", 6)), expected, atol=1e-12)
