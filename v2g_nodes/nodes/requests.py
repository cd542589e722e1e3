"""Service requests to a managed node: whatever they hold, they are answered and do not end its process.

rclpy raises on a transition that the state does not have and on a parameter of no known type, and an exception in a
callback ends the executor. Here such a request is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.lifecycle import LifecycleNode

TRANSITIONS = {
    Transition.TRANSITION_CONFIGURE: "configure", Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate", Transition.TRANSITION_DEACTIVATE: "deactivate",
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "shutdown", Transition.TRANSITION_INACTIVE_SHUTDOWN: "shutdown",
    Transition.TRANSITION_ACTIVE_SHUTDOWN: "shutdown",
}  # fmt: skip

Message: TypeAlias = Any  # what generated messages are to the type checker


def guard_services(node: LifecycleNode, on_transition: Callable[[str, str, bool], None]) -> None:
    """Have all services that rclpy has made for a node answer every request.

    Args:
        node: just made.
        on_transition: told what transition was asked for, the state before, and whether it was made.
    """
    for service in node.services:
        service.callback = _guarded(node, service.callback, on_transition)


def state_of(node: LifecycleNode) -> str:
    """Lifecycle state of a node: unconfigured, inactive, active, finalized, or a transition's."""
    return str(node._state_machine.current_state[1])


def _guarded(
    node: LifecycleNode, callback: Callable[[Message, Message], Message],
    on_transition: Callable[[str, str, bool], None],
) -> Callable[..., Message]:
    def answer(request: Message, response: Message) -> Message:
        before = state_of(node)
        try:
            response = callback(request, response)
        except Exception as error:  # noqa: BLE001 - rclpy raises a different class for each kind of nonsense
            _refuse(request, response, f"{type(error).__name__}: {error}")
        if isinstance(request, ChangeState.Request):
            transition = request.transition
            name = transition.label or TRANSITIONS.get(transition.id, f"transition {transition.id}")
            on_transition(name, before, response.success)
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
