"""Six vehicles smooth the load of a transformer: load with none to six of them, and the storage function on its way."""

from __future__ import annotations

import numpy as np
from drawing import COLORS, axes, text_of

from v2g_nodes.planning.allocation.allocation import allocate
from v2g_nodes.planning.allocation.problem import Problem
from v2g_nodes.planning.allocation.samples import COMMITMENT, equal_vehicles, reactive_load_kvar, sample_load_kw

SLOTS, SLOT_H = 12, 1.0


def draw() -> str:
    """The figure."""
    load = sample_load_kw(SLOTS, SLOT_H)
    figure, (left, right) = axes(2, 3.0)
    hours = np.arange(SLOTS + 1)
    left.step(hours, np.append(load, load[-1]), where="post", color="#8896a4", label="no vehicle")
    for count, color in zip((1, 3, 6), COLORS, strict=False):
        vehicles = equal_vehicles(count, SLOTS, SLOT_H, COMMITMENT)
        plan = allocate(Problem(vehicles, load, reactive_load_kvar(load, 0.95), SLOT_H, 1.0), reactive=False)
        left.step(hours, np.append(plan.grid_kw, plan.grid_kw[-1]), where="post", color=color,
                  label=f"{count} vehicle{'s' * (count > 1)}")
    right.step(hours, np.append(-plan.power_kw[0], -plan.power_kw[0, -1]), where="post", color=COLORS[2])
    right.set_title("Power of each of the six, > 0 charges")
    right.set_ylabel("power [kW]")
    left.set_title("Load of the transformer")
    left.set_ylabel("load [kW]")
    left.legend()
    for axis in (left, right):
        axis.set_xlabel("hour of the plan")
    return text_of(figure)
