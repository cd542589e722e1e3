"""What the grid costs in each slot as a function of the stations' power: value, limits, and cuts that never overstate.

Where the slack bus's generator is the only one, an AC power flow gives the cost and, as limits don't bind, its
multipliers; a bus below its voltage or a branch above its current gives a cut that keeps all plans off it. Other
generators, upper voltage limits and limits of the slack generator ask the cone program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.certificate import (
    Affine,
    Multipliers,
    Sources,
    cost_sources,
    flow_multipliers,
    lower_bound,
    voltage_box,
)
from v2g_nodes.planning.network.cuts import Cuts, no_cuts
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.opf import ConeProgram, Dispatch
from v2g_nodes.planning.network.power_flow import Flow, power_flow

VOLTAGE_PU = 1e-6  # a voltage or current this near its limit keeps it
POWER_MW = 1e-6  # a generator's power, the same


@dataclass(frozen=True)
class Evaluation:
    """The grid at given station powers.

    Args:
        station_kw: as given, shape (stations, slots).
        cost_eur: of the generators by the AC power flow, shape (slots,).
        within: whether the AC power flow keeps all limits, shape (slots,).
        flow: of all slots.
        cost_cuts: bounds of the cost of any station powers.
        limit_cuts: must be at most 0 for any powers that keep the limits.
        price_eur_per_kwh: locational price at the stations, shape (stations, slots).
        generator_mw: shape (generators, slots).
    """

    station_kw: FloatArray
    cost_eur: FloatArray
    within: NDArray[np.bool_]
    flow: Flow
    cost_cuts: Cuts
    limit_cuts: Cuts
    price_eur_per_kwh: FloatArray
    generator_mw: FloatArray


class GridCost:
    """The grid of an instance, asked again and again.

    Args:
        instance: whose grid and loads.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._loads = instance.loads_pu(np.zeros((len(instance.stations), instance.slots)))
        self._voltage: NDArray[np.complex128] | None = None
        self.evaluations = 0

    @cached_property
    def _program(self) -> ConeProgram:
        return ConeProgram(self.instance.grid)

    @cached_property
    def _shedding(self) -> ConeProgram:
        return ConeProgram(self.instance.grid, shedding=True)

    def least_cuts(self) -> Cuts:
        """What each slot costs at least, whatever the stations do: generators at their cheapest."""
        day, generators = self.instance, self.instance.grid.generators
        low, high = generators.p_min_mw, generators.p_max_mw
        with np.errstate(divide="ignore", invalid="ignore"):
            inner = np.where(generators.c2 > 0.0, -generators.c1 / (2.0 * generators.c2), low)
        power = np.stack([low, high, np.clip(inner, low, high)], axis=1)
        least = float(generators.cost_eur_per_h(power).min(axis=1).sum()) * day.slot_h
        return Cuts(np.arange(day.slots), np.full(day.slots, least), np.zeros((day.slots, len(day.stations))))

    def evaluate(self, station_kw: FloatArray) -> Evaluation:
        """Cost, limits and cuts at station powers, shape (stations, slots) [kW]."""
        self.evaluations += 1
        day, grid = self.instance, self.instance.grid
        p_load, q_load = day.loads_pu(station_kw)
        shape = p_load.shape
        dispatched: dict[int, Dispatch] = {}
        if grid.slack_alone:
            flow = power_flow(grid, p_load, q_load, self._voltage)
            if flow.settled.all():
                self._voltage = flow.voltage
            generator_mw = flow.p[:1] * grid.base_mva
            found = flow_multipliers(grid, flow, cost_sources(shape))
            asked = ~flow.settled | self._beyond_slack(generator_mw, flow) | (self._excess(flow)[1] > 0.0).any(axis=0)
            dispatched = self._dispatch(np.flatnonzero(asked), p_load, q_load)
        else:
            dispatched = self._dispatch(np.arange(day.slots), p_load, q_load)
            flow, generator_mw = self._dispatched_flow(dispatched, p_load, q_load)
            found = Multipliers(*np.zeros((4, *shape)))
        limit = self._limit_cuts(flow, dispatched, p_load, q_load)
        for slot, one in dispatched.items():
            if one.solved:
                _insert(found, one.multipliers, slot)
        bound = lower_bound(grid, *self._loads, found, cost_sources(shape))
        cuts = self._cuts(np.flatnonzero(np.isfinite(bound.constant)), bound, day.slot_h, 0.0)
        within = flow.settled & ~self._beyond_slack(generator_mw, flow)
        within &= (self._excess(flow)[0].max(axis=0) <= VOLTAGE_PU) & (self._excess(flow)[1].max(axis=0) <= VOLTAGE_PU)
        cost = grid.generators.cost_eur_per_h(generator_mw).sum(axis=0) * day.slot_h
        price = bound.slope[day.stations.bus] / grid.base_kw
        return Evaluation(station_kw, cost, within, flow, cuts, limit, price, generator_mw)

    def too_high(self, found: Evaluation) -> dict[int, int]:
        """The bus furthest above its voltage in each slot that has one."""
        high = np.where(found.flow.settled, self._excess(found.flow)[1], -1.0)
        return {int(slot): int(high[:, slot].argmax()) for slot in np.flatnonzero(high.max(axis=0) > VOLTAGE_PU)}

    def _excess(self, flow: Flow) -> tuple[FloatArray, FloatArray]:
        """By how much limits are passed: low voltage and current (2 x buses, slots), high voltage (buses, slots)."""
        grid = self.instance.grid
        voltage, current = np.abs(flow.voltage), np.sqrt(flow.current2)
        low, high = grid.v_min[:, None] - voltage, voltage - grid.v_max[:, None]
        low[0] = high[0] = -1.0  # the slack bus holds what it holds
        return np.vstack(
            [low, np.where(np.isfinite(grid.current_max)[:, None], current - grid.current_max[:, None], -1.0)]
        ), high

    def _beyond_slack(self, generator_mw: FloatArray, flow: Flow) -> NDArray[np.bool_]:
        """Slots in which the slack bus's generator would have to leave its range."""
        grid, generators = self.instance.grid, self.instance.grid.generators
        k = int(np.flatnonzero(generators.bus == 0)[0])
        others = np.flatnonzero(generators.bus == 0)[1:]
        active, reactive = generator_mw[k], flow.q[0] * grid.base_mva
        q_min, q_max = (limit[[k, *others]].sum() for limit in (generators.q_min_mvar, generators.q_max_mvar))
        p_min, p_max = generators.p_min_mw[k], generators.p_max_mw[k]
        excess = np.maximum.reduce([p_min - active, active - p_max, q_min - reactive, reactive - q_max])
        return np.asarray(excess > POWER_MW)

    def _dispatch(self, slots: IntArray, p_load: FloatArray, q_load: FloatArray) -> dict[int, Dispatch]:
        return {int(slot): self._program.solve(p_load[:, slot], q_load[:, slot]) for slot in slots}

    def _dispatched_flow(
        self, dispatched: dict[int, Dispatch], p_load: FloatArray, q_load: FloatArray
    ) -> tuple[Flow, FloatArray]:
        """AC power flow with generators as dispatched; the slack bus's first one takes what is left."""
        grid, generators = self.instance.grid, self.instance.grid.generators
        power, reactive = (np.stack([getattr(dispatched[slot], key) for slot in sorted(dispatched)], axis=1)
                           for key in ("p_mw", "q_mvar"))  # fmt: skip
        power = np.clip(power, generators.p_min_mw[:, None], generators.p_max_mw[:, None])
        p_net, q_net = p_load.copy(), q_load.copy()
        k = int(np.flatnonzero(generators.bus == 0)[0])
        for which, bus in enumerate(generators.bus):
            if which != k:
                p_net[bus] -= power[which] / grid.base_mva
                if bus != 0:
                    q_net[bus] -= reactive[which] / grid.base_mva
        flow = power_flow(grid, p_net, q_net)
        power[k] = flow.p[0] * grid.base_mva
        return flow, power

    def _limit_cuts(self, flow: Flow, dispatched: dict[int, Dispatch], p_load: FloatArray, q_load: FloatArray) -> Cuts:
        """What keeps plans off powers that the grid can't carry."""
        day, grid, stations = self.instance, self.instance.grid, len(self.instance.stations)
        cuts = no_cuts(stations)
        if grid.slack_alone:
            excess = np.where(flow.settled, self._excess(flow)[0], -1.0)
            slots = np.flatnonzero(excess.max(axis=0) > 0.0)
            if len(slots):
                cuts = self._passed(flow, excess, slots)
        unsolved = np.array([slot for slot, one in dispatched.items() if not one.solved], dtype=np.int64)
        if len(unsolved):
            found = Multipliers(*np.zeros((4, len(grid), day.slots)))
            for slot in unsolved:
                _insert(found, self._shedding.solve(p_load[:, slot], q_load[:, slot]).multipliers, int(slot))
            nothing = np.zeros(p_load.shape)
            bound = lower_bound(grid, *self._loads, found, Sources(0.0, nothing, nothing))
            cuts = cuts.joined(self._cuts(unsolved, bound, 1.0, 0.0))
        return _in_kilowatts(cuts.take(np.isfinite(cuts.constant)))  # one that proves nothing is none

    def _passed(self, flow: Flow, excess: FloatArray, slots: IntArray) -> Cuts:
        """A cut for the most passed limit of each slot: the best that its voltage or current can be."""
        grid, buses = self.instance.grid, len(self.instance.grid)
        v2, current2 = np.zeros((2, *flow.p.shape))
        worst = excess[:, slots].argmax(axis=0)
        low, is_current = worst < buses, worst >= buses
        v2[worst[low], slots[low]] = -1.0
        current2[worst[is_current] - buses, slots[is_current]] = 1.0
        sources = Sources(0.0, v2, current2)
        bound = lower_bound(grid, *self._loads, flow_multipliers(grid, flow, sources), sources)
        allowed = np.where(low, -(voltage_box(grid)[0][worst % buses]), grid.current_max[worst % buses] ** 2)
        return self._cuts(slots, bound, 1.0, allowed)

    def _cuts(self, slots: IntArray, bound: Affine, scale: float, allowed: float | FloatArray) -> Cuts:
        slope = bound.slope[self.instance.stations.bus][:, slots].T / self.instance.grid.base_kw
        return Cuts(slots, scale * bound.constant[slots] - allowed, scale * slope)


def _insert(into: Multipliers, one: Multipliers, slot: int) -> None:
    for key in ("lp", "lq", "mu", "sigma"):
        getattr(into, key)[:, slot] = getattr(one, key)[:, 0]


def _in_kilowatts(cuts: Cuts) -> Cuts:
    """The same cuts with a largest slope of 1, so that tolerances mean kilowatts; cuts without a slope stay."""
    size = np.abs(cuts.slope).max(axis=1, initial=0.0)
    size = np.where(size > 0.0, size, 1.0)
    return Cuts(cuts.slot, cuts.constant / size, cuts.slope / size[:, None])
