"""Rebates for plugging in and the bids they carry, for 200 made drivers."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, COLD, axes, text_of

from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.platform import Platform
from v2g_nodes.planning.market.studies import CHARGER_KW, VEHICLES
from v2g_nodes.planning.market.synthetic import ETA, NEED, REBATE_MAX, drivers, prices


def draw() -> str:
    """The figure."""
    served = (Requirement(CHARGER_KW, ETA, NEED),)
    platform = Platform((drivers(),), np.array([VEHICLES]), prices(), served, np.zeros(1))
    rebates = np.array([best_rebates(platform, REBATE_MAX), np.zeros(platform.hours)])
    found = platform.evaluate(rebates)
    hours = np.arange(platform.hours + 1)
    figure, (left, right) = axes(2, 2.9)
    left.step(hours, np.append(rebates[0], rebates[0, -1]), where="post", color=COLD, label="rebate [USD/h]")
    left.step(hours, 10 * np.append(prices(), prices()[-1]), where="post", color="#8896a4",
              label="revenue of 10 kW bid [USD/h]")
    left.legend(loc="upper left")
    left.set_ylim(-0.02, 0.44)
    left.set_title("Rebate for being plugged in")
    for row, (color, name) in enumerate(((ACCENT, "with rebates"), ("#8896a4", "without"))):
        right.step(hours, np.append(found.bid_kw[row], found.bid_kw[row, -1]), where="post", color=color, label=name)
    right.set_title("Bid of the fleet")
    right.set_ylabel("capacity [kW]")
    right.legend()
    for axis in (left, right):
        axis.set_xlabel("hour")
        axis.set_xticks(range(0, 25, 4))
    return text_of(figure)
