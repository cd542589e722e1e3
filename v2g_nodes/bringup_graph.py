"""The ROS graph of a station as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v2g_nodes.core.graph import Edges, adjacency, build_edges, hops_from, normalise

MODULE_NODE = re.compile(r"/ek3_(\d\d)/(\w+)")
EXCHANGE_TOPICS = ("curve", "neighbor_state")  # by which neighbours hear each other


@dataclass(frozen=True)
class Link:
    """An edge of the ROS graph.

    Args:
        topic: full name.
        publisher: full node name.
        subscriber: full node name.
    """

    topic: str
    publisher: str
    subscriber: str


@dataclass(frozen=True)
class Topic:
    """A topic and who is at its ends.

    Args:
        name: full.
        kind: type of its messages.
        publishers: full node names, ascending.
        subscribers: likewise.
    """

    name: str
    kind: str
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]

    @property
    def edges(self) -> tuple[Link, ...]:
        """From each publisher to each subscriber; a node that hears itself is left out."""
        return tuple(Link(self.name, a, b) for a in self.publishers for b in self.subscribers if a != b)


@dataclass(frozen=True)
class GraphView:
    """A graph at one moment.

    Args:
        nodes: full names, ascending.
        topics: by name, ascending.
    """

    nodes: tuple[str, ...]
    topics: tuple[Topic, ...]

    @property
    def modules(self) -> dict[int, tuple[str, ...]]:
        """Names of each module's nodes, without their namespace, by id."""
        found: dict[int, list[str]] = {}
        for node in self.nodes:
            if match := MODULE_NODE.fullmatch(node):
                found.setdefault(int(match[1]), []).append(match[2])
        return {k: tuple(found[k]) for k in sorted(found)}

    @property
    def others(self) -> tuple[str, ...]:
        """Nodes that belong to no module."""
        return tuple(node for node in self.nodes if not MODULE_NODE.fullmatch(node))

    @property
    def edges(self) -> tuple[Link, ...]:
        """All edges."""
        return tuple(edge for topic in self.topics for edge in topic.edges)

    @property
    def heard(self) -> dict[int, tuple[int, ...]]:
        """By module: of which others its optimizer has all topics of the exchange."""
        ends: dict[tuple[int, int], set[str]] = {}
        for edge in self.edges:
            sender, receiver = MODULE_NODE.fullmatch(edge.publisher), MODULE_NODE.fullmatch(edge.subscriber)
            name = edge.topic.rpartition("/")[2]
            if sender and receiver and name in EXCHANGE_TOPICS and sender[1] != receiver[1]:
                ends.setdefault((int(receiver[1]), int(sender[1])), set()).add(name)
        return {k: tuple(sorted(j for (i, j), names in ends.items() if i == k and len(names) == len(EXCHANGE_TOPICS)))
                for k in self.modules}

    @property
    def links(self) -> Edges:
        """Modules that hear each other, as ascending pairs."""
        heard = self.heard
        return normalise((j, k) for k in heard for j in heard[k] if k in heard.get(j, ()))


def topology_of(ids: Sequence[int], links: Edges) -> str:
    """Topology of modules by their links, in words.

    Args:
        ids: of the modules, ascending.
        links: ascending pairs of ids.
    """
    count = len(ids)
    neighbours = adjacency(ids, links)
    degrees = sorted(map(len, neighbours.values()))
    if not links:
        return "no links between them"
    if len(hops_from(ids[0], neighbours)) < count:
        return f"in parts, {len(links)} links"
    if len(links) == count * (count - 1) // 2:
        return "all linked with all"
    if degrees == [2] * count:
        return "in a ring"
    if len(links) == count - 1 and degrees[-1] in (2, count - 1):
        return "in a line" if degrees[-1] == 2 else "in a star"
    return "in a mesh" if links == build_edges("mesh", ids) else f"with {len(links)} links"


def exchange_over(view: GraphView) -> str:
    """Node over which modules hear each other where they don't do so directly; empty if there is none."""
    bridges = {edge.subscriber for edge in view.edges
               if edge.topic.rpartition("/")[2] in EXCHANGE_TOPICS and "can_bridge" in edge.subscriber}
    return ", ".join(sorted(bridges))


def to_json(view: GraphView, missing: tuple[Sequence[str], Sequence[Link]] | None) -> Mapping[str, object]:
    """The graph as one JSON object; `missing` is null without a station file to compare with."""
    modules = view.modules
    return {
        "modules": [{"id": k, "nodes": [*modules[k]], "hears": [*view.heard[k]]} for k in modules],
        "others": [*view.others],
        "links": [[*link] for link in view.links],
        "topology": topology_of([*modules], view.links),
        "topics": [{"name": topic.name, "type": topic.kind, "publishers": [*topic.publishers],
                    "subscribers": [*topic.subscribers]} for topic in view.topics],
        "missing": None if missing is None else [*missing[0], *map(link_text, missing[1])],
    }


def link_text(link: Link) -> str:
    """An edge in words."""
    return f"{link.topic} from {link.publisher} to {link.subscriber}"
