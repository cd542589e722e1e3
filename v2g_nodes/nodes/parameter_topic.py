"""The parameters in force on a topic of their own, latched: what records of a run must hold, whoever makes them.

`/parameter_events` tells only what changes while somebody listens.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from rcl_interfaces.msg import ParameterEvent
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher


class ParameterTopic:
    """Tells all parameters of a node.

    Args:
        node: which.
        kind: dataclass of its parameters.
        publisher: of the topic.
    """

    def __init__(self, node: LifecycleNode, kind: type[Any], publisher: Publisher) -> None:
        self._node, self._publisher = node, publisher
        self._names = [field.name for field in dataclasses.fields(kind)] + ["use_sim_time"]
        self.tell()

    def tell(self) -> None:
        """Tell them as they are now; an empty array without a type is left out."""
        node = self._node
        known = [name for name in self._names if node.has_parameter(name)]
        self._publisher.publish(
            ParameterEvent(
                stamp=node.get_clock().now().to_msg(),
                node=node.get_fully_qualified_name(),
                new_parameters=[item.to_parameter_msg() for item in node.get_parameters(known)],
            )
        )
