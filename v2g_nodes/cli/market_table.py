"""Results of `v2g plan market` on the terminal: figures, the day hour by hour, trends, and the study of mixes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from v2g_nodes.cli.market_peers import PEERS
from v2g_nodes.cli.market_runs import MarketRun
from v2g_nodes.cli.output import emit

TITLE = "rebates and bids"
HOURLY = {"price [USD/MWh]": "{:.2f}", "rebate [USD/h]": "{:.3f}", "plugged in": "{:.1%}", "bid [kW]": "{:.1f}"}
METHOD_NAMES = {"v2g": "v2g", "scip": "SCIP", "scip_valid_inequalities": "SCIP + valid"}  # inequalities of the source
MIX_HEAD = ("cluster 1", "cluster 2", "method", "seconds", "solved", "open gap", "largest gap", "ratio")


def hour_rows(run: MarketRun) -> list[tuple[str, ...]]:
    """The day: hour and the columns of HOURLY."""
    found = run.figures
    columns = (1e3 * run.inputs.platform.prices, found["rebates"], found["plug_in_probability"], found["capacity_kw"])
    return [(f"{hour:02d}", *(form.format(value) for form, value in zip(HOURLY.values(), values, strict=True)))
            for hour, values in enumerate(zip(*columns, strict=True))]  # fmt: skip


def trend_rows(trends: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Claim, verdict, numbers."""
    return [(one["claim"], one["verdict"], numbers_shown(one["numbers"])) for one in trends]


def numbers_shown(numbers: Sequence[float]) -> str:
    """At most six of them; of more the ends and the range between."""
    words = [f"{value:.4g}" for value in numbers]
    if len(words) <= 7:
        return ", ".join(words)
    return f"{words[0]} … {words[-1]} ({len(words)}: {min(numbers):.4g} to {max(numbers):.4g})"


def mix_table(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Under MIX_HEAD, a row per mix and method; ≥ where time-outs count as the limit."""
    found: list[tuple[str, ...]] = []
    for row in rows:
        for name in ("v2g", *PEERS):
            if name in row:
                one = row[name]
                found.append((f"{row['cluster_1']:g}", f"{row['cluster_2']:g}", METHOD_NAMES[name],
                              _at_least(one["time_outs"]) + f"{one['seconds']:.2f}", f"{one['solved_share']:.0%}",
                              _percent(one["gap_unsolved"]), _percent(one["gap_max"]),
                              _ratio(one)))
    return found


def _ratio(one: Mapping[str, Any]) -> str:
    return "–" if one["ratio"] is None else _at_least(one["time_outs"]) + f"{one['ratio']:.1f}"


def _at_least(time_outs: int) -> str:
    return "≥ " if time_outs else ""


def _percent(gap: float | None) -> str:
    return "–" if gap is None else f"{100.0 * gap:.2f} %"


def show_run(run: MarketRun, json: str | None) -> None:
    """Write JSON where it is asked for, else print tables."""
    if json is not None:
        emit(run.figures, json, TITLE)
        return
    emit({key: value for key, value in run.figures.items() if not isinstance(value, (list, dict))}, None, TITLE)
    _show("the day", ("hour", *HOURLY), hour_rows(run))
    for name in PEERS:
        if name in run.figures:
            emit(run.figures[name], None, METHOD_NAMES[name])
    if "trends" in run.figures:
        _show("observations of the source", ("claim", "verdict", "numbers"), trend_rows(run.figures["trends"]))
    for note in run.figures["notes"]:
        print(note)


def show_mixes(figures: Mapping[str, Any], json: str | None) -> None:
    """The study of mixes."""
    if json is not None:
        emit(figures, json, TITLE)
        return
    _show(f"mixes of clusters, to a gap of {100.0 * figures['gap_asked']:g} % within {figures['limit_seconds']:g} s; "
          "≥: time-outs count as the limit", MIX_HEAD, mix_table(figures["mixes"]))  # fmt: skip


def _show(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
