"""A thousand vehicles fill the valley of a day: planned, charging on arrival, and in the cheapest slots."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, COLD, WARM, axes, text_of

from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.bounds import coupling
from v2g_nodes.planning.valley.fleet import random_fleet
from v2g_nodes.planning.valley.grid_cost import GridCost, source_base_kw, source_slope
from v2g_nodes.planning.valley.plan import plan_valley
from v2g_nodes.planning.valley.price_iteration import Rule
from v2g_nodes.planning.valley.workers import ThreadWorkers

VEHICLES, SLOTS = 1000, 24


def draw() -> str:
    """The figure."""
    cost = GridCost(source_base_kw(VEHICLES, SLOTS), np.full(SLOTS, 0.06), source_slope(VEHICLES), 24.0 / SLOTS)
    fleet = random_fleet(VEHICLES, SLOTS, cost.slot_h, (0, 0))
    gain = coupling([fleet], SLOTS, cost.slope).eta_best
    with ThreadWorkers([Block(fleet, cost.slot_h)], 1) as workers:
        plan = plan_valley(cost, workers, Rule(gain, 1e-8))
    hours = 12.0 + np.arange(SLOTS + 1) * cost.slot_h
    figure, (left, right) = axes(2, 3.0)

    def line(values: np.ndarray, color: str, name: str) -> None:
        left.step(hours, np.append(values, values[-1]) / 1e3, where="post", color=color, label=name)

    line(cost.base_kw, "#8896a4", "without vehicles")
    line(cost.base_kw + plan.arrival.demand_kw, COLD, "charging on arrival")
    line(cost.base_kw + plan.cheapest.demand_kw, WARM, "in the cheapest slots")
    line(cost.base_kw + plan.planned.demand_kw, ACCENT, "planned")
    left.set_title("Demand of 1000 vehicles and the rest")
    left.set_ylabel("power [MW]")
    left.set_xlabel("hour")
    left.set_xticks(range(12, 37, 4), [str(h % 24) for h in range(12, 37, 4)])
    left.legend()
    right.plot(range(1, len(plan.course.changes) + 1), plan.course.changes, ".-", color=ACCENT)
    right.set_yscale("log")
    right.set_title("Change of the price, relative")
    right.set_xlabel("step")
    return text_of(figure)
