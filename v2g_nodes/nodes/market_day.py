"""The market planner's rule `market`: bids and rebates of a day from regulation prices and the recorded signal."""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.plan import DAY_S, Plan
from v2g_nodes.core.types import FloatArray
from v2g_nodes.nodes.market_planner_parameters import MarketPlannerParameters
from v2g_nodes.nodes.regulation_prices import RegulationPrices, signal_recordings
from v2g_nodes.planning.market.station_day import HOUR_S, SIGNAL_S, need_of_signal, station_day, station_plan
from v2g_nodes.planning.market.synthetic import HOURS

PRICE_S = 300.0  # regulation is priced every five minutes


def market_plan(p: MarketPlannerParameters) -> Plan:
    """Plan of a day; an hour without a price has no bid.

    Args:
        p: of the node.

    Raises:
        InputError: a file that can't be used.
    """
    recordings = signal_recordings(p)
    times = np.arange(0.0, DAY_S, SIGNAL_S)
    signal = np.array([recordings.signal_pu(t) for t in times.tolist()]).reshape(HOURS, -1)
    need, mileage_per_h = need_of_signal(signal, p.eta)
    hourly = _hourly(RegulationPrices(p), mileage_per_h / p.reference_mileage_per_h)
    vehicles = max(len(p.module_ids), 1)
    charger_kw = (sum(p.powers_kw) or p.rating_kw) / vehicles
    bid_kw, rebates = station_day(vehicles, charger_kw, np.nan_to_num(hourly), need, p.eta,
                                  p.capacity_fraction * p.rating_kw)  # fmt: skip
    bid_kw[~np.isfinite(hourly)] = 0.0
    return station_plan(bid_kw, rebates)


def _hourly(prices: RegulationPrices, mileage_ratio: float) -> FloatArray:
    """Expected revenue of a kW in each hour [EUR/kWh], shape (24,)."""
    starts = np.arange(0.0, DAY_S, PRICE_S)
    each = np.array([prices.capability_eur_per_kwh(t) + mileage_ratio * prices.performance_eur_per_kwh(t)
                     for t in starts.tolist()]).reshape(HOURS, round(HOUR_S / PRICE_S))  # fmt: skip
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):  # hours without a price are NaN
        means: FloatArray = np.where(known, each, 0.0).sum(axis=1) / known.sum(axis=1)
    return np.maximum(means, 0.0)
