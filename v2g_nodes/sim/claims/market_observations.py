"""Observations of the regulation market document: ownership, guarantees, mismatch, and speed of its model (004.6)."""

from __future__ import annotations

import importlib.util

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.synthetic import ETA, NEED, REBATE_MAX, drivers, prices
from v2g_nodes.sim.claims.claim import Finding, Register, Setting, judged, not_reproducible
from v2g_nodes.sim.claims.market_setting import VEHICLES, best, platform, rises, studied
from v2g_nodes.sim.csv_table import read_table

CLAIMS = Register("planning/market", "sim/claims/market_setting.py")
PRICES = "pjm_regulation_prices_hourly_2024-08.csv"
UTC_OFFSET_H = -4  # of the market's summer time
STAKES = (0.05, 0.25, 0.5, 1.0)


@CLAIMS.claim("004.6.1", "There is a mismatch: regulation pays most when vehicles are not parked at home.",
              "prices and plug-ins without rebates correlate below 0 over the day", "printed")  # fmt: skip
def mismatch(run: Setting) -> Finding:
    """Recorded prices; the made ones were chosen, so they say nothing here."""
    table = read_table(run.recording(PRICES))
    hour = (np.array([int(text[11:13]) for text in table.texts("utc_start")]) + UTC_OFFSET_H) % 24
    values = table.numbers("rmcp") / 1e3
    priced = np.array([values[hour == h].mean() for h in range(24)])
    follower = drivers()
    plugged = follower.plugged(follower.solve(np.zeros(24)))[0]
    found = float(np.corrcoef(priced, plugged)[0, 1])
    return judged(found < 0.0, {"correlation": found}, "mean price of each hour, made drivers")


@CLAIMS.claim("004.6.2", "Higher charger ratings and rebates are complements.", "improvement rises over six ratings",
              "printed")  # fmt: skip
def complement(_: Setting) -> Finding:
    """Made drivers and prices."""
    gain = [case.improvement_percent for case in studied()["charger"]]
    return judged(rises(gain), {"improvement_percent": gain}, "made drivers and prices")


@CLAIMS.claim("004.6.3", "A larger fleet and rebates are substitutes, and both raise profit by pooling.",
              "profit rises and improvement falls over five fleets", "printed")  # fmt: skip
def pooling(_: Setting) -> Finding:
    """Made drivers and prices."""
    group = studied()["fleet"]
    profit, gain = [case.profit for case in group], [case.improvement_percent for case in group]
    return judged(rises(profit) and rises(gain[::-1]), {"profit_usd": profit, "improvement_percent": gain},
                  "made drivers and prices")  # fmt: skip


@CLAIMS.claim("004.6.4", "A guarantee of the state of charge lowers rebates.", "with half of 10 kW kept for it",
              "printed")  # fmt: skip
def guarantee(_: Setting) -> Finding:
    """Rebates paid without and with it."""
    paid = [case.rebate for case in studied()["guarantee"]]
    return judged(paid[1] < paid[0], {"rebate_usd": paid}, "made drivers and prices; net energy of an hour chosen")


@CLAIMS.claim("004.6.5", "The more drivers own of the platform, the more its rebates resemble the prices, and the "
              "higher they are.", "correlation with the prices and mean rebate both rise over four stakes", "printed")
def ownership(_: Setting) -> Finding:
    """Drivers' value plus profit over (stake x fleet), profit at least 0, rebates up to 1 USD/h."""
    from scipy.optimize import minimize

    at = platform(exact=True)
    follower, count = at.followers[0], float(at.vehicles[0])
    found: list[FloatArray] = []
    rebates = best(at)
    for stake in STAKES:

        def loss(s: FloatArray, stake: float = stake) -> tuple[float, FloatArray]:
            outcome = at.evaluate(s)
            value = float(outcome.answers[0].value[0]) + float(outcome.profit[0]) / (stake * count)
            slope = follower.plugged(outcome.answers[0])[0] + at.gradient(s, outcome) / (stake * count)
            return -value, -slope

        def profit(s: FloatArray) -> float:
            return float(at.evaluate(s).profit[0]) / count

        def profit_slope(s: FloatArray) -> FloatArray:
            return at.gradient(s, at.evaluate(s)) / count

        rebates = minimize(loss, rebates, jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * 24, options={"maxiter": 300},
                           constraints=[{"type": "ineq", "fun": profit, "jac": profit_slope}]).x  # fmt: skip
        found.append(rebates)
    alike = [float(np.corrcoef(one, at.prices)[0, 1]) for one in found]
    mean = [float(one.mean()) for one in found]
    lines = {f"stake {stake:g}": one.tolist() for stake, one in zip(STAKES, found, strict=True)}
    return judged(all(np.diff(alike) > 0) and all(np.diff(mean) > 0), {"stake": list(STAKES), "correlation": alike,
                  "mean_rebate_usd_per_h": mean}, "the symbol of the stake is damaged; 1 = transfers cost nothing",
                  {"ownership": {"hours": list(range(24)), **lines, "price [USD/kWh]":
                                 at.prices.tolist()}})  # fmt: skip


@CLAIMS.claim("004.6.6", "The valid inequalities make the mixed-integer program faster to solve.", "SCIP needs less "
              "time with them, or ends nearer where both meet the limit", "printed")  # fmt: skip
def inequalities(run: Setting) -> Finding:
    """The source's model on a made day."""
    if importlib.util.find_spec("pyscipopt") is None:
        return not_reproducible("package pyscipopt is not installed")
    from v2g_nodes.planning.market.misocp import solve_misocp

    hours, levels, limit = run.pick((14, 4, 20.0), (24, 7, 1200.0))
    at = Platform((drivers(hours=hours),), np.array([VEHICLES]), prices()[:hours],
                  (Requirement(10.0, ETA, NEED),), np.linspace(0.0, REBATE_MAX, levels).astype(np.float64),
                  False)  # fmt: skip
    found = {}
    for name, use in (("without", False), ("with", True)):
        found[name] = solve_misocp(at, 0.002, limit, use)
        if found[name].status == "userinterrupt":  # SCIP takes Ctrl-C for itself
            raise KeyboardInterrupt
    gap = {name: one.bound / one.profit - 1.0 if np.isfinite(one.profit) else 1.0 for name, one in found.items()}
    both = all(one.seconds >= 0.95 * limit for one in found.values())
    better = gap["with"] < gap["without"] if both else found["with"].seconds < found["without"].seconds
    figures = {**{f"seconds_{name}": one.seconds for name, one in found.items()},
               **{f"gap_{name}": value for name, value in gap.items()}}  # fmt: skip
    return judged(better, figures, f"{hours} hours, {levels} levels, {limit:g} s each, gap 0.2 %, one sample")
