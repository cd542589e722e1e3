"""The price: raised where all together want much, lowered where they want little, until it moves no more.

p+ = p + eta * (c'(d + sum of u*(p)) - p), the Krasnoselskij form; its fixed point is the optimum of all together.
Source: Zou, Ma, Hiskens 2016; EQUATIONS 001.2. Convergence: bounds.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.grid_cost import GridCost

GROWTH = 1e6  # a price that has left its start by so many times the first change will not come back


@dataclass(frozen=True)
class Rule:
    """How the price moves and when it has arrived.

    Args:
        eta: gain, above 0.
        tolerance: of the change of the price in a step, 1-norm, relative to the first price.
        iterations_max: then it ends where it is.

    Raises:
        InputError: a value out of range.
    """

    eta: float
    tolerance: float = 1e-3
    iterations_max: int = 1000

    def __post_init__(self) -> None:
        check_range("eta", self.eta, 1e-6, 10.0)
        check_range("tolerance", self.tolerance, 1e-15, 1.0)
        check_range("iterations_max", self.iterations_max, 1, 1_000_000)


@dataclass(frozen=True)
class Course:
    """What the iteration went through.

    Args:
        prices: each price, the first and the last included, shape (iterations + 1, slots) [EUR/kWh].
        demands_kw: the fleet's answer to each but the last, shape (iterations, slots) [kW].
        converged: whether the last change was within the tolerance.
    """

    prices: FloatArray
    demands_kw: FloatArray
    converged: bool

    @property
    def price(self) -> FloatArray:
        """The last price, shape (slots,) [EUR/kWh]."""
        return np.asarray(self.prices[-1])

    @property
    def iterations(self) -> int:
        """Steps made."""
        return len(self.demands_kw)

    @property
    def changes(self) -> FloatArray:
        """Change of the price in each step, 1-norm, relative to the first price, shape (iterations,)."""
        return np.asarray(np.abs(np.diff(self.prices, axis=0)).sum(axis=1) / scale_of(self.prices[0]))


def scale_of(price: FloatArray) -> float:
    """1-norm of a first price, at least that of 1e-6 EUR/kWh throughout."""
    return max(float(np.abs(price).sum()), 1e-6 * len(price))


def iterate(
    cost: GridCost,
    demand: Callable[[FloatArray], FloatArray],
    rule: Rule,
    each: Callable[[int, float], None] = lambda step, change: None,
) -> Course:
    """Move the price until it stays.

    Args:
        cost: of the grid; the first price is its marginal cost without the fleet.
        demand: power of the whole fleet at a price, shapes (slots,).
        rule: of the steps.
        each: told after each step its number and its relative change.
    """
    prices, demands = [cost.marginal(np.zeros(cost.slots))], []
    scale, converged, first = scale_of(prices[0]), False, 0.0
    for step in range(1, rule.iterations_max + 1):
        demands.append(demand(prices[-1]))
        prices.append(prices[-1] + rule.eta * (cost.marginal(demands[-1]) - prices[-1]))
        change = float(np.abs(prices[-1] - prices[-2]).sum()) / scale
        each(step, change)
        first = first or change
        converged = change <= rule.tolerance
        if converged or change > GROWTH * first:
            break
    return Course(np.array(prices), np.array(demands), converged)
