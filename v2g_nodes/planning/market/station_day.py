"""A day of bids and rebates for the vehicles of one station."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from v2g_nodes.core.plan import DAY_S, Plan
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.signal_statistics import Need, mileage, need_of, needed_shares
from v2g_nodes.planning.market.synthetic import HOURS, NEED, REBATE_MAX, drivers, prices

SIGNAL_S = 2.0  # period in which PJM sends its signal
HOUR_S = DAY_S / HOURS


def made_capability() -> Callable[[float], float]:
    """Regulation price of the made day [EUR/kWh] by local time of day [s], see synthetic.prices."""
    hourly: list[float] = prices().tolist()
    return lambda time_of_day_s: hourly[int(time_of_day_s % DAY_S / HOUR_S)]


def need_of_signal(hours: FloatArray, eta: float) -> tuple[Need, float]:
    """Needed share of the bid and mean mileage per hour of a recorded signal; the calibrated need where it rests.

    Args:
        hours: shape (hours, samples) [pu]; hours with a value that is not known are left out.
        eta: share of the mileage that may be missed, in (0, 1).
    """
    whole = hours[np.isfinite(hours).all(axis=1)]
    moved = mileage(whole) if len(whole) else np.zeros(0)
    if not moved.any():
        return NEED, 0.0
    return need_of(needed_shares(whole[moved > 0.0], eta)), float(moved.mean())


def station_day(
    vehicles: int, charger_kw: float, prices_eur_per_kwh: FloatArray, need: Need, eta: float, most_kw: float
) -> tuple[FloatArray, FloatArray]:
    """Bids and rebates of a day for drivers of the made mean kind. Rebates are of any size, so no search is needed.

    Args:
        vehicles: modules of the station, at each of which a driver may plug in.
        charger_kw: power of each.
        prices_eur_per_kwh: expected revenue per kW and hour, shape (24,).
        need: share of the bid that is needed.
        eta: share of the mileage, and probability, that may be missed.
        most_kw: no bid is larger.

    Returns:
        Bids [kW] and rebates [EUR/h], shape (24,) each.
    """
    platform = Platform((drivers(),), np.array([float(vehicles)]), prices_eur_per_kwh,
                        (Requirement(charger_kw, eta, need),), np.zeros(1))  # fmt: skip
    rebates = best_rebates(platform, REBATE_MAX)
    bid_kw: FloatArray = np.minimum(platform.evaluate(rebates).bid_kw[0], most_kw)
    return bid_kw, rebates


def station_plan(bid_kw: FloatArray, rebates: FloatArray, version: int = 1) -> Plan:
    """Capacity and rebates per hour and no base power: regulation alone moves the vehicles.

    Args:
        bid_kw: shape (hours,) [kW].
        rebates: shape (hours,) [EUR/h].
        version: of the plan.

    Raises:
        InputError: a value out of range.
    """
    return Plan(version, "market", 0.0, HOUR_S, (0.0,) * len(bid_kw), tuple(bid_kw.tolist()), tuple(rebates.tolist()))
