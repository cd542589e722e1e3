"""Options and files of `v2g plan market` as the platform's problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.activity_network import NOT_PLUGGED, ActivityNetwork
from v2g_nodes.planning.market.calibration import calibrate
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import LEVELS_MAX, VEHICLES_MAX, Platform
from v2g_nodes.planning.market.signal_statistics import Need, check_eta, energy_shares, need_of, needed_shares
from v2g_nodes.planning.market.synthetic import HOURS, KINDS, NEED, drivers, prices
from v2g_nodes.sim.csv_table import read_table

S_PER_H = 3600.0
UTC_OFFSET_H = -4  # of the market's summer time, in which the day of the drivers runs
ENERGY_NEED = Need(0.0, 0.1, 0.1)  # net energy of an hour where no signal is given, chosen


@dataclass(frozen=True)
class MarketOptions:
    """What the command line says; None: not said. See plan_market."""

    vehicles: int
    charger_kw: float
    utility: float
    eta: float
    levels: int
    rebate_max: float
    clusters: str
    seed: int | None
    workplace: bool
    network: str | None
    signal: str | None
    prices: str | None
    soc_kw: float | None
    soc_eta: float
    variance: bool


@dataclass(frozen=True)
class MarketInputs:
    """The problem and what the replay needs.

    Args:
        platform: the problem.
        odd_hours: of the recorded signal, shape (hours, samples); None without a signal.
        follow_kw: power per vehicle that follows the signal [kW].
        notes: what was decided, in words.
    """

    platform: Platform
    odd_hours: FloatArray | None
    follow_kw: float
    notes: tuple[str, ...]


def read_market(options: MarketOptions) -> MarketInputs:
    """Check the options, read the files.

    Raises:
        InputError: an option or a file that can't be used, in one line with its place.
    """
    _check(options)
    need, energy, odd, notes = _needs(options)
    requirements: tuple[Requirement, ...] = (Requirement(options.charger_kw, options.eta, need),)
    follow_kw = options.charger_kw
    if options.soc_kw is not None:
        follow_kw = options.charger_kw - options.soc_kw
        requirements = (Requirement(follow_kw, options.eta, need), Requirement(options.soc_kw, options.soc_eta, energy))
    followers, shares = _drivers(options)
    priced, note = _prices(options)
    levels = np.array([k * options.rebate_max / (options.levels - 1) for k in range(options.levels)])
    counts: FloatArray = options.vehicles * shares
    platform = Platform(followers, counts, priced, requirements,
                        levels, not options.variance)  # fmt: skip
    return MarketInputs(platform, odd, follow_kw, (*notes, note))


def _check(options: MarketOptions) -> None:
    check_range("--vehicles", options.vehicles, 1, VEHICLES_MAX)
    check_positive("--charger-kw", options.charger_kw, "kW")
    check_positive("--utility", options.utility, "USD")
    check_eta("--eta", options.eta)
    check_eta("--soc-eta", options.soc_eta)
    check_range("--levels", options.levels, 2, LEVELS_MAX)
    check_range("--rebate-max", options.rebate_max, 1e-6, 100.0, "USD/h")
    if options.soc_kw is not None and not 0.0 < options.soc_kw < options.charger_kw:
        raise InputError(f"--soc-kw is {options.soc_kw:g} kW, allowed above 0 and below --charger-kw")


def _drivers(options: MarketOptions) -> tuple[tuple[Follower, ...], FloatArray]:
    if options.network is not None:
        return (read_network(options.network, options.utility / 30.0),), np.ones(1)
    names, shares = [], []
    for part in options.clusters.split(","):
        name, _, share = part.partition("=")
        try:
            shares.append(float(share or 1.0))
        except ValueError as error:
            raise InputError(f"--clusters {part}: share is {share!r}, allowed a number above 0") from error
        check_positive(f"--clusters {name}", shares[-1])
        if name not in KINDS:
            raise InputError(f"--clusters {name}: allowed {', '.join(KINDS)}")
        names.append(name)
    if abs(sum(shares) - 1.0) > 1e-9:
        raise InputError(f"--clusters {options.clusters}: shares sum to {sum(shares):g}, allowed 1")
    return tuple(drivers(name, HOURS, options.workplace, None if options.seed is None else options.seed + 1000 * k,
                         options.utility) for k, name in enumerate(names)), np.array(shares)  # fmt: skip


def read_network(path: str, value_usd: float) -> Follower:
    """Drivers from a table of arcs: tail, head, plug_hour (empty: not plugged in), flow.

    The first row's tail is the start, the last row's head the end.

    Args:
        path: CSV.
        value_usd: worth of a day [USD].

    Raises:
        InputError: with file and line.
    """
    table = read_table(path)
    tails, heads, plugs = (table.texts(table.require((name,), "network")) for name in ("tail", "head", "plug_hour"))
    flow = table.numbers(table.require(("flow",), "network"))
    names = tuple(dict.fromkeys([name for pair in zip(tails, heads, strict=True) for name in pair]))
    hours = []
    for row, text in enumerate(plugs):
        if text.strip() and not text.strip().isdigit():
            table.fail(row, f"plug_hour is {text!r}, allowed a whole number or nothing")
        hours.append(int(text) if text.strip() else NOT_PLUGGED)
    tail, head = (np.array([names.index(name) for name in column], dtype=np.int64) for column in (tails, heads))
    plug, places = np.array(hours, dtype=np.int64), tuple(f"{path}:{line}" for line in table.line_numbers)
    network = ActivityNetwork(
        names, tail, head, plug, max(hours) + 1, names.index(tails[0]), names.index(heads[-1]), places
    )
    return calibrate(network, flow, value_usd)


def _needs(options: MarketOptions) -> tuple[Need, Need, FloatArray | None, tuple[str, ...]]:
    if options.signal is None:
        return NEED, ENERGY_NEED, None, (f"needed share of the bid: {NEED.mean:g}, deviation {NEED.forward:g}",)
    hours = read_signal(options.signal)
    even = hours[0::2]
    need = need_of(needed_shares(even, options.eta))
    note = (f"needed share of the bid: {need.mean:.4g}, deviations {need.forward:.3g} up, {need.backward:.3g} down, "
            f"from {len(even)} even hours of {options.signal}")  # fmt: skip
    return need, need_of(energy_shares(even)), hours[1::2], (note,)


def read_signal(path: str) -> FloatArray:
    """A recorded signal by hours, shape (hours, samples), per unit.

    Raises:
        InputError: steps that differ, less than two hours, a value beyond 1.
    """
    table = read_table(path)
    seconds = table.numbers(table.require(("second_of_day",), "signal"))
    signal = table.numbers(table.require(("signal_pu",), "signal"))
    steps = np.diff(seconds)
    if len(steps) == 0 or not steps[0] > 0.0:
        raise InputError(f"{path}: times do not rise, allowed are rising ones")
    wrong = np.flatnonzero(np.abs(steps - steps[0]) > 1e-6)
    if len(wrong):
        table.fail(int(wrong[0]) + 1, f"second_of_day steps by {steps[wrong[0]]:g} s, allowed {steps[0]:g} s as before")
    beyond = np.flatnonzero(~(np.abs(signal) <= 1.0))
    if len(beyond):
        table.fail(int(beyond[0]), f"signal_pu is {signal[beyond[0]]}, allowed -1 to 1")
    samples = round(S_PER_H / float(steps[0]))
    count = len(signal) // samples
    if count < 2:
        raise InputError(f"{path}: {len(signal) * steps[0]:g} s of signal, allowed at least 7200 s")
    return signal[: count * samples].reshape(count, samples)


def _prices(options: MarketOptions) -> tuple[FloatArray, str]:
    if options.prices is None:
        return prices(), "prices: made, mean 19.7 USD/MWh"
    values = read_prices(options.prices)
    return values, f"prices: mean of each hour of {options.prices}, {1e3 * values.mean():.4g} USD/MWh"


def read_prices(path: str) -> FloatArray:
    """Mean regulation price of each local hour of the day, never below 0, shape (24,) [USD/kWh].

    Raises:
        InputError: hours that are missing or out of order, less than a day.
    """
    from datetime import datetime

    table = read_table(path)
    stamps, values = table.texts(table.require(("utc_start",), "prices")), table.numbers(
        table.require(("rmcp",), "prices"))  # fmt: skip
    times = []
    for row, text in enumerate(stamps):
        try:
            times.append(datetime.fromisoformat(text.replace("Z", "+00:00")))
        except ValueError:
            table.fail(row, f"utc_start is {text!r}, allowed YYYY-MM-DDTHH:MMZ")
        if row and (times[row] - times[row - 1]).total_seconds() != S_PER_H:
            table.fail(row, f"utc_start {text} is not the hour after {stamps[row - 1]}, allowed is no gap")
    if len(times) < HOURS:
        raise InputError(f"{path}: {len(times)} hours, allowed at least {HOURS}")
    local = np.array([(one.hour + UTC_OFFSET_H) % HOURS for one in times])
    means: FloatArray = np.array([values[local == hour].mean() for hour in range(HOURS)]) / 1e3
    return np.maximum(means, 0.0)

