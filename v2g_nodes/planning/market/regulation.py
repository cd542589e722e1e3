"""A run on the regulation signal: what was asked and given, hour by hour, its score and what it earns.

Asked is capacity times signal, given is the power beyond base power and droop. Both are means over bins of 10 s, and
each hour of the run is scored (score.py); a rest of less than ten minutes counts to the hour before. After PJM Manual
28, with the score s of the hour, the offered capacity C and the signal's mileage m against that of the slow signal m0:

    capability credit  = s * integral C * capability price dt
    performance credit = s * m / m0 * integral C * performance price dt

Rebates go to the owners of vehicles plugged in, degradation is the wear part of the modules' cost at their power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from v2g_nodes.planning.market.score import DELAY_MAX_S, SAMPLE_S, Score, performance_score

HOUR_S = 3600.0
REST_MIN_S = 600.0  # a shorter last hour counts to the one before
GAP_MAX_S = 10.0  # longer without a look, and nothing is known of the time between


@dataclass(frozen=True)
class Moment:
    """The station at one look; it holds until the next.

    Args:
        capacity_kw: offered [kW].
        signal_pu: asked for, -1 to 1.
        response_kw: power beyond base and droop, > 0 discharges [kW].
        capability_eur_per_kwh: price of capacity, NaN without one.
        performance_eur_per_kwh: price of capacity by mileage, NaN without one.
        rebates_eur_per_h: for all vehicles plugged in.
        wear_eur_per_h: of all batteries.
    """

    capacity_kw: float
    signal_pu: float
    response_kw: float
    capability_eur_per_kwh: float
    performance_eur_per_kwh: float
    rebates_eur_per_h: float
    wear_eur_per_h: float


@dataclass
class Hour:
    """Sums over an hour of the run; `bins` are seconds, asked and given [kW s] of each 10 s."""

    capacity_kwh: float = 0.0
    capability_eur: float = 0.0
    performance_eur: float = 0.0
    mileage_pu: float = 0.0
    seconds: float = 0.0
    bins: list[list[float]] = field(default_factory=list)

    def joined(self, other: Hour) -> Hour:
        """Both as one."""
        return Hour(
            self.capacity_kwh + other.capacity_kwh, self.capability_eur + other.capability_eur,
            self.performance_eur + other.performance_eur, self.mileage_pu + other.mileage_pu,
            self.seconds + other.seconds, self.bins + other.bins,
        )  # fmt: skip

    def means(self) -> tuple[list[float], list[float]]:
        """Mean power asked and given of each bin [kW], NaN for a bin nobody looked at for half of it.

        A last bin that is not over is left out.
        """
        unknown = math.nan, math.nan
        known = [(asked / s, given / s) if s >= 0.5 * SAMPLE_S else unknown for s, asked, given in self.bins]
        if self.bins and self.bins[-1][0] < SAMPLE_S - 1e-6:
            known = known[:-1]
        return [pair[0] for pair in known], [pair[1] for pair in known]

    def score(self) -> Score | None:
        """None where the hour is too short, has a gap, or nothing was asked."""
        asked, given = (np.array(values) for values in self.means())
        if len(asked) <= int(DELAY_MAX_S / SAMPLE_S) + 1 or not (np.isfinite(asked) & np.isfinite(given)).all():
            return None
        return performance_score(asked, given) if np.abs(asked).max() > 0.0 else None


@dataclass(frozen=True)
class Settled:
    """What a run came to; None is not known.

    Args:
        score: mean over the hours that were scored, by capacity.
        accuracy: part of the score, likewise.
        delay: likewise.
        precision: likewise.
        hours: scored.
        capacity_kwh: capacity times time.
        mileage_per_h: of the signal.
        capability_credit_eur: see module docstring.
        performance_credit_eur: likewise.
        rebates_eur: paid.
        degradation_eur: of batteries.
    """

    score: float | None
    accuracy: float | None
    delay: float | None
    precision: float | None
    hours: int
    capacity_kwh: float
    mileage_per_h: float | None
    capability_credit_eur: float | None
    performance_credit_eur: float | None
    rebates_eur: float
    degradation_eur: float

    @property
    def net_eur(self) -> float | None:
        """Credits less rebates and degradation; energy is settled elsewhere."""
        if self.capability_credit_eur is None or self.performance_credit_eur is None:
            return None
        return self.capability_credit_eur + self.performance_credit_eur - self.rebates_eur - self.degradation_eur


class RegulationRecord:
    """Takes looks at a station in order of time and settles them.

    Args:
        reference_mileage_per_h: m0, of the slow signal, above 0.
    """

    def __init__(self, reference_mileage_per_h: float) -> None:
        self._reference = reference_mileage_per_h
        self._hours: list[Hour] = []
        self._begun_s = math.nan
        self._last: tuple[float, Moment] | None = None
        self._signal_pu = math.nan
        self._rebates_eur = self._wear_eur = 0.0

    def see(self, time_s: float, moment: Moment | None) -> None:
        """One look.

        Args:
            time_s: of the station's clock [s]; a step back is a look that did not happen.
            moment: None where not all of it is known.
        """
        if self._last is not None:
            before_s, before = self._last
            if time_s < before_s:
                return
            if time_s - before_s <= GAP_MAX_S:
                self._hold(before_s, time_s, before)
        self._last = None if moment is None else (time_s, moment)
        if moment is None:
            return
        if math.isnan(self._begun_s):
            self._begun_s = time_s
        if not math.isnan(self._signal_pu):
            self._hour(time_s).mileage_pu += abs(moment.signal_pu - self._signal_pu)
        self._signal_pu = moment.signal_pu

    def means(self) -> tuple[list[float], list[float], list[float]]:
        """Middle of each 10 s since the first look [s], mean power asked and given [kW]."""
        asked, given = list[float](), list[float]()
        for hour in self._hours:
            one, other = hour.means()
            missing = [math.nan] * (len(hour.bins) - len(one))
            asked, given = asked + one + missing, given + other + missing
        return [(k + 0.5) * SAMPLE_S for k in range(len(asked))], asked, given

    def settle(self, scored: bool = True) -> Settled:
        """All of it up to now.

        Args:
            scored: looks were close enough for bins of 10 s; without scores there are no credits.
        """
        hours = _whole(self._hours)
        found = [(hour, hour.score() if scored else None) for hour in hours]
        known = [(hour, score) for hour, score in found if score is not None]
        weight = sum(hour.capacity_kwh for hour, _ in known)
        every = len(known) == sum(hour.capacity_kwh > 0.0 for hour in hours) > 0
        capability = sum(score.score * hour.capability_eur for hour, score in known)
        performance = sum(score.score * hour.performance_eur * self._factor(hour) for hour, score in known)
        seconds = sum(hour.seconds for hour in hours)

        def mean(part: str) -> float | None:
            return sum(hour.capacity_kwh * getattr(s, part) for hour, s in known) / weight if weight > 0.0 else None

        return Settled(
            mean("score"), mean("accuracy"), mean("delay"), mean("precision"), len(known),
            sum(hour.capacity_kwh for hour in hours),
            sum(hour.mileage_pu for hour in hours) * HOUR_S / seconds if seconds > 0.0 else None,
            capability if every and math.isfinite(capability) else None,
            performance if every and math.isfinite(performance) else None, self._rebates_eur, self._wear_eur,
        )  # fmt: skip

    def _factor(self, hour: Hour) -> float:
        return hour.mileage_pu * HOUR_S / hour.seconds / self._reference

    def _hour(self, time_s: float) -> Hour:
        number = int((time_s - self._begun_s) / HOUR_S)
        while len(self._hours) <= number:
            self._hours.append(Hour())
        return self._hours[number]

    def _hold(self, start_s: float, end_s: float, moment: Moment) -> None:
        """Add up [start, end), bin by bin."""
        while start_s < end_s - 1e-9:
            since_s = start_s - self._begun_s
            number = int(since_s / SAMPLE_S + 1e-9)
            stop_s = min(end_s, self._begun_s + (number + 1) * SAMPLE_S)
            self._add(number, stop_s - start_s, moment)
            start_s = stop_s

    def _add(self, number: int, seconds: float, moment: Moment) -> None:
        per_hour = int(HOUR_S / SAMPLE_S)
        hour = self._hour(self._begun_s + number * SAMPLE_S)
        while len(hour.bins) <= number % per_hour:
            hour.bins.append([0.0, 0.0, 0.0])
        cell = hour.bins[number % per_hour]
        cell[0] += seconds
        cell[1] += seconds * moment.capacity_kw * moment.signal_pu
        cell[2] += seconds * moment.response_kw
        hours = seconds / HOUR_S
        hour.seconds += seconds
        hour.capacity_kwh += hours * moment.capacity_kw
        hour.capability_eur += hours * moment.capacity_kw * moment.capability_eur_per_kwh
        hour.performance_eur += hours * moment.capacity_kw * moment.performance_eur_per_kwh
        self._rebates_eur += hours * moment.rebates_eur_per_h
        self._wear_eur += hours * moment.wear_eur_per_h


def _whole(hours: Sequence[Hour]) -> list[Hour]:
    """Hours, a short rest with the one before."""
    if len(hours) > 1 and len(hours[-1].bins) * SAMPLE_S < REST_MIN_S:
        return [*hours[:-2], hours[-2].joined(hours[-1])]
    return list(hours)
