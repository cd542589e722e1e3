"""A look at the ROS graph of this domain, from a short-lived node beside the station."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from v2g_nodes.bringup_graph import GraphView, Topic
from v2g_nodes.core.errors import StartupError
from v2g_nodes.nodes.graph_check import ends_of
from v2g_nodes.nodes.visitor import Visitor

FIND_S = 6.0  # a node that joins late was seen after 0.3 to 1.4 s; some more for a busy machine
SETTLED_S = 1.0  # nothing new for so long: that is all
SETTLED_SHORT_S = 3.0  # the same where something is known to be missing
TURN_S = 0.1  # longest wait between two looks
EVERYWHERE = ("/rosout", "/parameter_events")  # every node has them; they only hide the others
HIDDEN = "_"  # names that begin so are of tools (ROS 2 design, topic and service names)


class GraphLook(Visitor):
    """Looks at the graph; hidden from it by its name.

    Args:
        domain_id: DDS domain; None takes ROS_DOMAIN_ID.
    """

    def __init__(self, domain_id: int | None = None) -> None:
        super().__init__(f"{HIDDEN}graph", domain_id)

    def look(self, complete: Callable[[GraphView], bool] | None = None) -> GraphView:
        """The graph, once nothing new has shown for a while.

        Args:
            complete: whether nothing is missing: then there is no need to wait; None = not known.

        Raises:
            StartupError: no module in this domain.
            KeyboardInterrupt: asked to end.
        """
        begun_s = since_s = time.monotonic()
        view = self._view()
        settled_s = SETTLED_S if complete is None else SETTLED_SHORT_S
        while time.monotonic() - begun_s < FIND_S:
            self._process.executor.spin_once(timeout_sec=TURN_S)
            if self._process.stop_reason is not None:
                raise KeyboardInterrupt
            before, view = view, self._view()
            if view != before:
                since_s = time.monotonic()
            settled = time.monotonic() - since_s > settled_s
            if view.modules and (settled or (complete is not None and complete(view))):
                break
        if not view.modules:
            raise StartupError(f"no node of a module in ROS domain {os.environ.get('ROS_DOMAIN_ID') or '0'} within "
                               f"{FIND_S:g} s: is the station up, and in this domain (ROS_DOMAIN_ID)?")
        return view

    def _view(self) -> GraphView:
        own = self._node.get_fully_qualified_name()
        names = (f"{space.rstrip('/')}/{name}" for name, space in self._node.get_node_names_and_namespaces())
        nodes = {name for name in names if name != own and not name.rpartition("/")[2].startswith(HIDDEN)}
        topics = []
        for name, kinds in self._node.get_topic_names_and_types():
            if name not in EVERYWHERE:
                publishers, subscribers = ends_of(self._node, name)
                topics.append(Topic(name, ", ".join(kinds), tuple(sorted(publishers & nodes)),
                                    tuple(sorted(subscribers & nodes))))
        return GraphView(tuple(sorted(nodes)), tuple(sorted(topics, key=lambda topic: topic.name)))
