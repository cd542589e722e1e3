"""What the market planner knows of the station's vehicles, and the plan it makes for them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.limits import ModuleRating, energy_room
from v2g_nodes.core.plan import DAY_S, Plan
from v2g_nodes.core.types import FloatArray
from v2g_nodes.msg import ModuleStatus
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.market_planner_parameters import MarketPlannerParameters
from v2g_nodes.nodes.sources import Recordings
from v2g_nodes.planning.station.base_power import by_allocation, by_valley
from v2g_nodes.planning.station.vehicles import Horizon, ParkedVehicle, Stay, present_kw, stays_of

ANY_RAMP_KW_PER_S = 1.0  # energies don't depend on it


class FleetPlanner:
    """Hears who is plugged in, knows who is to come, plans a day of slots from the present one on.

    A module that is silent, or says what can't be, counts as one without a vehicle.

    Args:
        recordings: of prices and site load.
        warn: told why a module's word is not used.
    """

    def __init__(self, recordings: Recordings, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._recordings = recordings
        self._status: dict[int, tuple[float, ModuleStatus]] = {}
        self.stays: list[Stay] = []  # of the last plan

    def hear(self, message: ModuleStatus) -> None:
        """State of a module."""
        self._status[message.module_id] = (time.monotonic(), message)

    def plugged(self) -> frozenset[tuple[int, str]]:
        """Module and session of every vehicle that is heard to be there."""
        return frozenset((m.module_id, m.session_id) for m in self._fresh() if m.vehicle_plugged)

    def plan(self, p: MarketPlannerParameters, day_s: float, version: int) -> Plan:
        """A plan that begins with the slot of now.

        Args:
            p: of the node as they are now.
            day_s: local time of day, counted on after midnight [s].
            version: of the plan.

        Raises:
            InputError: the planner can't use what it was given.
        """
        start_s = math.floor(day_s / p.slot_s) * p.slot_s
        horizon = self._horizon(p, start_s)
        self.stays = stays_of([*self._parked(p, start_s, day_s), *_to_come(p, start_s, day_s)], horizon)
        base_kw: FloatArray = np.zeros(horizon.slots)
        if self.stays and p.rule == "valley":
            base_kw = by_valley(self.stays, horizon, p.price_slope)
        elif self.stays:
            base_kw = by_allocation(self.stays, horizon, p.commitment, p.smoothing)
        spare_kw = present_kw(self.stays, horizon.slots) - np.abs(base_kw)
        capacity_kw = np.clip(spare_kw, 0.0, p.capacity_fraction * p.rating_kw)
        return Plan(version, p.rule, start_s % DAY_S, p.slot_s, tuple(base_kw.tolist()), tuple(capacity_kw.tolist()))

    def _fresh(self) -> list[ModuleStatus]:
        now_s = time.monotonic()
        return [m for _, (heard_s, m) in sorted(self._status.items()) if now_s - heard_s <= streams.STATUS.max_age_s]

    def _horizon(self, p: MarketPlannerParameters, start_s: float) -> Horizon:
        middles = start_s + (np.arange(int(DAY_S / p.slot_s)) + 0.5) * p.slot_s
        site_load_kw = [self._recordings.site_load_kw(t % DAY_S, p.site_load_kw) for t in middles]
        prices = np.array([self._recordings.price_eur_per_kwh(t % DAY_S) for t in middles])
        known = prices[np.isfinite(prices)]
        prices[~np.isfinite(prices)] = known.mean() if known.size else 0.0  # neither cheap nor dear
        return Horizon(p.slot_s, prices, np.array(site_load_kw))

    def _parked(self, p: MarketPlannerParameters, start_s: float, day_s: float) -> Iterator[ParkedVehicle]:
        """Who is plugged in, by the word of the modules."""
        for message in self._fresh():
            module = message.module_id
            if not message.vehicle_plugged or module not in p.module_ids:
                continue
            k = p.module_ids.index(module)
            leaves_s = message.departure_time_of_day_s
            known = math.isfinite(leaves_s) and leaves_s > day_s
            try:
                rating = ModuleRating(p.powers_kw[k], ANY_RAMP_KW_PER_S, p.socs_min[k], p.socs_max[k],
                                      p.efficiencies[k])  # fmt: skip
                vehicle = VehicleState(True, message.session_id, message.vehicle_capacity_kwh, message.soc, None,
                                       message.energy_due_kwh)  # fmt: skip
            except InputError as error:
                self._warn(f"module {module} counts as one without a vehicle: {error}")
                continue
            room = energy_room(rating, vehicle.soc, vehicle)
            yield ParkedVehicle(
                f"{module}: {message.session_id}", 0.0, leaves_s - start_s if known else math.inf,
                vehicle.energy_due_kwh / rating.efficiency if known else 0.0, room.charge_kwh, room.discharge_kwh,
                p.powers_kw[k], p.quadratics[k], p.linears[k],
            )  # fmt: skip


def _to_come(p: MarketPlannerParameters, start_s: float, day_s: float) -> Iterator[ParkedVehicle]:
    """Sessions that are still to begin; their charge is not known, so they give nothing back."""
    columns = (p.session_modules, p.session_ids, p.session_arrival_s, p.session_departure_s, p.session_energy_kwh)
    for module, name, arrival_s, departure_s, energy_kwh in zip(*columns, strict=True):
        if arrival_s <= day_s:
            continue
        k = p.module_ids.index(module)
        due_kwh = energy_kwh / p.efficiencies[k]
        yield ParkedVehicle(
            f"{module}: {name} to come", arrival_s - start_s, departure_s - start_s, due_kwh, due_kwh, 0.0,
            p.powers_kw[k], p.quadratics[k], p.linears[k],
        )  # fmt: skip
