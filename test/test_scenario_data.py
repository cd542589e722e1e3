"""Scenario files, their stations as graphs, their signals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from v2g_nodes.core.averaging.ball_sum import sum_plan
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import adjacency, diameter
from v2g_nodes.core.limits import EnergyRoom
from v2g_nodes.sim.scenario_figures import FIGURES
from v2g_nodes.sim.scenario_file import NAMES, FrequencySection, PriceSection, load_scenario, read_scenario, shortened
from v2g_nodes.sim.scenario_graph import StationName, metropolis_rounds, module_count, station_graph
from v2g_nodes.sim.scenario_market import best_earning_eur
from v2g_nodes.sim.scenario_signals import frequency_hz, hourly_prices, scenario_plan
from v2g_nodes.station_config import config_path


@pytest.mark.parametrize(
    ("name", "station", "hours", "epoch_s"),
    [("BASIC", "S10", 1, 1), ("TRACKING", "S10", 4, 10), ("FREQUENCY", "M50", 1, 1), ("ARBITRAGE", "M50", 24, 60),
     ("SCALE", "L200", 1, 1), ("ROBUST", "M50", 2, 10)],
)  # fmt: skip
def test_every_scenario_is_the_one_that_was_asked_for(name: str, station: str, hours: int, epoch_s: float) -> None:
    scenario = load_scenario(name.lower(), FIGURES)
    assert (scenario.name, scenario.station) == (name, station)
    assert (scenario.duration_s, scenario.epoch_s) == (3600 * hours, epoch_s)
    assert {"gap_max", "balance_error_kw_max", "constraint_violations"} <= set(scenario.limits)


def test_unknown_name_lists_the_allowed_ones() -> None:
    with pytest.raises(InputError, match=r"scenario 'calm', allowed BASIC, TRACKING, .* or all"):
        load_scenario("calm", FIGURES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("loss: 0.1", "loss: 1.5", r"robust.yaml:\d+: key faults.loss: 1.5, allowed 0 to 0.9"),
        ("station: M50", "station: M51", "station: 'M51', allowed S10, M50, L200"),
        ("module: 25", "module: 51", r"faults.failures\[0\].module: 51, allowed 1 to 50 in M50"),
        ("at_s: 4500", "at_s: 7200", r"faults.failures\[1\].at_s: 7200, allowed below duration_s"),
        ("tick_s: 1", "tick_s: 3", "tick_s: 3, allowed a whole part of epoch_s"),
        ("gap_max: {max: 0.001", "gap_min: {max: 0.001", "limits.gap_min: unknown figure, allowed epochs"),
        ("gap_max: {max: 0.001", "gap_max: {max: 0.001, min: 0", "gap_max: allowed is one of max, min, max_of_rating"),
        ("rule: constant", "rule: calm", "target.rule: 'calm', allowed constant, steps, price_threshold"),
        ("tick_s: 1", "tock_s: 1", "tick_s: missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = config_path("scenarios/robust.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "robust.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_scenario(str(path), FIGURES)
    assert "\n" not in str(error.value)


def test_failures_of_a_shorter_run_keep_their_place_in_proportion() -> None:
    scenario = shortened(load_scenario("ROBUST", FIGURES), 720.0)
    assert scenario.epochs == 72
    assert [failure.at_s for failure in scenario.faults.failures] == pytest.approx([180.0, 450.0])


@pytest.mark.parametrize(
    ("station", "modules", "hops", "metropolis"), [("S10", 10, 5, 51), ("M50", 50, 13, 177), ("L200", 200, 7, 8099)]
)
def test_stations_are_the_graphs_that_the_sources_describe(
    station: StationName, modules: int, hops: int, metropolis: int
) -> None:
    """Rounds of Metropolis weights as in the sources: 51 for the ring, 177 for the grid, more than 8000 for L200."""
    ids, edges = station_graph(station)
    assert len(ids) == module_count(station) == modules
    assert diameter(adjacency(ids, edges)) == hops
    assert metropolis_rounds(station) == metropolis


def test_clusters_are_summed_at_their_heads() -> None:
    plan = sum_plan(*station_graph("L200"))
    assert plan.rounds == 11
    leaves = [k for k, heard in plan.neighbours.items() if len(heard) == 1]
    assert len(leaves) == 190
    assert all(plan.neighbours[k] == (20 * ((k - 1) // 20) + 1,) for k in leaves)


@pytest.mark.parametrize("step_s", [0.1, 1.0])
def test_frequency_has_the_statistics_of_the_process_at_any_step(step_s: float) -> None:
    deviation = frequency_hz(FrequencySection(), 400_000, step_s, seed=1) - 50.0
    assert np.std(deviation) == pytest.approx(0.01 / math.sqrt(0.2), rel=0.05)
    lag = round(10.0 / step_s)
    assert np.corrcoef(deviation[:-lag], deviation[lag:])[0, 1] == pytest.approx(math.exp(-1.0), abs=0.05)


def test_prices_peak_where_it_is_said_and_spike_as_often_as_it_is_said() -> None:
    calm = PriceSection(noise_eur_per_kwh=0.0, spike_per_h=0.0)
    prices = hourly_prices(calm, seed=3)
    assert int(np.argmax(prices)) == 14
    assert (prices.max(), prices.min()) == pytest.approx((0.15, 0.05))
    spiky = PriceSection(noise_eur_per_kwh=0.0, spike_per_h=0.2)
    factors = np.concatenate([hourly_prices(spiky, seed) / prices for seed in range(200)])
    spikes = factors[factors > 1.0 + 1e-9]
    assert spikes.size / factors.size == pytest.approx(0.2, abs=0.03)
    assert 2.0 <= spikes.min() < spikes.max() <= 5.0


def test_plans_follow_their_rule() -> None:
    plans = {name: scenario_plan(load_scenario(name, FIGURES), rating_kw=100.0) for name in NAMES}
    assert plans["BASIC"].at(43_200.0) == (20.0, 0.0)
    steps = plans["TRACKING"]
    assert steps.slot_s == 900.0
    assert all(-20.0 <= kw <= 20.0 for kw in steps.base_kw)
    assert len(set(steps.base_kw)) == 96
    scenario = load_scenario("ARBITRAGE", FIGURES)
    prices = hourly_prices(scenario.price, scenario.seed)
    assert plans["ARBITRAGE"].base_kw[int(np.argmax(prices))] == pytest.approx(60.0)
    assert plans["ARBITRAGE"].base_kw[int(np.argmin(prices))] == pytest.approx(-60.0)


def test_best_earning_counts_losses_once_and_ends_where_it_began() -> None:
    room = EnergyRoom(discharge_kwh=100.0, charge_kwh=100.0)
    assert best_earning_eur([0.1, 0.3], 1.0, room, 1.0) == pytest.approx(0.2)
    # 1 kWh bought brings 0.81 kWh back
    assert best_earning_eur([0.1, 0.3], 1.0, room, 0.9) == pytest.approx(0.81 * 0.3 - 0.1)
    assert best_earning_eur([0.3, 0.1], 1.0, room, 0.9) == pytest.approx(0.3 * 0.81 - 0.1)  # sells first, then fills up
    assert best_earning_eur([0.1, 0.11], 1.0, room, 0.9) == pytest.approx(0.0)  # losses eat the difference
    assert best_earning_eur([0.1, 0.3], 1.0, EnergyRoom(0.0, 0.5), 1.0) == pytest.approx(0.1)  # a nearly full battery
