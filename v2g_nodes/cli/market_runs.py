"""Runs `v2g plan market` and gathers its figures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from v2g_nodes.cli.market_inputs import MarketInputs, MarketOptions
from v2g_nodes.cli.market_peers import PEERS, run_peer
from v2g_nodes.cli.progress import Tell
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.levels import LevelPlan, plan_levels
from v2g_nodes.planning.market.ownership import CommunityPlan, community_levels, driver_value
from v2g_nodes.planning.market.platform import DAYS_PER_MONTH, Outcome
from v2g_nodes.planning.market.replay import Replay, replay_scores, replay_signal
from v2g_nodes.planning.market.score import SAMPLE_S
from v2g_nodes.planning.market.studies import Case, all_cases
from v2g_nodes.planning.market.trends import Trend
from v2g_nodes.planning.market.trends import trends as found_trends

HOUR_S = 3600.0


@dataclass(frozen=True)
class Limits:
    """Of a search.

    Args:
        gap: relative, at which it ends.
        limit_s: after which it ends [s].
    """

    gap: float
    limit_s: float


@dataclass
class MarketRun:
    """What came of it.

    Args:
        options: that were asked for.
        inputs: the problem.
        limits: of the search.
        plan: of the company.
        community: of the drivers who own the platform; None: a company.
        outcome: with the rebates, and without any.
        gap: of what was asked for.
        figures: of the JSON.
        cases: of the studies, by name.
        trends: of the source.
    """

    options: MarketOptions
    inputs: MarketInputs
    limits: Limits
    plan: LevelPlan
    community: CommunityPlan | None
    outcome: Outcome
    gap: float
    figures: dict[str, Any] = field(default_factory=dict)
    cases: dict[str, list[Case]] = field(default_factory=dict)
    trends: list[Trend] = field(default_factory=list)

    @property
    def rebates(self) -> FloatArray:
        """That are offered, shape (hours,) [USD/h]."""
        if self.community is None:
            return self.plan.rebates
        return self.inputs.platform.levels[self.community.levels]

    @property
    def plugged_share(self) -> FloatArray:
        """Of each cluster's vehicles, with these rebates, shape (clusters, hours)."""
        share: FloatArray = self.outcome.plugged[:, 0] / self.inputs.platform.vehicles[:, None]
        return share


def run_market(
    options: MarketOptions, inputs: MarketInputs, limits: Limits, tell: Tell, peer: bool = False, studies: bool = False
) -> MarketRun:
    """Plan, replay, and what is asked for besides.

    Args:
        options: of the command.
        inputs: read from them.
        limits: of the search.
        tell: what goes on.
        peer: also SCIP.
        studies: also the source's tables and trends.
    """
    platform = inputs.platform
    tell(f"search, {len(platform.levels)} levels, at most {limits.limit_s:g} s")
    began, worked = time.perf_counter(), time.process_time()
    plan = plan_levels(platform, limits.gap, limits.limit_s)
    community = None
    if options.community:
        tell("search, the drivers' platform")
        community = community_levels(platform, options.owners, plan.bound, (plan.levels,))
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    rebates = plan.rebates if community is None else platform.levels[community.levels]
    outcome = platform.evaluate(np.array([rebates, np.zeros(platform.hours)]))
    run = MarketRun(options, inputs, limits, plan, community, outcome, plan.gap if community is None else community.gap)
    tell("replay")
    run.figures = _figures(run, seconds, cpu_seconds)
    for name in PEERS if peer else ():
        tell(f"{name}, at most {limits.limit_s:g} s")
        run.figures[name] = run_peer(platform, name, limits.gap, limits.limit_s)
    if studies:
        run.cases = all_cases(inputs.base, tell)
        run.trends = found_trends(run.cases, inputs.base)
        run.figures["trends"] = [{"claim": one.claim, "verdict": one.verdict, "numbers": list(one.numbers),
                                  "cases": list(one.cases)} for one in run.trends]  # fmt: skip
    return run


def _replay(run: MarketRun) -> Replay | None:
    if run.inputs.odd_hours is None:
        return None
    return replay_signal(run.outcome.bid_kw[0], run.inputs.platform.vehicles, run.plugged_share, run.inputs.follow_kw,
                         run.inputs.odd_hours, run.options.eta)  # fmt: skip


def _scores(run: MarketRun) -> FloatArray | None:
    """Performance score of each hour's bid; None where samples of the signal do not divide 10 s."""
    signal, platform = run.inputs.odd_hours, run.inputs.platform
    if signal is None or signal.shape[1] % round(HOUR_S / SAMPLE_S):
        return None
    return replay_scores(run.outcome.bid_kw[0], platform.vehicles, run.plugged_share, run.inputs.follow_kw, signal)


def _settled(run: MarketRun, scores: FloatArray | None) -> dict[str, Any]:
    """Score by capacity, and a month of each vehicle if the market pays by it."""
    bid_kw, monthly = run.outcome.bid_kw[0], run.inputs.platform.monthly
    if scores is None or not bid_kw.any():
        return {"performance_score": None, "settlement": None}
    served = np.nan_to_num(scores) * bid_kw
    credit, rebates = monthly * float(served @ run.inputs.platform.prices), monthly * float(run.outcome.paid[0])
    money = {"credit_per_ev_month": credit, "rebates_per_ev_month": rebates, "net_per_ev_month": credit - rebates}
    return {"performance_score": float(served.sum() / bid_kw.sum()), "settlement": money}


def _figures(run: MarketRun, seconds: float, cpu_seconds: float) -> dict[str, Any]:
    platform, plan, found = run.inputs.platform, run.plan, run.outcome
    monthly = platform.monthly
    total = float(platform.vehicles.sum())
    profit, without = (float(monthly * one) for one in found.profit)
    replayed = _replay(run)
    scores = None if replayed is None else _scores(run)
    bound = monthly * plan.bound if run.community is None else DAYS_PER_MONTH * run.community.bound
    return {
        "vehicles": run.options.vehicles, "charger_kw": run.options.charger_kw,
        "profit_per_ev_month": profit, "profit_without_rebates": without,
        "improvement_pct": 100.0 * (profit / without - 1.0) if without > 0.0 else None,
        "rebate_per_ev_month": float(monthly * found.paid[0]), "capacity_kw": found.bid_kw[0].tolist(),
        "rebates": run.rebates.tolist(), "plug_in_probability": (found.plugged[:, 0].sum(axis=0) / total).tolist(),
        "performance_index_replayed": None if replayed is None else replayed.index_mean,
        "chance_level": None if replayed is None else replayed.share_met,
        "lower_bound": -bound, "gap": run.gap, "seconds": seconds,
        "valid_inequalities": plan.inequalities > 0, **_settled(run, scores),
        "cpu_seconds": cpu_seconds, "profit_bound": monthly * plan.bound,
        "bound_proven": plan.proven and run.community is None,
        "answers_tested": plan.tested, "intervals_widened": plan.widened, "boxes": plan.boxes,
        **_ownership(run), "notes": list(run.inputs.notes),
    }  # fmt: skip


def _ownership(run: MarketRun) -> dict[str, Any]:
    """Welfare is that of a driver with a share of the profit; without rebates too."""
    platform, community = run.inputs.platform, run.community
    value = DAYS_PER_MONTH * driver_value(platform, run.outcome)
    stake = run.options.owners
    idle = float(value[1] + platform.monthly * run.outcome.profit[1] / stake)
    return {
        "ownership": run.options.ownership, "stake": None if community is None else stake,
        "driver_value_per_ev_month": float(value[0]),
        "welfare_per_ev_month": None if community is None else DAYS_PER_MONTH * community.welfare,
        "welfare_without_rebates": None if community is None else idle,
        "welfare_bound": None if community is None else DAYS_PER_MONTH * community.bound,
    }  # fmt: skip
