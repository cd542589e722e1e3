"""The report of `v2g reproduce`: one HTML page with all claims by source and the sources' figures redrawn."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from v2g_nodes import __version__
from v2g_nodes.cli.page import html_page
from v2g_nodes.cli.reproduce_figures import drawings
from v2g_nodes.cli.reproduce_store import Result, write_whole
from v2g_nodes.sim.claims.claim import ORIGINS, SOURCES

SHADES = {"holds": "#2a9d5c", "refuted": "#c0392b", "not reproducible": "#7a8794", "not run": "#b0b8bf",
          "failed": "#8e44ad"}  # fmt: skip
BELIEVED_WRONG = "#b9770e"  # refuted as expected
SHOWN_MAX = 8  # numbers of a list in the table; all are in verdicts.json


def write_report(folder: Path, results: Sequence[Result], head: Mapping[str, Any]) -> Path:
    """Write `report.html`.

    Args:
        folder: exists.
        results: of all claims, in order.
        head: size, data, seconds, cpu_seconds and counts of the run.

    Returns:
        The page.
    """
    cards = "".join(f'<div class="card"><b>{count}</b><span>{html.escape(title)}</span></div>'
                    for title, count in head["counts"].items())  # fmt: skip
    parts = [_part(number, [one for one in results if str(one["id"]).startswith(number)]) for number in SOURCES]
    origins = "".join(f"<li><b>{name}</b>: {html.escape(text)}</li>" for name, text in ORIGINS.items())
    data = "no recordings" if head["data"] is None else f"recordings of {head['data']}"
    page = folder / "report.html"
    write_whole(page, html_page("Claims of the sources", f"""<header><h1>Claims of the source documents</h1></header>
<p class="sub">{len(results)} claims, {head["size"]} size, {html.escape(data)}; all results together took
{sum(float(one["seconds"]) for one in results):.0f} s, the last run {head["seconds"]:.0f} s</p>
<div class="cards">{cards}</div>
<p class="sub">What counts as holding stands below each claim. Of a formula that is believed to be wrong
the claim is what the source prints, so <i>refuted</i> is expected there.</p><ul>{origins}</ul>
{_surprises(results)}{"".join(parts)}
<p class="sub">v2g_nodes {__version__}; all numbers are in verdicts.json, those of the figures in claims/</p>"""))
    return page


def _part(number: str, results: Sequence[Result]) -> str:
    plots = "".join(f'<div class="plot">{one}</div>' for one in drawings(number, results))
    figures = f"<h2>Figures redrawn</h2><div class='plots'>{plots}</div>" if plots else ""
    more = _two_stage_tables(results) if number == "003" else ""
    rows = "".join(_row(result) for result in results)
    head = "<tr><td>claim</td><td>verdict</td><td>text</td><td>our figures</td><td>remark</td></tr>"
    return (f"<h2>{number} {html.escape(SOURCES[number])}</h2>"
            f'<div class="table"><table>{head}{rows}</table></div>{more}{figures}')  # fmt: skip


def _surprises(results: Sequence[Result]) -> str:
    """Claims that were refuted against expectation or failed, by links."""
    lines = "".join(f'<li><a href="#{one["id"]}">{one["id"]}</a> {html.escape(str(one["claim"]))} '
                    f'<i>{html.escape(str(one["reason"]))}</i></li>' for one in results
                    if one["verdict"] == "failed" or (one["verdict"], one["origin"] == "error") == ("refuted", False))
    return f"<h2>Refuted or failed</h2><ul>{lines}</ul>" if lines else ""


def _row(result: Result) -> str:
    verdict, wrong = str(result["verdict"]), result["origin"] == "error"
    shade = BELIEVED_WRONG if wrong and verdict == "refuted" else SHADES[verdict]
    badge = f'<span class="badge" style="background:{shade};font-size:12px">{verdict}</span>'
    figures = "<br>".join(f"{html.escape(key)} <b>{html.escape(shown(value))}</b>"
                          for key, value in result["figures"].items())  # fmt: skip
    text = (f"{html.escape(str(result['claim']))}<br><small>{result['origin']}; holds if: "
            f"{html.escape(str(result['holds_if']))}</small>")  # fmt: skip
    head = f"<tr id='{result['id']}' style='vertical-align:top'><td><code>{result['id']}</code></td>"
    return (f"{head}<td>{badge}</td><td>{text}</td>"
            f"<td><small>{figures}</small></td><td>{html.escape(str(result['reason']))}</td></tr>")  # fmt: skip


def shown(value: Any) -> str:  # noqa: ANN401 - a figure
    """A figure as the table has it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        more = ["…"] if len(value) > SHOWN_MAX else []
        return ", ".join([*map(shown, value[:SHOWN_MAX]), *more])
    if isinstance(value, dict):
        return "; ".join(f"{key} {shown(one)}" for key, one in value.items())
    return "–" if value is None else str(value)


def _two_stage_tables(results: Sequence[Result]) -> str:
    """Table I as relations: objectives over the optimum, and times."""
    series = {str(result["id"]): result["series"] for result in results}
    objectives, times = series.get("003.4.3", {}).get("objectives", {}), series.get("003.6.4", {}).get("times", {})
    text = ""
    if objectives:
        rows = [[name, *(_over(percent, count, one["samples"]) for percent, count in
                         zip(one["mean_percent"], one["with_a_plan"], strict=True))]
                for name, one in objectives["cases"].items()]  # fmt: skip
        head = ["case", *objectives["columns"]]
        text += f"<h2>Objective over the optimum, mean over samples [%]</h2>{_table(head, rows)}"
    if times:
        heads = ["case", "SCIP [s]", "SCIP ended", "two-stage [s]", "saved [%]"]
        keys = ("scip_s", "scip_status", "two_stage_s", "saving_percent")
        rows = [[name, *(shown(one[key]) for key in keys)] for name, one in times.items()]
        text += f"<h2>Time against the whole program, first sample</h2>{_table(heads, rows)}"
    return text


def _over(percent: float | None, with_a_plan: int, samples: int) -> str:
    share = "" if with_a_plan == samples else f" ({with_a_plan} of {samples})"
    return "no plan" if percent is None else f"{percent:+.5f}{share}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in (head, *rows))
    lines = "".join(f"<tr>{row}</tr>" for row in cells)
    return f'<div class="table"><table>{lines}</table></div>'
