"""The time column of a CSV file, as seconds of local time.

Columns understood, best first (names in any case):

===================================  ==============================================================
`second_of_day`, `time_s`            seconds since local midnight; `time_s` may run over several days
`hour_local`                         hours since local midnight
`quarter_hour`                       quarters of an hour since local midnight, of standard load profiles
`local_start...`, `time_local`, ...  ISO 8601, wall clock as written
`time`, `timestamp`                  ISO 8601, wall clock as written; or HH:MM[:SS]; or seconds
`utc_start...`, `time_utc`           ISO 8601; wall clock = UTC + utc_offset_h
===================================  ==============================================================

Order is checked on instants (offset counted), so the change to winter time is no step back. A wall-clock
hour that comes twice keeps its first pass; one that is missing is held over like any sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.sim.csv_table import Table, number

DAY_S = 86400.0
NUMERIC = {"second_of_day": 1.0, "time_s": 1.0, "hour_local": 3600.0, "quarter_hour": 900.0}  # s per unit
LATEST_S = {"time_s": 400 * DAY_S, "time": 400 * DAY_S}  # one day for the others
LOCAL = ("local_start", "time_local", "local_time")
AS_WRITTEN = ("time", "timestamp")
UTC = ("utc_start", "time_utc", "utc_time")
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class TimeAxis:
    """Local time of every kept row.

    Args:
        seconds: since local midnight of the first row's day [s], strictly rising, shape (kept,).
        rows: which rows of the table they are, shape (kept,).
        first_day: date of the first row, None where the file names no date.
    """

    seconds: FloatArray
    rows: IntArray
    first_day: date | None


def read_time_axis(table: Table, utc_offset_h: float = 0.0) -> TimeAxis:
    """Find and parse the time column.

    Args:
        table: an open CSV file.
        utc_offset_h: local time minus UTC [h], used only where the one time column is in UTC.

    Raises:
        InputError: no time column, a time that can't be read or is out of range, time that repeats or
            runs backwards, each with its line.
    """
    column = _time_column(table)
    if column in NUMERIC:
        return _numeric(table, column, table.numbers(column) * NUMERIC[column])
    texts = table.texts(column)
    if column in AS_WRITTEN and _is_number(texts[0]):
        return _numeric(table, column, table.numbers(column))
    if column in AS_WRITTEN and _clock(texts[0]) is not None:
        return _numeric(table, column, _clocks(table, column, texts))
    return _dated(table, column, texts, utc_offset_h if column.startswith(UTC) else 0.0)


def parse_instant(text: str) -> datetime:
    """An ISO 8601 date and time; the offset stays on it. Python 3.10 does not know `Z`.

    Raises:
        ValueError: not a date and time.
    """
    instant = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    if len(text) < 16:  # '2024-09-03' alone is midnight to Python, here it is a missing time
        raise ValueError(text)
    return instant


def _time_column(table: Table) -> str:
    for column in NUMERIC:
        if table.has(column):
            return column
    for family in (LOCAL, AS_WRITTEN, UTC):
        for column in table.header:
            if column in family or (family is not AS_WRITTEN and column.startswith(tuple(f + "_" for f in family))):
                return column
    return table.require([*NUMERIC, *LOCAL, *AS_WRITTEN, *UTC], "time")


def _numeric(table: Table, column: str, seconds: FloatArray) -> TimeAxis:
    latest = LATEST_S.get(column, DAY_S)
    outside = np.flatnonzero((seconds < 0) | (seconds > latest))
    if outside.size:
        row, unit = int(outside[0]), NUMERIC.get(column, 1.0)
        table.fail(row, f"{column} is {number(seconds[row] / unit)}, allowed 0 to {number(latest / unit)}")
    _check_rising(table, column, seconds)
    return TimeAxis(seconds, np.arange(seconds.size), None)


def _dated(table: Table, column: str, texts: Sequence[str], utc_offset_h: float) -> TimeAxis:
    wall, instants = np.empty(len(texts)), np.empty(len(texts))
    aware = False
    for row, text in enumerate(texts):
        try:
            parsed = parse_instant(text)
        except ValueError:
            table.fail(row, f"{column} is {text!r}, allowed is ISO 8601 such as 2024-09-03T17:00+02:00")
        offset = parsed.utcoffset()
        if row and (offset is not None) != aware:
            table.fail(row, f"{column} is {text!r}, allowed is an offset in every row or in none")
        aware = offset is not None
        wall[row] = (parsed.replace(tzinfo=None) - _EPOCH).total_seconds() + utc_offset_h * 3600.0
        instants[row] = wall[row] - (offset or timedelta()).total_seconds()
    _check_rising(table, column, instants)
    first_pass = np.concatenate(([True], wall[1:] > np.maximum.accumulate(wall)[:-1]))
    midnight = np.floor(wall[0] / DAY_S) * DAY_S
    return TimeAxis(wall[first_pass] - midnight, np.flatnonzero(first_pass),
                    (_EPOCH + timedelta(seconds=float(midnight))).date())


def _check_rising(table: Table, column: str, seconds: FloatArray) -> None:
    wrong = np.flatnonzero(np.diff(seconds) <= 0)
    if not wrong.size:
        return
    row = int(wrong[0]) + 1
    what = "repeats the time of" if seconds[row] == seconds[row - 1] else "runs backwards against"
    texts = table.texts(column)
    table.fail(row, f"{column} {texts[row]} {what} line {table.line_numbers[row - 1]} ({texts[row - 1]}), "
                    "allowed is rising time")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _clocks(table: Table, column: str, texts: Sequence[str]) -> FloatArray:
    seconds = np.empty(len(texts))
    for row, text in enumerate(texts):
        value = _clock(text)
        if value is None:
            table.fail(row, f"{column} is {text!r}, allowed is HH:MM or HH:MM:SS as in the rows before")
        seconds[row] = value
    return seconds


def _clock(text: str) -> float | None:
    try:
        return parse_clock(text)
    except InputError:
        return None


def parse_clock(text: str) -> float:
    """Seconds since midnight of HH:MM or HH:MM:SS.

    Raises:
        InputError: not a time of day.
    """
    try:
        clock = time.fromisoformat(text if len(text.split(":")[0]) == 2 else "0" + text)
    except ValueError:
        clock = None
    if clock is None or clock.tzinfo is not None or ":" not in text:
        raise InputError(f"time of day {text!r}, allowed HH:MM or HH:MM:SS from 00:00 to 23:59:59")
    return clock.hour * 3600.0 + clock.minute * 60.0 + clock.second + clock.microsecond * 1e-6


def format_clock(seconds: float) -> str:
    """HH:MM:SS of seconds since midnight, the day left out."""
    whole = round(seconds) % int(DAY_S)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
