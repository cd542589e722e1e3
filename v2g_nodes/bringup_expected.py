"""What the ROS graph of a station must hold, and what of it is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from v2g_nodes.bringup import Overrides, expected_links, process_plan
from v2g_nodes.bringup_graph import EXCHANGE_TOPICS, GraphView, Link
from v2g_nodes.station import Station, is_on_bus, station_hosts


@dataclass(frozen=True)
class ExpectedGraph:
    """What the station file says.

    Args:
        nodes: full names.
        edges: that must be there.
    """

    nodes: tuple[str, ...]
    edges: tuple[Link, ...]


def expected_graph(station: Station) -> ExpectedGraph:
    """Nodes and edges of a station, on all its hosts together.

    Raises:
        InputError: the station can't be run as it is.
    """
    plans = [process_plan(station, Overrides(host=host)) for host in station_hosts(station) or (None,)]
    nodes = sorted({node.full_name for plan in plans for node in plan.nodes})
    texts = {str(text) for plan in plans for node in plan.nodes if node.kind == "station_monitor"
             for text in _strings(node.parameters.get("links"))}
    links = {Link(*text.split(" ")) for text in texts}
    if not is_on_bus(station):  # no host waits for its neighbours on another one when it starts; here they count
        links |= {link for link in expected_links(station, station.modules)
                  if link.topic.rpartition("/")[2] in EXCHANGE_TOPICS}
    return ExpectedGraph(tuple(nodes), tuple(sorted(links, key=astuple)))


def missing_parts(view: GraphView, expected: ExpectedGraph) -> tuple[tuple[str, ...], tuple[Link, ...]]:
    """Nodes that are not there, and edges that are not although both of their nodes are."""
    nodes, edges = {*view.nodes}, {*view.edges}
    absent = tuple(node for node in expected.nodes if node not in nodes)
    open_ends = tuple(edge for edge in expected.edges
                      if edge not in edges and {edge.publisher, edge.subscriber} <= nodes)
    return absent, open_ends


def _strings(value: object) -> Iterable[str]:
    return value if isinstance(value, (list, tuple)) else ()
