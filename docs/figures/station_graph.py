"""The nodes of the default station and who hears whom, as `v2g graph` draws them, from the process plan."""

from __future__ import annotations

from v2g_nodes.bringup_expected import expected_graph
from v2g_nodes.bringup_graph import GraphView, Topic
from v2g_nodes.cli.graph_svg import graph_svg
from v2g_nodes.station import default_station


def draw() -> str:
    """The figure."""
    expected = expected_graph(default_station(8))
    names = sorted({edge.topic for edge in expected.edges})
    topics = []
    for name in names:
        edges = [edge for edge in expected.edges if edge.topic == name]
        ends = (tuple(sorted({getattr(edge, end) for edge in edges})) for end in ("publisher", "subscriber"))
        topics.append(Topic(name, "", *ends))
    return graph_svg(GraphView(expected.nodes, tuple(topics)), "default station: eight modules in a ring")
