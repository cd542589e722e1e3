from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.grid import (
    InverterInterface,
    PccMeter,
    SwingGrid,
    SwingParameters,
    SyntheticFrequency,
    SyntheticSignal,
    frequency_trip_hz,
    reactive_power_kvar,
    synthetic_price,
    voltage_trips,
)
from v2g_nodes.sim.series import read_series

DAY = 86400
ISLAND = SwingParameters(base_kva=100.0, inertia_h_s=4.0, damping_pu=20.0, secondary_s=math.inf)


def day_of(source: SyntheticFrequency | SyntheticSignal, step: int = 1) -> NDArray[np.float64]:
    return np.array([source.at(t) for t in range(0, DAY, step)])


def correlation(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


# synthetic frequency: bounds are the two recorded days of Continental Europe, widened as the tests say


@pytest.mark.parametrize("seed", range(4))
def test_synthetic_frequency_looks_like_the_real_one(seed: int) -> None:
    values = day_of(SyntheticFrequency(seed))
    assert values.mean() == pytest.approx(50.0, abs=0.002)
    assert values.std() == pytest.approx(0.0212, abs=0.003)  # sd 21.2 mHz on both days
    assert 0.004 < np.abs(np.diff(values)).max() < 0.012  # 7 and 9 mHz; README of the recordings: 12 at most
    assert np.diff(values).std() == pytest.approx(0.00144, abs=0.0002)
    assert correlation(values, 10) == pytest.approx(0.932, abs=0.02)
    assert correlation(values, 60) == pytest.approx(0.755, abs=0.05)
    assert correlation(values, 300) == pytest.approx(0.27, abs=0.15)


def test_it_agrees_with_the_recordings(shared_data: Path) -> None:
    synthetic = [day_of(SyntheticFrequency(seed)) for seed in range(4)]
    for day in ("03", "12"):
        recorded = read_series(shared_data / f"freq_CE_1s_2024-09-{day}.csv", "frequency").values
        for values in synthetic:
            assert values.std() == pytest.approx(recorded.std(), rel=0.15)
            assert np.abs(np.diff(values)).max() == pytest.approx(np.abs(np.diff(recorded)).max(), rel=0.5)
            for lag, tolerance in ((10, 0.02), (60, 0.05)):
                assert correlation(values, lag) == pytest.approx(correlation(recorded, lag), abs=tolerance)


def test_the_hour_shows() -> None:
    mean = np.mean([day_of(SyntheticFrequency(seed), 60) for seed in range(8)], axis=0).reshape(24, 60) - 50.0
    after, before = mean[:, 1:6].mean(axis=1), mean[:, 45:52].mean(axis=1)
    assert np.abs(after).mean() > 2.0 * np.abs(before).mean()  # schedules step at the hour, then it is taken back


@given(st.integers(0, 5), st.lists(st.floats(0, 2 * DAY), min_size=1, max_size=5))
def test_frequency_is_a_function_of_time_alone(seed: int, times: list[float]) -> None:
    one, other = SyntheticFrequency(seed), SyntheticFrequency(seed)
    forward = [one.at(t) for t in times]
    assert [other.at(t) for t in reversed(times)] == forward[::-1]
    for t, value in zip(times, forward, strict=True):
        assert one.at(t + DAY) == pytest.approx(value, abs=1e-9)  # no step at midnight: the day closes
        assert abs(one.at(t + 0.02) - value) < 0.001


def test_seeds_differ_and_nominal_shifts() -> None:
    assert SyntheticFrequency(1).at(1000) != SyntheticFrequency(2).at(1000)
    assert SyntheticFrequency(1, 60.0).at(1000) - SyntheticFrequency(1).at(1000) == pytest.approx(10.0)


@pytest.mark.parametrize("seed", range(3))
def test_synthetic_signal_works_as_hard_as_regd(seed: int) -> None:
    values = day_of(SyntheticSignal(seed), 2)
    assert np.abs(values).max() == 1.0
    assert values.std() == pytest.approx(0.641, abs=0.05)
    assert np.abs(np.diff(values)).sum() / 24 == pytest.approx(30.2, rel=0.15)  # mileage per hour
    assert (np.abs(values) > 0.999).mean() == pytest.approx(0.20, abs=0.05)


def test_synthetic_price_peaks_where_it_says() -> None:
    hours = [synthetic_price(3600.0 * h) for h in range(24)]
    assert np.argmax(hours) == 19
    assert max(hours) == pytest.approx(0.15)
    assert min(hours) == pytest.approx(0.05)
    assert synthetic_price(3600.0 * 5 + 3599) == synthetic_price(3600.0 * 29)


# small island


def test_the_island_answers_in_the_right_direction_and_settles() -> None:
    grid = SwingGrid(ISLAND)
    first = grid.update(10.0, 0.001)
    # initial slope f0 p / (2 H S)
    assert first / 0.001 == pytest.approx(50.0 * 10.0 / (2 * 4.0 * 100.0), rel=0.01)
    for _ in range(1000):
        grid.update(10.0, 0.01)
    assert grid.deviation_hz == pytest.approx(50.0 * 10.0 / 100.0 / 20.0)
    for _ in range(1000):
        grid.update(-10.0, 0.01)
    assert grid.deviation_hz == pytest.approx(-0.25)
    grid.reset()
    assert grid.deviation_hz == 0.0


@given(st.floats(-50, 50), st.integers(1, 50), st.floats(0.01, 20.0))
def test_steps_of_any_size_agree(power: float, parts: int, span: float) -> None:
    one, many = SwingGrid(ISLAND), SwingGrid(ISLAND)
    one.update(power, span)
    for _ in range(parts):
        many.update(power, span / parts)
    assert many.deviation_hz == pytest.approx(one.deviation_hz, abs=1e-9)


def test_secondary_control_takes_a_steady_station_over() -> None:
    grid = SwingGrid(SwingParameters(base_kva=100.0, secondary_s=60.0))
    history = [grid.update(10.0, 0.1) for _ in range(6000)]
    assert max(history) > 0.15
    assert abs(history[-1]) < 1e-3
    balanced = SwingGrid(SwingParameters(base_kva=100.0), power_kw=10.0)
    assert balanced.update(10.0, 1.0) == 0.0


# meter


def test_the_meter_counts_both_directions_apart() -> None:
    meter = PccMeter()
    meter.update(10.0, 4.0, 0.20, 1800.0)
    meter.update(0.0, 4.0, 0.30, 900.0)
    reading = meter.update(2.0, 0.0, math.nan, 1800.0)
    assert reading.power_kw == 2.0
    assert reading.exported_kwh == pytest.approx(3.0 + 1.0)
    assert reading.imported_kwh == pytest.approx(1.0)
    assert reading.cost_eur == pytest.approx(-3.0 * 0.20 + 1.0 * 0.30)
    assert meter.reading == reading


# inverter


@pytest.mark.parametrize(
    ("voltage", "share"),
    [(0.85, 1.0), (0.90, 1.0), (0.925, 0.5), (0.95, 0.0), (1.0, 0.0), (1.05, 0.0), (1.075, -0.5), (1.10, -1.0),
     (1.2, -1.0)])
def test_q_of_v(voltage: float, share: float) -> None:
    full = 9.0 * math.tan(math.acos(0.9))
    assert reactive_power_kvar(voltage, 9.0, 9.0) == pytest.approx(share * full, abs=1e-9)
    assert reactive_power_kvar(voltage, -9.0, 9.0) == pytest.approx(share * full, abs=1e-9)


@given(st.floats(0.5, 1.5), st.floats(-1.0, 1.0), st.floats(0.1, 1000.0))
def test_q_stays_inside_the_inverter_and_the_power_factor(voltage: float, load: float, rating: float) -> None:
    power = load * rating
    q = reactive_power_kvar(voltage, power, rating)
    apparent = math.hypot(power, q)
    assert apparent <= rating / 0.9 * (1 + 1e-9)
    assert abs(power) >= 0.9 * apparent * (1 - 1e-9)
    assert q == reactive_power_kvar(voltage, -power, rating)
    assert q * (1.0 - voltage) >= 0.0


@given(st.floats(0.8, 1.2), st.floats(-1.0, 1.0))
def test_q_has_no_jump(voltage: float, load: float) -> None:
    step = 1e-6
    q = reactive_power_kvar(voltage, load, 1.0)
    assert abs(reactive_power_kvar(voltage, min(load + step, 1.0), 1.0) - q) < 100 * step
    assert abs(reactive_power_kvar(voltage + step, load, 1.0) - q) < 100 * step


@pytest.mark.parametrize("values", [(math.nan, 1.0, 1.0), (1.0, math.inf, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, -3.0)])
def test_q_of_nonsense_is_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="allowed"):
        reactive_power_kvar(*values)


def test_grid_protection() -> None:
    inverter = InverterInterface(rating_kw=26.4)
    assert inverter.reactive_kvar(360.0, 13.2) == pytest.approx(13.2 * math.tan(math.acos(0.9)))
    assert inverter.reactive_kvar(math.nan, 13.2) == 0.0
    assert not inverter.trips(400.0, 50.0)
    assert not inverter.trips(math.nan, math.nan)
    assert inverter.trips(400.0, 47.4)
    assert inverter.trips(400.0, 51.6)
    assert inverter.trips(441.0, 50.0)
    assert voltage_trips(0.84)
    assert not voltage_trips(1.10)
    assert frequency_trip_hz(60.0) == (56.5, 62.0)
    with pytest.raises(InputError, match="50 or 60"):
        frequency_trip_hz(55.0)
