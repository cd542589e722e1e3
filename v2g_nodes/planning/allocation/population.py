"""What the dynamics ask of a population: strategies per vehicle that share a resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from v2g_nodes.core.types import FloatArray

TOLERANCE_KWH = 1e-9  # a limit is crossed, or a resource lost, from here on; rounding stays a thousand times below
PAYOFF_MIN_KWH = 1e-6  # payoffs made of smaller terms than this are compared with this


@dataclass(frozen=True)
class Weights:
    """Weights that turn payoffs into slopes of one potential: payoff = rate times slope, per vehicle, shape (n,).

    With commitment alpha < 1 the payoff alpha(x - ref) + (1 - alpha)(grid + eps B) is (1 - alpha) times the slope of
    alpha/(1 - alpha) |x - ref|^2/2 + grid objective + eps barrier. At alpha = 1 the vehicle does not see the grid and
    the payoff is a slope itself. The source has eps B beside (1 - alpha) grid; in the bracket a barrier counts the
    same for all vehicles, however committed, and rounding leaves room for a smaller eps.

    Args:
        own: of the distance to the owner's reference.
        rate: payoff over slope.
    """

    own: FloatArray
    rate: FloatArray


def weights(commitment: FloatArray) -> Weights:
    """Weights of vehicles that are all at alpha = 1 or all below it."""
    rate = np.where(commitment == 1.0, 1.0, 1.0 - commitment)
    return Weights(commitment / rate, rate)


class Response(Protocol):
    """How a population answers slopes at one point, the grid's objective apart."""

    @property
    def of_load(self) -> FloatArray:
        """Change of the population's load per slope of the load, sign turned, shape (slots, slots), positive."""

    def apply(self, slope: FloatArray) -> FloatArray:
        """Change of strategies per slope in them, sign turned; keeps every vehicle's resource."""


class Population(Protocol):
    """Strategies x of a group of vehicles, first axis the vehicle. Its own potential leaves out the grid's objective.

    Args:
        limits: number of barrier terms; eps times this bounds what the barriers cost at the optimum.
    """

    limits: float

    def start(self) -> FloatArray:
        """Strategies strictly inside all limits that use up the resource."""

    def load(self, x: FloatArray) -> FloatArray:
        """Load on the grid, linear in x, shape (slots,)."""

    def pull(self, slope: FloatArray) -> FloatArray:
        """A slope of the load as a slope of the strategies; it broadcasts against x."""

    def own_value(self, x: FloatArray) -> float:
        """Weighted distance to the owners' references."""

    def barrier_value(self, x: FloatArray) -> float:
        """Potential of the barriers, at least 0, infinite at a limit."""

    def local_slope(self, x: FloatArray, eps: float) -> FloatArray:
        """Slope of own value plus eps times barriers."""

    def response(self, x: FloatArray, eps: float, step: float) -> Response:
        """Inverse of the curvature of the same plus the graph's metric over the step."""

    def spread(self, slope: FloatArray, x: FloatArray, grid_slope: FloatArray) -> float:
        """Largest difference of the payoffs of one vehicle, relative to the terms they are made of."""

    def resource_error(self, x: FloatArray) -> float:
        """Largest distance of a vehicle's sum of strategies from its resource [kWh or kvarh]."""

    def violations(self, x: FloatArray) -> int:
        """Limits crossed by more than TOLERANCE_KWH."""


def relative_spread(payoff: FloatArray, scale: FloatArray) -> float:
    """Largest spread over vehicles; strategies with NaN do not count.

    Args:
        payoff: NaN for strategies at a limit, shape (n, strategies).
        scale: size of the terms the payoffs are the sum of, shape (n, strategies).
    """
    known = np.isfinite(payoff)
    high = np.max(np.where(known, payoff, -np.inf), axis=1, initial=-np.inf)
    low = np.min(np.where(known, payoff, np.inf), axis=1, initial=np.inf)
    size = np.max(np.where(known, scale, 0.0), axis=1, initial=PAYOFF_MIN_KWH)
    several = known.sum(axis=1) > 1
    return float(np.max((high - low)[several] / size[several], initial=0.0))
