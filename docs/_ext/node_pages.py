"""A page for every kind of node: what it is for, what it publishes and hears, its parameters.

Topics are those of the security policies (cli/node_topics.py), which a test compares with real nodes.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pages import cell, list_page, table

from v2g_nodes.bringup import NodeSpec, Overrides, process_plan
from v2g_nodes.cli.node_topics import SERVICES, node_rights, recorder_rights
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.host import KINDS
from v2g_nodes.nodes.streams import Stream
from v2g_nodes.station import CanSection, Station, default_station, replace

DOCS = Path(__file__).resolve().parents[1]
EVERY = "Every node"  # heading in parameters.md
HEAD = ("topic", "message", "sent", "quality of service", "stale after", "where")
PER_MODULE = ("module", "droop", "optimizer")


@cache
def parameter_tables() -> Mapping[str, str]:
    """Sections of parameters.md by heading."""
    _, *sections = (DOCS / "parameters.md").read_text(encoding="utf-8").split("\n## ")
    return {head: text.strip() for head, _, text in (section.partition("\n") for section in sections)}


def pages() -> dict[str, str]:
    """All of them, and the table of topics."""
    made = {f"nodes/{kind}.md": _page(kind) for kind in KINDS}
    listed = {kind: (kind, _words(kind)[0]) for kind in KINDS}
    words = "Each is a managed node (lifecycle) of the package `v2g_nodes`."
    made["nodes/index.md"] = list_page("Nodes", words, listed)
    rows = [(f"`{_shown(each.topic)}`", f"[{_message(each)}](#{_message(each)})" if _is_ours(each) else _message(each),
             each.rate, _quality(each), _age(each), _ends(each)) for each in _streams()]
    head = ("topic", "message", "sent", "quality of service", "stale after", "published by → heard by")
    text = (
        "Every stream between nodes, from the table in `nodes/streams.py` that publishers, subscribers and "
        "staleness checks are made from. `NN` is a module's number, 01 to 64; `NODE` a node's full name."
    )
    made["topics.md"] = f"# Topics\n\n{text}\n\n{table(head, rows)}\n"
    return made


def _page(kind: str) -> str:
    head, more = _words(kind)
    name = f"/ek3_NN/{kind}" if kind in PER_MODULE else f"/{kind}"
    told, heard = _topics(kind)
    parts = [f"(node-{kind})=\n# {kind}", head, more,
             f"Name in the ROS graph: `{name}`. Source: `v2g_nodes/nodes/{kind}_node.py`.",
             "## Publishes", _topic_table(told), "## Hears", _topic_table(heard), "## Services", _services(),
             "## Parameters", parameter_tables()[kind],
             f"Those that all nodes have are on the page of [all parameters](../../../parameters.md#{_slug(EVERY)})."]
    return "\n\n".join(filter(None, parts)) + "\n"


def _words(kind: str) -> tuple[str, str]:
    """What a node is for, in a line; and the rest of it."""
    head, _, more = (inspect.getdoc(inspect.getmodule(KINDS[kind])) or "").partition("\n")
    head = head.removeprefix(f"`{kind}`: ")
    return head[0].upper() + head[1:], more.strip()


def _services() -> str:
    names = ", ".join(f"`~/{name}`" for name in SERVICES)
    return f"Those of a managed node and of its parameters: {names}."


def _slug(heading: str) -> str:
    return heading.lower().replace(" ", "-")


# ---- which topics --------------------------------------------------------------------------------------------------
@cache
def _plans() -> Mapping[str, tuple[NodeSpec, ...]]:
    """Stations that between them have every stream, by what is special about them."""
    ring = default_station(4)
    hosts = tuple(module.model_copy(update={"host": "ab"[module.id // 3]}) for module in ring.modules)
    pair = default_station(2, "bus")
    on_bus = tuple(module.model_copy(update={"backend": "can"}) for module in pair.modules)
    swing = ring.model_copy(update={"grid": ring.grid.model_copy(update={"response": "swing"})})
    fleet = ring.model_copy(update={"plan": ring.plan.model_copy(update={"rule": "valley"})})
    stations: dict[str, tuple[Station, Overrides]] = {
        "": (ring, Overrides()),
        "on several hosts": (replace(ring, modules=hosts), Overrides(host="b")),
        "on a CAN bus": (replace(pair, modules=on_bus, topology=None, can=CanSection(stand_ins=True)), Overrides()),
        "where the station moves the frequency": (swing, Overrides()),
        "with a planner for fleets": (fleet, Overrides()),
        "at another speed": (ring, Overrides(speed=2.0)),
    }
    return {words: process_plan(*each).nodes for words, each in stations.items()}


@cache
def _topics(kind: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Topics that a kind of node publishes and hears, each with the circumstances under which it does."""
    if kind == "recorder":
        rights = recorder_rights()
        return dict.fromkeys(_plain(rights.publish, ""), ""), {"/*": "all there are"}
    if kind == "witness":
        return {}, {stream.topic: "of every module" if stream.topic[0] != "/" else "" for stream in _listened_to(kind)}
    told: dict[str, list[str]] = {}
    heard: dict[str, list[str]] = {}
    for words, nodes in _plans().items():
        for spec in (node for node in nodes if node.kind == kind):
            rights = node_rights(spec)
            for found, names in ((told, rights.publish), (heard, rights.subscribe)):
                for name in _plain(names, spec.namespace):
                    found.setdefault(name, []).append(words)
    return _circumstances(told), _circumstances(heard)


def _circumstances(found: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: "" if "" in words else " or ".join(dict.fromkeys(words)) for name, words in found.items()}


def _plain(names: frozenset[str], own: str) -> Iterator[str]:
    """Topic names without prefix: relative in the own module, `/ek3_MM/...` for those of others."""
    for name in sorted(names):
        if not name.startswith("rt/") or name.endswith(("/transition_event", "/rosout", "/parameter_events")):
            continue
        topic = name.removeprefix("rt")
        if topic.endswith("/parameters_in_force"):
            yield streams.PARAMETERS.topic
        elif own != "/" and topic.startswith(f"{own}/"):
            yield topic.removeprefix(f"{own}/")
        else:
            yield re.sub(r"^/ek3_\d\d/", "/ek3_MM/", topic)


def _listened_to(kind: str) -> Iterator[Stream]:
    """Streams that a node's source listens to, in the order of the table."""
    source = inspect.getsource(inspect.getmodule(KINDS[kind]) or KINDS[kind])
    calls = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Call)]
    named = {ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "self.listen"}
    return (stream for name, stream in vars(streams).items() if f"streams.{name}" in named)


# ---- tables --------------------------------------------------------------------------------------------------------
def _streams() -> list[Stream]:
    return [stream for stream in vars(streams).values() if isinstance(stream, Stream)]


def _topic_table(topics: Mapping[str, str]) -> str:
    by_name = {stream.topic: stream for stream in _streams()}
    rows: list[tuple[object, ...]] = []
    for name, words in topics.items():
        short = name.removeprefix("/ek3_MM/")
        stream = by_name.get(short) or next((s for s in _streams() if short.endswith(s.topic)), None)
        where = words or ("of neighbours or of every module" if name != short else "")
        if stream is None:
            rows.append((f"`{name}`", "", "", "", "", where))
            continue
        message = _message(stream)
        link = f"[{message}](#{message})" if _is_ours(stream) else message
        rows.append((f"`{_shown(name)}`", link, stream.rate, _quality(stream), _age(stream), where))
    return table(HEAD, rows) if rows else "Nothing."


def _shown(topic: str) -> str:
    if topic.startswith("~"):
        return f"/NODE{topic[1:]}"
    return topic if topic.startswith("/") else f"/ek3_NN/{topic}"


def _message(stream: Stream) -> str:
    return stream.message.__name__


def _is_ours(stream: Stream) -> bool:
    return stream.message.__module__.startswith("v2g_nodes.")


def _quality(stream: Stream) -> str:
    words = "reliable" if stream.reliable else "best effort"
    return cell(f"{words}{', latched' if stream.latched else ''}, depth {stream.depth}")


def _age(stream: Stream) -> str:
    return f"{stream.max_age_s:g} s" if stream.max_age_s else ""


def _ends(stream: Stream) -> str:
    def named(place: int) -> str:
        kinds = [kind for kind in KINDS if kind != "recorder" and any(
            topic.removeprefix("/ek3_MM/") == stream.topic for topic in _topics(kind)[place])]
        if not kinds:
            return "anyone"
        return "every node" if len(kinds) >= len(KINDS) - 2 else ", ".join(f"[{kind}](#node-{kind})" for kind in kinds)

    return f"{named(0)} → {named(1)}"
