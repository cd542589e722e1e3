"""Modes of a module and every step between them, found by asking the function that decides."""

from __future__ import annotations

import itertools

from drawing import ACCENT, COLD, INK, WARM, WELL, arrow, axes, blank, box, text_of

from v2g_nodes.core.mode import ENERGISED, Events, Mode, next_mode

AT = {Mode.OFF: (1.0, 2.6), Mode.STANDBY: (3.4, 2.6), Mode.READY: (6.2, 2.6), Mode.CHARGING: (9.4, 4.2),
      Mode.DISCHARGING: (9.4, 2.6), Mode.DERATED: (9.4, 1.0), Mode.FAULT: (4.6, 0.45),
      Mode.SAFE: (2.2, 0.45)}  # fmt: skip
SIZE = (1.75, 0.62)


def steps() -> set[tuple[Mode, Mode]]:
    """Every pair of modes that some events lead from one to the other."""
    every = [Events(*values) for values in itertools.product((False, True), repeat=len(Events._fields))]
    return {(mode, next_mode(mode, events)) for mode in Mode for events in every}


def draw() -> str:
    """The figure."""
    figure, (axis,) = axes(height=3.3)
    blank(axis, 11.0, 4.9)
    found = {(a, b) for a, b in steps() if a != b}
    always = {b for b in (Mode.OFF, Mode.FAULT, Mode.SAFE) if all((a, b) in found for a in Mode if a != b)}
    for a, b in sorted(found):
        if b in always or (b is Mode.STANDBY and a in ENERGISED):
            continue
        _step(axis, a, b)
    for mode, middle in AT.items():
        color = "#dcebf2" if mode in ENERGISED else "#f6dde0" if mode in always else WELL
        box(axis, middle, SIZE, mode.name, color)
    axis.text(0.1, 4.5, "Power may flow in the blue modes only. Not drawn: from every mode to "
              + ", ".join(sorted(mode.name for mode in always)) + ",\nand from every blue mode to STANDBY.",
              fontsize=7.5, color="#5b6b7a", va="center")
    return text_of(figure)


def _step(axis: object, a: Mode, b: Mode) -> None:
    (x1, y1), (x2, y2) = AT[a], AT[b]
    dx, dy = x2 - x1, y2 - y1
    if abs(dx) > SIZE[0]:
        start, end = (x1 + SIZE[0] / 2 * (1 if dx > 0 else -1), y1), (x2 - SIZE[0] / 2 * (1 if dx > 0 else -1), y2)
    else:
        start, end = (x1, y1 + SIZE[1] / 2 * (1 if dy > 0 else -1)), (x2, y2 - SIZE[1] / 2 * (1 if dy > 0 else -1))
    color = COLD if a in (Mode.FAULT, Mode.SAFE) else ACCENT if b in ENERGISED and a in ENERGISED else INK
    color = WARM if a is Mode.STANDBY and b is Mode.READY else color
    arrow(axis, start, end, color=color, bend=0.12)  # type: ignore[arg-type]
