"""Vehicle, charge and temperature as the controller believes them."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.core.battery import UNPLUGGED, BatteryModel, ThermalModel, VehicleState, battery_kw
from v2g_nodes.core.errors import InputError


def test_discharging_takes_more_from_the_battery_than_the_grid_gets() -> None:
    assert battery_kw(3.0, 0.96) == pytest.approx(3.125)
    assert battery_kw(-3.0, 0.96) == pytest.approx(-2.88)


def test_charge_falls_discharging_and_rises_charging() -> None:
    model = BatteryModel(capacity_kwh=60.0, efficiency=0.96)
    assert model.step(0.5, 3.0, 3600.0) == pytest.approx(0.5 - 3.125 / 60.0)
    assert model.step(0.5, -3.0, 3600.0) == pytest.approx(0.5 + 2.88 / 60.0)
    assert model.step(0.5, 0.0, 3600.0) == 0.5


def test_a_round_trip_loses_energy() -> None:
    model = BatteryModel(60.0, 0.95)
    assert model.step(model.step(0.5, 3.0, 600.0), -3.0, 600.0) < 0.5


def test_charge_stays_between_empty_and_full() -> None:
    model = BatteryModel(1.0, 1.0)
    assert model.step(0.1, 3.0, 3600.0) == 0.0
    assert model.step(0.9, -3.0, 3600.0) == 1.0


def test_temperature_settles_at_loss_times_resistance() -> None:
    """0.16 kW over 8 devices of 1.2 K/W: 24 K above ambient."""
    model = ThermalModel()
    assert model.step(30.0, 30.0, 0.16, 1e6) == pytest.approx(54.0)
    assert model.step(54.0, 30.0, 0.16, 1.0) == pytest.approx(54.0)


def test_temperature_follows_with_the_time_constant() -> None:
    model = ThermalModel(tau_s=180.0)
    assert model.step(30.0, 30.0, 0.16, 180.0) == pytest.approx(30.0 + 24.0 * (1.0 - math.exp(-1.0)))
    one = model.step(40.0, 25.0, 0.1, 60.0)
    many = 40.0
    for _ in range(600):
        many = model.step(many, 25.0, 0.1, 0.1)
    assert many == pytest.approx(one, rel=1e-12)


def test_first_moment_agrees_with_the_differential_equation() -> None:
    """dT/dt = (P_loss R - (T - T_a)) / tau."""
    dt = 1e-3
    rate = (ThermalModel(1.2, 180.0, 8).step(50.0, 20.0, 0.1, dt) - 50.0) / dt
    assert rate == pytest.approx((100.0 * 1.2 / 8 - 30.0) / 180.0, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacity_kwh": 0.0}, "capacity_kwh is 0.0 kWh"),
        ({"capacity_kwh": math.nan}, "capacity_kwh is nan kWh"),
        ({"soc": 1.2}, "vehicle soc is 1.2, allowed 0 to 1"),
        ({"energy_due_kwh": -1.0}, "energy_due_kwh is -1.0 kWh"),
        ({"departure_s": math.nan}, "departure_s is nan s"),
    ],
)
def test_vehicle_out_of_range_is_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        VehicleState(**{"plugged": True, "capacity_kwh": 60.0, "soc": 0.5, **changes})


def test_no_vehicle_needs_no_numbers() -> None:
    assert not UNPLUGGED.plugged
    assert math.isnan(UNPLUGGED.soc)


@pytest.mark.parametrize("efficiency", [0.0, 1.1, math.nan])
def test_efficiency_out_of_range_is_refused(efficiency: float) -> None:
    with pytest.raises(InputError, match="efficiency"):
        BatteryModel(60.0, efficiency)


@pytest.mark.parametrize("changes", [{"tau_s": 0.0}, {"resistance_k_per_w": -1.0}, {"devices": 0}])
def test_thermal_parameters_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="allowed above 0"):
        ThermalModel(**changes)
