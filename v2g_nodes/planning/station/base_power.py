"""Base power of a station over the day, by one of the planners for fleets; > 0 discharges, as everywhere in control."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.station.vehicles import Horizon, Stay

TOLERANCE = 1e-6  # of the price, relative: a station's few vehicles cost nothing
STEPS_MAX = 500
QUADRATIC_MIN = 1e-6  # EUR/kW^2 h, the planner needs some


def by_valley(stays: Sequence[Stay], horizon: Horizon, slope: float) -> FloatArray:
    """Charge and discharge where it costs all together least (planning/valley).

    Args:
        stays: at least one.
        horizon: of the plan.
        slope: rise of the price with the power drawn at the connection, at least 0 [EUR/kWh per kW].

    Returns:
        Base power, shape (slots,) [kW].
    """
    from v2g_nodes.planning.valley.block import Block
    from v2g_nodes.planning.valley.bounds import coupling
    from v2g_nodes.planning.valley.fleet import Fleet, check_fleet
    from v2g_nodes.planning.valley.grid_cost import GridCost
    from v2g_nodes.planning.valley.price_iteration import Rule, iterate
    from v2g_nodes.planning.valley.ramps import Ramps

    vehicles = [stay.vehicle for stay in stays]
    power = np.array([vehicle.power_kw for vehicle in vehicles])
    fleet = Fleet(
        np.array([stay.first_slot for stay in stays]), np.array([stay.end_slot for stay in stays]),
        np.array([stay.charge_kwh for stay in stays]), power, power,
        np.array([max(vehicle.quadratic, QUADRATIC_MIN) for vehicle in vehicles]),
        np.array([vehicle.linear for vehicle in vehicles]), np.full(len(stays), np.inf),
        np.array([max(stay.vehicle.room_kwh, stay.charge_kwh) for stay in stays]),
        np.array([vehicle.reserve_kwh for vehicle in vehicles]), tuple(vehicle.name for vehicle in vehicles),
    )  # fmt: skip
    check_fleet(fleet, horizon.slots)
    cost = GridCost(horizon.site_load_kw, horizon.price_eur_per_kwh, slope, horizon.slot_h)
    block = Block(fleet, horizon.slot_h)

    def demand(price: FloatArray) -> FloatArray:
        nonlocal block
        block = block.answer(Ramps(price))
        return np.zeros(horizon.slots) if block.demand_kw is None else block.demand_kw

    eta = coupling([fleet], horizon.slots, slope).eta_best
    course = iterate(cost, demand, Rule(eta, TOLERANCE, STEPS_MAX))
    result: FloatArray = 0.0 - block.schedule(Ramps(course.price)).sum(axis=0)
    return result


def by_allocation(stays: Sequence[Stay], horizon: Horizon, commitment: float, smoothing: float) -> FloatArray:
    """Make the power at the connection even while each vehicle keeps near its owner's wish (planning/allocation).

    Args:
        stays: at least one.
        horizon: of the plan; its prices don't matter here.
        commitment: 1 follows the owners alone, see allocation.problem.Vehicle.
        smoothing: 1 smooths from slot to slot, 0 flattens to the mean.

    Returns:
        Base power, shape (slots,) [kW].
    """
    from v2g_nodes.planning.allocation.allocation import allocate
    from v2g_nodes.planning.allocation.problem import Vehicle, problem

    vehicles = [
        Vehicle(
            stay.vehicle.name, stay.first_slot, stay.end_slot, soc_start_kwh=stay.vehicle.reserve_kwh,
            soc_goal_kwh=stay.vehicle.reserve_kwh + stay.charge_kwh, soc_min_kwh=0.0,
            soc_max_kwh=stay.vehicle.reserve_kwh + max(stay.vehicle.room_kwh, stay.charge_kwh),
            power_kw=stay.vehicle.power_kw, rating_kva=stay.vehicle.power_kw, commitment=commitment,
        )
        for stay in stays
    ]  # fmt: skip
    load = horizon.site_load_kw.tolist()
    return allocate(problem(vehicles, load, None, horizon.slot_h, smoothing), reactive=False).station_kw
