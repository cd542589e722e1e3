"""Recorded series by local time of day: frequency, voltage, prices, regulation signal, site load, plan.

A sample holds until the next one, at most three usual steps: in a longer gap, before the first sample and
after the last there is no value (NaN), as a real source would fall silent. A series that covers a whole
day starts again at midnight, so series of different days join on local time of day and a run may pass
midnight. Of a file that covers many days the first full local day is taken, or the day asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.csv_table import Table, number, read_table
from v2g_nodes.sim.sessions import Session, read_sessions
from v2g_nodes.sim.time_axis import DAY_S, TimeAxis, format_clock, read_time_axis

__all__ = ["QUANTITIES", "Quantity", "Series", "Session", "read_columns", "read_profile", "read_series",
           "read_sessions"]

HOLD_STEPS = 3.0  # usual steps a sample may stand in for missing ones; two in a row are missing at most


@dataclass(frozen=True)
class Quantity:
    """What a column may hold: accepted names with the factor to our unit, and the allowed range.

    Args:
        columns: (lower-case column name, factor to `unit`), the preferred one first.
        low: smallest value allowed, in `unit`.
        high: largest value allowed, in `unit`.
        unit: of the values.
    """

    columns: tuple[tuple[str, float], ...]
    low: float
    high: float
    unit: str


QUANTITIES = {
    "frequency": Quantity((("frequency_hz", 1.0),), 40.0, 70.0, "Hz"),  # 50 and 60 Hz grids with every trip limit
    "voltage": Quantity((("voltage_v", 1.0),), 0.0, 1000.0, "V"),  # low voltage, phase to phase (IEC 60038)
    "price": Quantity((("price_eur_per_kwh", 1.0), ("price_eur_per_mwh", 1e-3)),
                      -10.0, 10.0, "EUR/kWh"),  # twice the harmonised EU limit of 5000 EUR/MWh; catches a wrong unit
    "signal": Quantity((("signal_pu", 1.0),), -1.0, 1.0, "pu"),
    "base": Quantity((("base_kw", 1.0),), -1e4, 1e4, "kW"),
    "capacity": Quantity((("capacity_kw", 1.0),), 0.0, 1e4, "kW"),
    "rebate": Quantity((("rebate_eur_per_h", 1.0),), 0.0, 100.0, "EUR/h"),
    # per kW offered for an hour; PJM's names are in USD/MW h and taken as they stand
    "capability": Quantity((("capability_eur_per_mwh", 1e-3), ("rmccp", 1e-3), ("rmccp_usd_per_mwh", 1e-3)),
                           0.0, 10.0, "EUR/kWh"),
    "performance": Quantity((("performance_eur_per_mwh", 1e-3), ("rmpcp", 1e-3), ("rmpcp_usd_per_mwh", 1e-3)),
                            0.0, 10.0, "EUR/kWh"),
    "site_load": Quantity((("site_load_kw", 1.0), ("load_kw", 1.0)), -1e5, 1e5, "kW"),
    "site_reactive": Quantity((("site_load_kvar", 1.0), ("load_kvar", 1.0)), -1e5, 1e5, "kvar"),
}


@dataclass(frozen=True)
class Series:
    """Samples of one quantity over at most one day, sample and hold.

    Args:
        quantity: key of QUANTITIES.
        times_s: seconds since local midnight [s], strictly rising, shape (n,); above 86400 after midnight.
        values: in the quantity's unit, shape (n,).
        source: file it came from.
        notes: what was decided while reading, in words.
    """

    quantity: str
    times_s: FloatArray
    values: FloatArray
    source: str = ""
    notes: tuple[str, ...] = ()

    @cached_property
    def step_s(self) -> float:
        """Usual distance of two samples [s]; a lone sample stands for the whole day."""
        return float(np.median(np.diff(self.times_s))) if self.times_s.size > 1 else DAY_S

    @cached_property
    def whole_day(self) -> bool:
        """Whether the samples reach around the day."""
        return bool(self.times_s[-1] + self.step_s - self.times_s[0] >= DAY_S - 1e-6)

    @property
    def start_s(self) -> float:
        """Time of day of the first sample [s]."""
        return float(self.times_s[0])

    @property
    def end_s(self) -> float:
        """Time from which there is no value any more [s]; a day after the start for a whole day."""
        return self.start_s + DAY_S if self.whole_day else float(self.times_s[-1] + self.step_s)

    def at(self, time_of_day_s: float) -> float:
        """Value in force at a local time of day [s]; NaN where there is none. Any day is taken for the same day."""
        moment = self._fold(time_of_day_s)
        if math.isnan(moment):
            return math.nan
        row = int(np.searchsorted(self.times_s, moment, side="right")) - 1
        return float(self.values[row]) if moment < self._ends[row] else math.nan

    def mean(self, start_s: float, end_s: float) -> float:
        """Mean over [start, end) weighted by time, gaps left out; NaN where there is no value at all.

        Args:
            start_s: local time of day [s].
            end_s: local time of day [s], above start_s, more than 86400 for the day after.
        """
        total_0, time_0 = self._integral(start_s)
        total_1, time_1 = self._integral(end_s)
        return (total_1 - total_0) / (time_1 - time_0) if time_1 - time_0 > 1e-9 else math.nan

    def slot_means(self, start_s: float, slot_s: float, slots: int) -> FloatArray:
        """Mean of each slot of a plan, shape (slots,).

        Args:
            start_s: local time of day of the first slot [s].
            slot_s: width of a slot [s].
            slots: how many.

        Raises:
            InputError: a slot without any value; names file, slot and time.
        """
        edges = start_s + slot_s * np.arange(slots + 1)
        values = np.array([self.mean(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)])
        missing = np.flatnonzero(~np.isfinite(values))
        if missing.size:
            first = format_clock(edges[missing[0]])
            raise InputError(
                f"{self.source}: no {self.quantity} in slot {missing[0]} from {first}, allowed is a file that covers "
                f"{slots} slots of {slot_s / 3600.0:g} h from {format_clock(start_s)}"
            )
        return values

    def gaps(self) -> tuple[tuple[float, float], ...]:
        """Stretches inside the series without a value, as (start, end) [s]."""
        following = np.append(self.times_s[1:], self.end_s)
        return tuple((float(self._ends[k]), float(following[k])) for k in np.flatnonzero(self._ends < following))

    def _fold(self, time_of_day_s: float) -> float:
        moment = self.start_s + (time_of_day_s - self.start_s) % DAY_S
        return moment if moment < self.end_s else math.nan

    @cached_property
    def _ends(self) -> FloatArray:
        following = np.append(self.times_s[1:], self.end_s)
        ends: FloatArray = np.minimum(following, self.times_s + HOLD_STEPS * self.step_s)
        return ends

    @cached_property
    def _sums(self) -> tuple[FloatArray, FloatArray]:
        spans = self._ends - self.times_s
        return (np.concatenate(([0.0], np.cumsum(spans * self.values))), np.concatenate(([0.0], np.cumsum(spans))))

    def _integral(self, moment_s: float) -> tuple[float, float]:
        """Integral of the value and of the time with a value, from the first sample to a moment."""
        totals, times = self._sums
        days, rest = divmod(moment_s - self.start_s, DAY_S)
        inside = self.start_s + rest
        row = int(np.searchsorted(self.times_s, inside, side="right")) - 1
        part = min(inside, float(self._ends[row])) - float(self.times_s[row])
        return (days * float(totals[-1]) + float(totals[row]) + part * float(self.values[row]),
                days * float(times[-1]) + float(times[row]) + part)


def read_series(path: str | Path, quantity: str, *, day: str | None = None, utc_offset_h: float = 0.0) -> Series:
    """Read one quantity of a CSV file.

    Args:
        path: CSV file with a header row (see csv_table, time_axis).
        quantity: key of QUANTITIES.
        day: YYYY-MM-DD to take from a file with dates; None takes the first full local day.
        utc_offset_h: local time minus UTC [h] for a file whose one time column is in UTC.

    Raises:
        InputError: file and line, what was found, what is allowed.
    """
    return read_columns(path, (quantity,), day=day, utc_offset_h=utc_offset_h)[quantity]


def read_columns(path: str | Path, required: Sequence[str], optional: Sequence[str] = (), *,
                 day: str | None = None, utc_offset_h: float = 0.0) -> dict[str, Series]:
    """Read several quantities of one CSV file; of the optional ones those that it has. See read_series."""
    table = read_table(path)
    names = {quantity: table.require([name for name, _ in QUANTITIES[quantity].columns], quantity)
             for quantity in required}
    for quantity in optional:
        found = next((name for name, _ in QUANTITIES[quantity].columns if table.has(name)), None)
        if found is not None:
            names[quantity] = found
    axis = read_time_axis(table, utc_offset_h)
    columns = {quantity: _checked(table, quantity, name)[axis.rows] for quantity, name in names.items()}
    first, last, shift, notes = _choose_day(axis, day, table.path)
    times = axis.seconds[first:last] - shift
    return {quantity: _described(Series(quantity, times, values[first:last], table.path, notes))
            for quantity, values in columns.items()}


def read_profile(path: str | Path, column: str) -> Series:
    """Read a site load from a column of any name and unit, such as one of a standard load profile.

    Raises:
        InputError: file and line, what was found, what is allowed.
    """
    table = read_table(path)
    values = table.numbers(table.require((column.lower(),), "load"))
    axis = read_time_axis(table)
    return Series("site_load", axis.seconds, values[axis.rows], table.path)


def _checked(table: Table, quantity: str, column: str) -> FloatArray:
    known = QUANTITIES[quantity]
    factor = dict(known.columns)[column]
    raw = table.numbers(column)
    values = raw * factor
    outside = np.flatnonzero((values < known.low) | (values > known.high))
    if outside.size:
        row = int(outside[0])
        table.fail(row, f"{column} is {number(raw[row])}, allowed {number(known.low / factor)} to "
                        f"{number(known.high / factor)}")
    return values


def _choose_day(axis: TimeAxis, day: str | None, path: str) -> tuple[int, int, float, tuple[str, ...]]:
    """Rows [first, last), the shift to seconds of that day, and a note where a choice was made."""
    seconds = axis.seconds
    if day is not None:
        start = _asked_day(axis, day, path)
    else:
        span = float(seconds[-1] - seconds[0])
        if span < DAY_S:
            return 0, seconds.size, 0.0, ()
        start = _first_full_day(seconds)
    first, last = (int(k) for k in np.searchsorted(seconds, [start, start + DAY_S]))
    if first == last:
        raise InputError(f"{path}: no row on day {day}, allowed are days from {_date(axis, seconds[0])} "
                         f"to {_date(axis, seconds[-1])}")
    shift = math.floor(start / DAY_S) * DAY_S
    if last - first == seconds.size or seconds[-1] == start + DAY_S:  # all rows, or all but the closing midnight
        return first, last, shift, ()
    return first, last, shift, (f"of {seconds.size} rows those of {_date(axis, seconds[first])} are used",)


def _asked_day(axis: TimeAxis, day: str, path: str) -> float:
    try:
        wanted = date.fromisoformat(day)
    except ValueError as error:
        raise InputError(f"day {day!r}, allowed is YYYY-MM-DD") from error
    if axis.first_day is None:
        raise InputError(f"{path}: day {day} asked for, but the file has no dates; allowed is no day")
    return (wanted - axis.first_day).days * DAY_S


def _first_full_day(seconds: FloatArray) -> float:
    """Start of the first calendar day covered from midnight to midnight, else of the first row's 24 hours."""
    step = float(np.median(np.diff(seconds)))
    for start in np.arange(math.ceil(seconds[0] / DAY_S - 1e-12) * DAY_S, seconds[-1] + step - DAY_S + 1e-6, DAY_S):
        day = seconds[np.searchsorted(seconds, start) : np.searchsorted(seconds, start + DAY_S)]
        if day.size and day[0] - start < step and day[-1] + step >= start + DAY_S - 1e-6:
            return float(start)
    return float(seconds[0])


def _date(axis: TimeAxis, seconds: float) -> str:
    days = int(seconds // DAY_S)
    return str(axis.first_day + timedelta(days=days)) if axis.first_day else f"day {days + 1}"


def _described(series: Series) -> Series:
    gaps = series.gaps()
    if not gaps:
        return series
    start, end = gaps[0]
    note = (f"{len(gaps)} gap(s) without {series.quantity}, the first from {format_clock(start)} "
            f"to {format_clock(end)}")
    return Series(series.quantity, series.times_s, series.values, series.source, (*series.notes, note))
