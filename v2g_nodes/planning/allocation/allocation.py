"""The plan: active power first, then reactive power beside it, each until all payoffs of a vehicle agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.allocation.active import ActivePopulation, active_violations
from v2g_nodes.planning.allocation.central import best_active, best_reactive
from v2g_nodes.planning.allocation.dynamics import Run, settle, yardstick
from v2g_nodes.planning.allocation.fleet import BoolArray, Fleet, fleet_of
from v2g_nodes.planning.allocation.grid import Grid, wish
from v2g_nodes.planning.allocation.problem import Problem
from v2g_nodes.planning.allocation.reactive import ReactivePopulation, available

Kind = Literal["active", "reactive"]


@dataclass(frozen=True, eq=False)
class Stage:
    """One group of vehicles that settled together.

    Args:
        kind: of the strategies.
        which: vehicles of the group, shape (n,).
        grid: what they shared.
        result: energy charged or reactive energy drawn [kWh, kvarh], shape (group, slots).
        run: how they settled.
    """

    kind: Kind
    which: BoolArray
    grid: Grid
    result: FloatArray
    run: Run


@dataclass(frozen=True)
class Allocation:
    """A plan in the project's convention: kW and kvar, > 0 discharges and supplies to the grid.

    Args:
        problem: that was planned.
        power_kw: per vehicle and slot [kW], shape (n, slots).
        reactive_kvar: per vehicle and slot [kvar], shape (n, slots).
        soc_kwh: in the battery after each slot [kWh], soc_start_kwh before arrival, shape (n, slots).
        stages: groups in the order they settled.
        violations_at_rest: limits crossed by the whole plan, vehicles without a choice included.
    """

    problem: Problem
    power_kw: FloatArray
    reactive_kvar: FloatArray
    soc_kwh: FloatArray
    stages: tuple[Stage, ...]
    violations_at_rest: int

    @property
    def station_kw(self) -> FloatArray:
        """Power of all vehicles per slot [kW], > 0 discharges, shape (slots,): the base power of a station's plan."""
        result: FloatArray = self.power_kw.sum(axis=0)
        return result

    @property
    def grid_kw(self) -> FloatArray:
        """Load of the grid with the vehicles [kW], > 0 consumes, shape (slots,)."""
        result: FloatArray = self.problem.load_kw - self.station_kw
        return result

    @property
    def grid_kvar(self) -> FloatArray:
        """Reactive load of the grid with the vehicles [kvar], shape (slots,)."""
        result: FloatArray = self.problem.load_kvar - self.reactive_kvar.sum(axis=0)
        return result


def allocate(
    problem: Problem,
    graph: str = "complete",
    eps: float | None = None,
    heard: Callable[[], None] | None = None,
    reactive: bool = True,
) -> Allocation:
    """Plan a fleet.

    Vehicles without a choice (one slot, full power throughout) take part as load. Those at commitment 1 don't see
    the grid, so they settle first and are load for the others; their reactive power is zero, as their owners want none.

    Args:
        problem: fleet and load.
        graph: over the slots of each stay, see slot_graph; a reactive strategy's only neighbour is the slack.
        eps: barrier weight [kWh^2], above 0; None: shrinks until it costs nothing that matters.
        heard: called after every step of the dynamics.
        reactive: plan reactive power too; else it is zero.
    """
    fleet = fleet_of(problem.vehicles, problem.slots, problem.slot_h)
    energy = np.where(fleet.free[:, None], 0.0, fleet.even())
    stages = []
    for which, matrix in _groups(fleet, fleet.free, problem):
        grid = Grid(problem.load_kw * problem.slot_h + energy.sum(axis=0), matrix)
        run = settle(ActivePopulation(fleet.select(which), graph), grid, eps, heard)
        energy[which] = run.x
        stages.append(Stage("active", which, grid, run.x, run))
    drawn = np.zeros_like(energy)
    able = np.any(available(fleet, energy) > 0.0, axis=1) & ~fleet.committed & reactive
    for which, matrix in _groups(fleet, able, problem):
        population = ReactivePopulation(fleet.select(which), energy[which])
        grid = Grid(problem.load_kvar * problem.slot_h, matrix)
        run = settle(population, grid, eps, heard)
        drawn[which] = population.net(run.x)
        stages.append(Stage("reactive", which, grid, drawn[which], run))
    return Allocation(
        problem=problem,
        power_kw=0.0 - energy / problem.slot_h,
        reactive_kvar=0.0 - drawn / problem.slot_h,
        soc_kwh=fleet.soc(energy),
        stages=tuple(stages),
        violations_at_rest=active_violations(fleet, energy),
    )


def _groups(fleet: Fleet, able: BoolArray, problem: Problem) -> list[tuple[BoolArray, FloatArray]]:
    """Vehicles that settle together and the grid's objective as they see it; empty groups are left out."""
    matrix = wish(problem.slots, problem.smoothing)
    groups = [(able & fleet.committed, np.zeros_like(matrix)), (able & ~fleet.committed, matrix)]
    return [(which, seen) for which, seen in groups if which.any()]


@dataclass(frozen=True)
class Gap:
    """A stage against the optimum of its convex problem without barriers.

    Args:
        relative: objective above the optimum over yardstick(optimum, objective at the start).
        objective: of the stage [kWh^2].
        optimum: found centrally [kWh^2].
        largest_kw: largest difference of a power [kW or kvar].
    """

    relative: float
    objective: float
    optimum: float
    largest_kw: float


def gap_to_central(allocation: Allocation, stage: Stage) -> Gap:
    """Solve a stage's convex problem centrally and compare.

    Args:
        allocation: the stage is part of.
        stage: active, or reactive beside the allocation's active power.
    """
    problem = allocation.problem
    fleet = fleet_of(problem.vehicles, problem.slots, problem.slot_h).select(stage.which)
    if stage.kind == "active":
        best, optimum = best_active(fleet, stage.grid)
    else:
        energy = -allocation.power_kw[stage.which] * problem.slot_h
        best, optimum = best_reactive(fleet, stage.grid, available(fleet, energy))
    excess = stage.run.objective - optimum
    largest = float(np.max(np.abs(best - stage.result))) / problem.slot_h
    relative = excess / yardstick(optimum, stage.run.objective_start)
    return Gap(relative, stage.run.objective, optimum, largest)
