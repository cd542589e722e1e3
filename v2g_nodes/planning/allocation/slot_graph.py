"""Which strategies of a vehicle exchange resource: a connected graph over the slots of its stay.

Every vehicle has a graph of its own. One graph over the strategies of all vehicles would let energy leak from one
battery to another; vehicles are coupled through the grid's load alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.types import FloatArray

GRAPHS = ("complete", "ring", "line", "star", "mesh")


def laplacian(graph: str, slots: int) -> FloatArray:
    """Laplacian of the graph over the slots of a stay, all weights 1, shape (slots, slots).

    Raises:
        InputError: unknown graph.
    """
    if graph not in GRAPHS:
        raise InputError(f"graph {graph!r}, allowed {', '.join(GRAPHS)}")
    result = np.zeros((slots, slots))
    for a, b in build_edges("bus" if graph == "complete" else graph, range(slots)):
        result[[a, b], [a, b]] += 1.0
        result[[a, b], [b, a]] -= 1.0
    return result


@lru_cache(maxsize=512)
def path_metric(graph: str, slots: int) -> FloatArray:
    """The Laplacian's pseudo-inverse on changes of the charge path: d'L+d for d = differences of a path.

    A change of strategies that keeps their sum is the difference of a path that begins and ends at zero; the path
    inside has slots - 1 values.

    Returns:
        Shape (slots - 1, slots - 1).
    """
    inverse = np.linalg.inv(laplacian(graph, slots) + 1.0 / slots)  # equals L+ on vectors that sum to zero
    step = np.eye(slots, slots - 1) - np.eye(slots, slots - 1, -1)
    result: FloatArray = step.T @ inverse @ step
    return result
