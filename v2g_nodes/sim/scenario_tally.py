"""Collects epochs and ticks of a scenario and sums them up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.run_statistics import Rows, Samples
from v2g_nodes.sim.grid import PccMeter
from v2g_nodes.sim.scenario_exchange import StationEpoch

ROWS = 1500  # of a plot, at the most twice as many are kept
SETTLED_SHARE = 0.01  # of the rating: a step of the target is delivered when this close


@dataclass(frozen=True)
class Moment:
    """One tick of the station, powers in kW.

    Args:
        time_s: of the run.
        frequency_hz: measured.
        target_kw: as agreed and clipped, in force.
        ideal_kw: answer to the frequency by the droop law, all modules.
        base_kw: sum of the base powers in force.
        measured_kw: delivered.
        price: EUR/kWh.
        price_lambda: agreed dual price [EUR/kWh].
        soc: mean state of charge.
    """

    time_s: float
    frequency_hz: float
    target_kw: float
    ideal_kw: float
    base_kw: float
    measured_kw: float
    price: float
    price_lambda: float
    soc: float

    @property
    def error_kw(self) -> float:
        """Delivered against target and droop."""
        return abs(self.measured_kw - self.target_kw - self.ideal_kw)


class Tally:
    """Collects epochs and ticks of a run.

    Args:
        rating_kw: of the station [kW].
        ticks: how many will come.
        tick_s: their distance [s].
    """

    def __init__(self, rating_kw: float, ticks: int, tick_s: float) -> None:
        self._rating_kw = rating_kw
        self._tick_s = tick_s
        self._stride, self._ticks = max(1, ticks // ROWS), 0
        self._rounds, self._errors, self._droop_errors = Samples(), Samples(), Samples()
        self._gaps, self._splits = Samples(), Samples()
        self._balance_kw = self._shortfall_kw = 0.0
        self._epochs = self._clipped = self._cold = self.outside = 0
        self._agree_s, self._reagreed_s = 0.0, math.nan
        self._islands = 1
        self._answer, self._ideal = 0.0, 0.0  # sums of answer times ideal, and of ideal squared
        self._step_s = math.nan  # when the target last stepped, while the answer is awaited
        self._settle_s = math.nan
        self._wear_eur = self._over_kw = 0.0
        self._target_kw = math.nan
        self._rows = Rows[Moment](2 * ROWS)
        self.meter = PccMeter()

    def epoch(self, epoch: StationEpoch, agree_s: float, reagreed_s: float, wear_eur: float) -> None:
        """Take in an epoch.

        Args:
            epoch: as judged.
            agree_s: until the last module agreed [s].
            reagreed_s: from a death in it to the new agreement [s]; NaN without a death.
            wear_eur: wear of the vehicles until the next epoch.
        """
        self._epochs += 1
        self._gaps.add([island.gap for island in epoch.islands])
        self._splits.add([epoch.islands[0].equal_split_gap])
        self._balance_kw = max(self._balance_kw, *(island.balance_error_kw for island in epoch.islands))
        self._shortfall_kw = max(self._shortfall_kw, *(island.shortfall_kw for island in epoch.islands))
        self._clipped += any(island.shortfall_kw > 1e-6 for island in epoch.islands)
        self.outside += sum(island.outside for island in epoch.islands)
        self._cold += any(agreement.cold for agreement in epoch.islands[0].agreements.values())
        self._islands = max(self._islands, len(epoch.islands))
        self._wear_eur += wear_eur
        self._rounds.add([epoch.rounds])
        if math.isnan(reagreed_s):
            self._agree_s = max(self._agree_s, agree_s)
        else:
            self._reagreed_s = float(np.fmax(self._reagreed_s, reagreed_s))

    def tick(self, moment: Moment) -> None:
        """Take in a tick."""
        self._errors.add([moment.error_kw])
        answer_kw = moment.measured_kw - moment.base_kw
        self._droop_errors.add([abs(answer_kw - moment.ideal_kw)])
        self._answer += answer_kw * moment.ideal_kw
        self._ideal += moment.ideal_kw**2
        over_kw = (moment.base_kw - moment.target_kw) * math.copysign(1.0, moment.target_kw)
        self._over_kw = max(self._over_kw, over_kw)
        self._follow_step(moment)
        self.meter.update(moment.measured_kw, 0.0, moment.price, self._tick_s)
        if self._ticks % self._stride == 0:
            self._rows.add(moment)
        self._ticks += 1

    def _follow_step(self, moment: Moment) -> None:
        if abs(moment.target_kw - self._target_kw) > SETTLED_SHARE * self._rating_kw:
            self._step_s = moment.time_s
        self._target_kw = moment.target_kw
        if moment.error_kw <= SETTLED_SHARE * self._rating_kw and not math.isnan(self._step_s):
            self._settle_s = float(np.fmax(self._settle_s, moment.time_s + self._tick_s - self._step_s))
            self._step_s = math.nan

    def figures(self) -> dict[str, float]:
        """What epochs and ticks came to."""
        reading = self.meter.reading
        return {
            "epochs": float(self._epochs),
            "cold_epochs": float(self._cold),
            "rounds_median": self._rounds.median,
            "rounds_max": self._rounds.largest,
            "gap_max": self._gaps.largest,
            "equal_split_gap_median": self._splits.median,
            "balance_error_kw_max": self._balance_kw,
            "clipped_epochs": float(self._clipped),
            "shortfall_kw_max": self._shortfall_kw,
            "over_target_kw_max": self._over_kw,
            "delivered_error_kw_p99": self._errors.percentile(99.0),
            "settle_s_max": self._settle_s,
            "droop_gain_ratio": self._answer / self._ideal if self._ideal > 0.0 else math.nan,
            "droop_error_kw_p99": self._droop_errors.percentile(99.0),
            "agree_s_max": self._agree_s,
            "reagreed_s_max": self._reagreed_s,
            "islands": float(self._islands),
            "energy_kwh": reading.exported_kwh - reading.imported_kwh,
            "cost_eur": reading.cost_eur,
            "wear_eur": self._wear_eur,
        }

    def series(self) -> dict[str, list[float]]:
        """Columns of the plots."""
        names = Moment.__dataclass_fields__
        return {name: [getattr(row, name) for row in self._rows.kept] for name in names}
