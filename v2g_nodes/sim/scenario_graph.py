"""The three stations of the scenarios as graphs: S10 a ring, M50 a grid with a pendant, L200 stars on a ring."""

from __future__ import annotations

from typing import Literal, get_args

from v2g_nodes.core.averaging.metropolis import metropolis_plan
from v2g_nodes.core.graph import Edges, adjacency, build_edges, normalise

StationName = Literal["S10", "M50", "L200"]
STATIONS: tuple[StationName, ...] = get_args(StationName)

CLUSTERS = {"S10": 1, "M50": 1, "L200": 10}
# The heads of L200 are modules of their clusters, so that there are 200 modules (660 kW); a head has 19 others.
CLUSTER_MODULES = {"S10": 10, "M50": 50, "L200": 20}
METROPOLIS_TOLERANCE = 1e-3  # disagreement left, as the sources count rounds


def module_count(station: StationName) -> int:
    """Modules of a station."""
    return CLUSTERS[station] * CLUSTER_MODULES[station]


def station_graph(station: StationName) -> tuple[tuple[int, ...], Edges]:
    """Ids and links of a station.

    S10 is a ring of 10. M50 is a grid of 7 x 7 with the fiftieth module hung on a corner, which is where it has the
    spectral gap of 0.0385 that the sources give. L200 is a ring of ten heads, each the centre of a star of twenty.
    """
    ids = tuple(range(1, module_count(station) + 1))
    if station == "S10":
        return ids, build_edges("ring", ids)
    if station == "M50":
        return ids, normalise((*build_edges("mesh", ids[:49]), (49, 50)))
    heads = ids[:: CLUSTER_MODULES[station]]
    spokes = [(head, head + k) for head in heads for k in range(1, CLUSTER_MODULES[station])]
    return ids, normalise((*build_edges("ring", heads), *spokes))


def metropolis_rounds(station: StationName) -> int:
    """Rounds that averaging with Metropolis weights would take for 1e-3, for comparison."""
    return metropolis_plan(adjacency(*station_graph(station)), METROPOLIS_TOLERANCE).rounds
