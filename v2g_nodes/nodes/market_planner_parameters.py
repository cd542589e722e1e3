"""Parameters of the market planner node."""

from __future__ import annotations

from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.plan import DAY_S
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.regulation_prices import RegulationParameters
from v2g_nodes.planning.market.signal_statistics import check_eta

FLEET_RULES = ("valley", "allocation")  # plan the vehicles of the station, again and again
RULES = ("price_threshold", "csv", "none", "market", *FLEET_RULES)


@dataclass(frozen=True)
class MarketPlannerParameters(RegulationParameters):
    """Parameters of the market planner node."""

    rule: str = parameter("price_threshold", f"how the plan is made: {' | '.join(RULES)}", settable=True)
    plan_csv: str = parameter(
        "", "plan file for rule csv: time, base_kw, capacity_kw[, rebate_eur_per_h]", settable=True)
    capacity_fraction: float = parameter(
        0.6, "share of the rating offered for regulation", "", 0.0, 1.0, settable=True)
    base_fraction: float = parameter(
        0.1, "price_threshold: share of the rating, out in dear slots, in in cheap ones", "", 0.0, 1.0, settable=True)
    rating_kw: float = parameter(3.3, "rating of the station", "kW", 0.1, 1e5)
    eta: float = parameter(
        0.25, "market: share of the mileage that a bid may miss, and how often it may", "", 1e-6, 1.0, settable=True)
    slot_s: float = parameter(900.0, "valley, allocation: slot of the plan, and how often it is made anew", "s",
                              300.0, 3600.0, settable=True)
    price_slope: float = parameter(
        3.6e-4, "valley: rise of the price with the power drawn", "EUR/kWh per kW", 0.0, 1.0, settable=True)
    commitment: float = parameter(0.05, "allocation: 1 = as each vehicle's owner would alone", "", 1e-3, 1.0,
                                  settable=True)
    smoothing: float = parameter(1.0, "allocation: 1 = smooth from slot to slot, 0 = flat over the day", "", 0.0, 1.0,
                                 settable=True)
    site_load_kw: float = parameter(0.0, "load behind the same connection", "kW", 0.0, 1e5, settable=True)
    module_ids: tuple[int, ...] = parameter((), "market, valley, allocation: modules of the station")
    powers_kw: tuple[float, ...] = parameter((), "most a plan may use of each, in the same order", "kW")
    efficiencies: tuple[float, ...] = parameter((), "of each, one way")
    socs_min: tuple[float, ...] = parameter((), "each does not discharge below")
    socs_max: tuple[float, ...] = parameter((), "each does not charge above")
    quadratics: tuple[float, ...] = parameter((), "cost of each at power u: quadratic u^2 + linear |u|", "EUR/kW^2 h")
    linears: tuple[float, ...] = parameter((), "see quadratics", "EUR/kWh")
    session_modules: tuple[int, ...] = parameter((), "sessions to come: module of each")
    session_ids: tuple[str, ...] = parameter((), "their names")
    session_arrival_s: tuple[float, ...] = parameter((), "their arrival, local time of day", "s")
    session_departure_s: tuple[float, ...] = parameter((), "their departure", "s")
    session_energy_kwh: tuple[float, ...] = parameter((), "energy they are due", "kWh")


def check_parameters(p: MarketPlannerParameters) -> None:
    """Refuse what single parameters can't show.

    Raises:
        InputError: unknown rule, no prices for rule market, a slot that does not divide the day, arrays of different
            lengths, or a session at a module that is not there.
    """
    if p.rule not in RULES:
        raise InputError(f"rule is {p.rule!r}, allowed {', '.join(RULES)}")
    if p.rule == "market" and p.missing == "none" and not p.market_csv:
        raise InputError("market_csv is empty with missing none, allowed for rule market is a file")
    check_eta("eta", p.eta)
    if DAY_S % p.slot_s:
        raise InputError(f"slot_s is {p.slot_s:g}, allowed a whole part of a day such as 300, 900 or 3600")
    for names in (("module_ids", "powers_kw", "efficiencies", "socs_min", "socs_max", "quadratics", "linears"),
                  ("session_ids", "session_modules", "session_arrival_s", "session_departure_s",
                   "session_energy_kwh")):  # fmt: skip
        for name in names[1:]:
            if len(getattr(p, name)) != len(getattr(p, names[0])):
                raise InputError(f"{name} has {len(getattr(p, name))} values, allowed as many as {names[0]}, "
                                 f"{len(getattr(p, names[0]))}")  # fmt: skip
    unknown = sorted({*p.session_modules} - {*p.module_ids})
    if unknown:
        raise InputError(f"session_modules holds {unknown[0]}, allowed are module_ids")
