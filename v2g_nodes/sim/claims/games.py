"""Claims on games between modules (000.4, item 5, and the formulation's section 5); further ones belong here too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from v2g_nodes.core.game.equilibrium import best_response
from v2g_nodes.core.game.misreports import search_misreports
from v2g_nodes.core.game.payoffs import Game, congested
from v2g_nodes.core.game.potential import has_potential
from v2g_nodes.core.game.sweep import losses, vanishes
from v2g_nodes.core.game.welfare import price_of_anarchy
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged
from v2g_nodes.sim.claims.dispatch_setting import MODULES, TARGET_KW, station

CLAIMS = Register("core/cost.py", "core/supply.py", "core/game", "sim/claims/dispatch_setting.py")
CONGESTION = 0.01  # EUR/h/kW^2
STEP_KW = 1e-2
INCOME = 0.10  # EUR/kWh
CONGESTIONS = (1e-5, 1e-4, 1e-3, 1e-2)  # EUR/h/kW^2
GAIN_EUR_PER_H = 1e-9  # of a deviation, above is more than rounding
Payoff = Callable[[int, FloatArray], float]


def _congested(module: int, powers: FloatArray) -> float:
    """Income less own cost less own power times the power of all: it has a potential."""
    cost = station(0).costs[module].cost(powers[module : module + 1])
    return float(INCOME * powers[module] - cost[0] - CONGESTION * powers[module] * powers.sum())


def _cross(payoff: Payoff, powers: FloatArray, own: int, other: int, second: bool) -> float:
    """Derivative of a module's payoff by another's power; second: of its slope by its own."""
    step = STEP_KW * np.eye(len(powers))

    def by_other(at: FloatArray) -> float:
        return (payoff(own, at + step[other]) - payoff(own, at - step[other])) / (2.0 * STEP_KW)

    if not second:
        return by_other(powers)
    return (by_other(powers + step[own]) - by_other(powers - step[own])) / (2.0 * STEP_KW)


@CLAIMS.claim("000.4.5a", "A game has a potential where the first derivatives of payoffs by each other's power agree.",
              "they agree within 1e-6 in a game that has one (congestion by the power of all)", "error")  # fmt: skip
def first_derivatives(_: Setting) -> Finding:
    """First and second cross derivatives of a congestion game at one point."""
    powers: FloatArray = np.linspace(0.5, 2.5, 10).astype(np.float64)
    first = [_cross(_congested, powers, a, b, second=False) for a, b in ((2, 7), (7, 2))]
    second = [_cross(_congested, powers, a, b, second=True) for a, b in ((2, 7), (7, 2))]
    return judged(abs(first[0] - first[1]) <= 1e-6, {"first_derivatives": first, "second_derivatives": second},
                  "it is the second cross derivatives that must agree")  # fmt: skip


@CLAIMS.claim("000.4.5b", "The companion's payoff with -c p (sum p - P) belongs to the potential with -c/2 (sum p - "
              "P)^2.", "payoff and potential change alike when one module moves, within 1e-9", "error")  # fmt: skip
def companion_potential(_: Setting) -> Finding:
    """One module moves; the mended payoff has -c (p^2 / 2 + p (sum of the others - P))."""
    powers: FloatArray = np.linspace(0.5, 2.5, 10).astype(np.float64)
    moved = powers.copy()
    moved[3] += 0.7

    def potential(p: FloatArray) -> float:
        return -0.5 * CONGESTION * float(p.sum() - TARGET_KW) ** 2

    def printed(p: FloatArray) -> float:
        return -CONGESTION * float(p[3] * (p.sum() - TARGET_KW))

    def mended(p: FloatArray) -> float:
        return -CONGESTION * float(0.5 * p[3] ** 2 + p[3] * (p.sum() - p[3] - TARGET_KW))

    change = {name: f(moved) - f(powers) for name, f in
              (("potential", potential), ("printed", printed), ("mended", mended))}  # fmt: skip
    figures = {f"change_of_{name}_eur_per_h": value for name, value in change.items()}
    return judged(abs(change["printed"] - change["potential"]) <= 1e-9, figures, "an extra -c p is in its slope")


@CLAIMS.claim("000.8.1a", "With convex costs the price of anarchy is at most 1 plus a little that depends on the "
              "costs' curvature.", "at most 1.05 for congestion from 1e-5 to 0.01 EUR/h/kW^2, and nearest to 1 at the "
              "least", "printed")  # fmt: skip
def price_is_small(_: Setting) -> Finding:
    """Welfare at the optimum over that at the equilibrium of one connection through which 20 kW fit."""
    found = [price_of_anarchy(congested(station(0).supplies, INCOME, TARGET_KW, c)) for c in CONGESTIONS]
    ratios = [one.price or np.inf for one in found]
    return judged(max(ratios) <= 1.05 and min(ratios) == ratios[0],
                  {"congestion": list(CONGESTIONS), "price_of_anarchy": ratios,
                   "optimum_certified": [one.optimum.certified for one in found]},
                  "it is the congestion that decides, not the costs' curvature")  # fmt: skip


@CLAIMS.claim("000.8.1b", "The price of anarchy goes to 1 as the externality vanishes.",
              "the welfare lost falls at least tenfold with each tenth of the congestion, in every station",
              "derived")  # fmt: skip
def price_vanishes(run: Setting) -> Finding:
    """Welfare lost at three congestions a factor of ten apart."""
    lost = [losses(station(seed).supplies, INCOME, TARGET_KW) for seed in range(run.pick(3, 40))]
    return judged(all(map(vanishes, lost)), {"lost_eur_per_h": [max(column) for column in zip(*lost, strict=True)]})


@CLAIMS.claim("000.8.2", "With payments by what the others lose (VCG) no module gains by misreporting its cost.",
              "no lie of six kinds, next to the truth and far from it, gains more than rounding, and the same lies "
              "gain where reported costs are paid", "printed")  # fmt: skip
def truthful(run: Setting) -> Finding:
    """Largest gains over random misreports, under either payment."""
    figures: dict[str, object] = {}
    for mechanism in ("vcg", "pay-as-bid"):
        found = [search_misreports(at.costs, at.boxes, TARGET_KW, mechanism, run.pick(200, 500), seed)
                 for seed, at in enumerate(map(station, range(run.pick(4, 20))))]  # fmt: skip
        name = mechanism.replace("-", "_")
        figures[f"profitable_{name}"] = sum(one.profitable for one in found)
        figures[f"largest_gain_eur_per_h_{name}"] = max(one.best_gain_eur_per_h for one in found)
    return judged(figures["profitable_vcg"] == 0 and figures["profitable_pay_as_bid"], figures)


@CLAIMS.claim("000.8.3", "Best responses in turn converge where the game has a potential.",
              "they end where no module gains by moving, in all stations with congestion of 0.001 and 0.01 "
              "EUR/h/kW^2; in a game without one, where of each two one is drawn and one repelled, they go on",
              "printed")  # fmt: skip
def best_responses(run: Setting) -> Finding:
    """Exploitability where best responses end, and a game without potential in which they circle."""
    ends = [best_response(congested(station(seed).supplies, INCOME, TARGET_KW, c))
            for seed in range(run.pick(4, 20)) for c in (1e-3, 1e-2)]  # fmt: skip
    push: FloatArray = np.triu(np.ones((MODULES, MODULES)), 1)
    circling = Game(station(0).supplies, INCOME, push - push.T, np.zeros(MODULES))
    around = best_response(circling, rounds_max=run.pick(200, 2000))
    most = max(end.exploitability_eur_per_h for end in ends)
    holds = all(end.converged for end in ends) and most <= GAIN_EUR_PER_H
    return judged(holds and not around.converged and not has_potential(circling),
                  {"exploitability_eur_per_h": most, "rounds_max": max(end.rounds for end in ends),
                   "exploitability_without_potential_eur_per_h": around.exploitability_eur_per_h})  # fmt: skip
