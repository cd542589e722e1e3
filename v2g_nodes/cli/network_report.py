"""The report of a network plan: one HTML page that needs nothing else, and `summary.json` with its numbers."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from v2g_nodes import __version__
from v2g_nodes.cli.network_figures import draw, panels
from v2g_nodes.cli.network_runs import Run
from v2g_nodes.cli.output import plain
from v2g_nodes.cli.page import html_page

CARDS = (
    ("objective", "objective_eur", "{:.4f} EUR"), ("lower bound", "lower_bound_eur", "{:.4f} EUR"),
    ("gap", "gap", "{:.1e}"), ("generation", "generation_eur", "{:.2f} EUR"),
    ("energy of vehicles", "vehicles_eur", "{:.2f} EUR"), ("lowest voltage", "voltage_min_pu", "{:.4f} pu"),
    ("cone residual", "relaxation_residual_max", "{:.1e} pu²"), ("time", "seconds", "{:.3f} s"),
)  # fmt: skip
HEAD_OF_PEERS = ("", "objective [EUR]", "bound [EUR]", "gap", "seconds", "power flow")
HEAD_OF_RADII = ("radius", "feasible", "objective [EUR]", "gap", "seconds")


def write_report(folder: Path, run: Run) -> Path:
    """Write `report.html` and `summary.json`.

    Args:
        folder: exists.
        run: with its figures.

    Returns:
        The page.
    """
    plan, day = run.plan, run.plan.instance
    numbers = {
        **run.figures, "hours": day.slot_h * np.arange(day.slots), "station_kw": plan.evaluation.station_kw,
        "price_eur_per_kwh": run.price_eur_per_kwh, "voltage_pu": np.abs(plan.evaluation.flow.voltage),
        "buses": list(day.grid.buses), "generation_eur_by_slot": plan.evaluation.cost_eur,
        "power_kw": plan.power_kw, "energy_kwh": day.vehicles.energy_kwh(plan.power_kw, day.slot_h),
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(plain(numbers), allow_nan=False) + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(_page(run), encoding="utf-8")
    return page


def _page(run: Run) -> str:
    figures = run.figures
    badge = (
        '<span class="badge">feasible</span>' if figures["feasible"] else '<span class="badge bad">best effort</span>'
    )
    cards = "".join(f'<div class="card"><b>{_shown(figures[key], form)}</b><span>{label}</span></div>'
                    for label, key, form in CARDS)  # fmt: skip
    plots = "".join(f'<div class="plot">{draw(title, how)}</div>' for title, how in panels(run).items())
    parts = [f"<h2>Why not all could be had</h2>{_list(run.reasons)}" if run.reasons else ""]
    if run.figures["loose_slots"]:
        parts.append(f"<h2>Loose cones</h2><p>The relaxation is not exact in slots {figures['loose_slots']}.</p>")
    own = {**figures, "peer": figures["method"], "bound_eur": figures["lower_bound_eur"]}
    keys = ("peer", "objective_eur", "bound_eur", "gap", "seconds")
    rows = [(*(one[key] for key in keys), "ok" if one["feasible"] else "not kept") for one in (own, *figures["peers"])]
    parts.append(f"<h2>Beside peers</h2>{_table(HEAD_OF_PEERS, rows)}")
    if "radii" in run.more:
        keys = ("radius", "feasible", "objective_eur", "gap", "seconds")
        radii = [tuple(one[key] for key in keys) for one in run.more["radii"]]
        parts.append(f"<h2>Two-stage: sensitivity to the radius</h2>{_table(HEAD_OF_RADII, radii)}")
    numbers = [(key, value) for key, value in figures.items() if isinstance(value, (int, float, str))]
    return html_page(
        f"Network plan: {html.escape(figures['instance'])}",
        f"""<header><h1>Vehicles and power flow</h1>{badge}
</header><p class="sub">{html.escape(figures["instance"])}, {figures["vehicles"]} vehicles, {figures["slots"]} slots;
power above 0 is drawn from the grid; generation counts the energy of vehicles too, as in the source</p>
<div class="cards">{cards}</div>{parts[0]}<h2>Figures</h2><div class="plots">{plots}</div>{"".join(parts[1:])}
<h2>Numbers</h2>{_table((), numbers)}<h2>Input</h2>{_list(run.asked.notes)}
<p class="sub">v2g_nodes {__version__}; the numbers of every figure are in summary.json</p>""",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, *rows] if head else list(rows)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_shown(cell))}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f'<div class="table"><table>{body}</table></div>'


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _shown(value: object, form: str = "") -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    return (form or ("{:.9g}" if isinstance(value, float) else "{}")).format(value)
