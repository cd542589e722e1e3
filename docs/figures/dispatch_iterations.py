"""How the five algorithms approach the optimum of one random station of sixteen on a ring."""

from __future__ import annotations

import numpy as np
from drawing import axes, text_of

from v2g_nodes.cli.dispatch_trial import build_agents, random_instance
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.graph import adjacency
from v2g_nodes.sim.network import LossyNetwork, play_epoch

LEAST = 1e-9  # drawn in place of less


def draw() -> str:
    """The figure."""
    figure, (left, right) = axes(2, 3.1)
    for method in METHODS:
        instance = random_instance("ring", 16, seed=0, trial=0)
        best = np.array(dispatch_optimum(instance.costs, instance.boxes, instance.clipped_kw).powers_kw)
        agents = build_agents(instance, method)
        play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges)))
        powers = np.array([agent.trace_kw for agent in agents.values()]).T
        count = np.arange(1, len(powers) + 1)
        missing = np.abs(powers.sum(axis=1) - instance.clipped_kw) / instance.rating_kw
        apart = np.abs(powers - best).max(axis=1)
        left.plot(count, np.maximum(missing, LEAST), ".-", label=method, markersize=4)
        right.plot(count, np.maximum(apart, LEAST), ".-", label=method, markersize=4)
    left.set_title("Missing power over rating")
    right.set_title("Distance from the optimum [kW]")
    for axis in (left, right):
        axis.set_yscale("log")
        axis.set_xlabel("iteration (times the modules answered)")
    right.legend()
    return text_of(figure)
