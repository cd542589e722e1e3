"""Rows of the drivers' curves and ends of the columns, of which relaxation.py makes its program."""

from __future__ import annotations

from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.bid_planes import bid_planes
from v2g_nodes.planning.market.envelopes import curve
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.program import ClusterColumns, Rows

SPENDING_MAX = 0.5  # y e(y) = (1 - 2y) sqrt(y / (1 - y)) / 2 stays below 0.151


def curve_rows(
    rows: Rows, follower: Follower, columns: ClusterColumns, arcs: Any,  # noqa: ANN401 - indices
    intercept: FloatArray, slope: FloatArray, below: bool,
) -> None:  # fmt: skip
    """Rows: sigma e(y) = (B'rho)_a - mu_a - s_t lies above the lines, or below them."""
    from scipy.sparse import csr_matrix

    network, sigma = follower.network, follower.sigma[arcs]
    picked = csr_matrix((-sigma * slope, (np.arange(len(arcs)), arcs)), shape=(len(arcs), network.arcs))
    side = follower.mu[arcs] + sigma * intercept
    rows.add({columns.flow: picked, columns.potential: network.sparse_incidence[arcs], 0: -network.sparse_plug[arcs]},
             side if below else -np.inf, np.inf if below else side)  # fmt: skip


def spending_rows(
    rows: Rows, columns: ClusterColumns, arcs: Any, intercept: FloatArray, slope: FloatArray  # noqa: ANN401 - indices
) -> None:  # fmt: skip
    """Rows: y e(y) lies below the lines."""
    from scipy.sparse import csr_matrix

    where = (np.arange(len(arcs)), arcs)
    shape = (len(arcs), columns.chosen - columns.spending)
    rows.add({columns.flow: csr_matrix((-slope, where), shape=shape),
              columns.spending: csr_matrix((np.ones(len(arcs)), where), shape=shape)}, -np.inf, intercept)  # fmt: skip


def largest_bids(platform: Platform, shares: FloatArray) -> FloatArray:
    """No bid in a box of shares is larger, shape (choices,) [kW]."""
    largest: FloatArray = np.full(shares.shape[-1], np.inf)
    for number in range(len(platform.forms)):
        intercept, slope = bid_planes(platform, number, shares[0], shares[1])
        largest = np.minimum(largest, intercept + np.maximum(slope * shares[0], slope * shares[1]).sum(axis=0))
    some: FloatArray = np.maximum(largest, 0.0)
    return some


def potentials(
    follower: Follower, rebates: tuple[FloatArray, FloatArray], low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """Ends of the potentials, (nodes - 1,) each: rho falls by mu + s + sigma e(y) along an arc, 0 at the end."""
    network = follower.network
    plugged = network.plug_hour >= 0
    rebate = [np.where(plugged, side[network.plug_hour], 0.0) for side in rebates]
    curved = follower.sigma * curve(high), follower.sigma * curve(low)
    falls = follower.mu + rebate[0] + curved[0], follower.mu + rebate[1] + curved[1]
    least, most = np.full(len(network.nodes), -np.inf), np.full(len(network.nodes), np.inf)
    least[network.end] = most[network.end] = 0.0
    for _ in range(len(network.nodes)):
        before = least.copy(), most.copy()
        np.maximum.at(least, network.tail, least[network.head] + falls[0])
        np.minimum.at(most, network.tail, most[network.head] + falls[1])
        if (least == before[0]).all() and (most == before[1]).all():
            break
    return np.delete(least, network.end) - 1e-6, np.delete(most, network.end) + 1e-6
