"""Figures of a network plan: the single-line diagram with voltages, and the day in lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from v2g_nodes.cli.network_runs import Run
from v2g_nodes.cli.page import svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, INK, STYLE
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.grid import Grid

LINES_MAX = 12  # vehicles drawn as lines; more of them as an image, a row per vehicle
Draw = Callable[[Figure, Axes], None]


def diagram_places(grid: Grid) -> FloatArray:
    """Where buses stand in a single-line diagram, shape (buses, 2): branches from the slack bus, then rows."""
    depth, row = np.zeros(len(grid)), np.zeros(len(grid))
    for bus in range(1, len(grid)):
        depth[bus] = depth[grid.parent[bus]] + 1
    ahead, free = [0], 0.0
    size = grid.below.sum(axis=1)
    while ahead:  # the largest part goes on straight, others take rows of their own
        bus = ahead.pop()
        behind = sorted(grid.children[bus], key=lambda k: size[k])
        for k in behind[:-1]:
            free += 1.0
            row[k] = free
        if behind:
            row[behind[-1]] = row[bus]
        ahead.extend(behind)
    return np.stack([depth, -row], axis=1)


def panels(run: Run) -> dict[str, Draw]:
    """Title and drawing of every figure."""
    plan, day = run.plan, run.plan.instance
    hours: FloatArray = day.slot_h * np.arange(day.slots, dtype=np.float64)
    names = [f"bus {day.grid.buses[bus]}" for bus in day.stations.bus]
    voltage: FloatArray = np.abs(plan.evaluation.flow.voltage)
    by_slot = {"generation": plan.evaluation.cost_eur,
               "vehicles": plan.evaluation.station_kw.sum(axis=0) * day.price_eur_per_kwh * day.slot_h}  # fmt: skip
    found = {
        "Single-line diagram: lowest voltage of the day [pu]": _diagram(run),
        "Voltage over the day [pu]": _voltages(hours, voltage, day.grid),
        "Power of stations [kW]": _steps(hours, dict(zip(names, plan.evaluation.station_kw, strict=True))),
        "Price of grid energy [EUR/kWh]": _steps(hours, {
            "market": day.price_eur_per_kwh,
            **dict(zip([f"market + locational, {name}" for name in names], run.price_eur_per_kwh, strict=True))}),
        "Energy of vehicles [% of battery]": _charge(run, hours),
        "Cost of each slot [EUR]": _steps(hours, by_slot),
    }  # fmt: skip
    if "radii" in run.more:
        found["Two-stage: gap and time by radius"] = _radii(run.more["radii"])
    return found


def draw(title: str, how: Draw) -> str:
    """One figure as an `<svg>` element."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axis = figure.subplots()
        axis.set_title(title)
        how(figure, axis)
        return svg(figure)


def _diagram(run: Run) -> Draw:
    def how(figure: Figure, axis: Axes) -> None:
        day, grid = run.plan.instance, run.plan.instance.grid
        places, lowest = diagram_places(grid), np.abs(run.plan.evaluation.flow.voltage).min(axis=1)
        lines = []
        for bus in range(1, len(grid)):
            above, here = places[grid.parent[bus]], places[bus]
            lines += [[above, (above[0], here[1])], [(above[0], here[1]), here]]
        axis.add_collection(LineCollection(lines, colors=INK, linewidths=0.8))
        dots = axis.scatter(
            places[:, 0], places[:, 1], c=lowest, s=34, zorder=3, cmap="viridis", edgecolors=INK, linewidths=0.4
        )
        figure.colorbar(dots, ax=axis, shrink=0.8)
        at = places[day.stations.bus]
        axis.scatter(
            at[:, 0], at[:, 1], s=110, facecolors="none", edgecolors=COLD, linewidths=1.6, zorder=4, label="station"
        )
        every = max(1, len(grid) // 24)
        shown = {0, *map(int, day.stations.bus), *range(0, len(grid), every)}
        for bus in shown:
            axis.annotate(str(grid.buses[bus]), places[bus], xytext=(0, 6), textcoords="offset points", fontsize=6.5)
        axis.legend()
        axis.set_axis_off()

    return how


def _voltages(hours: FloatArray, voltage: FloatArray, grid: Grid) -> Draw:
    def how(_: Figure, axis: Axes) -> None:
        lowest, highest = voltage[1:].min(axis=0), voltage[1:].max(axis=0)
        axis.fill_between(hours, lowest, highest, step="post", color=ACCENT, alpha=0.18, label="all buses")
        axis.step(hours, voltage[1 + int(voltage[1:].min(axis=1).argmin())], where="post", color=ACCENT,
                  label=f"bus {grid.buses[1 + int(voltage[1:].min(axis=1).argmin())]}, the lowest")  # fmt: skip
        axis.axhline(grid.v_min[1:].max(), color=COLD, linewidth=0.8, label="least allowed")
        axis.set_xlabel("hour")
        axis.legend()

    return how


def _steps(hours: FloatArray, lines: Mapping[str, FloatArray]) -> Draw:
    def how(_: Figure, axis: Axes) -> None:
        for name, values in lines.items():
            axis.step(hours, values, where="post", label=name)
        axis.set_xlabel("hour")
        axis.legend()

    return how


def _charge(run: Run, hours: FloatArray) -> Draw:
    def how(figure: Figure, axis: Axes) -> None:
        day, fleet = run.plan.instance, run.plan.instance.vehicles
        energy = fleet.energy_kwh(run.plan.power_kw, day.slot_h)
        slot = np.arange(day.slots + 1)
        there = (fleet.arrival[:, None] <= slot) & (slot <= fleet.departure[:, None])
        share = np.where(there, 100.0 * energy / fleet.capacity_kwh[:, None], np.nan)
        edges = np.append(hours, hours[-1] + day.slot_h)
        axis.set_xlabel("hour")
        if len(fleet) <= LINES_MAX:
            for name, values in zip(fleet.names, share, strict=True):
                axis.plot(edges, values, label=name)
            axis.legend(ncols=2)
            return
        axis.grid(False)
        image = axis.pcolormesh(edges, np.arange(len(fleet) + 1), share[:, :-1], cmap="viridis", vmin=0.0, vmax=100.0)
        axis.set_ylabel("vehicle")
        figure.colorbar(image, ax=axis)

    return how


def _radii(rows: list[dict[str, Any]]) -> Draw:
    def how(_: Figure, axis: Axes) -> None:
        kept = [row for row in rows if row["gap"] is not None]
        axis.plot([row["radius"] for row in kept], [max(100.0 * row["gap"], 1e-10) for row in kept], "o-", color=ACCENT)
        axis.set_yscale("log")
        axis.set_xlabel("radius")
        axis.set_ylabel("gap [%]", color=ACCENT)
        other = axis.twinx()
        other.plot([row["radius"] for row in rows], [row["seconds"] for row in rows], "s--", color=COLD)
        other.set_ylabel("seconds", color=COLD)
        other.grid(False)

    return how
