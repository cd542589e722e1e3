from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from v2g_nodes.msg import MarketPlan

from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.market_planner_node import MarketPlannerNode, MarketPlannerParameters, make_plan

from .conftest import SUCCESS, Bench

DAY_S = 86_400.0
MODULES = {"module_ids": [1, 2], "powers_kw": [3.0, 3.0], "efficiencies": [0.8, 1.0], "socs_min": [0.1, 0.1],
           "socs_max": [0.9, 0.9], "quadratics": [0.002, 0.002], "linears": [0.02, 0.02]}  # fmt: skip
FLEET = {**MODULES, "rating_kw": 6.6, "start_time_of_day_s": 7.6 * 3600.0, "missing": "none"}


def write(folder: Path, name: str, header: str, rows: list[tuple[float, ...]]) -> str:
    path = folder / name
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def plan_csv(folder: Path, step_s: float) -> str:
    """Base power counts the quarters of the day, capacity is twice as much."""
    rows = [(t := k * step_s, math.floor(t / 900.0), 2.0 * math.floor(t / 900.0)) for k in range(int(DAY_S / step_s))]
    return write(folder, f"plan_{step_s:g}.csv", "time_s,base_kw,capacity_kw", rows)


def test_a_late_joiner_gets_the_plan(bench: Bench) -> None:
    node = bench.start(MarketPlannerNode, "market_planner", rating_kw=13.2)
    bench.spin(3)
    heard: list[MarketPlan] = bench.heard(streams.MARKET_PLAN)
    bench.until(lambda: heard)
    plan = convert.plan_of(heard[0])
    assert (plan.version, plan.rule, len(plan.base_kw)) == (1, "price_threshold", 24)
    assert plan.base_kw == pytest.approx(node._plan.base_kw)
    bench.drop(node)
    again = bench.start(MarketPlannerNode, "market_planner", rating_kw=13.2)
    assert again._plan == node._plan, "a restarted planner makes the same plan under the same version"


def test_by_prices_it_charges_when_cheap_and_discharges_when_dear(tmp_path: Path) -> None:
    prices = write(tmp_path, "p.csv", "second_of_day,price_eur_per_mwh", [(3600.0 * h, 10.0 + h) for h in range(24)])
    p = MarketPlannerParameters(prices_csv=prices, rating_kw=10.0, capacity_fraction=0.6, base_fraction=0.2)
    plan = make_plan(p)
    assert plan.at(0.5 * 3600.0) == (-2.0, 6.0)
    assert plan.at(12.0 * 3600.0) == (0.0, 6.0)
    assert plan.at(23.5 * 3600.0) == (2.0, 6.0)


def test_an_hour_without_a_price_is_neither_cheap_nor_dear(tmp_path: Path) -> None:
    rows = [(3600.0 * h, 50.0 + h) for h in range(24) if h not in (8, 9, 10, 11)]
    prices = write(tmp_path, "p.csv", "second_of_day,price_eur_per_mwh", rows)
    plan = make_plan(MarketPlannerParameters(prices_csv=prices, rating_kw=10.0))
    assert plan.at(11.5 * 3600.0)[0] == 0.0, "a missing price is not a price of zero"
    assert plan.at(0.5 * 3600.0)[0] < 0.0


def test_without_any_price_it_rests_and_offers_capacity() -> None:
    plan = make_plan(MarketPlannerParameters(missing="none", rating_kw=10.0, capacity_fraction=0.5))
    assert set(plan.base_kw) == {0.0}
    assert set(plan.capacity_kw) == {5.0}


def test_rule_none_only_offers_capacity() -> None:
    plan = make_plan(MarketPlannerParameters(rule="none", rating_kw=10.0, capacity_fraction=0.5))
    assert (plan.rule, set(plan.base_kw), set(plan.capacity_kw)) == ("none", {0.0}, {5.0})


@pytest.mark.parametrize(("step_s", "slot_s"), [(3600.0, 3600.0), (900.0, 900.0), (1000.0, 900.0), (60.0, 300.0)])
def test_a_plan_file_keeps_its_steps(bench: Bench, tmp_path: Path, step_s: float, slot_s: float) -> None:
    heard: list[MarketPlan] = bench.heard(streams.MARKET_PLAN)
    bench.start(MarketPlannerNode, "market_planner", rule="csv", plan_csv=plan_csv(tmp_path, step_s))
    bench.until(lambda: heard)
    plan = convert.plan_of(heard[0])
    assert (plan.rule, plan.slot_s) == ("csv", slot_s)
    for quarter in (0, 40, 92):
        base_kw, capacity_kw = plan.at(quarter * 900.0 + 1.0)
        assert base_kw == pytest.approx(quarter, abs=0.0 if step_s in (3600.0, 900.0, 60.0) else 1.0)
        assert capacity_kw == 2.0 * base_kw


def test_a_finer_plan_file_is_averaged_not_sampled(tmp_path: Path) -> None:
    rows = [(60.0 * k, float(k % 5), 10.0) for k in range(1440)]
    plan = make_plan(
        MarketPlannerParameters(rule="csv", plan_csv=write(tmp_path, "p.csv", "time_s,base_kw,capacity_kw", rows))
    )
    assert set(plan.base_kw) == {2.0}
    assert set(plan.capacity_kw) == {10.0}


def test_a_plan_file_offers_nothing_where_it_says_nothing(tmp_path: Path) -> None:
    rows = [(3600.0 * h, 5.0, 8.0) for h in range(6, 12)]
    path = write(tmp_path, "p.csv", "time_s,base_kw,capacity_kw", rows)
    plan = make_plan(MarketPlannerParameters(rule="csv", plan_csv=path))
    assert plan.at(8 * 3600.0) == (5.0, 8.0)
    assert plan.at(3 * 3600.0) == (0.0, 0.0)
    assert plan.at(20 * 3600.0) == (0.0, 0.0)


def test_a_plan_file_may_hold_rebates(tmp_path: Path) -> None:
    rows = [(3600.0 * h, 0.0, 8.0, 0.01 * h) for h in range(24)]
    path = write(tmp_path, "p.csv", "time_s,base_kw,capacity_kw,rebate_eur_per_h", rows)
    plan = make_plan(MarketPlannerParameters(rule="csv", plan_csv=path))
    assert plan.rebate_at(7.5 * 3600.0) == pytest.approx(0.07)
    assert plan.at(7.5 * 3600.0) == (0.0, 8.0)


def test_by_the_market_it_bids_at_the_prices_of_the_recording(bench: Bench, tmp_path: Path) -> None:
    """No price at three o'clock; performance is paid by the mileage of the recorded signal."""
    rows = [(3600.0 * h, 100.0, 10.0) for h in range(24) if h not in (2, 3, 4)]
    market = write(tmp_path, "m.csv", "time_s,rmccp,rmpcp", rows)
    day = [(10.0 * k, round(0.9 * math.sin(k / 5.0), 4)) for k in range(8640)]
    signal = write(tmp_path, "s.csv", "time_s,signal_pu", day)
    heard: list[MarketPlan] = bench.heard(streams.MARKET_PLAN)
    asked = {**FLEET, "rule": "market", "signal_csv": signal, "market_csv": market}
    node = bench.start(MarketPlannerNode, "market_planner", **asked)
    bench.until(lambda: heard)
    plan = convert.plan_of(heard[0])
    assert (plan.rule, len(plan.capacity_kw), set(plan.base_kw)) == ("market", 24, {0.0})
    assert plan.capacity_kw == pytest.approx(node._plan.capacity_kw)
    assert plan.rebate_eur_per_h == pytest.approx(node._plan.rebate_eur_per_h)
    assert max(plan.capacity_kw) <= 0.6 * 6.6 + 1e-6, "float32 of the message"
    assert plan.at(4.5 * 3600.0)[1] == 0.0 < plan.at(22.5 * 3600.0)[1]
    assert max(plan.rebate_eur_per_h) > 0.0, "a hundred EUR/MWh are worth a driver's while"
    p = MarketPlannerParameters(**{key: tuple(v) if isinstance(v, list) else v for key, v in asked.items()})
    assert make_plan(p) == node._plan, "a restarted planner makes the same plan"
    slow = make_plan(replace(p, reference_mileage_per_h=1e3))
    assert sum(slow.rebate_eur_per_h) < sum(node._plan.rebate_eur_per_h), "then performance pays next to nothing"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"rule": "magic"}, "rule is 'magic', allowed price_threshold, csv, none, market, valley, allocation"),
        ({"rule": "market", "missing": "none"}, "market_csv is empty with missing none"),
        ({"rule": "market", "market_csv": "nowhere.csv"}, "nowhere.csv"),
        ({"eta": 1.0}, "eta is 1.0, allowed above 0 and below 1"),
        ({"slot_s": 700.0}, "slot_s is 700, allowed a whole part of a day"),
        ({"module_ids": [1, 2], "powers_kw": [3.0]}, "powers_kw has 1 values, allowed as many as module_ids, 2"),
        ({"session_ids": ["a"]}, "session_modules has 0 values, allowed as many as session_ids, 1"),
        ({**MODULES, "session_ids": ["a"], "session_modules": [7], "session_arrival_s": [1.0],
          "session_departure_s": [2.0], "session_energy_kwh": [1.0]}, "session_modules holds 7"),
        ({"rule": "csv"}, "plan_csv is empty"),
        ({"rule": "csv", "plan_csv": "nowhere.csv"}, "nowhere.csv"),
        ({"capacity_fraction": 0.9, "base_fraction": 0.3}, "allowed up to 1"),
        ({"prices_csv": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_what_can_not_be_planned_with_is_refused(bench: Bench, parameters: dict[str, Any], text: str) -> None:
    node = bench.make(MarketPlannerNode, "market_planner", **parameters)
    assert node.trigger_configure() is not SUCCESS
    assert text in str(node.failure)


def test_a_plan_file_with_a_missing_column_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "time_s,base_kw", [(0.0, 1.0)])
    with pytest.raises(InputError, match=r"p\.csv.*capacity"):
        make_plan(MarketPlannerParameters(rule="csv", plan_csv=path))
