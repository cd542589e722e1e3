"""Claims on games between modules (000.4, item 5, and the formulation's section 5); further ones belong here too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged
from v2g_nodes.sim.claims.dispatch_setting import MODULES, TARGET_KW, Station, station

CLAIMS = Register("core/cost.py", "core/supply.py", "core/dispatch/reference.py", "sim/claims/dispatch_setting.py")
CONGESTION = 0.01  # EUR/h/kW^2
STEP_KW = 1e-2
INCOME = 0.10  # EUR/kWh
CONGESTIONS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # EUR/h/kW^2
SWEEPS_MAX, SETTLED_KW = 2000, 1e-9
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


def _at_rest(at: Station, congestion: float, seen: float) -> FloatArray:
    """Powers at which none wants to move; each pays its power times that of all times the congestion.

    Args:
        at: the station.
        congestion: EUR/h/kW^2.
        seen: share of what its power costs the others that a module minds: 0 in the game, 1 for all together.
    """
    powers: FloatArray = np.zeros(MODULES)
    for _ in range(SWEEPS_MAX):
        before = powers.copy()
        for k, supply in enumerate(at.supplies):
            others = float(powers.sum() - powers[k])
            powers[k] = supply.proximal(INCOME - (1.0 + seen) * congestion * others, 2.0 * congestion)
        if np.abs(powers - before).max() <= SETTLED_KW:
            break
    return powers


@CLAIMS.claim("000.8.1", "With convex costs the price of anarchy is at most 1 plus a little that depends on the costs' "
              "curvature.", "at most 1.05 for congestion from 1e-5 to 0.1 EUR/h/kW^2, and nearest to 1 at the least",
              "printed")  # fmt: skip
def price_of_anarchy(_: Setting) -> Finding:
    """Welfare at the optimum over that at the equilibrium, where nothing but income, cost and congestion counts."""
    at, ratios = station(0), []
    for congestion in CONGESTIONS:
        welfare = [INCOME * float(p.sum()) - at.cost(p) - congestion * float(p.sum()) ** 2
                   for p in (_at_rest(at, congestion, 1.0), _at_rest(at, congestion, 0.0))]  # fmt: skip
        ratios.append(welfare[0] / welfare[1])
    return judged(max(ratios) <= 1.05 and min(ratios) == ratios[0],
                  {"congestion": list(CONGESTIONS), "price_of_anarchy": ratios},
                  "it is the congestion that decides, not the costs' curvature")  # fmt: skip


@CLAIMS.claim("000.8.2", "With payments by what the others lose (VCG) no module gains by misreporting its cost.",
              "no gain above 1e-6 EUR/h by wear from a third to three times the true one, and the same search finds "
              "gains where reported costs are paid", "printed")  # fmt: skip
def truthful(run: Setting) -> Finding:
    """Largest gains over random misreports, under either payment."""
    random, best = np.random.default_rng(4), {"vcg": -np.inf, "pay_as_bid": -np.inf}
    for seed in range(run.pick(2, 10)):
        at = station(seed)
        for k in range(MODULES):
            without = dispatch_optimum(at.costs[:k] + at.costs[k + 1 :], at.boxes[:k] + at.boxes[k + 1 :], TARGET_KW)
            honest = without.cost_eur_per_h - at.optimum.cost_eur_per_h
            for factor in np.exp(random.uniform(-np.log(3.0), np.log(3.0), run.pick(5, 50))):
                told = _reported(at.costs[k], float(factor))
                costs = (*at.costs[:k], told, *at.costs[k + 1 :])
                powers = np.array(dispatch_optimum(costs, at.boxes, TARGET_KW).powers_kw)
                paid = float(told.cost(powers[k])) - float(at.costs[k].cost(powers[k]))
                best["vcg"] = max(best["vcg"], without.cost_eur_per_h - at.cost(powers) - honest)
                best["pay_as_bid"] = max(best["pay_as_bid"], paid)
    return judged(best["vcg"] <= 1e-6 < best["pay_as_bid"],
                  {f"largest_gain_eur_per_h_{name}": gain for name, gain in best.items()})


def _reported(cost: LocalCost, factor: float) -> LocalCost:
    parameters = replace(cost.parameters, wear_gamma=factor * cost.parameters.wear_gamma)
    return LocalCost(parameters, cost.soc, cost.temperature_c)
