"""The ROS graph of a station as a drawing: modules on a circle, all other nodes in the middle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from v2g_nodes.bringup_graph import MODULE_NODE, GraphView, Link
from v2g_nodes.core.graph import normalise

Point = tuple[float, float]

BOX_WIDTH, LINE_HEIGHT, HEAD_HEIGHT = 116.0, 17.0, 22.0  # px
OTHER_WIDTH, OTHER_HEIGHT, OTHER_GAP = 150.0, 26.0, 12.0  # px
PITCH = 150.0  # px, of the modules' boxes along the circle
MARGIN = 40.0  # px
INK, PAPER, QUIET, RING, WELL, MISSING = "#1b2733", "#ffffff", "#c9d2da", "#0b6e99", "#eef3f6", "#d1495b"
STYLE = (
    f"text{{font:12px sans-serif;fill:{INK}}}.head{{font-weight:bold}}.box{{fill:{WELL};stroke:{INK}}}"
    f".other{{fill:{PAPER};stroke:{INK}}}.link{{stroke:{RING};stroke-width:4;stroke-linecap:round}}"
    f".edge{{stroke:{QUIET};stroke-width:1.2}}.missing{{stroke:{MISSING};stroke-width:2;stroke-dasharray:6 4}}"
    f".absent{{fill:none;stroke:{MISSING};stroke-dasharray:6 4}}.lost{{fill:{MISSING}}}"
)


def graph_svg(view: GraphView, title: str, missing: tuple[Sequence[str], Sequence[Link]] | None = None) -> str:
    """The drawing. Links between neighbours are thick, what is missing is red and dashed; lines tell their topics.

    Args:
        view: the graph.
        title: words above it.
        missing: nodes and edges that the station file has; None without a file.
    """
    absent, open_ends = missing or ((), ())
    rows = _rows(view, absent)
    others = [*view.others, *(name for name in absent if not MODULE_NODE.fullmatch(name))]
    places, radius = _places([*rows], max(len(names) for names in rows.values()), len(others))
    size = 2 * (radius + MARGIN) + BOX_WIDTH
    middle = (size / 2, size / 2 + MARGIN / 2)
    at: dict[str, Point] = {
        **{f"ek3_{k:02d}": (middle[0] + x, middle[1] + y) for k, (x, y) in places.items()},
        **{name: (middle[0], middle[1] + (n - (len(others) - 1) / 2) * (OTHER_HEIGHT + OTHER_GAP))
           for n, name in enumerate(others)},
    }  # fmt: skip
    parts = [*_lines(view.edges, at, "edge"), *_links(view, at), *_lines(open_ends, at, "missing")]
    parts += [part for k in rows for part in _module(k, rows[k], at[f"ek3_{k:02d}"])]
    parts += [part for name in others for part in _other(name, at[name], name in absent)]
    head = f'<text class="head" x="{MARGIN:g}" y="{MARGIN / 2 + 6:g}">{escape(title)}</text>'
    width, height = f"{size:.0f}", f"{size + MARGIN / 2:.0f}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{STYLE}</style>", f'<rect width="100%" height="100%" fill="{PAPER}"/>', head, *parts, "</svg>", "",
    ])  # fmt: skip


def _rows(view: GraphView, absent: Sequence[str]) -> dict[int, list[tuple[str, bool]]]:
    """Of each module the names of its nodes and whether they are there."""
    rows = {k: [(name, True) for name in names] for k, names in view.modules.items()}
    for node in absent:
        if match := MODULE_NODE.fullmatch(node):
            rows.setdefault(int(match[1]), []).append((match[2], False))
    return {k: rows[k] for k in sorted(rows)}


def _places(ids: Sequence[int], most_rows: int, others: int) -> tuple[dict[int, Point], float]:
    """Middles of the modules' boxes around (0, 0), the lowest id on top, clockwise; and the radius."""
    column = others * (OTHER_HEIGHT + OTHER_GAP) / 2
    box = math.hypot(BOX_WIDTH, HEAD_HEIGHT + most_rows * LINE_HEIGHT) / 2
    radius = max(len(ids) * PITCH / (2 * math.pi), math.hypot(column, OTHER_WIDTH / 2) + box + MARGIN / 2)
    turns = {k: 2 * math.pi * n / len(ids) for n, k in enumerate(ids)}
    return {k: (radius * math.sin(turn), -radius * math.cos(turn)) for k, turn in turns.items()}, radius


def _links(view: GraphView, at: dict[str, Point]) -> list[str]:
    both = {*view.links}
    one_way = normalise((j, k) for k, heard in view.heard.items() for j in heard if normalise([(j, k)])[0] not in both)
    return [
        *(_line(at[f"ek3_{a:02d}"], at[f"ek3_{b:02d}"], "link", f"modules {a} and {b} hear each other")
          for a, b in view.links),
        *(_line(at[f"ek3_{a:02d}"], at[f"ek3_{b:02d}"], "missing", f"only one of the modules {a} and {b} hears the "
                "other") for a, b in one_way),
    ]  # fmt: skip


def _lines(edges: Sequence[Link], at: dict[str, Point], style: str) -> list[str]:
    """One line for all edges between two groups; none within a module, none of the exchange, which is drawn thick."""
    bundles: dict[tuple[str, str], set[str]] = {}
    for edge in edges:
        ends = _group(edge.publisher), _group(edge.subscriber)
        between_modules = all(end.startswith("ek3_") for end in ends)
        if ends[0] != ends[1] and (style == "missing" or not between_modules) and {*ends} <= at.keys():
            pair = (min(ends), max(ends))
            bundles.setdefault(pair, set()).add(f"{edge.topic} from {edge.publisher} to {edge.subscriber}")
    return [_line(at[a], at[b], style, "\n".join(sorted(texts))) for (a, b), texts in sorted(bundles.items())]


def _group(node: str) -> str:
    match = MODULE_NODE.fullmatch(node)
    return f"ek3_{match[1]}" if match else node


def _line(a: Point, b: Point, style: str, text: str) -> str:
    return (f'<line class="{style}" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}">'
            f"<title>{escape(text)}</title></line>")


def _module(k: int, rows: Sequence[tuple[str, bool]], middle: Point) -> list[str]:
    height = HEAD_HEIGHT + len(rows) * LINE_HEIGHT + 4
    left, top = middle[0] - BOX_WIDTH / 2, middle[1] - height / 2
    style = "box" if any(there for _, there in rows) else "absent"
    parts = [f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{BOX_WIDTH:g}" height="{height:g}" rx="8"/>',
             _text(middle[0], top + 16, f"ek3_{k:02d}", "head")]
    for n, (name, there) in enumerate(rows):
        words = name if there else f"{name} missing"
        parts.append(_text(middle[0], top + HEAD_HEIGHT + 12 + n * LINE_HEIGHT, words, "" if there else "lost"))
    return parts


def _other(name: str, middle: Point, is_absent: bool) -> list[str]:
    left, top = middle[0] - OTHER_WIDTH / 2, middle[1] - OTHER_HEIGHT / 2
    style = "absent" if is_absent else "other"
    words = name.strip("/") + (" missing" if is_absent else "")
    size = f'width="{OTHER_WIDTH:g}" height="{OTHER_HEIGHT:g}"'
    return [f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" {size} rx="13"/>',
            _text(middle[0], middle[1] + 4, words, "lost" if is_absent else "")]


def _text(x: float, y: float, words: str, style: str) -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(words)}</text>'
