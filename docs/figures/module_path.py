"""What goes on inside a module, from the tables of streams: every arrow is a topic, a call or the hardware's bus."""

from __future__ import annotations

from drawing import ACCENT, COLD, WARM, arrow, axes, blank, box, text_of

from v2g_nodes.cli.node_topics import IN, OUT
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.streams import Stream


def draw() -> str:
    """The figure."""
    figure, (axis,) = axes(height=3.4, width=8.2)
    blank(axis, 13.4, 5.5)
    at = {"grid_signal": (1.1, 4.9), "market_planner": (1.1, 3.2), "neighbours": (1.1, 1.0),
          "optimizer": (4.9, 2.6), "droop": (8.5, 2.6), "module": (12.1, 2.6)}  # fmt: skip
    for name, middle in at.items():
        box(axis, middle, (2.0, 0.8), name.replace("_", "\n") if name == "market_planner" else name)
    box(axis, (12.1, 0.6), (2.0, 0.8), "hardware or\nsimulation", "#ffffff")
    arrow(axis, (2.1, 4.7), (4.6, 3.0), _name(streams.GRID_SIGNAL, "grid_signal", "optimizer"), at=(-0.75, -0.35))
    arrow(axis, (2.1, 4.9), (8.2, 3.0), _name(streams.GRID_SIGNAL, "grid_signal", "droop"), at=(0.75, 0.15))
    arrow(axis, (2.1, 3.1), (3.9, 2.75), _name(streams.MARKET_PLAN, "market_planner", "optimizer"), at=(-0.1, -0.5))
    arrow(axis, (2.1, 1.2), (4.3, 2.2), "", ACCENT)
    arrow(axis, (4.6, 2.2), (2.1, 0.85), "curve, neighbor_state\nboth ways", ACCENT, at=(1.2, -0.75))
    arrow(axis, (5.9, 2.6), (7.5, 2.6), _name(streams.BASE_SETPOINT, "optimizer", "droop"))
    arrow(axis, (9.5, 2.6), (11.1, 2.6), "request (a call)", WARM)
    arrow(axis, (12.1, 2.2), (12.1, 1.0), "set-point\nafter the gate", COLD, at=(-0.85, -0.2))
    applied = f"{_name(streams.APPLIED, 'module', 'optimizer')}, {_name(streams.STATUS, 'module', 'optimizer')}"
    arrow(axis, (11.3, 2.2), (5.3, 2.2), applied, bend=-0.16, at=(0.0, -0.75))
    return text_of(figure)


def _name(stream: Stream, publisher: str, subscriber: str) -> str:
    if stream not in OUT[publisher] or stream not in IN[subscriber]:
        raise ValueError(f"{stream.topic} does not go from {publisher} to {subscriber}")
    return stream.topic
