"""What the declarations of parameters and streams look like to a reader: parameter file, page and tables of the README.

`./v2g test test/nodes/test_reference.py --update` writes them anew.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from v2g_nodes.nodes import streams
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.streams import Stream

ROOT = Path(__file__).resolve().parents[2]
OF_A_MODULE = ("module", "droop", "optimizer")
COMMAND = "./v2g test test/nodes/test_reference.py --update"
MARKS = "<!-- generated: {name} -->...<!-- end: {name} -->"

WORDS = {"bool": "true, false", "int": "whole number", "float": "number", "str": "text"}

INTRODUCTION = f"""Made from the declarations by `{COMMAND}`. A station takes its values from the station file
([config/station.yaml](../config/station.yaml)); [config/parameters.yaml](../config/parameters.yaml) has the defaults
below for nodes that are run one by one.

**Set while running** says which may be set by `ros2 param set`: all together or none, within their bounds. Any other
change is refused with a line that says why. Every change, refused or not, goes to the audit log."""

Field = dataclasses.Field[Any]


def fields_of(kind: str) -> list[Field]:
    """Parameters of a kind of node, those of every node last."""
    fields = dataclasses.fields(KINDS[kind].PARAMETERS)
    common = {field.name for field in common_fields()}
    return [field for field in fields if field.name not in common] + [f for f in fields if f.name in common]


def common_fields() -> list[Field]:
    """Parameters that every node has."""
    first, *others = (dataclasses.fields(kind.PARAMETERS) for kind in KINDS.values())
    names = set.intersection(*({field.name for field in fields} for fields in others))
    return [field for field in first if field.name in names]


# ---- config/parameters.yaml ----------------------------------------------------------------------------------------
def parameter_file() -> str:
    """Every parameter of every kind of node with its default, as `--params-file` reads it."""
    lines = [
        "# Every parameter of every node, with its default. Made from the declarations; write it anew by",
        f"#   {COMMAND}",
        "# A station takes its values from the station file. This file is for nodes that are run one by one:",
        "#   ros2 run v2g_nodes grid_signal --ros-args --params-file parameters.yaml",
        "# Leave out what you don't change. [set] = may be set while the node runs (ros2 param set).",
    ]
    for kind in KINDS:
        lines += ["", f"/**/{kind}:", "  ros__parameters:"]
        lines += [line for field in fields_of(kind) for line in _entry(field)]
    return "\n".join(lines) + "\n"


def _entry(field: Field) -> Iterator[str]:
    mark = "[set] " if field.metadata["settable"] else ""
    yield f"    # {mark}{field.metadata['text']}{_bounds(field, ' [', ']')}"
    if field.default == ():  # an empty array has no type that ROS could read from a file
        yield f"    # {field.name}: []"
    else:
        yield f"    {field.name}: {_yaml(field.default)}"


def _yaml(value: object) -> str:
    if isinstance(value, float) and math.isnan(value):
        return ".nan"
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")  # else YAML takes it for a word
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _bounds(field: Field, before: str, after: str) -> str:
    low, high, unit = (field.metadata[key] for key in ("low", "high", "unit"))
    span = "" if low is None and high is None else f"{_number(low, 'any')} to {_number(high, 'any')}"
    words = " ".join(filter(None, (span, unit)))
    return f"{before}{words}{after}" if words else ""


def _number(value: float | None, absent: str) -> str:
    return absent if value is None else f"{value:g}" if abs(value) < 1e6 or value % 1.0 else f"{value:.0f}"


# ---- docs/parameters.md --------------------------------------------------------------------------------------------
def parameter_page() -> str:
    """All parameters of all nodes, for people."""
    text = ["# Parameters", INTRODUCTION, "## Every node", _table(common_fields())]
    common = {field.name for field in common_fields()}
    for kind in KINDS:
        own = [field for field in fields_of(kind) if field.name not in common]
        text += [f"## {kind}", _table(own)]
    return "\n\n".join(text) + "\n"


def _table(fields: list[Field]) -> str:
    lines = ["| parameter | default | allowed | what it is | set while running |", "|---|---|---|---|---|"]
    for field in fields:
        allowed = _bounds(field, "", "") or _kind(field)
        settable = "yes" if field.metadata["settable"] else ""
        cells = (f"`{field.name}`", _default(field), allowed, field.metadata["text"], settable)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def _kind(field: Field) -> str:
    item = str(field.type).removeprefix("tuple[").removesuffix(", ...]")
    return WORDS[item] + (", any number of them" if item != field.type else "")


def _default(field: Field) -> str:
    value = field.default
    if value in ("", ()):
        return "empty"
    if isinstance(value, float):
        return "not known" if math.isnan(value) else f"{value:g}"
    return f"`{_yaml(value)}`"


# ---- README.md -----------------------------------------------------------------------------------------------------
def settable_table() -> str:
    """Parameters that may be set while their node runs."""
    lines = ["| parameter | of | allowed | what it is |", "|---|---|---|---|"]
    nodes: dict[str, list[str]] = {}
    by_name: dict[str, Field] = {}
    for kind in KINDS:
        for field in fields_of(kind):
            if field.metadata["settable"]:
                nodes.setdefault(field.name, []).append(f"/ek3_NN/{kind}" if kind in OF_A_MODULE else f"/{kind}")
                by_name[field.name] = field
    for name, field in by_name.items():
        where = "every node" if len(nodes[name]) == len(KINDS) else ", ".join(f"`{node}`" for node in nodes[name])
        allowed = _bounds(field, "", "") or _kind(field)
        lines.append(f"| `{name}` | {where} | {allowed} | {field.metadata['text'].replace('|', '/')} |")
    return "\n".join(lines)


def topic_table() -> str:
    """All streams."""
    lines = ["| topic | message | sent | quality | stale after |", "|---|---|---|---|---|"]
    for stream in vars(streams).values():
        if isinstance(stream, Stream):
            quality = "reliable" if stream.reliable else "best effort"
            quality += ", latched" if stream.latched else ""
            age = f"{stream.max_age_s:g} s" if stream.max_age_s else ""
            cells = (f"`{_topic(stream)}`", stream.message.__name__, stream.rate, quality, age)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _topic(stream: Stream) -> str:
    if stream.topic.startswith("~"):
        return f"/NODE{stream.topic[1:]}"
    return stream.topic if stream.topic.startswith("/") else f"/ek3_NN/{stream.topic}"


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """A page with what stands between its marks written anew.

    Raises:
        ValueError: a table has no marks in the page.
    """
    for name, text in tables.items():
        begin, end = MARKS.format(name=name).split("...")
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"allowed is one pair of marks for {name}: {begin} {end}")
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
    return page


def generated() -> dict[Path, str]:
    """All that is made from the declarations, by file."""
    readme = ROOT / "README.md"
    tables = {"topics": topic_table(), "settable parameters": settable_table()}
    return {
        ROOT / "config" / "parameters.yaml": parameter_file(),
        ROOT / "docs" / "parameters.md": parameter_page(),
        readme: with_tables(readme.read_text(encoding="utf-8"), tables),
    }
