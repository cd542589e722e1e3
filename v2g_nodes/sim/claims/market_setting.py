"""The setting of the regulation market document: made drivers and prices, calibrated to two of its printed numbers.

Source of the numbers: EQUATIONS 004.3, calibrated synthetic instance. The source's deviation of a plug-in (its standard
deviation) is used where its numbers or the prototype's are compared, the exact one elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.signal_statistics import Need
from v2g_nodes.planning.market.synthetic import ETA, NEED, REBATE_MAX, VALUE_USD_MONTH, drivers, prices

VEHICLES, CHARGER_KW = 200.0, 10.0  # of the source's case study
FLEETS, CHARGERS_KW = (100.0, 150.0, 200.0, 300.0, 400.0), (7.2, 10.0, 15.0, 20.0, 30.0, 40.0)
UTILITIES = (100.0, 150.0, 200.0, 300.0, 400.0, 500.0)
MIX = {"commuter": 0.345, "mixed": 0.227, "home": 0.428}  # the one mix of the source's Table 6 that is not round
GUARANTEE = Requirement(5.0, 0.05, Need(0.0, 0.1, 0.1))  # half of a charger keeps the state of charge, chosen


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


@dataclass(frozen=True)
class Case:
    """Money in USD per vehicle and month: with best rebates, without, and rebates paid."""

    name: str
    profit: float
    without: float
    rebate: float

    @property
    def improvement_percent(self) -> float:
        """By rebates."""
        return 100.0 * (self.profit / self.without - 1.0)


@lru_cache(maxsize=1)
def studied() -> dict[str, list[Case]]:
    """The source's sensitivity tables and extensions with made drivers, exact deviations, one thing changed at a time.

    Returns:
        Groups fleet, charger, utility, workplace (without, with), guarantee (without, with).
    """
    usual = Requirement(CHARGER_KW, ETA, NEED)
    counts = np.array([VEHICLES * share for share in MIX.values()])
    mixed = [Platform(tuple(drivers(kind, workplace=work) for kind in MIX), counts, prices(), (usual,), np.zeros(1))
             for work in (False, True)]  # fmt: skip
    kept = Platform((drivers(),), np.array([VEHICLES]), prices(),
                    (Requirement(CHARGER_KW - GUARANTEE.kw, ETA, NEED), GUARANTEE), np.zeros(1))  # fmt: skip
    groups = {
        "fleet": {f"{m:g} vehicles": platform(vehicles=m, exact=True) for m in FLEETS},
        "charger": {f"{kw:g} kW": platform(charger_kw=kw, exact=True) for kw in CHARGERS_KW},
        "utility": {f"{value:g} USD": platform(value_usd=value, exact=True) for value in UTILITIES},
        "workplace": dict(zip(("without", "with"), mixed, strict=True)),
        "guarantee": {"without": platform(exact=True), "with": kept},
    }
    return {group: [Case(name, *with_and_without(at)) for name, at in some.items()] for group, some in groups.items()}


def rises(values: Sequence[float]) -> bool:
    """Whether each is above the one before."""
    return bool(np.all(np.diff(values) > 0.0))
