"""What a scenario came to: its figures, and whether they are within their limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from v2g_nodes.core.dispatch.methods import gap_limit
from v2g_nodes.sim.scenario_file import Limit, Scenario

#: figures that a limit may be put on; NaN = not measured
FIGURES = (
    "epochs", "cold_epochs", "rounds_median", "rounds_max", "gap_max", "equal_split_gap_median",
    "balance_error_kw_max", "clipped_epochs", "shortfall_kw_max", "constraint_violations", "gate_clips",
    "forced_steps", "over_target_kw_max", "delivered_error_kw_p99", "settle_s_max", "droop_gain_ratio",
    "droop_error_kw_p99", "failures", "islands", "agree_s_max", "reagreed_s_max", "energy_kwh", "stored_kwh",
    "cost_eur", "wear_eur", "earned_eur", "profit_eur", "best_eur", "earned_of_best", "speed_over_real_time",
)  # fmt: skip


@dataclass(frozen=True)
class ScenarioResult:
    """A run.

    Args:
        scenario: as played.
        modules: how many.
        rating_kw: sum of the ratings [kW].
        algorithm: how they agreed.
        figures: FIGURES by name; NaN = not measured.
        series: columns of the plots.
    """

    scenario: Scenario
    modules: int
    rating_kw: float
    algorithm: str
    figures: Mapping[str, float]
    series: Mapping[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """A figure against its limit.

    Args:
        figure: name.
        value: as measured; NaN = not.
        bound: smallest or largest value allowed.
        upper: the bound is the largest.
        why: where it comes from.
    """

    figure: str
    value: float
    bound: float
    upper: bool
    why: str

    @property
    def met(self) -> bool:
        """Whether the figure is within; one that was not measured is not."""
        return self.value <= self.bound if self.upper else self.value >= self.bound

    def __str__(self) -> str:
        found = "not measured" if math.isnan(self.value) else f"{self.value:.3g}"
        return f"{self.figure} {found}, allowed {'up to' if self.upper else 'from'} {self.bound:.3g}"


def judge(result: ScenarioResult) -> list[Judgement]:
    """All limits. Gap and balance of an algorithm that stops on its way may be as far off as it says."""
    return [_judgement(name, limit, result) for name, limit in result.scenario.limits.items()]


def _judgement(name: str, limit: Limit, result: ScenarioResult) -> Judgement:
    value = result.figures.get(name, math.nan)
    if limit.min is not None:
        return Judgement(name, value, limit.min, upper=False, why=limit.why)
    share = limit.max_of_rating
    bound = share * result.rating_kw if share is not None else limit.max if limit.max is not None else math.inf
    if name == "gap_max":
        bound = max(bound, gap_limit(result.algorithm))
    if name == "balance_error_kw_max":
        bound = max(bound, gap_limit(result.algorithm) * result.rating_kw)
    return Judgement(name, value, bound, upper=True, why=limit.why)
