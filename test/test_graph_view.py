"""The ROS graph as values, as text, as a drawing; compared with the station file."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from v2g_nodes.bringup import Overrides, resolve_station
from v2g_nodes.bringup_expected import ExpectedGraph, expected_graph, missing_parts
from v2g_nodes.bringup_graph import GraphView, Link, Topic, exchange_over, to_json, topology_of
from v2g_nodes.cli.graph_svg import graph_svg
from v2g_nodes.cli.graph_text import graph_dot, graph_text
from v2g_nodes.station import load_station
from v2g_nodes.station_config import config_path

SVG = "{http://www.w3.org/2000/svg}"


def station_graph(modules: int, topology: str) -> ExpectedGraph:
    return expected_graph(resolve_station(None, Overrides(modules=modules, topology=topology)))


def view_of(expected: ExpectedGraph, without: Callable[[str], bool] = lambda node: False) -> GraphView:
    """A graph that is as expected, without some nodes."""
    nodes = tuple(node for node in expected.nodes if not without(node))
    ends: dict[str, tuple[set[str], set[str]]] = {}
    for edge in expected.edges:
        publishers, subscribers = ends.setdefault(edge.topic, (set(), set()))
        publishers.add(edge.publisher)
        subscribers.add(edge.subscriber)
    topics = [Topic(name, "v2g_nodes/msg/Any", tuple(sorted(publishers & {*nodes})), tuple(sorted(subs & {*nodes})))
              for name, (publishers, subs) in sorted(ends.items())]
    return GraphView(nodes, tuple(topics))


def cut(view: GraphView, topic: str, subscriber: str) -> GraphView:
    """The graph without one end."""
    return replace(view, topics=tuple(
        replace(t, subscribers=tuple(s for s in t.subscribers if s != subscriber)) if t.name == topic else t
        for t in view.topics))  # fmt: skip


def shown(view: GraphView, missing: tuple[tuple[str, ...], tuple[Link, ...]] | None = None) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(graph_text(view, "7", missing))
    return console.export_text()


@pytest.mark.parametrize(
    ("topology", "words"),
    [("ring", "in a ring"), ("line", "in a line"), ("star", "in a star"), ("bus", "all linked with all"),
     ("mesh", "in a mesh")],
)  # fmt: skip
def test_topologies_are_recognised_from_who_hears_whom(topology: str, words: str) -> None:
    view = view_of(station_graph(8, topology))
    assert topology_of([*view.modules], view.links) == words
    assert view.modules[3] == ("droop", "module", "optimizer")
    assert set(view.others) == {"/grid_signal", "/market_planner", "/plant", "/station_monitor"}


def test_other_graphs_are_told_by_their_links() -> None:
    assert topology_of([1, 2, 3, 4], ()) == "no links between them"
    assert topology_of([1, 2, 3, 4], ((1, 2), (3, 4))) == "in parts, 2 links"
    assert topology_of([1, 2, 3, 4], ((1, 2), (2, 3), (2, 4), (3, 4))) == "with 4 links"


def test_a_full_graph_misses_nothing() -> None:
    expected = station_graph(5, "ring")
    assert missing_parts(view_of(expected), expected) == ((), ())
    assert "all nodes and edges of the station file are there" in shown(view_of(expected), ((), ()))


def test_a_node_and_an_edge_that_are_not_there_are_named() -> None:
    expected = station_graph(5, "ring")
    view = cut(view_of(expected, lambda node: node == "/ek3_04/droop"), "/ek3_01/curve", "/ek3_02/optimizer")
    nodes, edges = missing_parts(view, expected)
    assert nodes == ("/ek3_04/droop",)
    assert edges == (Link("/ek3_01/curve", "/ek3_01/optimizer", "/ek3_02/optimizer"),), "not those of a lost node"
    text = shown(view, (nodes, edges))
    assert "missing: node /ek3_04/droop" in text
    assert "missing: /ek3_01/curve from /ek3_01/optimizer to /ek3_02/optimizer" in text
    assert (1, 2) not in view.links
    assert view.heard[1] == (2, 5)
    assert view.heard[2] == (3,)
    assert topology_of([*view.modules], view.links) == "in a line"


def test_modules_on_a_can_bus_hear_each_other_through_the_bridge() -> None:
    expected = expected_graph(load_station(config_path("station_can.yaml")))
    view = view_of(expected)
    assert exchange_over(view) == "/can_bridge"
    assert view.links == ()
    assert f"{len(view.modules)} modules through /can_bridge" in shown(view)
    assert missing_parts(view, expected) == ((), ())


def test_a_link_between_two_hosts_is_missed_too(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("version: 1\nmodules: [{id: 1, host: a}, {id: 2, host: a}, {id: 3, host: b}, {id: 4, host: b}]\n")
    expected = expected_graph(load_station(file))
    view = view_of(expected)
    assert view.links == ((1, 2), (1, 4), (2, 3), (3, 4))
    lost = Link("/ek3_02/curve", "/ek3_02/optimizer", "/ek3_03/optimizer")
    assert missing_parts(cut(view, lost.topic, lost.subscriber), expected) == ((), (lost,))


def test_the_text_tells_each_module_once_and_topics_alike_in_one_line() -> None:
    text = shown(view_of(station_graph(8, "ring")))
    assert "ROS domain 7: 8 modules in a ring, 4 other nodes" in text
    assert re.search(r"ek3_01 +droop module optimizer +2, 8\b", text)
    assert re.search(r"/ek3_NN/curve +8 optimizer +8 optimizer +16\b", text)
    assert re.search(r"/grid/signal +grid_signal +8 droop, 8 optimizer +16\b", text)


def test_the_json_holds_everything_and_says_null_where_nothing_was_compared() -> None:
    expected = station_graph(4, "ring")
    told = json.loads(json.dumps(to_json(view_of(expected), None)))
    assert told["missing"] is None
    assert told["links"] == [[1, 2], [1, 4], [2, 3], [3, 4]]
    assert told["modules"][0] == {"id": 1, "nodes": ["droop", "module", "optimizer"], "hears": [2, 4]}
    assert sum(len(t["publishers"]) * len(t["subscribers"]) for t in told["topics"]) == len(expected.edges)
    lost = view_of(expected, lambda node: node == "/ek3_01/module")
    assert to_json(lost, missing_parts(lost, expected))["missing"] == ["/ek3_01/module"]


@pytest.mark.parametrize(("modules", "topology"), [(1, "ring"), (2, "ring"), (8, "ring"), (16, "mesh"), (64, "ring")])
def test_the_drawing_shows_every_module_and_link_and_no_boxes_overlap(modules: int, topology: str) -> None:
    view = view_of(station_graph(modules, topology))
    root = ElementTree.fromstring(graph_svg(view, "a & b"))
    links = [line for line in root.iter(f"{SVG}line") if line.get("class") == "link"]
    assert len(links) == len(view.links)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0] == "a & b"
    assert {f"ek3_{k:02d}" for k in view.modules} | {"grid_signal", "plant"} <= {*texts}
    boxes = [[float(box.get(key, "nan")) for key in ("x", "y", "width", "height")]
             for box in root.iter(f"{SVG}rect") if box.get("x")]
    assert len(boxes) == modules + len(view.others)
    width, height = float(root.get("width", "nan")), float(root.get("height", "nan"))
    for n, (x, y, w, h) in enumerate(boxes):
        assert 0 <= x <= width - w
        assert 0 <= y <= height - h
        for x2, y2, w2, h2 in boxes[n + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_the_drawing_marks_what_is_missing() -> None:
    expected = station_graph(5, "ring")
    view = cut(view_of(expected, lambda node: node.startswith("/ek3_04/")), "/ek3_01/curve", "/ek3_02/optimizer")
    root = ElementTree.fromstring(graph_svg(view, "", missing_parts(view, expected)))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"ek3_04", "droop missing", "module missing", "optimizer missing"} <= {*texts}
    titles = [line.findtext(f"{SVG}title") or "" for line in root.iter(f"{SVG}line") if line.get("class") == "missing"]
    assert any("/ek3_01/curve from /ek3_01/optimizer to /ek3_02/optimizer" in title for title in titles)


def test_the_dot_file_has_a_cluster_per_module_and_all_edges() -> None:
    view = view_of(station_graph(4, "ring"))
    text = graph_dot(view)
    assert text.count("subgraph \"cluster_ek3_") == 4
    assert '"/ek3_01/optimizer" -> "/ek3_02/optimizer" [label="curve, neighbor_state", style=bold];' in text
    pairs = {(edge.publisher, edge.subscriber) for edge in view.edges}
    assert text.count(" -> ") == len(pairs)
    assert text.count("{") == text.count("}")
