"""Files of `v2g plan market`: a network of activities, a recorded signal, prices."""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.activity_network import NOT_PLUGGED, ActivityNetwork
from v2g_nodes.planning.market.calibration import calibrate
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.synthetic import HOURS
from v2g_nodes.sim.csv_table import read_table

S_PER_H = 3600.0
UTC_OFFSET_H = -4  # of the market's summer time, in which the day of the drivers runs


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
