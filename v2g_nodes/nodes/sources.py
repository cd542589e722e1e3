"""Where frequency, price and regulation signal come from: recordings or what stands in for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes.parameters import RunParameters, parameter
from v2g_nodes.sim.series import Series, read_columns, read_series
from v2g_nodes.sim.synthetic import SyntheticFrequency, SyntheticSignal, synthetic_price

Value = Callable[[float], float]

MEAN_ABOVE_SPEED = 10.0  # above it droop gets the mean frequency since the last message
MISSING = ("synthetic", "none")


@dataclass(frozen=True)
class RecordingParameters(RunParameters):
    """Parameters of every node that reads recordings."""

    frequency_csv: str = parameter("", "recording of frequency; empty = none")
    prices_csv: str = parameter("", "recording of prices; empty = none")
    signal_csv: str = parameter("", "recording of the regulation signal; empty = none")
    site_load_csv: str = parameter("", "recording of the load behind the same connection; empty = site_load_kw")
    day: str = parameter("", "day to take from recordings of many days, YYYY-MM-DD")
    utc_offset_h: float = parameter(0.0, "local time minus UTC", "h", -12.0, 14.0)
    missing: str = parameter("synthetic", "what stands in for a recording that is not given: synthetic | none")
    seed: int = parameter(0, "names the synthetic day", "", 0, 2**31 - 1)


class Recordings:
    """Frequency, voltage, price and signal by local time of day.

    Args:
        p: which recordings.

    Raises:
        InputError: a file can't be used, or `missing` is not known.
    """

    def __init__(self, p: RecordingParameters) -> None:
        day = p.day or None
        if p.missing not in MISSING:
            raise InputError(f"missing is {p.missing!r}, allowed {', '.join(MISSING)}")
        synthetic = p.missing == "synthetic"
        columns: Mapping[str, Series] = {}
        if p.frequency_csv:
            columns = read_columns(p.frequency_csv, ("frequency",), ("voltage",), day=day, utc_offset_h=p.utc_offset_h)
        self._frequency = columns.get("frequency") or SyntheticFrequency(p.seed, p.nominal_hz)
        self._voltage = columns.get("voltage")
        self._price: Value = lambda t: math.nan
        if p.prices_csv:
            self._price = read_series(p.prices_csv, "price", day=day, utc_offset_h=p.utc_offset_h).at
        elif synthetic:
            self._price = synthetic_price
        self._signal: Value = lambda t: 0.0
        if p.signal_csv:
            self._signal = read_series(p.signal_csv, "signal", day=day, utc_offset_h=p.utc_offset_h).at
        elif synthetic:
            self._signal = SyntheticSignal(p.seed).at
        self._site_load: Value = lambda t: math.nan
        if p.site_load_csv:
            self._site_load = read_series(p.site_load_csv, "site_load", day=day, utc_offset_h=p.utc_offset_h).at

    def frequency_hz(self, time_of_day_s: float) -> float:
        """Grid frequency [Hz]."""
        return self._frequency.at(time_of_day_s)

    def mean_frequency_hz(self, start_s: float, end_s: float) -> float:
        """Mean frequency of an interval [Hz]: at high speed droop answers to the mean, in which it is linear."""
        if isinstance(self._frequency, Series):
            return self._frequency.mean(start_s, end_s)
        count = min(max(int(end_s - start_s), 1), 100)
        step = (end_s - start_s) / count
        return sum(self._frequency.at((start_s + (k + 0.5) * step) % 86400.0) for k in range(count)) / count

    def voltage_v(self, time_of_day_s: float) -> float:
        """Voltage [V]; NaN where it was not recorded."""
        return self._voltage.at(time_of_day_s) if self._voltage else math.nan

    def price_eur_per_kwh(self, time_of_day_s: float) -> float:
        """Price [EUR/kWh]; NaN without one."""
        return self._price(time_of_day_s)

    def signal_pu(self, time_of_day_s: float) -> float:
        """Regulation signal, -1..1; 0 without a market."""
        return min(max(self._signal(time_of_day_s), -1.0), 1.0)

    def site_load_kw(self, time_of_day_s: float, constant_kw: float) -> float:
        """Load behind the same connection [kW]; the constant where it was not recorded."""
        recorded = self._site_load(time_of_day_s)
        return constant_kw if math.isnan(recorded) else recorded


class RunClock:
    """The two clocks of a run: ROS time and local time of day, both going at `speed`.

    They count from `run_started_s`, so a restarted node takes up where the run is. From then on they follow the steady
    clock: a step of the wall clock moves neither.

    Args:
        p: of the run.
        wall_s: wall time (Unix) now [s].
        steady_s: steady time now [s].
    """

    def __init__(self, p: RunParameters, wall_s: float, steady_s: float) -> None:
        self._started_s = p.run_started_s or wall_s
        self._steady_start_s = steady_s - (wall_s - self._started_s)
        self._speed = p.speed
        self._start_time_of_day_s = p.start_time_of_day_s

    def ros_s(self, steady_s: float) -> float:
        """ROS time [s] at a steady time [s]."""
        return self._started_s + self.elapsed_s(steady_s)

    def elapsed_s(self, steady_s: float) -> float:
        """Seconds of the run."""
        return (steady_s - self._steady_start_s) * self._speed

    def time_of_day_s(self, steady_s: float) -> float:
        """Local time of day [s], 0 to 86400."""
        return (self._start_time_of_day_s + self.elapsed_s(steady_s)) % 86400.0
