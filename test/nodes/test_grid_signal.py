from __future__ import annotations

import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from v2g_nodes.msg import GridSignal

from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.sources import RecordingParameters, Recordings, RunClock

from .conftest import SUCCESS, Bench

START_S = 61_200.0  # 17:00


def recording(folder: Path, name: str, column: str, values: dict[float, float]) -> str:
    path = folder / name
    path.write_text(f"second_of_day,{column}\n" + "".join(f"{t},{v}\n" for t, v in values.items()))
    return str(path)


@pytest.fixture
def frequency_csv(tmp_path: Path) -> str:
    """Tells the second of the day: 50 Hz and a millihertz for each second after 17:00."""
    return recording(
        tmp_path, "frequency.csv", "frequency_hz", {START_S + k: round(50.0 + 0.001 * k, 3) for k in range(600)}
    )


def start(bench: Bench, **parameters: Any) -> tuple[GridSignalNode, list[GridSignal]]:  # noqa: ANN401
    heard: list[GridSignal] = bench.heard(streams.GRID_SIGNAL)
    begin = {"start_time_of_day_s": START_S, "missing": "none"}
    node = bench.make(GridSignalNode, "grid_signal", **{**begin, **parameters})
    assert node.trigger_configure() is SUCCESS, node.failure
    bench.until(lambda: node.count_subscribers("/grid/signal") > 0 and node._signal_out.get_subscription_count() > 0)
    assert node.trigger_activate() is SUCCESS, node.failure
    return node, heard


def test_a_recording_is_told_as_time_of_day_passes(bench: Bench, frequency_csv: str) -> None:
    _, heard = start(bench, source="csv", frequency_csv=frequency_csv, period_s=0.2, source_id=7)
    bench.until(lambda: len(heard) >= 8)
    for message in heard:
        second = math.floor(message.time_of_day_s - START_S)
        assert message.frequency_hz == pytest.approx(50.0 + 0.001 * second, abs=1e-5)
        assert message.source_id == 7
        assert message.voltage_v == 400.0
        assert math.isnan(message.price_eur_per_kwh)
        assert message.signal_pu == 0.0
    assert all(a.time_of_day_s < b.time_of_day_s for a, b in pairwise(heard))
    assert all((b.sequence - a.sequence) == 1 for a, b in pairwise(heard))


def test_price_and_signal_come_from_their_files(bench: Bench, frequency_csv: str, tmp_path: Path) -> None:
    prices = recording(tmp_path, "prices.csv", "price_eur_per_mwh", {3600.0 * h: 10.0 * h for h in range(24)})
    signal = recording(tmp_path, "signal.csv", "signal_pu", {2.0 * k: -0.5 for k in range(43200)})
    _, heard = start(
        bench, source="csv", frequency_csv=frequency_csv, prices_csv=prices, signal_csv=signal, site_load_kw=12.5
    )
    bench.until(lambda: heard)
    assert heard[0].price_eur_per_kwh == pytest.approx(0.17)
    assert heard[0].signal_pu == -0.5
    assert heard[0].site_load_kw == 12.5


def test_a_recorded_load_stands_for_the_constant_where_it_has_a_value(bench: Bench, tmp_path: Path) -> None:
    load = recording(tmp_path, "load.csv", "site_load_kw", {3600.0 * h: 2.0 * h for h in range(10, 24)})
    for start_s, load_kw in ((START_S, 34.0), (5 * 3600.0, 12.5)):
        node, heard = start(bench, source="synthetic", site_load_csv=load, site_load_kw=12.5,
                            start_time_of_day_s=start_s)  # fmt: skip
        bench.until(lambda heard=heard: heard)  # type: ignore[misc]
        assert heard[0].site_load_kw == load_kw
        bench.drop(node)


def test_the_signals_of_one_epoch_ask_for_one_target(bench: Bench, frequency_csv: str, tmp_path: Path) -> None:
    steps = {START_S + 0.5 * k: round(-0.9 + 0.01 * k, 2) for k in range(180)}  # four values in an epoch of 2 s
    signal = recording(tmp_path, "signal.csv", "signal_pu", steps)
    _, heard = start(bench, source="csv", frequency_csv=frequency_csv, signal_csv=signal, period_s=0.1)
    bench.until(lambda: len({m.signal_sequence for m in heard}) >= 3, 8.0)
    asked: dict[int, set[float]] = {}
    for message in heard:
        asked.setdefault(message.signal_sequence, set()).add(message.signal_pu)
    assert all(len(values) == 1 for values in asked.values())
    assert len(set.union(*asked.values())) >= len(asked) - 1  # the first epoch may begin before the recording's change


def test_every_message_passes_the_checks_of_its_receivers(bench: Bench) -> None:
    for missing in ("synthetic", "none"):
        node, heard = start(bench, source="synthetic", missing=missing, period_s=0.05, start_time_of_day_s=86_399.9)
        bench.until(lambda heard=heard: len(heard) >= 6)  # type: ignore[misc]
        assert [convert.signal_problem(m, 50.0) for m in heard] == [""] * len(heard)
        assert heard[-1].time_of_day_s < 1.0, "past midnight"
        bench.drop(node)


def test_scaled_time_sends_ten_times_a_second_and_tells_the_mean_frequency(
    bench: Bench, frequency_csv: str
) -> None:
    clock = bench.sender(streams.CLOCK, listeners=0)
    node, heard = start(bench, source="csv", frequency_csv=frequency_csv, speed=60.0, use_sim_time=True)
    bench.spin()
    assert heard == [], "simulated time is not known yet"
    bench.until(lambda: clock.get_subscription_count() > 0)
    assert node._period_s == 6.0
    began_s = 1.7e9
    while len(heard) < 6:
        clock.publish(streams.CLOCK.message(clock=convert.to_time(began_s + 60.0 * (time.monotonic() % 1000.0))))
        bench.spin(2)
    for before, after in pairwise(heard):
        assert after.time_of_day_s - before.time_of_day_s > 1.0
        assert (after.signal_sequence - before.signal_sequence) % 2**32 < 10 * 600
    late = [m for m in heard if m.time_of_day_s - START_S > 7.0]
    for message in late:
        mean_s = message.time_of_day_s - START_S - 3.0 - 0.5  # half of 6 s, half a step of sample and hold
        assert message.frequency_hz == pytest.approx(50.0 + 0.001 * mean_s, abs=0.0008)


def test_epochs_are_named_by_time_so_a_restart_never_reuses_one(bench: Bench, frequency_csv: str) -> None:
    def life() -> list[int]:
        node, heard = start(bench, source="csv", frequency_csv=frequency_csv, period_s=0.05, epoch_period_s=0.2)
        bench.until(lambda: len({m.signal_sequence for m in heard}) >= 3)
        bench.drop(node)
        return [m.signal_sequence for m in heard]

    first, second = life(), life()
    both = first + second
    assert both == sorted(both)
    assert len(set(first)) >= 3
    assert second[-1] > first[-1]
    assert {(b - a) % 2 for a, b in pairwise(both)} == {0}


def test_a_restarted_source_goes_on_where_the_run_is(bench: Bench, frequency_csv: str) -> None:
    run = {"source": "csv", "frequency_csv": frequency_csv, "run_started_s": time.time() - 100.0}
    _, heard = start(bench, **run)
    bench.until(lambda: heard)
    assert 100.0 <= heard[0].time_of_day_s - START_S < 160.0


def test_without_a_frequency_it_says_nothing(bench: Bench, tmp_path: Path) -> None:
    # a gap from second 2 on: a sample holds three steps at most
    csv = recording(tmp_path, "f.csv", "frequency_hz", {START_S - 2 + 0.5 * k: 50.0 for k in range(5)})
    node, heard = start(bench, source="csv", frequency_csv=csv, period_s=0.1)
    bench.until(lambda: math.isnan(node._frequency_hz(node._run.time_of_day_s(time.monotonic()))), "the recording ends")
    bench.spin()
    count = len(heard)
    assert count >= 1
    bench.spin(40)
    assert len(heard) == count


# another node measures


def measurement(sequence: int, frequency_hz: float = 49.97, **more: float) -> GridSignal:
    return GridSignal(source_id=1, sequence=sequence, frequency_hz=frequency_hz, voltage_v=401.0, **more)


def test_measurements_are_passed_on_while_they_are_fresh(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    node, heard = start(bench, source="topic", period_s=0.05)
    bench.spin()
    assert heard == [], "nothing measured yet"
    meter = bench.sender(streams.GRID_MEASUREMENT)
    meter.publish(measurement(1))
    bench.until(lambda: heard)
    assert heard[0].frequency_hz == pytest.approx(49.97)
    assert heard[0].voltage_v == 401.0
    assert heard[0].time_of_day_s >= START_S, "the run's time, not the meter's"
    monkeypatch.setattr(node, "_measured_ns", node._measured_ns - 1_100_000_000)
    bench.until(lambda: node._sequence == heard[-1].sequence)
    count = len(heard)
    bench.spin()
    assert len(heard) == count, "1.1 s old is too old"
    meter.publish(measurement(2, 50.01))
    bench.until(lambda: len(heard) > count)
    assert heard[-1].frequency_hz == pytest.approx(50.01)


@pytest.mark.parametrize(
    "bad",
    [measurement(2, math.nan), measurement(2, 0.0), measurement(2, 70.0), measurement(2, signal_pu=math.nan),
     measurement(1, 49.5), measurement(0, 49.5)],
)  # fmt: skip
def test_measurements_out_of_range_or_out_of_order_are_refused(bench: Bench, bad: GridSignal) -> None:
    node, _ = start(bench, source="topic", period_s=0.05)
    meter = bench.sender(streams.GRID_MEASUREMENT)
    meter.publish(measurement(1))
    bench.until(lambda: node._measured is not None)
    good = node._measured
    meter.publish(bad)
    bench.spin()
    assert node._measured is good
    meter.publish(measurement(3, 50.2))
    bench.until(lambda: node._measured is not good)


# what can't be used


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"source": "guess"}, "source is 'guess', allowed csv, synthetic, topic"),
        ({"source": "csv", "frequency_csv": "nowhere.csv"}, "nowhere.csv"),
        ({"source": "csv"}, "frequency_csv is '' with source csv, allowed is a file with csv"),
        ({"source": "synthetic", "frequency_csv": "a.csv"}, "frequency_csv is 'a.csv' with source synthetic"),
        ({"missing": "guess"}, "missing is 'guess', allowed synthetic, none"),
    ],
)
def test_a_source_that_is_not_there_is_refused(bench: Bench, parameters: dict[str, Any], text: str) -> None:
    node = bench.make(GridSignalNode, "grid_signal", **parameters)
    assert node.trigger_configure() is not SUCCESS
    assert text in str(node.failure)


# times without a node


def test_the_run_clock_counts_from_the_start_of_the_run_at_its_speed() -> None:
    p = RecordingParameters(speed=60.0, start_time_of_day_s=86_000.0, run_started_s=1000.0)
    clock = RunClock(p, wall_s=1010.0, steady_s=5.0)
    assert clock.elapsed_s(5.0) == 600.0
    assert clock.ros_s(6.0) == 1000.0 + 660.0
    assert clock.time_of_day_s(5.0) == 200.0, "past midnight"


def test_the_run_clock_starts_now_unless_told_and_knows_no_wall_clock_afterwards() -> None:
    clock = RunClock(RecordingParameters(start_time_of_day_s=3600.0), wall_s=1e9, steady_s=5.0)
    assert (clock.elapsed_s(5.0), clock.ros_s(7.5), clock.time_of_day_s(7.5)) == (0.0, 1e9 + 2.5, 3602.5)


def test_the_signal_is_kept_in_range_and_absent_values_stay_absent() -> None:
    nothing = Recordings(RecordingParameters(missing="none"))
    assert math.isnan(nothing.price_eur_per_kwh(0.0))
    assert math.isnan(nothing.voltage_v(0.0))
    assert nothing.signal_pu(0.0) == 0.0
    day = Recordings(RecordingParameters(missing="synthetic", seed=3))
    signals = [day.signal_pu(60.0 * k) for k in range(1440)]
    assert min(signals) == -1.0
    assert max(signals) == 1.0
    assert abs(day.mean_frequency_hz(0.0, 600.0) - 50.0) < 0.2
