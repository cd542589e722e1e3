"""The ten modules that the formulation's claims are checked on, and the recursions they are about.

Ten unlike modules of the scenario S10 (3.0 to 3.3 kW, charge 20 to 80 %, 25 to 40 deg C) of whom 20 kW are asked; wear
log-uniform 0.003 to 0.06 EUR/h/kW^1.5, the other numbers of the cost as the formulation or EQUATIONS 000.3 has them.
The prototype's instance is not kept, so several seeded ones are measured and the median is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import ReferenceSolution, dispatch_optimum
from v2g_nodes.core.graph import adjacency, build_edges, metropolis_weights
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import Box, FloatArray

MODULES, TARGET_KW = 10, 20.0
GAMMA = (0.003, 0.06)  # EUR/h/kW^1.5
RHOS = (0.01, 0.02, 0.05, 0.1, 0.2)  # EUR/h/kW^2


@dataclass(frozen=True)
class Station:
    """Modules of one instance.

    Args:
        costs: one per module.
        boxes: one per module [kW].
        target_kw: asked of all.
    """

    costs: tuple[LocalCost, ...]
    boxes: tuple[Box, ...]
    target_kw: float = TARGET_KW

    @cached_property
    def optimum(self) -> ReferenceSolution:
        """The central one."""
        return dispatch_optimum(self.costs, self.boxes, self.target_kw)

    @cached_property
    def supplies(self) -> tuple[BoxedCost, ...]:
        """Cost and box of each."""
        return tuple(BoxedCost(cost, box) for cost, box in zip(self.costs, self.boxes, strict=True))

    def cost(self, powers_kw: FloatArray) -> float:
        """Of all [EUR/h]."""
        return sum(float(cost.cost(power)) for cost, power in zip(self.costs, powers_kw, strict=True))

    def excess(self, powers_kw: FloatArray) -> float:
        """Cost away from the optimum of the target, relative; below 0 too where less than the target is given."""
        return self.cost(powers_kw) / self.optimum.cost_eur_per_h - 1.0

    def proximal(self, price: FloatArray, weight: float) -> FloatArray:
        """All modules' argmin f + weight p^2 / 2 - price p [kW]."""
        return np.array([s.proximal(float(x), weight) for s, x in zip(self.supplies, price, strict=True)])


def station(seed: int, equal_wear: bool = False) -> Station:
    """The instance of this number.

    Args:
        seed: names it.
        equal_wear: the same wear price at all, the middle of the range.
    """
    random = np.random.default_rng([7, seed])
    rating = random.uniform(3.0, 3.3, MODULES)
    gamma = np.exp(random.uniform(np.log(GAMMA[0]), np.log(GAMMA[1]), MODULES))
    soc, warm = random.uniform(0.2, 0.8, MODULES), random.uniform(25.0, 40.0, MODULES)
    if equal_wear:
        gamma = np.full(MODULES, float(np.sqrt(GAMMA[0] * GAMMA[1])))
    costs = [
        LocalCost(CostParameters(p, 0.97, 0.02, 0.01, 0.10, g, 1.5, 2.0, 2e-4, 2.0, 50.0), s, t)
        for p, g, s, t in zip(rating.tolist(), gamma.tolist(), soc.tolist(), warm.tolist(), strict=True)
    ]
    return Station(tuple(costs), tuple(Box(-p, p) for p in rating.tolist()))


def ring_weights(lazy: bool = False) -> FloatArray:
    """Metropolis weights of the ring of ten; lazy: half of each step is staying, so that no eigenvalue is negative."""
    ids = range(MODULES)
    weights = metropolis_weights(adjacency(ids, build_edges("ring", ids)))
    return np.asarray((np.eye(MODULES) + weights) / 2.0 if lazy else weights)


def admm(
    at: Station, rho: float, steps: int, inner: FloatArray | None = None, loss: float = 0.0, seed: int = 0
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Powers and shares z after each step of ADMM, shape (modules,) each [kW].

    Args:
        at: the station.
        rho: weight [EUR/h/kW^2].
        steps: how many.
        inner: matrix that stands for the average, rows one per module; None: the exact mean.
        loss: share of values lost on their way; a hearer then keeps the last it had.
        seed: of the losses.
    """
    random, share = np.random.default_rng(seed), at.target_kw / MODULES
    z: FloatArray = np.full(MODULES, share)
    y: FloatArray = np.zeros(MODULES)
    heard: FloatArray = np.full((MODULES, MODULES), share)
    for _ in range(steps):
        p = at.proximal(rho * z - y, rho)
        a = p + y / rho
        mean: FloatArray
        if inner is not None:
            mean = inner @ a
        else:
            arrives = (random.random((MODULES, MODULES)) >= loss) | np.eye(MODULES, dtype=bool)
            heard = np.where(arrives, a[None, :], heard)
            mean = heard.mean(axis=1)
        z = a - mean + share
        y = y + rho * (p - z)
        yield p, z


def price_tracking(at: Station, beta: float, steps: int) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Powers and estimates d of the missing power after each step, on the ring, without a proximal term.

    Args:
        at: the station.
        beta: gain [EUR/kWh per kW].
        steps: how many.
    """
    w = ring_weights()
    price: FloatArray = np.zeros(MODULES)
    p: FloatArray = np.zeros(MODULES)
    d = at.target_kw / MODULES - p
    for _ in range(steps):
        price = w @ price + beta * d
        before, p = p, at.proximal(price, 0.0)
        d = w @ d + before - p
        yield p, d


def steps_to(at: Station, course: list[FloatArray], share: float) -> int | None:
    """Steps after which cost and balance stay within a share of optimum and target; None: never."""
    count: int | None = None
    for k, powers in enumerate(course):
        good = abs(at.excess(powers)) <= share and abs(powers.sum() - at.target_kw) <= share * at.target_kw
        if not good:
            count = None
        elif count is None:
            count = k + 1
    return count
