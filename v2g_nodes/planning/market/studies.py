"""The source's observations as trends, each with its number, holding or refuted; nothing is tuned to hold.

Rebates are continuous here (continuous.py), drivers are the made ones (synthetic.py). Monotone are profit and
improvement only; total rebates are not in the source either (EQUATIONS 004.5, 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.signal_statistics import Need
from v2g_nodes.planning.market.synthetic import ETA, NEED, REBATE_MAX, drivers, prices

VEHICLES, CHARGER_KW = 200.0, 10.0
FLEETS, CHARGERS_KW, UTILITIES = (100.0, 150.0, 200.0, 300.0, 400.0), (7.2, 10.0, 15.0, 20.0, 30.0, 40.0), (
    100.0, 150.0, 200.0, 300.0, 400.0, 500.0)  # fmt: skip
MIX = {"commuter": 0.345, "mixed": 0.227, "home": 0.428}  # population shares, derived from the source
SOC_KW, SOC_NEED, SOC_ETA = 5.0, Need(0.0, 0.1, 0.1), 0.05  # chosen


@dataclass(frozen=True)
class Case:
    """Money in USD per vehicle and month."""

    name: str
    profit: float
    profit_without: float
    rebate: float

    @property
    def improvement_pct(self) -> float:
        """By rebates."""
        return 100.0 * (self.profit / self.profit_without - 1.0)


@dataclass(frozen=True)
class Trend:
    """One observation.

    Args:
        claim: of the source.
        holds: in these cases.
        numbers: from first to last case.
    """

    claim: str
    holds: bool
    numbers: tuple[float, ...]


def case_of(
    name: str, followers: Sequence[Follower], vehicles: Sequence[float], requirements: Sequence[Requirement]
) -> Case:  # fmt: skip
    """Best rebates of a fleet and what they earn."""
    levels: FloatArray = np.zeros(1)
    platform = Platform(tuple(followers), np.array(vehicles), prices(), tuple(requirements), levels)
    found = platform.evaluate(np.array([best_rebates(platform, REBATE_MAX), np.zeros(platform.hours)]))
    profit = platform.monthly * found.profit
    return Case(name, float(profit[0]), float(profit[1]), float(platform.monthly * found.paid[0]))


def all_cases() -> dict[str, list[Case]]:
    """The source's tables with the made drivers, by name."""
    usual = [Requirement(CHARGER_KW, ETA, NEED)]
    mixes = [(work, [drivers(kind, workplace=work) for kind in MIX]) for work in (False, True)]
    counts = [VEHICLES * share for share in MIX.values()]
    guarded = [Requirement(CHARGER_KW - SOC_KW, ETA, NEED), Requirement(SOC_KW, SOC_ETA, SOC_NEED)]
    mean = drivers()
    return {
        "fleet": [case_of(f"{m:g} vehicles", [mean], [m], usual) for m in FLEETS],
        "charger": [case_of(f"{kw:g} kW", [mean], [VEHICLES], [Requirement(kw, ETA, NEED)]) for kw in CHARGERS_KW],
        "utility": [case_of(f"{u:g} USD", [drivers(value_usd_month=u)], [VEHICLES], usual) for u in UTILITIES],
        "workplace": [case_of("with" if work else "without", mix, counts, usual) for work, mix in mixes],
        "soc": [case_of("without", [mean], [VEHICLES], usual), case_of("with", [mean], [VEHICLES], guarded)],
    }


def trends(cases: dict[str, list[Case]]) -> list[Trend]:
    """What the source observes, found or not."""
    gain = {name: tuple(case.improvement_pct for case in group) for name, group in cases.items()}
    profit = {name: tuple(case.profit for case in group) for name, group in cases.items()}
    rebate = tuple(case.rebate for case in cases["soc"])
    return [
        Trend("pooling: profit per vehicle rises with the fleet", _rises(profit["fleet"]), profit["fleet"]),
        Trend("fleet size is a substitute: improvement falls", _falls(gain["fleet"]), gain["fleet"]),
        Trend("charger rating is a complement: improvement rises", _rises(gain["charger"]), gain["charger"]),
        Trend("baseline utility is a substitute: improvement falls", _falls(gain["utility"]), gain["utility"]),
        Trend("workplace charging is a substitute: improvement falls", _falls(gain["workplace"]), gain["workplace"]),
        Trend("workplace charging raises profit", _rises(profit["workplace"]), profit["workplace"]),
        Trend("a guarantee of the state of charge lowers rebates", _falls(rebate), rebate),
    ]


def _rises(values: Sequence[float]) -> bool:
    return all(b > a for a, b in zip(values, values[1:], strict=False))


def _falls(values: Sequence[float]) -> bool:
    return _rises([-value for value in values])
