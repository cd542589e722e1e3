"""Charge stays inside the battery on the way: only who discharges can leave it between arrival and departure.

The best answer that looks at the end alone is tried first. Where it leaves the battery, the bound that it breaks by
most is one that the best answer touches; there the window falls into two parts with a given energy each, and so on.

Source of the division: van der Klauw, Gerards, Hurink, Resource allocation problems in decentralized energy management,
OR Spectrum 2017 (resource allocation with nested bounds).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.fleet import BoolArray, Fleet, IntArray, join
from v2g_nodes.planning.valley.ramps import Ramps
from v2g_nodes.planning.valley.response import Levels, locate, schedules, solve_levels

BEYOND_KWH = 1e-7  # outside a bound by so little is on it


def divide(fleet: Fleet, ramps: Ramps, slot_h: float, levels: Levels) -> tuple[Fleet, Levels, IntArray]:
    """Parts of windows whose levels keep every battery inside its bounds.

    Args:
        fleet: the vehicles.
        ramps: of the prices.
        slot_h: width of a slot [h].
        levels: that meet their energies at the end.

    Returns:
        The parts as a fleet, the level of each, and whose it is, shape (parts,).
    """
    whose = np.arange(len(fleet))
    if not fleet.discharges:
        return fleet, levels, whose
    done: list[tuple[Fleet, IntArray]] = []
    level = levels.level
    done_level: list[FloatArray] = []
    while len(fleet):
        charge = schedules(fleet, ramps.price, level).cumsum(axis=1) * slot_h
        beyond, below = charge - fleet.room_kwh[:, None], -fleet.reserve_kwh[:, None] - charge
        worst = np.maximum(beyond, below)
        at, rows = worst.argmax(axis=1), np.arange(len(fleet))
        broken = (worst[rows, at] > BEYOND_KWH) & (at < fleet.end_slot - 1)
        done.append((fleet.take(~broken), whose[~broken]))
        done_level.append(level[~broken])
        full = (beyond[rows, at] > below[rows, at])[broken]
        fleet, whose = _two_parts(fleet.take(broken), at[broken] + 1, full), np.tile(whose[broken], 2)
        level = solve_levels(fleet, ramps, slot_h).level
    parts = join([part for part, _ in done])
    return parts, locate(parts, ramps, np.concatenate(done_level)), np.concatenate([whom for _, whom in done])


def _two_parts(fleet: Fleet, border: IntArray, full: BoolArray) -> Fleet:
    """Each window until the slot `border`, ending full or empty, and the rest of it."""
    energy = np.where(full, fleet.room_kwh, -fleet.reserve_kwh)
    before = replace(fleet, end_slot=border, energy_kwh=energy, benefit=np.full(len(fleet), np.inf))
    after = replace(fleet, first_slot=border, energy_kwh=fleet.energy_kwh - energy,
                    room_kwh=fleet.room_kwh - energy, reserve_kwh=fleet.reserve_kwh + energy)
    return join([before, after])
