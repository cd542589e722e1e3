"""Upper voltage limits: discharging raises voltages, and the cone relaxation lets losses grow in place of that.

The voltage that a plan reaches is a concave function of the stations' power, so a limit from above is the complement
of a convex set and no cone program can hold it. Two kinds of cuts, never mixed:

- `rise_cuts`, valid for every plan that keeps the limits, so bounds may use them. Squared voltages are linear in loads
  less what losses take; losses over a box of powers have a largest value by one pass from the leaves (interval
  arithmetic). A slab of powers in which even the largest losses leave a voltage too high is cut off, slab by slab from
  the most that can be discharged. (DERIVED.)
- `tangents`, of the voltage at one power flow. A concave function is below its tangent, so they keep the limit but cut
  off plans that do so too: for plans only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.certificate import Sources, flow_multipliers, voltage_box
from v2g_nodes.planning.network.cuts import Cuts, no_cuts
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.power_flow import Flow

PASSES = 3  # of intervals of losses and voltages; each makes the other narrower
FIRST_SLABS, SLABS_MAX, LEAST_SLAB = 8, 60, 1e-5  # slabs begin as this share of the range and end below that one
PIECES = 6  # of a slab, along the power of one more station
ROUNDING = 1e-12  # pu^2, of sums of some hundred numbers near 1


@dataclass(frozen=True)
class _Box:
    """Powers of stations, shape (stations, slots) each [pu]."""

    low: FloatArray
    high: FloatArray


class _Intervals:
    """Losses and voltages that any power flow within the voltage limits has while stations stay in a box."""

    def __init__(self, instance: Instance) -> None:
        grid = self._grid = instance.grid
        self.stations = instance.stations.bus
        self._p, self._q = instance.loads_pu(np.zeros((len(instance.stations), instance.slots)))
        self._v_low, self._v_high = (side[:, None] for side in voltage_box(grid))
        below, path = grid.below.copy(), grid.below.T.copy()
        path[:, 0] = 0.0
        #: resistance and reactance of what the ways to two buses share, shape (buses, buses)
        self.r, self.x = path @ (grid.r[:, None] * below), path @ (grid.x[:, None] * below)
        self._strictly = below - np.eye(len(grid))
        self._below = below
        own = path * (grid.r**2 + grid.x**2)
        self._drop = np.maximum(2.0 * (self.r * grid.r + self.x * grid.x) - own, 0.0)  # of losses, on voltages

    def _loads(self, box: _Box, v_low: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Least and largest active and reactive loads of buses with shunts and stations."""
        g, b = self._grid.shunt_g[:, None], self._grid.shunt_b[:, None]
        p_low, p_high = (self._p + one(g * v_low, g * self._v_high) for one in (np.minimum, np.maximum))
        q_low, q_high = (self._q + one(-b * v_low, -b * self._v_high) for one in (np.minimum, np.maximum))
        p_low[self.stations] += box.low
        p_high[self.stations] += box.high
        return p_low, p_high, q_low, q_high

    def _losses(self, loads: tuple[FloatArray, ...], v_low: FloatArray) -> FloatArray:
        """Largest squared currents: powers at the far ends of branches depend on losses behind them only."""
        grid = self._grid
        p_low, p_high, q_low, q_high = (self._below @ load for load in loads)
        current2, lost_p, lost_q = (np.zeros_like(p_low) for _ in range(3))  # lost: behind each bus
        for bus in range(len(grid) - 1, 0, -1):
            p = np.maximum(np.abs(p_low[bus]), np.abs(p_high[bus] + lost_p[bus]))
            q = np.maximum(np.abs(q_low[bus]), np.abs(q_high[bus] + lost_q[bus]))
            current2[bus] = np.minimum((p * p + q * q) / v_low[bus], grid.current_max[bus] ** 2)
            lost_p[grid.parent[bus]] += lost_p[bus] + grid.r[bus] * current2[bus]
            lost_q[grid.parent[bus]] += lost_q[bus] + grid.x[bus] * current2[bus]
        return current2

    def lowest(self, box: _Box) -> FloatArray:
        """Least squared voltage of each bus, shape (buses, slots), with stations at 0 but losses of the whole box."""
        v_low = np.broadcast_to(self._v_low, self._p.shape)
        none = _Box(np.zeros_like(box.low), np.zeros_like(box.high))
        found = v_low
        for _ in range(PASSES):
            current2 = self._losses(self._loads(box, v_low), v_low)
            _, p_high, _, q_high = self._loads(none, v_low)
            found = self._grid.slack_voltage**2 - 2.0 * (self.r @ p_high + self.x @ q_high) - self._drop @ current2
            drop = 2.0 * self.r[:, self.stations] @ box.high
            v_low = np.minimum(np.maximum(found - drop, self._v_low), self._v_high)
        return found - ROUNDING


def rise_cuts(instance: Instance) -> Cuts:
    """Cuts that all station powers keep which leave no bus of a station above its voltage.

    Args:
        instance: on a grid whose slack bus has the only generator; else there are no cuts.
    """
    day, grid, count = instance, instance.grid, len(instance.stations)
    found = no_cuts(count)
    if not grid.slack_alone:
        return found
    intervals, reach = _Intervals(day), _Box(*(side / grid.base_kw for side in day.reach_kw()))
    reach = _Box(reach.low, np.maximum(reach.low, reach.high))
    lossless = grid.slack_voltage**2 - 2.0 * intervals.r[:, day.stations.bus] @ reach.low
    p, q = day.loads_pu(np.zeros((count, day.slots)))
    shunts = np.maximum(grid.shunt_b, 0.0)[:, None] * voltage_box(grid)[1][:, None]
    lossless -= 2.0 * (intervals.r @ p + intervals.x @ (q - shunts))
    for bus in np.unique(day.stations.bus):
        if bus and (lossless[bus] > grid.v_max[bus] ** 2).any():
            found = found.joined(_at_bus(day, intervals, reach, int(bus)))
    return found


def _at_bus(day: Instance, intervals: _Intervals, reach: _Box, bus: int) -> Cuts:
    """Slab by slab of w s, w the resistances that voltage of the bus and station share."""
    w = intervals.r[bus, day.stations.bus]
    start, end = w @ reach.low, w @ reach.high
    at, width = start.copy(), (end - start) / FIRST_SLABS
    least = LEAST_SLAB * (end - start)
    limit2 = day.grid.v_max[bus] ** 2
    for _ in range(SLABS_MAX):
        active = (width > least) & (at < end)
        if not active.any():
            break
        to = np.minimum(at + width, end)
        lowest = _lowest(intervals, reach, bus, at, to)
        gone = active & (lowest > limit2)
        at = np.where(gone, to, at)
        width = np.where(gone, 2.0 * width, 0.5 * width)
    slots = np.flatnonzero(at > start)
    slope = np.repeat(-w[None, :] / w.max(), len(slots), axis=0)
    return Cuts(slots, at[slots] / w.max() * day.grid.base_kw, slope)


def _lowest(intervals: _Intervals, reach: _Box, bus: int, at: FloatArray, to: FloatArray) -> FloatArray:
    """Least squared voltage of a bus in a slab, shape (slots,): the least of those of its pieces."""
    w = intervals.r[bus, intervals.stations]
    slab = _cut_box(w, reach, at, to)
    weight = (slab.high - slab.low).max(axis=1) * np.where(intervals.stations == bus, 0.0, w)
    split = int(weight.argmax())
    pieces = PIECES if weight[split] > 0.0 else 1
    found = np.full(at.shape, np.inf)
    for k in range(pieces):
        low, high = slab.low.copy(), slab.high.copy()
        width = (slab.high[split] - slab.low[split]) / pieces
        low[split], high[split] = slab.low[split] + k * width, slab.low[split] + (k + 1) * width
        piece = _cut_box(w, _Box(low, high), at, to)
        empty = (piece.low > piece.high).any(axis=0)
        piece = _Box(np.minimum(piece.low, piece.high), piece.high)
        found = np.minimum(found, np.where(empty, np.inf, intervals.lowest(piece)[bus] - 2.0 * to))
    return found


def _cut_box(w: FloatArray, box: _Box, at: FloatArray, to: FloatArray) -> _Box:
    """The part of a box that may have `at` <= w s <= `to`; empty where low is above high."""
    used, share = (w > 0.0)[:, None], np.where(w > 0.0, w, 1.0)[:, None]
    rest_high, rest_low = w @ box.high - w[:, None] * box.high, w @ box.low - w[:, None] * box.low
    return _Box(np.where(used, np.maximum(box.low, (at - rest_high) / share - ROUNDING), box.low),
                np.where(used, np.minimum(box.high, (to - rest_low) / share + ROUNDING), box.high))  # fmt: skip


def tangents(instance: Instance, flow: Flow, station_kw: FloatArray, held: dict[int, set[int]]) -> Cuts:
    """Tangents of squared voltages at a power flow, that are to stay within their limits: for plans, not for bounds.

    Args:
        instance: on a grid whose slack bus has the only generator.
        flow: settled where it counts.
        station_kw: under which, shape (stations, slots).
        held: buses of each slot.
    """
    day, grid, found = instance, instance.grid, no_cuts(len(instance.stations))
    for rank in range(max(map(len, held.values()), default=0)):
        chosen = {slot: sorted(buses)[rank] for slot, buses in held.items()
                  if len(buses) > rank and flow.settled[slot]}  # fmt: skip
        slots: IntArray = np.array(list(chosen), dtype=np.int64)
        buses: IntArray = np.array(list(chosen.values()), dtype=np.int64)
        v2 = np.zeros(flow.p.shape)
        v2[buses, slots] = 1.0
        slope = flow_multipliers(grid, flow, Sources(0.0, v2, np.zeros_like(v2))).lp
        slope = slope[day.stations.bus][:, slots].T / grid.base_kw
        above = flow.v2[buses, slots] - grid.v_max[buses] ** 2 - (slope * station_kw[:, slots].T).sum(axis=1)
        found = found.joined(Cuts(slots, above, slope))
    size = np.maximum(np.abs(found.slope).max(axis=1, initial=0.0), 1e-12)
    return Cuts(found.slot, found.constant / size, found.slope / size[:, None])
