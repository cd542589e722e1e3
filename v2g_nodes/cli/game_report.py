"""The report of `v2g game`: one HTML page with figures and tables."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from v2g_nodes import __version__
from v2g_nodes.cli.game_figures import Study
from v2g_nodes.cli.game_table import Table, tables, text
from v2g_nodes.cli.page import html_page
from v2g_nodes.cli.report_figures import ACCENT, COLD, Draw, axis_svg
from v2g_nodes.core.types import FloatArray

WORDS = {
    "modules": "modules", "target_kw": "kW bought, and what fits through", "marginal_price_eur_per_kwh": "EUR/kWh",
    "vcg_budget_eur_per_h": "EUR/h left by VCG", "misreports_profitable_vcg": "lies that pay: VCG",
    "misreports_profitable_pay_as_bid": "lies that pay: as bid",
}  # fmt: skip
LEAST_KW, LEAST_EXCESS = 1e-12, 1e-10  # what logarithmic axes start at
BARS_MAX = 40  # modules beyond are drawn without numbers below them
COLORS = {"vcg": ACCENT, "pay-as-bid": COLD}


def write_report(folder: Path, found: Study, figures: Mapping[str, Any]) -> Path:
    """Write `report.html`.

    Args:
        folder: exists.
        found: what was measured.
        figures: of the command's JSON.

    Returns:
        The page.
    """
    page = folder / "report.html"
    page.write_text(_page(found, figures), encoding="utf-8")
    return page


def _page(found: Study, figures: Mapping[str, Any]) -> str:
    panels: dict[str, Draw] = {
        "Best responses: distance from the equilibrium [kW]": _convergence(found),
        "Price of anarchy less 1, by externality": _anarchy(found, figures),
        "What the station pays each module [EUR/h]": _payments(found),
        "Gain of lies over the truth, sorted [EUR/h]": _gains(found),
    }
    plots = "".join(f'<div class="plot">{axis_svg(title, draw)}</div>' for title, draw in panels.items())
    cards = "".join(f'<div class="card"><b>{html.escape(text(figures[key]))}</b><span>{words}</span></div>'
                    for key, words in WORDS.items())  # fmt: skip
    good = figures["verdict"] == "ok"
    badge = f'<span class="badge{"" if good else " bad"}">{"ok" if good else "failed"}</span>'
    faults = "" if good else f'<p class="sub">{html.escape(figures["verdict"])}</p>'
    return html_page("Selfish modules", f"""<header><h1>Selfish modules</h1>{badge}</header>{faults}
<p class="sub">station of {figures["modules"]} modules, seed {figures["seed"]}, price
{figures["price_eur_per_kwh"]:g} EUR/kWh, and {figures["fleets"]} stations of 3 to 20 modules</p>
<div class="cards">{cards}</div><h2>Figures</h2><div class="plots">{plots}</div>
{"".join(map(_table, tables(found, figures)))}
<p class="sub">Welfare is the sum of all payoffs, so the congestion of a pair counts for both. Payments are those of
truthful modules. v2g_nodes {__version__}</p>""")


def _table(table: Table) -> str:
    title, columns, rows = table
    # the first column names the row, the others are numbers or short words
    def cell(k: int, value: object) -> str:
        return f'<td style="text-align:{"right" if k else "left"};color:inherit">{html.escape(text(value))}</td>'

    cells = "".join(f"<tr>{''.join(cell(k, value) for k, value in enumerate(row))}</tr>" for row in (columns, *rows))
    return f'<h2>{html.escape(title)}</h2><div class="table"><table>{cells}</table></div>'


def _convergence(found: Study) -> Draw:
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(found.points)))

    def distance(trace: FloatArray) -> FloatArray:
        result: FloatArray = np.maximum(np.abs(trace - trace[-1]).max(axis=1), LEAST_KW)[:-1]
        return result

    def draw(axis: Axes) -> None:
        for k, (point, shade) in enumerate(zip(found.points, shades, strict=True)):
            name = f"in turn, c = {point.externality:g}" if k in (0, len(found.points) - 1) else None
            axis.loglog(1 + np.arange(point.course.rounds), distance(point.course.trace_kw), color=shade, label=name)
        axis.loglog(1 + np.arange(found.at_once.rounds), distance(found.at_once.trace_kw), color=COLD, ls="--",
                    label=f"at once, c = {found.points[-1].externality:g}")  # fmt: skip
        axis.set_xlabel("round")

    return draw


def _anarchy(found: Study, figures: Mapping[str, Any]) -> Draw:
    c = np.array(figures["externality"])

    def excess(prices: list[float | None]) -> FloatArray:
        return np.array([np.nan if p is None else max(p - 1.0, LEAST_EXCESS) for p in prices])

    def draw(axis: Axes) -> None:
        shown = c > 0.0  # without externality the price is 1; a logarithm has no place for it
        for k, row in enumerate(found.stations):
            axis.loglog(c[shown], excess([a.price for a in row])[shown], color="#b8c4ce", lw=0.7,
                        label="other stations" if k == 0 else None)  # fmt: skip
        axis.loglog(c[shown], excess(figures["price_of_anarchy"])[shown], "o-", color=ACCENT, label="this station")
        if shown.sum() > 1:
            first = c[shown][0]
            height = excess(figures["price_of_anarchy"])[shown][0]
            axis.loglog(c[shown], height * (c[shown] / first) ** 2, ":", color=COLD, label="as the square of c")
        axis.set_xlabel("externality c [EUR/h/kW²]")

    return draw


def _payments(found: Study) -> Draw:
    n, vcg, bid = found.asked.modules, found.settlements["vcg"], found.settlements["pay-as-bid"]
    place = np.arange(1, n + 1)

    def draw(axis: Axes) -> None:
        axis.bar(place - 0.2, bid.payments_eur_per_h, 0.4, color="#8a98a5", label="its cost")
        axis.bar(place + 0.2, vcg.payments_eur_per_h, 0.4, color=ACCENT, label="VCG pays")
        axis.plot(place, vcg.price_eur_per_kwh * vcg.powers_kw, "_", color=COLD, label="marginal price times power")
        if n <= BARS_MAX:
            axis.set_xticks(place)
        axis.set_xlabel("module")

    return draw


def _gains(found: Study) -> Draw:
    def draw(axis: Axes) -> None:
        for mechanism, searches in found.searches.items():
            gains = np.sort(np.concatenate([search.gains_eur_per_h for search in searches]))
            axis.plot(np.linspace(0.0, 100.0, gains.size), gains, color=COLORS[mechanism], label=mechanism)
        axis.set_yscale("symlog", linthresh=1e-6)
        axis.axhline(0.0, color="#8a98a5", lw=0.8)
        axis.set_xlabel("share of the lies [%]")

    return draw
