from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from v2g_nodes.msg import Applied, GridSignal, Meter

from v2g_nodes.nodes import convert, plant_node, streams
from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.plant_node import PlantNode

from .conftest import SUCCESS, Bench

START_S = 61_200.0
STATION = {"module_ids": [1, 2], "rating_kw": 6.6}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test need wait for a second."""
    monkeypatch.setattr(plant_node, "METER_S", 0.1)


class Site:
    """The plant and two modules that say what the test tells them to."""

    def __init__(self, bench: Bench, **parameters: Any) -> None:  # noqa: ANN401
        self.bench = bench
        self.clock: list[Any] = bench.heard(streams.CLOCK)
        self.meter: list[Meter] = bench.heard(streams.GRID_METER)
        self.measured: list[GridSignal] = bench.heard(streams.GRID_MEASUREMENT)
        begin = {"start_time_of_day_s": START_S, "missing": "none"}
        self.plant = bench.start(PlantNode, "plant", **{**STATION, **begin, **parameters})
        self.out = {k: bench.sender(streams.APPLIED, f"/ek3_{k:02d}") for k in (1, 2)}
        self.power_kw: dict[int, float] = {}
        self._due_s = 0.0

    def until(self, condition: Any, what: str = "") -> None:  # noqa: ANN401
        def fed() -> object:
            if time.monotonic() >= self._due_s:
                self._due_s = time.monotonic() + 0.1
                for k, power_kw in self.power_kw.items():
                    self.out[k].publish(Applied(module_id=k, power_kw=power_kw))
            return condition()

        self.bench.until(fed, what)


@pytest.mark.parametrize("recorded", [False, True])
def test_the_meter_adds_up_modules_and_site_load(bench: Bench, tmp_path: Path, recorded: bool) -> None:
    load = {"site_load_kw": 1.0}
    if recorded:
        file = tmp_path / "load.csv"
        file.write_text("hour_local,site_load_kw\n" + "".join(f"{h},1\n" for h in range(24)), encoding="utf-8")
        load = {"site_load_kw": 9.0, "site_load_csv": str(file)}
    site = Site(bench, **load, missing="synthetic", speed=60.0, use_sim_time=True)
    site.power_kw = {1: 2.0, 2: 1.5}
    site.until(lambda: site.meter and site.meter[-1].station_kw == pytest.approx(3.5))
    first = site.meter[-1]
    site.until(lambda: site.meter[-1].exported_kwh > first.exported_kwh + 0.02)
    last = site.meter[-1]
    assert last.net_kw == pytest.approx(2.5)
    assert last.imported_kwh == first.imported_kwh
    assert last.cost_eur < first.cost_eur, "export earns"
    assert (last.voltage_v, last.reactive_kvar, last.tripped) == (400.0, 0.0, False)
    site.power_kw = {1: -2.0, 2: -1.0}
    site.until(lambda: site.meter[-1].imported_kwh > last.imported_kwh + 0.02)
    assert site.meter[-1].cost_eur > last.cost_eur


@pytest.mark.parametrize(("voltage_v", "net_kw", "reactive_kvar", "tripped"),
                         [(380.0, 3.5, 0.22 * 6.6 / 0.9, False), (490.0, 0.0, 0.0, True)])  # fmt: skip
def test_an_inverter_with_a_grid_code_gives_reactive_power_and_trips(
    bench: Bench, tmp_path: Path, voltage_v: float, net_kw: float, reactive_kvar: float, tripped: bool
) -> None:
    recording = tmp_path / "grid.csv"
    lines = [f"{t},50.0,{voltage_v}" for t in range(int(START_S) - 60, int(START_S) + 600, 30)]
    recording.write_text("\n".join(["second_of_day,frequency_hz,voltage_v", *lines]), encoding="utf-8")
    site = Site(bench, frequency_csv=str(recording), law="ieee1547", inverter_law="ieee1547",
                inverter_settings='{"response_s": 1}')
    site.power_kw = {1: 2.0, 2: 1.5}
    site.until(lambda: site.meter and site.meter[-1].station_kw == pytest.approx(3.5)
               and site.meter[-1].reactive_kvar == pytest.approx(reactive_kvar, abs=0.01)
               and site.meter[-1].tripped == tripped and site.meter[-1].net_kw == pytest.approx(net_kw))


def test_a_module_that_is_silent_feeds_nothing_any_more(bench: Bench) -> None:
    site = Site(bench)
    site.power_kw = {1: 2.0, 2: 1.0}
    site.until(lambda: site.plant._station_kw() == pytest.approx(3.0))
    del site.power_kw[1]
    site.until(lambda: site.plant._station_kw() == pytest.approx(1.0), "the dead one is out")
    site.power_kw = {2: math.nan}
    site.until(lambda: site.plant._station_kw() == 0.0, "what is no number does not count")
    site.until(lambda: site.meter[-1].station_kw == 0.0)


def test_the_meter_shows_the_frequency_of_the_signal_and_grid_protection(bench: Bench) -> None:
    site = Site(bench)
    site.until(lambda: site.meter)
    assert math.isnan(site.meter[-1].frequency_hz)
    assert not site.meter[-1].tripped
    signal = bench.sender(streams.GRID_SIGNAL)
    for frequency_hz, tripped in ((50.1, False), (47.0, True)):
        signal.publish(GridSignal(frequency_hz=frequency_hz))
        site.until(lambda f=frequency_hz: site.meter[-1].frequency_hz == pytest.approx(f))
        assert site.meter[-1].tripped is tripped


# the station acts back


def test_the_stations_power_moves_the_frequency_of_a_small_island(bench: Bench) -> None:
    site = Site(bench, response="swing", publish_measurement=True, period_s=0.05, base_kva=20.0, seed=3)
    site.until(lambda: len(site.measured) >= 2)
    undisturbed = site.plant._recordings

    def pushed_hz() -> float:
        message = site.measured[-1]
        return float(message.frequency_hz) - undisturbed.frequency_hz(message.time_of_day_s)

    assert pushed_hz() == pytest.approx(0.0, abs=1e-4)
    site.power_kw = {1: 3.3, 2: 3.3}
    site.until(lambda: pushed_hz() > 0.3, "feeding in raises it")
    site.power_kw = {1: -3.3, 2: -3.3}
    site.until(lambda: pushed_hz() < -0.3, "drawing lowers it")
    assert all(convert.signal_problem(m, 50.0) == "" for m in site.measured)
    assert [b.sequence - a.sequence for a, b in pairwise(site.measured)] == [1] * (len(site.measured) - 1)


def test_a_recorded_grid_does_not_care(bench: Bench) -> None:
    site = Site(bench, publish_measurement=True, period_s=0.05, seed=3)
    site.power_kw = {1: 3.3, 2: 3.3}
    site.until(lambda: site.plant._station_kw() > 6.0)
    count = len(site.measured)
    site.until(lambda: len(site.measured) > count + 5)
    last = site.measured[-1]
    assert last.frequency_hz == pytest.approx(site.plant._recordings.frequency_hz(last.time_of_day_s), abs=1e-4)


def test_grid_signal_passes_the_islands_frequency_on(bench: Bench) -> None:
    site = Site(bench, response="swing", publish_measurement=True, period_s=0.05, base_kva=20.0)
    heard: list[GridSignal] = bench.heard(streams.GRID_SIGNAL)
    bench.start(GridSignalNode, "grid_signal", source="topic", period_s=0.05, missing="none")
    site.power_kw = {1: 3.3, 2: 3.3}
    site.until(lambda: heard and heard[-1].frequency_hz > 50.25)


# simulated time


def test_simulated_time_goes_at_its_speed_for_all(bench: Bench) -> None:
    site = Site(bench, speed=60.0, use_sim_time=True, run_started_s=time.time() - 10.0)
    follower = bench.make(GridSignalNode, "grid_signal", speed=60.0, use_sim_time=True)
    site.until(lambda: len(site.clock) >= 60 and follower.now_s() > 0.0)
    times = [convert.to_seconds(m.clock) for m in site.clock]
    assert all(a < b for a, b in pairwise(times))
    wall_s = time.time()
    assert times[-1] - wall_s == pytest.approx(59.0 * 10.0, abs=59.0 * 9.0), "ten seconds into the run"
    assert times[-1] - times[0] >= 59 * 60.0 * 0.02 * 0.5, "50 times a second of wall time"
    assert follower.now_s() == pytest.approx(times[-1], abs=60.0)
    assert site.plant._run.time_of_day_s(time.monotonic()) > START_S + 600.0


def test_at_real_speed_there_is_no_clock(bench: Bench) -> None:
    site = Site(bench)
    site.until(lambda: site.meter)
    assert site.clock == []
    assert bench.peer.count_publishers("/clock") == 0


def test_time_goes_on_while_the_plant_is_not_active(bench: Bench) -> None:
    site = Site(bench, speed=60.0, use_sim_time=True)
    assert site.plant.trigger_deactivate() is SUCCESS
    site.until(lambda: site.clock)
    count = len(site.clock)
    site.until(lambda: len(site.clock) > count + 5)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"prices_csv": "nowhere.csv"}, "nowhere.csv"),
        ({"nominal_hz": 55.0}, "nominal frequency 55.0 Hz, allowed 50 or 60"),
        ({"missing": "guess"}, "missing is 'guess'"),
    ],
)
def test_what_can_not_be_simulated_is_refused(bench: Bench, parameters: dict[str, Any], text: str) -> None:
    plant = bench.make(PlantNode, "plant", **parameters)
    assert plant.trigger_configure() is not SUCCESS
    assert text in str(plant.failure)
