"""A linear program that contains every equilibrium of drivers in a box of rebates: bounds that are proven.

In equilibrium lambda_a = mu_a + s_t - (B'rho)_a and lambda_a = -sigma_a e(y_a) on every arc: linear but for one curve
per arc, which lines enclose over an interval of its flow (envelopes.py). What drivers are paid follows without any
product: sum s_t y_t = f'rho - sum (mu_a y_a + sigma_a y_a e(y_a)), and y e(y) is concave, so lines above it bound the
payment from below; the products with few levels are enclosed level by level. The bid is bounded from above by planes
over the box of shares. All of it holds whatever the signs of cross effects; only the intervals must be right, see
intervals.py. The source relaxes s_t y_t = u_t instead (misocp.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Form, squared_deviation
from v2g_nodes.planning.market.envelopes import lines_above, lines_below, spending_lines
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import Platform

LINES = 8  # per arc and side
INFEASIBLE = 2  # status of scipy's solver


@dataclass(frozen=True)
class Box:
    """Rebates and the flows that go with them.

    Args:
        low: smallest rebate of each hour, shape (hours,) [USD/h].
        high: largest rebate.
        flow_low: smallest flow of each arc, one array (arcs,) per cluster.
        flow_high: largest flow.
    """

    low: FloatArray
    high: FloatArray
    flow_low: tuple[FloatArray, ...]
    flow_high: tuple[FloatArray, ...]


class Rows:
    """Rows lower <= A x <= upper under construction."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._parts: list[Any] = []
        self._lower: list[FloatArray] = []
        self._upper: list[FloatArray] = []

    def add(self, blocks: dict[int, Any], lower: Any, upper: Any) -> None:  # noqa: ANN401 - numbers or arrays
        """Rows whose matrix is made of blocks that begin at a column each."""
        from scipy.sparse import coo_matrix

        parts = [(start, coo_matrix(block)) for start, block in blocks.items()]
        count = parts[0][1].shape[0]
        row = np.concatenate([part.row for _, part in parts])
        column = np.concatenate([part.col + start for start, part in parts])
        data = np.concatenate([part.data for _, part in parts])
        self._parts.append(coo_matrix((data, (row, column)), shape=(count, self._columns)))
        self._lower.append(np.broadcast_to(lower, count))
        self._upper.append(np.broadcast_to(upper, count))

    def joined(self) -> tuple[Any, FloatArray, FloatArray]:
        """Matrix, lower and upper ends."""
        from scipy.sparse import vstack

        return vstack(self._parts, format="csr"), np.concatenate(self._lower), np.concatenate(self._upper)


def follower_rows(rows: Rows, follower: Follower, first: int, rebates: int, low: FloatArray, high: FloatArray) -> None:
    """Equilibrium of one cluster, relaxed: columns flow, rho from `first` on, the rebates at column `rebates`."""
    from scipy.sparse import diags

    network, sigma = follower.network, follower.sigma
    rho = first + network.arcs
    rows.add({first: network.incidence}, network.supply, network.supply)
    # sigma e(y) = (B'rho)_a - mu_a - s_t lies between the lines
    for (intercepts, slopes), below in ((lines_below(low, high, LINES), True), (lines_above(low, high, LINES), False)):
        for intercept, slope in zip(intercepts, slopes, strict=True):
            side = follower.mu + sigma * intercept
            blocks = {first: diags(-sigma * slope), rho: network.incidence.T, rebates: -network.plug_matrix}
            rows.add(blocks, side if below else -np.inf, np.inf if below else side)


@dataclass(frozen=True)
class Bounded:
    """Result of the relaxation.

    Args:
        bound: no rebates of the box earn more [USD per day]; minus infinity where it holds no equilibrium.
        by_level: for each hour, the bound with each of its levels inside the box, from reduced costs [USD per day].
        rebates: of the relaxed optimum, shape (hours,) [USD/h].
        unpaid: by how much it pays less than its rebates times its shares, in each hour, shape (hours,) [USD].
    """

    bound: float
    by_level: list[FloatArray]
    rebates: FloatArray
    unpaid: FloatArray


def profit_bound(platform: Platform, box: Box) -> Bounded:
    """Upper bound of the profit over the levels inside a box.

    A level of every hour has a weight z_th in [0, 1], and y_th = y_t z_th makes the payment s_t y_t linear: exactly
    where the weights are 0 or 1, from below in between.
    """
    from scipy.optimize import linprog
    from scipy.sparse import vstack

    program = _program(platform, box)
    same = program.below == program.above
    over, under = np.isfinite(program.above) & ~same, np.isfinite(program.below) & ~same
    found = linprog(
        program.cost, A_eq=program.matrix[same], b_eq=program.above[same],
        A_ub=vstack([program.matrix[over], -program.matrix[under]]),
        b_ub=np.concatenate([program.above[over], -program.below[under]]),
        bounds=np.column_stack([program.lower, program.upper]), method="highs",
    )  # fmt: skip
    if found.status != 0:
        bound = -np.inf if found.status == INFEASIBLE else np.inf
        return Bounded(bound, [np.full(len(one), bound) for one in program.levels], box.low, box.high - box.low)
    hours, choices = platform.hours, sum(map(len, program.levels))
    falls = np.maximum(found.lower.marginals[2 * hours : 2 * hours + choices], 0.0)
    ends = np.cumsum([len(one) for one in program.levels])[:-1]
    rebates, unpaid = found.x[:hours], np.zeros(hours)
    for count, first in zip(platform.vehicles, program.chosen, strict=True):
        parts = np.split(found.x[first : first + choices], ends)
        paid = np.array([part @ one for part, one in zip(parts, program.levels, strict=True)])
        unpaid += count * (rebates * np.array([part.sum() for part in parts]) - paid)
    return Bounded(-float(found.fun), [-float(found.fun) - part for part in np.split(falls, ends)], rebates, unpaid)


@dataclass(frozen=True)
class Program:
    """min cost x with below <= matrix x <= above, lower <= x <= upper.

    Levels of each hour; `chosen`: first column of y_th of each cluster.
    """

    cost: FloatArray
    matrix: Any
    below: FloatArray
    above: FloatArray
    lower: FloatArray
    upper: FloatArray
    levels: list[FloatArray]
    chosen: list[int]


def _program(platform: Platform, box: Box) -> Program:
    levels = [platform.levels[(platform.levels >= lo) & (platform.levels <= hi)]
              for lo, hi in zip(box.low, box.high, strict=True)]  # fmt: skip
    worth = np.concatenate(levels)
    hour = np.repeat(np.arange(platform.hours), [len(one) for one in levels])
    choice = (hour == np.arange(platform.hours)[:, None]).astype(float)  # (hours, choices)
    hours, choices = platform.hours, len(worth)
    sizes = [2 * f.network.arcs + len(f.network.supply) + choices for f in platform.followers]
    firsts = np.cumsum([2 * hours + choices, *sizes])  # rebates, bids, z; then flow, rho, y e(y), y_th of each cluster
    columns = int(firsts[-1])
    chosens: list[int] = []
    rows = Rows(columns)
    lower, upper, cost = np.full(columns, -np.inf), np.full(columns, np.inf), np.zeros(columns)
    lower[hours : 2 * hours], cost[hours : 2 * hours] = 0.0, -platform.prices
    lower[2 * hours : 2 * hours + choices], upper[2 * hours : 2 * hours + choices] = 0.0, 1.0
    rows.add({2 * hours: choice}, 1.0, 1.0)
    rows.add({0: -np.eye(hours), 2 * hours: choice * worth}, 0.0, 0.0)
    for k, follower in enumerate(platform.followers):
        network, first = follower.network, int(firsts[k])
        low, high = box.flow_low[k], box.flow_high[k]
        follower_rows(rows, follower, first, 0, low, high)
        lower[first : first + network.arcs], upper[first : first + network.arcs] = low, high
        spending = first + network.arcs + len(network.supply)
        for intercept, slope in zip(*spending_lines(low, high, LINES), strict=True):
            rows.add({first: np.diag(-slope), spending: np.eye(network.arcs)}, -np.inf, intercept)
        chosen = spending + network.arcs
        chosens.append(chosen)
        rows.add({chosen: choice, first: -network.plug_matrix.T}, 0.0, 0.0)
        ends = (low @ network.plug_matrix)[hour], np.minimum(high @ network.plug_matrix, 1.0)[hour]
        rows.add({chosen: np.eye(choices), 2 * hours: -np.diag(ends[0])}, 0.0, np.inf)
        rows.add({chosen: np.eye(choices), 2 * hours: -np.diag(ends[1])}, -np.inf, 0.0)
        rows.add({chosen: worth[None, :], first: follower.mu[None, :], first + network.arcs: -network.supply[None, :],
                  spending: follower.sigma[None, :]}, 0.0, np.inf)  # fmt: skip
        cost[chosen : chosen + choices] = platform.vehicles[k] * worth
    _bid_rows(rows, platform, box, firsts)
    matrix, below, above = rows.joined()
    return Program(cost, matrix, below, above, lower, upper, levels, chosens)


def _bid_rows(rows: Rows, platform: Platform, box: Box, firsts: FloatArray) -> None:
    low = np.array([lo @ f.network.plug_matrix for lo, f in zip(box.flow_low, platform.followers, strict=True)])
    high = np.array([hi @ f.network.plug_matrix for hi, f in zip(box.flow_high, platform.followers, strict=True)])
    low, high = np.minimum(low, 1.0), np.minimum(high, 1.0)
    for forms in range(len(platform.forms)):
        intercept, slope = bid_planes(platform, forms, low, high)
        blocks: dict[int, Any] = {platform.hours: np.eye(platform.hours)}
        for k, follower in enumerate(platform.followers):
            blocks[int(firsts[k])] = -(slope[k][:, None] * follower.network.plug_matrix.T)
        rows.add(blocks, -np.inf, intercept)


def bid_planes(platform: Platform, number: int, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A plane above the bid over a box of shares, in every hour.

    A form's bid is concave and rising in N and falling, jointly concave, in the root w of D; w is a concave function of
    the shares. So a plane below w at the corners of the box is below it throughout, and with it the tangent plane of
    the bid is above. The larger of two forms and zero is covered by lifting the plane to all planes at all corners.

    Args:
        platform: the problem.
        number: of the requirement.
        low: smallest shares, shape (clusters, hours).
        high: largest shares.

    Returns:
        Intercepts (hours,) and slopes (clusters, hours) [kW].
    """
    clusters = len(low)
    corners = np.array([np.where(np.array(pick)[:, None], high, low) for pick in product((0, 1), repeat=clusters)])
    planes = [_form_plane(platform, form, low, high, corners) for form in platform.forms[number]]
    values = [i + np.sum(s * corners, axis=1) for i, s in planes]
    best = int(values[1].sum() > values[0].sum())
    intercept, slope = planes[best]
    lift = np.maximum(np.maximum(values[1 - best], 0.0) - values[best], 0.0).max(axis=0)
    return intercept + lift, slope


def _form_plane(platform: Platform, form: Form, low: FloatArray, high: FloatArray,
                corners: FloatArray) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    vehicles = platform.vehicles[:, None]
    squared = np.array([np.sum(vehicles * squared_deviation(c, form.backward, platform.exact_deviation)[0], axis=0)
                        for c in corners])  # fmt: skip
    root = np.sqrt(squared)
    width = np.maximum(high - low, 1e-12)
    half = max(len(corners) // 2, 1)
    tilt = np.array([(root[_picked(len(low), k)].sum(axis=0) - root[~_picked(len(low), k)].sum(axis=0)) / half
                     for k in range(len(low))]) / width  # fmt: skip
    base = (root - np.sum(tilt * corners, axis=1)).min(axis=0)
    middle = 0.5 * (low + high)
    n0, w0 = np.sum(vehicles * middle, axis=0), np.maximum(base + np.sum(tilt * middle, axis=0), 1e-9)
    bid, by_n, by_d = form.bid(n0, w0**2)
    by_w = 2.0 * w0 * by_d
    intercept = bid - by_n * n0 + by_w * (base - w0)
    return intercept, by_n * vehicles + by_w * tilt


def _picked(clusters: int, k: int) -> Any:  # noqa: ANN401 - array of bool
    return np.array([bool(pick[k]) for pick in product((0, 1), repeat=clusters)])

