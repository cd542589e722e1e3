"""Figures of an allocation: the source's, and the run of the dynamics; each drawn from numbers that stand beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v2g_nodes.cli.page import svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, INK, STYLE, module_colors
from v2g_nodes.planning.allocation.allocation import Allocation
from v2g_nodes.planning.allocation.studies import HELPFUL, RESERVED, Studies, saturation

LINES_MAX = 12  # vehicles drawn as lines; more of them as an image, a row per vehicle
SIZE_INCHES = (7.2, 3.1)
SHOWN_COUNTS = (0, 1, 3, 6)  # of the source's figure of the grid's load, and the most there are

Numbers = Mapping[str, Any]


def figure_numbers(allocation: Allocation, studies: Studies) -> dict[str, Numbers]:
    """What each figure is drawn from, as plain numbers.

    Returns:
        Keys `active`, `reactive`, `soc`, `grid`, `counts`, `commitment`, `smoothing`, `storage`.
    """
    problem = allocation.problem
    names = [vehicle.name for vehicle in problem.vehicles]
    per_vehicle = {"vehicles": names, "slot_h": problem.slot_h}
    shown = [p for p in studies.helpful if p.value in SHOWN_COUNTS or p is studies.helpful[-1]]
    return {
        "active": {**per_vehicle, "power_kw": allocation.power_kw.tolist()},
        "reactive": {**per_vehicle, "reactive_kvar": allocation.reactive_kvar.tolist()},
        "soc": {
            **per_vehicle, "soc_kwh": allocation.soc_kwh.tolist(),
            "goal_kwh": [vehicle.soc_goal_kwh for vehicle in problem.vehicles],
            "departure_slot": [vehicle.departure_slot for vehicle in problem.vehicles],
        },
        "grid": {
            "slot_h": problem.slot_h, "commitment": HELPFUL, "vehicles": [round(p.value) for p in shown],
            "grid_kw": [list(p.grid_kw) for p in shown], "peak_kw": [p.peak for p in shown],
        },
        "counts": {
            "vehicles": [round(p.value) for p in studies.helpful],
            "roughness_helpful": [p.roughness for p in studies.helpful],
            "roughness_reserved": [p.roughness for p in studies.reserved],
            "commitments": [HELPFUL, RESERVED],
            "saturation_helpful": saturation(studies.helpful), "saturation_reserved": saturation(studies.reserved),
        },
        "commitment": {
            "commitment": [p.value for p in studies.commitment],
            "roughness": [p.roughness for p in studies.commitment],
            "distance_to_reference": [p.distance for p in studies.commitment],
        },
        "smoothing": {
            "smoothing": [p.value for p in studies.smoothing], "commitment": RESERVED,
            "roughness": [p.roughness for p in studies.smoothing], "variance": [p.variance for p in studies.smoothing],
        },
        "storage": {
            "stages": [stage.kind for stage in allocation.stages],
            "storage": [stage.run.trace.storage for stage in allocation.stages],
            "consensus_spread": [stage.run.trace.spread for stage in allocation.stages],
        },
    }  # fmt: skip


def drawings(numbers: Mapping[str, Numbers]) -> list[str]:
    """All figures as `<svg>` elements, in the order of the page."""
    return [_drawing(name, draw, numbers[name]) for name, draw in _PANELS.items()]


def _drawing(name: str, draw: Any, numbers: Numbers) -> str:  # noqa: ANN401 - a function of this file
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axis = figure.subplots()
        draw(axis, numbers)
        axis.margins(x=0.01)
        return svg(figure, transparent=True)


def _by_vehicle(axis: Axes, numbers: Numbers, key: str) -> None:
    values, names = np.array(numbers[key]), numbers["vehicles"]
    hours = np.arange(values.shape[1] + 1) * numbers["slot_h"]
    axis.set_xlabel("time [h]")
    if len(names) <= LINES_MAX:
        for row, (name, color) in zip(values, module_colors(names).items(), strict=True):
            axis.stairs(row, hours, baseline=None, color=color, linewidth=1.3, label=name)
        if len(names) > 1:
            axis.legend(loc="best", ncols=4)
        return
    bound = float(np.max(np.abs(values))) or 1.0
    low = -bound if np.min(values) < 0.0 else 0.0
    image = axis.pcolormesh(
        hours,
        np.arange(len(names) + 1) + 0.5,
        values,
        vmin=low,
        vmax=bound,
        rasterized=True,
        cmap="RdBu" if low < 0.0 else "viridis",
    )
    axis.set_ylabel("vehicle")
    axis.figure.colorbar(image, ax=axis)


def _active(axis: Axes, numbers: Numbers) -> None:
    axis.set_title("Active power per vehicle and slot [kW], above 0 discharges")
    _by_vehicle(axis, numbers, "power_kw")


def _reactive(axis: Axes, numbers: Numbers) -> None:
    axis.set_title("Reactive power per vehicle and slot [kvar], above 0 supplies")
    _by_vehicle(axis, numbers, "reactive_kvar")


def _soc(axis: Axes, numbers: Numbers) -> None:
    axis.set_title("Energy in the batteries after each slot [kWh]")
    _by_vehicle(axis, numbers, "soc_kwh")
    if len(numbers["vehicles"]) <= LINES_MAX:
        axis.set_title("Energy in the batteries after each slot, goal at departure as a dot [kWh]")
        ends = [slot * numbers["slot_h"] for slot in numbers["departure_slot"]]
        axis.plot(ends, numbers["goal_kwh"], linestyle="none", marker="o", color=INK, markersize=4.0, clip_on=False)


def _grid(axis: Axes, numbers: Numbers) -> None:
    axis.set_title(f"Load of the grid by number of vehicles, α = {numbers['commitment']:g} [kW]")
    colors = mpl.colormaps["viridis"](np.linspace(0.85, 0.1, len(numbers["vehicles"])))
    for count, load, color in zip(numbers["vehicles"], numbers["grid_kw"], colors, strict=True):
        hours = np.arange(len(load) + 1) * numbers["slot_h"]
        axis.stairs(
            load,
            hours,
            baseline=None,
            color=color if count else INK,
            linewidth=1.4,
            linestyle="-" if count else ":",
            label=f"{count} vehicles",
        )
    axis.set_xlabel("time [h]")
    axis.legend(loc="best", ncols=3)


def _counts(axis: Axes, numbers: Numbers) -> None:
    axis.set_title("Roughness of the load by number of vehicles [kW²]")
    for key, alpha, color in (("helpful", 0, ACCENT), ("reserved", 1, COLD)):
        end = numbers[f"saturation_{key}"]
        label = f"α = {numbers['commitments'][alpha]:g}" + ("" if end is None else f", first no smoother after {end}")
        values = numbers[f"roughness_{key}"]
        axis.plot(numbers["vehicles"], values, marker="o", markersize=3.5, color=color, label=label)
    axis.set_yscale("symlog", linthresh=1.0)
    axis.set_xlabel("vehicles")
    axis.legend(loc="best")


def _commitment(axis: Axes, numbers: Numbers) -> None:
    axis.set_title("Effect of commitment α")
    _two(
        axis,
        numbers["commitment"],
        ("roughness [kW²]", numbers["roughness"]),
        ("distance to the owners' wishes [kW]", numbers["distance_to_reference"]),
    )
    axis.set_xlabel("α")


def _smoothing(axis: Axes, numbers: Numbers) -> None:
    axis.set_title(f"Effect of the smoothing factor β, α = {numbers['commitment']:g}")
    _two(axis, numbers["smoothing"], ("roughness [kW²]", numbers["roughness"]), ("variance [kW²]", numbers["variance"]))
    axis.set_xlabel("β")


def _two(axis: Axes, x: Sequence[float], left: tuple[str, Sequence[float]], right: tuple[str, Sequence[float]]) -> None:
    other = axis.twinx()
    for each, color, (label, values) in ((axis, ACCENT, left), (other, COLD, right)):
        each.plot(x, values, marker="o", markersize=3.5, color=color)
        each.set_ylabel(label, color=color)
    other.grid(visible=False)


def _storage(axis: Axes, numbers: Numbers) -> None:
    axis.set_title("Storage function along each run [kWh²]")
    for kind, values in zip(numbers["stages"], numbers["storage"], strict=True):
        axis.plot(values, marker=".", color=ACCENT if kind == "active" else COLD, label=f"{kind} power")
    if numbers["stages"]:
        axis.set_yscale("log")
        axis.legend(loc="best")
    axis.set_xlabel("step")


_PANELS = {"active": _active, "reactive": _reactive, "soc": _soc, "grid": _grid, "counts": _counts,
           "commitment": _commitment, "smoothing": _smoothing, "storage": _storage}  # fmt: skip
