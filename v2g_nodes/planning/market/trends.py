"""The source's observations, each holding or refuted by the cases of a study, with its numbers; nothing is tuned.

Monotone are profit and improvement only; total rebates are not in the source either (EQUATIONS 004.5, 4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.studies import SOC_KW, SOC_SHARE, Base, Case, pattern, spread

IDENTITY = 1e-6  # relative, to which an identity has to hold
REBATE_NONE = 1e-6  # USD per vehicle and month: no rebates to compare with


@dataclass(frozen=True)
class Trend:
    """One observation.

    Args:
        claim: of the source.
        holds: in these cases.
        numbers: one per case, or what is compared.
        cases: their names.
    """

    claim: str
    holds: bool
    numbers: tuple[float, ...]
    cases: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In a word."""
        return "holds" if self.holds else "refuted"


Groups = Mapping[str, list[Case]]


def trends(cases: Groups, base: Base) -> list[Trend]:
    """What the source observes, found or not, in the groups that there are."""
    found = [
        _along("pooling: profit per vehicle rises with the fleet", cases["fleet"], _profit, rises),
        _along("fleet size is a substitute: improvement falls", cases["fleet"], _gain, falls),
        _along("charger rating is a complement: improvement rises", cases["charger"], _gain, rises),
        _drivers_more(cases["charger"]),
        _along("baseline utility is a substitute: improvement falls", cases["utility"], _gain, falls),
        _along("and is below 0.05 % at the largest utility", cases["utility"][-1:], _gain, lambda gain: gain[0] < 0.05),
    ]
    if "workplace" in cases:
        found += [
            _along("workplace charging is a substitute: improvement falls", cases["workplace"], _gain, falls),
            _along("workplace charging raises profit", cases["workplace"], _profit, rises),
        ]
    found += [
        *_every_mix(cases["mixes"], cases["mixes_workplace"]),
        *_community(cases["ownership"], base.prices),
        _along("a guarantee of the state of charge lowers rebates, for every average power", cases["soc"], _paid,
               lambda paid: all(one < paid[0] for one in paid[1:])),
        _low_chargers(cases, "soc_charger_share", f"{SOC_SHARE:.0%} of the charger"),
        _low_chargers(cases, "soc_charger_power", f"{SOC_KW:g} kW at every charger"),
        *_identities(cases),
    ]  # fmt: skip
    return found


def rises(values: Sequence[float]) -> bool:
    """Each above the one before."""
    return all(b > a for a, b in zip(values, values[1:], strict=False))


def falls(values: Sequence[float]) -> bool:
    """Each below the one before."""
    return rises([-value for value in values])


def _profit(case: Case) -> float:
    return case.profit


def _gain(case: Case) -> float:
    return case.improvement_pct


def _paid(case: Case) -> float:
    return case.rebate


def _along(
    claim: str, group: list[Case], number: Callable[[Case], float], test: Callable[[Sequence[float]], bool]
) -> Trend:  # fmt: skip
    numbers = tuple(number(case) for case in group)
    return Trend(claim, test(numbers), numbers, tuple(case.name for case in group))


def _drivers_more(group: list[Case]) -> Trend:
    """From the smallest charger to the largest."""
    first, last = group[0], group[-1]
    factors = (last.rebate / max(first.rebate, REBATE_NONE), last.profit / first.profit)
    claim = "a stronger charger multiplies what drivers get by more than what the platform gets"
    return Trend(claim, factors[0] > factors[1], factors, ("rebates", "profit"))


def _every_mix(without: list[Case], work: list[Case]) -> list[Trend]:
    gains = tuple(b.improvement_pct - a.improvement_pct for a, b in zip(without, work, strict=True))
    profits = tuple(b.profit - a.profit for a, b in zip(without, work, strict=True))
    names = tuple(case.name for case in without)
    return [Trend("workplace charging lowers the improvement in every mix [percentage points]", max(gains) < 0.0, gains,
                  names),
            Trend("workplace charging raises the profit in every mix [USD]", min(profits) > 0.0, profits, names),
            _along("with workplace charging the improvement is below 0.7 % in every mix", work, _gain,
                   lambda gain: max(gain) < 0.7)]  # fmt: skip


def _community(group: list[Case], priced: FloatArray) -> list[Trend]:
    company, owned = group[0], group[1:]
    return [
        _along("a platform owned by its drivers pays higher rebates than a company, and more the more own it", group,
               _paid, rises),
        _along("the more drivers own the platform, the more rebates resemble prices (correlation)",
               [company, *owned], lambda case: pattern(case, priced), rises),
        _along("a platform owned by its drivers is worth more to them", group, lambda case: case.driver_value, rises),
    ]  # fmt: skip


def _low_chargers(cases: Groups, group: str, words: str) -> Trend:
    left = tuple(100.0 * (1.0 - b.rebate / max(a.rebate, REBATE_NONE))
                 for a, b in zip(cases["soc_charger_without"], cases[group], strict=True))  # fmt: skip
    claim = f"the guarantee takes more of the rebates where the charger is weak [%], average power {words}"
    return Trend(claim, falls(left), left, tuple(case.name for case in cases[group]))


def _identities(cases: Groups) -> list[Trend]:
    flat = {f"{case.name}": case.profit_without / _kw(case) for case in cases["charger"]}
    free = {case.name: case.profit_without for case in cases["utility"]}
    scaled = {case.name: case.profit / float(case.name.split(" x ")[0]) for case in cases["scaled"]}
    words = (("without rebates, profit per kW is the same for every charger", flat),
             ("without rebates, profit is the same for every baseline utility", free),
             ("profit = charger x G(utility / charger)", scaled))  # fmt: skip
    return [Trend(f"{claim} (relative spread, allowed {IDENTITY:g})", spread(values) <= IDENTITY, (spread(values),),
                  (", ".join(values),)) for claim, values in words]  # fmt: skip


def _kw(case: Case) -> float:
    return float(case.name.split()[0])
