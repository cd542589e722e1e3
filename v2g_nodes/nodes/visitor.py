"""A short-lived node beside a running station, in its ROS domain: the operator's tools, the look at the graph."""

from __future__ import annotations

import os
import signal
from types import TracebackType
from typing import TypeVar

from rclpy.node import Node

from v2g_nodes.bringup_dds import check_loopback
from v2g_nodes.core.errors import V2gError
from v2g_nodes.nodes.spin import RosProcess

V = TypeVar("V", bound="Visitor")


class Visitor:
    """A context manager: the node leaves the graph at its end. End the process by `leave` (nodes/spin.py) then.

    Args:
        name: of the node; the process's number is added.
        domain_id: DDS domain; None takes ROS_DOMAIN_ID.
    """

    def __init__(self, name: str, domain_id: int | None = None) -> None:
        self._process = RosProcess(domain_id=domain_id)
        self._node = Node(f"{name}_{os.getpid()}", context=self._process.context, enable_rosout=False,
                          start_parameter_services=False)
        self._process.add(self._node)
        check_loopback()

    def __enter__(self: V) -> V:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()
        if kind is None or issubclass(kind, V2gError):
            signal.alarm(0)  # it is closed; what the caller has to say or write may take longer than that
