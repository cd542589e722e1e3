"""Whether the ROS graph is as the station file says: asked until it is, then never again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.node import Node

from v2g_nodes.msg import NeighborState
from v2g_nodes.nodes import events, streams
from v2g_nodes.nodes.base import ManagedNode

GRAPH_S = 0.25  # s, wall period of the look at the graph


class GraphCheck:
    """Tells the supervisor which edges are missing, then waits until all modules count on the same group.

    Stops looking, and listening to heartbeats, once all is there: nothing of it stays in the graph.

    Args:
        node: that looks; make this while it is activated.
        links: edges the graph must have: topic, publisher, subscriber, with a space between.
        module_ids: modules that must agree.
    """

    def __init__(self, node: ManagedNode[Any], links: Sequence[str], module_ids: Sequence[int]) -> None:
        self._node, self._module_ids = node, module_ids
        self._groups: dict[int, int] = {}
        self._heartbeats = [
            node.listen(streams.NEIGHBOR_STATE, self._on_heartbeat, f"/ek3_{k:02d}") for k in module_ids
        ]
        self._unseen: list[Sequence[str]] = [text.split(" ") for text in links]
        self._timer = node.every(GRAPH_S, self._look)

    def _on_heartbeat(self, message: NeighborState) -> None:
        self._groups[message.module_id] = message.membership

    def _look(self) -> None:
        self._unseen = still_unseen(self._node, self._unseen)
        missing = [*self._unseen]
        if not missing or all(link[1].endswith("/grid_signal") for link in missing):
            fingerprints = {self._groups.get(k) for k in self._module_ids}
            if len(fingerprints) > 1 or None in fingerprints:
                ends = (f"/ek3_{k:02d}/optimizer" for k in (min(self._module_ids), max(self._module_ids)))
                missing.append(["one membership", *ends])
        events.emit("link", missing=missing)
        if not missing:
            self._node.destroy_timer(self._timer)
            for heartbeat in self._heartbeats:
                self._node.destroy_subscription(heartbeat)


def still_unseen(node: Node, links: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Of these edges those that the graph does not show; each topic is looked up once.

    Args:
        node: that looks.
        links: topic, publisher, subscriber.
    """
    ends = {topic: ends_of(node, topic) for topic in {link[0] for link in links}}
    return [link for link in links if link[1] not in ends[link[0]][0] or link[2] not in ends[link[0]][1]]


def ends_of(node: Node, topic: str) -> tuple[set[str], set[str]]:
    """Full names of the nodes that publish a topic and of those that subscribe to it, as far as they are discovered."""
    publishers, subscribers = node.get_publishers_info_by_topic(topic), node.get_subscriptions_info_by_topic(topic)
    return {_full_name(info) for info in publishers}, {_full_name(info) for info in subscribers}


def _full_name(info: Any) -> str:  # noqa: ANN401 - rclpy's endpoint info
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
