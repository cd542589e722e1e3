"""Averaging that ends after as many rounds as the graph has distinct eigenvalues.

Recursion. x(k+1) = x(k) - L x(k) / lambda_k over the distinct non-zero eigenvalues of the graph Laplacian L. Each
round removes one eigenvector's part, so after the last only the mean is left, exactly in exact arithmetic.

Order. The other parts grow or shrink while one is removed, and what rounding leaves of a removed part grows again:
taken once each, the eigenvalues of random graphs leave up to 1e-6 of 16 members and more than there was of 64. So the
next one is always the one whose part, rounding included, is largest (Leja order, but an eigenvalue may come back),
until all parts are below 1e-12 of the largest there was. Ties are decided on rounded numbers, so that a last bit does
not change the order.

Rounds. The number of distinct eigenvalues, which is the diameter, on a ring, line, star or complete graph of up to 64.
On others more than the diameter: 8 and 32 on meshes of 16 and 64. With many eigenvalues some come back (up to 30 %
more rounds on random graphs of up to 64) and some need not be taken, their neighbours having removed their part too.

Error in float64, in parts of the first disagreement, measured up to 64 members: 3e-15 on a bus, 6e-15 on a star, 5e-14
on a ring or line, 3e-12 on a mesh, 3e-11 on random graphs, 4e-10 on a clique of 50 with a tail of 14. Values grow up
to 100 times on a line of 64, 1400 times on that clique.

Knows: the Laplacian's spectrum, so the whole graph, and the eigenvalues the same at every member.

Source: Kibangou, "Graph Laplacian based matrix design for finite-time distributed average consensus", ACC 2012; order:
Reichel, "The application of Leja points to Richardson iteration and polynomial preconditioning", LAA 154-156, 1991;
eigenvalues that come back: DERIVED.
"""

from __future__ import annotations

import math

from v2g_nodes.core.averaging.linear import LinearPlan
from v2g_nodes.core.graph import Adjacency, laplacian_spectrum

# Share of the largest eigenvalue below which two are one: rounding parts equal ones by 2e-15, while the smallest gap on
# rings, lines, stars, buses and meshes of up to 64 is 2e-3. What merging leaves of the smaller part is at most this gap
# over the eigenvalue, so 1e-9 lambda_max / lambda_2.
SAME = 1e-9
ROUNDING = math.log(2.0**-53)  # part of a value that its rounding may be
LEFT = math.log(1e-12)  # part of the largest value that may be left


def finite_time_plan(neighbours: Adjacency) -> LinearPlan:
    """Plan for a connected graph."""
    spectrum: list[float] = laplacian_spectrum(neighbours).tolist()
    weights = {k: (1.0,) * len(v) for k, v in neighbours.items()}
    gains = tuple((1.0 / value, 0.0) for value in leja_order(distinct(spectrum[1:])))  # connected: one zero, the first
    return LinearPlan(neighbours, weights, gains)


def distinct(eigenvalues: list[float]) -> list[float]:
    """Ascending eigenvalues, those closer than rounding can tell merged into their first."""
    kept: list[float] = []
    for value in eigenvalues:
        if not kept or value - kept[-1] > SAME * eigenvalues[-1]:
            kept.append(value)
    return kept


def leja_order(eigenvalues: list[float]) -> list[float]:
    """The largest first, then always the one whose part is largest, until all were taken and only rounding is left."""
    sizes = dict.fromkeys(eigenvalues, 0.0)  # logarithm of each part's size, all 1 at first
    order: list[float] = []
    peak = 0.0
    while max(sizes.values(), default=-math.inf) > peak + LEFT:
        taken = max(sizes, key=lambda value: (round(sizes[value], 6), value))
        order.append(taken)
        for value in sizes:
            factor = math.log(abs(1.0 - value / taken)) if value != taken else ROUNDING
            sizes[value] = max(sizes[value] + factor, peak + ROUNDING)
        peak = max(peak, *sizes.values())
    return order
