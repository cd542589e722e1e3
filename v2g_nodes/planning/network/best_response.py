"""What each vehicle does at given prices: the exact optimum by dynamic programming over few battery levels.

With its directions fixed, a vehicle's slots are a chain: energies in a box, steps between them in a box. At a vertex
every energy is joined by steps at their limits to one that is fixed (start) or at a limit (floor, capacity, goal). So
the optimum is on levels {start, goal, floor, capacity} + sums of least and largest steps, which is a lattice of their
common divisor, and the program over these levels is exact (DERIVED).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd

import numpy as np

from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.vehicles import ROUNDED_KWH, Vehicles

DENOMINATOR_MAX = 100_000  # of a step in kWh; finer ones have no lattice
LEVELS_MAX = 2000


@dataclass(frozen=True)
class Steps:
    """All vehicles' levels and the steps between them, padded; what isn't there costs infinity.

    Args:
        level_kwh: shape (vehicles, levels).
        to: level that each step leads to, shape (vehicles, levels, steps).
        battery_kwh: energy of each step at the battery.
        grid_kwh: the same at the grid; infinite where there is no step.
        first: level at arrival, shape (vehicles,).
        last: 0 at levels that reach the goal, infinite elsewhere, shape (vehicles, levels).
    """

    level_kwh: FloatArray
    to: IntArray
    battery_kwh: FloatArray
    grid_kwh: FloatArray
    first: IntArray
    last: FloatArray


#: levels of a vehicle, for each those that one slot leads to, grid energy between them, the first, 0 at those that may
#: be the last
Levels = tuple[FloatArray, list[IntArray], FloatArray, int, FloatArray]


class BestResponse:
    """Answers of vehicles to prices.

    Args:
        vehicles: checked; each can reach its goal.
        slots: of the horizon.
        slot_h: width of a slot [h].
    """

    def __init__(self, vehicles: Vehicles, slots: int, slot_h: float) -> None:
        self._vehicles, self._slots, self._slot_h = vehicles, slots, slot_h
        self._steps = _pad([_steps_of(vehicles, k, slot_h) for k in range(len(vehicles))])
        self._present = [np.flatnonzero((vehicles.arrival <= t) & (t < vehicles.departure)) for t in range(slots)]
        self._of = [(self._steps.to[who], self._steps.grid_kwh[who]) for who in self._present]

    def answer(self, price_eur_per_kwh: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Cheapest way for each vehicle.

        Args:
            price_eur_per_kwh: of grid energy, shape (stations, slots).

        Returns:
            Cost of each vehicle, shape (vehicles,) [EUR], infinite for one that can't reach its goal, and the battery
            powers, shape (vehicles, slots) [kW].
        """
        steps, count = self._steps, len(self._vehicles)
        ahead = steps.last.copy()
        choices: list[IntArray] = []
        for slot in range(self._slots - 1, -1, -1):
            who = self._present[slot]
            to, grid_kwh = self._of[slot]
            price = price_eur_per_kwh[self._vehicles.station[who], slot][:, None, None]
            with np.errstate(invalid="ignore"):
                costs = np.where(np.isfinite(grid_kwh), price * grid_kwh, np.inf)
            costs = costs + ahead[who[:, None, None], to]
            choice = costs.argmin(axis=2)
            choices.append(choice)
            ahead[who] = np.take_along_axis(costs, choice[:, :, None], axis=2)[:, :, 0]
        level, every = steps.first.copy(), np.arange(count)
        power = np.zeros((count, self._slots))
        for slot in range(self._slots):
            who = self._present[slot]
            at = level[who]
            taken = choices[self._slots - 1 - slot][np.arange(len(who)), at]
            power[who, slot] = steps.battery_kwh[who, at, taken] / self._slot_h
            level[who] = steps.to[who, at, taken]
        return ahead[every, steps.first], power


def most_reachable_kwh(vehicles: Vehicles, slot_h: float) -> FloatArray:
    """Most energy that each vehicle can have at departure when nothing but itself limits it, shape (vehicles,)."""
    room = vehicles.capacity_kwh - vehicles.start_kwh
    stay = vehicles.departure - vehicles.arrival
    with np.errstate(divide="ignore", invalid="ignore"):  # as many slots as fit in at the least power
        least = vehicles.charge_min_kw * slot_h
        count = np.where(least > 0.0, np.minimum(stay, np.floor((room + ROUNDED_KWH) / least)), stay)
    most = vehicles.start_kwh + np.minimum(room, count * vehicles.charge_max_kw * slot_h)
    for k in np.flatnonzero(most < vehicles.goal_kwh - ROUNDED_KWH):  # discharging first may make room for whole steps
        if _divisor(vehicles, k, slot_h) is None:
            continue
        levels, ways, _, first, _ = _steps_of(vehicles, k, slot_h)
        reached = np.arange(len(levels)) == first
        for _ in range(int(stay[k])):
            following = np.zeros(len(levels), dtype=bool)
            following[np.concatenate([ways[here] for here in np.flatnonzero(reached)])] = True
            reached = following
        most[k] = max(most[k], levels[reached].max())
    return np.asarray(most)


def has_levels(vehicles: Vehicles, slot_h: float) -> bool:
    """Whether every vehicle's steps have a lattice that is coarse enough."""
    return all(_divisor(vehicles, k, slot_h) is not None for k in range(len(vehicles)))


def _divisor(vehicles: Vehicles, k: int, slot_h: float) -> float | None:
    sizes = [getattr(vehicles, f"{way}_{end}_kw")[k] * slot_h
             for way in ("charge", "discharge") for end in ("min", "max")]  # fmt: skip
    parts = [Fraction(float(size)).limit_denominator(DENOMINATOR_MAX) for size in sizes if size > 0.0]
    if any(
        abs(float(part) - size) > 1e-12 * size for part, size in zip(parts, [s for s in sizes if s > 0], strict=True)
    ):
        return None
    if not parts:
        return 1e9
    common = reduce(lambda a, b: Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator),
                                          a.denominator * b.denominator), parts)  # fmt: skip
    span = vehicles.capacity_kwh[k] - vehicles.floor_kwh[k]
    return float(common) if 4 * span / float(common) < LEVELS_MAX else None


def _steps_of(vehicles: Vehicles, k: int, slot_h: float) -> Levels:
    """Those of one vehicle."""
    step = _divisor(vehicles, k, slot_h)
    if step is None:
        raise ValueError(f"{vehicles.names[k]} has no lattice of levels, see has_levels")
    low, high = vehicles.floor_kwh[k], vehicles.capacity_kwh[k]
    found = []
    for base in (vehicles.start_kwh[k], vehicles.goal_kwh[k], low, high):
        first, last = np.ceil((low - base) / step - 1e-9), np.floor((high - base) / step + 1e-9)
        found.append(base + step * np.arange(first, last + 1.0))
    levels = np.sort(np.concatenate(found))
    levels = levels[np.concatenate([[True], np.diff(levels) > ROUNDED_KWH])]
    change = levels[None, :] - levels[:, None]
    ways = change == 0.0
    for sign, way in ((1.0, "charge"), (-1.0, "discharge")):
        least, most = (getattr(vehicles, f"{way}_{end}_kw")[k] * slot_h for end in ("min", "max"))
        ways |= (sign * change >= max(least, 2 * ROUNDED_KWH) - ROUNDED_KWH) & (sign * change <= most + ROUNDED_KWH)
    eta = vehicles.eta[k]
    grid = np.where(change > 0.0, change / eta, change * eta)
    return (
        levels,
        [np.flatnonzero(row) for row in ways],
        grid,
        int(np.abs(levels - vehicles.start_kwh[k]).argmin()),
        (np.where(levels >= vehicles.goal_kwh[k] - ROUNDED_KWH, 0.0, np.inf)),
    )


def _pad(found: list[Levels]) -> Steps:
    count, most = len(found), max((len(one[0]) for one in found), default=1)
    wide = max((len(row) for one in found for row in one[1]), default=1)
    level, last = np.zeros((count, most)), np.full((count, most), np.inf)
    to = np.zeros((count, most, wide), dtype=np.int64)
    battery, grid_kwh = np.zeros((count, most, wide)), np.full((count, most, wide), np.inf)
    for k, (levels, ways, grid, _, ends) in enumerate(found):
        level[k, : len(levels)], last[k, : len(levels)] = levels, ends
        for here, row in enumerate(ways):
            to[k, here, : len(row)], battery[k, here, : len(row)] = row, levels[row] - levels[here]
            grid_kwh[k, here, : len(row)] = grid[here, row]
    first = np.array([one[3] for one in found], dtype=np.int64)
    return Steps(level, to, battery, grid_kwh, first, last)
