"""How a vehicle answers prices: water-filling up to a level A, in closed form but for that one number.

The power of least own cost is u_t = clip((A - p_t - b)/2a, 0, P), and for who can discharge minus
clip((p_t - A - b)/2a, 0, D) as well: two to four ramps. A is the worth of one more kilowatt-hour in the battery. It is
where the energy taken and the energy missed add up to what was asked for, F(A) + A^+/(2 delta) = Gamma, one equation of
a rising piecewise linear function per vehicle, solved for all together by Newton steps inside brackets.

Source: Zou, Ma, Hiskens 2016, best response; EQUATIONS 001.2. Charger limit, window and discharging are added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.fleet import Fleet, IntArray
from v2g_nodes.planning.valley.ramps import Ramps

NEWTON_STEPS = 40  # then halves: a hundred are enough for any bracket
STEPS_MAX = 140
TOLERANCE_KWH = 1e-11  # of the energy, relative to 1 kWh or to what the vehicle asked for, the larger


#: what an answer is made of: sign of each ramp and what its level is above the vehicle's, shape (vehicles,)
Shifts: TypeAlias = list[tuple[float, FloatArray]]


@dataclass(frozen=True)
class Levels:
    """Where every vehicle's answer is.

    Args:
        level: A, shape (vehicles,) [EUR/kWh].
        rank: which linear piece of its answer that is, shape (ramps, vehicles).
    """

    level: FloatArray
    rank: IntArray


def solve_levels(fleet: Fleet, ramps: Ramps, slot_h: float, guess: Levels | None = None) -> Levels:
    """The level A of every vehicle.

    Where the energy is due and can't be had it is where the charger runs at its limit throughout.

    Args:
        fleet: checked.
        ramps: of the prices.
        slot_h: width of a slot [h].
        guess: the answer to other prices. Who stays in the same linear piece needs one step from it.
    """
    low, high = _brackets(fleet, slot_h, float(ramps.price.min()), float(ramps.price.max()))
    open_: IntArray = np.arange(len(fleet))
    part = _equations(fleet, slot_h)
    level = np.clip(_even_level(fleet, ramps, slot_h) if guess is None else guess.level, low, high)
    rank = _ranks(ramps, level, part.shifts) if guess is None else guess.rank
    found, found_rank = level.copy(), rank.copy()
    for count in range(STEPS_MAX):
        surplus, slope = part.surplus(ramps, level, rank)
        # With a guess the first piece is one too, and so is the surplus: only the step tells.
        going = np.abs(surplus) > part.tolerance_kwh if count or guess is None else np.full(len(level), True)
        if count or guess is None:
            above = surplus > 0.0
            low, high = np.where(above, low, level), np.where(above, level, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = level - surplus / slope
        inside = (step >= low) & (step <= high) & (count < NEWTON_STEPS)  # false where there is no slope
        if not inside.all():
            middle = 0.5 * (low + high)
            going &= inside | ((middle > low) & (middle < high))
            step = np.where(inside, step, middle)
        step = np.where(going, step, level)
        new_rank = _ranks(ramps, step, part.shifts)
        same_piece = (new_rank == rank).all(axis=0) & ((step > 0.0) == (level > 0.0))
        going &= ~(same_piece & inside)  # there the step was exact
        found[open_], found_rank[:, open_] = step, new_rank
        still = np.flatnonzero(going)
        if not still.size:
            break
        open_, part, level, low, high = open_[still], part.take(still), step[still], low[still], high[still]
        rank = new_rank.take(still, axis=1)
    return Levels(found, found_rank)


@dataclass(frozen=True)
class _Equations:
    """F(A) + A^+/(2 delta) = Gamma of vehicles whose level is sought, shapes (vehicles,).

    Args:
        first_slot: as of the fleet.
        end_slot: as of the fleet.
        asked_kwh: Gamma, and what it gives when it discharges throughout.
        per_price: energy per slot and level above a price [kWh per EUR/kWh].
        missed_per_level: 1/(2 delta).
        tolerance_kwh: of the energy.
        shifts: see Shifts.
    """

    first_slot: IntArray
    end_slot: IntArray
    asked_kwh: FloatArray
    per_price: FloatArray
    missed_per_level: FloatArray
    tolerance_kwh: FloatArray
    shifts: Shifts

    def take(self, which: IntArray) -> _Equations:
        """Those of some vehicles."""
        return _Equations(
            self.first_slot.take(which), self.end_slot.take(which), self.asked_kwh.take(which),
            self.per_price.take(which), self.missed_per_level.take(which), self.tolerance_kwh.take(which),
            [(sign, shift.take(which)) for sign, shift in self.shifts],
        )  # fmt: skip

    def surplus(self, ramps: Ramps, level: FloatArray, rank: IntArray) -> tuple[FloatArray, FloatArray]:
        """Left less right side [kWh] at a level in a given linear piece, and how fast it rises with the level."""
        power, active = np.zeros(len(level)), np.zeros(len(level))
        for (sign, shift), row in zip(self.shifts, rank, strict=True):
            ramp, count = ramps.window_sum(level + shift, row, self.first_slot, self.end_slot)
            power += sign * ramp
            active += sign * count
        missed = (level > 0.0) * self.missed_per_level
        return power * self.per_price + missed * level - self.asked_kwh, active * self.per_price + missed


def _equations(fleet: Fleet, slot_h: float) -> _Equations:
    given_kwh = fleet.discharge_kw * slot_h * (fleet.end_slot - fleet.first_slot)
    return _Equations(
        fleet.first_slot, fleet.end_slot, fleet.energy_kwh + given_kwh, fleet.response_per_price * slot_h,
        0.5 / fleet.benefit, TOLERANCE_KWH * np.maximum(np.abs(fleet.energy_kwh), 1.0), _ramp_shifts(fleet),
    )  # fmt: skip


def locate(fleet: Fleet, ramps: Ramps, level: FloatArray) -> Levels:
    """Levels with their pieces."""
    return Levels(level, _ranks(ramps, level, _ramp_shifts(fleet)))


def fleet_demand(fleet: Fleet, ramps: Ramps, levels: Levels) -> FloatArray:
    """Power of the whole fleet in each slot, shape (slots,) [kW].

    Args:
        fleet: vehicles, or parts of their windows.
        ramps: of the prices.
        levels: of each.
    """
    demand = np.zeros(len(ramps.price))
    for (sign, shift), rank in zip(_ramp_shifts(fleet), levels.rank, strict=True):
        weight = sign * fleet.response_per_price
        demand += ramps.fleet_sum(levels.level + shift, rank, weight, fleet.first_slot, fleet.end_slot)
    if fleet.discharges:
        slots = len(demand) + 1
        begins = np.bincount(fleet.first_slot, fleet.discharge_kw, slots)
        demand -= (begins - np.bincount(fleet.end_slot, fleet.discharge_kw, slots)).cumsum()[:-1]
    return demand


def schedules(fleet: Fleet, price: FloatArray, level: FloatArray) -> FloatArray:
    """Power of every vehicle in every slot, shape (vehicles, slots) [kW].

    Args:
        fleet: vehicles, or parts of their windows.
        price: the same for all, shape (slots,), or one for each, shape (vehicles, slots) [EUR/kWh].
        level: of each, shape (vehicles,).
    """
    slot = np.arange(price.shape[-1])
    plugged = (slot >= fleet.first_slot[:, None]) & (slot < fleet.end_slot[:, None])
    per_price, linear = fleet.response_per_price[:, None], fleet.linear[:, None]
    worth = level[:, None] - price
    power = np.clip((worth - linear) * per_price, 0.0, fleet.power_kw[:, None])
    if fleet.discharges:
        power -= np.clip((-worth - linear) * per_price, 0.0, fleet.discharge_kw[:, None])
    return np.where(plugged, power, 0.0)


def _ranks(ramps: Ramps, level: FloatArray, shifts: Shifts) -> IntArray:
    """In which linear piece of its answer each vehicle is, shape (ramps, vehicles)."""
    return np.stack([ramps.rank(level + shift) for _, shift in shifts])


def _ramp_shifts(fleet: Fleet) -> Shifts:
    """What an answer is made of: sign and shift of each ramp's level.

    Discharging falls with the price; it is written by rising ramps: min((p - x)^+, c) = (x - p)^+ - (x + c - p)^+ + c.
    """
    saturation = 2.0 * fleet.quadratic
    shifts = [(1.0, -fleet.linear), (-1.0, -fleet.linear - saturation * fleet.power_kw)]
    if fleet.discharges:
        shifts += [(-1.0, fleet.linear), (1.0, fleet.linear + saturation * fleet.discharge_kw)]
    return shifts


def _even_level(fleet: Fleet, ramps: Ramps, slot_h: float) -> FloatArray:
    """The level if every slot of the window were used and no limit bound: close where prices do not differ much."""
    slots = fleet.end_slot - fleet.first_slot
    per_price = slots * fleet.response_per_price * slot_h
    worth = fleet.linear + ramps.mean_price(fleet.first_slot, fleet.end_slot)
    return (fleet.energy_kwh + per_price * worth) / (per_price + 0.5 / fleet.benefit)


def _brackets(fleet: Fleet, slot_h: float, price_min: float, price_max: float) -> tuple[FloatArray, FloatArray]:
    """Levels between which each vehicle's lies: from idle or discharging throughout to charging throughout."""
    low = price_min - fleet.linear - 2.0 * fleet.quadratic * fleet.discharge_kw
    high = max(price_max, 0.0) + fleet.linear + 2.0 * fleet.quadratic * fleet.power_kw
    due = np.isinf(fleet.benefit)
    with np.errstate(invalid="ignore"):
        unserved = 2.0 * fleet.benefit * fleet.energy_kwh  # nothing taken; not a number where 0 kWh are due
    never_full = fleet.most_kwh(slot_h) <= fleet.energy_kwh
    return (np.where(due, np.where(never_full, high, low), np.minimum(low, unserved)),
            np.where(due, high, np.maximum(high, unserved)))
