"""What a run is given besides the station file: command-line options and recordings, checked before anything starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.csv_table import number
from v2g_nodes.sim.series import Series, read_columns
from v2g_nodes.sim.sessions import Session, assign_sessions, read_sessions, sessions_of_day
from v2g_nodes.sim.time_axis import DAY_S, format_clock, parse_clock
from v2g_nodes.station import (
    CHOICES,
    SignalSection,
    Station,
    default_station,
    is_on_bus,
    load_station,
    replace,
)

DEFAULT_MODULES = 8
START_WITHOUT_RECORDING_S = 17 * 3600.0  # chosen: the evening, when prices are high and cars are plugged in
SPEED_MAX = 1000.0
NOMINAL_TOLERANCE_HZ = 5.0  # a recording further from nominal is one of the other grid


@dataclass(frozen=True)
class Overrides:
    """Options of `v2g up` that go over the station file; None leaves the file's value.

    Args:
        modules: number of modules of the default station; not together with a file.
        topology: who hears whom, instead of the file's topology or edges.
        algorithm: how the modules agree.
        privacy: whether they hide their supply curves from each other.
        frequency_csv: recording of frequency.
        prices_csv: recording of prices.
        signal_csv: recording of the regulation signal.
        market_csv: recording of regulation prices.
        planner: rule of the plan.
        sessions_csv: charging sessions.
        day: YYYY-MM-DD of recordings of many days.
        sessions_day: YYYY-MM-DD of the sessions, where it is another.
        start: HH:MM local time of day.
        duration_s: length of the run [s]; only to warn of recordings that end before.
        speed: ROS time over wall time.
        seed: of the synthetic day and the default station.
        response: recorded or swing.
        max_kw: commissioning cap on every module [kW].
        dry_run: no frame is sent to hardware.
        host: run only this host's part of the station; None: all of it.
        record_dir: bag of the run, a new folder; empty: none.
        state_dir: folder in which simulated modules keep their state over a restart; empty: nowhere.
        use_sim_time: ROS time comes from /clock although the speed is 1.
    """

    modules: int | None = None
    topology: str | None = None
    algorithm: str | None = None
    privacy: str | None = None
    frequency_csv: str | None = None
    prices_csv: str | None = None
    signal_csv: str | None = None
    market_csv: str | None = None
    planner: str | None = None
    sessions_csv: str | None = None
    day: str | None = None
    sessions_day: str | None = None
    start: str | None = None
    duration_s: float | None = None
    speed: float = 1.0
    seed: int | None = None
    response: str | None = None
    max_kw: float | None = None
    dry_run: bool = False
    host: str | None = None
    record_dir: str = ""
    state_dir: str = ""
    use_sim_time: bool = False


@dataclass(frozen=True)
class Inputs:
    """What the recordings turned out to hold.

    Args:
        start_s: local time of day at which the run starts [s].
        sessions: by module id, times from midnight of the run's day; empty without a sessions file.
        started_unix_s: wall time of that time of day [s], given on one of several hosts; None: whenever the run starts.
        notes: what is recorded, what is synthetic, what was chosen, in words, to be shown at start.
    """

    start_s: float
    sessions: Mapping[int, tuple[Session, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    started_unix_s: float | None = None


def resolve_station(path: str | Path | None, overrides: Overrides) -> Station:
    """The station of a run: a file or the default one, with the options laid over it.

    Args:
        path: station file; None takes the default station.
        overrides: command-line options.

    Raises:
        InputError: a value that is not allowed, by key or option.
    """
    _check_options(overrides)
    if path is None:
        modules = DEFAULT_MODULES if overrides.modules is None else overrides.modules
        base = default_station(modules, overrides.topology or "ring", overrides.algorithm or "supply_curve",
                               0 if overrides.seed is None else overrides.seed)
    elif overrides.modules is not None:
        raise InputError(f"modules {overrides.modules} beside station file {path}, allowed is one of the two")
    else:
        base = load_station(path)
    return apply_overrides(base, overrides)


def apply_overrides(station: Station, overrides: Overrides) -> Station:
    """The options laid over a station; doing so twice changes nothing more. The number of modules stays.

    Raises:
        InputError: a value that is not allowed, by option.
    """
    _check_options(overrides)
    changes: dict[str, object] = {"signal": _signal(station.signal, overrides)}
    if overrides.topology is not None:
        changes.update(topology=overrides.topology, edges=None)
    for key in ("algorithm", "privacy", "seed"):
        if getattr(overrides, key) is not None:
            changes[key] = getattr(overrides, key)
    if overrides.planner is not None:
        changes["plan"] = station.plan.model_copy(update={"rule": overrides.planner})
    if overrides.market_csv is not None:
        path = str(Path(overrides.market_csv).resolve())
        changes["market"] = station.market.model_copy(update={"prices_csv": path})
    if overrides.response is not None:
        changes["grid"] = station.grid.model_copy(update={"response": overrides.response})
    return replace(station, **changes)


def _check_options(overrides: Overrides) -> None:
    for key in ("topology", "algorithm", "privacy", "response", "planner"):
        value, allowed = getattr(overrides, key), CHOICES[key]
        if value is not None and value not in allowed:
            raise InputError(f"{key} {value!r}, allowed {', '.join(allowed)}")
    for key, low, high in (("speed", 0.01, SPEED_MAX), ("duration_s", 0.0, 1e7), ("max_kw", 0.0, 3.6),
                           ("seed", 0, 2**31 - 1)):
        value = getattr(overrides, key)
        if value is not None and not low <= value <= high:
            raise InputError(f"{key} {number(value)}, allowed {number(low)} to {number(high)}")


def _signal(section: SignalSection, overrides: Overrides) -> SignalSection:
    changes = {key: str(Path(value).resolve()) for key in ("frequency_csv", "prices_csv", "signal_csv", "sessions_csv")
               if (value := getattr(overrides, key)) is not None}
    if overrides.start is not None:
        changes["start"] = format_clock(parse_clock(overrides.start))
    changes.update({key: value for key in ("day", "sessions_day") if (value := getattr(overrides, key)) is not None})
    return section.model_copy(update=changes)


def validate_inputs(station: Station, overrides: Overrides | None = None) -> Inputs:
    """Read every recording once and settle when the run starts.

    Args:
        station: the station.
        overrides: options of the run, laid over it.

    Raises:
        InputError: file and line of the first thing that can't be used; a start outside a recording.
    """
    if overrides is not None:
        station = apply_overrides(station, overrides)
    signal = station.signal
    series, notes = _recordings(station)
    started_unix_s = None
    if overrides is not None and overrides.host is not None and not is_on_bus(station):
        started_unix_s = float(int(time.time()))  # the clock below has whole seconds
        signal = _by_wall_clock(signal, overrides.host, started_unix_s)
        others = sorted(module.id for module in station.modules if module.host != overrides.host)
        notes += [f"time of day: the wall clock's, {signal.start}",
                  f"modules {', '.join(map(str, others))} run on other hosts: not waited for, they join when up"]
    start_s = _start(signal, series)
    run_s = (overrides.duration_s or 0.0) * overrides.speed if overrides else 0.0
    for recording in series:
        notes += [f"{recording.quantity}: {note}" for note in recording.notes]
        if math.isnan(recording.at(start_s + run_s)):
            notes.append(f"{recording.quantity}: the recording ends {format_clock(recording.end_s)}, before the run")
    sessions: dict[int, tuple[Session, ...]] = {}
    if signal.sessions_csv is not None:
        on_day = sessions_of_day(read_sessions(signal.sessions_csv), signal.sessions_day or signal.day)
        sessions, turned_away = assign_sessions(on_day, [module.id for module in station.modules])
        day = f" of {on_day[0].day}" if on_day[0].day else ""
        notes.append(f"sessions: {len(on_day) - len(turned_away)}{day} from {signal.sessions_csv}"
                     + (f", {len(turned_away)} found no free module" if turned_away else ""))
    return Inputs(start_s, sessions, tuple(notes), started_unix_s)


def _by_wall_clock(signal: SignalSection, host: str, unix_s: float) -> SignalSection:
    """Hosts that started at different times, or alone, still tell the same time of day, so joining makes no jump."""
    if signal.start is not None:
        raise InputError(f"start {signal.start} with host {host}, allowed is none: the hosts of a station go by the "
                         "wall clock (UTC and signal.utc_offset_h)")
    time_of_day_s = (unix_s + 3600.0 * signal.utc_offset_h) % DAY_S
    return signal.model_copy(update={"start": format_clock(time_of_day_s)})


def _recordings(station: Station) -> tuple[list[Series], list[str]]:
    """All recordings given, and what stands in for those that are not."""
    signal, series, notes = station.signal, list[Series](), list[str]()
    wanted = (("frequency", signal.frequency_csv, ("voltage",)), ("price", signal.prices_csv, ()),
              ("signal", signal.signal_csv, ()), ("site_load", signal.site_load_csv, ()))
    for quantity, path, optional in wanted:
        if path is not None:
            read = read_columns(path, (quantity,), optional, day=signal.day, utc_offset_h=signal.utc_offset_h)
            series += read.values()
            notes.append(f"{quantity}: recording {path}")
        elif quantity == "site_load":
            continue  # it has a key for a constant
        elif quantity == "frequency" and signal.source == "topic":
            notes.append("frequency: ROS topic /grid/measurement")
        elif quantity == "frequency" or signal.missing == "synthetic":
            notes.append(f"{quantity}: synthetic, seed {station.seed}")
        else:
            notes.append(f"{quantity}: none")
    if station.plan.rule == "csv" and station.plan.csv is not None:
        series += read_columns(station.plan.csv, ("base", "capacity"), ("rebate",)).values()
        notes.append(f"plan: {station.plan.csv}")
    market = station.market
    if market.prices_csv is not None:
        series += read_columns(market.prices_csv, ("capability",), ("performance",), day=market.day,
                               utc_offset_h=signal.utc_offset_h).values()
        notes.append(f"regulation prices: recording {market.prices_csv}")
    elif station.plan.rule == "market":
        notes.append("regulation prices: those of a made day")
    for recording in series:
        _check_nominal(recording, station.nominal_hz)
    return series, notes


def _check_nominal(recording: Series, nominal_hz: float) -> None:
    middle = recording.mean(recording.start_s, recording.end_s)
    if recording.quantity == "frequency" and abs(middle - nominal_hz) > NOMINAL_TOLERANCE_HZ:
        raise InputError(f"{recording.source}: mean frequency {middle:.2f} Hz, allowed within "
                         f"{NOMINAL_TOLERANCE_HZ:g} Hz of nominal_hz ({nominal_hz:g})")


def _start(signal: SignalSection, series: list[Series]) -> float:
    """The start asked for; else the first instant at which every recording has a value."""
    if signal.start is not None:
        start_s = parse_clock(signal.start)
        for recording in series:
            if math.isnan(recording.at(start_s)):
                raise InputError(f"start {signal.start} has no {recording.quantity} in {recording.source}, allowed "
                                 f"{format_clock(recording.start_s)} to {format_clock(recording.end_s)}")
        return start_s
    if not series:
        return START_WITHOUT_RECORDING_S
    parts = [recording for recording in series if not recording.whole_day] or series
    for start_s in sorted(recording.start_s % DAY_S for recording in parts):
        if not any(math.isnan(recording.at(start_s)) for recording in series):
            return start_s
    spans = "; ".join(f"{r.quantity} {format_clock(r.start_s)} to {format_clock(r.end_s)} ({r.source})" for r in parts)
    raise InputError(f"recordings have no time of day in common: {spans}, allowed are recordings that overlap")
