"""Nodes played on a clock of the test: real node classes whose timers, topics and ticks are events in one queue.

Everything a node hears and says is kept, so one node can be played again alone from what it heard.
"""

from __future__ import annotations

import copy
import heapq
import inspect
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pytest
from rclpy.context import Context

from v2g_nodes.nodes import tick_group
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.streams import Stream
from v2g_nodes.nodes.ticker import Tick

from .conftest import SUCCESS

BEGIN_S = 1_790_000_000  # Unix time
STEADY_NS = 5_000_000_000_000
LATENCY_NS = 1_000_037  # never at the time of a timer, so that the order of events does not hang on a tie

Message: TypeAlias = Any  # any ROS message, and what JSON holds of it
Event = tuple[int, int, Callable[[], object]]


class Out:
    """A publisher."""

    def __init__(self, stage: Stage, node: str, topic: str) -> None:
        self._stage, self._node, self.topic = stage, node, topic

    def publish(self, message: Message) -> None:
        self._stage.say(self._node, self.topic, message)

    def get_subscription_count(self) -> int:
        return 1


class Seat:
    """A place among the ticks, without a thread."""

    def __init__(self, stage: Stage, rate_hz: float, callback: Callable[[Tick], None]) -> None:
        self.overruns, self.failed, self.called = 0, False, False
        self._stage, self._callback, self._period_ns = stage, callback, round(1e9 / rate_hz)
        self._left = False
        self._next(stage.now_ns + self._period_ns)

    def _next(self, due_ns: int) -> None:
        def tick() -> None:
            if not self._left:
                self._callback(Tick(due_ns, 0, 0))
                self._next(due_ns + self._period_ns)

        self._stage.at(due_ns, tick)

    def wake(self) -> None:
        if not self._left:
            now_ns = self._stage.now_ns
            self._stage.at(now_ns, lambda: None if self._left else self._callback(Tick(now_ns, None, 0)))

    def leave(self) -> bool:
        self._left = True
        return True


class Stage:
    """Makes nodes of a process plan and lets time pass.

    Args:
        context: of ROS.
        patch: takes time and topics away from the nodes.
        connected: whether nodes hear each other; else only what is given to `hear`.
    """

    def __init__(self, context: Context, patch: pytest.MonkeyPatch, connected: bool) -> None:
        self.now_ns = STEADY_NS
        self._connected = connected
        self._context = context
        self._events: list[Event] = []
        self._order = itertools.count()
        self._listeners: dict[str, list[tuple[str, Stream, Callable[..., None]]]] = {}
        self.nodes: list[ManagedNode[Any]] = []
        self.said: list[tuple[int, str, str, Any]] = []  # steady ns, node, topic, message
        self.heard: list[tuple[int, str, str, Any]] = []
        for name, clock in (("monotonic", self.steady_s), ("monotonic_ns", lambda: self.now_ns),
                            ("time", self.unix_s), ("time_ns", self.unix_ns)):  # fmt: skip
            patch.setattr(time, name, clock)
        patch.setattr(ManagedNode, "_ros_s", lambda _: self.unix_s())
        patch.setattr(ManagedNode, "publisher", lambda node, stream: Out(self, *_names(node, stream.topic)))
        patch.setattr(ManagedNode, "listen", _method(self._listen))
        patch.setattr(ManagedNode, "every", _method(self._every))
        patch.setattr(tick_group, "join", lambda rate_hz, callback: Seat(self, rate_hz, callback))

    def unix_ns(self) -> int:
        return BEGIN_S * 10**9 + self.now_ns - STEADY_NS

    def unix_s(self) -> float:
        return self.unix_ns() / 1e9

    def steady_s(self) -> float:
        return self.now_ns / 1e9

    def start(self, specs: Sequence[Mapping[str, Any]]) -> None:
        """Make, configure and activate nodes at the present moment."""
        made = [KINDS[spec["kind"]](spec["name"], spec["namespace"], dict(spec["parameters"]), self._context)
                for spec in specs]  # fmt: skip
        self.nodes += made
        for node in made:
            assert node.trigger_configure() is SUCCESS, node.failure
            assert node.trigger_activate() is SUCCESS, node.failure

    def at(self, due_ns: int, action: Callable[[], object]) -> None:
        heapq.heappush(self._events, (due_ns, next(self._order), action))

    def say(self, node: str, topic: str, message: Message) -> None:
        kept = copy.deepcopy(message)
        self.said.append((self.now_ns, node, topic, kept))
        if self._connected:
            for number, (hearer, _, _) in enumerate(self._listeners.get(topic, ())):
                self.hear(self.now_ns + LATENCY_NS + number, hearer, topic, kept)

    def hear(self, due_ns: int, hearer: str, topic: str, message: Message) -> None:
        """Let a node hear a message."""

        def deliver() -> None:
            for name, _, callback in self._listeners.get(topic, ()):
                if name == hearer:
                    self.heard.append((self.now_ns, hearer, topic, message))
                    info = {"source_timestamp": self.unix_ns() - LATENCY_NS}
                    callback(*([message, info] if len(inspect.signature(callback).parameters) == 2 else [message]))

        self.at(due_ns, deliver)

    def stream(self, topic: str) -> Stream:
        return self._listeners[topic][0][1]

    def run(self, until_ns: int) -> None:
        while self._events and self._events[0][0] <= until_ns:
            self.now_ns, _, action = heapq.heappop(self._events)
            action()
        self.now_ns = until_ns

    def close(self) -> None:
        for node in reversed(self.nodes):
            node.destroy_node()

    def _listen(
        self, node: ManagedNode[Any], stream: Stream, callback: Callable[..., None], namespace: str = "",
        raw: bool = False,
    ) -> None:  # fmt: skip
        topic = f"{namespace}/{stream.topic}" if namespace and not stream.topic.startswith("/") else stream.topic
        name, full = _names(node, topic)
        self._listeners.setdefault(full, []).append((name, stream, callback))

    def _every(self, node: ManagedNode[Any], period_s: float, callback: Callable[[], None]) -> None:
        def fire(due_ns: int) -> None:
            callback()
            self.at(due_ns + round(period_s * 1e9), lambda: fire(due_ns + round(period_s * 1e9)))

        first_ns = self.now_ns + round(period_s * 1e9)
        self.at(first_ns, lambda: fire(first_ns))


def _method(function: Callable[..., None]) -> Callable[..., None]:
    """What may stand in a class for a method, though it is bound already."""

    def call(node: ManagedNode[Any], *how: Any, **more: Any) -> None:  # noqa: ANN401 - as the method's
        function(node, *how, **more)

    return call


def _names(node: ManagedNode[Any], topic: str) -> tuple[str, str]:
    name = node.get_fully_qualified_name()
    if topic.startswith("/"):
        return name, topic
    return name, f"{name}{topic[1:]}" if topic.startswith("~") else f"{node.get_namespace().rstrip('/')}/{topic}"


def plain(value: Message) -> Message:
    """A message as JSON holds it."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if hasattr(value, "tolist"):  # arrays and numbers of numpy, arrays of Python
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def message_of(kind: type[Any], fields: Mapping[str, Any]) -> Message:
    """Inverse of `plain`."""
    message = kind()
    for name, value in fields.items():
        before = getattr(message, name)
        setattr(message, name, message_of(type(before), value) if isinstance(value, dict) else value)
    return message
