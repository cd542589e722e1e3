"""The source's tables: what fleet, charger, utility, drivers, guarantee and ownership do to profit and rebates.

Rebates are of any size here (continuous.py, ownership.py), so that no grid of levels stands between two cases. A study
starts from a base, by default the made drivers, and changes one thing at a time. Source: slides of Tang and Mak (2024),
sensitivity analysis and model extensions; the values without a source are marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.ownership import community_rebates, driver_value
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import DAYS_PER_MONTH, Platform
from v2g_nodes.planning.market.signal_statistics import Need
from v2g_nodes.planning.market.synthetic import ETA, NEED, REBATE_MAX, VALUE_USD_MONTH, drivers, prices

VEHICLES, CHARGER_KW = 200.0, 10.0
FLEETS = (100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0)
CHARGERS_KW = (7.2, 10.0, 15.0, 20.0, 30.0, 40.0)
UTILITIES = (100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0)
#: shares of C2, C1, C3 in the source's Table 6; here commuters, mixed and mostly at home
MIXES = ((0.2, 0.3, 0.5), (0.2, 0.4, 0.4), (0.25, 0.3, 0.45), (0.25, 0.35, 0.4), (0.3, 0.2, 0.5), (0.3, 0.25, 0.45),
         (0.3, 0.35, 0.35), (0.3, 0.4, 0.3), (0.3, 0.3, 0.4), (0.345, 0.227, 0.428), (0.35, 0.25, 0.4),
         (0.35, 0.2, 0.45), (0.35, 0.3, 0.35), (0.4, 0.2, 0.4), (0.4, 0.25, 0.35), (0.4, 0.3, 0.3),
         (0.5, 0.2, 0.3))  # fmt: skip
MIX_KINDS = ("commuter", "mixed", "home")
ENERGY_NEED = Need(0.0, 0.1, 0.1)  # net energy of an hour per kW of the bid where no signal is given, chosen
SOC_ETA = 0.05
SOC_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # omega as a share of the charger, chosen
SOC_SHARE, SOC_KW = 0.4, 3.0  # omega of the study of chargers, as a share and as a power, chosen
SOC_CHARGERS_KW = (7.2, 10.0, 15.0, 20.0)
STAKES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
COMMUNITY_MAX = 1.5  # USD/h: above what an hour plugged in can earn at 10 kW, so that it does not decide

Fleet: TypeAlias = Callable[[float, bool], tuple[tuple[Follower, ...], FloatArray]]
Tell: TypeAlias = Callable[[str], None]


def mean_drivers(value_usd_month: float, workplace: bool) -> tuple[tuple[Follower, ...], FloatArray]:
    """One kind, the made mean driver."""
    return (drivers(workplace=workplace, value_usd_month=value_usd_month),), np.ones(1)


@dataclass(frozen=True)
class Base:
    """What a study starts from.

    Args:
        fleet: drivers and their shares, from what a month is worth [USD] and whether there are chargers at work.
        prices: shape (hours,) [USD/kWh].
        need: of the signal.
        energy: net energy of an hour per kW of the bid.
        eta: that may be missed.
        vehicles: of the fleet.
        charger_kw: of each.
        utility: what a month is worth [USD].
        rebate_max: [USD/h].
        workplaces: the fleet can be had with and without chargers at work.
        workplace: it has them unless a case says otherwise.
    """

    fleet: Fleet
    prices: FloatArray
    need: Need = NEED
    energy: Need = ENERGY_NEED
    eta: float = ETA
    vehicles: float = VEHICLES
    charger_kw: float = CHARGER_KW
    utility: float = VALUE_USD_MONTH
    rebate_max: float = REBATE_MAX
    workplaces: bool = True
    workplace: bool = False


def made_base() -> Base:
    """The made drivers and prices."""
    return Base(mean_drivers, prices())


@dataclass(frozen=True)
class Case:
    """Money in USD per vehicle and month.

    Args:
        name: what is changed.
        profit: with the best rebates.
        profit_without: without rebates.
        rebate: paid.
        driver_value: what a month is worth to the average driver, rebates included.
        hourly: the rebates, shape (hours,) [USD/h].
    """

    name: str
    profit: float
    profit_without: float
    rebate: float
    driver_value: float = 0.0
    hourly: tuple[float, ...] = ()

    @property
    def improvement_pct(self) -> float:
        """By rebates."""
        return 100.0 * (self.profit / self.profit_without - 1.0)


def case_of(name: str, base: Base, soc_kw: float | None = None, stake: float | None = None,
            workplace: bool | None = None) -> Case:  # fmt: skip
    """Best rebates of a fleet and what they earn.

    Args:
        name: of the case.
        base: with what is changed already in it.
        soc_kw: omega; None: no guarantee of the state of charge.
        stake: share of drivers who own the platform; None: a company.
        workplace: chargers at work; None: as the base has them.
    """
    followers, shares = base.fleet(base.utility, base.workplace if workplace is None else workplace)
    requirements: tuple[Requirement, ...] = (Requirement(base.charger_kw, base.eta, base.need),)
    if soc_kw is not None:
        requirements = (Requirement(base.charger_kw - soc_kw, base.eta, base.need),
                        Requirement(soc_kw, SOC_ETA, base.energy))  # fmt: skip
    platform = Platform(followers, base.vehicles * shares, base.prices, requirements, np.zeros(1))
    best = best_rebates(platform, base.rebate_max) if stake is None else community_rebates(
        platform, base.rebate_max, stake)  # fmt: skip
    found = platform.evaluate(np.array([best, np.zeros(platform.hours)]))
    profit = platform.monthly * found.profit
    return Case(name, float(profit[0]), float(profit[1]), float(platform.monthly * found.paid[0]),
                DAYS_PER_MONTH * float(driver_value(platform, found)[0]), tuple(map(float, best)))  # fmt: skip


Job: TypeAlias = Callable[[], Case]


def all_cases(base: Base, tell: Tell = lambda _: None) -> dict[str, list[Case]]:
    """The tables by name; those of chargers at work are left out where the drivers do not say who is there."""
    found: dict[str, list[Case]] = {}
    jobs = _jobs(base)
    for name, group in jobs.items():
        tell(f"study: {name}")
        found[name] = [job() for job in group]
    return found


def _jobs(base: Base) -> dict[str, list[Job]]:
    from dataclasses import replace
    from functools import partial

    def changed(name: str, **what: float) -> Job:
        return partial(case_of, name, replace(base, **what))  # type: ignore[arg-type]

    chargers = {kw: replace(base, charger_kw=kw) for kw in SOC_CHARGERS_KW}
    community = replace(base, rebate_max=COMMUNITY_MAX)
    jobs: dict[str, list[Job]] = {
        "fleet": [changed(f"{m:g} vehicles", vehicles=m) for m in FLEETS],
        "charger": [changed(f"{kw:g} kW", charger_kw=kw) for kw in CHARGERS_KW],
        "utility": [changed(f"{u:g} USD", utility=u) for u in UTILITIES],
        "scaled": [changed(f"{k:g} x ({0.5 * base.utility:g} USD, {base.charger_kw:g} kW)", utility=0.5 * k
                           * base.utility, charger_kw=k * base.charger_kw, rebate_max=k * base.rebate_max)
                   for k in (1.0, 2.0, 4.0)],
        "soc": [partial(case_of, "none", base), *(partial(case_of, f"{share * base.charger_kw:g} kW", base,
                                                          share * base.charger_kw) for share in SOC_SHARES)],
        "soc_charger_without": [partial(case_of, f"{kw:g} kW", one) for kw, one in chargers.items()],
        "soc_charger_share": [partial(case_of, f"{kw:g} kW", one, SOC_SHARE * kw) for kw, one in chargers.items()],
        "soc_charger_power": [partial(case_of, f"{kw:g} kW", one, SOC_KW) for kw, one in chargers.items()],
        "ownership": [partial(case_of, "company", community),
                      *(partial(case_of, f"{k:g}", community, None, k) for k in STAKES)],
    }  # fmt: skip
    if base.workplaces:
        jobs["workplace"] = [partial(case_of, "with" if work else "without", base, workplace=work)
                             for work in (False, True)]  # fmt: skip
    for group, work in (("mixes", False), ("mixes_workplace", True)):
        jobs[group] = [partial(case_of, "/".join(f"{share:g}" for share in mix), replace(base, fleet=_mixed(mix)),
                               workplace=work) for mix in MIXES]  # fmt: skip
    return jobs


def _mixed(mix: tuple[float, ...]) -> Fleet:
    def fleet(value_usd_month: float, workplace: bool) -> tuple[tuple[Follower, ...], FloatArray]:
        kinds = tuple(drivers(kind, workplace=workplace, value_usd_month=value_usd_month) for kind in MIX_KINDS)
        return kinds, np.array(mix)

    return fleet


def pattern(case: Case, priced: FloatArray) -> float:
    """Correlation of a case's rebates with the prices; 0 where either is the same all day."""
    one, other = np.array(case.hourly), priced - priced.mean()
    one = one - one.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 1e-12 else 0.0


def spread(values: Mapping[str, float]) -> float:
    """(largest - smallest) / mean."""
    numbers = np.array(list(values.values()))
    return float(np.ptp(numbers) / abs(numbers.mean()))
