"""Runs a method of `v2g plan network` and its peers, and gathers the figures."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from v2g_nodes.cli.progress import Tell, telling
from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.certified import Certified, gap_of, solve_certified
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.peers import solve_peer
from v2g_nodes.planning.network.plan import Plan, check_relaxation, cleaned, make_plan, vehicle_faults
from v2g_nodes.planning.network.shortfall import best_effort, unreachable
from v2g_nodes.planning.network.two_stage import Settings, stage_one, stage_two

METHODS = ("certified", "two-stage", "rolling", "distributed")
TWO_STAGE_GAP = 2e-4  # of the source's method that counts as reached, 0.02 % of the objective


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; see plan_network."""

    instance: Instance
    method: str
    gap: float
    seconds_max: float
    radii: tuple[int, ...]
    settings: Settings
    topology: str
    loss: float
    surprise_h: float
    absent: float
    seed: int
    peers: tuple[str, ...]
    peer_runs: int
    peer_seconds: float
    notes: tuple[str, ...]


@dataclass
class Run:
    """What came of it.

    Args:
        asked: for.
        plan: the result.
        bound_eur: no plan costs less; NaN where none is known.
        seconds: of the method.
        gap_allowed: above this the command ends with 1.
        price_eur_per_kwh: of grid energy at the stations, shape (stations, slots).
        figures: of the JSON.
        more: what the method tells besides.
        reasons: why not all could be had.
        loose_slots: in which the relaxed program stands at powers that the AC power flow can't keep within its limits.
        relaxed_bound_eur: of the relaxed program, None where it is `bound_eur`.
    """

    asked: Asked
    plan: Plan
    bound_eur: float
    seconds: float
    gap_allowed: float
    price_eur_per_kwh: FloatArray
    more: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    loose_slots: tuple[int, ...] = ()
    relaxed_bound_eur: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)


def run_method(asked: Asked) -> Run:
    """Plan, check, and let the peers solve the same."""
    with telling("plan") as tell:
        began = time.perf_counter()
        reasons = unreachable(asked.instance)
        try:
            if reasons:
                raise InfeasibleError(reasons[0])
            run = {"certified": _certified, "two-stage": _two_stage, "rolling": _rolling,
                   "distributed": _distributed}[asked.method](asked, tell)  # fmt: skip
        except InfeasibleError:
            tell("best effort")
            effort = best_effort(asked.instance)
            run = Run(asked, effort.plan, np.nan, time.perf_counter() - began, 0.0, _prices(effort.plan),
                      reasons=effort.reasons)  # fmt: skip
        tell("check")
        checking = time.perf_counter()
        relaxation = check_relaxation(run.plan)
        run.more["check_seconds"] = time.perf_counter() - checking
        peers = [_peer(run, peer, tell) for peer in asked.peers]
    run.figures = _figures(run, relaxation, peers)
    return run


def _certified(asked: Asked, tell: Tell) -> Run:
    found = solve_certified(asked.instance, asked.gap, asked.seconds_max, lambda step: tell(
        f"{step.what}, {step.bound_eur:.3f} to {step.objective_eur:.3f} EUR"))  # fmt: skip
    return _certified_run(asked, found)


def _certified_run(asked: Asked, found: Certified) -> Run:
    if found.plan is None:
        raise InfeasibleError(f"{asked.instance.name}: no plan")
    counts: dict[str, int] = {}
    for step in found.steps:
        counts[step.what] = counts.get(step.what, 0) + 1
    return Run(asked, found.plan, found.bound_eur, found.seconds, asked.gap, _prices(found.plan), {"steps": counts},
               loose_slots=found.loose_slots, relaxed_bound_eur=found.relaxed_bound_eur)  # fmt: skip


def _two_stage(asked: Asked, tell: Tell) -> Run:
    """All radii on one stage 1; the certified bound beside it is not in its time."""
    tell("stage 1")
    first = stage_one(asked.instance, asked.settings)
    found = []
    for radius in asked.radii:
        tell(f"stage 2, radius {radius}")
        found.append(stage_two(asked.instance, first, radius, asked.settings))
    tell("bound")
    bound = solve_certified(asked.instance, asked.gap, asked.seconds_max).bound_eur
    rows = [{"radius": one.radius, "feasible": one.plan is not None, "fixed": one.fixed,
             "objective_eur": None if one.plan is None else one.plan.objective_eur,
             "gap": None if one.plan is None else gap_of(one.plan.objective_eur, bound),
             "seconds": first.seconds + one.seconds} for one in found]  # fmt: skip
    plans = [(one.plan.objective_eur, k, one.plan) for k, one in enumerate(found) if one.plan is not None]
    if not plans:
        raise InfeasibleError(f"{asked.instance.name}: no plan at any radius")
    best = min(plans)
    rounds = [[one.cost_eur, one.penalised_eur, one.fractional] for one in first.rounds]
    return Run(asked, best[2], bound, first.seconds + found[best[1]].seconds, TWO_STAGE_GAP, _prices(best[2]),
               {"radius": found[best[1]].radius, "radii": rows, "stage_one": rounds})  # fmt: skip


def _rolling(asked: Asked, tell: Tell) -> Run:
    from v2g_nodes.planning.network.rolling import roll, surprised

    real = surprised(asked.instance, asked.seed, asked.surprise_h, asked.absent)
    found = roll(asked.instance, real, asked.gap, lambda slot: tell(f"slot {slot}"))
    hindsight = solve_certified(real, asked.gap, asked.seconds_max)
    late = [f"{real.vehicles.names[k]}: {why}" for k, why in found.short.items()]
    return Run(asked, found.plan, hindsight.bound_eur, found.seconds, np.inf, _prices(found.plan), {
        "hindsight_eur": hindsight.objective_eur, "replans": found.replans, "replan_seconds_max": found.longest_s,
        "forecast_vehicles": len(asked.instance.vehicles), "real_vehicles": len(real.vehicles),
    }, tuple(late))  # fmt: skip


def _distributed(asked: Asked, tell: Tell) -> Run:
    """Stations by themselves; the bound is the planner's, found afterwards and not in their time."""
    from v2g_nodes.core.averaging.plans import averaging_plan
    from v2g_nodes.core.graph import build_edges
    from v2g_nodes.planning.network.distributed import joint_plan, station_agents
    from v2g_nodes.sim.network import LossyNetwork, play_epoch

    tell("stations agree")
    began = time.perf_counter()
    ids = tuple(range(1, len(asked.instance.stations) + 1))
    averaging = averaging_plan("exact", ids, build_edges(asked.topology, ids))
    agents = station_agents(asked.instance, averaging, resend_ns=2)
    rounds = play_epoch(agents, LossyNetwork(averaging.neighbours, loss=asked.loss), rounds_max=10_000_000)
    plan = joint_plan(asked.instance, agents)
    seconds = time.perf_counter() - began
    tell("bound")
    central = solve_certified(asked.instance, asked.gap, asked.seconds_max)
    ended = [agent.agreement for agent in agents.values() if agent.agreement is not None]
    spread = max(float(np.abs(one.prices_eur_per_kwh - ended[0].prices_eur_per_kwh).max()) for one in ended)
    return Run(asked, plan, central.bound_eur, seconds, asked.gap, _prices(plan), {
        "central_eur": central.objective_eur, "rounds": rounds, "iterations": max(one.iterations for one in ended),
        "topology": asked.topology, "loss": asked.loss, "price_spread_eur_per_kwh": spread})  # fmt: skip


def _prices(plan: Plan) -> FloatArray:
    return plan.evaluation.price_eur_per_kwh + plan.instance.price_eur_per_kwh


def _peer(run: Run, peer: str, tell: Tell) -> dict[str, Any]:
    day = run.plan.instance
    results = []
    for k in range(run.asked.peer_runs):
        tell(f"{peer}, run {k + 1}")
        results.append(solve_peer(day, peer, run.asked.peer_seconds))
    last = results[-1]
    plan = make_plan(GridCost(day), cleaned(day, last.power_kw)) if last.found else None
    seconds = statistics.median(result.seconds for result in results)
    return {
        "peer": peer, "objective_eur": last.objective_eur if last.found else None,
        "plan_eur": None if plan is None else plan.objective_eur,
        "bound_eur": last.bound_eur if np.isfinite(last.bound_eur) else None,
        "gap": gap_of(last.objective_eur, last.bound_eur) if last.found and np.isfinite(last.bound_eur) else None,
        "seconds": seconds, "runs_seconds": [result.seconds for result in results],
        "seconds_with_model": statistics.median(result.seconds_all for result in results), "status": last.status,
        "feasible": plan is not None and plan.holds and not vehicle_faults(plan), "speedup": seconds / run.seconds,
    }  # fmt: skip


def _figures(run: Run, relaxation: Any, peers: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ANN401 - Relaxation
    plan, day = run.plan, run.plan.instance
    settled = plan.evaluation.flow.settled
    voltage = np.abs(plan.evaluation.flow.voltage[:, settled]) if settled.any() else np.array([[np.nan]])
    feasible = plan.holds and not vehicle_faults(plan) and not run.reasons
    known = bool(np.isfinite(run.bound_eur))
    relaxed = run.bound_eur if run.relaxed_bound_eur is None else run.relaxed_bound_eur
    first = peers[0] if peers else {}
    return {
        "case": day.case, "instance": day.name, "method": run.asked.method,
        "objective_eur": plan.objective_eur, "lower_bound_eur": relaxed if known else None,
        "gap": gap_of(plan.objective_eur, relaxed) if known else None, "feasible": feasible,
        "relaxation_residual_max": relaxation.residual_max if np.isfinite(relaxation.residual_max) else None,
        "voltage_min_pu": float(voltage.min()),
        "voltage_max_pu": float(voltage.max()), "binaries": 2 * int(day.vehicles.plugged(day.slots).sum()),
        "seconds": run.seconds, "peer": first.get("peer"), "peer_objective_eur": first.get("objective_eur"),
        "peer_seconds": first.get("seconds"), "speedup": first.get("speedup"),
        "generation_eur": plan.generation_eur, "vehicles_eur": plan.vehicles_eur,
        "ac_bound_eur": run.bound_eur if known else None,
        "ac_gap": gap_of(plan.objective_eur, run.bound_eur) if known else None,
        "loose_slots": sorted({*relaxation.loose_slots, *run.loose_slots}), "vehicles": len(day.vehicles),
        "slots": day.slots, "stations": [day.grid.buses[bus] for bus in day.stations.bus], **run.more, "peers": peers,
        "reasons": list(run.reasons), "notes": list(run.asked.notes),
    }  # fmt: skip
