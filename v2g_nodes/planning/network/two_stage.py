"""The source's two-stage method: difference of convex, then the best plan near what that found.

Stage 1 (Algorithm 1): solve the relaxation, z0; repeat (21), min C + mu sum[(1 - 2 z_k) z + z_k^2], until
|change of C_mu| <= 1e-6 |C_mu| or sum(z - z^2) <= 1e-3. C_mu = C + mu sum(z - z^2) never increases.
Stage 2 (Algorithm 2): binaries below or above the thresholds are the center; at most `radius` of them may flip (23),
all others are free (24). Radius 0 is rounding and fixing (22), and may leave no plan at all.

Each program is the source's; its cones are met by cuts of the grid's cost until program and power flow agree.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.certified import gap_of
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.master import Region, Solution, VehicleProgram
from v2g_nodes.planning.network.plan import Plan, cleaned

CUT_ROUNDS_MAX = 40
HALF = 1e-3  # a binary at one half has no slope in (20): it is moved by this


@dataclass(frozen=True)
class Settings:
    """Parameters of the method.

    Args:
        penalty_eur: mu [EUR].
        change: of C_mu at which stage 1 ends, relative.
        fractional: sum(z - z^2) at which stage 1 ends.
        rounds_max: of stage 1.
        threshold: binaries nearer than this to 0 or 1 are the center.
        accuracy: of each program: how far cuts and power flow may be apart, relative.
        seconds_max: of one program.
    """

    penalty_eur: float = 0.5
    change: float = 1e-6
    fractional: float = 1e-3
    rounds_max: int = 50
    threshold: float = 0.01
    accuracy: float = 1e-8
    seconds_max: float = 300.0


@dataclass(frozen=True)
class Round:
    """One round of stage 1: C and C_mu [EUR], and sum(z - z^2)."""

    cost_eur: float
    penalised_eur: float
    fractional: float


@dataclass(frozen=True)
class StageOne:
    """Rounds, the binaries at the end, shape (2, cells), and seconds; the program keeps its cuts for stage 2."""

    rounds: tuple[Round, ...]
    binaries: FloatArray
    seconds: float
    program: VehicleProgram
    grid: GridCost


@dataclass(frozen=True)
class StageTwo:
    """Outcome for one radius.

    Args:
        radius: asked for.
        plan: None where no plan is near enough, or the best one passes a limit.
        fixed: size of the center.
        seconds: of stage 2 alone.
    """

    radius: int
    plan: Plan | None
    fixed: int
    seconds: float


def stage_one(instance: Instance, settings: Settings) -> StageOne:
    """Path following.

    Raises:
        InfeasibleError: not even the relaxation has a solution.
    """
    began = time.perf_counter()
    program, grid = VehicleProgram(instance, seconds_max=settings.seconds_max), GridCost(instance)
    start = grid.evaluate(np.zeros((len(instance.stations), instance.slots)))
    program.add(start.cost_cuts, start.limit_cuts)
    z = _converged(program, grid, settings, None).binaries
    rounds: list[Round] = []
    while len(rounds) < settings.rounds_max:
        near_half = np.where(np.abs(z - 0.5) < HALF, 0.5 + HALF, z) if rounds else z
        slope = settings.penalty_eur * (1.0 - 2.0 * near_half)
        solved = _converged(program, grid, settings, slope)
        z = np.clip(solved.binaries, 0.0, 1.0)
        fractional = float((z - z**2).sum())
        cost = solved.objective - float((slope * solved.binaries).sum())
        rounds.append(Round(cost, cost + settings.penalty_eur * fractional, fractional))
        if fractional <= settings.fractional:
            break
        if len(rounds) > 1:
            before, now = rounds[-2].penalised_eur, rounds[-1].penalised_eur
            if abs(now - before) <= settings.change * abs(now):
                break
    return StageOne(tuple(rounds), z, time.perf_counter() - began, program, grid)


def _converged(program: VehicleProgram, grid: GridCost, settings: Settings, slope: FloatArray | None) -> Solution:
    """The relaxed program, cut until its cost of the grid is that of the power flow."""
    for _ in range(CUT_ROUNDS_MAX):
        solved = program.solve(integer=False, binary_cost=slope)
        if not solved.found:
            raise InfeasibleError(f"{program.instance.name}: the relaxation has no solution")
        at = grid.evaluate(solved.station_kw)
        program.add(at.cost_cuts, at.limit_cuts)
        behind = float(at.cost_eur.sum()) - solved.generation_eur
        if at.within.all() and behind <= settings.accuracy * abs(solved.objective):
            break
    return solved


def stage_two(instance: Instance, first: StageOne, radius: int, settings: Settings) -> StageTwo:
    """The best plan within a radius of what stage 1 found.

    Args:
        instance: the same as of stage 1.
        first: its result.
        radius: how many binaries of the center may flip.
        settings: the same.
    """
    began = time.perf_counter()
    z = first.binaries.ravel()
    chosen = np.flatnonzero((z <= settings.threshold) | (z >= 1.0 - settings.threshold))
    center = np.round(z[chosen])
    program, best = first.program, None
    fixed: FloatArray | None = None
    region: Region | None = Region(chosen, center, radius)
    if radius == 0:
        flat = np.full(len(z), np.nan)
        flat[chosen] = center
        fixed, region = flat.reshape(2, -1), None
    for _ in range(CUT_ROUNDS_MAX):
        size = abs(first.rounds[-1].cost_eur)
        solved = program.solve(region=region, fixed=fixed, gap_eur=settings.accuracy * size,
                               start_kw=None if best is None else best.power_kw)  # fmt: skip
        if not solved.found:
            break
        power = cleaned(instance, solved.power_kw)
        plan = Plan(instance, power, first.grid.evaluate(instance.station_kw(power)))
        program.add(plan.evaluation.cost_cuts, plan.evaluation.limit_cuts)
        if plan.holds and (best is None or plan.objective_eur < best.objective_eur):
            best = plan
        if best is not None and gap_of(best.objective_eur, solved.bound) <= 10.0 * settings.accuracy:
            break
    return StageTwo(radius, best, len(chosen), time.perf_counter() - began)
