"""Plans of vehicles on a grid: the certified method against SCIP, against itself in parts, and the ways around it."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from v2g_nodes.core.averaging.plans import averaging_plan
from v2g_nodes.core.errors import InfeasibleError
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.best_response import BestResponse, most_reachable_kwh
from v2g_nodes.planning.network.case_file import named_case
from v2g_nodes.planning.network.certified import solve_certified
from v2g_nodes.planning.network.distributed import joint_plan, station_agents
from v2g_nodes.planning.network.grid_cost import GridCost
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.instance_file import instance_of, read_instance
from v2g_nodes.planning.network.master import VehicleProgram
from v2g_nodes.planning.network.peer_cvxpy import by_cvxpy
from v2g_nodes.planning.network.peer_scip import by_scip
from v2g_nodes.planning.network.peers import PeerError, within
from v2g_nodes.planning.network.plan import Plan, check_relaxation, grid_faults, vehicle_faults
from v2g_nodes.planning.network.rolling import roll, surprised
from v2g_nodes.planning.network.samples import Sample, make_values
from v2g_nodes.planning.network.shortfall import best_effort, unreachable
from v2g_nodes.planning.network.two_stage import Settings, stage_one, stage_two
from v2g_nodes.sim.network import LossyNetwork, play_epoch

from .network_days import GENERATORS, loads, small_day

CAPPED: dict[str, Any] = {"stations": [{"bus": 3, "cap_kw": 52.0}, {"bus": 4, "cap_kw": 24.0}]}
HEAVY: dict[str, Any] = {"Pd_kW": loads(810.0), "Qd_kW": loads(300.0)}  # bus 3 is at 0.9 pu with some vehicles charging
DISPATCHED: dict[str, Any] = {"generators": GENERATORS + "4 0 0 0.2 -0.2 1 10 1 0.3 0;",
                              "costs": "2 0 0 3 0 20 0; 2 0 0 3 15 14 1;"}  # fmt: skip
KINDS = {"free": {}, "capped": CAPPED, "voltage": HEAVY, "dispatched": DISPATCHED}


@pytest.mark.parametrize("kind", KINDS)
def test_the_certified_plan_is_the_optimum_that_scip_finds(tmp_path: Path, kind: str) -> None:
    day = small_day(tmp_path, **KINDS[kind])
    found = solve_certified(day)
    assert found.plan is not None
    assert found.gap <= 1e-6
    assert vehicle_faults(found.plan) == grid_faults(found.plan) == []
    relaxed = check_relaxation(found.plan)
    assert relaxed.loose_slots == ()
    assert relaxed.residual_max < 1e-5
    for solve in (by_cvxpy, by_scip):
        other = solve(day, 60.0)
        assert other.objective_eur == pytest.approx(found.objective_eur, rel=2e-5)
        assert found.bound_eur <= other.objective_eur + 2e-5 * abs(other.objective_eur)
    if kind == "voltage":
        assert np.abs(found.plan.evaluation.flow.voltage).min() == pytest.approx(0.9, abs=1e-5)


FROZEN = [
    ("case18_s1", None, 5745.44461), ("case18B_s1", None, 5958.39704), ("case69_s1", None, 1985.21354),
    ("case18_s1", 60.0, 5751.144), ("case18B_s1", 250.0, 6009.34562),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cap_kw", "optimum_eur"), FROZEN)
def test_frozen_instances(shared_data: Path, name: str, cap_kw: float | None, optimum_eur: float) -> None:
    day = read_instance(str(shared_data.parent / "instances" / f"{name}.json"))
    if cap_kw is not None:
        day = replace(day, stations=replace(day.stations, cap_kw=np.array([cap_kw])))
    found = solve_certified(day)
    assert found.objective_eur == pytest.approx(optimum_eur, abs=1e-3)
    assert found.gap <= 1e-6
    assert found.plan is not None
    assert vehicle_faults(found.plan) == grid_faults(found.plan) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_best_response_costs_what_a_program_finds(tmp_path: Path, seed: int) -> None:
    """Odd chargers, both readings of the efficiency, batteries near their limits."""
    random = np.random.default_rng(seed)
    vehicles = [{
        "arr": int(random.integers(0, 2)), "dep": int(random.integers(5, 7)), "e0": float(random.uniform(10, 40)),
        "e1": float(random.uniform(40, 60)), "bus": 3, "pmin": float(random.choice([4.0, 7.5, 10.0])),
        "pmax": float(random.choice([15.0, 20.0])), "cap": 62.0} for _ in range(4)]  # fmt: skip
    day = small_day(tmp_path, evs=vehicles)
    price = np.vstack([random.uniform(-20.0, 90.0, 6), np.zeros(6)]) / 1e3
    costs, power = BestResponse(day.vehicles, 6, 1.0).answer(price)
    drawn = day.vehicles.grid_kw(power)
    assert (drawn * price[0]).sum() == pytest.approx(costs.sum(), abs=1e-12)
    solved = VehicleProgram(replace(day, price_eur_per_mwh=1e3 * price[0])).solve()
    assert costs.sum() == pytest.approx(solved.objective, abs=1e-7)


def test_reach_counts_discharging_first(tmp_path: Path) -> None:
    """From 95 of 100 kWh no step of 10 kW fits, but after discharging one does."""
    vehicles = [{"arr": 0, "dep": departure, "e0": 95.0, "e1": 99.0, "bus": 3} for departure in (2, 1)]
    day = small_day(tmp_path, evs=vehicles)
    assert most_reachable_kwh(day.vehicles, 1.0).tolist() == [100.0, 95.0]
    (line,) = unreachable(day)
    assert line.startswith("vehicle 2 at bus 3: can reach 95 kWh")


@pytest.mark.parametrize("case", ["case18", "case69"])
def test_days_made_from_a_seed_are_certified(case: str) -> None:
    data = named_case(case)
    samples = [Sample(5, (6,)), Sample(6, (8, 22, 26) if case == "case18" else (65, 27, 50)),
               Sample(7, (6,), cap_kw=200.0, arrivals="hourly", spots=4), Sample(8, (6, 9), slots=96)]  # fmt: skip
    for sample in samples:
        found = solve_certified(instance_of(make_values(data, sample), data, f"seed {sample.seed}"), 1e-6)
        assert found.plan is not None
        assert found.gap <= 1e-6
        assert vehicle_faults(found.plan) == grid_faults(found.plan) == []
    assert make_values(data, samples[0]) == make_values(data, samples[0])


def test_voltage_limits_that_bind_on_a_real_grid() -> None:
    data = named_case("case69")
    day = instance_of(make_values(data, Sample(1, (65,), spots=20)), data, "binding")
    found = solve_certified(day)
    assert found.gap <= 1e-6
    assert found.plan is not None
    assert np.abs(found.plan.evaluation.flow.voltage).min() == pytest.approx(0.9, abs=2e-6)


@pytest.mark.parametrize("kind", ["free", "capped"])
def test_two_stage_behaves_as_the_source_says(tmp_path: Path, kind: str) -> None:
    day, settings = small_day(tmp_path, **KINDS[kind]), Settings()
    optimum = solve_certified(day, 1e-8).objective_eur
    first = stage_one(day, settings)
    penalised = [one.penalised_eur for one in first.rounds]
    assert all(later <= before + 1e-6 for before, later in zip(penalised, penalised[1:], strict=False))
    found = [stage_two(day, first, radius, settings) for radius in (0, 2, 100)]
    values = [np.inf if one.plan is None else one.plan.objective_eur for one in found]
    assert values[0] + 1e-4 >= values[1] >= values[2] - 1e-4
    assert values[2] == pytest.approx(optimum, rel=1e-6)  # all may flip: the whole problem
    assert min(values) >= optimum - 1e-4


def test_a_large_penalty_leaves_little_fractional(tmp_path: Path) -> None:
    left = [stage_one(small_day(tmp_path), Settings(penalty_eur=mu)).rounds[-1].fractional for mu in (0.0, 50.0)]
    assert left[0] > 0.1 > left[1]


def test_rounding_changes_nothing_that_was_integral(tmp_path: Path) -> None:
    first = stage_one(small_day(tmp_path), Settings())
    fixed = stage_two(small_day(tmp_path), first, 0, Settings())
    assert fixed.plan is not None
    near = np.abs(first.binaries - 0.5) >= 0.49
    used = first.program.binaries_of(fixed.plan.power_kw)
    on = first.binaries > 0.5
    assert not (used.astype(bool) & near & ~on).any()


def test_a_vehicle_that_cannot_leave_full_is_named(tmp_path: Path) -> None:
    day = small_day(tmp_path)
    day = replace(day, vehicles=replace(day.vehicles, departure=np.array([1, 6, 4, 6, 6])))
    effort = best_effort(day)
    assert [line.partition(" at bus")[0] for line in effort.reasons] == ["vehicle 1"]
    energy = day.vehicles.energy_kwh(effort.plan.power_kw, 1.0)[:, -1]
    assert energy[0] == pytest.approx(51.5)
    assert (energy[1:] >= day.vehicles.goal_kwh[1:] - 1e-6).all()


def test_a_cap_too_small_leaves_energy_missing_and_is_named(tmp_path: Path) -> None:
    day = small_day(tmp_path, stations=[{"bus": 3, "cap_kw": 25.0}, {"bus": 4}])
    with pytest.raises(InfeasibleError):
        solve_certified(day)
    effort = best_effort(day)
    assert effort.reasons
    assert all("station's cap" in line and line.split(":")[0] in ("vehicle 1", "vehicle 2", "vehicle 3")
               for line in effort.reasons)  # fmt: skip
    assert effort.plan.holds


def test_a_grid_that_cannot_carry_its_load_names_the_bus_and_still_charges(tmp_path: Path) -> None:
    day = small_day(tmp_path, Pd_kW=loads(1500.0), Qd_kW=loads(500.0))
    with pytest.raises(InfeasibleError):
        solve_certified(day)
    effort = best_effort(day)
    assert any(line.startswith("without vehicles: bus 3: voltage 0.") for line in effort.reasons)
    assert vehicle_faults(effort.plan) == []


def agreed(day: Instance, loss: float) -> tuple[Plan, list[FloatArray]]:
    ids = tuple(range(1, len(day.stations) + 1))
    plan = averaging_plan("exact", ids, build_edges("line", ids))
    agents = station_agents(day, plan, resend_ns=2)
    play_epoch(agents, LossyNetwork(plan.neighbours, loss=loss, seed=1))
    held = [one.agreement.prices_eur_per_kwh for one in agents.values() if one.agreement is not None]
    return joint_plan(day, agents), held


@pytest.mark.parametrize(("kind", "loss"), [("free", 0.0), ("free", 0.3), ("capped", 0.0)])
def test_stations_alone_reach_the_optimum_and_hold_the_same_prices(tmp_path: Path, kind: str, loss: float) -> None:
    day = small_day(tmp_path, **KINDS[kind])
    plan, held = agreed(day, loss)
    assert plan.objective_eur == pytest.approx(solve_certified(day, 1e-8).objective_eur, rel=1e-6)
    assert len({prices.tobytes() for prices in held}) == 1
    idle = GridCost(day).evaluate(np.zeros((2, 6))).price_eur_per_kwh
    moved = np.abs(plan.evaluation.price_eur_per_kwh - idle).max()
    assert np.abs(held[0] - plan.evaluation.price_eur_per_kwh).max() < 0.1 * moved  # what is left is not linear


def test_stations_refuse_a_grid_whose_limits_bind(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="limits"):
        agreed(small_day(tmp_path, **HEAVY), 0.0)


def test_rolling_without_surprise_is_the_plan(tmp_path: Path) -> None:
    day = small_day(tmp_path, **CAPPED)
    rolled = roll(day, day, 1e-8)
    assert rolled.short == {}
    assert rolled.plan.objective_eur == pytest.approx(solve_certified(day, 1e-8).objective_eur, rel=1e-6)


def test_rolling_serves_who_comes(tmp_path: Path) -> None:
    day = small_day(tmp_path)
    real = surprised(day, 2, 1.0, 0.6)
    assert 0 < len(real.vehicles) < len(day.vehicles)
    rolled = roll(day, real, 1e-6)
    short = {real.vehicles.names[k] for k in rolled.short}
    assert {line.split(":")[0] for line in vehicle_faults(rolled.plan)} == short
    assert rolled.plan.objective_eur >= solve_certified(real).bound_eur - 1e-6


def test_a_peer_that_does_not_heed_its_limit_is_ended() -> None:
    assert within(60.0, math.hypot, 3.0, 4.0) == 5.0
    before = {process.pid for process in multiprocessing.active_children()}
    assert within(3.0, time.sleep, 600.0) is None
    assert {process.pid for process in multiprocessing.active_children()} <= before
    with pytest.raises(PeerError, match="ValueError: math domain error"):
        within(60.0, math.sqrt, -1.0)
    with pytest.raises(PeerError, match="no word"):
        within(60.0, os._exit, 3)
