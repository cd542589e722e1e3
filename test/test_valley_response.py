"""Best answers of vehicles against an independent solver, and sums over fleets against schedules."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.cell import Cell
from v2g_nodes.planning.valley.fleet import Fleet, check_fleet, random_fleet, uniform_fleet
from v2g_nodes.planning.valley.ramps import Ramps
from v2g_nodes.planning.valley.stays import Stay, fleet_of

VEHICLES = 5


def unlike_fleet(seed: int) -> tuple[Fleet, FloatArray, np.random.Generator]:
    """Vehicles with every kind of limit, and a price with negative slots."""
    draw = np.random.default_rng(seed)
    slots = int(draw.integers(3, 25))
    fleet = random_fleet(VEHICLES, slots, 1.0, [seed], discharging=[0.0, 0.5, 1.0][seed % 3])
    gives = fleet.discharge_kw > 0
    fleet = replace(
        fleet, benefit=np.where(draw.random(VEHICLES) < 0.5, np.inf, fleet.benefit),
        quadratic=fleet.quadratic * draw.choice([0.1, 1, 10]), linear=fleet.linear * draw.choice([0, 0.05, 0.3, 1]),
        energy_kwh=fleet.energy_kwh * draw.choice([0.0, 0.5, 1.5]),
        room_kwh=1.5 * fleet.energy_kwh + draw.uniform(0, 10, VEHICLES),
        reserve_kwh=np.where(gives, draw.uniform(0, 10, VEHICLES), 0.0))  # fmt: skip
    check_fleet(fleet, slots)
    return fleet, draw.normal(0.1, 0.2, slots), draw


def best_power(fleet: Fleet, k: int, price: FloatArray) -> FloatArray:
    """Answer of one vehicle by a general solver."""
    slots = len(price)
    charge, give = cp.Variable(slots, nonneg=True), cp.Variable(slots, nonneg=True)
    away = np.ones(slots)
    away[fleet.first_slot[k] : fleet.end_slot[k]] = 0.0
    power = charge - give
    energy = cp.cumsum(power)
    limits = [charge <= fleet.power_kw[k], give <= fleet.discharge_kw[k], cp.multiply(away, charge + give) == 0,
              energy <= fleet.room_kwh[k], energy >= -fleet.reserve_kwh[k], energy[-1] <= fleet.energy_kwh[k]]
    cost = price @ power + fleet.quadratic[k] * cp.sum_squares(power) + fleet.linear[k] * cp.sum(charge + give)
    if np.isinf(fleet.benefit[k]):
        limits.append(energy[-1] == min(fleet.energy_kwh[k], fleet.most_kwh(1.0)[k]))
    else:
        cost += fleet.benefit[k] * cp.square(energy[-1] - fleet.energy_kwh[k])
    exact = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}
    cp.Problem(cp.Minimize(cost), limits).solve(solver=cp.CLARABEL, **exact)
    return np.asarray(power.value)


@pytest.mark.parametrize("seed", range(24))
def test_answers_are_the_best_ones_and_the_guess_changes_nothing(seed: int) -> None:
    fleet, price, draw = unlike_fleet(seed)
    ramps = Ramps(price)
    cold = Block(fleet, 1.0).answer(ramps)
    warm = Block(fleet, 1.0).answer(Ramps(price + draw.normal(0, 0.1, len(price)))).answer(ramps)
    assert cold.demand_kw is not None
    assert warm.demand_kw is not None
    power = warm.schedule(ramps)
    np.testing.assert_allclose(warm.demand_kw, power.sum(axis=0), atol=1e-7)
    np.testing.assert_allclose(cold.demand_kw, warm.demand_kw, atol=1e-7)
    charge = power.cumsum(axis=1)
    assert np.all(charge <= fleet.room_kwh[:, None] + 1e-6)
    assert np.all(charge >= -fleet.reserve_kwh[:, None] - 1e-6)
    for k in range(VEHICLES):
        np.testing.assert_allclose(power[k], best_power(fleet, k, price), atol=2e-4)


BAD = [
    ({"end_slot": np.array([24, 0])}, "vehicle 2: end_slot is 0, allowed above its first slot"),
    ({"energy_kwh": np.array([20.0, 30.0])}, "vehicle 2: energy_kwh is 30, allowed up to what its battery can take"),
    ({"power_kw": np.array([np.nan, 1.0])}, "vehicle 1: power_kw is nan, allowed 0 to 10000 kW"),
    ({"quadratic": np.array([0.0, 1.0])}, "vehicle 1: quadratic is 0"),
    ({"first_slot": np.array([0, 24])}, "vehicle 2: first_slot is 24, allowed 0 to 23"),
    ({"linear": np.array([0.1])}, r"linear of the fleet has shape \(1,\), allowed \(2,\)"),
]


@pytest.mark.parametrize(("change", "text"), BAD)
def test_a_fleet_that_can_not_be_planned_is_refused_by_name(change: dict[str, FloatArray], text: str) -> None:
    with pytest.raises(InputError, match=text):
        check_fleet(replace(uniform_fleet(2, 24), **change), 24)  # type: ignore[arg-type]


def test_an_empty_fleet_is_refused() -> None:
    with pytest.raises(InputError, match="fleet has 0 vehicles"):
        check_fleet(uniform_fleet(0, 24), 24)


def test_charge_stays_inside_the_battery_on_the_way() -> None:
    fleet = replace(random_fleet(400, 48, 0.5, 3, 1.0), benefit=np.full(400, np.inf))
    price = np.random.default_rng(3).uniform(0.0, 0.6, 48)
    block = Block(fleet, 0.5)
    charge = block.schedule(Ramps(price)).cumsum(axis=1) * 0.5
    room, reserve = fleet.room_kwh[:, None], fleet.reserve_kwh[:, None]
    assert (charge - room).max() < 1e-6
    assert (-charge - reserve).max() < 1e-6
    touched = (np.abs(charge - room) < 1e-6) | (np.abs(charge + reserve) < 1e-6)
    assert touched[:, :-1].any(axis=1).sum() > 50, "the bounds matter"


def test_a_pack_wears_as_its_cells_do() -> None:
    """1000 cells in series share 3.3 kW: 1 A each at 3.3 V, so they lose 1e-9 + 2e-9 Ah/s, 3.3 Wh cost 3 EUR/Wh."""
    a, b = Cell(3.0, 1e-9, 2e-9, 3.3).pack(1000.0)
    assert a * 3.3**2 == pytest.approx(1000 * 1e-9 * 3600 * 3.3 * 3.0)
    assert b * 3.3 == pytest.approx(1000 * 2e-9 * 3600 * 3.3 * 3.0)


def test_what_a_battery_does_not_take_it_may_give_by_half() -> None:
    stays = [Stay("a", 0.0, 7200.0, 10.0)]
    chargers = {"power_kw": 11.0, "battery_kwh": 40.0, "quadratic": 0.003, "linear": 0.0, "benefit": np.inf}
    fleet = fleet_of(stays, 4, 1.0, **chargers, discharge_kw=3.0).fleet
    assert (fleet.room_kwh[0], fleet.reserve_kwh[0]) == (25.0, 15.0)
    assert fleet_of(stays, 4, 1.0, **chargers).fleet.reserve_kwh[0] == 0.0
