"""What one block of vehicles does with a price: the same code for a thread, a process and a worker of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.battery_path import divide
from v2g_nodes.planning.valley.fleet import Fleet
from v2g_nodes.planning.valley.ramps import Ramps
from v2g_nodes.planning.valley.response import Levels, fleet_demand, schedules, solve_levels


@dataclass(frozen=True)
class Block:
    """Some vehicles and their levels at the last price, from which the next search begins.

    Args:
        fleet: the vehicles.
        slot_h: width of a slot [h].
        levels: at the last price; None before the first.
        demand_kw: at the last price, shape (slots,); None before the first.
    """

    fleet: Fleet
    slot_h: float
    levels: Levels | None = None
    demand_kw: FloatArray | None = None

    def answer(self, ramps: Ramps) -> Block:
        """The block at a price."""
        levels = solve_levels(self.fleet, ramps, self.slot_h, self.levels)
        parts, part_levels, _ = divide(self.fleet, ramps, self.slot_h, levels)
        return replace(self, levels=levels, demand_kw=fleet_demand(parts, ramps, part_levels))

    def schedule(self, ramps: Ramps) -> FloatArray:
        """Power of every vehicle in every slot at a price, shape (vehicles, slots) [kW]."""
        levels = solve_levels(self.fleet, ramps, self.slot_h, self.levels)
        parts, part_levels, whose = divide(self.fleet, ramps, self.slot_h, levels)
        power = schedules(parts, ramps.price, part_levels.level)
        if parts is self.fleet:
            return power
        total = np.zeros((len(self.fleet), len(ramps.price)))
        np.add.at(total, whose, power)
        return total


@dataclass(frozen=True)
class Tally:
    """Sums over vehicles of a schedule.

    Args:
        demand_kw: of all, shape (slots,) [kW].
        delivered_kwh: to all [kWh].
        own_eur: demand charge and wear [EUR].
        missed_eur: lost benefit of energy not had; 0 where it is due [EUR].
        own_at_price_eur: least own cost at the price the schedule answers: energy, own and missed [EUR].
        short: vehicles that lack more than a thousandth of a due energy.
        short_kwh: what they lack [kWh].
        peak_kw: largest power of a vehicle [kW].
    """

    demand_kw: FloatArray
    delivered_kwh: float = 0.0
    own_eur: float = 0.0
    missed_eur: float = 0.0
    own_at_price_eur: float = 0.0
    short: int = 0
    short_kwh: float = 0.0
    peak_kw: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.demand_kw + other.demand_kw, self.delivered_kwh + other.delivered_kwh, self.own_eur + other.own_eur,
            self.missed_eur + other.missed_eur, self.own_at_price_eur + other.own_at_price_eur,
            self.short + other.short, self.short_kwh + other.short_kwh, max(self.peak_kw, other.peak_kw),
        )  # fmt: skip


SHORT = 1e-3  # of the energy due


def tally(fleet: Fleet, power_kw: FloatArray, price: FloatArray, slot_h: float) -> Tally:
    """Sums of a schedule.

    Args:
        fleet: the vehicles.
        power_kw: shape (vehicles, slots) [kW].
        price: shape (slots,) [EUR/kWh].
        slot_h: width of a slot [h].
    """
    demand, energy = power_kw.sum(axis=0), power_kw.sum(axis=1) * slot_h
    size = np.abs(power_kw)
    own = float(((fleet.quadratic[:, None] * size + fleet.linear[:, None]) * size).sum()) * slot_h
    lacking = fleet.energy_kwh - energy
    soft = np.isfinite(fleet.benefit)
    missed = float((fleet.benefit[soft] * lacking[soft] ** 2).sum())
    short = lacking > SHORT * np.maximum(np.abs(fleet.energy_kwh), 1e-3)
    short &= ~soft
    at_price = float(demand @ price) * slot_h + own + missed
    return Tally(demand, float(energy.sum()), own, missed, at_price, int(short.sum()), float(lacking[short].sum()),
                 float(size.max(initial=0.0)))  # fmt: skip
