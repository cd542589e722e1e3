"""The managed node all others are built on: parameters, streams, lifecycle, times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription

from v2g_nodes.core.errors import V2gError
from v2g_nodes.nodes.parameters import declare
from v2g_nodes.nodes.streams import Stream

P = TypeVar("P")
NS_PER_S = 1_000_000_000


class ManagedNode(LifecycleNode, Generic[P]):
    """A lifecycle node with declared parameters and streams of the table.

    A sub-class sets `PARAMETERS` and overrides `configure`, `activate`, `deactivate`.

    Args:
        name: node name.
        namespace: `/` or `/ek3_NN`.
        overrides: values of parameters.
        context: rclpy context.
    """

    PARAMETERS: type[P]

    def __init__(
        self, name: str, namespace: str, overrides: dict[str, object], context: Context | None = None
    ) -> None:
        super().__init__(
            name,
            namespace=namespace or None,
            context=context,
            parameter_overrides=[Parameter(key, value=_plain(value)) for key, value in overrides.items()],
        )
        self.active = False
        self.problem = ""  # why the last transition failed
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)  # of agents and time-outs
        self.p: P = declare(self, self.PARAMETERS)

    def configure(self) -> None:
        """Build what the node needs; raise a V2gError to refuse."""

    def activate(self) -> None:
        """Begin to act."""

    def deactivate(self) -> None:
        """Stop acting, leaving things safe."""

    def publisher(self, stream: Stream) -> Publisher:
        """Publisher of a stream of this node."""
        return self.create_publisher(stream.message, stream.topic, stream.qos)

    def listen(self, stream: Stream, callback: Callable[..., None], namespace: str = "") -> Subscription:
        """Subscribe to a stream, of another namespace if given."""
        topic = f"{namespace}/{stream.topic}" if namespace and not stream.topic.startswith("/") else stream.topic
        return self.create_subscription(stream.message, topic, callback, stream.qos)

    def now_s(self) -> float:
        """ROS time [s]: the clock of laws."""
        return self.get_clock().now().nanoseconds / NS_PER_S

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        return self._transition(self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        result = self._transition(self.activate)
        if result is TransitionCallbackReturn.SUCCESS:
            self.active = True
            return super().on_activate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        self.active = False
        self._transition(self.deactivate)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: back to unconfigured, everything the node made is gone."""
        for item in [*self.subscriptions]:
            if not item.topic_name.endswith("/parameter_events") and item.topic_name != "/clock":
                self.destroy_subscription(item)
        for item in [*self.timers]:
            self.destroy_timer(item)
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        if self.active:
            self.active = False
            self._transition(self.deactivate)
        return TransitionCallbackReturn.SUCCESS

    def _transition(self, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            action()
        except V2gError as error:
            self.problem = str(error)
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS


def _plain(value: object) -> Any:  # noqa: ANN401 - rclpy takes any parameter value
    return list(value) if isinstance(value, tuple) else value
