"""Communication graphs: named topologies, distances, spanning tree, Metropolis weights, spectrum.

Edges are undirected pairs (i, j) with i < j, ascending. Nodes are module ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from v2g_nodes.core.errors import GraphError
from v2g_nodes.core.types import FloatArray

Edge = tuple[int, int]
Edges = tuple[Edge, ...]
Adjacency = dict[int, tuple[int, ...]]

TOPOLOGIES = ("ring", "line", "star", "bus", "mesh")


def build_edges(topology: str, ids: Sequence[int]) -> Edges:
    """Edges of a named topology over the ids in the order given.

    Args:
        topology: one of TOPOLOGIES; `bus` is the complete graph, `mesh` a grid of 4 neighbours, as square
            as the number allows, its last row filled as far as the modules reach.
        ids: module ids, distinct.

    Raises:
        GraphError: unknown topology.
    """
    n = len(ids)
    if topology == "ring":
        pairs = [(k, (k + 1) % n) for k in range(n)] if n > 2 else [(0, 1)][: n - 1]
    elif topology == "line":
        pairs = [(k, k + 1) for k in range(n - 1)]
    elif topology == "star":
        pairs = [(0, k) for k in range(1, n)]
    elif topology == "bus":
        pairs = [(j, k) for j in range(n) for k in range(j + 1, n)]
    elif topology == "mesh":
        width = math.ceil(math.sqrt(n))
        pairs = [(k, k + 1) for k in range(n - 1) if (k + 1) % width]
        pairs += [(k, k + width) for k in range(n - width)]
    else:
        raise GraphError(f"topology {topology!r}, allowed {', '.join(TOPOLOGIES)}")
    return normalise(tuple((ids[a], ids[b]) for a, b in pairs))


def normalise(edges: Iterable[Edge]) -> Edges:
    """Edges as ascending pairs in ascending order, each once."""
    return tuple(sorted({(min(a, b), max(a, b)) for a, b in edges}))


def adjacency(ids: Iterable[int], edges: Iterable[Edge]) -> Adjacency:
    """Neighbours of every id, ascending.

    Raises:
        GraphError: an edge names an unknown id or joins a module to itself.
    """
    lists: dict[int, list[int]] = {k: [] for k in ids}
    for a, b in normalise(edges):
        if a == b:
            raise GraphError(f"edge [{a}, {b}] joins a module to itself")
        for end in (a, b):
            if end not in lists:
                raise GraphError(f"edge [{a}, {b}] names module {end}, known are {sorted(lists)}")
        lists[a].append(b)
        lists[b].append(a)
    return {k: tuple(sorted(v)) for k, v in lists.items()}


def hops_from(start: int, neighbours: Adjacency) -> dict[int, int]:
    """Hop count from `start` to every id it can reach (breadth first)."""
    hops = {start: 0}
    front = [start]
    while front:
        following = []
        for node in front:
            for other in neighbours[node]:
                if other not in hops:
                    hops[other] = hops[node] + 1
                    following.append(other)
        front = following
    return hops


def check_connected(ids: Sequence[int], edges: Iterable[Edge]) -> None:
    """Refuse a graph that falls apart.

    Raises:
        GraphError: with the parts, smallest first.
    """
    neighbours = adjacency(ids, edges)
    left, parts = set(ids), []
    while left:
        part = set(hops_from(min(left), neighbours))
        parts.append(sorted(part))
        left -= part
    if len(parts) > 1:
        parts.sort(key=len)
        raise GraphError(f"graph is not connected: {' | '.join(map(str, parts))}; allowed is one part")


def diameter(neighbours: Adjacency) -> int:
    """Largest hop count between two ids of a connected graph; 0 for one id."""
    return max((max(hops_from(k, neighbours).values()) for k in neighbours), default=0)


def spanning_tree(neighbours: Adjacency) -> Edges:
    """A breadth-first spanning tree of small diameter, the same at everyone who knows the graph.

    The four most central roots are tried (lower ids first on a tie); the tree with the smallest diameter wins, the
    earlier root on a tie. A breadth-first tree from a centre has a diameter of at most twice the graph's radius.
    """
    roots = sorted(neighbours, key=lambda k: (max(hops_from(k, neighbours).values()), k))[:4]
    trees = [_tree_from(root, neighbours) for root in roots]
    return min(trees, key=lambda tree: tree_diameter(adjacency(neighbours, tree)), default=())


def tree_diameter(neighbours: Adjacency) -> int:
    """Diameter of a tree: the largest hop count from an id that is farthest from any id; 0 for one id."""
    hops = hops_from(min(neighbours), neighbours)
    farthest = max(hops, key=lambda k: hops[k])
    return max(hops_from(farthest, neighbours).values())


def _tree_from(root: int, neighbours: Adjacency) -> Edges:
    hops = hops_from(root, neighbours)
    parents = {k: min(j for j in neighbours[k] if hops[j] == hops[k] - 1) for k in neighbours if k != root}
    return normalise(parents.items())


def metropolis_row(neighbours: Adjacency, member: int) -> tuple[float, tuple[float, ...]]:
    """A member's own weight, and its neighbours' in the order of `neighbours[member]`."""
    degree = len(neighbours[member])
    row = tuple(1.0 / (1 + max(degree, len(neighbours[j]))) for j in neighbours[member])
    return 1.0 - sum(row), row


def metropolis_weights(neighbours: Adjacency) -> FloatArray:
    """Doubly stochastic weights w_ij = 1 / (1 + max(d_i, d_j)) on edges, the rest on the diagonal.

    Returns:
        Matrix in ascending order of ids, shape (n, n).
    """
    ids = sorted(neighbours)
    index = {k: row for row, k in enumerate(ids)}
    weights = np.zeros((len(ids), len(ids)))
    for k in ids:
        weights[index[k], [index[j] for j in neighbours[k]]] = metropolis_row(neighbours, k)[1]
    np.fill_diagonal(weights, 1.0 - weights.sum(axis=1))
    return weights


def laplacian_spectrum(neighbours: Adjacency) -> FloatArray:
    """Eigenvalues of the graph Laplacian, ascending, shape (n,)."""
    ids = sorted(neighbours)
    index = {k: row for row, k in enumerate(ids)}
    laplacian = np.zeros((len(ids), len(ids)))
    for k in ids:
        laplacian[index[k], index[k]] = len(neighbours[k])
        for j in neighbours[k]:
            laplacian[index[k], index[j]] = -1.0
    return np.linalg.eigvalsh(laplacian).astype(np.float64)


def second_eigenvalue(weights: FloatArray) -> float:
    """Second largest modulus of the eigenvalues of a weight matrix: the factor an average gains per round."""
    moduli = np.sort(np.abs(np.linalg.eigvalsh(weights)))
    return float(moduli[-2]) if len(moduli) > 1 else 0.0
