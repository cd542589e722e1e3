"""The sources' figures redrawn: what each shows, from which claims' numbers it is drawn, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v2g_nodes.cli.page import svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, STYLE
from v2g_nodes.cli.reproduce_store import Result

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One figure.

    Args:
        title: with unit.
        parts: claim and name of its series; lines of all are drawn together.
        x: key of the abscissa; empty: steps 1, 2, ...
        xlabel: below it.
        log: ordinate in logarithms.
        stairs: lines are steps.
        right: lines drawn against an axis of their own.
        dots: mark the points.
    """

    title: str
    parts: tuple[tuple[str, str], ...]
    x: str = ""
    xlabel: str = ""
    log: bool = False
    stairs: bool = False
    right: tuple[str, ...] = ()
    dots: bool = False


PANELS: Mapping[str, tuple[Panel, ...]] = {
    "000": (
        Panel("Cost off the optimum: ADMM on the bus by its weight", (("000.5.2a", "excess_by_step"),),
              xlabel="iteration", log=True),
        Panel("The same with 20 % of the values lost, the last one held", (("000.5.2c", "excess_by_step"),),
              xlabel="iteration", log=True),
        Panel("Cost off the optimum: price tracking on the ring, gain 0.004", (("000.5.3c", "excess_by_step"),),
              xlabel="iteration", log=True),
        Panel("Cost off the optimum: our algorithms on the ring", (("000.5.5", "excess_by_step"),), xlabel="iteration",
              log=True, dots=True),
        Panel("Where ADMM ends with few averaging rounds: cost above the optimum", (("000.5.3b", "bias"),), "rho",
              "weight", log=True, dots=True),
        Panel("Sizes of the companions' messages [bytes]", (("000.5.6", "bytes"),)),
    ),
    "001": (
        Panel("Valley filling: demand [MW]", (("001.4.1", "demand"),), "hours", "hour", stairs=True),
        Panel("Price [EUR/kWh]", (("001.4.1", "price"),), "hours", "hour", stairs=True),
        Panel("Distance from the optimal price, 1-norm, of the first", (("001.4.3a", "distance"),), xlabel="step",
              log=True),
        Panel("Demand by the price of battery cells [MW]", (("001.4.6a", "by_cell_price"),), "hours", "hour",
              stairs=True),
        Panel("Demand by the worth of energy [MW]", (("001.4.6b", "by_benefit"),), "hours", "hour", stairs=True),
    ),
    "002": (
        Panel("Charging of six vehicles, below 0 discharges [kW]", (("002.4.1a", "power"),), "hours", "slot [h]",
              stairs=True),
        Panel("Energy in the batteries [kWh]", (("002.4.1a", "soc"),), "hours", "slot [h]"),
        Panel("Load with and without vehicles, commitment 0.05 [kW]", (("002.4.3a", "load"),), "hours", "slot [h]",
              stairs=True),
        Panel("Sum of squared load steps by the number of vehicles [kW²]",
              (("002.4.3a", "counts"), ("002.4.3b", "counts")), "vehicles", "vehicles", dots=True),
        Panel("Effect of the commitment: load steps [kW²], distance to the wishes [kW]",
              (("002.4.4", "commitment"),), "commitment", "commitment", right=("distance",), dots=True),
        Panel("Effect of the smoothing: load steps and variance [kW²]", (("002.4.5", "smoothing"),), "smoothing",
              "smoothing", dots=True),
        Panel("Spread of a vehicle's payoffs", (("002.4.1b", "spread"),), xlabel="step", log=True),
    ),
    "003": (
        Panel("Gap to the optimum by the radius [%]", (("003.6.2", "radii"),), "radius", "radius", dots=True),
        Panel("Time of stage 2 by the radius [s]", (("003.6.3", "seconds"),), "radius", "radius", dots=True),
    ),
    "004": (
        Panel("Best rebates [USD/h], price [USD/kWh]", (("004.3.9", "rebates"),), "hours", "hour", stairs=True,
              right=("price [USD/kWh]",)),
        Panel("Bids [kW]", (("004.3.9", "bids"),), "hours", "hour", stairs=True),
        Panel("Share plugged in", (("004.3.9", "plugged"),), "hours", "hour", stairs=True),
        Panel("Improvement by rebates over utility / rating [%]", (("004.3.6", "sensitivity"),), "utility / rating",
              "USD a month per kW", dots=True),
        Panel("Rebates [USD/h] by the drivers' stake, price [USD/kWh]", (("004.6.5", "ownership"),), "hours", "hour",
              stairs=True, right=("price [USD/kWh]",)),
    ),
}  # fmt: skip


def drawings(source: str, results: Sequence[Result]) -> list[str]:
    """The figures of a source that there are numbers for, as `<svg>` elements."""
    series = {str(result["id"]): result["series"] for result in results}
    found = []
    for panel in PANELS[source]:
        lines: Numbers = {}
        for claim, name in panel.parts:
            lines |= series.get(claim, {}).get(name, {})
        if lines:
            found.append(_drawing(panel, lines))
    return found


def _drawing(panel: Panel, lines: Numbers) -> str:
    with mpl.rc_context({**STYLE, "svg.hashsalt": panel.title}):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axis = figure.subplots()
        axis.set_title(panel.title, fontsize=9)
        axis.set_xlabel(panel.xlabel)
        other = axis.twinx() if panel.right else axis
        for name, values in lines.items():
            if name != panel.x:
                _line(other if name in panel.right else axis, panel, lines, name, values)
        if panel.log:
            axis.set_yscale("log")
        handles, labels = axis.get_legend_handles_labels()
        if panel.right:
            other.grid(False)
            more = other.get_legend_handles_labels()
            handles, labels = [*handles, *more[0]], [*labels, *(f"{label} (right)" for label in more[1])]
        if len(labels) > 1 or panel.right:
            axis.legend(handles, labels, ncols=1 if len(labels) < 5 else 2)
        return svg(figure)


def _line(axis: Axes, panel: Panel, lines: Numbers, name: str, values: Any) -> None:  # noqa: ANN401 - a list or a number
    """A line, stairs, or where there is one number only a bar."""
    if not isinstance(values, list):
        axis.barh(name, values, color=ACCENT)
        return
    x = lines.get(panel.x) or list(range(1, len(values) + 1))
    numbers = [float("nan") if value is None else value for value in values]
    look: dict[str, Any] = {"color": COLD, "linestyle": "--"} if name in panel.right else {}
    if panel.stairs:
        axis.stairs(numbers, [*x, 2 * x[-1] - x[-2]], baseline=None, label=name, linewidth=1.4, **look)
    else:
        look |= {"marker": "o", "markersize": 3.5} if panel.dots else {}
        axis.plot(x[: len(numbers)], numbers, label=name, **look)
