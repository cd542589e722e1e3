"""Metropolis averaging accelerated by Chebyshev polynomials: one more vector to remember, about the root of the rounds.

Recursion. Let m and h be middle and half width of the interval that holds the eigenvalues of the Metropolis matrix W
except the 1, s = (1 - m) / h, r_1 = 1 / s and r_{k+1} = 1 / (2 s - r_k). Then

    x(1)   = x(0) + (r_1 / h) (W - I) x(0)
    x(k+1) = x(k) + (2 r_{k+1} / h) (W - I) x(k) + r_k r_{k+1} (x(k) - x(k-1)),

which is x(k) = T_k((W - m) / h) x(0) / T_k(s), the polynomial of degree k that is 1 at 1 and smallest on the interval;
r_k = T_{k-1}(s) / T_k(s).

Convergence. On every connected graph, for s > 1. What remains of the disagreement (2-norm) is at most
1 / T_K(s) = r_1 r_2 ... r_K; K is the first for which this is within the tolerance, and no less than the diameter.

Knows: the extreme eigenvalues of W, so the whole graph. With an interval that is too narrow it may diverge.

Source: Golub, Varga, "Chebyshev semi-iterative methods", Numer. Math. 3, 1961; for averaging Montijano, Montijano,
Sagues, "Chebyshev polynomials in distributed consensus applications", IEEE Trans. Signal Process. 61, 2013.
"""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.averaging.linear import LinearPlan
from v2g_nodes.core.graph import Adjacency, diameter, metropolis_row, metropolis_weights

NARROWEST = 1e-12  # half width where all eigenvalues are one, as on a complete graph; above the rounding in them


def chebyshev_plan(neighbours: Adjacency, tolerance: float) -> LinearPlan:
    """Plan for a connected graph.

    Args:
        neighbours: its links.
        tolerance: what may remain of the first disagreement, in (0, 1).
    """
    weights = {k: metropolis_row(neighbours, k)[1] for k in neighbours}
    return LinearPlan(neighbours, weights, _gains(neighbours, tolerance) if len(neighbours) > 1 else ())


def _gains(neighbours: Adjacency, tolerance: float) -> tuple[tuple[float, float], ...]:
    eigenvalues = np.linalg.eigvalsh(metropolis_weights(neighbours))
    low, high = float(eigenvalues[0]), float(eigenvalues[-2])
    half = max((high - low) / 2, NARROWEST)
    s = (1.0 - (low + high) / 2) / half
    ratio = left = 1.0 / s
    gains = [(ratio / half, 0.0)]
    least = diameter(neighbours)
    while left > tolerance or len(gains) < least:
        following = 1.0 / (2 * s - ratio)
        gains.append((2 * following / half, ratio * following))
        ratio = following
        left *= ratio
    return tuple(gains)
