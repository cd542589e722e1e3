"""Arm, disarm, stop: a short-lived node beside a running station, in its ROS domain.

It finds the modules in the graph, tells them, and waits until their own status shows that it came about.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future
from std_msgs.msg import Bool

from v2g_nodes.core.errors import StartupError
from v2g_nodes.core.mode import Mode
from v2g_nodes.msg import ModuleStatus
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.visitor import Visitor

FIND_S = 6.0  # a node that joins late was seen after 0.3 to 1.4 s; some more for a busy machine
SETTLED_S = 1.0  # nobody new for so long: those are all
ANSWER_S = 10.0  # much more than a module needs, on a machine that is busy
AUDIT_S = 3.0  # for the names of the audit logs, when what was asked for is done
TURN_S = 0.05  # longest wait between two looks
NO_ANSWER = "no answer"
MODULE_NODE = re.compile(r"/ek3_(\d\d)/module")


@dataclass(frozen=True)
class Outcome:
    """What came of a request at one module.

    Args:
        module_id: which.
        done: its status shows what was asked for.
        mode: as its status tells; None where no status came.
        armed: likewise.
        power_kw: measured [kW]; None where no status came.
        text: why not, or why the mode is what it is; may be empty.
    """

    module_id: int
    done: bool
    mode: str | None = None
    armed: bool | None = None
    power_kw: float | None = None
    text: str = ""


class Operator(Visitor):
    """Arms, disarms and stops.

    Args:
        ids: modules meant; empty = all there are.
        domain_id: DDS domain; None takes ROS_DOMAIN_ID.
    """

    def __init__(self, ids: Collection[int] = (), domain_id: int | None = None) -> None:
        super().__init__("operator", domain_id)
        self._ids = frozenset(ids)
        self._e_stop_out = self._node.create_publisher(Bool, streams.E_STOP.topic, streams.E_STOP.qos)
        self._status: dict[int, ModuleStatus] = {}  # the latest since it was last asked for
        self._followed: set[int] = set()

    def stop(self) -> list[Outcome]:
        """Emergency stop of every module there is: SAFE until armed again.

        Raises:
            StartupError: no module in this domain.
            KeyboardInterrupt: asked to end.
        """
        self._e_stop_out.publish(Bool(data=True))  # latched: who is discovered later gets it too
        found = self._find()
        self._wait(lambda: all(_is_stopped(self._status.get(k)) for k in found), ANSWER_S)
        return [self._outcome(k, _is_stopped(self._status.get(k)), "did not confirm: cut its power by hand")
                for k in found]

    def arm(self, armed: bool = True) -> list[Outcome]:
        """Release the e-stop and arm the modules, or disarm them (which needs no release and latches nothing).

        Raises:
            StartupError: no module in this domain, or somebody else holds the e-stop.
            KeyboardInterrupt: asked to end.
        """
        heard: list[bool] = []
        holder = self._node.create_subscription(Bool, streams.E_STOP.topic, lambda m: heard.append(m.data),
                                                streams.E_STOP.qos)
        found = self._find()
        if armed:
            if heard and heard[-1]:
                raise StartupError(f"the e-stop is held by {', '.join(self._holders()) or 'a node'}: release it there")
            self._node.destroy_subscription(holder)
            self._e_stop_out.publish(Bool(data=False))
        refusals = self._set_armed(found, armed)
        for k in found:
            self._status.pop(k, None)  # older than the answer
        granted = [k for k in found if not refusals[k]]
        self._wait(lambda: all(k in self._status and self._status[k].armed == armed for k in granted), ANSWER_S)
        outcomes = []
        for k in found:
            done = not refusals[k] and k in self._status and self._status[k].armed == armed
            outcomes.append(self._outcome(k, done, refusals[k] or "its status does not show it"))
        return outcomes

    def audit_files(self) -> set[str]:
        """Audit logs that the modules followed write to; those that do not answer in time are left out.

        Raises:
            KeyboardInterrupt: asked to end.
        """
        clients = [AsyncParameterClient(self._node, f"/ek3_{k:02d}/module") for k in sorted(self._followed)]
        asked: dict[int, Future] = {}

        def answered() -> bool:
            for number, client in enumerate(clients):
                if number not in asked and client.services_are_ready():
                    asked[number] = client.get_parameters(["audit_file"])
            return len(asked) == len(clients) and all(future.done() for future in asked.values())

        self._wait(answered, AUDIT_S)
        results = [future.result() for future in asked.values() if future.done()]
        return {value.string_value for result in results for value in result.values if value.string_value}

    def look(self, seconds: float) -> dict[int, str]:
        """Modes of the modules there are, by id; `silent` for one that says nothing.

        Args:
            seconds: how long to look [s].

        Raises:
            KeyboardInterrupt: asked to end.
        """
        seen: set[int] = set()

        def never() -> bool:
            new = self._modules_in_graph() - seen
            seen.update(new)
            self._follow(new)
            return False

        self._wait(never, seconds)
        return {k: Mode(self._status[k].mode).name.lower() if k in self._status else "silent" for k in sorted(seen)}

    def _find(self) -> list[int]:
        """Ids of the modules meant, in order; those of them that are not there are left out.

        Raises:
            StartupError: there are none.
        """
        seen: set[int] = set()
        last_s = time.monotonic()

        def settled() -> bool:
            nonlocal last_s
            new = self._modules_in_graph() - seen
            if new:
                last_s = time.monotonic()
                seen.update(new)
                self._follow(new)
            if self._ids:
                return self._ids <= seen
            return bool(seen) and time.monotonic() - last_s > SETTLED_S

        self._wait(settled, FIND_S)
        found = sorted(self._ids & seen if self._ids else seen)
        if not found:
            which = f"of the modules {', '.join(map(str, sorted(self._ids)))}" if self._ids else "of a module"
            raise StartupError(f"no node {which} in ROS domain {os.environ.get('ROS_DOMAIN_ID') or '0'} within "
                               f"{FIND_S:g} s: is the station up, and in this domain (ROS_DOMAIN_ID)?")
        return found

    def _modules_in_graph(self) -> set[int]:
        names = (f"{space}/{name}" for name, space in self._node.get_node_names_and_namespaces())
        return {int(match[1]) for match in map(MODULE_NODE.fullmatch, names) if match}

    def _follow(self, ids: Collection[int]) -> None:
        self._followed.update(ids)
        for k in ids:
            self._node.create_subscription(ModuleStatus, f"/ek3_{k:02d}/{streams.STATUS.topic}",
                                           partial(self._status.__setitem__, k), streams.STATUS.qos)

    def _holders(self) -> list[str]:
        """Other nodes that publish the e-stop."""
        infos = self._node.get_publishers_info_by_topic(streams.E_STOP.topic)
        names = {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos}
        return sorted(names - {self._node.get_fully_qualified_name()})

    def _set_armed(self, ids: Sequence[int], armed: bool) -> dict[int, str]:
        """Set the parameter everywhere; why it is refused, by module, empty where it is not.

        A module may hear of the parameter before it hears that the e-stop is released, so that refusal is tried again.
        """
        clients = {k: AsyncParameterClient(self._node, f"/ek3_{k:02d}/module") for k in ids}
        answers = dict.fromkeys(ids, NO_ANSWER)
        asked: dict[int, Future] = {}

        def all_done() -> bool:
            for k in ids:
                if not _is_open(answers[k]):
                    continue
                future = asked.get(k)
                if future is not None and future.done():
                    result = future.result().results[0]
                    answers[k] = "" if result.successful else result.reason or "refused without a word"
                    del asked[k]
                elif future is None and clients[k].services_are_ready():
                    asked[k] = clients[k].set_parameters([Parameter("armed", value=armed)])
            return not any(map(_is_open, answers.values()))

        self._wait(all_done, ANSWER_S)
        return answers

    def _outcome(self, k: int, done: bool, why_not: str) -> Outcome:
        status = self._status.get(k)
        if status is None:
            return Outcome(k, done, text=why_not)
        return Outcome(k, done, Mode(status.mode).name.lower(), status.armed, float(status.power_kw),
                       status.reason if done else f"{why_not} ({status.reason})" if status.reason else why_not)

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not done() and time.monotonic() < until_s:
            if self._process.stop_reason is not None:
                raise KeyboardInterrupt
            self._process.executor.spin_once(timeout_sec=TURN_S)


def _is_open(answer: str) -> bool:
    """Whether to ask (again)."""
    return answer == NO_ANSWER or answer.startswith("e-stop")


def _is_stopped(status: ModuleStatus | None) -> bool:
    """SAFE, or at a fault of its own that comes first; both without power and disarmed."""
    return status is not None and not status.armed and status.mode in (Mode.SAFE, Mode.FAULT)
