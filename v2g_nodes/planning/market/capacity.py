"""The largest bid that a random number of plugged-in vehicles can serve with the probability asked for.

P(psi K >= r C) >= 1 - eta is replaced by CVaR of r C - psi K <= 0, and that by either of two sufficient forms
(Chen, Sim 2009), with N = E K, D = sum of squared deviations of the vehicles, c = C / psi:

    (3)  mean c + k sqrt(D + (forward c)^2) <= N,   k = sqrt(-2 ln eta)
    (4)  mean c + k sqrt(D + (backward c)^2) <= N,  k = (1 - eta) / eta * sqrt(-2 ln(1 - eta))

The best c of a form is the smaller root of a quadratic; the larger c of the two forms counts. (3) needs the backward
deviation of a plugged-in vehicle and (4) its forward deviation. The source writes the standard deviation for both,
which is too small on one side of 1/2; the exact deviation is the default here (EQUATIONS 004.5, 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_positive
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.signal_statistics import Need, check_eta

NEAR_HALF = 1e-4  # from here on the exact deviation is told by its series


@dataclass(frozen=True)
class Form:
    """One sufficient form of one requirement.

    Args:
        kw: power per plugged-in vehicle [kW].
        factor: k.
        mean: of the needed share.
        deviation: of the needed share, on the side that hurts.
        backward: the vehicles' backward deviation counts, not the forward one.
    """

    kw: float
    factor: float
    mean: float
    deviation: float
    backward: bool

    def bid(self, expected: FloatArray, squared: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Largest bid and its derivatives.

        Args:
            expected: N, vehicles plugged in.
            squared: D, sum of squared deviations.

        Returns:
            Bid [kW], zero where none is allowed; its derivatives by N and by D.
        """
        k, r, d = self.factor, self.mean, self.deviation
        room = expected**2 - k**2 * squared
        inside = r**2 * expected**2 - (r**2 - (k * d) ** 2) * room
        below = r * expected + np.sqrt(np.maximum(inside, 0.0))
        some = (room > 0.0) & (expected > 0.0)
        unbounded = some & (below <= 0.0)
        c = np.where(some, room / np.where(below > 0.0, below, 1.0), 0.0)
        root = np.sqrt(np.maximum(squared + (d * c) ** 2, 1e-300))
        steep = r + k * d**2 * c / root
        by_n = np.where(some & ~unbounded, 1.0 / np.where(steep > 0.0, steep, np.inf), 0.0)
        return self.kw * np.where(unbounded, np.inf, c), self.kw * by_n, self.kw * by_n * -0.5 * k / root


@dataclass(frozen=True)
class Requirement:
    """A chance constraint on the bid.

    Args:
        kw: power per plugged-in vehicle that may be used for it, above 0 [kW].
        eta: probability of missing it, in (0, 1).
        need: share of the bid that it takes.

    Raises:
        InputError: a value out of range.
    """

    kw: float
    eta: float
    need: Need

    def __post_init__(self) -> None:
        check_positive("charger_kw", self.kw, "kW")
        check_eta("eta", self.eta)

    @property
    def forms(self) -> tuple[Form, Form]:
        """(3) and (4)."""
        first = math.sqrt(-2.0 * math.log(self.eta))
        second = (1.0 - self.eta) / self.eta * math.sqrt(-2.0 * math.log1p(-self.eta))
        return (Form(self.kw, first, self.need.mean, self.need.forward, True),
                Form(self.kw, second, self.need.mean, self.need.backward, False))  # fmt: skip


def squared_deviation(share: FloatArray, backward: bool, exact: bool) -> tuple[FloatArray, FloatArray]:
    """Squared deviation of one vehicle that is plugged in with a probability, and its derivative.

    Args:
        share: the probability y.
        backward: the backward deviation, else the forward one.
        exact: the deviation itself; else the variance y (1 - y) that the source writes.

    Returns:
        y (1 - y) on the harmless side of 1/2, (2 y - 1) / (2 ln(y / (1 - y))) on the other; concave in y.
    """
    variance, by_share = share * (1.0 - share), 1.0 - 2.0 * share
    if not exact:
        return variance, by_share
    harmful = share > 0.5 + NEAR_HALF if backward else share < 0.5 - NEAR_HALF
    y = np.clip(np.where(harmful, share, 0.75), 1e-15, 1.0 - 1e-15)
    log = np.log(y / (1.0 - y))
    larger = (2.0 * y - 1.0) / (2.0 * log)
    slope = 1.0 / log - (2.0 * y - 1.0) / (2.0 * log**2 * y * (1.0 - y))
    return np.where(harmful, larger, variance), np.where(harmful, slope, by_share)
