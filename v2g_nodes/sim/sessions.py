"""Charging sessions from a CSV file: who is plugged in, from when to when, with how much energy to deliver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.csv_table import Table, number, read_table
from v2g_nodes.sim.time_axis import DAY_S, parse_clock, parse_instant

ARRIVAL = ("arrival", "arrival_local")
DEPARTURE = ("departure", "departure_local")
ENERGY = ("energy_kwh",)
NAME = ("session_id", "session_no", "session")
ENERGY_MAX_KWH = 1000.0  # above the battery of any road vehicle
STAY_MAX_S = 60 * DAY_S  # a longer stay is a slip in a date


@dataclass(frozen=True)
class Session:
    """One stay of one vehicle.

    Args:
        session_id: name in the file, or its line.
        arrival_s: local time of day of arrival [s]; below zero: came on an earlier day.
        departure_s: local time of day of departure [s], above arrival; above 86400: leaves on a later day.
        energy_kwh: to be delivered until departure [kWh].
        day: calendar day the times are counted from, None where the file names no date.
    """

    session_id: str
    arrival_s: float
    departure_s: float
    energy_kwh: float
    day: date | None = None


def read_sessions(path: str | Path) -> tuple[Session, ...]:
    """Read all sessions of a CSV file, times counted from the day of each arrival.

    Columns (any case): `arrival` or `arrival_local`, `departure` or `departure_local` (ISO 8601, or HH:MM
    of one day), `energy_kwh`; optional `session_id` or `session_no`. Wall clock as written.

    Raises:
        InputError: file and line: a missing column, text in a number, NaN, negative energy, departure not
            after arrival.
    """
    table = read_table(path)
    arrivals = table.texts(table.require(ARRIVAL, "arrival"))
    departures = table.texts(table.require(DEPARTURE, "departure"))
    energies = table.numbers(table.require(ENERGY, "energy"))
    outside = np.flatnonzero((energies < 0) | (energies > ENERGY_MAX_KWH))
    if outside.size:
        row = int(outside[0])
        table.fail(row, f"energy_kwh is {number(energies[row])}, allowed 0 to {number(ENERGY_MAX_KWH)}")
    name = next((column for column in NAME if table.has(column)), None)
    names = table.texts(name) if name else [f"line {line}" for line in table.line_numbers]
    return tuple(
        replace(_session(table, row, arrivals[row], departures[row]), session_id=names[row],
                energy_kwh=float(energies[row])) for row in range(len(names)))


def _session(table: Table, row: int, arrival: str, departure: str) -> Session:
    start, end = _moment(table, row, "arrival", arrival), _moment(table, row, "departure", departure)
    if isinstance(start, datetime) and isinstance(end, datetime):
        if (start.tzinfo is None) != (end.tzinfo is None):
            table.fail(row, f"departure {departure} and arrival {arrival}, allowed is an offset on both or on none")
        midnight = datetime.combine(start.date(), datetime.min.time())
        begin = (start.replace(tzinfo=None) - midnight).total_seconds()
        stay, day = (end - start).total_seconds(), start.date()
    elif isinstance(start, float) and isinstance(end, float):
        begin, stay, day = start, end - start, None
    else:
        table.fail(row, f"departure {departure} and arrival {arrival}, allowed is a date on both or on none")
    if stay <= 0:
        hint = "" if day else " (a stay past midnight needs dates)"
        table.fail(row, f"departure {departure} is not after arrival {arrival}, allowed is a later time{hint}")
    if stay > STAY_MAX_S:
        table.fail(row, f"a stay of {number(stay / DAY_S)} days, allowed is up to {number(STAY_MAX_S / DAY_S)}")
    return Session("", begin, begin + stay, 0.0, day)


def _moment(table: Table, row: int, what: str, text: str) -> datetime | float:
    try:
        return parse_instant(text)
    except ValueError:
        pass
    try:
        return parse_clock(text)
    except InputError:
        table.fail(row, f"{what} is {text!r}, allowed is ISO 8601 such as 2024-09-03T17:00 or HH:MM")


def sessions_of_day(sessions: Sequence[Session], day: str | None = None) -> tuple[Session, ...]:
    """The sessions that touch one day, times counted from its midnight, in order of arrival.

    Args:
        sessions: as read.
        day: YYYY-MM-DD; None takes the day of the first arrival.

    Raises:
        InputError: the day is no date, the sessions have none, or none touches it.
    """
    dated = [session.day for session in sessions if session.day]
    if day is None and not dated:
        return tuple(sorted(sessions, key=lambda session: session.arrival_s))
    if not dated:
        raise InputError(f"day {day} asked for, but the sessions have no dates; allowed is no day")
    try:
        wanted = date.fromisoformat(day) if day is not None else min(dated)
    except ValueError as error:
        raise InputError(f"day {day!r}, allowed is YYYY-MM-DD") from error
    moved = [_seen_from(session, wanted) for session in sessions]
    kept = sorted((s for s in moved if s.departure_s > 0 and s.arrival_s < DAY_S), key=lambda s: s.arrival_s)
    if not kept:
        raise InputError(f"no session on {wanted}, allowed are days from {min(dated)} to {max(dated)}")
    return tuple(kept)


def _seen_from(session: Session, day: date) -> Session:
    shift = ((session.day or day) - day).days * DAY_S
    return replace(session, arrival_s=session.arrival_s + shift, departure_s=session.departure_s + shift, day=day)


def assign_sessions(sessions: Sequence[Session], module_ids: Sequence[int],
                    ) -> tuple[dict[int, tuple[Session, ...]], tuple[Session, ...]]:
    """Spread sessions over modules by time: each goes to the module that has been free longest, lowest id on a tie.

    Args:
        sessions: of one day.
        module_ids: modules that take vehicles.

    Returns:
        The sessions of each module in order of time, none overlapping, and the sessions that found none free.
    """
    free_since = {module: float("-inf") for module in module_ids}
    taken: dict[int, list[Session]] = {module: [] for module in module_ids}
    turned_away = []
    for session in sorted(sessions, key=lambda s: (s.arrival_s, s.departure_s)):
        module = min(free_since, key=lambda k: (free_since[k], k))
        if free_since[module] > session.arrival_s:
            turned_away.append(session)
            continue
        taken[module].append(session)
        free_since[module] = session.departure_s
    return {module: tuple(rows) for module, rows in taken.items()}, tuple(turned_away)
