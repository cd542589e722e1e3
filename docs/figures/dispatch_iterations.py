"""How the five algorithms approach the optimum of one random station of sixteen on a ring."""

from __future__ import annotations

from drawing import axes, text_of

from v2g_nodes.cli.dispatch_trial import build_agents, random_instance
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.graph import adjacency
from v2g_nodes.sim.network import LossyNetwork, play_epoch


def draw() -> str:
    """The figure."""
    figure, (left, right) = axes(2, 3.1)
    for method in METHODS:
        instance = random_instance("ring", 16, seed=0, trial=0)
        agents = build_agents(instance, method)
        rounds = play_epoch(agents, LossyNetwork(adjacency(instance.group.members, instance.group.edges)))
        traces = [agent.trace_kw for agent in agents.values()]
        count = len(traces[0])
        missing = [abs(sum(trace[k] for trace in traces) - instance.clipped_kw) / instance.rating_kw for k in range(count)]
        gaps = [max(abs(instance.quality([trace[k] for trace in traces])[0]), 1e-10) for k in range(count)]
        steps = [(k + 1) / count * rounds for k in range(count)]
        left.plot(steps, [max(one, 1e-10) for one in missing], ".-", label=method, markersize=4)
        right.plot(steps, gaps, ".-", label=method, markersize=4)
    left.set_title("Missing power over rating")
    right.set_title("Gap to the optimum of the same sum")
    for axis in (left, right):
        axis.set_yscale("log")
        axis.set_xscale("log")
        axis.set_xlabel("rounds (messages of each module)")
    left.legend()
    return text_of(figure)
