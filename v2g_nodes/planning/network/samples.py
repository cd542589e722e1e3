"""Seeded instances on any radial case, as EQUATIONS 003.2 reads the source: the values of an instance file.

Arrivals: "spots": every station has a few places, vehicles come to each one after another, so that 1 to `spots` are
there at a time; "hourly": 1 to `spots` vehicles come to each station every hour. Vehicles stay 6 to 12 h, arrive
with 20 to 40 % and are due full. Noise: 1 kW on loads, 10 % on resistances and reactances, 0.5 EUR/MWh on prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.case_file import Case

ARRIVALS = ("spots", "hourly")
STAY_H = (6, 12)
CAPACITY_KWH, START, GOAL = 100.0, (0.2, 0.4), 1.0
POWER_KW, FLOOR_KWH, ETA = (10.0, 20.0), 10.0, 0.8
NOISE_KW, NOISE_BRANCH, NOISE_PRICE = 1.0, 0.1, 0.5


@dataclass(frozen=True)
class Sample:
    """What to make.

    Args:
        seed: names it.
        buses: numbers of the stations' buses.
        cap_kw: of every station, None = no cap.
        slots: of the day.
        arrivals: one of ARRIVALS.
        spots: places of a station, or most arrivals per hour.
        load_factor: of all loads of the case.
    """

    seed: int
    buses: tuple[int, ...]
    cap_kw: float | None = None
    slots: int = 24
    arrivals: str = "spots"
    spots: int = 5
    load_factor: float = 1.0


def day_price(slots: int) -> FloatArray:
    """Price of a day with peaks in the morning and evening and a valley at noon (CHOSEN), shape (slots,) [EUR/MWh]."""
    hour = (np.arange(slots) + 0.5) * 24.0 / slots
    peaks = 35.0 * np.exp(-(((hour - 7.5) / 2.0) ** 2)) + 40.0 * np.exp(-(((hour - 19.5) / 2.5) ** 2))
    return np.asarray(58.0 + peaks - 48.0 * np.exp(-(((hour - 13.8) / 2.2) ** 2)))


def make_values(case: Case, sample: Sample, price_eur_per_mwh: FloatArray | None = None) -> dict[str, Any]:
    """Values of an instance file.

    Args:
        case: whose grid and loads.
        sample: what to make.
        price_eur_per_mwh: without noise, shape (slots,); default `day_price`.

    Raises:
        InputError: a value out of range.
    """
    if sample.arrivals not in ARRIVALS:
        raise InputError(f"arrivals {sample.arrivals!r}, allowed {', '.join(ARRIVALS)}")
    check_range("seed", sample.seed, 0, 2**63 - 1)
    check_range("slots", sample.slots, 24, 288)
    check_range("vehicles at a station", sample.spots, 1, 200)
    check_range("load factor", sample.load_factor, 0.0, 100.0)
    if sample.slots % 24:
        raise InputError(f"slots is {sample.slots}, allowed multiples of 24")
    random = np.random.default_rng(sample.seed)
    buses, slots = len(case.bus), sample.slots
    loads = []
    for column in (2, 3):
        base = sample.load_factor * 1e3 * case.bus[:, column]
        noise = random.normal(0.0, NOISE_KW, (slots, buses))
        loads.append(np.where(base > 0.0, np.maximum(base + noise, 0.0), base).tolist())
    branches = [case.branch[:, column] * np.abs(1.0 + NOISE_BRANCH * random.normal(size=len(case.branch)))
                for column in (2, 3)]  # fmt: skip
    price = day_price(slots) if price_eur_per_mwh is None else price_eur_per_mwh
    price = price + random.normal(0.0, NOISE_PRICE, slots)
    make = _spots if sample.arrivals == "spots" else _hourly
    vehicles = [{"bus": bus, **one} for bus in sample.buses for one in make(random, sample)]
    return {
        "case": case.name, "seed": sample.seed, "T": slots, "dt_h": 24.0 / slots, "eta": ETA, "cap": CAPACITY_KWH,
        "emin": FLOOR_KWH, "pmin": POWER_KW[0], "pmax": POWER_KW[1], "Pd_kW": loads[0], "Qd_kW": loads[1],
        "r_pu": branches[0].tolist(), "x_pu": branches[1].tolist(), "price": price.tolist(),
        "stations": [{"bus": bus, "cap_kw": sample.cap_kw} for bus in sample.buses], "evs": vehicles,
    }  # fmt: skip


def _spots(random: np.random.Generator, sample: Sample) -> list[dict[str, Any]]:
    per_hour, found = sample.slots // 24, []
    for spot in range(sample.spots):
        at = 0 if spot == 0 else int(random.integers(0, 4 * per_hour + 1))
        while sample.slots - at >= STAY_H[0] * per_hour:
            stay = int(random.integers(STAY_H[0] * per_hour, STAY_H[1] * per_hour + 1))
            found.append(_vehicle(random, at, min(at + stay, sample.slots)))
            at += stay + (0 if spot == 0 else int(random.integers(0, 4 * per_hour + 1)))
    return found


def _hourly(random: np.random.Generator, sample: Sample) -> list[dict[str, Any]]:
    per_hour, found = sample.slots // 24, []
    for hour in range(24 - STAY_H[0] + 1):
        for _ in range(int(random.integers(1, sample.spots + 1))):
            stay = int(random.integers(STAY_H[0] * per_hour, STAY_H[1] * per_hour + 1))
            found.append(_vehicle(random, hour * per_hour, min(hour * per_hour + stay, sample.slots)))
    return found


def _vehicle(random: np.random.Generator, arrival: int, departure: int) -> dict[str, Any]:
    start = round(CAPACITY_KWH * random.uniform(*START), 3)
    return {"arr": arrival, "dep": departure, "e0": start, "e1": GOAL * CAPACITY_KWH}
