"""`v2g plan market`: bids of regulation capacity and rebates for plugging in, a day ahead."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer

from v2g_nodes.cli.market_inputs import MarketInputs, MarketOptions, read_market
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.market.levels import LevelPlan, plan_levels
from v2g_nodes.planning.market.replay import replay_signal
from v2g_nodes.planning.market.synthetic import ETA, KINDS, REBATE_MAX, VALUE_USD_MONTH


def plan_market(
    vehicles: Annotated[int, typer.Option(help="Vehicles of the fleet.")] = 200,
    charger_kw: Annotated[float, typer.Option(help="Power of each charger.")] = 10.0,
    utility: Annotated[float, typer.Option(help="What a month is worth to a driver, in USD.")] = VALUE_USD_MONTH,
    eta: Annotated[float, typer.Option(help="η: share of the mileage, and probability, that may be missed.")] = ETA,
    levels: Annotated[int, typer.Option(help="Rebate levels, evenly from 0 to --rebate-max.")] = 7,
    rebate_max: Annotated[float, typer.Option(help="Largest rebate in USD per hour plugged in.")] = REBATE_MAX,
    clusters: Annotated[
        str, typer.Option(metavar="NAME=SHARE,...", help=f"Kinds of drivers: {', '.join(KINDS)}.")
    ] = "mean=1",
    seed: Annotated[int | None, typer.Option(help="Names a random variation of the drivers. [default: none]")] = None,
    workplace: Annotated[bool, typer.Option("--workplace", help="Chargers at work too.")] = False,
    network: Annotated[
        str | None, typer.Option(metavar="CSV", help="Own drivers: arcs tail, head, plug_hour, flow.")
    ] = None,
    signal: Annotated[
        str | None, typer.Option(metavar="CSV", help="Recorded signal: second_of_day, signal_pu. Even hours calibrate, "
                                                     "odd ones are replayed.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option(metavar="CSV", help="Hourly regulation prices: utc_start, rmcp in USD/MWh.")
    ] = None,
    soc_kw: Annotated[
        float | None, typer.Option(help="ω: vehicles charge at this power on average, and lose no energy in an hour.")
    ] = None,
    soc_eta: Annotated[float, typer.Option(help="Probability that they do.")] = 0.05,
    variance: Annotated[
        bool, typer.Option("--variance", help="Standard deviation of a plug-in as in the source, not the exact one.")
    ] = False,
    gap: Annotated[float, typer.Option(help="The search ends at this relative gap.")] = 0.005,
    time_limit: Annotated[float, typer.Option(help="Or after so many seconds.")] = 60.0,
    trends: Annotated[
        bool, typer.Option("--trends", help="Also the source's observations, holds or refuted, with made drivers.")
    ] = False,
    peer: Annotated[
        bool, typer.Option("--peer", help="Also the source's model with SCIP, same limits; needs pyscipopt.")
    ] = False,
    json: Json = None,
) -> None:  # fmt: skip
    """Plan rebates and bids for a day: drivers answer rebates, the bid must be served with the probability 1 - η.

    Money is USD per vehicle and month of 30 days. lower_bound is the certified bound of the search in the usual sense
    of a minimisation, turned around: minus lower_bound is what no choice of the rebate levels can exceed as profit
    (profit_bound, the same number with the other sign). gap is (profit_bound - profit) / profit. The bound is proven
    but for the intervals of the drivers' flows behind it: these are tested, with answers_tested answers in and at the
    corners of the boxes searched. bound_proven is true only where none was needed, as all choices were enumerated.
    """
    check_range("--gap", gap, 0.0, 1.0)
    check_range("--time-limit", time_limit, 0.1, 86400.0, "s")
    check_writable(json)
    options = MarketOptions(vehicles, charger_kw, utility, eta, levels, rebate_max, clusters, seed, workplace, network,
                            signal, prices, soc_kw, soc_eta, variance)  # fmt: skip
    inputs = read_market(options)
    began = time.perf_counter()
    plan = plan_levels(inputs.platform, gap, time_limit)
    figures = _figures(options, inputs, plan, time.perf_counter() - began)
    if peer:
        figures.update(_peer(inputs, gap, time_limit))
    if trends:
        figures["trends"] = _trends()
    emit(figures, json, title="rebates and bids")
    if plan.gap > gap:
        raise typer.Exit(1)


def _peer(inputs: MarketInputs, gap: float, limit_s: float) -> dict[str, Any]:
    """SCIP with and without the source's valid inequalities, on the same data."""
    try:
        from v2g_nodes.planning.market.misocp import solve_misocp

        found = {name: solve_misocp(inputs.platform, gap, limit_s, inequalities)
                 for name, inequalities in (("scip", False), ("scip_valid_inequalities", True))}  # fmt: skip
    except ImportError as error:
        raise InputError("--peer: pyscipopt is not installed, allowed where it is") from error
    monthly = inputs.platform.monthly
    return {name: {"profit_per_ev_month": _finite(monthly * one.profit), "profit_bound": _finite(monthly * one.bound),
                   "gap": _finite((one.bound - one.profit) / abs(one.profit)), "seconds": one.seconds,
                   "status": one.status, "valid_inequalities": one.inequalities}
            for name, one in found.items()}  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _trends() -> list[dict[str, Any]]:
    from v2g_nodes.planning.market.studies import all_cases
    from v2g_nodes.planning.market.studies import trends as found

    return [{"claim": one.claim, "verdict": "holds" if one.holds else "refuted", "numbers": list(one.numbers)}
            for one in found(all_cases())]  # fmt: skip


def _figures(options: MarketOptions, inputs: MarketInputs, plan: LevelPlan, seconds: float) -> dict[str, Any]:
    platform = inputs.platform
    monthly = platform.monthly
    found = platform.evaluate(np.array([plan.rebates, np.zeros(platform.hours)]))
    total = float(platform.vehicles.sum())
    without = float(monthly * found.profit[1])
    replayed = None
    if inputs.odd_hours is not None:
        replayed = replay_signal(found.bid_kw[0], platform.vehicles, found.plugged[:, 0] / platform.vehicles[:, None],
                                 inputs.follow_kw, inputs.odd_hours, options.eta)  # fmt: skip
    return {
        "vehicles": options.vehicles, "charger_kw": options.charger_kw,
        "profit_per_ev_month": float(monthly * found.profit[0]), "profit_without_rebates": without,
        "improvement_pct": 100.0 * (float(monthly * found.profit[0]) / without - 1.0) if without > 0.0 else None,
        "rebate_per_ev_month": float(monthly * found.paid[0]), "capacity_kw": found.bid_kw[0].tolist(),
        "rebates": plan.rebates.tolist(), "plug_in_probability": (found.plugged[:, 0].sum(axis=0) / total).tolist(),
        "performance_index_replayed": None if replayed is None else replayed.index_mean,
        "chance_level": None if replayed is None else replayed.share_met,
        "lower_bound": -monthly * plan.bound, "gap": plan.gap, "seconds": seconds,
        "valid_inequalities": plan.inequalities > 0, "performance_score": None, "settlement": None,
        "profit_bound": monthly * plan.bound, "bound_proven": plan.proven, "answers_tested": plan.tested,
        "intervals_widened": plan.widened, "boxes": plan.boxes, "notes": list(inputs.notes),
    }  # fmt: skip
