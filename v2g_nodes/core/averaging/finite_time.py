"""Averaging that ends after as many rounds as the graph has distinct eigenvalues.

Recursion. x(k+1) = x(k) - L x(k) / lambda_k over the distinct non-zero eigenvalues of the graph Laplacian L. Each
round removes one eigenvector's part, so after the last only the mean is left, exactly in exact arithmetic.

Order. The other parts grow or shrink while one is removed, and what rounding leaves of a removed part grows again:
taken once each, the eigenvalues of random graphs leave up to 1e-6 of 16 members and more than there was of 64. So the
next one is always the one whose part, rounding included, is largest (Leja order, but an eigenvalue may come back),
until all parts are below 1e-12 of the largest there was. Ties are decided on rounded numbers, so that a last bit does
not change the order. Equal eigenvalues need no tolerance within which they are one: what rounding parts by 1e-15 of
the largest, while the smallest gap on the named topologies up to 64 is 2e-3, goes together when one of them is taken.

Rounds. The number of distinct eigenvalues, which is the diameter, on a ring, line, star or complete graph of up to 64.
On others more than the diameter: 8 and 32 on meshes of 16 and 64. With many eigenvalues some come back (up to 30 %
more rounds on random graphs of up to 64) and some need not be taken, their neighbours having removed their part too.

Error in float64, in parts of the first disagreement, measured up to 64 members: 6e-15 on a bus and a star, 5e-14 on a
ring or line, 3e-12 on a mesh, 3e-11 on random graphs, 4e-10 on a clique of 50 with a tail of 14. Values grow to 300
times the largest on a line of 64, thousands of times on that clique.

Knows: the Laplacian's spectrum, so the whole graph, and the eigenvalues the same at every member.

Source: Kibangou, "Graph Laplacian based matrix design for finite-time distributed average consensus", ACC 2012; order:
Reichel, "The application of Leja points to Richardson iteration and polynomial preconditioning", LAA 154-156, 1991;
eigenvalues that come back: DERIVED.
"""

from __future__ import annotations

import math

from v2g_nodes.core.averaging.linear import LinearPlan
from v2g_nodes.core.graph import Adjacency, laplacian_spectrum

ROUNDING = 2.0**-53  # part of a value that its rounding may be
LEFT = 1e-12  # part of the largest value that may be left


def finite_time_plan(neighbours: Adjacency) -> LinearPlan:
    """Plan for a connected graph."""
    spectrum: list[float] = laplacian_spectrum(neighbours).tolist()
    weights = {k: (1.0,) * len(v) for k, v in neighbours.items()}
    gains = tuple((1.0 / value, 0.0) for value in leja_order(spectrum[1:]))  # connected: one zero, the first
    return LinearPlan(neighbours, weights, gains)


def leja_order(eigenvalues: list[float]) -> list[float]:
    """The largest first, then always the one whose part is largest, until only rounding is left."""
    sizes = dict.fromkeys(eigenvalues, 1.0)
    order: list[float] = []
    peak = 1.0
    while max(sizes.values(), default=0.0) > LEFT * peak:
        taken = max(sizes, key=lambda value: (round(math.log(sizes[value]), 6), value))
        order.append(taken)
        for value in sizes:
            sizes[value] = max(sizes[value] * abs(taken - value) / taken, ROUNDING * peak)
        peak = max(peak, *sizes.values())
    return order
