"""The report of `v2g plan valley`: one HTML page with the plan's and the source's figures, and their numbers."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from v2g_nodes import __version__
from v2g_nodes.cli.page import html_page
from v2g_nodes.cli.report_figures import Draw, axis_svg
from v2g_nodes.cli.valley_inputs import Inputs
from v2g_nodes.planning.valley.plan import ValleyPlan
from v2g_nodes.planning.valley.studies import SLOTS, by_benefit, by_cell_price, distances_by_eta

SHOWN_STEPS = 6  # of the iteration, as lines of a figure


def write_report(folder: Path, inputs: Inputs, plan: ValleyPlan, figures: Mapping[str, Any]) -> Path:
    """Write `report.html` and `summary.json`.

    Args:
        folder: exists.
        inputs: what was planned.
        plan: the result.
        figures: of the command's JSON.

    Returns:
        The page.
    """
    cells, benefits, distances = by_cell_price(), by_benefit(), distances_by_eta()
    hours = inputs.start_s / 3600.0 + inputs.cost.slot_h * np.arange(inputs.cost.slots)
    base, course = inputs.cost.base_kw, plan.course
    source_hours = 12.0 + 24.0 / SLOTS * np.arange(SLOTS)
    demands = {
        "without the fleet": base, "planned": base + plan.planned.demand_kw,
        "charging on arrival": base + plan.arrival.demand_kw, "cheapest slots": base + plan.cheapest.demand_kw,
    }  # fmt: skip
    steps = range(min(course.iterations, SHOWN_STEPS))
    unit, scale = ("MW", 1e3) if max(values.max() for values in demands.values()) >= 1e3 else ("kW", 1.0)
    panels = {
        f"Demand with and without the fleet [{unit}]": _lines(hours, {k: v / scale for k, v in demands.items()}),
        "Price at each step [EUR/kWh]": _lines(hours, {f"step {k}": course.prices[k] for k in steps}),
        f"Demand at each step [{unit}]": _lines(
            hours, {f"step {k}": (base + course.demands_kw[k]) / scale for k in steps}),
        "Source's setting: demand by price of cells [MW]": _lines(
            source_hours, {f"{k:g} EUR/Wh": v.total_kw / 1e3 for k, v in cells.items()}),
        "Source's setting: demand by worth of energy [MW]": _lines(
            source_hours, {f"δ = {k:g}": v.total_kw / 1e3 for k, v in benefits.items()}),
        "Source's setting: distance from the optimal price": _distances(distances),
    }  # fmt: skip
    numbers = {
        **figures, "hours": hours, "demand_kw": demands, "prices_eur_per_kwh": course.prices,
        "price_changes": course.changes, "by_cell_price": {str(k): asdict(v) for k, v in cells.items()},
        "by_benefit": {str(k): asdict(v) for k, v in benefits.items()},
        "distance_by_eta": {str(k): v for k, v in distances.items()},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(numbers, default=_plain, indent=1) + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(_page(panels, figures), encoding="utf-8")
    return page


def _page(panels: Mapping[str, Draw], figures: Mapping[str, Any]) -> str:
    plots = "".join(f'<div class="plot">{axis_svg(title, draw)}</div>' for title, draw in panels.items())
    rows = "".join(f"<tr><td><code>{key}</code></td><td>{html.escape(_text(value))}</td></tr>"
                   for key, value in figures.items() if key not in ("notes", "reasons"))  # fmt: skip
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in figures["notes"])
    short = "".join(f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in figures["reasons"].items())
    return html_page("Overnight charging", f"""<header><h1>Overnight charging</h1></header>
<p class="sub">{figures["vehicles"]} vehicles, {figures["slots"]} slots</p>
<div class="plots">{plots}</div><h2>Figures</h2><div class="table"><table>{rows}</table></div>
<h2>Input</h2><ul>{notes}</ul>{"<h2>Vehicles that lack energy</h2><ul>" + short + "</ul>" if short else ""}
<p class="sub">v2g_nodes {__version__}</p>""")


def _lines(hours: Any, lines: Mapping[str, Any]) -> Draw:  # noqa: ANN401 - arrays of the same shape
    def draw(axis: Axes) -> None:
        for name, values in lines.items():
            axis.step(hours, values, where="post", label=name)
        axis.set_xlabel("hour")

    return draw


def _distances(distances: Mapping[float, Any]) -> Draw:
    def draw(axis: Axes) -> None:
        for eta, values in distances.items():
            axis.semilogy(np.maximum(values, 1e-10), label=f"η = {eta:g}")
        axis.set_xlabel("step")

    return draw


def _text(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - arrays and numbers of numpy
    return value.tolist()
