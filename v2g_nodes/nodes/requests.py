"""Service requests to a managed node: whatever they hold, they are answered and do not end its process.

rclpy raises on a transition that the state does not have and on a parameter of no known type, and an exception in a
callback ends the executor. Here such a request is refused and told in the log. A transition that was asked for from
outside is told to the supervisor, so that who takes this node over brings it to the state it was put in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.lifecycle import LifecycleNode

from v2g_nodes.nodes import events

Message: TypeAlias = Any  # what generated messages are to the type checker


def guard_services(node: LifecycleNode) -> None:
    """Have all services that rclpy has made for a node answer every request.

    Args:
        node: just made.
    """
    for service in node.services:
        service.callback = _guarded(node, service.callback)


def state_of(node: LifecycleNode) -> str:
    """Lifecycle state of a node: unconfigured, inactive, active, finalized, or a transition's."""
    return str(node._state_machine.current_state[1])


def _guarded(node: LifecycleNode, callback: Callable[[Message, Message], Message]) -> Callable[..., Message]:
    def answer(request: Message, response: Message) -> Message:
        before = state_of(node)
        try:
            response = callback(request, response)
        except Exception as error:  # noqa: BLE001 - rclpy raises a different class for each kind of nonsense
            _refuse(request, response, f"{type(error).__name__}: {error}")
        if isinstance(request, ChangeState.Request):
            _tell(node, request, before, response.success)
        return response

    return answer


def _refuse(request: Message, response: Message, reason: str) -> None:
    """Where an answer can tell why, it does."""
    refused = SetParametersResult(successful=False, reason=reason)
    if isinstance(request, SetParameters.Request):
        missing = len(request.parameters) - len(response.results)
        response.results = [*response.results, *[refused] * missing]
    elif isinstance(request, SetParametersAtomically.Request):
        response.result = refused


def _tell(node: LifecycleNode, request: Message, before: str, success: bool) -> None:
    asked = request.transition.label or request.transition.id
    if success:
        node.get_logger().info(f"{before} -> {state_of(node)}, as asked")
    else:
        node.get_logger().warning(f"transition {asked!r} refused in state {before}; now {state_of(node)}")
    events.emit("state", node=node.get_fully_qualified_name(), state=state_of(node))
