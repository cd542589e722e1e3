"""What one average costs on a graph, and what a member must know for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from v2g_nodes.core.averaging.plans import AVERAGINGS, averaging_plan
from v2g_nodes.core.averaging.ratio import RatioAverage
from v2g_nodes.core.dispatch.methods import AVERAGE_TOLERANCE
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.sim.network import LossyNetwork

ROUNDS_MAX = 2000  # an average that takes longer is named and not run
LOSS = 0.2  # of the frames, in the second row of the average that is measured under losses

MUST_KNOW = {
    "exact": "members and links",
    "tree": "members and links",
    "metropolis": "neighbours' degrees; the spectrum to count rounds",
    "chebyshev": "degrees; the ends of the spectrum",
    "finite_time": "the whole spectrum",
    "ratio": "own number of hearers",
}

Row = dict[str, object]


def average_rows(graphs: Sequence[tuple[str, int]], seed: int) -> list[Row]:
    """One row for each average, one column for each graph: rounds.

    Those of the averages that go in lockstep follow from their plan; those of the ratio are played.

    Args:
        graphs: topology and number of modules.
        seed: of values and losses.
    """
    rows: list[Row] = []
    for name in AVERAGINGS:
        rounds = {f"{topology} {n}": average_rounds(name, topology, n) for topology, n in graphs}
        rows.append({"averaging": name, "must know": MUST_KNOW[name], **rounds})
    for loss, name in ((0.0, "ratio"), (LOSS, f"ratio, {LOSS:.0%} loss")):
        played = {f"{topology} {n}": ratio_rounds(topology, n, loss, seed) for topology, n in graphs}
        rows.append({"averaging": name, "must know": MUST_KNOW["ratio"], **played})
    return rows


def average_rounds(name: str, topology: str, modules: int) -> int:
    """Broadcasts of each member for one average without losses."""
    ids = tuple(range(1, modules + 1))
    return averaging_plan(name, ids, build_edges(topology, ids), AVERAGE_TOLERANCE).rounds


def ratio_rounds(topology: str, modules: int, loss: float, seed: int) -> int | None:
    """Rounds until the members of a ratio consensus have come as close as the others; None: not in ROUNDS_MAX."""
    ids = tuple(range(1, modules + 1))
    neighbours = adjacency(ids, build_edges(topology, ids))
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, modules)
    mean, first = float(values.mean()), float(np.linalg.norm(values - values.mean()))
    members = {k: RatioAverage(len(neighbours[k]), (float(values[k - 1]),)) for k in ids}
    network = LossyNetwork(neighbours, loss, per_frame=topology == "bus", seed=seed)
    for elapsed in range(ROUNDS_MAX):
        if math.dist([members[k].mean[0] for k in ids], [mean] * modules) <= AVERAGE_TOLERANCE * first:
            return elapsed
        sent: dict[int, list[tuple[int, tuple[float, ...]]]] = {k: [(k, members[k].broadcast())] for k in ids}
        for k, heard in network.deliver(sent).items():
            for sender, sums in heard:
                members[k].receive(sender, sums)
    return None
