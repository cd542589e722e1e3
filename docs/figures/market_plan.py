"""A day's plan by the rule of thumb on the synthetic prices, and the target that follows from it and the signal."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, COLD, axes, text_of

from v2g_nodes.core.plan import price_threshold_plan
from v2g_nodes.core.target import target_kw
from v2g_nodes.sim.synthetic import synthetic_price

RATING_KW, CAPACITY, BASE = 25.0, 0.6, 0.1


def draw() -> str:
    """The figure."""
    prices = [float(np.mean([synthetic_price(3600.0 * hour + s) for s in range(0, 3600, 300)])) for hour in range(24)]
    plan = price_threshold_plan(prices, RATING_KW, CAPACITY, BASE)
    figure, (left, right) = axes(2, 2.9)
    left.step(range(25), [*prices, prices[-1]], where="post", color=COLD)
    left.set_title("Price")
    left.set_ylabel("price [EUR/kWh]")
    base, room = np.array(plan.base_kw), np.array(plan.capacity_kw)
    hours = np.arange(25)
    ends = [np.append(each, each[-1]) for each in (base - room, base + room)]
    right.fill_between(hours, *ends, step="post", color=ACCENT, alpha=0.18, label="base ± capacity")
    right.step(hours, np.append(base, base[-1]), where="post", color=ACCENT, label="base power")
    signal = np.sin(np.linspace(0, 40 * np.pi, 1440)) * np.sin(np.linspace(0, 3 * np.pi, 1440))
    times = np.arange(1440) / 60.0
    right.plot(times, [target_kw(*plan.at(3600.0 * t), s) for t, s in zip(times, signal, strict=True)], color="#8896a4",
               linewidth=0.6, label="target for a made signal")
    right.set_title("Plan of a station of 25 kW")
    right.set_ylabel("power [kW], > 0 discharges")
    right.legend(loc="upper left", ncols=1)
    for axis in (left, right):
        axis.set_xlabel("hour")
        axis.set_xticks(range(0, 25, 4))
    right.set_ylim(-22, 36)
    return text_of(figure)
