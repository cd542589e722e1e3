"""What goes on inside a module, from the tables of streams: every arrow is a topic, a call or the hardware's bus."""

from __future__ import annotations

from drawing import ACCENT, COLD, WARM, arrow, axes, blank, box, text_of

from v2g_nodes.cli.node_topics import IN, OUT
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.streams import Stream


def draw() -> str:
    """The figure."""
    figure, (axis,) = axes(height=3.3)
    blank(axis, 11.4, 4.9)
    at = {"grid_signal": (1.1, 4.1), "market_planner": (1.1, 2.9), "neighbours": (1.1, 0.9),
          "optimizer": (4.3, 2.2), "droop": (7.0, 2.2), "module": (9.7, 2.2)}
    for name, middle in at.items():
        box(axis, middle, (1.9, 0.75), name.replace("_", "\n") if name == "market_planner" else name)
    box(axis, (9.7, 0.6), (1.9, 0.75), "hardware or\nsimulation", "#ffffff")
    arrow(axis, (2.05, 4.0), (4.0, 2.6), _name(streams.GRID_SIGNAL, "grid_signal", "optimizer"), at=(0.35, 0.1))
    arrow(axis, (2.05, 4.2), (7.0, 2.6), _name(streams.GRID_SIGNAL, "grid_signal", "droop"), at=(0.9, 0.25))
    arrow(axis, (2.05, 2.8), (3.35, 2.4), _name(streams.MARKET_PLAN, "market_planner", "optimizer"), at=(-0.1, -0.42))
    arrow(axis, (2.05, 1.1), (3.6, 1.82), "", ACCENT)
    arrow(axis, (3.9, 1.82), (2.05, 0.75), "curve, neighbor_state\nboth ways", ACCENT, at=(0.95, -0.7))
    arrow(axis, (5.25, 2.2), (6.05, 2.2), _name(streams.BASE_SETPOINT, "optimizer", "droop"))
    arrow(axis, (7.95, 2.2), (8.75, 2.2), "request\n(a call)", WARM)
    arrow(axis, (9.7, 1.82), (9.7, 0.98), "set-point after the gate", COLD, at=(-1.2, -0.1))
    applied = f"{_name(streams.APPLIED, 'module', 'optimizer')}, {_name(streams.STATUS, 'module', 'optimizer')}"
    arrow(axis, (9.2, 1.82), (4.6, 1.82), applied, bend=-0.18, at=(-0.6, -0.75))
    return text_of(figure)


def _name(stream: Stream, publisher: str, subscriber: str) -> str:
    if stream not in OUT[publisher] or stream not in IN[subscriber]:
        raise ValueError(f"{stream.topic} does not go from {publisher} to {subscriber}")
    return stream.topic
