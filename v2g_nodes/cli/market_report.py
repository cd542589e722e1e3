"""The report of a market plan: one HTML page that needs nothing else, and `summary.json` with its numbers."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from v2g_nodes import __version__
from v2g_nodes.cli.market_figures import Draw, day_panels, draw
from v2g_nodes.cli.market_peers import PEERS
from v2g_nodes.cli.market_runs import MarketRun
from v2g_nodes.cli.market_study_figures import case_panel, gain_panel, guarantee_panel, mix_panel, pattern_panel
from v2g_nodes.cli.market_table import HOURLY, METHOD_NAMES, MIX_HEAD, hour_rows, mix_table, trend_rows
from v2g_nodes.cli.output import plain
from v2g_nodes.cli.page import html_page
from v2g_nodes.planning.market.studies import CHARGERS_KW, FLEETS, STAKES, UTILITIES, Case, pattern

CARDS = (
    ("profit per vehicle and month", "profit_per_ev_month", "{:.2f} USD"),
    ("without rebates", "profit_without_rebates", "{:.2f} USD"), ("improvement", "improvement_pct", "{:.2f} %"),
    ("rebates per vehicle and month", "rebate_per_ev_month", "{:.2f} USD"),
    ("driver's value per month", "driver_value_per_ev_month", "{:.2f} USD"),
    ("welfare per driver and month", "welfare_per_ev_month", "{:.2f} USD"), ("gap to the bound", "gap", "{:.2%}"),
    ("performance index replayed", "performance_index_replayed", "{:.4f}"),
    ("hours that keep the promise", "chance_level", "{:.1%}"), ("time", "seconds", "{:.2f} s"),
)  # fmt: skip
CASE_HEAD = ("", "profit", "without rebates", "improvement", "rebates", "driver's value")
MIX_CASE_HEAD = ("C2 / C1 / C3", *(f"{name}{where}" for where in ("", ", work") for name in
                                   ("profit", "without rebates", "improvement", "rebates")))  # fmt: skip
SHOWN_STAKES = ("company", "0.3", "0.6", "0.8", "0.9", "1")
CSS = """<style>
.wide td{text-align:right;font-variant-numeric:tabular-nums;color:inherit}.wide td:first-child{text-align:left}
.table tr:first-child td{font-weight:600;color:#5b6b7a}.left td:nth-child(2){text-align:left;font-weight:600}
.left td:nth-child(3){min-width:340px}.left tr.refuted td:nth-child(2){color:#c0392b}
.left tr.holds td:nth-child(2){color:#2a9d5c}
.card b{font-size:18px;white-space:nowrap}h3{font-size:14px;margin:20px 0 8px}.plots+.table{margin-top:12px}
.plots .table,.plots .plot{align-self:start}.plots .table td{padding:4px 8px}
.wide td:first-child{white-space:nowrap}.plots .plot{max-width:760px}
details{margin-top:12px}summary{cursor:pointer;color:#5b6b7a;margin-bottom:8px}
</style>"""


def write_report(folder: Path, run: MarketRun) -> Path:
    """Write `report.html` and `summary.json`.

    Args:
        folder: exists.
        run: with its studies.

    Returns:
        The page.
    """
    summary = {**run.figures, "prices_usd_per_kwh": run.inputs.platform.prices, "course": run.plan.course,
               "cases": {name: [asdict(case) for case in group] for name, group in run.cases.items()}}  # fmt: skip
    return _write(folder, summary, "Market plan", _page(run))


def write_mix_report(folder: Path, figures: Mapping[str, Any]) -> Path:
    """The same for the study of mixes."""
    rows = figures["mixes"]
    panels = {
        "Mean seconds, time-outs as the limit": mix_panel(rows, "seconds", "seconds", figures["limit_seconds"]),
        "Largest gap between plan and bound": mix_panel(rows, "gap_max", "gap", figures["gap_asked"]),
    }
    body = f"""{CSS}<header><h1>Mixes of two clusters of drivers</h1></header>
<p class="sub">to a gap of {100.0 * figures["gap_asked"]:g} % within {figures["limit_seconds"]:g} s; cluster 1
commuters, cluster 2 mostly at home; SCIP + valid: with the valid inequalities of the source; ≥: time-outs count as the
limit</p>
<div class="plots">{_plots(panels)}</div>
<h2>Table</h2>{_table(MIX_HEAD, mix_table(rows))}{_foot()}"""
    return _write(folder, dict(figures), "Market: mixes of clusters", body)


def _write(folder: Path, summary: Mapping[str, Any], title: str, body: str) -> Path:
    (folder / "summary.json").write_text(json.dumps(plain(summary), allow_nan=False) + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html_page(title, body), encoding="utf-8")
    return page


def _page(run: MarketRun) -> str:
    figures = run.figures
    reached = run.gap <= run.limits.gap
    badge = f'<span class="badge{"" if reached else " bad"}">gap {"reached" if reached else "not reached"}</span>'
    cards = "".join(f'<div class="card"><b>{html.escape(form.format(figures[key]))}</b><span>{label}</span></div>'
                    for label, key, form in CARDS if figures[key] is not None)  # fmt: skip
    proof = "proven" if figures["bound_proven"] else f"tested on {figures['answers_tested']} answers"
    owner = "a company" if run.community is None else f"its drivers, {run.options.owners:.0%} of them own it"
    peers = [(METHOD_NAMES[name], *(_number(figures[name][key]) for key in ("profit_per_ev_month", "profit_bound")),
              _number(figures[name]["gap"], "{:.2%}"), f"{figures[name]['seconds']:.2f}", figures[name]["status"])
             for name in PEERS if name in figures]  # fmt: skip
    return f"""{CSS}<header><h1>Rebates and bids of a fleet</h1>{badge}</header>
<p class="sub">{figures["vehicles"]} vehicles, {figures["charger_kw"]:g} kW each; platform of {owner}; money in USD per
vehicle and month of 30 days; the flow intervals behind the bound are {proof}</p>
<div class="cards">{cards}</div><h2>The day</h2><div class="plots">{_plots(day_panels(run))}</div>
<details><summary>Hour by hour</summary>{_table(("hour", *HOURLY), hour_rows(run))}</details>
{"<h2>Beside SCIP</h2>" + _table(("", "profit", "bound", "gap", "seconds", ""), peers) if peers else ""}
<h2>Observations of the source</h2>{_table(("claim", "verdict", "numbers"), trend_rows(figures["trends"]), "left")}
{_studies(run)}<h2>Input</h2>{_list(run.inputs.notes)}{_foot()}"""


def _studies(run: MarketRun) -> str:
    """One section per table of the source."""
    cases, base = run.cases, run.inputs.base
    owned = [case for case in cases["ownership"] if case.name in SHOWN_STAKES]
    parts: list[tuple[str, str, dict[str, Draw]]] = [
        ("Size of the fleet", "fleet", {"Fleet": case_panel(cases["fleet"], "vehicles", FLEETS)}),
        ("Rating of the chargers", "charger", {"Chargers": case_panel(cases["charger"], "kW", CHARGERS_KW)}),
        ("Baseline utility", "utility", {"Utility": case_panel(cases["utility"], "USD per month", UTILITIES)}),
        ("Guarantee of the state of charge", "soc", {
            "Average power ω": case_panel(cases["soc"], "ω"),
            "Rebates left by the guarantee [USD per month]": guarantee_panel(cases)}),
        ("Ownership", "ownership", {
            "Company (0) to all drivers (1)": case_panel(cases["ownership"], "k, share of drivers who own the platform",
                                                         [0.0, *STAKES]),
            "Rebates over the day": pattern_panel(owned, base.prices)}),
    ]  # fmt: skip
    if "workplace" in cases:
        parts.append(("Chargers at work", "workplace", {"Chargers at work": case_panel(cases["workplace"], "")}))
    text = "<h2>What changes with …</h2>"
    for title, name, panels in parts:
        owner = name == "ownership"
        head: tuple[str, ...] = (*CASE_HEAD, "like prices") if owner else CASE_HEAD
        table, plots = _table(head, _case_rows(cases[name], base.prices if owner else None)), _plots(panels)
        text += f"<h3>{title}</h3><div class='plots'>" + (
            f"{plots}{table}</div>" if len(panels) == 1 else f"{plots}</div>{table}")
    mixed = {"without chargers at work": cases["mixes"], "with": cases["mixes_workplace"]}
    rows = [(a.name, *_short(a), *_short(b)) for a, b in zip(*mixed.values(), strict=True)]
    return (f"{text}<h3>Mixes of commuters (C2), mixed (C1) and mostly at home (C3); made drivers</h3>"
            f"<div class='plots'>{_plots({'Improvement by rebates': gain_panel(mixed)})}</div>"
            f"{_table(MIX_CASE_HEAD, rows)}")  # fmt: skip


def _case_rows(group: Iterable[Case], prices: Any | None) -> list[tuple[str, ...]]:  # noqa: ANN401 - array
    return [(case.name, *_short(case), f"{case.driver_value:.2f}",
             *((f"{pattern(case, prices):.3f}",) if prices is not None else ())) for case in group]  # fmt: skip


def _short(case: Case) -> tuple[str, ...]:
    return f"{case.profit:.3f}", f"{case.profit_without:.3f}", f"{case.improvement_pct:.2f} %", f"{case.rebate:.3f}"


def _plots(panels: Mapping[str, Draw]) -> str:
    return "".join(f'<div class="plot">{draw(title, how)}</div>' for title, how in panels.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "wide") -> str:
    body = ""
    for line in (head, *rows):
        mark = f' class="{line[1]}"' if kind == "left" and line is not head else ""
        body += f"<tr{mark}>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in line) + "</tr>"
    return f'<div class="table {kind}"><table>{body}</table></div>'


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _number(value: float | None, form: str = "{:.2f}") -> str:
    return "–" if value is None else form.format(value)


def _foot() -> str:
    return f'<p class="sub">v2g_nodes {__version__}; the numbers of every figure are in summary.json</p>'
