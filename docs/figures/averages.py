"""Disagreement on a ring of sixteen, round by round, for every averaging method of the project."""

from __future__ import annotations

import numpy as np
from drawing import axes, text_of

from v2g_nodes.core.averaging.plans import AVERAGINGS, averaging_plan
from v2g_nodes.core.averaging.ratio import RatioAverage
from v2g_nodes.core.graph import adjacency, build_edges

MEMBERS = tuple(range(1, 17))
EDGES = build_edges("ring", MEMBERS)
ROUNDS = 180


def draw() -> str:
    """The figure."""
    values = np.random.default_rng(3).normal(size=len(MEMBERS))
    first = float(np.linalg.norm(values - values.mean()))
    figure, (axis,) = axes(height=3.2)
    for name in AVERAGINGS:
        plan = averaging_plan(name, MEMBERS, EDGES, 1e-4)
        sides = {k: plan.start(k, (float(v),)) for k, v in zip(MEMBERS, values, strict=True)}
        left = []
        for _ in range(plan.rounds):
            messages = {k: side.message for k, side in sides.items()}
            for k, side in sides.items():
                side.advance([messages[j] for j in plan.neighbours[k]])
            if not plan.fixed_point:
                left.append(_left([side.mean[0] for side in sides.values()], values, first))
        if plan.fixed_point:
            axis.plot([plan.rounds], [_left([side.mean[0] for side in sides.values()], values, first)], "o", label=name)
        else:
            axis.plot(range(1, plan.rounds + 1), left, label=name)
    neighbours = adjacency(MEMBERS, EDGES)
    ratio = {k: RatioAverage(len(neighbours[k]), (float(v),)) for k, v in zip(MEMBERS, values, strict=True)}
    left = []
    for _ in range(ROUNDS):
        frames = {k: side.broadcast() for k, side in ratio.items()}
        for k, side in ratio.items():
            for j in neighbours[k]:
                side.receive(j, frames[j])
        left.append(_left([side.mean[0] for side in ratio.values()], values, first))
    axis.plot(range(1, ROUNDS + 1), left, label="ratio", linestyle=(0, (4, 3)))
    axis.set_yscale("log")
    axis.set_ylim(1e-12, 2)
    axis.set_xlim(0, ROUNDS)
    axis.set_xlabel("rounds")
    axis.set_ylabel("distance from the mean, relative")
    axis.legend(ncols=2)
    return text_of(figure)


def _left(means: list[float], values: np.ndarray, first: float) -> float:
    return max(float(np.linalg.norm(np.array(means) - values.mean())) / first, 1e-12)
