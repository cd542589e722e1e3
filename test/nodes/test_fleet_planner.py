"""The market planner with a planner for fleets: it plans for the vehicles it hears of, and those to come."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from v2g_nodes.msg import MarketPlan, ModuleStatus

from v2g_nodes.core.plan import Plan
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.market_planner_node import MarketPlannerNode

from .conftest import Bench
from .test_market_planner import FLEET, write
from .test_settable_parameters import put

HOUR_S = 3600.0
SPACE = "/ek3_01"
SESSION = {"session_modules": [2], "session_ids": ["later"], "session_arrival_s": [10 * HOUR_S],
           "session_departure_s": [14 * HOUR_S], "session_energy_kwh": [6.0]}  # fmt: skip


def vehicle(**changes: Any) -> ModuleStatus:  # noqa: ANN401
    """A vehicle at module 1 that leaves at noon and is owed 4 kWh."""
    values: dict[str, Any] = {
        "module_id": 1, "vehicle_plugged": True, "session_id": "car", "soc": 0.5, "vehicle_capacity_kwh": 40.0,
        "departure_time_of_day_s": 12 * HOUR_S, "energy_due_kwh": 4.0, "mode": ModuleStatus.READY, "armed": True,
    }  # fmt: skip
    return ModuleStatus(**{**values, **changes})


def planned_kwh(plan: Plan, from_h: float, to_h: float) -> float:
    steps = int((to_h - from_h) * 4)
    return sum(plan.at((from_h + 0.25 * (k + 0.5)) * HOUR_S)[0] for k in range(steps)) * 0.25


class Rig:
    """A planner and a module that says what a test wants."""

    def __init__(self, bench: Bench, **parameters: Any) -> None:  # noqa: ANN401
        self.bench = bench
        self.heard: list[MarketPlan] = bench.heard(streams.MARKET_PLAN)
        self.node = bench.start(MarketPlannerNode, "market_planner", **{"rule": "valley", **FLEET, **parameters})
        self.status = bench.sender(streams.STATUS, SPACE)

    @property
    def plan(self) -> Plan:
        return convert.plan_of(self.heard[-1])

    def say(self, message: ModuleStatus, vehicles: int) -> Plan:
        """Tell it until a plan for so many vehicles is there."""
        versions = {message.plan_version for message in self.heard}

        def planned() -> bool:
            self.status.publish(message)
            fits = len(self.node._fleet.stays) == vehicles and self.node._plan.version not in versions
            return fits and self.heard[-1].plan_version == self.node._plan.version

        self.bench.until(planned, f"a plan for {vehicles} vehicles")
        return self.plan


@pytest.mark.parametrize("rule", ["valley", "allocation"])
def test_it_plans_for_who_is_plugged_in_and_who_is_to_come(bench: Bench, rule: str) -> None:
    rig = Rig(bench, rule=rule, **SESSION)
    bench.until(lambda: rig.heard)
    before = rig.plan
    assert (before.rule, before.start_time_of_day_s, before.slot_s) == (rule, 7.5 * HOUR_S, 900.0)
    assert planned_kwh(before, 10.0, 14.0) == pytest.approx(-6.0, abs=1e-4), "charging is power below zero"
    assert planned_kwh(before, 7.5, 10.0) == planned_kwh(before, 14.0, 24.0) == 0.0
    plan = rig.say(vehicle(), 2)
    assert plan.version > before.version
    assert planned_kwh(plan, 7.5, 14.0) == pytest.approx(-6.0 - 4.0 / 0.8, abs=1e-4), "losses are charged as well"
    for at_h, present_kw in ((7.7, 3.0), (11.1, 6.0), (13.1, 3.0), (15.0, 0.0)):
        base_kw, capacity_kw = plan.at(at_h * HOUR_S)
        assert capacity_kw == pytest.approx(min(present_kw - abs(base_kw), 0.6 * 6.6), abs=1e-5)


def test_a_module_that_falls_silent_or_talks_nonsense_has_no_vehicle(bench: Bench) -> None:
    rig = Rig(bench)
    rig.say(vehicle(), 1)
    for nonsense in ({"soc": math.nan}, {"vehicle_capacity_kwh": -3.0}, {"energy_due_kwh": math.inf}):
        assert planned_kwh(rig.say(vehicle(session_id=str(nonsense), **nonsense), 0), 7.5, 24.0) == 0.0
    rig.say(vehicle(session_id="again"), 1)
    bench.until(lambda: not rig.node._fleet.stays, "the module is silent for too long")


def test_who_was_to_come_and_has_not_is_not_waited_for(bench: Bench) -> None:
    rig = Rig(bench, **{**SESSION, "session_arrival_s": [7.2 * HOUR_S]})
    bench.until(lambda: rig.heard)
    assert (len(rig.node._fleet.stays), set(rig.plan.base_kw)) == (0, {0.0})


def test_prices_and_load_are_looked_at(bench: Bench, tmp_path: Path) -> None:
    """The session is from 10 to 14 h. Between 11 and 12 h the price is not known; then it is cheap."""
    prices = [(h, -5.0 if h == 12 else 300.0) for h in range(24) if not 7 <= h <= 11]
    dear = write(tmp_path, "p.csv", "hour_local,price_eur_per_mwh", prices)
    rig = Rig(bench, prices_csv=dear, **{**SESSION, "session_energy_kwh": [2.0]})
    bench.until(lambda: rig.heard)
    assert planned_kwh(rig.plan, 12.0, 13.0) == pytest.approx(-2.0, abs=1e-4)
    load = write(tmp_path, "l.csv", "hour_local,site_load_kw", [(h, 1.0 if h == 11 else 9.0) for h in range(24)])
    rig = Rig(bench, rule="allocation", site_load_csv=load, smoothing=0.0, commitment=0.001, **SESSION)
    bench.until(lambda: rig.heard and rig.plan.rule == "allocation")
    assert planned_kwh(rig.plan, 11.0, 12.0) < -2.5, "it fills the hole"


def test_a_departure_that_is_past_or_not_known_owes_nothing(bench: Bench) -> None:
    rig = Rig(bench)
    for departure_s in (7 * HOUR_S, math.nan):
        plan = rig.say(vehicle(session_id=str(departure_s), departure_time_of_day_s=departure_s), 1)
        assert set(plan.base_kw) == {0.0}
        assert plan.at(3 * HOUR_S)[1] == 3.0, "it may stay"


def test_it_plans_anew_as_slots_pass(bench: Bench) -> None:
    """2.4 s before a quarter of an hour."""
    rig = Rig(bench, start_time_of_day_s=9 * HOUR_S - 2.4)
    bench.until(lambda: rig.heard and rig.plan.start_time_of_day_s == 9 * HOUR_S, "the next slot")


def test_a_restarted_planner_counts_on(bench: Bench) -> None:
    rig = Rig(bench, run_started_s=time.time() - 500.0)
    bench.until(lambda: rig.heard)
    assert rig.plan.version == pytest.approx(501, abs=5)
    assert rig.plan.start_time_of_day_s == 7.5 * HOUR_S, "500 s after 07:36 the slot is still the same"
    late = Rig(bench, run_started_s=time.time() - 70_000.0)
    assert late.node._plan.version == pytest.approx(70_000 - 65_535 + 1, abs=5)


def test_a_rule_is_changed_while_it_runs(bench: Bench) -> None:
    rig = Rig(bench, rule="none", **SESSION)
    bench.until(lambda: rig.heard)
    assert set(rig.plan.base_kw) == {0.0}
    assert put(rig.node, rule="valley") == ""
    bench.until(lambda: rig.plan.rule == "valley")
    assert planned_kwh(rig.plan, 10.0, 14.0) == pytest.approx(-6.0, abs=1e-4)
    assert put(rig.node, rule="none") == ""
    bench.until(lambda: rig.plan.rule == "none")
    assert rig.plan.version == 3


def test_where_planning_fails_the_plan_in_hand_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(bench, **SESSION)
    bench.until(lambda: rig.heard)

    def fail(*arguments: object) -> None:
        raise ArithmeticError("no answer")

    monkeypatch.setattr("v2g_nodes.nodes.fleet_planner.by_valley", fail)
    assert put(rig.node, price_slope=0.5) == "no new plan: no answer"
    assert (rig.node.p.price_slope, rig.node._plan.version) == (3.6e-4, rig.plan.version)
    assert planned_kwh(rig.node._plan, 10.0, 14.0) == pytest.approx(-6.0)


def test_the_planner_tells_what_it_planned_for(bench: Bench) -> None:
    rig = Rig(bench)
    rig.say(vehicle(energy_due_kwh=15.0, departure_time_of_day_s=9 * HOUR_S), 1)
    status = rig.node._status()
    assert status.values["vehicles"] == 1
    assert status.values["energy due kWh"] == pytest.approx(15.0 / 0.8)
    assert status.values["of it out of reach kWh"] == pytest.approx(15.0 / 0.8 - 1.5 * 3.0)
