"""The managed node all others are built on: parameters, streams, lifecycle, times."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from v2g_nodes.audit import AuditLog
from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.nodes import events
from v2g_nodes.nodes.parameter_topic import ParameterTopic
from v2g_nodes.nodes.parameters import RunParameters, changes, declare
from v2g_nodes.nodes.requests import guard_services, state_of
from v2g_nodes.nodes.streams import PARAMETERS, Stream

P = TypeVar("P", bound=RunParameters)
Entity: TypeAlias = Publisher | Subscription | Timer
AUDIT_S = 1.0  # s, at the end, for what the audit log has still to write
NS_PER_S = 1_000_000_000


class ManagedNode(LifecycleNode, Generic[P]):
    """A lifecycle node with declared parameters and streams of the table.

    A sub-class sets `PARAMETERS` and overrides `configure`, `activate`, `deactivate`, `cleanup` and `apply`. What it
    makes with `publisher`, `listen` and `every` goes with the step it was made in: all of `activate` and later on
    deactivation, all of `configure` on cleanup. Parameters are `self.p`, always as they are now.

    Args:
        name: node name.
        namespace: `/` or `/ek3_NN`.
        overrides: values of parameters.
        context: rclpy context.

    Raises:
        InputError: a parameter that can't be used.
    """

    PARAMETERS: type[P]

    def __init__(
        self, name: str, namespace: str, overrides: dict[str, object], context: Context | None = None
    ) -> None:
        super().__init__(
            name,
            namespace=namespace or None,
            context=context,
            parameter_overrides=[_override(key, value) for key, value in overrides.items()],
        )
        self.active = False
        self.configured = False
        self.audit = AuditLog(None)
        self.last_words: Callable[[], None] = lambda: None  # said when the node has stopped acting
        self.failure: Exception | None = None  # why the last transition failed
        self._simulated_time = False  # found out once: laws ask at every tick, and rclpy takes its time
        self._made_to_configure: list[Entity] = []
        self._made_to_act: list[Entity] = []
        self._made = self._made_to_configure
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)  # of agents and time-outs
        try:
            self.p: P = declare(self, self.PARAMETERS)
            if self.p.speed != 1.0 and not self.get_parameter("use_sim_time").value:
                raise InputError(
                    f"{self.get_fully_qualified_name()}: parameter speed is {self.p.speed}, "
                    "allowed without use_sim_time is 1.0"
                )
        except InputError:
            self.destroy_node()
            raise
        self.audit = AuditLog(Path(self.p.audit_file) if self.p.audit_file else None, self._tell_audit_error)
        guard_services(self, self._note_transition)

    def destroy_node(self) -> None:
        """As rclpy's, after an orderly end, and without the state machine, which would keep it in the graph."""
        self._end()
        self.audit.flush(AUDIT_S)
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def configure(self) -> None:
        """Build what the node needs; raise a V2gError to refuse."""

    def activate(self) -> None:
        """Begin to act."""

    def deactivate(self) -> None:
        """Stop acting, leaving things safe."""

    def cleanup(self) -> None:
        """Let go of what `configure` opened, besides publishers, subscriptions and timers."""

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Take over parameters that are set while the node runs; for what was made of them, as `self.p` follows.

        Args:
            changes: new values by name, settable ones of the right type and within bounds; `self.p` still has the old.

        Returns:
            Why none of them can be taken; empty when all are.
        """
        return ""

    def set_parameters(self, parameter_list: Sequence[Parameter]) -> list[SetParametersResult]:
        """As rclpy's: one by one."""
        return [self.set_parameters_atomically([item]) for item in parameter_list]

    def set_parameters_atomically(self, parameter_list: Sequence[Parameter]) -> SetParametersResult:
        """As rclpy's: all or none. Both services end here. A refusal says in one line what was found and is allowed."""
        found, reason = changes(self, self.p, parameter_list)
        try:
            reason = reason or (self.apply(found) if found else "")
        except V2gError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - whoever sets a parameter must not end control
            self.get_logger().error(traceback.format_exc())
            reason = f"{type(error).__name__}: {error}"
        for name, value in ({item.name: item.value for item in parameter_list} if reason else found).items():
            self.audit.append("parameter", self.get_fully_qualified_name(), name=name, value=value,
                              before=getattr(self.p, name, None), refused=reason)  # fmt: skip
        if reason:
            self.get_logger().warning(f"parameter not set: {reason}")
            return SetParametersResult(successful=False, reason=reason)
        self.p = replace(self.p, **found)
        result: SetParametersResult = super().set_parameters_atomically(
            [item for item in parameter_list if item.name in found]
        )
        if self.configured and found:
            self._in_force.tell()
        return result

    def publisher(self, stream: Stream) -> Publisher:
        """Publisher of a stream of this node."""
        entity = self.create_publisher(stream.message, stream.topic, stream.qos)
        self._made.append(entity)
        return entity

    def listen(
        self, stream: Stream, callback: Callable[..., None], namespace: str = "", raw: bool = False
    ) -> Subscription:
        """Subscribe to a stream, of another namespace if given; raw: the callback gets bytes."""
        topic = f"{namespace}/{stream.topic}" if namespace and not stream.topic.startswith("/") else stream.topic
        entity = self.create_subscription(stream.message, topic, callback, stream.qos, raw=raw)
        self._made.append(entity)
        return entity

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Timer on the steady clock [s]."""
        entity = self.create_timer(period_s, callback, clock=self.steady_clock)
        self._made.append(entity)
        return entity

    def now_s(self) -> float:
        """ROS time [s]: the clock of stamps and epochs, the same at all nodes; 0 before the first simulated time."""
        return self._ros_s() + self.p.trial_clock_step_s

    def law_s(self) -> float:
        """Clock of laws [s]: ROS time where it is simulated, else the steady one, which never steps."""
        return self._ros_s() if self._simulated_time else time.monotonic()

    def _note_transition(self, asked: str, before: str, success: bool) -> None:
        """A transition was asked for from outside: log, audit log, and whoever supervises."""
        name, state = self.get_fully_qualified_name(), state_of(self)
        refused = "" if success else str(self.failure or f"not from state {before}")
        if success:
            self.get_logger().info(f"{asked}: {before} -> {state}")
        else:
            self.get_logger().warning(f"{asked} refused, state is {state}: {refused}")
        self.audit.append("transition", name, name=asked, before=before, state=state, refused=refused)
        events.emit("state", node=name, state=state)

    def _tell_audit_error(self, text: str) -> None:
        self.get_logger().error(text, throttle_duration_sec=5.0)

    def _ros_s(self) -> float:
        return self.get_clock().now().nanoseconds / NS_PER_S

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        self._made = self._made_to_configure
        self._simulated_time = self.get_clock().ros_time_is_active
        result = self._transition(self.configure)
        self.configured = result is TransitionCallbackReturn.SUCCESS
        if self.configured:
            self._in_force = ParameterTopic(self, self.PARAMETERS, self.publisher(PARAMETERS))
        else:
            self._destroy(self._made_to_configure)
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        self._made = self._made_to_act
        result = self._transition(self.activate)
        self.active = result is TransitionCallbackReturn.SUCCESS
        if not self.active:
            self._destroy(self._made_to_act)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: stops whatever goes wrong on the way."""
        self._stop()
        return TransitionCallbackReturn.SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: back to unconfigured, everything the node made is gone."""
        self._clean()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: whatever the state was, nothing is left."""
        self._end()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback after an unexpected error in a transition: back to unconfigured."""
        failure = self.failure
        self._end()
        self.failure = failure
        return TransitionCallbackReturn.SUCCESS

    def _end(self) -> None:
        if self.active:
            self._stop()
        if self.configured:
            self._clean()

    def _stop(self) -> None:
        self.active = False
        self._transition(self.deactivate)
        self._transition(self.last_words)
        self._destroy(self._made_to_act)

    def _clean(self) -> None:
        self.configured = False
        self._transition(self.cleanup)
        self._destroy(self._made_to_configure)

    def _transition(self, action: Callable[[], None]) -> TransitionCallbackReturn:
        self.failure = None
        try:
            action()
        except V2gError as error:
            self.failure = error
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001 - rclpy would swallow it without a word
            self.failure = error
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _destroy(self, made: list[Entity]) -> None:
        for entity in reversed(made):
            if isinstance(entity, Timer):
                self.destroy_timer(entity)
            elif isinstance(entity, Subscription):
                self.destroy_subscription(entity)
            else:
                self.destroy_publisher(entity)
        made.clear()


def _override(name: str, value: object) -> Parameter:
    try:
        return Parameter(name, value=list(value) if isinstance(value, tuple) else value)
    except (TypeError, ParameterException) as error:
        raise InputError(f"parameter {name} is {value!r}, allowed a ROS parameter's value") from error
