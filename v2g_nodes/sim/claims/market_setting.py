"""The setting of the regulation market document: made drivers and prices, calibrated to two of its printed numbers.

Source of the numbers: EQUATIONS 004.3, calibrated synthetic instance. The source's deviation of a plug-in (its standard
deviation) is used where its numbers or the prototype's are compared, the exact one elsewhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.studies import CHARGER_KW, VEHICLES, Case, Trend, all_cases, trends
from v2g_nodes.planning.market.synthetic import ETA, NEED, REBATE_MAX, VALUE_USD_MONTH, drivers, prices


def platform(
    vehicles: float = VEHICLES, charger_kw: float = CHARGER_KW, value_usd: float = VALUE_USD_MONTH, *,
    exact: bool = False, eta: float = ETA, priced: FloatArray | None = None,
) -> Platform:  # fmt: skip
    """Mean drivers and one requirement.

    Args:
        vehicles: of the fleet.
        charger_kw: of each.
        value_usd: worth of a month to a driver.
        exact: exact deviation of a plug-in, else the source's.
        eta: share and probability that may be missed.
        priced: expected revenue of each hour [USD/kWh]; None: made.
    """
    return Platform((drivers(value_usd_month=value_usd),), np.array([vehicles]), prices() if priced is None else priced,
                    (Requirement(charger_kw, eta, NEED),), np.zeros(1), exact)  # fmt: skip


def monthly(at: Platform, rebates: FloatArray) -> tuple[float, float]:
    """Profit and rebates paid, per vehicle and month [USD]."""
    found = at.evaluate(rebates)
    return at.monthly * float(found.profit[0]), at.monthly * float(found.paid[0])


def best(at: Platform, most: float = REBATE_MAX) -> FloatArray:
    """Rebates of largest profit, shape (hours,) [USD/h]."""
    return best_rebates(at, most)


def with_and_without(at: Platform, most: float = REBATE_MAX) -> tuple[float, float, float]:
    """Profit with best rebates, without, and rebates paid, per vehicle and month [USD]."""
    profit, paid = monthly(at, best(at, most))
    return profit, monthly(at, np.zeros(at.hours))[0], paid


@lru_cache(maxsize=1)
def studied() -> tuple[dict[str, list[Case]], list[Trend]]:
    """The project's own studies of the source's observations."""
    cases = all_cases()
    return cases, trends(cases)
