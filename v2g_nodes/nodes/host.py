"""One process of the station: joins the graph, gets its role, runs its nodes.

Under a supervisor (`python -m v2g_nodes.nodes.host NAME`) the role and further commands come as JSON lines on standard
input and events go to standard output:

    {"cmd": "scout", "seconds": 1.5, "names": [...]}     -> {"event": "scout", "found": [...]}
    {"cmd": "role", "nodes": [{"kind", "name", "namespace", "parameters"}]} -> {"event": "ready", "nodes": [...]}
    {"cmd": "set", "node": "/ek3_01/optimizer", "parameters": {...}} -> {"event": "refused", "text": ...} if it is
    {"cmd": "report"}                                    -> {"event": "summary", ...} from the station monitor
    {"cmd": "stop"}, or the end of standard input        -> {"event": "stopped"}

A host without a role is a warm spare: everything is imported, the participant is known to the others.
A node of a role may have a "state", the lifecycle state it is brought to in place of active. A transition that somebody
asks for later is told as {"event": "state", "node", "state"}, so that a successor brings it to the same.
From a launch file the role comes as `NAME --role JSON`. Installed under the name of a kind (`ros2 run v2g_nodes
optimizer --ros-args -p ...`) it runs that one node with ROS arguments.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.duration import Duration
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from v2g_nodes.bringup_dds import check_loopback
from v2g_nodes.core.errors import InputError, StartupError, V2gError
from v2g_nodes.nodes import events
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.can_bridge_node import CanBridgeNode
from v2g_nodes.nodes.droop_node import DroopNode
from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.market_planner_node import MarketPlannerNode
from v2g_nodes.nodes.module_node import ModuleNode
from v2g_nodes.nodes.optimizer_node import OptimizerNode
from v2g_nodes.nodes.plant_node import PlantNode
from v2g_nodes.nodes.recorder_node import NAP_S, RecorderNode
from v2g_nodes.nodes.scheduling import raise_priority, schedule
from v2g_nodes.nodes.spin import RosProcess, leave
from v2g_nodes.nodes.station_monitor_node import StationMonitorNode
from v2g_nodes.nodes.witness_node import WitnessNode

KINDS: Mapping[str, type[ManagedNode[Any]]] = {
    "module": ModuleNode,
    "droop": DroopNode,
    "optimizer": OptimizerNode,
    "can_bridge": CanBridgeNode,
    "grid_signal": GridSignalNode,
    "market_planner": MarketPlannerNode,
    "station_monitor": StationMonitorNode,
    "plant": PlantNode,
    "recorder": RecorderNode,
    "witness": WitnessNode,
}

#: lifecycle states a role may ask for, and the steps that lead there
STEPS: Mapping[str, tuple[str, ...]] = {
    "unconfigured": (), "inactive": ("configure",), "active": ("configure", "activate"), "finalized": ("shutdown",),
}  # fmt: skip
LAST_WORDS_S = 0.3  # s, so long reliable samples of the end may take to reach their listeners
ROLE_KEYS = {"kind": str, "name": str, "namespace": str, "parameters": dict}


class Host:
    """Runs the nodes of one process.

    Args:
        name: of the process.
        arguments: ROS arguments.
    """

    def __init__(self, name: str, arguments: Sequence[str] = ()) -> None:
        self.process = RosProcess(arguments)
        self._nodes: list[ManagedNode[Any]] = []
        # The DDS participant lives as long as any node does: this one joins the graph before there is a role.
        self._placeholder: Node | None = Node(
            f"_host_{name}_{os.getpid()}",
            context=self.process.context,
            enable_rosout=False,
            start_parameter_services=False,
            use_global_arguments=False,
        )
        self.process.add(self._placeholder)
        check_loopback()
        self.process.on_stop(self._farewell)

    def command(self, line: str) -> None:
        """Carry out one line of standard input."""
        if not line.strip():
            return
        try:
            request = _parsed(line)
            word = request.get("cmd") if isinstance(request, dict) else None
            if word == "stop":
                self.process.stop("asked to stop")
            elif word == "role":
                self.take_role(request.get("nodes"))
            elif word == "scout":
                self._scout(float(request["seconds"]), request["names"])
            elif word == "set":
                self._set(request.get("node"), request.get("parameters"))
            elif word == "report":
                for node in self._nodes:
                    if isinstance(node, StationMonitorNode):
                        node.report()
            else:
                raise InputError(f"command {line.strip()[:80]}, allowed an object with cmd scout, role, set, "
                                 "report or stop")
        except V2gError as error:
            self.refuse(error)

    def take_role(self, nodes: Any) -> None:  # noqa: ANN401 - whatever JSON holds
        """Make, configure and activate the nodes in order.

        Args:
            nodes: list of {"kind", "name", "namespace", "parameters"} and perhaps "state".

        Raises:
            InputError: not such a list, unknown kind or a parameter that can't be used.
            StartupError: a node refuses a transition, or there are nodes already.
        """
        _check_role(nodes)
        if self._nodes:
            raise StartupError(f"this process has its role already: {self._nodes[0].get_fully_qualified_name()}")
        for text in schedule(nodes):
            events.emit("note", text=text)
        if all(spec["kind"] == "recorder" for spec in nodes):
            self.process.nap_s = NAP_S
        for spec in nodes:
            self._add(spec["kind"], spec["name"], spec["namespace"], spec["parameters"])
        self._drop_placeholder()
        self._start([spec.get("state", "active") for spec in nodes])
        raise_priority(nodes)

    def run_kind(self, kind: str) -> None:
        """Make one node of a kind, named and parametrised by ROS arguments."""
        self._add(kind, kind, "", {})
        self._drop_placeholder()
        self._start(["active"])

    def refuse(self, error: Exception) -> None:
        """Say why and end."""
        events.emit("error", text=str(error))
        print(f"error: {error}", file=sys.stderr, flush=True)
        self.process.stop(str(error), exit_code=2 if isinstance(error, InputError) else 1)

    def _add(self, kind: str, name: str, namespace: str, parameters: Mapping[str, Any]) -> None:
        if kind not in KINDS:
            raise InputError(f"node kind {kind!r}, allowed {', '.join(KINDS)}")
        try:
            node = KINDS[kind](name, namespace, dict(parameters), self.process.context)
        except NameValidationException as error:
            raise InputError(f"node {namespace}/{name}: {error}") from error
        self._nodes.append(node)
        self.process.add(node)

    def _start(self, states: Sequence[str]) -> None:
        """Bring the nodes up in order, each to its state, but none further than the one before it in its namespace.

        So droop waits below a module that was put out of action on purpose, instead of failing.
        """
        reached: dict[str, tuple[str, ...]] = {}
        for node, state in zip(self._nodes, states, strict=True):
            before = reached.get(node.get_namespace(), STEPS["active"])
            steps = STEPS[state] if state == "finalized" else STEPS[state][: len(before)]
            reached[node.get_namespace()] = () if state == "finalized" else steps
            for step in steps:
                if getattr(node, f"trigger_{step}")() is not TransitionCallbackReturn.SUCCESS:
                    kind = InputError if isinstance(node.failure, InputError) else StartupError
                    raise kind(f"{node.get_fully_qualified_name()}: {node.failure or step}")
        gc.collect()
        gc.freeze()  # what is there now stays: a later collection would stop droop for 50 ms to find that out
        events.emit("ready", nodes=[node.get_fully_qualified_name() for node in self._nodes])

    def _drop_placeholder(self) -> None:
        if self._placeholder is not None:
            self.process.remove(self._placeholder)
            self._placeholder = None

    def _scout(self, seconds: float, names: Sequence[str]) -> None:
        """After a while of discovery, tell which of the names are already in the graph."""
        node = self._placeholder
        if node is None:
            events.emit("scout", found=[])
            return

        def look() -> None:
            node.destroy_timer(timer)
            present = {f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()}
            events.emit("scout", found=sorted(present.intersection(names)))

        timer = node.create_timer(seconds, look)

    def _set(self, name: object, parameters: object) -> None:
        """Set parameters of a node; tell why not in one line, and go on."""
        node = next((node for node in self._nodes if node.get_fully_qualified_name() == name), None)
        if node is None or not isinstance(parameters, dict):
            names = ", ".join(node.get_fully_qualified_name() for node in self._nodes) or "none"
            problem = f"allowed is a node of this process ({names}) and an object of parameters"
        else:
            try:
                values = [Parameter(key, value=value) for key, value in parameters.items()]
                results = node.set_parameters(values)
                problem = "; ".join(result.reason for result in results if not result.successful)
            except (TypeError, ParameterException) as error:
                problem = str(error)
        if problem:
            events.emit("refused", text=f"set {name} {json.dumps(parameters)[:80]}: {problem}")

    def _farewell(self) -> None:
        for node in reversed(self._nodes):
            if node.active:
                node.trigger_deactivate()
        until_s = time.monotonic() + LAST_WORDS_S
        for publisher in (publisher for node in self._nodes for publisher in node.publishers):
            publisher.wait_for_all_acked(Duration(seconds=max(until_s - time.monotonic(), 0.0)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of every node executable.

    Returns:
        Exit code; the process has left without the interpreter's clean-up before that when it ran under a supervisor.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    called_as = Path(sys.argv[0]).name
    kind = called_as if called_as in KINDS else ""
    border = words.index("--ros-args") if "--ros-args" in words else len(words)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", default=kind or "host", help="name of the process")
    parser.add_argument("--role", help="nodes to run, as JSON; without it they come on standard input")
    options = parser.parse_args(words[:border])
    try:
        host = Host(options.name, words[border:])
    except (RuntimeError, NameValidationException) as error:  # rclpy's own errors are RuntimeErrors: ROS arguments
        print(f"error: {error}", file=sys.stderr, flush=True)
        leave(1 if isinstance(error, StartupError) else 2)
    try:
        if kind:
            host.run_kind(kind)
        elif options.role:
            host.take_role(_parsed(options.role))
        else:
            events.supervise()
            host.process.watch_stdin(host.command)
            events.emit("warm", pid=os.getpid())
    except V2gError as error:
        host.refuse(error)
    code = host.process.run()
    events.emit("stopped")
    leave(code)
    return code


def _parsed(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{text.strip()[:80]} is not JSON: {error}") from error


def _check_role(nodes: object) -> None:
    """Refuse what is not a list of nodes."""
    if not isinstance(nodes, list) or not nodes:
        raise InputError(f"role is {str(nodes)[:80]}, allowed a list of at least one node")
    for spec in nodes:
        if not isinstance(spec, dict) or not all(isinstance(spec.get(key), kind) for key, kind in ROLE_KEYS.items()):
            keys = ", ".join(f"{key} ({kind.__name__})" for key, kind in ROLE_KEYS.items())
            raise InputError(f"role has node {str(spec)[:80]}, allowed an object with {keys}")
        if spec.get("state", "active") not in STEPS:
            raise InputError(f"role has state {spec['state']!r} of {spec['name']}, allowed {', '.join(STEPS)}")


if __name__ == "__main__":
    sys.exit(main())
