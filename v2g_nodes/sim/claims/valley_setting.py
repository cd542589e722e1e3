"""The setting of the charging document: 5000 equal vehicles from noon to noon (EQUATIONS 001.3).

Size of the fleet, generation cost and quadratic cost give the printed range of gains; split of the quadratic cost,
worth of energy, energy and base demand are chosen, as in the prototype, because the source's figures are lost.
"""

from __future__ import annotations

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.bounds import Coupling, coupling
from v2g_nodes.planning.valley.fleet import Fleet, uniform_fleet
from v2g_nodes.planning.valley.grid_cost import GridCost
from v2g_nodes.planning.valley.price_iteration import Course, Rule, iterate
from v2g_nodes.planning.valley.ramps import Ramps
from v2g_nodes.planning.valley.studies import SLOTS, source_cost

SAME_AS = 50  # equal vehicles of a quick run; grid and fleet shrink together, so prices are the same
FULL = 5000


def setting(vehicles: int = FULL, benefit: float = 0.03) -> tuple[Fleet, GridCost]:
    """Fleet and grid; fewer vehicles have a grid of their size."""
    cost = source_cost()
    if vehicles != FULL:
        share = vehicles / FULL
        cost = GridCost(cost.base_kw * share, cost.price_eur_per_kwh, cost.slope / share, cost.slot_h)
    return uniform_fleet(vehicles, SLOTS, benefit=benefit), cost


def coupled(fleet: Fleet, cost: GridCost) -> Coupling:
    """How strongly prices and powers push each other."""
    return coupling([fleet], cost.slots, cost.slope)


def course(fleet: Fleet, cost: GridCost, eta: float, tolerance: float = 1e-15, steps: int = 400) -> Course:
    """The price iteration, on one block."""
    block = Block(fleet, cost.slot_h)

    def demand(price: FloatArray) -> FloatArray:
        nonlocal block
        block = block.answer(Ramps(price))
        return np.zeros(cost.slots) if block.demand_kw is None else block.demand_kw

    return iterate(cost, demand, Rule(eta, tolerance, steps))


def best_price(fleet: Fleet, cost: GridCost) -> FloatArray:
    """The price at which the iteration stays."""
    return course(fleet, cost, coupled(fleet, cost).eta_best, 1e-15, 500).price


def schedule(fleet: Fleet, cost: GridCost, price: FloatArray) -> FloatArray:
    """Power of every vehicle at a price, shape (vehicles, slots) [kW]."""
    return Block(fleet, cost.slot_h).schedule(Ramps(price))
