"""What each round of an exact sum covers on a ring of eight: how often module 1 counts every module."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, GRID, axes, text_of

from v2g_nodes.core.averaging.ball_sum import BallSum, sum_plan
from v2g_nodes.core.graph import build_edges

MODULES = tuple(range(1, 9))


def draw() -> str:
    """The figure."""
    plan = sum_plan(MODULES, build_edges("ring", MODULES))
    sums = {k: BallSum(plan, k, [int(j == k) for j in MODULES]) for k in MODULES}
    rows = [np.array(sums[1].ball)]
    while not sums[1].done:
        balls = {k: one.ball for k, one in sums.items()}
        for k, one in sums.items():
            one.advance([balls[j] for j in plan.neighbours[k]])
        rows.append(np.array(sums[1].ball))
    rows.append(np.array(sums[1].total))
    figure, (axis,) = axes(height=2.6)
    table = np.array(rows)
    axis.pcolormesh(np.arange(9) + 0.5, np.arange(len(rows) + 1) - 0.5, table, cmap=_colors(), vmin=0, vmax=2,
                    edgecolors="white", linewidth=2)
    for row, values in enumerate(rows):
        for place, value in enumerate(values):
            axis.text(place + 1, row, str(value), ha="center", va="center", color="white" if value else GRID)
    axis.set_yticks(range(len(rows)), [*(f"after round {k}" for k in range(len(rows) - 1)), "total"])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xticks(MODULES)
    axis.set_xlabel("module whose number is in the sum that module 1 holds, and how often")
    axis.grid(False)
    return text_of(figure)


def _colors() -> object:
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#f3f5f7", ACCENT, "#06405c"])
