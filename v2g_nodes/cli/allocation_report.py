"""The report of an allocation: one HTML page that needs nothing else, and `summary.json` with all its numbers."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from v2g_nodes import __version__
from v2g_nodes.cli.allocation_figures import drawings, figure_numbers
from v2g_nodes.cli.page import html_page
from v2g_nodes.planning.allocation.allocation import Allocation
from v2g_nodes.planning.allocation.studies import Studies

MEANING = {
    "vehicles": "vehicles in the plan",
    "slots": "slots in the plan",
    "commitment": "α: how much the owners' wishes count, median of the fleet",
    "smoothing": "β: 1 smooths from slot to slot, 0 flattens to the mean",
    "consensus_spread": "largest difference of the payoffs of a vehicle at the end, relative",
    "resource_error": "energy or reactive power lost at any step [kWh, kvarh]",
    "constraint_violations": "limits crossed, over all steps",
    "roughness_without": "sum of squared load steps without vehicles [kW²]",
    "roughness_with": "the same with the plan",
    "peak_without": "highest load without vehicles [kW]",
    "peak_with": "the same with the plan",
    "gap_to_centralized": "objective above the central optimum, over that or over what the plan saves if less",
    "iterations": "steps of the dynamics, P and Q",
    "seconds": "time they took",
    "graph": "which slots of a vehicle exchange energy",
    "roughness_uncoordinated": "roughness if all followed their owners' references",
    "peak_uncoordinated": "highest load then [kW]",
    "variance_without": "variance of the load without vehicles [kW²]",
    "variance_with": "the same with the plan",
    "reactive_roughness_without": "roughness of the reactive load without vehicles [kvar²]",
    "reactive_roughness_with": "the same with the plan",
    "distance_to_reference": "distance to the owners' references [kW]",
    "gap_active": "gap of active power",
    "gap_reactive": "gap of reactive power, active power fixed",
    "power_difference_to_centralized": "largest difference of a power from the central optimum [kW, kvar]",
    "soc_goal_error_kwh": "largest distance from a goal at departure [kWh]",
    "storage_rises": "steps at which the storage function rose",
    "at_rest": "all runs ended by themselves",
    "energy_short_kwh": "energy of sessions that their whole slots have no time for [kWh]",
}

CARDS = (
    ("roughness, no vehicle", "roughness_without", "{:.4g} kW²"),
    ("roughness with the plan", "roughness_with", "{:.4g} kW²"),
    ("peak, uncoordinated", "peak_uncoordinated", "{:.4g} kW"), ("peak with the plan", "peak_with", "{:.4g} kW"),
    ("gap to the optimum", "gap_to_centralized", "{:.1e}"), ("spread of payoffs", "consensus_spread", "{:.1e}"),
    ("limit violations", "constraint_violations", "{:d}"), ("steps", "iterations", "{:d}"),
)  # fmt: skip


def write_report(
    folder: Path, notes: tuple[str, ...], allocation: Allocation, figures: Mapping[str, object], studies: Studies
) -> Path:
    """Write `report.html` and `summary.json`.

    Args:
        folder: exists.
        notes: about the input.
        allocation: the plan.
        figures: of the plan, as the JSON has them.
        studies: plans beside it.

    Returns:
        The page.
    """
    numbers = figure_numbers(allocation, studies)
    page = folder / "report.html"
    page.write_text(_page(notes, figures, drawings(numbers), datetime.now()), encoding="utf-8")
    content = json.dumps({**figures, "figures": numbers}, allow_nan=False)
    (folder / "summary.json").write_text(content + "\n", encoding="utf-8")
    return page


def _page(notes: tuple[str, ...], figures: Mapping[str, object], plots: list[str], made: datetime) -> str:
    cards = "".join(
        f'<div class="card"><b>{html.escape(_shown(figures[key], form))}</b><span>{html.escape(label)}</span></div>'
        for label, key, form in CARDS
    )
    rows = "".join(
        f"<tr><td><code>{key}</code></td><td>{html.escape(_shown(figures[key]))}</td><td>{html.escape(text)}</td></tr>"
        for key, text in MEANING.items()
    )
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    drawn = "".join(f'<div class="plot">{plot}</div>' for plot in plots)
    return html_page(
        "Allocation: report",
        f"""<header><h1>Active and reactive power by output consensus</h1></header>
<p class="sub">{figures["vehicles"]} vehicles, {figures["slots"]} slots; power above 0 discharges to the grid, loads
above 0 consume</p>
<div class="cards">{cards}</div>
<h2>Figures</h2><div class="plots">{drawn}</div>
<h2>Numbers</h2><div class="table"><table>{rows}</table></div>
<h2>Input</h2><ul>{listed}</ul>
<p class="sub">v2g_nodes {__version__}, {made:%Y-%m-%d %H:%M}; the numbers of every figure are in summary.json</p>""",
    )


def _shown(value: object, form: str = "") -> str:
    if value is None:
        return "–"
    return (form or ("{:.4g}" if isinstance(value, float) else "{}")).format(value)
