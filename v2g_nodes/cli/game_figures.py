"""What `v2g game` measures, and its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.cli.game_fleets import Fleet, random_fleet, random_fleets
from v2g_nodes.cli.progress import Tell
from v2g_nodes.core.game.equilibrium import Course, best_response
from v2g_nodes.core.game.mechanism import Settlement, settle
from v2g_nodes.core.game.misreports import Search, search_misreports
from v2g_nodes.core.game.payoffs import congested
from v2g_nodes.core.game.potential import potential
from v2g_nodes.core.game.sweep import Point, free_sale_kw, losses, sweep, vanishes
from v2g_nodes.core.game.welfare import Anarchy, price_of_anarchy

EXPLOITABLE_EUR_PER_H = 1e-9  # more to gain than this and it is no equilibrium
FALL_EUR_PER_H = 1e-11  # rounding of the potential of hundreds of modules
AT_ONCE_ROUNDS = 2000  # many modules at a large externality would take more, and need not
APART_KW = 1e-6  # both ways to the equilibrium may differ by this
GAIN_EUR_PER_H = 1e-9  # rounding of payments
PRICE_ROUNDING = 1e-9  # a price of anarchy this far below 1 is rounding


@dataclass(frozen=True)
class Asked:
    """Options of the command, checked.

    Args:
        modules: of the station that is shown.
        seed: names it and the others.
        target_kw: None for half of what its modules sell at the price without congestion.
        price_eur_per_kwh: pi.
        externalities: c, ascending.
        fleets: stations searched for lies.
        tries: lies, over all stations.
        mechanisms: searched.
        shortage: V [EUR/kWh].
    """

    modules: int
    seed: int
    target_kw: float | None
    price_eur_per_kwh: float
    externalities: tuple[float, ...]
    fleets: int
    tries: int
    mechanisms: tuple[str, ...]
    shortage: float


@dataclass(frozen=True)
class Study:
    """What was found.

    Args:
        asked: options.
        fleet: the station that is shown.
        target_kw: of it.
        points: one per externality.
        at_once: best responses of all at once at the largest externality, at most AT_ONCE_ROUNDS.
        falls_eur_per_h: most that the potential fell in one of their rounds.
        losses: of selfishness as the externality vanishes (core/game/sweep.py).
        settlements: by mechanism.
        stations: prices of anarchy of the other stations, one row each; None where undefined.
        searches: by mechanism, one per other station.
    """

    asked: Asked
    fleet: Fleet
    target_kw: float
    points: tuple[Point, ...]
    at_once: Course
    falls_eur_per_h: float
    losses: tuple[float, ...]
    settlements: Mapping[str, Settlement]
    stations: Sequence[Sequence[Anarchy]]
    searches: Mapping[str, Sequence[Search]]


def study(asked: Asked, tell: Tell) -> Study:
    """Play, settle and search."""
    fleet, price = random_fleet(asked.modules, asked.seed), asked.price_eur_per_kwh
    target_kw = 0.5 * free_sale_kw(fleet.players, price) if asked.target_kw is None else asked.target_kw
    points = sweep(fleet.players, price, target_kw, asked.externalities, lambda c: tell(f"game at externality {c:g}"))
    tell("best responses at once")
    game = congested(fleet.players, price, target_kw, asked.externalities[-1])
    at_once = best_response(game, order="at-once", rounds_max=AT_ONCE_ROUNDS)
    falls = float(-np.diff(potential(game, at_once.trace_kw)).min(initial=0.0))
    tell("payments")
    settlements = {m: settle(fleet.costs, fleet.boxes, target_kw, m, asked.shortage) for m in ("vcg", "pay-as-bid")}
    stations, searches = [], {m: list[Search]() for m in asked.mechanisms}
    parts = np.diff(np.linspace(0, asked.tries, asked.fleets + 1).astype(int))
    for k, (other, tries) in enumerate(zip(random_fleets(asked.fleets, asked.seed), parts, strict=True)):
        tell(f"station {k + 1} of {asked.fleets}")
        stations.append(_prices(other, price, asked.externalities))
        for mechanism, found in searches.items():
            found.append(search_misreports(other.costs, other.boxes, other.target_kw, mechanism, int(tries),
                                           asked.seed + k, asked.shortage))  # fmt: skip
    return Study(asked, fleet, target_kw, points, at_once, falls, losses(fleet.players, price, target_kw), settlements,
                 stations, searches)  # fmt: skip


def _prices(fleet: Fleet, price: float, externalities: Sequence[float]) -> list[Anarchy]:
    target_kw = 0.5 * free_sale_kw(fleet.players, price)
    return [price_of_anarchy(congested(fleet.players, price, target_kw, c)) for c in externalities]


def figures(found: Study) -> dict[str, Any]:
    """The keys of the JSON; lists over the externalities unless said otherwise."""
    asked, points, vcg = found.asked, found.points, found.settlements["vcg"]
    paid = {m: found.settlements[m].payments_eur_per_h for m in found.settlements}
    searched = {m: found.searches.get(m) for m in ("vcg", "pay-as-bid")}
    profitable = {m: _sum(s.profitable for s in found) if found else None for m, found in searched.items()}
    best = {m: max(s.best_gain_eur_per_h for s in found) if found else None for m, found in searched.items()}
    return {
        "modules": asked.modules, "seed": asked.seed, "target_kw": found.target_kw,
        "externality": [*asked.externalities], "has_potential": all(p.has_potential for p in points),
        "best_response_rounds": [p.course.rounds for p in points],
        "exploitability_eur_per_h": [p.course.exploitability_eur_per_h for p in points],
        "potential": [p.potential_eur_per_h for p in points],
        "price_of_anarchy": [p.anarchy.price for p in points],
        "welfare_equilibrium_eur_per_h": [p.anarchy.welfare_eur_per_h for p in points],
        "welfare_optimum_eur_per_h": [p.anarchy.optimum.welfare_eur_per_h for p in points],
        "vcg_payments_eur_per_h": paid["vcg"].tolist(),
        "vcg_budget_eur_per_h": vcg.budget_eur_per_h(asked.price_eur_per_kwh),
        "misreport_tries": asked.tries, "misreports_profitable_vcg": profitable["vcg"],
        "misreports_profitable_pay_as_bid": profitable["pay-as-bid"], "best_gain_vcg_eur_per_h": best["vcg"],
        "best_gain_pay_as_bid_eur_per_h": best["pay-as-bid"], "verdict": "; ".join(_faults(found)) or "ok",
        "price_eur_per_kwh": asked.price_eur_per_kwh, "shortage_eur_per_kwh": asked.shortage, "fleets": asked.fleets,
        "welfare_optimum_gap_eur_per_h": [
            p.anarchy.optimum.bound_eur_per_h - p.anarchy.optimum.welfare_eur_per_h for p in points],
        "price_of_anarchy_fleets_max": [
            max((p for a in column if (p := a.price) is not None), default=None)
            for column in zip(*found.stations, strict=True)],
        "loss_as_externality_vanishes_eur_per_h": [*found.losses],
        "best_response_rounds_at_once": found.at_once.rounds, "powers_kw": vcg.powers_kw.tolist(),
        "marginal_price_eur_per_kwh": vcg.price_eur_per_kwh, "shortage_kw": vcg.shortage_kw,
        "vcg_gains_eur_per_h": vcg.gains_eur_per_h.tolist(),
        "pay_as_bid_payments_eur_per_h": paid["pay-as-bid"].tolist(),
        "pivotal_modules": (1 + np.flatnonzero(vcg.pivotal)).tolist(),
        "unwilling_modules": (1 + np.flatnonzero(~vcg.willing)).tolist(),
    }  # fmt: skip


def _sum(counts: Any) -> int:  # noqa: ANN401 - an iterable of numbers
    return sum(counts)


def _faults(found: Study) -> list[str]:
    """What is not as the theory has it, one text each."""
    return [*_game_faults(found), *_payment_faults(found)]


def _game_faults(found: Study) -> list[str]:
    faults = []
    for point in found.points:
        where, course = f"externality {point.externality:g}", point.course
        if not point.has_potential:
            faults.append(f"{where}: no potential")
        if not (course.converged and course.exploitability_eur_per_h <= EXPLOITABLE_EUR_PER_H):
            faults.append(f"{where}: best responses leave {course.exploitability_eur_per_h:.1e} EUR/h to gain")
        if not point.apart_kw <= APART_KW:
            faults.append(f"{where}: best responses end {point.apart_kw:.1e} kW from the potential's maximum")
    if not found.falls_eur_per_h <= FALL_EUR_PER_H:
        faults.append(f"best responses at once lose {found.falls_eur_per_h:.1e} EUR/h of the potential in a round")
    rows = [[p.anarchy for p in found.points], *found.stations]
    prices = [a.price for row in rows for a in row if a.price is not None]
    if prices and not min(prices) >= 1.0 - PRICE_ROUNDING:
        faults.append(f"price of anarchy {min(prices)!r} is below 1")
    if not vanishes(found.losses):
        faults.append(f"loss {found.losses} EUR/h does not vanish with the externality")
    return faults


def _payment_faults(found: Study) -> list[str]:
    faults = []
    vcg = found.settlements["vcg"]
    least = float(vcg.gains_eur_per_h[vcg.willing].min(initial=0.0))
    if not least >= -GAIN_EUR_PER_H:
        faults.append(f"VCG: a module that could stand still loses {-least:.1e} EUR/h")
    for mechanism, searches in found.searches.items():
        profitable = _sum(s.profitable for s in searches)
        if mechanism == "vcg" and profitable:
            faults.append(f"VCG: {profitable} lies paid")
        if mechanism == "pay-as-bid" and not profitable:
            faults.append("pay-as-bid: no lie paid, so the search shows nothing")
    return faults
