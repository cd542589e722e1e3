"""Options and files of `v2g plan allocation` as a problem to plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.cli.allocation_sessions import RATING_PER_KW, SOC_MIN_SHARE, read_stays
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
from v2g_nodes.sim.series import Series, read_columns, read_profile
from v2g_nodes.sim.time_axis import format_clock, parse_clock

SLOTS_SAMPLE, SLOTS_LOAD, SLOTS_SESSIONS, SLOTS_MAX = 12, 24, 96, 2000
VEHICLES = 6  # of the source
DAY_H = 24.0
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
    load_column: str | None
    load_kw: float | None
    power_factor: float
    day: str | None
    start: str | None


@dataclass(frozen=True)
class Inputs:
    """What to plan and how it was found.

    Args:
        problem: to plan.
        spare: vehicles beyond the problem's that a study of numbers may add.
        notes: what was decided, in words.
        short_kwh: energy of sessions that their whole slots have no time for [kWh].
    """

    problem: Problem
    spare: tuple[Vehicle, ...]
    notes: tuple[str, ...]
    short_kwh: float = 0.0


def read_inputs(options: AllocationOptions) -> Inputs:
    """Read the files and check everything.

    Raises:
        InputError: an option out of range or a file that can't be used; the message names option, vehicle or line.
    """
    _check(options)
    load = _read_load(options)
    if options.sessions is not None:
        slots, slot_h = _slots(options, SLOTS_SESSIONS)
        stays = read_stays(
            options.sessions, options.day, slots, slot_h, None if options.start is None else parse_clock(options.start),
            options.power_kw, options.battery_kwh, options.commitment or COMMITMENT,
        )  # fmt: skip
        planned = _inputs(options, stays.vehicles, (), load, slots, slot_h, stays.start_s, stays.notes)
        return replace(planned, short_kwh=stays.short_kwh)
    if options.fleet is not None:
        table = read_table(options.fleet)
        slots, slot_h = _slots(options, max(_slot_column(table, "departure_slot", SLOTS_SAMPLE)))
        vehicles = _fleet(table, slots, options)
        note = f"{len(vehicles)} vehicles of {options.fleet}"
        return _inputs(options, vehicles, (), load, slots, slot_h, _start(options, load), (note,))
    slots, slot_h = _slots(options, SLOTS_SAMPLE if load is None else SLOTS_LOAD)
    count = options.vehicles or VEHICLES
    if options.seed is None:
        made = equal_vehicles(2 * count, slots, slot_h, options.commitment or COMMITMENT)
        note = f"{count} equal vehicles of the source's set"
    else:
        made = random_vehicles(2 * count, slots, slot_h, options.commitment, options.seed)
        note = f"{count} random vehicles, seed {options.seed}"
    return _inputs(options, made[:count], made[count:], load, slots, slot_h, _start(options, load), (note,))


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
        ("--load-kw", options.load_kw),
    ):  # fmt: skip
        if number is not None:
            check_positive(name, number)
    if options.fleet is not None and options.sessions is not None:
        raise InputError("--fleet and --sessions: allowed is one of them")
    if options.vehicles is not None and (options.fleet or options.sessions):
        raise InputError("--vehicles with --fleet or --sessions: allowed without, the file says how many")
    if options.load_column is not None and options.load is None:
        raise InputError("--load-column without --load: allowed with a file")


def _slots(options: AllocationOptions, usual: int) -> tuple[int, float]:
    """Slots and their width: an hour, or less so that the plan fits into a day."""
    slots = options.slots or usual
    slot_h = options.slot_h or (1.0 if slots <= DAY_H else DAY_H / slots)
    return slots, slot_h


# ---- load ------------------------------------------------------------------------------------------------------------
def _read_load(options: AllocationOptions) -> dict[str, Series] | None:
    if options.load is None:
        return None
    if options.load_column is not None:
        return {"site_load": read_profile(options.load, options.load_column)}
    day = options.day if options.sessions is None else None
    return read_columns(options.load, ("site_load",), ("site_reactive",), day=day)


def _start(options: AllocationOptions, load: dict[str, Series] | None) -> float:
    if options.start is not None:
        return parse_clock(options.start)
    return 0.0 if load is None else load["site_load"].start_s


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
    """The vehicles beside the load, its mean brought to --load-kw where that is said."""
    if load is None:
        active = sample_load_kw(slots, slot_h)
        notes = (*notes, "load: the sample profile of a distribution transformer, 24 to 50 kW")
    else:
        active = load["site_load"].slot_means(start_s, 3600.0 * slot_h, slots)
        notes = (*notes, f"load: {options.load}", *load["site_load"].notes)
    factor = 1.0
    if options.load_kw is not None:
        mean = float(np.mean(active))
        if not mean > 0.0:
            raise InputError(f"{options.load}: its mean is {mean:g} kW, allowed above 0 for --load-kw")
        factor = options.load_kw / mean
        notes = (*notes, f"load times {factor:g}: its mean is {options.load_kw:g} kW")
    if load is not None and "site_reactive" in load:
        reactive = factor * load["site_reactive"].slot_means(start_s, 3600.0 * slot_h, slots)
    else:
        reactive = reactive_load_kvar(factor * active, options.power_factor)
        notes = (*notes, f"reactive load: power factor {options.power_factor:g}")
    notes = (*notes, f"{slots} slots of {slot_h:g} h, the first from {format_clock(start_s)}")
    return Inputs(Problem(vehicles, factor * active, reactive, slot_h, options.smoothing), spare, notes)


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
