"""The station's plan: base power, offered capacity and rebates, slot by slot over the day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError

DAY_S = 86400.0  # s
PLAN_VERSION_MAX = 0xFFFF  # uint16 of the message


@dataclass(frozen=True)
class Plan:
    """What the station offers (msg/MarketPlan.msg without groups).

    Args:
        version: rises with every new plan, 0 to 65535.
        rule: name of the rule that made it.
        start_time_of_day_s: local time of day of the first slot [s], 0 to 86400.
        slot_s: width of a slot [s], above 0.
        base_kw: per slot [kW], > 0 discharges.
        capacity_kw: per slot [kW], >= 0, as many as base_kw.
        rebate_eur_per_h: per slot, paid for every vehicle plugged in [EUR/h], >= 0, as many as base_kw or none.

    Raises:
        InputError: a value out of range, no slot, different numbers of slots, or more than a day of them.
    """

    version: int
    rule: str
    start_time_of_day_s: float
    slot_s: float
    base_kw: tuple[float, ...]
    capacity_kw: tuple[float, ...]
    rebate_eur_per_h: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_range("plan version", self.version, 0, PLAN_VERSION_MAX)
        check_range("start_time_of_day_s", self.start_time_of_day_s, 0.0, DAY_S, "s")
        check_positive("slot_s", self.slot_s, "s")
        slots = len(self.base_kw)
        if slots == 0 or slots != len(self.capacity_kw):
            raise InputError(
                f"plan has {slots} slots of base_kw and {len(self.capacity_kw)} of capacity_kw, "
                "allowed as many, at least 1"
            )
        if len(self.rebate_eur_per_h) not in (0, slots):
            raise InputError(f"plan has {slots} slots and {len(self.rebate_eur_per_h)} of rebate_eur_per_h, "
                             "allowed as many or none")  # fmt: skip
        if slots * self.slot_s > DAY_S * (1.0 + 1e-9):
            raise InputError(f"plan covers {slots * self.slot_s:g} s, allowed up to one day of {DAY_S:g} s")
        for slot in range(slots):
            check_range(f"base_kw of slot {slot}", self.base_kw[slot], -math.inf, math.inf, "kW")
            check_range(f"capacity_kw of slot {slot}", self.capacity_kw[slot], 0.0, math.inf, "kW")
        for slot, rebate in enumerate(self.rebate_eur_per_h):
            check_range(f"rebate_eur_per_h of slot {slot}", rebate, 0.0, math.inf, "EUR/h")

    def at(self, time_of_day_s: float) -> tuple[float, float]:
        """Base power and capacity in force [kW]; zero after the last slot and before the first.

        Args:
            time_of_day_s: local time of day [s]; wraps at midnight, so a plan may begin in the evening.

        Raises:
            InputError: time not finite.
        """
        slot = self._slot(time_of_day_s)
        return (0.0, 0.0) if slot is None else (self.base_kw[slot], self.capacity_kw[slot])

    def rebate_at(self, time_of_day_s: float) -> float:
        """Rebate in force [EUR/h]; zero outside the slots and where the plan has none. See `at`."""
        slot = self._slot(time_of_day_s)
        return 0.0 if slot is None or not self.rebate_eur_per_h else self.rebate_eur_per_h[slot]

    def _slot(self, time_of_day_s: float) -> int | None:
        check_range("time_of_day_s", time_of_day_s, -math.inf, math.inf, "s")
        since_start = (time_of_day_s - self.start_time_of_day_s) % DAY_S
        if since_start >= DAY_S:  # the remainder of a tiny negative number rounds up to a whole day
            since_start = 0.0
        slot = int(since_start / self.slot_s)
        return slot if slot < len(self.base_kw) else None


def price_threshold_plan(
    prices_eur_per_kwh: Sequence[float],
    rating_kw: float,
    capacity_fraction: float,
    base_fraction: float,
    *,
    version: int = 1,
    start_time_of_day_s: float = 0.0,
    slot_s: float = 3600.0,
    cheap_quantile: float = 0.25,
    dear_quantile: float = 0.75,
) -> Plan:
    """A plan by rule of thumb: charge in cheap slots, discharge in dear ones, else rest; always offer capacity.

    This is a rule, not an optimum: it looks at no battery, no loss, no wear and no revenue of the capacity.
    Where cheap and dear threshold coincide (flat prices) the base power is zero throughout.

    Args:
        prices_eur_per_kwh: one per slot [EUR/kWh].
        rating_kw: of the station [kW].
        capacity_fraction: of the rating, offered in every slot, 0 to 1.
        base_fraction: of the rating, charged or discharged, 0 to 1; with capacity_fraction at most 1.
        version: of the plan.
        start_time_of_day_s: of the first slot [s].
        slot_s: width of a slot [s].
        cheap_quantile: a price up to this quantile is cheap.
        dear_quantile: a price from this quantile on is dear, above cheap_quantile.

    Raises:
        InputError: a value out of range, a price that is not finite, or base and capacity beyond the rating.
    """
    check_positive("rating_kw", rating_kw, "kW")
    check_range("capacity_fraction", capacity_fraction, 0.0, 1.0)
    check_range("base_fraction", base_fraction, 0.0, 1.0)
    check_range("cheap_quantile", cheap_quantile, 0.0, 1.0)
    check_range("dear_quantile", dear_quantile, cheap_quantile, 1.0)
    if base_fraction + capacity_fraction > 1.0 + 1e-9:
        raise InputError(
            f"base_fraction {base_fraction:g} + capacity_fraction {capacity_fraction:g} is "
            f"{base_fraction + capacity_fraction:g}, allowed up to 1: the rating bounds both together"
        )
    if not prices_eur_per_kwh:
        raise InputError("prices hold 0 slots, allowed at least 1")
    for slot, price in enumerate(prices_eur_per_kwh):
        check_range(f"price of slot {slot}", price, -math.inf, math.inf, "EUR/kWh")
    cheap, dear = (float(q) for q in np.quantile(prices_eur_per_kwh, (cheap_quantile, dear_quantile)))
    base = tuple(base_fraction * rating_kw * _direction(price, cheap, dear) for price in prices_eur_per_kwh)
    capacity = tuple(max(min(capacity_fraction * rating_kw, rating_kw - abs(power)), 0.0) for power in base)
    return Plan(version, "price_threshold", start_time_of_day_s, slot_s, base, capacity)


def _direction(price: float, cheap: float, dear: float) -> float:
    """1 to discharge, -1 to charge, 0 to rest."""
    if not cheap < dear:
        return 0.0
    return 1.0 if price >= dear else -1.0 if price <= cheap else 0.0
