"""Upper voltage limits that bind: the relaxation is loose there, plans and bounds must not be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from v2g_nodes.cli import main as cli
from v2g_nodes.planning.network.case_file import named_case
from v2g_nodes.planning.network.certified import solve_certified
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.instance_file import instance_of
from v2g_nodes.planning.network.peers import solve_peer
from v2g_nodes.planning.network.plan import check_relaxation, grid_faults, vehicle_faults
from v2g_nodes.planning.network.power_flow import power_flow
from v2g_nodes.planning.network.samples import Sample, make_values
from v2g_nodes.planning.network.voltage_rise import rise_cuts, tangents

from .network_days import day_values, loads, small_day

STRONG: dict[str, Any] = {"pmax": 150.0, "eta": 0.95, "price": [80.0, 40.0, 20.0, 35.0, 295.0, 250.0],
                          "Pd_kW": loads(120.0), "Qd_kW": loads(40.0)}  # fmt: skip


def with_limit(day: Instance, v_max: float) -> Instance:
    """The day with an upper limit at its stations."""
    limit = day.grid.v_max.copy()
    limit[day.stations.bus] = v_max
    return replace(day, grid=replace(day.grid, v_max=limit))


def long_feeder() -> Instance:
    """A large station at the end of case69's longest lateral, and prices that make discharging pay."""
    case = named_case("case69")
    values = make_values(case, Sample(1, (27,), spots=6, load_factor=0.5))
    values.update(pmax=200.0, eta=0.95, price=(3.0 * np.array(values["price"]) - 60.0).tolist())
    return with_limit(instance_of(values, case, "long feeder"), 1.002)


@pytest.mark.parametrize(("which", "gap"), [("small", 0.025), ("long feeder", 1e-6)])
def test_a_plan_within_upper_limits_and_a_bound_near_it(tmp_path: Path, which: str, gap: float) -> None:
    """Two stations that raise each other's voltage strongly leave a gap: no halfspace follows the limit's bend."""
    day = with_limit(small_day(tmp_path, **STRONG), 1.011) if which == "small" else long_feeder()
    found = solve_certified(day, seconds_max=60.0)
    assert found.plan is not None
    assert vehicle_faults(found.plan) == grid_faults(found.plan) == []
    high = np.abs(found.plan.evaluation.flow.voltage)[day.stations.bus].max()
    assert high == pytest.approx(day.grid.v_max[day.stations.bus[0]], abs=2e-6)  # it binds
    assert found.gap <= gap
    assert found.loose_slots
    assert found.relaxed_bound_eur is not None
    assert found.relaxed_bound_eur < found.bound_eur - 1e-3
    assert check_relaxation(found.plan).loose_slots == ()  # at the plan itself it is exact


def test_the_bound_of_the_relaxation_is_below_what_scip_finds(tmp_path: Path) -> None:
    day = with_limit(small_day(tmp_path, **STRONG), 1.011)
    found, other = solve_certified(day), solve_peer(day, "scip", 30.0)
    assert other.found
    assert found.relaxed_bound_eur is not None
    assert found.relaxed_bound_eur <= other.objective_eur + 2e-5 * abs(other.objective_eur)
    assert found.objective_eur >= other.bound_eur - 2e-5 * abs(other.bound_eur)


@pytest.mark.parametrize("which", ["small", "long feeder"])
def test_no_power_that_the_flow_keeps_is_cut_off(tmp_path: Path, which: str) -> None:
    day = with_limit(small_day(tmp_path, **STRONG), 1.011) if which == "small" else long_feeder()
    cuts, grid, random = rise_cuts(day), GridCost(day), np.random.default_rng(4)
    low, high = day.reach_kw()
    over, cut = 0, 0
    for _ in range(60):
        at = grid.evaluate(low + random.random(low.shape) ** 2 * (high - low))
        beyond = np.zeros(day.slots, dtype=bool)
        np.logical_or.at(beyond, cuts.slot, cuts.constant + (cuts.slope * at.station_kw[:, cuts.slot].T).sum(1) > 1e-9)
        assert not (beyond & at.within).any()
        too_high = np.isin(np.arange(day.slots), list(grid.too_high(at)))
        over, cut = over + int(too_high.sum()), cut + int((beyond & too_high).sum())
    assert over > 20
    assert cut > 0.8 * over


def test_tangents_are_slopes_of_the_voltage_and_above_it(tmp_path: Path) -> None:
    day = with_limit(small_day(tmp_path, **STRONG), 1.011)
    bus, slot = int(day.stations.bus[0]), 4
    station_kw = np.full((2, 6), -60.0)
    p, q = day.loads_pu(station_kw)
    flow = power_flow(day.grid, p, q)
    (cut,) = [tangents(day, flow, station_kw, {slot: {bus}})]

    def voltage2(added: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        moved = station_kw + added[:, None]
        return float(power_flow(day.grid, *day.loads_pu(moved)).v2[bus, slot])

    steps = [(voltage2(0.1 * one) - voltage2(-0.1 * one)) / 0.2 for one in np.eye(2)]
    size = float(np.abs(steps).max())
    np.testing.assert_allclose(cut.slope[0], np.array(steps) / size, rtol=1e-5)
    limit = day.grid.v_max[bus] ** 2
    for added in np.random.default_rng(2).uniform(-200.0, 200.0, (20, 2)):
        value = float(cut.constant[0] + cut.slope[0] @ (station_kw[:, slot] + added))
        assert value >= (voltage2(added) - limit) / size - 1e-9


def test_the_command_tells_both_bounds(tmp_path: Path) -> None:
    case = tmp_path / "four.m"
    small_day(tmp_path)  # writes the case
    text = case.read_text().replace("3 1 0.3 0.1 0 0 1 1 0 12.5 1 1.1", "3 1 0.3 0.1 0 0 1 1 0 12.5 1 1.011")
    case.write_text(text)
    day = tmp_path / "day.json"
    day.write_text(json.dumps(day_values(str(case), **STRONG)))
    words = ["plan", "network", "--instance", str(day), "--gap", "0.025", "--json", str(tmp_path / "figures.json")]
    assert cli.main(words) == 0
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["feasible"] is True
    assert found["loose_slots"]
    assert found["lower_bound_eur"] < found["ac_bound_eur"] <= found["objective_eur"] + 1e-3
    assert found["gap"] > found["ac_gap"]
    assert found["ac_gap"] <= 0.025
