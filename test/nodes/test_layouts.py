"""Layouts for plotting and viewing tools: `config/` holds what the code makes, and every path in it exists."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from v2g_nodes.bringup import Overrides, resolve_station
from v2g_nodes.bringup_expected import expected_graph
from v2g_nodes.cli import layouts
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.streams import Stream
from v2g_nodes.station_config import config_path

IDS = range(1, 9)
STREAMS = [value for value in vars(streams).values() if isinstance(value, Stream)]


def field_exists(topic: str, field: str) -> bool:
    """Whether a topic of our table has a number of this name."""
    name = re.sub(r"^/ek3_\d\d/", "", topic)
    kinds = [stream.message.get_fields_and_field_types() for stream in STREAMS if stream.topic == name]
    return any(kind.get(field) in ("float", "double", "uint16") for kind in kinds)


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_the_checked_in_files_are_those_of_eight_modules(name: str) -> None:
    made = layouts.LAYOUTS[name](IDS)
    assert config_path(name).read_text(encoding="utf-8") == made, "make them anew: v2g_nodes/cli/layouts.py"


def test_all_files_are_written_for_the_modules_there_are(tmp_path: Path) -> None:
    written = layouts.write_layouts(tmp_path, [3, 12])
    assert {path.name for path in written} == {*layouts.LAYOUTS}
    text = (tmp_path / "plotjuggler_station.xml").read_text()
    assert "/ek3_12/applied/power_kw" in text
    assert "ek3_01" not in "".join(path.read_text() for path in written)


def test_every_curve_of_plotjuggler_is_a_number_of_a_topic_that_it_subscribes_to() -> None:
    root = ElementTree.fromstring(config_path("plotjuggler_station.xml").read_text())
    curves = [curve.get("name", "").rpartition("/")[::2] for curve in root.iter("curve")]
    assert len(curves) > 40
    assert [curve for curve in curves if not field_exists(*curve)] == []
    for plugin in root.iter("plugin"):
        chosen = plugin.find("selected_topics")
        assert chosen is not None
        assert {topic for topic, _ in curves} == {*chosen.get("value", "").split(";")}
    for splitter in root.iter("DockSplitter"):
        areas = splitter.findall("DockArea")
        assert splitter.get("count") == str(len(areas))
        assert sum(map(float, splitter.get("sizes", "").split(";"))) == pytest.approx(1.0, abs=1e-4)
        assert all(len(area.findall("plot")) == 1 for area in areas)


def test_every_path_of_foxglove_is_a_number_and_every_panel_is_shown() -> None:
    layout = json.loads(config_path("foxglove_station.json").read_text(encoding="utf-8"))
    configs = layout["configById"].values()
    paths = [path["value"].rsplit(".", 1) for config in configs for path in config.get("paths", ())]
    assert len(paths) > 40
    assert [path for path in paths if not field_exists(*path)] == []
    tabs = layout["configById"][layout["layout"]]["tabs"]
    shown = {name for tab in tabs for name in panels(tab["layout"])}
    assert shown == layout["configById"].keys() - {layout["layout"]}


def panels(layout: Any) -> Iterator[str]:  # noqa: ANN401 - as JSON has it
    if isinstance(layout, str):
        yield layout
    else:
        yield from panels(layout["first"])
        yield from panels(layout["second"])


def test_rqt_graph_shows_the_ring_and_nothing_that_hides_it() -> None:
    perspective = json.loads(config_path("rqt_station.perspective").read_text())
    manager = perspective["groups"]["pluginmanager"]
    assert ast.literal_eval(manager["keys"]["running-plugins"]["repr"]) == {"rqt_graph/RosGraph": [1]}
    keys = manager["groups"]["plugin__rqt_graph__RosGraph__1"]["groups"]["plugin"]["keys"]
    values = {key: ast.literal_eval(value["repr"]) for key, value in keys.items()}
    assert values["namespace_cluster_spin_box_value"] == 1, "one group per module"
    assert values["graph_type_combo_box_index"] == 0, "nodes only"
    # as rqt_graph does it: a pattern with other signs than those of names is a regular expression
    nodes, topics = re.compile(values["filter_line_edit_text"]), re.compile(values["topic_filter_line_edit_text"])
    expected = expected_graph(resolve_station(None, Overrides(modules=8, topology="ring")))
    edges = {(edge.publisher, edge.subscriber) for edge in expected.edges if topics.match(edge.topic)}
    ring = {(f"/ek3_{a:02d}/optimizer", f"/ek3_{b:02d}/optimizer") for a in IDS for b in IDS if (a - b) % 8 in (1, 7)}
    inside = {(f"/ek3_{k:02d}/optimizer", f"/ek3_{k:02d}/droop") for k in IDS}
    assert edges == ring | inside
    assert all(nodes.match(end) for edge in edges for end in edge)
    assert not any(nodes.match(node) for node in ("/grid_signal", "/station_monitor", "/plant", "/market_planner"))


def test_the_aggregator_has_a_place_for_every_status() -> None:
    content = yaml.safe_load(config_path("diagnostics.yaml").read_text())
    parameters = content["analyzers"]["ros__parameters"]
    analyzers = {key: value for key, value in parameters.items() if isinstance(value, dict)}
    assert {*analyzers} == {f"ek3_{k:02d}" for k in IDS} | {"station"}

    def places(status: str) -> list[str]:
        return [key for key, value in analyzers.items() if status.startswith((*value["startswith"],))]

    for k in IDS:
        for what in ("set-points", "limits", "droop", "exchange with the neighbours", "CAN bus"):
            assert places(f"ek3_{k:02d}: {what}") == [f"ek3_{k:02d}"]
    for status in ("station: agreement", "station: delivery", "station: modules", "grid_signal: source",
                   "market_planner: plan", "plant: grid", "can_bridge: CAN bus"):
        assert places(status) == ["station"]
