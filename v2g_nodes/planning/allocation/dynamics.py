"""The allocation dynamics in discrete time: one linearly implicit Euler step after the other.

Recursion: dx/ds = -L F(x) with payoffs F = rate times the slope of the storage function (population, grid) and L
the Laplacian of each vehicle's graph. One Newton step of implicit Euler from x is

    x+ = x - r h (1 + h L F'(x))^-1 L F(x),

and r in (0, 1] is found by trial: 1, then SHORTER each time. What is sure at every step, whatever h:

* resources are kept: the change is in the range of L, so it sums to zero for each vehicle;
* limits are kept: at and beyond a limit the barrier is infinite, so r is shortened until the state is inside;
* the storage function decreases: its Hessian plus L+/h is positive, so the change points downhill, and r is shortened
  until the function has come down (Armijo).

As the storage function is strictly convex, its only rest point is the optimum under the barrier, where all payoffs
of a vehicle agree. In a step the grid joins the vehicles: it gathers the load each would change alone and how that
load answers a slope (population.Response), and solves one system of the size of the slots. h grows with every full
step, from the source's dynamics towards Newton's method. The barrier's eps shrinks each time the state has settled;
as the barrier's potential is never negative this too only lowers the storage function. It ends at the eps that is
given, else where eps times the number of limits, which bounds what the barriers cost at the optimum, is below BIAS
of the yardstick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation.grid import Grid
from v2g_nodes.planning.allocation.population import Population

ARMIJO = 1e-4  # of the decrease a linear model promises
BIAS = 1e-4  # of the yardstick: what the barriers may cost
FLOOR = 1e-4  # of the objective at the start: the yardstick is at least this
OBJECTIVE_MIN = 1e-6  # kWh^2, 1 Wh squared: the yardstick is at least this
SHRINK = 0.1  # of eps, each time the state has settled
SETTLED = 0.1  # of what the barriers may cost: the storage function is this near to its minimum
ROUNDING = 5e-13  # of the storage function: how exactly it is known
HIDDEN = 1e-12  # of the storage function: a step that promises less is hardly seen
AGREED, ENOUGH = 1e-5, 1e-3  # relative spread of payoffs that ends a run, and that will do where rounding is in the way
PATIENCE = 30  # hidden steps in which the payoffs may come to agree
STEP_FIRST, STEP_GROWTH, STEP_LAST = 1.0, 10.0, 1e9  # of h
ITERATIONS_MAX = 300
SHORTER, TRIALS_MAX = 0.8, 125  # of a step that does not do: by trial; down to 1e-12 of it


@dataclass
class Trace:
    """What happened at every state of a run, the start included.

    Args:
        storage: storage function.
        eps: barrier weight it was left with.
        resource_error: see Population [kWh or kvarh].
        violations: see Population.
        spread: see Population.
    """

    storage: list[float] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)
    resource_error: list[float] = field(default_factory=list)
    violations: list[int] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """One population from start to rest.

    Args:
        x: strategies at the end.
        objective: without barriers, at the end.
        objective_start: the same at the start.
        trace: of all states.
        at_rest: the payoffs agree; else it ran out of steps.
    """

    x: FloatArray
    objective: float
    objective_start: float
    trace: Trace
    at_rest: bool


def yardstick(objective: float, objective_start: float) -> float:
    """What a difference of objectives is measured against [kWh^2]: the objective, or what is saved if that is less.

    Most of the objective may be out of the fleet's reach: few vehicles in a large grid save little of it, and a gap
    that is small against the whole would say nothing of their plan. Where one or the other all but vanishes (the
    owner's reference is feasible and nothing else counts, the start is the best there is) FLOOR of the objective at
    the start stands in for it, and OBJECTIVE_MIN where that vanishes too.

    Args:
        objective: of the plan [kWh^2].
        objective_start: of the strategies the dynamics start from [kWh^2].
    """
    return max(min(objective, objective_start - objective), FLOOR * objective_start, OBJECTIVE_MIN)


def settle(
    population: Population, grid: Grid, eps: float | None = None, heard: Callable[[], None] | None = None
) -> Run:
    """Let the payoffs of a population agree.

    Args:
        population: at least one strategy.
        grid: what it shares.
        eps: barrier weight, above 0; None: shrinks until it costs nothing that matters.
        heard: called after every step.
    """
    return _Settling(population, grid, eps).run(heard or (lambda: None))


class _Settling:
    def __init__(self, population: Population, grid: Grid, eps: float | None) -> None:
        self._population, self._grid, self._fixed = population, grid, eps
        self._x = population.start()
        self._objective_start = self._objective(self._x)
        at_first = max(self._objective_start, OBJECTIVE_MIN) / population.limits
        self._eps = at_first if eps is None else max(at_first, eps)
        self._step = STEP_FIRST
        self._trace = Trace()
        self._hidden = 0

    def run(self, heard: Callable[[], None]) -> Run:
        self._note()
        spread = self._trace.spread
        while not (self._hidden and spread[-1] <= AGREED) and self._hidden < PATIENCE and len(spread) <= ITERATIONS_MAX:
            self._advance()
            self._note()
            heard()
        at_rest = self._hidden > 0 and spread[-1] <= ENOUGH
        return Run(self._x, self._objective(self._x), self._objective_start, self._trace, at_rest)

    def _advance(self) -> None:
        """One step."""
        slope = self._slope(self._x)
        change = self._change(slope)
        promised = -float(np.vdot(slope, change))
        share = self._share(change, promised)
        hidden = promised <= HIDDEN * self._storage(self._x)
        self._hidden += hidden and self._step >= STEP_LAST and self._cheap()
        self._x = self._x + share * change
        if share == 1.0:
            self._step = min(self._step * STEP_GROWTH, STEP_LAST)
        if not self._cheap() and promised <= SETTLED * self._eps * self._population.limits:
            self._eps = max(self._eps * SHRINK, self._fixed or 0.0)

    def _change(self, slope: FloatArray) -> FloatArray:
        """The change of a whole step; the load of all, which joins the vehicles, is found first."""
        population, matrix = self._population, self._grid.matrix
        response = population.response(self._x, self._eps, self._step)
        alone = -response.apply(slope)
        joint = np.eye(matrix.shape[0]) + response.of_load @ matrix
        load = np.linalg.solve(joint, population.load(alone))
        return alone - response.apply(np.broadcast_to(population.pull(matrix @ load), slope.shape))

    def _share(self, change: FloatArray, promised: float) -> float:
        """Share of the step that stays inside and brings the storage function down."""
        before = self._storage(self._x)
        share = 1.0
        for _ in range(TRIALS_MAX):
            if self._storage(self._x + share * change) <= before - ARMIJO * share * promised + ROUNDING * before:
                return share
            share *= SHORTER
        return 0.0

    def _slope(self, x: FloatArray) -> FloatArray:
        grid_slope = self._grid.slope(self._population.load(x))
        return self._population.local_slope(x, self._eps) + self._population.pull(grid_slope)

    def _objective(self, x: FloatArray) -> float:
        return self._population.own_value(x) + self._grid.value(self._population.load(x))

    def _storage(self, x: FloatArray) -> float:
        return self._objective(x) + self._eps * self._population.barrier_value(x)

    def _cheap(self) -> bool:
        """Whether eps is where it is to end: as given, or so small that the barriers cost little enough."""
        if self._fixed is not None:
            return self._eps <= self._fixed
        allowed = BIAS * yardstick(self._objective(self._x), self._objective_start)
        return self._eps * self._population.limits <= allowed

    def _note(self) -> None:
        trace, population = self._trace, self._population
        trace.storage.append(self._storage(self._x))
        trace.eps.append(self._eps)
        trace.resource_error.append(population.resource_error(self._x))
        trace.violations.append(population.violations(self._x))
        grid_slope = self._grid.slope(population.load(self._x))
        trace.spread.append(population.spread(self._slope(self._x), self._x, grid_slope))
