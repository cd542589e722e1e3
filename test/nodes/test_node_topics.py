"""What a node may do by its policy is what it does: compared with real nodes of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.bringup import NodeSpec, Overrides, module_namespace, process_plan
from v2g_nodes.cli.node_topics import GRAPH, node_rights, operator_rights, union
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.can_bridge_node import CanBridgeNode
from v2g_nodes.nodes.droop_node import DroopNode
from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.market_planner_node import MarketPlannerNode
from v2g_nodes.nodes.module_node import ModuleNode
from v2g_nodes.nodes.optimizer_node import OptimizerNode
from v2g_nodes.nodes.plant_node import PlantNode
from v2g_nodes.nodes.station_monitor_node import StationMonitorNode
from v2g_nodes.station import CanSection, Station, default_station, replace

from .conftest import Bench

KINDS: dict[str, type[ManagedNode[Any]]] = {
    "module": ModuleNode, "droop": DroopNode, "optimizer": OptimizerNode, "can_bridge": CanBridgeNode,
    "grid_signal": GridSignalNode, "market_planner": MarketPlannerNode, "station_monitor": StationMonitorNode,
    "plant": PlantNode}


def on_hosts(station: Station) -> Station:
    modules = tuple(module.model_copy(update={"host": "ab"[module.id // 3]}) for module in station.modules)
    return replace(station, modules=modules)


def on_bus(port: int) -> Station:
    station = default_station(2, "bus")
    modules = tuple(module.model_copy(update={"backend": "can"}) for module in station.modules)
    return replace(station, modules=modules, topology=None, can=CanSection(port=port, stand_ins=True))


def swinging(station: Station) -> Station:
    return station.model_copy(update={"grid": station.grid.model_copy(update={"response": "swing"})})


PLANS = {
    "ring": (default_station(4), Overrides()),
    "masks": (replace(default_station(3), privacy="masks"), Overrides()),
    "line at speed": (default_station(3, "line"), Overrides(speed=2.0)),
    "second host": (on_hosts(default_station(4)), Overrides(host="b")),
    "swing": (swinging(default_station(2)), Overrides()),
    "bus": (on_bus(45671), Overrides()),
}


def actual(bench: Bench, spec: NodeSpec) -> tuple[set[str], set[str]]:
    """DDS topics that a node publishes and hears when it is active."""
    node = bench.start(KINDS[spec.kind], spec.name, spec.namespace, **spec.parameters)
    told = {f"rt{topic}" for topic, _ in node.get_publisher_names_and_types_by_node(spec.name, spec.namespace)}
    heard = {f"rt{topic}" for topic, _ in node.get_subscriber_names_and_types_by_node(spec.name, spec.namespace)}
    services = {name for name, _ in node.get_service_names_and_types_by_node(spec.name, spec.namespace)}
    told |= {f"rr{name}Reply" for name in services}
    heard |= {f"rq{name}Request" for name in services}
    return told | {GRAPH}, heard | {GRAPH}


@pytest.mark.parametrize("name", PLANS)
def test_every_node_may_do_what_it_does_and_nothing_more(bench: Bench, name: str) -> None:
    station, overrides = PLANS[name]
    plan = process_plan(station, overrides)
    seen = set()
    for spec in plan.nodes:
        if spec.kind in seen:
            continue
        seen.add(spec.kind)
        rights = node_rights(spec)
        told, heard = actual(bench, spec)
        assert sorted(rights.publish) == sorted(told), spec.full_name
        assert sorted(rights.subscribe) == sorted(heard), spec.full_name
    assert {"module", "droop", "optimizer", "station_monitor"} <= seen


def test_no_module_may_speak_for_another() -> None:
    plan = process_plan(default_station(4))
    for spec in plan.nodes:
        if spec.namespace == "/":
            continue
        others = [module_namespace(k) for k in range(1, 5) if module_namespace(k) != spec.namespace]
        assert not [topic for topic in node_rights(spec).publish for other in others if f"{other}/" in topic]


def test_links_of_the_plan_are_allowed_at_both_ends() -> None:
    for station, overrides in PLANS.values():
        plan = process_plan(station, overrides)
        rights = {spec.full_name: node_rights(spec) for spec in plan.nodes}
        monitor = next(spec for spec in plan.nodes if spec.kind == "station_monitor")
        links = monitor.parameters["links"]
        assert isinstance(links, list)
        for link in links:
            topic, publisher, subscriber = str(link).split()
            assert f"rt{topic}" in rights[publisher].publish
            assert f"rt{topic}" in rights[subscriber].subscribe


def test_only_an_operator_and_no_node_may_publish_the_e_stop() -> None:
    every = union(map(node_rights, process_plan(default_station(2)).nodes))
    assert "rt/e_stop" not in every.publish
    operator = operator_rights([1, 2])
    assert "rt/e_stop" in operator.publish
    assert "rq/ek3_02/module/set_parametersRequest" in operator.publish
    assert not [topic for topic in operator.publish if topic.startswith("rt/ek3")]


def test_the_kinds_are_those_there_are() -> None:
    source = Path(__file__).resolve().parents[2] / "v2g_nodes" / "nodes"
    assert all((source / f"{kind}_node.py").exists() for kind in KINDS)
