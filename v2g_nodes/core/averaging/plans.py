"""Averaging methods by name."""

from __future__ import annotations

from functools import lru_cache

from v2g_nodes.core.averaging.average import AveragingPlan
from v2g_nodes.core.averaging.chebyshev import chebyshev_plan
from v2g_nodes.core.averaging.finite_time import finite_time_plan
from v2g_nodes.core.averaging.fixed_point import fixed_point_plan
from v2g_nodes.core.averaging.metropolis import metropolis_plan
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import Edges, adjacency, check_connected

AVERAGINGS = ("exact", "tree", "metropolis", "chebyshev", "finite_time")


@lru_cache(maxsize=64)
def averaging_plan(name: str, members: tuple[int, ...], edges: Edges, tolerance: float = 1e-6) -> AveragingPlan:
    """How a group averages by the named method.

    Args:
        name: one of AVERAGINGS.
        members: ids, ascending.
        edges: links between them, which join all.
        tolerance: what may remain of the first disagreement (2-norm) with a method that only converges, in (0, 1).

    Raises:
        InputError: unknown name, or a tolerance out of range.
        GraphError: an edge names a stranger, or the graph falls apart.
    """
    if name not in AVERAGINGS:
        raise InputError(f"averaging {name!r}, allowed {', '.join(AVERAGINGS)}")
    if not 0.0 < tolerance < 1.0:
        raise InputError(f"tolerance {tolerance}, allowed between 0 and 1")
    check_connected(members, edges)
    neighbours = adjacency(members, edges)
    if name == "metropolis":
        return metropolis_plan(neighbours, tolerance)
    if name == "chebyshev":
        return chebyshev_plan(neighbours, tolerance)
    if name == "finite_time":
        return finite_time_plan(neighbours)
    return fixed_point_plan(members, edges, tree=name == "tree")
