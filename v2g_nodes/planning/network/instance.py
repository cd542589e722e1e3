"""One day to plan: a grid with its loads and prices, stations and vehicles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.grid import Grid
from v2g_nodes.planning.network.vehicles import Vehicles, check_vehicles


@dataclass(frozen=True)
class Stations:
    """Charging stations, shape (stations,).

    Args:
        bus: positions of their buses in the grid's order.
        cap_kw: most that each may draw; infinite = no cap.
    """

    bus: IntArray
    cap_kw: FloatArray

    def __len__(self) -> int:
        return len(self.bus)


@dataclass(frozen=True)
class Instance:
    """What to plan.

    Args:
        name: for results.
        case: name of the grid's case.
        grid: radial.
        p_load_kw: active load of each bus without stations, shape (buses, slots), in the grid's order [kW].
        q_load_kvar: reactive load [kvar].
        price_eur_per_mwh: of the energy of vehicles, shape (slots,).
        slot_h: width of a slot [h].
        stations: where vehicles charge.
        vehicles: that come.
    """

    name: str
    case: str
    grid: Grid
    p_load_kw: FloatArray
    q_load_kvar: FloatArray
    price_eur_per_mwh: FloatArray
    slot_h: float
    stations: Stations
    vehicles: Vehicles

    @property
    def slots(self) -> int:
        """Slots of the day."""
        return len(self.price_eur_per_mwh)

    @property
    def price_eur_per_kwh(self) -> FloatArray:
        """The same per kWh, shape (slots,)."""
        return self.price_eur_per_mwh / 1e3

    def loads_pu(self, station_kw: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Active and reactive load of all buses with the stations' power, shape (buses, slots) each [pu]."""
        active = self.p_load_kw / self.grid.base_kw
        np.add.at(active, self.stations.bus, station_kw / self.grid.base_kw)
        return active, self.q_load_kvar / self.grid.base_kw

    def station_kw(self, power_kw: FloatArray) -> FloatArray:
        """Net power of each station from battery powers of vehicles, shape (stations, slots) [kW]."""
        drawn = np.zeros((len(self.stations), self.slots))
        np.add.at(drawn, self.vehicles.station, self.vehicles.grid_kw(power_kw))
        return drawn

    def vehicle_cost_eur(self, station_kw: FloatArray) -> float:
        """Market cost of what the stations draw over the day (27) [EUR]."""
        return float((station_kw.sum(axis=0) * self.price_eur_per_kwh).sum() * self.slot_h)

    def reach_kw(self) -> tuple[FloatArray, FloatArray]:
        """Least and most that each station can draw in each slot, caps included, shape (stations, slots) [kW]."""
        present, fleet = self.vehicles.plugged(self.slots), self.vehicles
        low, high = np.zeros((2, len(self.stations), self.slots))
        np.add.at(low, fleet.station, -present * (fleet.discharge_max_kw * fleet.eta)[:, None])
        np.add.at(high, fleet.station, present * (fleet.charge_max_kw / fleet.eta)[:, None])
        return low, np.minimum(high, self.stations.cap_kw[:, None])


def check_instance(instance: Instance) -> None:
    """Refuse a day that can't be planned.

    Raises:
        InputError: sizes that don't fit, numbers that are none, a vehicle or station out of range.
    """
    name, slots = instance.name, instance.slots
    check_range(f"{name}: slots", slots, 1, 2880)
    check_range(f"{name}: dt_h", instance.slot_h, 1e-3, 24.0, "h")
    for key in ("p_load_kw", "q_load_kvar"):
        values = getattr(instance, key)
        if values.shape != (len(instance.grid), slots):
            raise InputError(f"{name}: {key} has shape {values.shape[::-1]}, allowed {(slots, len(instance.grid))}")
        if not np.isfinite(values).all():
            raise InputError(f"{name}: {key} holds a value that is not a finite number")
    if not np.isfinite(instance.price_eur_per_mwh).all():
        raise InputError(f"{name}: price holds a value that is not a finite number")
    if not len(instance.stations):
        raise InputError(f"{name}: 0 stations, allowed at least 1")
    for bus, cap in zip(instance.stations.bus, instance.stations.cap_kw, strict=True):
        if not cap >= 0.0:
            raise InputError(
                f"{name}: cap of the station at bus {instance.grid.buses[bus]} is {cap:g} kW, allowed 0 up"
            )
    check_vehicles(instance.vehicles, slots, len(instance.stations))
