"""When the price iteration converges, and in how many steps: the source's bound and a sharper one.

Source (EQUATIONS 001.2): powers move by at most 2 nu |p - q|_1 in the 1-norm, so |p+ - q+|_1 <= rho |p - q|_1 with
rho = |1 - eta| + 2 N kappa nu eta; it says something where 2 N kappa nu < 1.

Sharper, for c' affine: p - P(p) is the gradient of (1/2)|p|^2 - (price + kappa d)' p + kappa * (sum of the vehicles'
convex conjugates), which is strongly convex with modulus 1 and smooth with 1 + kappa L, where L = max over slots of the
sum of nu over the vehicles plugged in. So the iteration is a gradient step: it converges in the 2-norm for every
0 < eta < 2/(1 + kappa L), whatever the fleet, by max(|1 - eta|, |1 - eta (1 + kappa L)|) a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.planning.valley.fleet import Fleet


@dataclass(frozen=True)
class Coupling:
    """How strongly prices and powers of a fleet push each other.

    Args:
        source: 2 kappa * sum of nu, the source's 2 N kappa nu for equal vehicles.
        in_slot: kappa * largest sum of nu over the vehicles plugged in at the same time.
    """

    source: float
    in_slot: float

    @property
    def eta_source(self) -> float:
        """The source guarantees convergence below this eta; 0 = for none."""
        return 2.0 / (1.0 + self.source) if self.source < 1.0 else 0.0

    @property
    def eta_max(self) -> float:
        """It converges for every eta below this one."""
        return 2.0 / (1.0 + self.in_slot)

    @property
    def eta_best(self) -> float:
        """Fastest guaranteed."""
        return 2.0 / (2.0 + self.in_slot)

    def rate_source(self, eta: float) -> float:
        """Contraction in the 1-norm by the source's bound; 1 or above says nothing."""
        return abs(1.0 - eta) + self.source * eta

    def rate(self, eta: float) -> float:
        """Contraction in the 2-norm; 1 or above says nothing."""
        return max(abs(1.0 - eta), abs(1.0 - eta * (1.0 + self.in_slot)))


def coupling(fleets: list[Fleet], slots: int, slope: float) -> Coupling:
    """Coupling of a fleet given in blocks.

    Args:
        fleets: the blocks.
        slots: of the horizon.
        slope: kappa [EUR/kWh per kW].
    """
    total, moves = 0.0, np.zeros(slots + 1)
    for fleet in fleets:
        nu = fleet.response_per_price
        total += float(nu.sum())
        moves += np.bincount(fleet.first_slot, nu, slots + 1) - np.bincount(fleet.end_slot, nu, slots + 1)
    return Coupling(2.0 * slope * total, slope * float(moves.cumsum().max()))


def iterations_bound(distance: float, first_change: float, rate: float) -> int | None:
    """K(eps): after so many steps the price is nearer than `distance` to the optimum; None if the rate says nothing.

    Args:
        distance: eps, above 0, in the norm of the rate.
        first_change: |p1 - p0| in that norm.
        rate: of contraction.
    """
    if rate >= 1.0:
        return None
    if first_change <= 0.0 or rate <= 0.0:
        return 1
    return max(1, math.ceil(math.log(distance * (1.0 - rate) / first_change) / math.log(rate)))
