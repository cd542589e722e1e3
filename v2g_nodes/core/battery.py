"""The vehicle at a module, and how the controller believes that charge and temperature move.

The hardware is judged by its own sensors; these models only predict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from v2g_nodes.core.checks import check_positive, check_range

SECONDS_PER_HOUR = 3600.0  # s/h
EK3_JUNCTION_K_PER_W = 1.20  # K/W junction to ambient per device (EK3 specification); 0.5 with forced cooling
EK3_THERMAL_TAU_S = 180.0  # s, thermal time constant (EK3 specification)
EK3_DEVICES = 8  # chosen: switches of an LLC full bridge and its rectifier that share the loss evenly


@dataclass(frozen=True)
class VehicleState:
    """What is known of the vehicle at a module.

    Args:
        plugged: whether a vehicle is connected; without one nothing else counts.
        session_id: name of the charging session, empty without a vehicle.
        capacity_kwh: battery capacity [kWh], above 0 when plugged.
        soc: state of charge as the vehicle last reported it, 0 to 1.
        departure_s: time of departure [s] on the clock that `now_s` of the limits uses, not wrapped at
            midnight; None = not known.
        energy_due_kwh: energy the battery is still owed until departure [kWh], at least 0.

    Raises:
        InputError: plugged with a value that is not finite or out of range.
    """

    plugged: bool
    session_id: str = ""
    capacity_kwh: float = math.nan
    soc: float = math.nan
    departure_s: float | None = None
    energy_due_kwh: float = 0.0

    def __post_init__(self) -> None:
        if not self.plugged:
            return
        check_positive("capacity_kwh", self.capacity_kwh, "kWh")
        check_range("vehicle soc", self.soc, 0.0, 1.0)
        check_range("energy_due_kwh", self.energy_due_kwh, 0.0, math.inf, "kWh")
        if self.departure_s is not None:
            check_range("departure_s", self.departure_s, -math.inf, math.inf, "s")


UNPLUGGED = VehicleState(plugged=False)


def battery_kw(power_kw: float, efficiency: float) -> float:
    """Power leaving the battery [kW] for a power at the grid [kW]: p / eta discharging, p * eta charging.

    Args:
        power_kw: at the grid side, > 0 discharges.
        efficiency: one way, above 0 and at most 1.
    """
    return power_kw / efficiency if power_kw > 0.0 else power_kw * efficiency


@dataclass(frozen=True)
class BatteryModel:
    """State of charge as the controller believes it: dSOC/dt = -p_battery / E.

    Args:
        capacity_kwh: battery capacity E [kWh].
        efficiency: one way between battery and grid, above 0 and at most 1.

    Raises:
        InputError: a value out of range.
    """

    capacity_kwh: float
    efficiency: float

    def __post_init__(self) -> None:
        check_positive("capacity_kwh", self.capacity_kwh, "kWh")
        check_positive("efficiency", self.efficiency)
        check_range("efficiency", self.efficiency, 0.0, 1.0)

    def step(self, soc: float, power_kw: float, dt_s: float) -> float:
        """State of charge after dt_s at constant power, kept in 0 to 1.

        Args:
            soc: before, 0 to 1.
            power_kw: at the grid side [kW], > 0 discharges.
            dt_s: step [s].
        """
        drawn_kwh = battery_kw(power_kw, self.efficiency) * dt_s / SECONDS_PER_HOUR
        return min(max(soc - drawn_kwh / self.capacity_kwh, 0.0), 1.0)


@dataclass(frozen=True)
class ThermalModel:
    """Junction temperature as the controller believes it, a first-order lag:

        dT/dt = (P_loss R_th / devices - (T - T_ambient)) / tau

    stepped exactly for constant loss, so any step is stable. Resistance and tau are those of the EK3
    specification, where the resistance is per device; the number of devices that share the loss is chosen.

    Args:
        resistance_k_per_w: junction to ambient of one device [K/W].
        tau_s: time constant [s].
        devices: devices that share the loss evenly.

    Raises:
        InputError: a value not above 0.
    """

    resistance_k_per_w: float = EK3_JUNCTION_K_PER_W
    tau_s: float = EK3_THERMAL_TAU_S
    devices: int = EK3_DEVICES

    def __post_init__(self) -> None:
        check_positive("resistance_k_per_w", self.resistance_k_per_w, "K/W")
        check_positive("tau_s", self.tau_s, "s")
        check_positive("devices", self.devices)

    def step(self, temperature_c: float, ambient_c: float, loss_kw: float, dt_s: float) -> float:
        """Temperature [deg C] after dt_s.

        Args:
            temperature_c: junction before [deg C].
            ambient_c: [deg C].
            loss_kw: loss of the whole module [kW], constant over the step.
            dt_s: step [s].
        """
        settled_c = ambient_c + 1000.0 * loss_kw * self.resistance_k_per_w / self.devices
        return settled_c + (temperature_c - settled_c) * math.exp(-dt_s / self.tau_s)
