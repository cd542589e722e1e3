"""What the source shows in its figures, computed in its setting: dearer cells, worthier energy, other gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.bounds import coupling
from v2g_nodes.planning.valley.cell import cells_of, source_cell
from v2g_nodes.planning.valley.fleet import Fleet, uniform_fleet
from v2g_nodes.planning.valley.grid_cost import GridCost, source_base_kw, source_slope
from v2g_nodes.planning.valley.plan import plan_valley
from v2g_nodes.planning.valley.price_iteration import Course, Rule, iterate, scale_of
from v2g_nodes.planning.valley.workers import ThreadWorkers

VEHICLES, SLOTS = 5000, 24
ENERGY_KWH, DEMAND_CHARGE = 20.0, 0.0018  # EUR/kW2h, of the source's quadratic cost what is not wear
CELL_PRICES = (0.25, 0.5, 1.0, 1.5)  # EUR/Wh
BENEFITS = (0.01, 0.03, 0.1, 1.0)  # EUR/kWh2
ETAS = (0.25, 0.5, 0.75, 1.0, 1.2, 1.36)
TOLERANCE, STEPS = 1e-9, 60


@dataclass(frozen=True)
class Variant:
    """One line of a figure.

    Args:
        total_kw: base demand and fleet, shape (slots,) [kW].
        delivered_kwh: to each vehicle [kWh].
        peak_kw: of each vehicle's power [kW].
        charging_slots: in which each vehicle charges.
        valley_range_kw: highest minus lowest total in the slots in which the fleet charges [kW].
    """

    total_kw: FloatArray
    delivered_kwh: float
    peak_kw: float
    charging_slots: int
    valley_range_kw: float


def source_cost() -> GridCost:
    """The source's grid (EQUATIONS 001.3)."""
    return GridCost(source_base_kw(VEHICLES, SLOTS), np.full(SLOTS, 0.06), source_slope(VEHICLES), 24.0 / SLOTS)


def by_cell_price() -> Mapping[float, Variant]:
    """Effect of the price of battery cells [EUR/Wh]."""
    found = {}
    for price in CELL_PRICES:
        wear, linear = source_cell(price).pack(cells_of(ENERGY_KWH))
        found[price] = _variant(uniform_fleet(VEHICLES, SLOTS, quadratic=DEMAND_CHARGE + wear, linear=linear))
    return found


def by_benefit() -> Mapping[float, Variant]:
    """Effect of delta, the worth of energy [EUR/kWh^2]."""
    return {benefit: _variant(uniform_fleet(VEHICLES, SLOTS, benefit=benefit)) for benefit in BENEFITS}


def distances_by_eta() -> Mapping[float, FloatArray]:
    """1-norm of the price's distance from its optimum at each step, relative to the first price, by eta."""
    fleet, cost = uniform_fleet(VEHICLES, SLOTS), source_cost()
    best = _course(fleet, cost, Rule(coupling([fleet], SLOTS, cost.slope).eta_best, 1e-14)).price
    found = {}
    for eta in ETAS:
        prices = _course(fleet, cost, Rule(eta, TOLERANCE, STEPS)).prices
        found[eta] = np.abs(prices - best).sum(axis=1) / scale_of(prices[0])
    return found


def _course(fleet: Fleet, cost: GridCost, rule: Rule) -> Course:
    with ThreadWorkers([Block(fleet, cost.slot_h)], 1) as workers:
        return iterate(cost, workers.demand, rule)


def _variant(fleet: Fleet) -> Variant:
    cost = source_cost()
    rule = Rule(coupling([fleet], SLOTS, cost.slope).eta_best, TOLERANCE)
    with ThreadWorkers([Block(fleet, cost.slot_h)], 1) as workers:
        planned = plan_valley(cost, workers, rule).planned
    total, charging = cost.base_kw + planned.demand_kw, planned.demand_kw > 1e-6 * VEHICLES
    span = float(np.ptp(total[charging])) if charging.any() else 0.0
    return Variant(total, planned.delivered_kwh / VEHICLES, planned.peak_kw, int(charging.sum()), span)
