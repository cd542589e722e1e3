"""`v2g graph` as people call it, against nodes of this process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rclpy.node import Node

from v2g_nodes.nodes.grid_signal_node import GridSignalNode
from v2g_nodes.nodes.module_node import ModuleNode
from v2g_nodes.nodes.optimizer_node import OptimizerNode

from .conftest import Bench

PAIR = {"module_ids": (1, 2), "ratings_kw": (3.3, 3.3), "edges_flat": (1, 2)}


def run(bench: Bench, folder: Path, *words: str) -> tuple[int, str, dict[str, Any]]:
    """Exit code, standard error and the JSON of the command, while the nodes live on."""
    out, log = folder / "out.json", folder / "log.txt"
    with out.open("w") as stdout, log.open("w") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "v2g_nodes.cli.main", "graph", "--json", "-", *words],
                                   stdout=stdout, stderr=stderr)
        bench.until(lambda: process.poll() is not None, "v2g graph ends")
    return process.returncode, log.read_text(), json.loads(out.read_text() or "{}")


def test_the_graph_that_runs_is_shown_drawn_and_compared(bench: Bench, tmp_path: Path) -> None:
    for k in (1, 2):
        bench.start(ModuleNode, "module", f"/ek3_0{k}", module_id=k)
        bench.start(OptimizerNode, "optimizer", f"/ek3_0{k}", module_id=k, **PAIR)
    bench.start(GridSignalNode, "grid_signal")
    bench.add(Node("_hidden", context=bench.context))
    drawing = tmp_path / "graph.svg"
    code, log, told = run(bench, tmp_path, "-o", str(drawing))
    assert (code, log) == (0, "")
    assert told["links"] == [[1, 2]]
    assert told["modules"] == [{"id": k, "nodes": ["module", "optimizer"], "hears": [3 - k]} for k in (1, 2)]
    assert told["others"] == ["/grid_signal", "/peer"]
    signal = next(topic for topic in told["topics"] if topic["name"] == "/grid/signal")
    assert signal["publishers"] == ["/grid_signal"]
    assert signal["subscribers"] == ["/ek3_01/optimizer", "/ek3_02/optimizer"]
    assert drawing.read_text().count('class="link"') == 1
    file = tmp_path / "station.yaml"
    file.write_text("version: 1\nmodules: [{id: 1}, {id: 2}]\n")
    code, log, told = run(bench, tmp_path, "--station", str(file))
    assert code == 1
    assert "nodes or edges of" in log
    assert "/ek3_01/droop" in told["missing"]
    assert not [text for text in told["missing"] if "optimizer to /ek3_0" in text], "what is there is not missing"


@pytest.mark.usefixtures("ros_domain_id")
def test_without_a_station_one_line_says_so() -> None:
    words = [sys.executable, "-m", "v2g_nodes.cli.main", "graph"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "no node of a module in ROS domain" in ended.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [(["-o", "graph.png"], "allowed is a file that ends with .svg, .dot, .json"),
     (["-o", "nowhere/graph.svg"], "in a folder that exists"),
     (["--station", "nowhere.yaml"], "nowhere.yaml")],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(words: list[str], text: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "v2g_nodes.cli.main", "graph", *words], capture_output=True,
                           text=True, check=False)
    assert ended.returncode == 2
    assert text in ended.stderr
    assert ended.stderr.count("\n") == 1
