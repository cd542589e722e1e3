"""What each node of a plan may publish and hear, by DDS topic and nothing more: what security policies are made of.

ROS 2 writes topic /a/b as rt/a/b, the requests of a service as rq/a/bRequest and its replies as rr/a/bReply.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from v2g_nodes.bringup import NodeSpec, module_namespace
from v2g_nodes.core.privacy.masks import MASKS
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.streams import Stream

GRAPH = "ros_discovery_info"  # who has which node: every participant tells and hears it
SERVICES = (  # of every managed node: its state and its parameters
    "change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph",
    "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
    "set_parameters_atomically", "get_type_description",
)  # fmt: skip
ASKED = ("describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
         "set_parameters_atomically")  # fmt: skip - services that an operator's client opens
FROM_ALL = "/*"
ALWAYS_OUT = ("/rosout", "/parameter_events")

# by kind of node: streams in its own namespace or with a name of their own
OUT: dict[str, tuple[Stream, ...]] = {
    "module": (streams.APPLIED, streams.STATUS, streams.DECISION_RECORD, streams.DIAGNOSTICS),
    "droop": (streams.DECISION_RECORD, streams.DIAGNOSTICS),
    "optimizer": (streams.NEIGHBOR_STATE, streams.CURVE, streams.BASE_SETPOINT, streams.DECISION_RECORD,
                  streams.DIAGNOSTICS),
    "can_bridge": (streams.BUS_CURVE, streams.BUS_STATE, streams.GRID_SIGNAL, streams.MARKET_PLAN,
                   streams.DIAGNOSTICS),
    "grid_signal": (streams.GRID_SIGNAL, streams.DIAGNOSTICS),
    "market_planner": (streams.MARKET_PLAN, streams.DIAGNOSTICS),
    "station_monitor": (streams.DIAGNOSTICS,),
    "plant": (streams.DIAGNOSTICS,),
    "recorder": (),
}  # fmt: skip
IN: dict[str, tuple[Stream, ...]] = {
    "module": (streams.E_STOP,),
    "droop": (streams.GRID_SIGNAL, streams.BASE_SETPOINT),
    "optimizer": (streams.APPLIED, streams.STATUS, streams.GRID_SIGNAL, streams.MARKET_PLAN),
    "can_bridge": (streams.GRID_SIGNAL, streams.MARKET_PLAN),
    "station_monitor": (streams.GRID_SIGNAL, streams.MARKET_PLAN, streams.DIAGNOSTICS),
    "plant": (streams.GRID_SIGNAL,),
}
# streams of the modules that its parameter module_ids names
IN_OF_MODULES: dict[str, tuple[Stream, ...]] = {
    "can_bridge": (streams.CURVE, streams.NEIGHBOR_STATE),
    "station_monitor": (streams.APPLIED, streams.STATUS, streams.DECISION_RECORD, streams.NEIGHBOR_STATE),
    "plant": (streams.APPLIED,),
    "market_planner": (streams.STATUS,),
}
NEIGHBOURS = (streams.CURVE, streams.NEIGHBOR_STATE)  # of an optimizer's


@dataclass(frozen=True)
class Rights:
    """DDS topics.

    Args:
        publish: it may write.
        subscribe: it may read.
    """

    publish: frozenset[str]
    subscribe: frozenset[str]


def node_rights(node: NodeSpec) -> Rights:
    """What one node of a plan publishes and hears.

    Args:
        node: of the plan.
    """
    told = [_name(stream, node.namespace) for stream in OUT[node.kind]]
    told += [*ALWAYS_OUT, f"{node.full_name}/transition_event",
             streams.PARAMETERS.topic.replace("~", node.full_name)]
    heard = [_name(stream, node.namespace) for stream in IN.get(node.kind, ())]
    heard += [_name(stream, space) for space in _spaces(node, "module_ids")
              for stream in IN_OF_MODULES.get(node.kind, ())]
    if node.kind == "optimizer":
        spaces = [] if node.parameters["on_bus"] else _neighbours(node)
        masked = (streams.MASK_KEY,) if node.parameters["privacy"] == MASKS else ()
        told += [_name(stream, node.namespace) for stream in masked]
        heard += [_name(stream, space) for space in spaces for stream in (*NEIGHBOURS, *masked)]
        heard += [stream.topic for stream in (streams.BUS_CURVE, streams.BUS_STATE) if node.parameters["on_bus"]]
    if node.kind == "station_monitor":
        told.append(streams.STATION_STATUS.of_host(node.namespace).topic)
        heard.append(streams.GRID_METER.of_host(node.namespace).topic)
    if node.kind == "plant":
        told.append(streams.GRID_METER.of_host(node.namespace).topic)
        told += [streams.GRID_MEASUREMENT.topic] if node.parameters["publish_measurement"] else []
        told += [streams.CLOCK.topic] if node.parameters["speed"] != 1.0 else []
    if node.kind == "grid_signal" and node.parameters["source"] == "topic":
        heard.append(streams.GRID_MEASUREMENT.topic)
    if node.kind == "recorder":
        heard.append(FROM_ALL)
    if node.parameters["use_sim_time"]:
        heard.append(streams.CLOCK.topic)
    replies, requests = _services(node.full_name, SERVICES)
    return Rights(frozenset((GRAPH, *_topics(told), *replies)), frozenset((GRAPH, *_topics(heard), *requests)))


def union(rights: Iterable[Rights]) -> Rights:
    """What a process may do that runs all of these nodes."""
    listed = [*rights]
    return Rights(frozenset().union(*(r.publish for r in listed)), frozenset().union(*(r.subscribe for r in listed)))


def passing_rights(name: str) -> Rights:
    """What a short-lived or nameless node of a process does: it is there.

    Args:
        name: begin of its name; the number of the process follows.
    """
    service = "get_type_description"
    return Rights(frozenset((GRAPH, "rt/parameter_events", f"rr/{name}_*/{service}Reply")),
                  frozenset((GRAPH, f"rq/{name}_*/{service}Request")))  # fmt: skip


def operator_rights(module_ids: Sequence[int]) -> Rights:
    """What `v2g arm` and `v2g stop` do: the e-stop, and setting parameters of modules.

    Args:
        module_ids: modules of the station.
    """
    spaces = [*map(module_namespace, module_ids)]
    replies = requests = frozenset[str]()
    for space in spaces:
        answered, asked = _services(f"{space}/module", ASKED)
        replies, requests = replies | answered, requests | asked
    e_stop = streams.E_STOP.topic
    heard = _topics([e_stop, *(_name(streams.STATUS, space) for space in spaces)])
    return union([passing_rights("operator"), Rights(frozenset((*_topics([e_stop]), *requests)),
                                                     frozenset((*heard, *replies)))])  # fmt: skip


def recorder_rights() -> Rights:
    """What `v2g record` does: its node hears everything and says nothing but that it is there."""
    return node_rights(NodeSpec("recorder", "recorder", "/", {"use_sim_time": False}))


def _name(stream: Stream, namespace: str) -> str:
    return stream.topic if stream.topic.startswith("/") else f"{namespace.rstrip('/')}/{stream.topic}"


def _topics(names: Iterable[str]) -> list[str]:
    return [f"rt{name}" for name in names]


def _services(node: str, names: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Topics of the replies and of the requests."""
    listed = [*names]
    return (frozenset(f"rr{node}/{name}Reply" for name in listed),
            frozenset(f"rq{node}/{name}Request" for name in listed))


def _spaces(node: NodeSpec, key: str) -> list[str]:
    ids = node.parameters.get(key)
    return [module_namespace(int(k)) for k in ids] if isinstance(ids, list) else []


def _neighbours(node: NodeSpec) -> list[str]:
    flat, own = node.parameters.get("edges_flat"), node.parameters["module_id"]
    ends = [int(k) for k in flat] if isinstance(flat, list) else []
    pairs = [*zip(ends[::2], ends[1::2], strict=True)]
    return [module_namespace(b if a == own else a) for a, b in pairs if own in (a, b)]
