"""What the figures share: size, style, colours, and the line that turns a drawing into text."""

from __future__ import annotations

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from v2g_nodes.cli.page import svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, GRID, INK, STYLE

WARM = "#e09f3e"
WELL = "#eef3f6"
COLORS = (ACCENT, COLD, WARM, "#3c896d", "#7353ba", "#8a5a44", "#5b6b7a", "#b0326f", "#2f6690", "#6a994e")

mpl.use("svg")
mpl.rcParams.update(STYLE)
mpl.rcParams["axes.prop_cycle"] = cycler(color=COLORS)

__all__ = ["ACCENT", "COLD", "COLORS", "GRID", "INK", "WARM", "WELL", "arrow", "axes", "blank", "box", "text_of"]


def axes(columns: int = 1, height: float = 3.0, width: float = 7.6) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side [inch]."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, [*figure.subplots(1, columns, squeeze=False)[0]]


def blank(axis: Axes, width: float, height: float) -> Axes:
    """An axis without scales for a diagram of this size."""
    axis.set_xlim(0, width)
    axis.set_ylim(0, height)
    axis.set_aspect("equal")
    axis.set_axis_off()
    return axis


def box(axis: Axes, middle: tuple[float, float], size: tuple[float, float], words: str, color: str = WELL) -> None:
    """A box with words."""
    corner = (middle[0] - size[0] / 2, middle[1] - size[1] / 2)
    axis.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0,rounding_size=0.12", fc=color, ec=INK, lw=1.0))
    axis.text(*middle, words, ha="center", va="center", fontsize=9)


def arrow(
    axis: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    words: str = "",
    color: str = INK,
    bend: float = 0.0,
    at: tuple[float, float] = (0.0, 0.12),
) -> None:
    """An arrow, with words beside its middle."""
    style = f"arc3,rad={bend}"
    axis.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=color, lw=1.2,
                                   connectionstyle=style, shrinkA=1, shrinkB=1))
    if words:
        middle = (start[0] + end[0]) / 2 + at[0], (start[1] + end[1]) / 2 + at[1]
        axis.text(*middle, words, ha="center", va="bottom", fontsize=7.5, color=color)


def text_of(figure: Figure) -> str:
    """The drawing as a file of its own."""
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg(figure)
