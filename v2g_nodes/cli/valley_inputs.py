"""Options and files of `v2g plan valley` as a fleet and the cost of the grid's power."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.fleet import Fleet, check_fleet, random_fleet, uniform_fleet
from v2g_nodes.planning.valley.grid_cost import GridCost, source_base_kw, source_slope
from v2g_nodes.planning.valley.stays import Stay, Vehicles, fleet_of
from v2g_nodes.sim.series import read_profile, read_series
from v2g_nodes.sim.sessions import read_sessions, sessions_of_day
from v2g_nodes.sim.time_axis import DAY_S, parse_clock

BLOCK = 131_072  # vehicles; half or twice as many take as long, and eight blocks keep the cores of a machine busy
FLEETS = ("random", "source")
START = "12:00"
QUADRATIC, LINEAR = 0.003, 0.0  # of sessions, EUR/kW2h as in the source, and no wear per energy: it is due anyway
MEAN_KW_PER_VEHICLE = 14.4  # base demand of the source
VEHICLES, SLOTS, SLOTS_MAX = 1000, 24, 2880


@dataclass(frozen=True)
class ValleyOptions:
    """What the command line says; None: not said. See plan_valley."""

    vehicles: int | None
    slots: int | None
    fleet: str
    seed: int
    discharging: float
    sessions: str | None
    power_kw: float
    battery_kwh: float
    discharge_kw: float
    benefit: float | None
    load: str | None
    load_column: str | None
    load_kw: float | None
    prices: str | None
    price: float
    slope: float | None
    day: str | None
    price_day: str | None
    start: str | None


@dataclass(frozen=True)
class Inputs:
    """What to plan.

    Args:
        cost: of the grid.
        blocks: the fleet.
        start_s: local time of day of the first slot [s].
        stays: where the fleet comes from sessions.
        notes: what was decided, in words.
    """

    cost: GridCost
    blocks: list[Fleet]
    start_s: float
    stays: Vehicles | None
    notes: tuple[str, ...]

    @property
    def vehicles(self) -> int:
        """Vehicles of the fleet."""
        return sum(map(len, self.blocks))


def read_inputs(options: ValleyOptions, each: Callable[[], None] = lambda: None) -> Inputs:
    """Read the files, make the fleet and check everything.

    Args:
        options: of the command line.
        each: told of each block that is made.

    Raises:
        InputError: an option out of range or a file that can't be used; names option, vehicle or line.
    """
    _check(options)
    slots = options.slots or (SLOTS if options.sessions is None else 96)
    slot_h = 24.0 / slots
    start_s = parse_clock(options.start or ("00:00" if options.sessions else START))
    blocks, stays, notes = _blocks(options, slots, slot_h, start_s, each)
    count = sum(map(len, blocks))
    base, base_note = _base_kw(options, slots, start_s, count)
    price, price_note = _price(options, slots, start_s)
    slope = source_slope(count) if options.slope is None else options.slope
    cost = GridCost(base, price, slope, slot_h)
    slope_note = f"marginal cost rises by {slope:.3g} EUR/kWh per kW"
    return Inputs(cost, blocks, start_s, stays, (*notes, base_note, price_note, slope_note))


def _check(options: ValleyOptions) -> None:
    if options.fleet not in FLEETS:
        raise InputError(f"--fleet {options.fleet}: allowed {', '.join(FLEETS)}")
    if options.vehicles is not None and options.sessions is not None:
        raise InputError("--vehicles with --sessions: allowed without, the file says how many")
    check_range("--vehicles", VEHICLES if options.vehicles is None else options.vehicles, 1, 100_000_000)
    check_range("--slots", SLOTS if options.slots is None else options.slots, 1, SLOTS_MAX)
    check_range("--seed", options.seed, 0, 2**63 - 1)
    check_range("--discharging", options.discharging, 0.0, 1.0)
    check_range("--discharge-kw", options.discharge_kw, 0.0, 1e4, "kW")
    check_positive("--power-kw", options.power_kw, "kW")
    check_positive("--battery-kwh", options.battery_kwh, "kWh")
    if options.benefit is not None:
        check_positive("--benefit", options.benefit, "EUR/kWh2")
    if options.load_kw is not None:
        check_positive("--load-kw", options.load_kw, "kW")


def _blocks(
    options: ValleyOptions, slots: int, slot_h: float, start_s: float, each: Callable[[], None]
) -> tuple[list[Fleet], Vehicles | None, tuple[str, ...]]:
    if options.sessions is not None:
        stays = _stays(options, options.sessions, slots, slot_h, start_s)
        check_fleet(stays.fleet, slots)
        note = f"{len(stays.fleet)} sessions of {options.sessions}, {len(stays.left_out)} left out"
        return stays.fleet.blocks(BLOCK), stays, (note,)
    count = options.vehicles or VEHICLES
    blocks = []
    for number, first in enumerate(range(0, count, BLOCK)):
        size = min(BLOCK, count - first)
        if options.fleet == "source":
            block = uniform_fleet(size, slots, power_kw=100.0)
        else:
            block = random_fleet(size, slots, slot_h, [options.seed, number], options.discharging)
        if options.benefit is not None:
            block = replace(block, benefit=np.full(size, options.benefit))
        check_fleet(block, slots)
        blocks.append(block)
        each()
    made = "equal vehicles of the source" if options.fleet == "source" else f"random vehicles, seed {options.seed}"
    return blocks, None, (f"{count} {made}",)


def _stays(options: ValleyOptions, path: str, slots: int, slot_h: float, start_s: float) -> Vehicles:
    sessions = sessions_of_day(read_sessions(path), options.day)
    stays = [Stay(session.session_id, session.arrival_s - start_s, session.departure_s - start_s, session.energy_kwh)
             for session in sessions if session.energy_kwh > 0.0]  # fmt: skip
    if not stays:
        raise InputError(f"{path}: no session asks for energy, allowed at least one")
    benefit = math.inf if options.benefit is None else options.benefit
    return fleet_of(stays, slots, slot_h, power_kw=options.power_kw, battery_kwh=options.battery_kwh,
                    quadratic=QUADRATIC, linear=LINEAR, benefit=benefit, discharge_kw=options.discharge_kw)  # fmt: skip


def _base_kw(options: ValleyOptions, slots: int, start_s: float, count: int) -> tuple[FloatArray, str]:
    if options.load is None:
        if options.load_column is not None:
            raise InputError("--load-column without --load: allowed with a file")
        base = source_base_kw(count, slots)
        base = base if start_s == parse_clock(START) else np.roll(base, -round((start_s / DAY_S - 0.5) * slots))
        if options.load_kw is not None:
            base = base * (options.load_kw / base.mean())
        return base, f"base demand: the source's shape, {base.mean():.4g} kW on average"
    if options.load_column is None:
        series, scaled = read_series(options.load, "site_load", day=options.price_day), options.load_kw
    else:
        series = read_profile(options.load, options.load_column)
        scaled = MEAN_KW_PER_VEHICLE * count if options.load_kw is None else options.load_kw
    base = series.slot_means(start_s, DAY_S / slots, slots)
    if scaled is not None:
        if not base.mean() > 0.0:
            raise InputError(f"{options.load}: its mean is {base.mean():g}, allowed above 0 for --load-kw")
        base = base * (scaled / base.mean())
    return base, f"base demand: {options.load}, {base.mean():.4g} kW on average"


def _price(options: ValleyOptions, slots: int, start_s: float) -> tuple[FloatArray, str]:
    if options.prices is None:
        check_range("--price", options.price, -1e3, 1e3, "EUR/kWh")
        return np.full(slots, options.price), f"price of the first kilowatt: {options.price:g} EUR/kWh throughout"
    series = read_series(options.prices, "price", day=options.price_day)
    return series.slot_means(start_s, DAY_S / slots, slots), f"price of the first kilowatt: {options.prices}"
