"""Claims on allocation by output consensus: what is kept, what is reached, and the trends of its figures (002.4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from v2g_nodes.planning.allocation.allocation import Allocation, allocate, gap_to_central
from v2g_nodes.planning.allocation.fleet import fleet_of
from v2g_nodes.planning.allocation.grid import roughness, wish
from v2g_nodes.planning.allocation.slot_graph import laplacian
from v2g_nodes.planning.allocation.studies import COMMITMENTS
from v2g_nodes.planning.allocation.summary import distance_to_reference, rises, soc_goal_error_kwh
from v2g_nodes.sim.claims.allocation_setting import BASE, EPS, SLOT_H, SLOTS, fleet, payoffs
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged

CLAIMS = Register("planning/allocation", "sim/claims/allocation_setting.py")
ROUGHNESS = {1: 126.6, 2: 63.2, 3: 27.7, 4: 9.5, 5: 2.9, 6: 1.5}
RESERVED = {1: 128.0, 2: 66.0, 3: 32.0, 4: 19.0, 5: 17.9, 6: 18.1}
BY_ALPHA = (1.5, 5.5, 18.0, 55.0, 113.0, 204.0, 354.0, 489.0)
DISTANCE = (18.1, 16.7, 14.4, 10.9, 7.8, 4.7, 1.7, 0.02)
COUNTS = (1, 2, 3, 4, 5, 6)


def _plan(count: int, commitment: float, smoothing: float = 1.0, eps: float | None = EPS) -> Allocation:
    return allocate(fleet(count, commitment, smoothing), "ring", eps, reactive=False)


def _off(found: list[float], claimed: list[float], least: float) -> float:
    """Largest relative difference; of small numbers the difference over `least`."""
    return max(abs(a - b) / max(abs(b), least) for a, b in zip(found, claimed, strict=True))


@CLAIMS.claim("002.4.1a", "Each vehicle's energy is kept to 1e-13 kWh along the whole course, and at the end its "
              "battery holds exactly what is due.", "error at every state below 1e-12 kWh, end within 1e-12 kWh",
              "prototype")  # fmt: skip
def energy_kept(_: Setting) -> Finding:
    """Over all states of the dynamics, six vehicles at commitments from 0.05 to 0.2."""
    at = fleet(6, 0.05)
    unlike = (replace(one, commitment=0.05 + 0.03 * k) for k, one in enumerate(at.vehicles))
    plan = allocate(replace(at, vehicles=tuple(unlike)), "ring", EPS, reactive=False)
    worst = max(max(stage.run.trace.resource_error) for stage in plan.stages)
    hours = np.arange(SLOTS).tolist()
    series = {"power": {"hours": hours, **{f"vehicle {k + 1}": (-row).tolist() for k, row in
                                           enumerate(plan.power_kw)}},
              "soc": {"hours": hours, **{f"vehicle {k + 1}": row.tolist() for k, row in
                                         enumerate(plan.soc_kwh)}}}  # fmt: skip
    return judged(worst <= 1e-12 and soc_goal_error_kwh(plan) <= 1e-12,
                  {"energy_error_max_kwh": worst, "goal_error_kwh": soc_goal_error_kwh(plan)},
                  "steps are linearly implicit here, not explicit as in the prototype", series)  # fmt: skip


@CLAIMS.claim("002.4.1b", "At the end all payoffs of a vehicle are equal (spread below 1e-9 where no barrier acts).",
              "relative spread below 1e-9 at the end with barriers of weight 1e-3", "prototype")  # fmt: skip
def payoffs_agree(_: Setting) -> Finding:
    """Relative spread of payoffs, barriers included, and the storage function on the way."""
    plan = _plan(6, 0.2)
    trace = plan.stages[0].run.trace
    return judged(trace.spread[-1] < 1e-9, {"spread": trace.spread[-1], "steps": len(trace.spread) - 1,
                                            "storage_rises": rises(np.array(trace.storage))},
                  series={"spread": {"payoffs": [max(s, 1e-16) for s in trace.spread]}})  # fmt: skip


@CLAIMS.claim("002.4.2", "With barriers of 1e-4 the consensus point of two vehicles equals the convex program: 51.4062 "
              "against 51.4048, powers within 6e-4.", "objective within 1e-3 relative of the central optimum and "
              "powers within 0.01 kW", "prototype")  # fmt: skip
def equals_program(_: Setting) -> Finding:
    """Gap to the central solver."""
    plan = _plan(2, 0.05, eps=1e-4)
    gap = gap_to_central(plan, plan.stages[0])
    relative = gap.objective / gap.optimum - 1.0
    return judged(abs(relative) <= 1e-3 and gap.largest_kw <= 0.01,
                  {"objective": gap.objective, "optimum": gap.optimum, "largest_difference_kw": gap.largest_kw},
                  "the prototype's scale of the objective is not kept, so the relation is compared")  # fmt: skip


@CLAIMS.claim("002.4.3a", "More vehicles, smoother load: sum of squared steps 246 without, 126.6, 63.2, 27.7, 9.5, "
              "2.9, 1.5 with one to six at commitment 0.05.", "falls with every vehicle, each within 10 % or 0.5 kW^2",
              "prototype")  # fmt: skip
def smoother_with_more(_: Setting) -> Finding:
    """Roughness by the number of vehicles."""
    plans = {count: _plan(count, 0.05) for count in COUNTS}
    found = [roughness(plan.grid_kw) for plan in plans.values()]
    shown = {"without": BASE.tolist(), **{f"{n} vehicles": plans[n].grid_kw.tolist() for n in (1, 3, 6)}}
    close = all(abs(a - b) <= max(0.1 * b, 0.5) for a, b in zip(found, ROUGHNESS.values(), strict=True))
    return judged(all(np.diff(found) < 0) and close and abs(roughness(BASE) - 246.0) < 0.5,
                  {"without": roughness(BASE), "with_1_to_6": found},
                  series={"load": {"hours": np.arange(SLOTS).tolist(), **shown}, "counts": {
                      "vehicles": list(COUNTS), "commitment 0.05": found}})  # fmt: skip


@CLAIMS.claim("002.4.3b", "At commitment 0.2 it saturates and even rises: 128, 66, 32, 19, 17.9, 18.1.", "each within "
              "10 %, the sixth vehicle makes it no smoother", "prototype")  # fmt: skip
def saturates(_: Setting) -> Finding:
    """The same at the higher commitment."""
    found = [roughness(_plan(count, 0.2).grid_kw) for count in COUNTS]
    off = _off(found, list(RESERVED.values()), 1.0)
    return judged(off <= 0.1 and found[-1] >= found[-2], {"with_1_to_6": found, "largest_off": off},
                  series={"counts": {"vehicles": list(COUNTS), "commitment 0.2": found}})  # fmt: skip


@CLAIMS.claim("002.6.1", "The more vehicles take part, the smoother the load, whatever the commitment.", "falls with "
              "every vehicle up to six, at commitments 0.05, 0.1 and 0.2", "printed")  # fmt: skip
def always_smoother(_: Setting) -> Finding:
    """The document's inference from its figure."""
    found = {alpha: [roughness(_plan(count, alpha).grid_kw) for count in COUNTS] for alpha in (0.05, 0.1, 0.2)}
    return judged(all(all(np.diff(one) < 0) for one in found.values()),
                  {f"roughness_at_{alpha:g}": one for alpha, one in found.items()},
                  "true for owners who leave nearly all to the grid; see 002.4.3b")  # fmt: skip


def _by_alpha() -> tuple[list[float], list[float]]:
    plans = [_plan(6, alpha) for alpha in COMMITMENTS]
    return [roughness(plan.grid_kw) for plan in plans], [distance_to_reference(plan) for plan in plans]


@CLAIMS.claim("002.4.4", "Commitment 0.05 to 1 with six vehicles: load steps 1.5, 5.5, 18, 55, 113, 204, 354, 489, "
              "distance to the owners' wishes 18.1, 16.7, 14.4, 10.9, 7.8, 4.7, 1.7, 0.02.", "both monotone; steps "
              "within 10 % or 0.5, distances within 5 % or 0.1 kW", "prototype")  # fmt: skip
def commitment(_: Setting) -> Finding:
    """The source's figure 5 with chosen numbers."""
    rough, apart = _by_alpha()
    close = all(abs(a - b) <= max(0.1 * b, 0.5) for a, b in zip(rough, BY_ALPHA, strict=True)) and all(
        abs(a - b) <= max(0.05 * b, 0.1) for a, b in zip(apart, DISTANCE, strict=True))
    return judged(close and all(np.diff(rough) > 0) and all(np.diff(apart) < 0), {"commitment": list(COMMITMENTS),
                  "load_steps": rough, "distance_kw": apart}, series={"commitment": {
                      "commitment": list(COMMITMENTS), "load steps": rough, "distance": apart}})  # fmt: skip


@CLAIMS.claim("002.4.5", "Smoothing 0 flattens (variance 0.32), smoothing 1 gives 18.9, at commitment 0.2: variance is "
              "traded for steps.", "each variance within 10 %, steps fall and variance rises with the smoothing",
              "prototype")  # fmt: skip
def smoothing(_: Setting) -> Finding:
    """Variance and steps of the load of six vehicles by the smoothing factor."""
    betas = (0.0, 0.25, 0.5, 0.75, 1.0)
    loads = [_plan(6, 0.2, beta).grid_kw for beta in betas]
    variance, rough = [float(np.var(load)) for load in loads], [roughness(load) for load in loads]
    close = abs(variance[0] / 0.32 - 1.0) <= 0.1 and abs(variance[-1] / 18.9 - 1.0) <= 0.1
    monotone = all(np.diff(variance) > 0) and all(np.diff(rough) < 0)
    shown = {f"smoothing {beta:g}": load.tolist() for beta, load in zip(betas, loads, strict=True) if beta in (0, 1)}
    return judged(close and monotone, {"smoothing": list(betas), "variance": variance, "load_steps": rough},
                  "the variances are those, but in this set flattening leaves the smaller steps too: nothing is traded",
                  {"smoothing": {"smoothing": list(betas), "variance": variance, "load steps": rough},
                          "load_by_smoothing": {"hours": np.arange(SLOTS).tolist(), **shown}})  # fmt: skip


@CLAIMS.claim("002.4.6", "Some slots discharge at the base peak, more so with few vehicles (-3.29 of 3.3 kW with one).",
              "one vehicle below -3.2 kW, and the deepest discharge rises with the number of vehicles", "prototype")
def discharges(_: Setting) -> Finding:
    """Deepest discharge of a vehicle."""
    found = [-float(_plan(count, 0.05).power_kw.max()) for count in COUNTS]
    return judged(found[0] <= -3.2 and all(np.diff(found) >= -1e-9), {"deepest_kw_1_to_6": found})


@CLAIMS.claim("002.4.7", "Explicit Euler is stable only for steps below 2 over the largest eigenvalue of L H (0.0526 "
              "for three vehicles on the ring at 0.2).", "that limit within 2 % of 0.0526; at 0.95 of it the spread of "
              "payoffs shrinks a thousandfold in 2000 steps, at 1.05 it grows", "prototype")  # fmt: skip
def explicit_euler(_: Setting) -> Finding:
    """Limit by the spectrum, and the dynamics on either side of it, without barriers."""
    at = fleet(3, 0.2)
    group = fleet_of(at.vehicles, SLOTS, SLOT_H)
    graph = laplacian("ring", SLOTS)
    hessian = np.kron(np.eye(3), 0.2 * np.eye(SLOTS)) + np.kron(np.ones((3, 3)), 0.8 * wish(SLOTS, 1.0))
    limit = 2.0 / float(np.abs(np.linalg.eigvals(np.kron(np.eye(3), graph) @ hessian)).max())
    ratio = {}
    for share in (0.95, 1.05):
        x = group.even()
        first = float(np.ptp(payoffs(x, group.reference, 0.2, 1.0), axis=1).max())
        for _step in range(2000):
            x = x - share * limit * payoffs(x, group.reference, 0.2, 1.0) @ graph
        ratio[share] = float(np.ptp(payoffs(x, group.reference, 0.2, 1.0), axis=1).max()) / first
    return judged(abs(limit / 0.0526 - 1.0) <= 0.02 and ratio[0.95] < 1e-3 and ratio[1.05] > 1.0,
                  {"limit": limit, "spread_left_below": ratio[0.95], "spread_left_above": ratio[1.05]})  # fmt: skip


@CLAIMS.claim("002.4.8", "Reactive powers and their slack use no more than the charger has beside the active power.",
              "no slot above it, and the sum over the stay at most the total, to 1e-9 kvarh", "printed")  # fmt: skip
def reactive(_: Setting) -> Finding:
    """Six vehicles with a reactive load at power factor 0.9."""
    at = fleet(6, 0.05)
    plan = allocate(replace(at, load_kvar=at.load_kw * 0.484), "ring")
    group = fleet_of(at.vehicles, SLOTS, SLOT_H)
    room = np.sqrt(group.rating[:, None] ** 2 - plan.power_kw**2)
    used = np.abs(plan.reactive_kvar)
    before, after = roughness(plan.problem.load_kvar), roughness(plan.grid_kvar)
    return judged(np.all(used <= room + 1e-9) and np.all(used.sum(axis=1) <= room.sum(axis=1) + 1e-9),
                  {"largest_share_of_room": float((used / room).max()), "roughness_without": before,
                   "roughness_with": after})  # fmt: skip
