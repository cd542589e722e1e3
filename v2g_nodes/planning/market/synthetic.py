"""A made day of drivers: home, work and elsewhere, hour by hour, calibrated to the source's published profits.

Source of all numbers: EQUATIONS 004.3, calibrated synthetic instance. Kinds of drivers other than the mean one are
chosen here: commuters go to work twice as often, home drivers a quarter as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.activity_network import NOT_PLUGGED, ActivityNetwork
from v2g_nodes.planning.market.calibration import FLOW_MIN, calibrate
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.signal_statistics import Need

HOURS = 24
HOME, WORK, OTHER = "home", "work", "elsewhere"
VALUE_USD_MONTH = 200.0  # worth of a month to a driver, found in the source
NEED = Need(0.35, 0.03, 0.03)  # share of the bid, calibrated
ETA, REBATE_MAX = 0.25, 0.3
PRICE_MEAN = 19.7e-3  # USD/kWh
#: how often drivers of a kind go to work and elsewhere, against the mean driver
KINDS = {"mean": (1.0, 1.0), "commuter": (2.0, 1.0), "mixed": (1.0, 1.5), "home": (0.25, 0.6)}
WORKPLACE_SHARE = 0.5  # of those at work who would plug in where they can, chosen
#: hour, place, shares of drivers at all places -> target, plugged in, share
Moves: TypeAlias = Callable[[int, str, Mapping[str, float]], list[tuple[str, bool, float]]]


def prices() -> FloatArray:
    """Expected revenue per kW in each hour of the day, shape (24,) [USD/kWh]."""
    hour = np.arange(HOURS)
    shape = (1.0 + 0.9 * np.exp(-(((hour - 6.5) / 2.0) ** 2)) + 1.215 * np.exp(-(((hour - 18.0) / 2.5) ** 2))
             - 0.15 * np.cos(2.0 * np.pi * (hour - 14.0) / HOURS))  # fmt: skip
    priced: FloatArray = PRICE_MEAN * shape / shape.mean()
    return priced


def drivers(
    kind: str = "mean", hours: int = HOURS, workplace: bool = False, seed: int | None = None,
    value_usd_month: float = VALUE_USD_MONTH,
) -> Follower:  # fmt: skip
    """Drivers of a kind, calibrated to their flows without rebates.

    Args:
        kind: of KINDS.
        hours: of the day, from its start; the last one ends at home.
        workplace: chargers at work: half of those who stay there plug in.
        seed: makes the kind's moves differ by a fifth, lognormal; None: as stated.
        value_usd_month: what 30 days are worth to a driver [USD].

    Raises:
        InputError: an unknown kind or a number out of range.
    """
    if kind not in KINDS:
        raise InputError(f"drivers are {kind!r}, allowed {', '.join(KINDS)}")
    check_range("hours", hours, 2, HOURS)
    random = None if seed is None else np.random.default_rng(seed)
    network, flow = day_network(hours, lambda hour, place, _: _moves(
        kind, hour, place, hour == hours - 1, workplace, random))  # fmt: skip
    return calibrate(network, flow, value_usd_month / 30.0)


def day_network(hours: int, moves: Moves) -> tuple[ActivityNetwork, FloatArray]:
    """Network and flows of a day that begins and ends at home.

    Args:
        hours: of the day.
        moves: where those at a place go in an hour, given the shares of drivers at all places: target, plugged in,
            share; all positive, summing to one, in the last hour all to HOME.
    """
    nodes: dict[tuple[str, int], int] = {(HOME, 0): 0}
    rows: list[tuple[int, int, int, float]] = []
    at = {HOME: 1.0}
    for hour in range(hours):
        moved: dict[str, float] = {}
        for place, share in at.items():
            for target, plugged, part in moves(hour, place, at):
                flow = share * part
                head = nodes.setdefault((target, hour + 1), len(nodes))
                rows.append((nodes[place, hour], head, hour if plugged else NOT_PLUGGED, flow))
                moved[target] = moved.get(target, 0.0) + flow
        at = moved
    tail, head_, plug = (np.array([row[k] for row in rows], dtype=np.int64) for k in range(3))
    names = tuple(f"{place} {hour}" for place, hour in nodes)
    network = ActivityNetwork(names, tail, head_, plug, hours, 0, nodes[HOME, hours])
    return network, np.clip([row[3] for row in rows], 0.0, 1.0)


def _moves(
    kind: str, hour: int, place: str, last: bool, workplace: bool, random: np.random.Generator | None
) -> list[tuple[str, bool, float]]:
    """Where those at a place go: target, plugged in, share; all positive, summing to one."""
    to_work, to_other = KINDS[kind]
    noise = np.ones(3) if random is None else np.exp(0.2 * random.standard_normal(3))
    if place == HOME:
        work, other = 0.0 if last else to_work * _home_work(hour), 0.0 if last else to_other * _home_other(hour)
        work, other = min(work * noise[0], 0.6), min(other * noise[1], 0.3)
        plugged = min(plugged_at_home(hour) * noise[2] ** 0.3, 0.98)
        stay = 1.0 - work - other
        moves = [(HOME, True, stay * plugged), (HOME, False, stay * (1.0 - plugged)), (WORK, False, work),
                 (OTHER, False, other)]  # fmt: skip
    elif place == WORK:
        home, other = (1.0, 0.0) if last else (min(_work_home(hour) * noise[0], 0.85), _work_other(hour))
        stay = 1.0 - home - other
        parked = WORKPLACE_SHARE if workplace else 0.0
        moves = [(WORK, True, stay * parked), (WORK, False, stay * (1.0 - parked)), (HOME, False, home),
                 (OTHER, False, other)]  # fmt: skip
    else:
        home = 1.0 if last else min((0.8 if hour >= 22 else 0.35 if 9 <= hour <= 21 else 0.6) * noise[0], 0.9)
        moves = [(OTHER, False, 1.0 - home), (HOME, False, home)]
    return [move for move in moves if move[2] > 0.1 * FLOW_MIN]


def _home_work(hour: int) -> float:
    return 0.001 if hour >= 22 else {6: 0.10, 7: 0.22, 8: 0.18, 9: 0.06}.get(hour, 0.004)


def _home_other(hour: int) -> float:
    rush = {9: 0.06, 10: 0.07, 11: 0.06, 17: 0.05, 18: 0.06, 19: 0.04}
    return 0.001 if hour >= 22 else rush.get(hour, 0.012 if 7 <= hour <= 20 else 0.002)


def _work_home(hour: int) -> float:
    rush = {16: 0.18, 17: 0.35, 18: 0.35, 19: 0.30, 20: 0.30}
    return 0.7 if hour >= 22 else rush.get(hour, 0.03 if hour > 11 else 0.01)


def _work_other(hour: int) -> float:
    return 0.001 if hour >= 22 else {12: 0.05, 17: 0.10}.get(hour, 0.01)


def plugged_at_home(hour: int) -> float:
    """Share plugged in of those who stay at home, EQUATIONS 004.3."""
    return 0.95 if hour >= 21 or hour <= 5 else 0.9 if hour >= 17 else 0.6
