"""A fleet's plan: the price that all agree on, what follows from it, and what doing without would cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.baselines import in_cheapest_slots, on_arrival
from v2g_nodes.planning.valley.block import Block, Tally, tally
from v2g_nodes.planning.valley.grid_cost import GridCost
from v2g_nodes.planning.valley.price_iteration import Course, Rule, iterate
from v2g_nodes.planning.valley.ramps import Ramps
from v2g_nodes.planning.valley.workers import Workers

ROWS = 4096  # vehicles whose schedules are made at a time


@dataclass(frozen=True)
class ValleyPlan:
    """What was planned.

    Args:
        cost: of the grid.
        course: of the price.
        planned: sums over the fleet at the last price.
        arrival: the same if all charge on arrival.
        cheapest: the same if all charge in the slots that are cheapest without the fleet.
    """

    cost: GridCost
    course: Course
    planned: Tally
    arrival: Tally
    cheapest: Tally

    def cost_eur(self, of: Tally) -> float:
        """J, what generation, wear, demand charge and lost benefit cost [EUR]."""
        return self.cost.cost_eur(of.demand_kw) + of.own_eur + of.missed_eur

    @property
    def scale_eur(self) -> float:
        """What the fleet costs in the plan, by which gaps are measured: J without the cost of the base demand [EUR]."""
        base = self.cost.cost_eur(np.zeros(self.cost.slots))
        generation = abs(self.cost.cost_eur(self.planned.demand_kw) - base)
        return max(generation + self.planned.own_eur + self.planned.missed_eur, 1e-9)

    @property
    def gap_certified(self) -> float:
        """J above a lower bound of every plan's, the dual at the last price, relative to what the fleet costs."""
        lower = self.cost.lowest_eur(self.course.price) + self.planned.own_at_price_eur
        return (self.cost_eur(self.planned) - lower) / self.scale_eur

    def gap_to(self, optimum_eur: float) -> float:
        """J above an optimum, relative to what the fleet costs."""
        return (self.cost_eur(self.planned) - optimum_eur) / self.scale_eur


def plan_valley(
    cost: GridCost, workers: Workers, rule: Rule, each: Callable[[int, float], None] = lambda step, change: None
) -> ValleyPlan:
    """Plan a fleet.

    Args:
        cost: of the grid.
        workers: with the fleet.
        rule: of the price.
        each: told after each step its number and its relative change of the price.
    """
    course = iterate(cost, workers.demand, rule, each)
    zero = Tally(np.zeros(cost.slots))
    planned, arrival, cheapest = zero, zero, zero
    for one, two, three in workers.each(_tallies, course.price, course.prices[0]):
        planned, arrival, cheapest = planned + one, arrival + two, cheapest + three
    return ValleyPlan(cost, course, planned, arrival, cheapest)


def schedule_of(block: Block, price: FloatArray) -> FloatArray:
    """Power of every vehicle of a block at a price, shape (vehicles, slots) [kW], in single precision."""
    return np.concatenate([part.schedule(Ramps(price)).astype(np.float32) for part in _rows(block)])


def _tallies(block: Block, price: FloatArray, first_price: FloatArray) -> tuple[Tally, Tally, Tally]:
    zero = Tally(np.zeros(len(price)))
    planned, arrival, cheapest = zero, zero, zero
    hours, ramps = block.slot_h, Ramps(price)
    for part in _rows(block):
        planned += tally(part.fleet, part.schedule(ramps), price, hours)
        arrival += tally(part.fleet, on_arrival(part.fleet, len(price), hours), price, hours)
        cheapest += tally(part.fleet, in_cheapest_slots(part.fleet, first_price, hours), price, hours)
    return planned, arrival, cheapest


def _rows(block: Block) -> list[Block]:
    """A block in parts whose schedules stay in the processor's cache."""
    return [Block(fleet, block.slot_h) for fleet in block.fleet.blocks(ROWS)]
