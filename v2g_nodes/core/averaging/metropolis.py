"""Averaging with Metropolis weights: every member moves to a weighted mean of itself and its neighbours.

Recursion. x(k+1) = W x(k) with w_ij = 1 / (1 + max(d_i, d_j)) on links and w_ii = 1 - sum_j w_ij.

Convergence. W is symmetric and doubly stochastic with a positive diagonal, so x tends to the mean on every connected
graph, and the disagreement (2-norm) shrinks at least by sigma, the second largest modulus of the eigenvalues, per
round: K = ceil(ln(tolerance) / ln(sigma)) rounds, and no fewer than the diameter. On rings and lines 1 - sigma falls
with the square of the diameter.

Knows: own degree and the neighbours' degrees for the weights. The number of rounds needs the spectrum, so the whole
graph; who has another rule to stop needs neither.

Source: Xiao, Boyd, Lall, "A scheme for robust distributed sensor fusion based on average consensus", IPSN 2005.
"""

from __future__ import annotations

import math

from v2g_nodes.core.averaging.linear import LinearPlan
from v2g_nodes.core.graph import Adjacency, diameter, metropolis_row, metropolis_weights, second_eigenvalue


def metropolis_plan(neighbours: Adjacency, tolerance: float) -> LinearPlan:
    """Plan for a connected graph.

    Args:
        neighbours: its links.
        tolerance: what may remain of the first disagreement, in (0, 1).
    """
    weights = {k: metropolis_row(neighbours, k)[1] for k in neighbours}
    sigma = second_eigenvalue(metropolis_weights(neighbours))
    rounds = math.ceil(math.log(tolerance) / math.log(sigma)) if sigma > 0.0 else 0
    return LinearPlan(neighbours, weights, ((1.0, 0.0),) * max(rounds, diameter(neighbours)))
