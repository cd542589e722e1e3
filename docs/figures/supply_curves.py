"""Supply curves of five modules, their sum, and the cell in which it meets the target: the numbers of a real epoch."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, COLD, WARM, axes, text_of

from v2g_nodes.cli.dispatch_trial import build_agents, random_instance
from v2g_nodes.core.dispatch.price_grid import cold_prices, find_crossing, finite_prices
from v2g_nodes.core.graph import adjacency
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.sim.network import LossyNetwork, play_epoch


def draw() -> str:
    """The figure."""
    instance = random_instance("ring", 5, seed=4, trial=1)
    agents = build_agents(instance, "supply_curve")
    play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges)))
    agreed = {k: agent.agreement for k, agent in agents.items() if agent.agreement}
    price = agreed[1].lambda_eur_per_kwh
    span = 1.3 * max(abs(price), 0.05)
    fine = np.linspace(-span, span, 400)
    supplies = [BoxedCost(cost, box) for cost, box in zip(instance.costs, instance.boxes, strict=True)]
    figure, (left, right) = axes(2, 3.2)
    for k, supply in enumerate(supplies, 1):
        left.plot(fine, supply.response(fine))
        left.plot(price, agreed[k].power_kw, "o", color=left.lines[-1].get_color(), markersize=5)
    left.axvline(price, color="#111111", linewidth=0.8)
    left.set_title("Best responses of five modules")
    left.set_xlabel("price λ [EUR/kWh]")
    left.set_ylabel("power p [kW]")
    tried = cold_prices(instance.span_eur_per_kwh, instance.target_kw, instance.rating_kw)
    known = np.array(finite_prices(tried, instance.span_eur_per_kwh))
    totals = sum(supply.response(np.array(tried)) for supply in supplies)
    crossing = find_crossing(tuple(totals), instance.target_kw)
    right.plot(fine, sum(supply.response(fine) for supply in supplies), color="#8896a4", label="supply S(λ)")
    right.plot(known, totals, ".", color=ACCENT, markersize=8, label="sums of the first pass")
    cell = known[crossing.cell : crossing.cell + 2]
    right.axvspan(*cell, color=WARM, alpha=0.25, label="cell that the second pass divides")
    right.axhline(instance.target_kw, color=COLD, linewidth=1.0, label="target T")
    right.plot(price, sum(one.power_kw for one in agreed.values()), "o", color=COLD)
    right.set_xlim(-span, span)
    right.set_title("Their exact sum")
    right.set_xlabel("price λ [EUR/kWh]")
    right.set_ylabel("power [kW]")
    right.legend(loc="upper left")
    return text_of(figure)
