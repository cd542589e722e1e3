"""Layouts of a station for PlotJuggler, Foxglove, rqt_graph and diagnostic_aggregator: one module list, four files.

Those of eight modules, the default station, are in `config/`; `v2g graph --layouts` writes them for any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
STREAMER, BAG_LOADER = "ROS2 Topic Subscriber", "DataLoad ROS2 bags"  # PlotJuggler's plugins
MOST_ARRAY = 64  # numbers of an array that PlotJuggler plots
BUFFER_S = 120  # s of live data


@dataclass(frozen=True)
class Plot:
    """One plot.

    Args:
        title: with the unit.
        curves: (topic, field); `{module}` in a topic stands for each module's namespace.
    """

    title: str
    curves: tuple[tuple[str, str], ...]

    def paths(self, ids: Sequence[int]) -> list[tuple[str, str]]:
        """All (topic, field) of a station with these modules."""
        spaces = [f"/ek3_{k:02d}" for k in ids]
        return [(topic.format(module=space), name)
                for topic, name in self.curves for space in (spaces if "{module}" in topic else [""])]


PAGES: Mapping[str, tuple[Plot, ...]] = {
    "station": (
        Plot("power: target, agreed, measured [kW]", (
            ("/station/status", "clipped_target_kw"), ("/station/status", "agreed_kw"), ("/grid/meter", "station_kw"))),
        Plot("grid frequency [Hz]", (("/grid/signal", "frequency_hz"),)),
        Plot("gap to the optimum", (("/station/status", "gap"), ("/station/status", "equal_split_gap"))),
        Plot("epoch [ms]", (("/station/status", "epoch_ms"),)),
    ),
    "modules": (
        Plot("agreed price λ [EUR/kWh]", (("{module}/base_setpoint", "lambda_eur_per_kwh"),)),
        Plot("measured power [kW]", (("{module}/applied", "power_kw"),)),
        Plot("set-points [kW]", (("{module}/applied", "setpoint_kw"),)),
        Plot("agreed base power [kW]", (("{module}/base_setpoint", "power_kw"),)),
    ),
    "vehicles": (
        Plot("state of charge", (("{module}/status", "soc"),)),
        Plot("junction [°C]", (("{module}/status", "temperature_c"),)),
        Plot("limits [kW]", (("{module}/applied", "limit_low_kw"), ("{module}/applied", "limit_high_kw"))),
    ),
}  # fmt: skip


def write_layouts(folder: Path, ids: Sequence[int]) -> list[Path]:
    """Write all files.

    Args:
        folder: that exists.
        ids: of the modules, ascending.

    Returns:
        What was written.

    Raises:
        OSError: a file can't be written.
    """
    written = []
    for name, make in LAYOUTS.items():
        written.append(folder / name)
        written[-1].write_text(make(ids), encoding="utf-8")
    return written


def plotjuggler_layout(ids: Sequence[int]) -> str:
    """For PlotJuggler 3: one tab per page, one plot below the other; asks to subscribe when it is opened."""
    root = ElementTree.Element("root")
    widget = ElementTree.SubElement(root, "tabbed_widget", {"parent": "main_window", "name": "Main Window"})
    for page, plots in PAGES.items():
        tab = ElementTree.SubElement(widget, "Tab", tab_name=page, containers="1")
        splitter = ElementTree.SubElement(
            ElementTree.SubElement(tab, "Container"), "DockSplitter", orientation="-", count=str(len(plots)),
            sizes=";".join([f"{1 / len(plots):.6g}"] * len(plots)),
        )  # fmt: skip
        for plot in plots:
            area = ElementTree.SubElement(splitter, "DockArea", name=plot.title)
            box = ElementTree.SubElement(area, "plot", mode="TimeSeries", style="Lines", flip_x="false", flip_y="false")
            for n, (topic, name) in enumerate(plot.paths(ids)):
                ElementTree.SubElement(box, "curve", name=f"{topic}/{name}", color=COLORS[n % len(COLORS)])
    ElementTree.SubElement(widget, "currentTabIndex", index="0")
    ElementTree.SubElement(root, "use_relative_time_offset", enabled="1")
    ElementTree.SubElement(root, "streaming_buffer_size", value=str(BUFFER_S))
    plugins = ElementTree.SubElement(root, "Plugins")
    for name in (STREAMER, BAG_LOADER):
        plugin = ElementTree.SubElement(plugins, "plugin", ID=name)
        options = {"use_header_stamp": "false", "discard_large_arrays": "true", "max_array_size": str(MOST_ARRAY),
                   "boolean_strings_to_number": "true", "remove_suffix_from_strings": "true",
                   "selected_topics": ";".join(_topics(ids))}
        for key, value in options.items():
            ElementTree.SubElement(plugin, key, value=value)
    ElementTree.SubElement(root, "previouslyLoaded_Streamer", name=STREAMER)
    ElementTree.indent(root)
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{ElementTree.tostring(root, encoding='unicode')}\n"


def foxglove_layout(ids: Sequence[int]) -> str:
    """For Foxglove (and Lichtblick): one tab per page, and one for the diagnostics."""
    configs: dict[str, object] = {
        "DiagnosticSummary!all": {"minLevel": 0, "pinnedIds": [], "hardwareIdFilter": "", "sortByLevel": True,
                                  "topicToRender": "/diagnostics"},
    }  # fmt: skip
    tabs: list[dict[str, object]] = []
    for page, plots in PAGES.items():
        names = [f"Plot!{page}{n}" for n in range(len(plots))]
        for name, plot in zip(names, plots, strict=True):
            configs[name] = {
                "foxglovePanelTitle": plot.title,
                "paths": [{"value": f"{topic}.{field}", "enabled": True, "timestampMethod": "receiveTime",
                           "label": _label(topic, field, len(plot.curves)), "color": COLORS[n % len(COLORS)]}
                          for n, (topic, field) in enumerate(plot.paths(ids))],
                "showXAxisLabels": True, "showYAxisLabels": True, "showLegend": True, "legendDisplay": "floating",
                "showPlotValuesInLegend": False, "isSynced": True, "xAxisVal": "timestamp", "sidebarDimension": 240,
            }  # fmt: skip
        tabs.append({"title": page, "layout": _stacked(names)})
    tabs.append({"title": "diagnostics", "layout": "DiagnosticSummary!all"})
    configs["Tab!station"] = {"activeTabIdx": 0, "tabs": tabs}
    layout = {"configById": configs, "globalVariables": {}, "userNodes": {}, "playbackConfig": {"speed": 1},
              "layout": "Tab!station"}
    return json.dumps(layout, indent=1, ensure_ascii=False) + "\n"


def rqt_perspective(_ids: Sequence[int]) -> str:
    """For rqt: rqt_graph with one group per module and the links between neighbours, nothing that hides them."""
    settings = {
        "graph_type_combo_box_index": 0,  # nodes only
        "filter_line_edit_text": "/ek3_.*",
        "topic_filter_line_edit_text": "/ek3_.*/(curve|base_setpoint)",
        "namespace_cluster_spin_box_value": 1,
        "dead_sinks_check_box_state": True,
        "leaf_topics_check_box_state": True,
        "quiet_check_box_state": True,
        "unreachable_check_box_state": True,
        "auto_fit_graph_check_box_state": True,
        "highlight_connections_check_box_state": True,
        "hide_dynamic_reconfigure_check_box_state": True,
    }
    plugin = {"keys": {key: _rqt_value(value) for key, value in settings.items()}, "groups": {}}
    instance = {"keys": {}, "groups": {"plugin": plugin}}
    manager = {"keys": {"running-plugins": _rqt_value({"rqt_graph/RosGraph": [1]})},
               "groups": {"plugin__rqt_graph__RosGraph__1": instance}}
    mainwindow: dict[str, object] = {"keys": {}, "groups": {}}
    perspective = {"keys": {}, "groups": {"mainwindow": mainwindow, "pluginmanager": manager}}
    return json.dumps(perspective, indent=2) + "\n"


def diagnostics_analyzers(ids: Sequence[int]) -> str:
    """For diagnostic_aggregator: one group per module, one for the station."""
    lines = [
        "# ros2 run diagnostic_aggregator aggregator_node --ros-args --params-file diagnostics.yaml",
        "# groups /diagnostics by module on /diagnostics_agg, for rqt_robot_monitor",
        "analyzers:", "  ros__parameters:", "    path: v2g", "    pub_rate: 1.0",
    ]  # fmt: skip
    groups = {**{f"ek3_{k:02d}": (f"ek3_{k:02d}: ",) for k in ids},
              "station": ("station", "grid_signal: ", "market_planner: ", "plant: ", "can_bridge: ")}
    for name, starts in groups.items():
        lines += [f"    {name}:", "      type: diagnostic_aggregator/GenericAnalyzer", f"      path: {name}",
                  f"      startswith: {json.dumps([*starts])}", "      timeout: 3.0"]
        if name != "station":
            lines.append(f"      remove_prefix: {json.dumps([*starts])}")
    return "\n".join([*lines, ""])


LAYOUTS: Mapping[str, Callable[[Sequence[int]], str]] = {
    "plotjuggler_station.xml": plotjuggler_layout,
    "foxglove_station.json": foxglove_layout,
    "rqt_station.perspective": rqt_perspective,
    "diagnostics.yaml": diagnostics_analyzers,
}


def _topics(ids: Sequence[int]) -> list[str]:
    return sorted({topic for plots in PAGES.values() for plot in plots for topic, _ in plot.paths(ids)})


def _label(topic: str, field: str, kinds: int) -> str:
    """Short: the module where all curves show the same of each, the field for the station, else both."""
    module = topic.split("/")[1]
    if not module.startswith("ek3_"):
        return field
    return module if kinds == 1 else f"{module} {field}"


def _stacked(names: Sequence[str]) -> object:
    """Panels one below the other, of equal height."""
    if len(names) == 1:
        return names[0]
    below = _stacked(names[1:])
    return {"direction": "column", "splitPercentage": 100 / len(names), "first": names[0], "second": below}


def _rqt_value(value: object) -> dict[str, str]:
    return {"type": "repr", "repr": repr(value)}
