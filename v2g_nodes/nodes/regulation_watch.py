"""How well the station follows the regulation signal, and what that earns, seen by the monitor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from v2g_nodes.core.cost import CostParameters, battery_wear_eur_per_h
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.plan import Plan
from v2g_nodes.msg import DecisionRecord, MarketPlan
from v2g_nodes.nodes import convert
from v2g_nodes.nodes.last_words import LastWords
from v2g_nodes.nodes.regulation_prices import RegulationParameters, RegulationPrices, signal_recordings
from v2g_nodes.nodes.sources import MEAN_ABOVE_SPEED, RunClock
from v2g_nodes.planning.market.regulation import Moment, RegulationRecord

LOOK_S = 0.2  # s, wall time; up to the speed from which droop is given means a bin of 10 s has five looks


class RegulationWatch:
    """Compares what the modules deliver with the recorded signal itself, not with what the station made of it.

    Args:
        p: of the node.
        words: what the modules said last.
        droop_kw: droop's answer to the frequency of the moment [kW]; NaN before the first signal.
    """

    def __init__(self, p: RegulationParameters, words: LastWords, droop_kw: Callable[[], float]) -> None:
        self._signal = signal_recordings(p)
        self._prices = RegulationPrices(p)
        self._record = RegulationRecord(p.reference_mileage_per_h)
        self._scored = p.speed <= MEAN_ABOVE_SPEED
        self._clock = RunClock(p, time.time(), time.monotonic())
        self._words, self._droop_kw = words, droop_kw
        self._plan: Plan | None = None
        self._costs: dict[int, CostParameters] = {}

    def hear_plan(self, message: MarketPlan) -> None:
        """The plan; one that modules refuse changes nothing."""
        try:
            self._plan = convert.plan_of(message)
        except InputError:
            return

    def hear_record(self, message: DecisionRecord) -> None:
        """A module's cost, of which wear is a part; one that can't be is left out."""
        try:
            self._costs[message.module_id] = convert.cost_parameters(message)
        except ValueError:
            return

    def look(self) -> None:
        """See how things are now."""
        now_s = time.monotonic()
        self._record.see(self._clock.elapsed_s(now_s), self._moment(self._clock.time_of_day_s(now_s)))

    def figures(self) -> dict[str, Any]:
        """Score and settlement under the names of the command's JSON."""
        settled = self._record.settle(self._scored)
        parts = {name: getattr(settled, name) for name in ("accuracy", "delay", "precision")}
        money = {key: _number(value) for key, value in asdict(settled).items() if key not in ("score", *parts)}
        return {
            "performance_score": settled.score,
            "performance_parts": parts if settled.score is not None else None,
            "settlement": {**money, "net_eur": _number(settled.net_eur)},
        }

    def series(self) -> dict[str, list[float | None]]:
        """Asked and given every 10 s, for the report."""
        names = ("time_s", "asked_kw", "given_kw")
        rows = self._record.means() if self._scored else ([], [], [])
        return {name: [_number(value) for value in row]
                for name, row in zip(names, rows, strict=True)}  # fmt: skip

    def _moment(self, time_of_day_s: float) -> Moment | None:
        signal_pu, droop_kw = self._signal.signal_pu(time_of_day_s), self._droop_kw()
        if self._plan is None or not (math.isfinite(signal_pu) and math.isfinite(droop_kw)):
            return None
        base_kw, capacity_kw = self._plan.at(time_of_day_s)
        silent = self._words.silent()
        plugged = sum(word[1].vehicle_plugged for k, word in self._words.status.items() if k not in silent)
        return Moment(
            capacity_kw, signal_pu, self._words.measured_kw() - base_kw - droop_kw,
            self._prices.capability_eur_per_kwh(time_of_day_s), self._prices.performance_eur_per_kwh(time_of_day_s),
            plugged * self._plan.rebate_at(time_of_day_s), sum(map(self._wear_eur_per_h, self._costs)),
        )  # fmt: skip

    def _wear_eur_per_h(self, module: int) -> float:
        applied, status = self._words.fresh_applied(module), self._words.status.get(module)
        if applied is None or status is None or not status[1].vehicle_plugged:
            return 0.0
        wear = battery_wear_eur_per_h(self._costs[module], status[1].soc, applied.power_kw)
        return wear if math.isfinite(wear) else 0.0  # whatever a module says of itself, the others' wear is known


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
