"""Options and files of `v2g plan allocation` as a problem to plan."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.allocation.problem import COMMITMENT_MIN, Problem, Vehicle
from v2g_nodes.planning.allocation.samples import (
    COMMITMENT,
    SOC_GOAL_KWH,
    SOC_START_KWH,
    equal_vehicles,
    random_vehicles,
    reactive_load_kvar,
    sample_load_kw,
)
from v2g_nodes.sim.csv_table import Table, read_table
from v2g_nodes.sim.series import Series, read_columns
from v2g_nodes.sim.sessions import Session, read_sessions, sessions_of_day
from v2g_nodes.sim.time_axis import format_clock, parse_clock

SLOTS_SAMPLE, SLOTS_DAY, SLOTS_MAX = 12, 24, 2000
VEHICLES = 6  # of the source
DAY_H = 24.0
SOC_MIN_SHARE, SOC_GOAL_SHARE = 0.15, 0.9  # of the battery: 3.6 and 21.6 of 24 kWh, as in the source's set
RATING_PER_KW = 1.0 / 0.9  # a charger's apparent over its active power
FLEET_COLUMNS = ("soc_start_kwh", "soc_goal_kwh", "soc_min_kwh", "soc_max_kwh", "power_kw", "rating_kva", "commitment")


@dataclass(frozen=True)
class AllocationOptions:
    """What the command line says; None: not said. See plan_allocation."""

    vehicles: int | None
    slots: int | None
    slot_h: float | None
    commitment: float | None
    smoothing: float
    seed: int | None
    power_kw: float
    battery_kwh: float
    fleet: str | None
    sessions: str | None
    load: str | None
    power_factor: float
    day: str | None
    start: str | None


@dataclass(frozen=True)
class Inputs:
    """What to plan and how it was found.

    Args:
        problem: to plan.
        spare: vehicles beyond the problem's that a study of numbers may add.
        start_s: local time of day of the first slot [s].
        notes: what was decided, in words.
    """

    problem: Problem
    spare: tuple[Vehicle, ...]
    start_s: float
    notes: tuple[str, ...]


def read_inputs(options: AllocationOptions) -> Inputs:
    """Read the files and check everything.

    Raises:
        InputError: an option out of range or a file that can't be used; the message names option, vehicle or line.
    """
    _check(options)
    load = _read_load(options)
    if options.sessions is not None:
        return _from_sessions(options, options.sessions, load)
    if options.fleet is not None:
        table = read_table(options.fleet)
        slots, slot_h = _slots(options, max(_slot_column(table, "departure_slot", SLOTS_SAMPLE)))
        vehicles = _fleet(table, slots, options)
        note = f"{len(vehicles)} vehicles of {options.fleet}"
        return _inputs(options, vehicles, (), load, slots, slot_h, _start(options, load, 0.0), (note,))
    slots, slot_h = _slots(options, SLOTS_SAMPLE if load is None else SLOTS_DAY)
    count = options.vehicles or VEHICLES
    if options.seed is None:
        made = equal_vehicles(2 * count, slots, slot_h, options.commitment or COMMITMENT)
        note = f"{count} equal vehicles of the source's set"
    else:
        made = random_vehicles(2 * count, slots, slot_h, options.commitment, options.seed)
        note = f"{count} random vehicles, seed {options.seed}"
    return _inputs(options, made[:count], made[count:], load, slots, slot_h, _start(options, load, 0.0), (note,))


def _check(options: AllocationOptions) -> None:
    for name, value, low, high in (
        ("--vehicles", options.vehicles, 1, 10_000), ("--slots", options.slots, 1, SLOTS_MAX),
        ("--seed", options.seed, 0, 2**63 - 1), ("--commitment", options.commitment, COMMITMENT_MIN, 1.0),
        ("--smoothing", options.smoothing, 0.0, 1.0), ("--power-factor", options.power_factor, 0.1, 1.0),
    ):  # fmt: skip
        if value is not None:
            check_range(name, value, low, high)
    for name, number in (
        ("--slot-h", options.slot_h), ("--power-kw", options.power_kw), ("--battery-kwh", options.battery_kwh),
    ):  # fmt: skip
        if number is not None:
            check_positive(name, number)
    if options.fleet is not None and options.sessions is not None:
        raise InputError("--fleet and --sessions: allowed is one of them")
    if options.vehicles is not None and (options.fleet or options.sessions):
        raise InputError("--vehicles with --fleet or --sessions: allowed without, the file says how many")


def _slots(options: AllocationOptions, usual: int) -> tuple[int, float]:
    """Slots and their width: an hour, or less so that the plan fits into a day."""
    slots = options.slots or usual
    slot_h = options.slot_h or (1.0 if slots <= DAY_H else DAY_H / slots)
    return slots, slot_h


# ---- load ------------------------------------------------------------------------------------------------------------
def _read_load(options: AllocationOptions) -> dict[str, Series] | None:
    if options.load is None:
        return None
    day = options.day if options.sessions is None else None
    return read_columns(options.load, ("site_load",), ("site_reactive",), day=day)


def _start(options: AllocationOptions, load: dict[str, Series] | None, otherwise_s: float) -> float:
    if options.start is not None:
        return parse_clock(options.start)
    return otherwise_s if load is None else load["site_load"].start_s


def _inputs(
    options: AllocationOptions,
    vehicles: tuple[Vehicle, ...],
    spare: tuple[Vehicle, ...],
    load: dict[str, Series] | None,
    slots: int,
    slot_h: float,
    start_s: float,
    notes: tuple[str, ...],
) -> Inputs:
    if load is None:
        active = sample_load_kw(slots, slot_h)
        notes = (*notes, "load: the sample profile of a distribution transformer, 24 to 50 kW")
    else:
        active = load["site_load"].slot_means(start_s, 3600.0 * slot_h, slots)
        notes = (*notes, f"load: {options.load}", *load["site_load"].notes)
    if load is not None and "site_reactive" in load:
        reactive = load["site_reactive"].slot_means(start_s, 3600.0 * slot_h, slots)
    else:
        reactive = reactive_load_kvar(active, options.power_factor)
        notes = (*notes, f"reactive load: power factor {options.power_factor:g}")
    return Inputs(Problem(vehicles, active, reactive, slot_h, options.smoothing), spare, start_s, notes)


# ---- vehicles --------------------------------------------------------------------------------------------------------
def _fleet(table: Table, slots: int, options: AllocationOptions) -> tuple[Vehicle, ...]:
    """Vehicles of a fleet file, each of its columns optional."""
    names = table.texts("vehicle") if table.has("vehicle") else [f"line {line}" for line in table.line_numbers]
    arrivals, departures = _slot_column(table, "arrival_slot", 0), _slot_column(table, "departure_slot", slots)
    columns = {column: table.numbers(column).tolist() for column in FLEET_COLUMNS if table.has(column)}
    vehicles = []
    for row, name in enumerate(names):
        own = {column: values[row] for column, values in columns.items()}
        power = own.get("power_kw", options.power_kw)
        usual = {
            "soc_start_kwh": SOC_START_KWH, "soc_goal_kwh": SOC_GOAL_KWH, "soc_max_kwh": options.battery_kwh,
            "soc_min_kwh": SOC_MIN_SHARE * own.get("soc_max_kwh", options.battery_kwh), "power_kw": power,
            "rating_kva": RATING_PER_KW * power, "commitment": options.commitment or COMMITMENT,
        }  # fmt: skip
        try:
            vehicles.append(Vehicle(name, arrivals[row], departures[row], **{**usual, **own}))
        except InputError as error:
            table.fail(row, str(error))
    return tuple(vehicles)


def _slot_column(table: Table, column: str, otherwise: int) -> list[int]:
    if not table.has(column):
        return [otherwise] * len(table.lines)
    values = table.numbers(column)
    odd = np.flatnonzero((values != np.round(values)) | (values < 0.0) | (values > SLOTS_MAX))
    if odd.size:
        table.fail(int(odd[0]), f"{column} is {values[odd[0]]:g}, allowed is a whole number, 0 to {SLOTS_MAX}")
    return [int(value) for value in values]


def _from_sessions(options: AllocationOptions, path: str, load: dict[str, Series] | None) -> Inputs:
    sessions = sessions_of_day(read_sessions(path), options.day)
    slots, slot_h = _slots(options, SLOTS_DAY)
    slot_s = 3600.0 * slot_h
    first = math.floor(max(0.0, min(session.arrival_s for session in sessions)) / slot_s) * slot_s
    start_s = _start(options, None, first)
    kept = [stay for session in sessions if (stay := _stay(session, start_s, slot_s, slots)) is not None]
    if not kept:
        raise InputError(
            f"{path}: no session has a whole slot of {slot_h:g} h in the {slots} slots from {format_clock(start_s)}, "
            "allowed at least one"
        )
    left_out = len(sessions) - len(kept)
    notes = (f"{len(kept)} sessions of {path}, {left_out} left out: no whole slot in the plan",)
    vehicles = tuple(_of_session(path, *stay, options) for stay in kept)
    return _inputs(options, vehicles, (), load, slots, slot_h, start_s, notes)


def _stay(session: Session, start_s: float, slot_s: float, slots: int) -> tuple[Session, int, int] | None:
    """The session with the whole slots of its stay, None without any in the plan."""
    arrival = max(0, math.ceil((session.arrival_s - start_s) / slot_s - 1e-9))
    departure = min(slots, math.floor((session.departure_s - start_s) / slot_s + 1e-9))
    return (session, arrival, departure) if departure > arrival else None


def _of_session(path: str, session: Session, arrival: int, departure: int, options: AllocationOptions) -> Vehicle:
    """A vehicle that is due the session's energy; it leaves with 90 % charge, or with more where it is due more."""
    battery = options.battery_kwh
    low = SOC_MIN_SHARE * battery
    if session.energy_kwh > battery - low:
        raise InputError(
            f"{path}: session {session.session_id}: energy_kwh is {session.energy_kwh:g}, allowed up to "
            f"{battery - low:g}, what a battery of {battery:g} kWh takes (--battery-kwh)"
        )
    goal = max(SOC_GOAL_SHARE * battery, low + session.energy_kwh)
    return Vehicle(
        f"{session.session_id}", arrival, departure, goal - session.energy_kwh, goal, low, battery,
        options.power_kw, RATING_PER_KW * options.power_kw, options.commitment or COMMITMENT,
    )  # fmt: skip

