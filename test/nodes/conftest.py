"""A bench for nodes: all in this process, turned by the thread of the test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import pytest
import rclpy
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node

from v2g_nodes.nodes import events
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.executor import WaitSetExecutor
from v2g_nodes.nodes.streams import Stream

Untyped: TypeAlias = Any  # what rclpy and the generated messages are to the type checker
Managed = TypeVar("Managed", bound=ManagedNode[Any])

LONG_S = 30.0  # a test that waits this long has failed
ANSWER_S = 5.0  # a question without an answer is asked again: a server of another process that has not discovered yet
# who listens for answers sends them to nobody, though the client sees it as ready
SUCCESS = TransitionCallbackReturn.SUCCESS


class Bench:
    """Nodes under test, and a peer that stands for everybody else in the graph."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.executor = WaitSetExecutor(context=context)
        self.nodes: list[Node] = []
        self._clients: dict[str, Untyped] = {}
        self.peer = Node("peer", context=context, start_parameter_services=False)
        self.add(self.peer)

    def add(self, node: Node) -> None:
        self.nodes.append(node)
        self.executor.add_node(node)

    def make(self, kind: type[Managed], name: str, namespace: str = "/", /, **parameters: object) -> Managed:
        """A node of a kind, not configured yet."""
        node = kind(name, namespace, parameters, self.context)
        self.add(node)
        return node

    def start(self, kind: type[Managed], name: str, namespace: str = "/", /, **parameters: object) -> Managed:
        """An active node of a kind."""
        node = self.make(kind, name, namespace, **parameters)
        assert node.trigger_configure() is SUCCESS, node.failure
        assert node.trigger_activate() is SUCCESS, node.failure
        return node

    def drop(self, node: Node) -> None:
        """Take a node away politely, as a process does at its end."""
        if getattr(node, "active", False):
            node.trigger_deactivate()
        self.nodes.remove(node)
        self.executor.remove_node(node)
        node.destroy_node()

    def heard(self, stream: Stream, namespace: str = "") -> list[Untyped]:
        """Messages of a stream from now on."""
        messages: list[Untyped] = []
        self.peer.create_subscription(stream.message, topic_of(stream, namespace), messages.append, stream.qos)
        return messages

    def sender(self, stream: Stream, namespace: str = "", listeners: int = 1) -> Untyped:
        """Publisher of a stream that so many nodes have discovered."""
        publisher = self.peer.create_publisher(stream.message, topic_of(stream, namespace), stream.qos)
        if listeners:
            self.until(lambda: publisher.get_subscription_count() >= listeners, f"{stream.topic} is heard")
        return publisher

    def ask(self, service: Untyped, name: str, **request: object) -> Untyped:
        """The answer of a service, asked as another process does."""
        if name not in self._clients:
            self._clients[name] = self.peer.create_client(service, name)
        client = self._clients[name]
        self.until(client.service_is_ready, f"{name} is there")
        futures: list[Untyped] = []
        asked_s = -math.inf

        def answered() -> bool:
            nonlocal asked_s
            if time.monotonic() > asked_s + ANSWER_S:
                asked_s = time.monotonic()
                futures.append(client.call_async(service.Request(**request)))
            return any(future.done() for future in futures)

        self.until(answered, f"{name} answers")
        return next(future.result() for future in futures if future.done())

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Turn the nodes until something is true."""
        end_s = time.monotonic() + LONG_S
        while not condition():
            assert time.monotonic() < end_s, f"waited in vain until {what or 'something happens'}"
            self.executor.spin_once(0.01)

    def spin(self, turns: int = 20) -> None:
        """Turn the nodes a little, for what must not happen."""
        for _ in range(turns):
            self.executor.spin_once(0.01)

    def close(self) -> None:
        for node in reversed(self.nodes):
            if getattr(node, "active", False):
                node.trigger_deactivate()
        for node in reversed(self.nodes):
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()


def topic_of(stream: Stream, namespace: str) -> str:
    return stream.topic if stream.topic.startswith("/") else f"{namespace}/{stream.topic}"


@pytest.fixture
def context(ros_domain_id: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    context.try_shutdown()


@pytest.fixture
def bench(context: Context) -> Iterator[Bench]:
    bench = Bench(context)
    yield bench
    bench.close()


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Events for the supervisor, as they come."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "emit", lambda event, **fields: seen.append({"event": event, **fields}))
    return seen
