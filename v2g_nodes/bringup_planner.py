"""Parameters of the market planner node from the station file: the plan, the modules, who is to come."""

from __future__ import annotations

import numpy as np

from v2g_nodes.bringup_inputs import Inputs
from v2g_nodes.bringup_parameters import (
    Parameter,
    Parameters,
    cost_parameters,
    headroom_kw,
    rating_kw,
    regulation_parameters,
    session_parameters,
)
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.planning.valley.grid_cost import source_slope
from v2g_nodes.station import Module, Station, module_type


def market_planner_parameters(station: Station, inputs: Inputs) -> Parameters:
    """The plan, the modules it may be made for, and who is to come."""
    plan, modules = station.plan, sorted(station.modules, key=lambda module: module.id)
    kinds, costs = [module_type(station, module) for module in modules], [_power_cost(station, m) for m in modules]
    slope = source_slope(len(modules)) if plan.price_slope is None else plan.price_slope
    powers = [max(kind.p_max_kw - headroom_kw(station, m), 0.0) for kind, m in zip(kinds, modules, strict=True)]
    parameters: dict[str, Parameter] = {
        **regulation_parameters(station), "eta": station.market.eta, "rule": plan.rule, "plan_csv": plan.csv or "",
        "capacity_fraction": plan.capacity_fraction, "base_fraction": plan.base_fraction,
        "rating_kw": rating_kw(station), "slot_s": plan.slot_s, "price_slope": slope,
        "commitment": plan.commitment, "smoothing": plan.smoothing, "site_load_kw": station.grid.site_load_kw,
        "module_ids": [module.id for module in modules], "powers_kw": powers,
        "efficiencies": [kind.efficiency for kind in kinds],
        "socs_min": [kind.soc_min for kind in kinds], "socs_max": [kind.soc_max for kind in kinds],
        "quadratics": [cost[0] for cost in costs], "linears": [cost[1] for cost in costs]}
    coming = [(module, session) for module, own in sorted(inputs.sessions.items()) for session in own]
    if coming:
        parameters["session_modules"] = [module for module, _ in coming]
        parameters.update(session_parameters([session for _, session in coming]))
    return parameters


def _power_cost(station: Station, module: Module) -> tuple[float, float]:
    """The module's cost at half charge as a u^2 + b |u| [EUR/h], right at full and at half power."""
    rating = module_type(station, module).p_max_kw
    cost = LocalCost(cost_parameters(station, module), 0.5, module.ambient_c)
    half, full = (float(value) for value in cost.cost(np.array([0.5 * rating, rating])))
    quadratic = max(2.0 * (full - 2.0 * half) / rating**2, 0.0)  # convex costs: never below zero but by rounding
    return quadratic, max(full / rating - quadratic * rating, 0.0)
