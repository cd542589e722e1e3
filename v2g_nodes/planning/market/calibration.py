"""From observed arc flows to the utilities that explain them: inverse optimisation with a normalisation.

A flow is optimal for (mu, sigma) exactly where primal value >= dual value for some potentials rho (strong duality), so
the least epsilon in sum(mu y + sigma sqrt(y (1 - y))) + epsilon >= dual(rho) is what the flow misses. The problem is
homogeneous and many (mu, rho, sigma) are exact: mu may move by B'd, rho by d. What one flow identifies is the reduced
utility mu - B'rho; it is chosen with rho = 0, sigma equal on all arcs, and scaled so that a day is worth what is said.
Source: EQUATIONS 004.2; the normalisation is a reconstruction there.
"""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.checks import check_positive
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.activity_network import ActivityNetwork
from v2g_nodes.planning.market.persistency import Follower, utility_of

FLOW_MIN = 1e-6  # observed flows of 0 or 1 would need unbounded utilities
CONSERVATION = 1e-6


def calibrate(network: ActivityNetwork, flow: FloatArray, value_usd: float) -> Follower:
    """Utilities under which the observed flow is the drivers' optimum without rebates.

    Args:
        network: of the day.
        flow: observed share of drivers on each arc, shape (arcs,), clipped to [FLOW_MIN, 1 - FLOW_MIN].
        value_usd: what a day is worth to a driver [USD].

    Raises:
        InputError: a flow out of [0, 1], a node that loses drivers, a value that is not above 0.
    """
    check_positive("value of a day", value_usd, "USD")
    for arc, share in enumerate(flow):
        if not 0.0 <= share <= 1.0:
            raise InputError(f"{network.place(arc)}: flow is {share}, allowed 0 to 1")
    missed = np.abs(network.incidence @ flow - network.supply)
    if missed.max() > CONSERVATION:
        node = [name for k, name in enumerate(network.nodes) if k != network.end][int(missed.argmax())]
        raise InputError(f"node {node}: in and out differ by {missed.max():.2g} of a driver, allowed {CONSERVATION:g}")
    clipped = np.clip(flow, FLOW_MIN, 1.0 - FLOW_MIN)
    ones = np.ones(network.arcs)
    mu = utility_of(clipped, ones)
    sigma = value_usd / float(0.5 * np.sum(mu + np.hypot(mu, 1.0)))  # the dual value at rho = 0 is linear in sigma
    return Follower(network, sigma * mu, sigma * ones)


def inverse_gap(follower: Follower, flow: FloatArray) -> float:
    """Epsilon: by how much the flow misses the drivers' optimum [USD per day], at least 0 but for rounding."""
    rest = np.zeros(follower.network.hours)
    return float(follower.solve(rest).value[0] - follower.primal_value(flow[None, :], rest)[0])
