"""The ROS graph of a station for a terminal, and as a DOT file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from v2g_nodes.bringup_graph import MODULE_NODE, GraphView, Link, exchange_over, link_text, topology_of

SPACE = re.compile(r"/ek3_\d\d/")
COLORS = ("cyan", "green", "yellow", "magenta", "blue")


def graph_text(view: GraphView, domain: str, missing: tuple[Sequence[str], Sequence[Link]] | None) -> RenderableType:
    """Modules with whom they hear, topics that have both ends, and what is missing.

    Args:
        view: the graph.
        domain: of ROS.
        missing: nodes and edges that the station file has; None without a file.
    """
    modules, heard = view.modules, view.heard
    over = exchange_over(view)
    words = f"through {over}" if over else topology_of([*modules], view.links)
    parts: list[RenderableType] = [
        Text.assemble((f"ROS domain {domain}", "bold"), f": {len(modules)} modules {words}, {len(view.others)} other "
                      f"nodes, {len(view.edges)} edges"), Text("")]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("module", "nodes", "hears"):
        table.add_column(title)
    for k, names in modules.items():
        hears = over or ", ".join(map(str, heard[k]))
        table.add_row(Text(f"ek3_{k:02d}", style=COLORS[k % len(COLORS)]), " ".join(names), hears or Text("-", "dim"))
    parts += [table, Text(""), _topics(view)]
    if missing is not None:
        lines = [*(f"node {name}" for name in missing[0]), *map(link_text, missing[1])]
        parts += [Text("")] + [Text(f"missing: {line}", style="bold red") for line in lines]
        if not lines:
            parts.append(Text("all nodes and edges of the station file are there", style="green"))
    return Group(*parts)


def graph_dot(view: GraphView) -> str:
    """The graph in the DOT language, one cluster per module; what neighbours hear of each other is bold."""
    lines = ["digraph station {", "  layout=fdp; overlap=false; splines=true; node [shape=box, fontname=sans];"]
    for k, names in view.modules.items():
        lines.append(f'  subgraph "cluster_ek3_{k:02d}" {{ label="ek3_{k:02d}";')
        lines += [f'    "/ek3_{k:02d}/{name}" [label="{name}"];' for name in names]
        lines.append("  }")
    lines += [f'  "{name}" [label="{name.strip("/")}", style=rounded];' for name in view.others]
    bundles: dict[tuple[str, str], list[str]] = {}
    for edge in view.edges:
        bundles.setdefault((edge.publisher, edge.subscriber), []).append(edge.topic.rpartition("/")[2])
    for (publisher, subscriber), topics in sorted(bundles.items()):
        style = ", style=bold" if _is_exchange(publisher, subscriber) else ""
        lines.append(f'  "{publisher}" -> "{subscriber}" [label="{", ".join(sorted(topics))}"{style}];')
    return "\n".join([*lines, "}", ""])


def _is_exchange(publisher: str, subscriber: str) -> bool:
    sender, receiver = MODULE_NODE.fullmatch(publisher), MODULE_NODE.fullmatch(subscriber)
    return bool(sender and receiver and sender[1] != receiver[1])


def _topics(view: GraphView) -> Table:
    """Topics of all modules alike in one line."""
    found: dict[str, list[Link]] = {}
    for topic in view.topics:
        if topic.edges:
            found.setdefault(SPACE.sub("/ek3_NN/", topic.name), []).extend(topic.edges)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("topic", "from", "to", "edges"):
        table.add_column(title, justify="right" if title == "edges" else "left")
    for name in sorted(found):
        edges = found[name]
        table.add_row(name, _counted(edge.publisher for edge in edges), _counted(edge.subscriber for edge in edges),
                      str(len(edges)))
    return table


def _counted(nodes: Iterable[str]) -> str:
    counts = Counter(node.rpartition("/")[2] for node in {*nodes})
    return ", ".join(name if counts[name] == 1 else f"{counts[name]} {name}" for name in sorted(counts))
