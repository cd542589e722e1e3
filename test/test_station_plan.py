"""Day plans for a station's vehicles: by each planner, in the convention of control (> 0 discharges)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.slots import whole_slots
from v2g_nodes.planning.station.base_power import by_allocation, by_valley
from v2g_nodes.planning.station.vehicles import Horizon, ParkedVehicle, Stay, present_kw, stays_of

HOUR_S = 3600.0
SLOTS = 24
CHEAP = slice(2, 6)
PLANNERS: dict[str, Callable[[list[Stay], Horizon], FloatArray]] = {
    "valley": lambda stays, horizon: by_valley(stays, horizon, 1e-3),
    "allocation": lambda stays, horizon: by_allocation(stays, horizon, 0.05, 0.0),
}


def parked(name: str = "a", **changes: float) -> ParkedVehicle:
    values: dict[str, float] = {
        "arrival_s": 0.0, "departure_s": 10 * HOUR_S, "due_kwh": 8.0, "room_kwh": 20.0, "reserve_kwh": 10.0,
        "power_kw": 3.0, "quadratic": 0.002, "linear": 0.01,
    }  # fmt: skip
    return ParkedVehicle(name, **{**values, **changes})


def horizon(price: FloatArray | None = None, load: FloatArray | None = None) -> Horizon:
    prices = np.full(SLOTS, 0.1) if price is None else price
    return Horizon(HOUR_S, prices, np.zeros(SLOTS) if load is None else load)


def cheap_night() -> FloatArray:
    price = np.full(SLOTS, 0.30)
    price[CHEAP] = 0.05
    return price


@pytest.mark.parametrize(
    ("start_s", "end_s", "slots"),
    [(0.0, 3600.0, (0, 4)), (1.0, 3600.0, (1, 4)), (-500.0, 3599.0, (0, 3)), (0.0, math.inf, (0, 24)),
     (900.0 - 1e-9, 1800.0 - 1e-9, (1, 2)), (100.0, 500.0, (1, 0)), (-10.0, -5.0, (0, -1))],
)  # fmt: skip
def test_a_stay_has_the_slots_that_lie_in_it_as_a_whole(start_s: float, end_s: float, slots: tuple[int, int]) -> None:
    assert whole_slots(start_s, end_s, 900.0, 24) == slots


def test_what_can_not_be_charged_in_time_is_planned_as_far_as_it_goes() -> None:
    stays = stays_of(
        [parked("late", departure_s=2.5 * HOUR_S, due_kwh=8.0), parked("full", due_kwh=8.0, room_kwh=1.5),
         parked("gone", departure_s=0.5 * HOUR_S), parked("off", power_kw=0.0)], horizon(),
    )  # fmt: skip
    assert [(stay.vehicle.name, stay.first_slot, stay.end_slot, stay.charge_kwh) for stay in stays] == [
        ("late", 0, 2, 6.0), ("full", 0, 10, 1.5)
    ]  # fmt: skip


def test_only_those_plugged_in_count() -> None:
    vehicles = [parked("a", departure_s=2 * HOUR_S), parked("b", arrival_s=0.5 * HOUR_S, power_kw=2.0)]
    stays = stays_of(vehicles, horizon())
    assert present_kw(stays, SLOTS)[:4].tolist() == [3.0, 5.0, 2.0, 2.0]
    assert present_kw(stays, SLOTS)[10:].sum() == 0.0


@pytest.mark.parametrize("planner", PLANNERS)
def test_the_energy_due_is_charged_within_the_stay(planner: str) -> None:
    stays = stays_of([parked("a"), parked("b", arrival_s=5 * HOUR_S, departure_s=20 * HOUR_S, due_kwh=12.0)], horizon())
    base_kw = PLANNERS[planner](stays, horizon())
    assert base_kw.shape == (SLOTS,)
    assert base_kw.sum() == pytest.approx(-20.0, abs=1e-6), "charging is power below zero"
    assert np.abs(base_kw[20:]).max() == 0.0, "nobody is there"
    assert np.all(np.abs(base_kw) <= present_kw(stays, SLOTS) + 1e-9)


def test_valley_charges_when_it_is_cheap_and_sells_when_that_pays() -> None:
    stays = stays_of([parked(departure_s=math.inf)], horizon())
    base_kw = by_valley(stays, horizon(cheap_night()), 0.0)
    assert base_kw[CHEAP].tolist() == pytest.approx([-3.0] * 4)
    sold = np.delete(base_kw, np.r_[CHEAP])
    assert sold.min() >= -1e-9
    assert sold.sum() == pytest.approx(4.0, abs=1e-6), "12 kWh were bought, 8 are due"
    worn = stays_of([parked(departure_s=math.inf, linear=0.4)], horizon())
    assert by_valley(worn, horizon(cheap_night()), 0.0).max() == pytest.approx(0.0, abs=1e-9)


def test_valley_fills_the_valley_of_the_load() -> None:
    load = 20.0 + 10.0 * np.cos(np.arange(SLOTS) * 2 * np.pi / SLOTS)
    vehicles = [parked(str(k), departure_s=math.inf, due_kwh=9.0, linear=0.5) for k in range(4)]
    stays = stays_of(vehicles, horizon())
    total = load - by_valley(stays, horizon(load=load), 5e-2)
    filled = total[total > load + 1e-6]
    assert filled.size >= 6
    assert np.ptp(filled) < 0.1 * np.ptp(load)


def test_allocation_makes_the_load_even() -> None:
    load = 20.0 + 4.0 * np.cos(np.arange(SLOTS) * 2 * np.pi / SLOTS)
    stays = stays_of([parked(str(k), departure_s=math.inf, reserve_kwh=20.0) for k in range(4)], horizon(load=load))
    total = load - by_allocation(stays, horizon(load=load), 1e-3, 0.0)
    assert np.ptp(total) < 0.05 * np.ptp(load)


def test_a_battery_gives_no_more_than_it_has() -> None:
    """Dear at once, cheap later: what is sold first is bounded by the reserve."""
    price = np.r_[np.full(12, 0.5), np.full(12, 0.01)]
    stays = stays_of([parked(departure_s=math.inf, reserve_kwh=4.0, due_kwh=0.0)], horizon())
    base_kw = by_valley(stays, horizon(price), 0.0)
    assert base_kw[:12].sum() == pytest.approx(4.0, abs=1e-6)
    assert base_kw.sum() == pytest.approx(0.0, abs=1e-6)
