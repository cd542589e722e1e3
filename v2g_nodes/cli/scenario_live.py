"""A scenario in the live ROS graph: its station and its signals as files, run as `v2g up` would."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from v2g_nodes.bringup_inputs import Overrides
from v2g_nodes.bringup_parameters import rating_kw
from v2g_nodes.cli.run_station import RunOptions, RunResult, run_station
from v2g_nodes.cli.scenario_station import clusters
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.scenario_file import Scenario
from v2g_nodes.sim.scenario_graph import station_graph
from v2g_nodes.sim.scenario_signals import HOUR_S, frequency_hz, hourly_prices, scenario_plan
from v2g_nodes.sim.time_axis import DAY_S, parse_clock
from v2g_nodes.station import Station, replace

LIVE_STATION = "S10"
LONGER_S = 300.0  # s, signals go on while the station comes up and ends


def check_live(scenario: Scenario) -> None:
    """Refuse a scenario that does not fit a live graph on one machine.

    Raises:
        InputError: with why.
    """
    if scenario.station != LIVE_STATION:
        modules = len(station_graph(scenario.station)[0])
        raise InputError(f"--live {scenario.name}: {modules} modules of {scenario.station} are more processes than one "
                         f"machine runs at real time, allowed are scenarios on {LIVE_STATION} (10 modules)")


def run_live(scenario: Scenario, algorithm: str, headless: bool) -> RunResult:
    """Run it for its duration, at real time.

    Args:
        scenario: one that `check_live` lets through.
        algorithm: how the modules agree.
        headless: no live table.
    """
    with tempfile.TemporaryDirectory(prefix="v2g_scenario_") as folder:
        path = Path(folder) / "station.yaml"
        text = yaml.safe_dump(live_station(scenario, algorithm).model_dump(mode="json"), sort_keys=False)
        path.write_text(text, encoding="utf-8")
        write_signals(scenario, Path(folder))
        return run_station(RunOptions(str(path), Overrides(duration_s=scenario.duration_s), live=not headless))


def live_station(scenario: Scenario, algorithm: str) -> Station:
    """The station of the scenario with its files beside it."""
    station = clusters(scenario)[0]
    dispatch = station.dispatch.model_copy(update={
        "epoch_period_s": scenario.epoch_s,
        "setpoint_valid_s": max(station.dispatch.setpoint_valid_s, 3.0 * scenario.epoch_s),
    })  # fmt: skip
    plan = station.plan.model_copy(update={"rule": "csv", "csv": "plan.csv"})
    signal = station.signal.model_copy(update={
        "missing": "none", "start": scenario.start, "frequency_csv": "frequency.csv", "prices_csv": "prices.csv",
    })  # fmt: skip
    return replace(station, name=f"scenario {scenario.name}", algorithm=algorithm, dispatch=dispatch, plan=plan,
                   signal=signal)


def write_signals(scenario: Scenario, folder: Path) -> None:
    """Plan, prices and frequency as the files that `live_station` names."""
    start_s, step_s = parse_clock(scenario.start), scenario.tick_s
    plan = scenario_plan(scenario, rating_kw(clusters(scenario)[0]))
    slot_s = min(plan.slot_s, HOUR_S)
    slots = [k * slot_s for k in range(round(DAY_S / slot_s))]
    _write(folder / "plan.csv", "second_of_day,base_kw,capacity_kw", ((t, *plan.at(t)) for t in slots))
    prices = hourly_prices(scenario.price, scenario.seed).tolist()
    _write(folder / "prices.csv", "hour_local,price_eur_per_kwh", enumerate(prices))
    count = int(min(scenario.duration_s + LONGER_S, DAY_S - start_s) / step_s)
    values = frequency_hz(scenario.frequency, count, step_s, scenario.seed).tolist()
    _write(folder / "frequency.csv", "second_of_day,frequency_hz",
           ((start_s + k * step_s, value) for k, value in enumerate(values)))


def _write(path: Path, header: str, rows: Iterable[Sequence[float]]) -> None:
    lines = (",".join(map(str, row)) for row in rows)
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
