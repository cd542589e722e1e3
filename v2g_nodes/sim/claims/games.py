"""Claims on games between modules and drivers (000.4, item 5, and the formulation's section 5).

Claims on the price of anarchy and on payments belong here too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged
from v2g_nodes.sim.claims.dispatch_setting import TARGET_KW, station

CLAIMS = Register("core/cost.py", "sim/claims/dispatch_setting.py")
CONGESTION = 0.01  # EUR/h/kW^2
STEP_KW = 1e-2
Payoff = Callable[[int, FloatArray], float]


def _congested(module: int, powers: FloatArray) -> float:
    """Income less own cost less own power times the power of all: it has a potential."""
    cost = station(0).costs[module].cost(powers[module : module + 1])
    return float(0.10 * powers[module] - cost[0] - CONGESTION * powers[module] * powers.sum())


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
