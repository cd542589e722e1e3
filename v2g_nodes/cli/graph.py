"""`v2g graph`: the ROS graph of the station that runs in this ROS domain, as it is."""

from __future__ import annotations

import json as json_module
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from v2g_nodes.bringup_expected import expected_graph, missing_parts
from v2g_nodes.bringup_graph import GraphView, to_json, topology_of
from v2g_nodes.bringup_network import network_environment
from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.graph_svg import graph_svg
from v2g_nodes.cli.graph_text import graph_dot, graph_text
from v2g_nodes.cli.layouts import write_layouts
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import load_station

SUFFIXES = (".svg", ".dot", ".json")


def graph(
    station: Annotated[
        str | None, typer.Option(metavar="FILE", help="Station file to compare with.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Write a drawing: .svg, .dot or .json.")
    ] = None,
    layouts: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write layouts for PlotJuggler, Foxglove, rqt and diagnostics.")
    ] = None,
    json: Json = None,
) -> None:
    """Show the live graph: nodes by module, who hears whom, which topics go where.

    Works beside a station that was started by anything, in the same ROS domain. Exit code 1 where there is no station,
    or where something of the station file is missing.
    """
    check_writable(json)
    _check_output(output)
    folder = None if layouts is None else prepare_folder(layouts, "--layouts")
    file = None if station is None else load_station(station)
    expected = None if file is None else expected_graph(file)
    os.environ.update(network_environment(file, os.environ))
    from v2g_nodes.nodes.graph_look import GraphLook  # rclpy reads the environment when it starts
    from v2g_nodes.nodes.spin import leave

    def complete(view: GraphView) -> bool:
        return expected is not None and not any(missing_parts(view, expected))

    with GraphLook() as looking:
        view = looking.look(None if expected is None else complete)
    missing = None if expected is None else missing_parts(view, expected)
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    if output is not None:
        words = f"{len(view.modules)} modules {topology_of([*view.modules], view.links)}"
        title = words if file is None else f"{file.name}: {words}"
        texts = {".svg": lambda: graph_svg(view, title, missing), ".dot": lambda: graph_dot(view),
                 ".json": lambda: json_module.dumps(to_json(view, missing), indent=2) + "\n"}
        _write(output, texts[Path(output).suffix]())
    if folder is not None:
        write_layouts(folder, [*view.modules])
    if json is None:
        Console().print(graph_text(view, domain, missing))
    else:
        emit(to_json(view, missing), json, "graph")
    count = 0 if missing is None else sum(map(len, missing))
    if count:
        print(f"v2g: error: {count} nodes or edges of {station} are missing in ROS domain {domain}", file=sys.stderr)
    leave(1 if count else 0)


def _check_output(output: str | None) -> None:
    if output is None:
        return
    if Path(output).suffix not in SUFFIXES:
        raise InputError(f"--output {output}: allowed is a file that ends with {', '.join(SUFFIXES)}")
    if Path(output).is_dir() or not Path(output).resolve().parent.is_dir():
        raise InputError(f"--output {output}: allowed is a file in a folder that exists")


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output {path}: {error.strerror}") from error
