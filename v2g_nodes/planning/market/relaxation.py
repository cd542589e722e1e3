"""A linear program that contains every equilibrium of drivers in a box of rebates: bounds that are proven.

In equilibrium lambda_a = mu_a + s_t - (B'rho)_a and lambda_a = -sigma_a e(y_a) on every arc: linear but for one curve
per arc, which lines enclose over an interval of its flow (envelopes.py). What drivers are paid follows without any
product: sum s_t y_t = f'rho - sum (mu_a y_a + sigma_a y_a e(y_a)), and y e(y) is concave, so lines above it bound the
payment from below; the products with few levels are enclosed level by level. Drivers' answers are monotone, (s - r)
(y - y(r)) >= 0 for any rebates r with their exact answer y(r), which bounds the payment again: sum s_t y_t >= r y +
y(r) s - r y(r). The bid is bounded from above by planes over the box of shares. All of it holds whatever the signs of
cross effects; only the intervals must be right, see intervals.py. The source relaxes s_t y_t = u_t instead (misocp.py).

A few lines per arc begin; more are added where the program's optimum breaks them (bounding.py). A level of every hour
has a weight z_th in [0, 1], and y_th = y_t z_th makes the payment s_t y_t linear: exactly where the weights are 0 or 1,
from below in between. Curves of charging arcs and bids are enclosed level by level as well. The bound is the Lagrangian
one of the multipliers, valid whatever the solver's tolerances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.bid_planes import bid_planes
from v2g_nodes.planning.market.envelopes import (
    STEEP,
    curve,
    last_tangent,
    line_above,
    line_below,
    lines_above,
    lines_below,
    spending_lines,
    spending_tangents,
    tangents,
)
from v2g_nodes.planning.market.persistency import Answer, Follower
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.program import ClusterColumns, Layout, Rows, Solver
from v2g_nodes.planning.market.relaxation_parts import (
    SPENDING_MAX,
    curve_rows,
    largest_bids,
    potentials,
    spending_rows,
)

LINES = 2  # per arc and side at the beginning
BROKEN = 1e-5  # of a line, in sigma: no new line below that
WEIGHT_MIN = 1e-6  # of a level, for a share that goes with it
ANSWER_SLACK = 1e-9  # USD: of a payment, for the tolerance of the drivers' exact answer


@dataclass(frozen=True)
class Box:
    """Rebates and the flows that go with them.

    Args:
        low: smallest rebate of each hour, shape (hours,) [USD/h].
        high: largest rebate.
        flow_low: smallest flow of each arc, one array (arcs,) per cluster.
        flow_high: largest flow.
        share_low: smallest share plugged in with each level of each hour, (choices,) per cluster, see Layout.
        share_high: largest share.
    """

    low: FloatArray
    high: FloatArray
    flow_low: tuple[FloatArray, ...]
    flow_high: tuple[FloatArray, ...]
    share_low: tuple[FloatArray, ...]
    share_high: tuple[FloatArray, ...]


class Relaxation:
    """Columns, rows and multipliers of one box.

    Args:
        platform: the problem.
        box: rebates and flows.
        near: flows of good rebates, where lines are laid first, (arcs,) per cluster.
    """

    def __init__(self, platform: Platform, box: Box, near: tuple[FloatArray, ...]) -> None:
        self.platform, self.box = platform, box
        self.layout = Layout(platform, box.low, box.high)
        self._ends = [(last_tangent(low, high), last_tangent(1.0 - high, 1.0 - low))
                      for low, high in zip(box.flow_low, box.flow_high, strict=True)]  # fmt: skip
        self._shares = np.array([box.share_low, box.share_high])  # (2, clusters, choices)
        self.solver = Solver(*self._columns())
        first, rows = self._rows()
        self._kept = self.solver.add(first)
        self.solver.add(rows)
        more = Rows(self.layout.columns)
        for k, follower in enumerate(platform.followers):
            self._cut_curves(more, k, follower, near[k])
            self._cut_levels(more, k, follower, self._shares[:, k].mean(axis=0))
        self.solver.add(more)

    def bounds(self) -> tuple[float, list[FloatArray]]:
        """The Lagrangian bound, in all and with each level.

        Exactly one weight of an hour is 1, s_t is its level, and y_th lies in the interval for that level and is 0 for
        all others: of these rows the inner minimum is taken exactly, not through multipliers.
        """
        layout = self.layout
        constant, reduced = self.solver.lagrangian(self._kept)
        least = self.solver.least(reduced)
        each = reduced[layout.weight : layout.weight + layout.choices] + reduced[layout.hour] * layout.worth
        least[: layout.hours] = least[layout.weight : layout.weight + layout.choices] = 0.0
        for k, columns in enumerate(layout.clusters):
            chosen = slice(columns.chosen, columns.chosen + layout.choices)
            ends = self._shares[:, k]
            each += np.minimum(reduced[chosen] * ends[0], reduced[chosen] * ends[1])
            least[chosen] = 0.0
        by_hour = layout.by_hour(each)
        lowest = np.array([one.min() for one in by_hour])
        bound = -(constant + float(least.sum()) + float(lowest.sum()))
        return bound, [bound + low - one for low, one in zip(lowest, by_hour, strict=True)]

    def missed(self, point: FloatArray, answers: tuple[Answer, ...]) -> FloatArray:
        """Vehicles by which the program's shares differ from the drivers', shape (hours,)."""
        total = np.zeros(self.layout.hours)
        parts = zip(self.platform.followers, self.platform.vehicles, self.layout.clusters, answers, strict=True)
        for follower, count, columns, answer in parts:
            share = point[columns.flow : columns.potential] @ follower.network.plug_matrix
            total += count * np.abs(share - follower.plugged(answer)[0])
        return total

    def cut(self, point: FloatArray, rebates: FloatArray, answers: tuple[Answer, ...]) -> None:
        """Drop what does not bind at the point, the last optimum, and add what it breaks."""
        self.solver.purge(self._kept)
        rows = Rows(self.layout.columns)
        shares = self._level_shares(point)
        for k, (follower, columns) in enumerate(zip(self.platform.followers, self.layout.clusters, strict=True)):
            self._cut_curves(rows, k, follower, point[columns.flow : columns.potential], point)
            self._cut_levels(rows, k, follower, shares[k])
            self._cut_payment(rows, columns, rebates, follower.plugged(answers[k])[0])
        self._bid_rows(rows, shares)
        self.solver.add(rows)

    def _level_shares(self, point: FloatArray) -> FloatArray:
        """Share that goes with each level at a point, the middle where its weight is 0, shape (clusters, choices)."""
        layout = self.layout
        weight = point[layout.weight : layout.weight + layout.choices]
        parts = np.array([point[columns.chosen : columns.chosen + layout.choices] for columns in layout.clusters])
        some = weight > WEIGHT_MIN
        share = np.where(some, parts / np.where(some, weight, 1.0), self._shares.mean(axis=0))
        clipped: FloatArray = np.clip(share, *self._shares)
        return clipped

    def _cut_levels(self, rows: Rows, k: int, follower: Follower, share: FloatArray) -> None:
        """Lines per level for hours with one charging arc: one level has weight 1, and its line encloses the curve."""
        layout, network, columns = self.layout, follower.network, self.layout.clusters[k]
        hours = layout.several[network.only_plug[layout.several] >= 0]
        arcs, which = network.only_plug[hours], np.flatnonzero(np.isin(layout.hour, hours))
        low, high = self._shares[:, k, which]
        scaled = follower.sigma[arcs][:, None] * layout.choice[hours]
        for line, is_below in (
            (line_below(low, high, share[which]), True),
            (line_above(low, high, share[which]), False),
        ):
            intercept, slope = np.zeros(layout.choices), np.zeros(layout.choices)
            intercept[which], slope[which] = line
            blocks = {columns.potential: network.sparse_incidence[arcs], 0: -network.sparse_plug[arcs],
                      layout.weight: -scaled * intercept, columns.chosen: -scaled * slope}  # fmt: skip
            side = follower.mu[arcs]
            rows.add(blocks, side if is_below else -np.inf, np.inf if is_below else side)

    def _cut_curves(
        self, rows: Rows, k: int, follower: Follower, flow: FloatArray, point: FloatArray | None = None
    ) -> None:  # fmt: skip
        """Tangents at flows, of arcs whose curves a point breaks; of all arcs without one."""
        network, sigma, columns = follower.network, follower.sigma, self.layout.clusters[k]
        low, high = self.box.flow_low[k], self.box.flow_high[k]
        flow = np.clip(flow, low, high)
        curved, wide = curve(flow), high - low > 1e-9
        below, above = self._ends[k]
        under = wide & (below > low) & (flow <= below) & (flow >= STEEP)
        over = wide & (above > 1.0 - high) & (1.0 - flow <= above) & (flow <= 1.0 - STEEP)
        dear = wide
        if point is not None:
            fall = point[columns.potential : columns.spending] @ network.incidence
            pull = (fall - follower.mu - network.plug_matrix @ point[: self.layout.hours]) / sigma
            under, over = under & (pull < curved - BROKEN), over & (pull > curved + BROKEN)
            dear = wide & (point[columns.spending : columns.chosen] > flow * curved + BROKEN)
        for which, is_below in ((np.flatnonzero(under), True), (np.flatnonzero(over), False)):
            curve_rows(rows, follower, columns, which, *tangents(flow[which]), is_below)
        which = np.flatnonzero(dear)
        spending_rows(rows, columns, which, *spending_tangents(flow[which]))

    def _cut_payment(self, rows: Rows, columns: ClusterColumns, rebates: FloatArray, share: FloatArray) -> None:
        layout = self.layout
        rows.add({0: -share[None, :], columns.chosen: (layout.worth - rebates[layout.hour])[None, :]},
                 -float(rebates @ share) - ANSWER_SLACK, np.inf)  # fmt: skip

    def _bid_rows(self, rows: Rows, at: FloatArray | None = None) -> None:
        layout = self.layout
        for number in range(len(self.platform.forms)):
            intercept, slope = bid_planes(self.platform, number, self._shares[0], self._shares[1], at)
            blocks: dict[int, Any] = {layout.bid: np.eye(layout.hours), layout.weight: -layout.choice * intercept}
            for k, columns in enumerate(layout.clusters):
                blocks[columns.chosen] = -layout.choice * slope[k]
            rows.add(blocks, -np.inf, 0.0)

    def _columns(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        layout, box, hours = self.layout, self.box, self.layout.hours
        cost, lower, upper = np.zeros(layout.columns), np.zeros(layout.columns), np.ones(layout.columns)
        lower[:hours], upper[:hours] = box.low, box.high
        cost[layout.bid : layout.weight] = -self.platform.prices
        largest = layout.by_hour(largest_bids(self.platform, self._shares))
        upper[layout.bid : layout.weight] = [one.max() for one in largest]
        for k, (follower, columns) in enumerate(zip(self.platform.followers, layout.clusters, strict=True)):
            low, high = box.flow_low[k], box.flow_high[k]
            lower[columns.flow : columns.potential], upper[columns.flow : columns.potential] = low, high
            potential = slice(columns.potential, columns.spending)
            lower[potential], upper[potential] = potentials(follower, (box.low, box.high), low, high)
            spending = slice(columns.spending, columns.chosen)
            lower[spending] = np.minimum(low * curve(low), high * curve(high))
            upper[spending] = SPENDING_MAX
            cost[columns.chosen : columns.chosen + layout.choices] = self.platform.vehicles[k] * layout.worth
        return cost, lower, upper

    def _rows(self) -> tuple[Rows, Rows]:
        layout, box = self.layout, self.box
        first = Rows(layout.columns)  # those that `bounds` keeps exactly
        first.add({layout.weight: layout.choice}, 1.0, 1.0)
        first.add({0: -np.eye(layout.hours), layout.weight: layout.choice * layout.worth}, 0.0, 0.0)
        for k, columns in enumerate(layout.clusters):
            same, ends = np.eye(layout.choices), self._shares[:, k]
            first.add({columns.chosen: same, layout.weight: -np.diag(ends[0])}, 0.0, np.inf)
            first.add({columns.chosen: same, layout.weight: -np.diag(ends[1])}, -np.inf, 0.0)
        rows = Rows(layout.columns)
        for k, (follower, columns) in enumerate(zip(self.platform.followers, layout.clusters, strict=True)):
            low, high = box.flow_low[k], box.flow_high[k]
            every = np.arange(follower.network.arcs)
            rows.add({columns.flow: follower.network.incidence}, follower.network.supply, follower.network.supply)
            for lines, below in ((lines_below(low, high, LINES), True), (lines_above(low, high, LINES), False)):
                for intercept, slope in zip(*lines, strict=True):
                    curve_rows(rows, follower, columns, every, intercept, slope, below)
            for intercept, slope in zip(*spending_lines(low, high, LINES), strict=True):
                spending_rows(rows, columns, every, intercept, slope)
            self._payment_rows(rows, follower, columns)
        self._bid_rows(rows)
        return first, rows

    def _payment_rows(self, rows: Rows, follower: Follower, columns: ClusterColumns) -> None:
        layout, network = self.layout, follower.network
        rows.add({columns.chosen: layout.choice, columns.flow: -network.plug_matrix.T}, 0.0, 0.0)
        rows.add({columns.chosen: layout.worth[None, :], columns.flow: follower.mu[None, :],
                  columns.potential: -network.supply[None, :], columns.spending: follower.sigma[None, :]},
                 0.0, np.inf)  # fmt: skip
