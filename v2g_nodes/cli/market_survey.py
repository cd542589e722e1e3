"""Drivers of `v2g plan market` from files: tables of a mobility survey and recorded charging sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.survey import HOME_SHARE, connected_by_hour, plug_shares, survey_day
from v2g_nodes.planning.market.synthetic import HOURS, WORKPLACE_SHARE
from v2g_nodes.sim.csv_table import Table, read_table

KINDS = {"worker": "survey_departure_destination_worker.csv", "nonworker": "survey_departure_destination.csv"}
DAYS = {"weekdays": "weekday", "saturday": "weekend", "sunday": "weekend"}  # and their column of trips per day
TRIPS_FILE = "survey_trips_per_day.csv"
ARRIVALS_FILE, LENGTHS_FILE = "elaad_distribution-of-arrival.csv", "elaad_mean-session-length-per.csv"
SUM_OFF = 1e-3  # that printed probabilities may miss of 1
SATURDAY = 5


@dataclass(frozen=True)
class SurveyFiles:
    """Where drivers come from.

    Args:
        folder: of the survey's tables.
        day: of DAYS.
        home_sessions: folder of the tables of sessions at home; None: plug-in shares of the made drivers.
        work_sessions: file of sessions at work; None: the same share in every hour.
        workplace: there are chargers at work.
    """

    folder: str
    day: str
    home_sessions: str | None
    work_sessions: str | None
    workplace: bool


def survey_drivers(files: SurveyFiles, kind: str, value_usd: float) -> tuple[Follower, str]:
    """Drivers of a kind and a note on how they match the survey.

    Args:
        files: see SurveyFiles.
        kind: of KINDS.
        value_usd: worth of a day [USD].

    Raises:
        InputError: with file and line, or the option.
    """
    if files.day not in DAYS:
        raise InputError(f"--survey-day {files.day}: allowed {', '.join(DAYS)}")
    folder = Path(files.folder)
    trips = _trips_per_day(folder / TRIPS_FILE, DAYS[files.day]) * _trips(folder / KINDS[kind], files.day)
    alone = survey_day(trips, value_usd)  # who is where does not depend on who plugs in
    home: FloatArray | None = None
    work: FloatArray | None = np.full(HOURS, WORKPLACE_SHARE) if files.workplace else None
    if files.home_sessions is not None:
        home = plug_shares(_home_sessions(Path(files.home_sessions)), alone.present[:, 0], HOME_SHARE)
    if files.work_sessions is not None:
        work = plug_shares(work_sessions(files.work_sessions), alone.present[:, 1], WORKPLACE_SHARE)
    found = survey_day(trips, value_usd, home, work)
    note = (f"{kind} drivers from {files.folder}, {files.day}: {trips.sum():.3g} trips a day, {found.missed:.1%} of "
            f"them had nobody to make them, {found.late:.0%} of drivers are sent home at 24 h")  # fmt: skip
    return found.drivers, note


def _trips_per_day(path: Path, column: str) -> float:
    table = read_table(path)
    counts, shares = (table.numbers(table.require((name,), "trips per day")) for name in ("trip", column))
    _check_probabilities(table, column, shares)
    for row, count in enumerate(counts):
        check_range(f"{path}:{table.line_numbers[row]}: trip", float(count), 0.0, 100.0)
    return float(counts @ shares)


def _trips(path: Path, day: str) -> FloatArray:
    """Of one trip the probability to begin in an hour and lead home, to work or elsewhere, shape (24, 3)."""
    table = read_table(path)
    days, times = table.texts(table.require(("days",), "survey")), table.numbers(table.require(("time",), "survey"))
    table.require(("home",), "survey")
    table.require(("workplace",), "survey")
    rows = np.array([row for row, name in enumerate(days) if name == day], dtype=np.int64)
    if len(rows) != 2 * HOURS:
        raise InputError(f"{path}: {len(rows)} rows of {day}, allowed {2 * HOURS}, one per half hour")
    for k, row in enumerate(rows):
        if times[row] != 0.5 * k:
            table.fail(int(row), f"time is {times[row]:g}, allowed {0.5 * k:g}, the half hour after the one before")
    found, total = np.zeros((HOURS, 3)), np.zeros(2 * HOURS)
    for name in table.header:
        if name in {"days", "time"}:
            continue
        values = table.numbers(name)[rows]
        wrong = np.flatnonzero((values < 0.0) | (values > 1.0))
        if len(wrong):
            table.fail(int(rows[wrong[0]]), f"{name} is {values[wrong[0]]:g}, allowed 0 to 1")
        found[:, {"home": 0, "workplace": 1}.get(name, 2)] += values.reshape(HOURS, 2).sum(axis=1)
        total += values
    if abs(total.sum() - 1.0) > SUM_OFF:
        raise InputError(f"{path}: probabilities of {day} sum to {total.sum():.6g}, allowed 1")
    return found


def _check_probabilities(table: Table, column: str, values: FloatArray) -> None:
    wrong = np.flatnonzero((values < 0.0) | (values > 1.0))
    if len(wrong):
        table.fail(int(wrong[0]), f"{column} is {values[wrong[0]]:g}, allowed 0 to 1")
    if abs(values.sum() - 1.0) > SUM_OFF:
        raise InputError(f"{table.path}: {column} sums to {values.sum():.6g}, allowed 1")


def _home_sessions(folder: Path) -> FloatArray:
    """Vehicles connected at home by hour, to some scale: arrivals in quarter hours, mean lengths in half hours."""
    arrivals, lengths = read_table(folder / ARRIVALS_FILE), read_table(folder / LENGTHS_FILE)
    weight = arrivals.numbers(arrivals.require(("private", "home"), "sessions at home"))
    hours = np.array([_clock(arrivals, row) for row in range(len(weight))])
    mean = lengths.numbers(lengths.require(("home", "private"), "sessions at home"))
    by_time = {_clock(lengths, row): float(mean[row]) for row in range(len(mean))}
    length = []
    for row, hour in enumerate(hours):
        half = np.floor(2.0 * hour) / 2.0
        if half not in by_time:
            arrivals.fail(row, f"no mean length of sessions from {half:g} h on in {lengths.path}, allowed is one")
        length.append(by_time[half])
    for table, column, values in ((arrivals, "share", weight), (lengths, "length", mean)):
        wrong = np.flatnonzero(values < 0.0)
        if len(wrong):
            table.fail(int(wrong[0]), f"{column} is {values[wrong[0]]:g}, allowed at least 0")
    return connected_by_hour(hours, np.array(length), weight)


def _clock(table: Table, row: int) -> float:
    text = table.texts(table.require(("arrival time",), "sessions"))[row]
    hour, _, minute = text.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(hour) < HOURS and int(minute) < 60):
        table.fail(row, f"arrival time is {text!r}, allowed HH:MM")
    return int(hour) + int(minute) / 60.0


def work_sessions(path: str) -> FloatArray:
    """Vehicles connected in each hour of all weekdays together, from recorded sessions, shape (24,).

    Raises:
        InputError: a time that can't be read, a departure before the arrival, no session on a weekday.
    """
    table = read_table(path)
    columns = [table.texts(table.require((name,), "sessions")) for name in ("arrival_local", "departure_local")]
    hours, lengths = [], []
    for row, texts in enumerate(zip(*columns, strict=True)):
        try:
            arrival, departure = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in texts)
            length = (departure - arrival).total_seconds() / 3600.0
        except (ValueError, TypeError):
            table.fail(row, f"arrival and departure are {texts[0]!r} and {texts[1]!r}, allowed YYYY-MM-DDTHH:MM+HH:MM")
        if length < 0.0:
            table.fail(row, f"departure {texts[1]} is before arrival {texts[0]}, allowed after it")
        if arrival.weekday() < SATURDAY:
            hours.append(arrival.hour + arrival.minute / 60.0)
            lengths.append(length)
    if not hours:
        raise InputError(f"{path}: no session on a weekday, allowed at least one")
    return connected_by_hour(np.array(hours), np.array(lengths), np.ones(len(hours)))
