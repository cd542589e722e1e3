"""Plots of a run, from the monitor's series: the report's panels and the figure of the README."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from v2g_nodes.cli.page import svg
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.time_axis import format_clock

Series = Mapping[str, Any]
Draw = Callable[[Axes], None]

SOC_MOVED = 0.02  # less movement would be a flat line on the scale of all modules' levels
WIDE = 8.0  # largest over median beyond which a linear scale would hide the median
POINTS_MAX = 1500  # per line: more than a screen has columns only makes the file larger
INK, GRID, TARGET, ACCENT, COLD = "#1b2733", "#d9dfe5", "#111111", "#0b6e99", "#d1495b"
STYLE = {
    "font.family": "sans-serif", "font.size": 9, "axes.edgecolor": GRID, "axes.labelcolor": INK, "axes.titlesize": 10,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": GRID, "grid.linewidth": 0.6,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "legend.frameon": False, "legend.fontsize": 8,
    "svg.fonttype": "none", "svg.hashsalt": "v2g",
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One plot.

    Args:
        name: of the panel.
        title: with what it shows and the unit.
        draw: fills an axis from the series.
    """

    name: str
    title: str
    draw: Callable[[Axes, Series], None]


def module_colors(modules: Sequence[str]) -> dict[str, str]:
    """A colour per module, the same in all plots: distinct ones up to ten, then along a colour map."""
    if len(modules) <= 10:
        named = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
        return {module: mpl.colors.to_hex(named[k]) for k, module in enumerate(modules)}
    along = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, len(modules)))
    return {module: mpl.colors.to_hex(color) for module, color in zip(modules, along, strict=True)}


def module_ids(series: Series) -> list[str]:
    """Modules of the series in order."""
    return sorted(series.get("modules", {}), key=int)


def figure_station(series: Series) -> Figure:
    """All panels in one figure with a common legend.

    Args:
        series: as the monitor writes it.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 8.4), layout="constrained")
        axes = figure.subplots(3, 2, sharex=True)
        for panel, axis in zip(PANELS, axes.T.flat, strict=True):
            _fill(panel, axis, series)
        for axis in axes[:-1].flat:
            axis.tick_params(labelbottom=False)
        colors = module_colors(module_ids(series))
        handles = [mpl.lines.Line2D([], [], color=color, linewidth=4) for color in colors.values()]
        if 0 < len(handles) <= 16:
            figure.legend(handles, [f"module {module}" for module in colors], loc="outside lower center",
                          ncols=min(8, len(handles)))
    return figure


def panel_svg(panel: Panel, series: Series) -> str:
    """One panel as an `<svg>` element for a page."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": panel.name}):
        figure = Figure(figsize=(7.2, 3.1), layout="constrained")
        _fill(panel, figure.subplots(), series)
        return svg(figure, transparent=True)


def axis_svg(title: str, draw: Draw) -> str:
    """One plot with a legend as an `<svg>` element.

    Args:
        title: with what it shows and the unit.
        draw: fills the axis.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        axis = figure.subplots()
        axis.set_title(title)
        draw(axis)
        axis.legend()
        return svg(figure)


def _fill(panel: Panel, axis: Axes, series: Series) -> None:
    axis.set_title(panel.title)
    panel.draw(axis, series)
    axis.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.2, 1.5, 2, 3, 6, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_clock(round(x))))
    axis.margins(x=0.01)


# ---- reading the series ----------------------------------------------------------------------------------------------
def numbers(values: Sequence[float | None] | None) -> FloatArray:
    """An array with NaN where there is no value."""
    return np.array([np.nan if value is None else value for value in values or ()], dtype=float)


def clock_offset_s(series: Series) -> float:
    """Local time of day at `time_s` = 0 [s]."""
    times, of_day = numbers(series.get("time_s")), numbers(series.get("time_of_day_s"))
    known = np.flatnonzero(np.isfinite(times[: of_day.size]) & np.isfinite(of_day[: times.size]))
    return float(of_day[known[0]] - times[known[0]]) if known.size else 0.0


def _thin(x: FloatArray, *lines: FloatArray) -> tuple[FloatArray, ...]:
    step = -(-max(1, x.size) // POINTS_MAX)
    return tuple(values[::step] for values in (x, *lines))


def _times(series: Series) -> FloatArray:
    return numbers(series.get("time_s")) + clock_offset_s(series)


def _line(axis: Axes, series: Series, key: str, **style: Any) -> None:  # noqa: ANN401 - as matplotlib
    x, y = _times(series), numbers(series.get(key))
    if y.size == x.size and np.isfinite(y).any():
        axis.plot(*_thin(x, y), **style)


def _module_lines(axis: Axes, series: Series, key: str, scale: float = 1.0, from_first: bool = False,
                  drawstyle: str = "default") -> None:
    x = _times(series)
    for module, color in module_colors(module_ids(series)).items():
        y = numbers(series["modules"][module].get(key)) * scale
        known = np.flatnonzero(np.isfinite(y))
        if y.size == x.size and known.size:
            axis.plot(*_thin(x, y - y[known[0]] if from_first else y), color=color, linewidth=1.2,
                      drawstyle=drawstyle)


# ---- panels ----------------------------------------------------------------------------------------------------------
def _frequency(axis: Axes, series: Series) -> None:
    _line(axis, series, "frequency_hz", color=ACCENT, linewidth=1.2)
    known = numbers(series.get("frequency_hz"))
    if np.isfinite(known).any():
        nominal = 60.0 if np.nanmedian(known) > 55.0 else 50.0
        axis.axhline(nominal, color=INK, linewidth=0.8, linestyle=":")
    axis.ticklabel_format(axis="y", useOffset=False)


def _power(axis: Axes, series: Series) -> None:
    """Modules stacked upwards while they discharge and downwards while they charge; sums as lines on top."""
    x = _times(series)
    up, down = np.zeros(x.size), np.zeros(x.size)
    for module, color in module_colors(module_ids(series)).items():
        power = np.nan_to_num(numbers(series["modules"][module].get("power_kw")))
        if power.size != x.size:
            continue
        for base, part in ((up, np.maximum(power, 0.0)), (down, np.minimum(power, 0.0))):
            times, low, high = _thin(x, base, base + part)
            axis.fill_between(times, low, high, color=color, alpha=0.75, linewidth=0)
            base += part
    _line(axis, series, "clipped_target_kw", color=INK, linewidth=1.0, linestyle=":", drawstyle="steps-post",
          label="target")
    _line(axis, series, "owed_kw", color=COLD, linewidth=1.6, linestyle=(0, (4, 2)), drawstyle="steps-post",
          label="target + droop")
    _line(axis, series, "measured_kw", color=INK, linewidth=1.4, label="measured")
    axis.axhline(0.0, color=INK, linewidth=0.8)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="best", ncols=3)


def _lambda(axis: Axes, series: Series) -> None:
    _module_lines(axis, series, "lambda", drawstyle="steps-post")


def _soc(axis: Axes, series: Series) -> None:
    """Where the run is too short to move the levels: their change."""
    levels = [numbers(module.get("soc")) for module in series.get("modules", {}).values()]
    moved = max((float(np.nanmax(y) - np.nanmin(y)) for y in levels if np.isfinite(y).any()), default=0.0)
    if moved > SOC_MOVED:
        _module_lines(axis, series, "soc", 100.0)
        return
    axis.set_title("State of charge, change since the start [percentage points]")
    _module_lines(axis, series, "soc", 100.0, from_first=True)


def _temperature(axis: Axes, series: Series) -> None:
    _module_lines(axis, series, "temperature_c")


def _epochs(axis: Axes, series: Series) -> None:
    epochs = series.get("epochs", {})
    x, y = numbers(epochs.get("time_s")) + clock_offset_s(series), numbers(epochs.get("epoch_ms"))
    if x.size != y.size or not np.isfinite(y).any():
        return
    cold = np.array([bool(value) for value in epochs.get("cold", ())] or [False] * x.size)
    for which, color, marker, label in ((~cold, ACCENT, "o", "warm start"), (cold, COLD, "D", "cold start")):
        if which.any():
            axis.plot(*_thin(x[which], y[which]), linestyle="none", marker=marker, markersize=3.5, color=color,
                      label=label)
    median = float(np.nanmedian(y))
    axis.axhline(median, color=INK, linewidth=0.8, linestyle=":")
    if np.nanmax(y) > WIDE * median:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_locator(NullLocator())
    else:
        axis.set_ylim(0.0, float(np.nanmax(y)) * 1.2)
    axis.legend(loc="best", ncols=2)


def _regulation(axis: Axes, series: Series) -> None:
    asked_given = series.get("regulation", {})
    x = numbers(asked_given.get("time_s")) + clock_offset_s(series)
    for key, label, style in (("asked_kw", "asked: capacity times signal", {"color": COLD, "linestyle": (0, (4, 2))}),
                              ("given_kw", "given: beyond base power and droop", {"color": INK})):  # fmt: skip
        axis.plot(*_thin(x, numbers(asked_given.get(key))), linewidth=1.4, label=label, **style)
    axis.axhline(0.0, color=INK, linewidth=0.8)
    axis.legend(loc="best", ncols=2)


def has_regulation(series: Series) -> bool:
    """Whether anything was asked on the regulation signal."""
    return bool(np.nan_to_num(numbers(series.get("regulation", {}).get("asked_kw"))).any())


REGULATION = Panel("regulation", "Regulation signal, means of 10 s [kW]", _regulation)
PANELS = (
    Panel("power", "Power per module, stacked, against the target [kW]", _power),
    Panel("lambda", "Agreed price λ at each module [€/kWh]", _lambda),
    Panel("epochs", "Time to agree per epoch [ms]", _epochs),
    Panel("frequency", "Grid frequency [Hz]", _frequency),
    Panel("soc", "State of charge [%]", _soc),
    Panel("temperature", "Junction temperature [°C]", _temperature),
)
