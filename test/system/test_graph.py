"""A running station as an engineer looks at it: its graph, and what every node tells of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from v2g_nodes.nodes import streams
from v2g_nodes.nodes.diagnostics import Level
from v2g_nodes.nodes.diagnostics_ear import DiagnosticsEar

from .test_station import Up

STATION = "version: 1\nmodules: [{id: 1}, {id: 2, wear_gamma: 0.04}]\n"
OF_A_MODULE = ("set-points", "limits", "droop", "exchange with the neighbours")
STATUSES = {f"ek3_0{k}: {what}" for k in (1, 2) for what in OF_A_MODULE} | {
    "station: agreement", "station: delivery", "station: modules", "grid_signal: source", "market_planner: plan",
    "plant: grid",
}  # fmt: skip


def graph(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "v2g_nodes.cli.main", "graph", *words], capture_output=True, text=True,
                          check=False)


def test_the_graph_of_a_running_station_and_what_its_nodes_tell(tmp_path: Path, ros_domain_id: int) -> None:
    file, drawing = tmp_path / "station.yaml", tmp_path / "graph.svg"
    file.write_text(STATION)
    up = Up(tmp_path, "--station", str(file))
    try:
        up.wait_for(lambda: "station is up" in up.log)
        shown = graph("--station", str(file), "-o", str(drawing), "--json", "-")
        assert shown.returncode == 0, shown.stderr
        told = json.loads(shown.stdout)
        assert (told["missing"], told["links"]) == ([], [[1, 2]])
        assert told["others"] == ["/grid_signal", "/market_planner", "/plant", "/station_monitor"]
        assert 'class="missing"' not in drawing.read_text()
        listen_until_well(up, ros_domain_id)
        up.process.terminate()
        assert up.result()["verdict"] == "ok", up.log
    finally:
        up.process.kill()
        up.process.wait()


def listen_until_well(up: Up, domain: int) -> None:
    """Every node tells its statuses, and in the end none is an error."""
    context, ear = Context(), DiagnosticsEar(but="nobody")
    context.init(domain_id=domain)
    node = Node("ear", context=context, start_parameter_services=False)
    node.create_subscription(streams.DIAGNOSTICS.message, streams.DIAGNOSTICS.topic, ear.hear, streams.DIAGNOSTICS.qos)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def well() -> bool:
        executor.spin_once(0.1)
        levels = [ord(status.level) for status in ear.statuses().values()]
        return ear.statuses().keys() == STATUSES and Level.ERROR not in levels

    try:
        up.wait_for(well)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
