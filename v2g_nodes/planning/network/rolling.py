"""Planning again in every slot, with the vehicles that really came and went.

The plan of a slot is made with the truth about vehicles that are there (arrival, energy, and departure as their driver
says when plugging in) and the forecast about those still awaited; only its first slot is carried out. A vehicle that
has not come by its forecast slot is awaited for the next one, until its forecast departure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.best_response import most_reachable_kwh
from v2g_nodes.planning.network.certified import solve_certified
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.plan import ROUNDED, Plan, make_plan
from v2g_nodes.planning.network.shortfall import best_effort
from v2g_nodes.planning.network.vehicles import Vehicles

SECONDS_MAX = 60.0  # of one plan
ENERGY_KWH = 5.0  # largest surprise of the energy at arrival


@dataclass(frozen=True)
class Rolled:
    """What was carried out.

    Args:
        plan: of the real vehicles, in their order.
        replans: plans made.
        seconds: of all plans.
        longest_s: of one plan.
        short: vehicles that left with less than asked for, by position, and by how much.
    """

    plan: Plan
    replans: int
    seconds: float
    longest_s: float
    short: dict[int, str]


def surprised(forecast: Instance, seed: int, hours: float, absent: float) -> Instance:
    """The day as it really comes: some vehicles stay away, the others are early, late, and differ in energy.

    Args:
        forecast: as planned.
        seed: names the day.
        hours: largest change of arrival and departure [h].
        absent: share of vehicles that never come.
    """
    random = np.random.default_rng([seed, 3])
    fleet, slots = forecast.vehicles, forecast.slots
    width = round(hours / forecast.slot_h)
    moved = random.integers(-width, width + 1, (2, len(fleet)))
    arrival = np.clip(fleet.arrival + moved[0], 0, slots - 1)
    departure = np.clip(np.maximum(fleet.departure + moved[1], arrival + 1), 1, slots)
    start = np.clip(
        fleet.start_kwh + random.uniform(-ENERGY_KWH, ENERGY_KWH, len(fleet)), fleet.floor_kwh, fleet.goal_kwh
    )
    real = replace(fleet, arrival=arrival, departure=departure, start_kwh=start)
    most = most_reachable_kwh(real, forecast.slot_h)
    real = replace(real, goal_kwh=np.minimum(real.goal_kwh, most))  # nobody asks for what can't be had
    comes = np.flatnonzero(random.random(len(fleet)) >= absent)
    return replace(forecast, name=f"{forecast.name}, real", vehicles=real.take(comes))


def roll(forecast: Instance, real: Instance, gap: float, tell: Callable[[int], None] = lambda _: None) -> Rolled:
    """Carry out a day slot by slot.

    Args:
        forecast: what is expected, vehicles by name.
        real: what comes; names that the forecast has are those vehicles.
        gap: of each plan.
        tell: told of each slot.
    """
    slots, fleet = real.slots, real.vehicles
    power, energy = np.zeros((len(fleet), slots)), fleet.start_kwh.copy()
    times: list[float] = []
    for slot in range(slots):
        tell(slot)
        here = np.flatnonzero((fleet.arrival <= slot) & (slot < fleet.departure))
        if not len(here):
            continue
        began = time.perf_counter()
        rest = _rest(forecast, real, slot, here, energy)
        try:
            plan = solve_certified(rest, gap, SECONDS_MAX).plan
        except InfeasibleError:
            plan = best_effort(rest).plan
        times.append(time.perf_counter() - began)
        if plan is None:
            raise InfeasibleError(f"{real.name}: no plan for slot {slot}")
        power[here, slot] = plan.power_kw[: len(here), 0]
        energy[here] += power[here, slot] * real.slot_h
    done = make_plan(GridCost(real), power)
    missing = fleet.goal_kwh - fleet.energy_kwh(power, real.slot_h)[:, -1]
    short = {int(k): f"left with {missing[k]:.3g} kWh less than asked for" for k in np.flatnonzero(missing > ROUNDED)}
    return Rolled(done, len(times), float(sum(times)), max(times, default=0.0), short)


def _rest(forecast: Instance, real: Instance, slot: int, here: IntArray, energy: FloatArray) -> Instance:
    """The rest of the day from a slot on: vehicles that are there first, then those still awaited."""
    present = real.vehicles.take(here)
    known = {real.vehicles.names[k] for k in np.flatnonzero(real.vehicles.arrival <= slot)}
    ahead = forecast.vehicles
    awaited = np.array([k for k, name in enumerate(ahead.names) if name not in known and ahead.departure[k] > slot + 1],
                       dtype=np.int64)  # fmt: skip
    expected = ahead.take(awaited)
    arrival = np.maximum(expected.arrival, slot + 1)
    expected = replace(expected, arrival=arrival)
    present = replace(present, start_kwh=energy[here], arrival=np.full(len(here), slot))
    both = _joined(present, expected)
    both = replace(both, arrival=both.arrival - slot, departure=both.departure - slot)
    both = replace(both, goal_kwh=np.minimum(both.goal_kwh, most_reachable_kwh(both, real.slot_h)))
    return replace(real, p_load_kw=real.p_load_kw[:, slot:], q_load_kvar=real.q_load_kvar[:, slot:],
                   price_eur_per_mwh=real.price_eur_per_mwh[slot:], vehicles=both)  # fmt: skip


def _joined(one: Vehicles, other: Vehicles) -> Vehicles:
    keys = [field.name for field in fields(one) if field.name != "names"]
    arrays: dict[str, Any] = {key: np.concatenate([getattr(one, key), getattr(other, key)]) for key in keys}
    return replace(one, **arrays, names=(*one.names, *other.names))
