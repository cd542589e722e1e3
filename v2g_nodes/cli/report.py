"""The report of a run: one HTML page that needs nothing else, `summary.json`, and the series it was drawn from."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from v2g_nodes import __version__
from v2g_nodes.cli.page import html_page
from v2g_nodes.cli.report_figures import (
    PANELS,
    REGULATION,
    Series,
    figure_station,
    has_regulation,
    module_colors,
    module_ids,
    panel_svg,
)
from v2g_nodes.cli.run_station import RunResult
from v2g_nodes.sim.time_axis import format_clock

# What each figure is, in the order of the JSON.
MEANING = {
    "modules": "modules in the station",
    "topology": "who hears whom",
    "diameter": "hops between the modules furthest apart",
    "algorithm": "how the modules agree",
    "duration_s": "length of the run, station time [s]",
    "speed": "station time over wall time",
    "epochs": "agreements reached",
    "cold_epochs": "of these from the whole price range",
    "rounds_median": "broadcasts of each module per agreement",
    "rounds_max": "the most of them",
    "round_ms_median": "time of one round [ms]",
    "transport_round_ms_median": "the same for bare messages without computation [ms]",
    "epoch_ms_median": "signal received to last set-point agreed [ms]",
    "epoch_ms_p99": "99th percentile of that [ms]",
    "epoch_over_floor": "epoch time over rounds times bare round",
    "gap_max": "cost above the centralised optimum, relative, worst epoch",
    "equal_split_gap_median": "the same if every module took an equal share",
    "balance_error_kw_max": "agreed sum against the target [kW], worst epoch",
    "delivered_error_kw_p99": "measured power against what was owed [kW]",
    "constraint_violations": "times a module left its own true limits",
    "gate_clips": "set-points the last gate had to change",
    "clipped_epochs": "epochs whose target the modules could not meet",
    "shortfall_kw_max": "power missing in them [kW]",
    "signal_to_setpoint_ms_median": "frequency sent to set-point sent [ms]",
    "signal_to_setpoint_ms_p99": "99th percentile of that [ms]",
    "droop_rate_hz": "droop ticks per second, slowest module",
    "droop_jitter_ms_p99": "lateness of ticks against the ideal schedule [ms]",
    "droop_overruns": "ticks missed",
    "bytes_per_message_max": "largest message between neighbours, CDR [B]",
    "kbps_per_module_max": "what a module sends to its neighbours, mean [kbit/s]",
    "bridge_to_bus_ms_median": "CAN bridge: from the optimizer's message to the bus, median [ms]",
    "bridge_to_bus_ms_p99": "the same, 99th percentile [ms]",
    "bridge_from_bus_ms_median": "CAN bridge: from the bus to the topic, median [ms]",
    "bridge_from_bus_ms_p99": "the same, 99th percentile [ms]",
    "bus_frames_lost": "frames the bridge missed, by their sequence",
    "bus_frames_refused": "frames the bridge did not believe",
    "energy_kwh": "energy out minus energy in at the grid connection [kWh]",
    "cost_eur": "energy drawn minus energy delivered, at the price of the moment [EUR]",
    "performance_score": "how well the regulation signal was followed, mean of the three below, 1 is best",
    "performance_parts": "see above",
    "settlement": "see above",
    "restarts": "processes that were replaced",
    "verdict": "whether everything was as it should be",
}

# Of performance_parts and settlement.
REGULATION_MEANING = {
    "accuracy": "largest correlation of signal and response within 300 s, on means of 10 s",
    "delay": "1 - delay of that correlation / 300 s",
    "precision": "1 - mean |response - asked| / mean |asked|",
    "hours": "hours of the run that were scored; a rest of ten minutes or more is one",
    "capacity_kwh": "capacity offered times time [kW h]",
    "mileage_per_h": "distance the signal moved per hour, per unit",
    "capability_credit_eur": "score x capacity x capability price [EUR]",
    "performance_credit_eur": "score x capacity x mileage over reference mileage x performance price [EUR]",
    "rebates_eur": "paid to owners of vehicles plugged in [EUR]",
    "degradation_eur": "wear of the batteries at all power they gave and took [EUR]",
    "net_eur": "credits less rebates and degradation; energy is in cost_eur [EUR]",
}

CARDS = (
    ("epochs", "epochs", "{:.0f}"), ("gap to the optimum, worst", "gap_max", "{:.1e}"),
    ("equal split costs more by", "equal_split_gap_median", "{:.0%}"), ("rounds, median", "rounds_median", "{:g}"),
    ("time to agree, median", "epoch_ms_median", "{:.1f} ms"),
    ("signal to set-point, p99", "signal_to_setpoint_ms_p99", "{:.1f} ms"),
    ("limit violations", "constraint_violations", "{:.0f}"), ("energy to the grid", "energy_kwh", "{:+.2f} kWh"),
)  # fmt: skip

REGULATION_PARTS = ("performance_parts", "settlement")  # have a table of their own
PNG_DPI = 110  # 1320 pixels wide


def write_report(folder: Path, result: RunResult) -> Path:
    """Write `report.html`, `summary.json`, `series.json` and `station.png` with all plots in one.

    Args:
        folder: exists.
        result: of the run.

    Returns:
        The page.
    """
    page = folder / "report.html"
    page.write_text(render_page(result, datetime.now()), encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(result.figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "series.json").write_text(json.dumps(result.series, allow_nan=False) + "\n", encoding="utf-8")
    if result.series:
        figure_station(result.series).savefig(folder / "station.png", dpi=PNG_DPI)
    return page


def render_page(result: RunResult, made: datetime) -> str:
    """The page as text.

    Args:
        result: of the run.
        made: date and time to show.
    """
    name, figures, series = html.escape(result.station.name), result.figures, result.series
    panels = (*PANELS, REGULATION) if has_regulation(series) else PANELS
    plots = "".join(f'<div class="plot">{panel_svg(panel, series)}</div>' for panel in panels) if series else ""
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in result.notes)
    return html_page(f"{name}: report", f"""<header><h1>Station: {name}</h1>{_badge(result)}</header>
<p class="sub">{html.escape(_about(figures, series))}</p>
<div class="cards">{"".join(_card(figures, *card) for card in CARDS)}</div>
<h2>Course of the run</h2>{_legend(series)}<div class="plots">{plots or "<p>No series was recorded.</p>"}</div>
{_regulation(figures)}
<h2>Figures</h2>{_table({key: figures.get(key) for key in MEANING if key not in REGULATION_PARTS}, MEANING)}
<h2>Input</h2><ul>{notes}</ul>
<p class="sub">v2g_nodes {__version__}, {made:%Y-%m-%d %H:%M}</p>""")


def _badge(result: RunResult) -> str:
    text = "ok" if result.ok else "not ok"
    reason = "" if result.ok else f"<span>{html.escape(str(result.figures.get('verdict')))}</span>"
    return f'<span class="badge{"" if result.ok else " bad"}">{text}</span>{reason}'


def _about(figures: Mapping[str, object], series: Series) -> str:
    known = [value for value in series.get("time_of_day_s", ()) if value is not None]
    first, last = (format_clock(float(int(known[k]))) for k in (0, -1)) if known else ("", "")
    span = f", {first} to {last} local time" if known else ""
    speed = "" if figures.get("speed") == 1.0 else f" at {figures.get('speed')} times real time"
    return (f"{figures.get('modules')} modules, {figures.get('topology')}, {figures.get('algorithm')}; "
            f"{figures.get('duration_s')} s{speed}{span}")


def _card(figures: Mapping[str, object], label: str, key: str, form: str) -> str:
    value = figures.get(key)
    shown = form.format(value) if isinstance(value, (int, float)) and math.isfinite(value) else "–"
    return f'<div class="card"><b>{html.escape(shown)}</b><span>{html.escape(label)}</span></div>'


def _legend(series: Series) -> str:
    ids = module_ids(series)
    chips = [f'<span><i style="background:{color}"></i>module {html.escape(module)}</span>'
             for module, color in module_colors(ids).items()]
    return f'<div class="legend">{"".join(chips)}</div>' if chips else ""


def _regulation(figures: Mapping[str, object]) -> str:
    """Score and settlement; nothing where neither is known."""
    parts = [part for key in REGULATION_PARTS if isinstance(part := figures.get(key), Mapping)]
    values = {key: value for part in parts for key, value in part.items()}
    if not values:
        return ""
    score = {"performance_score": figures.get("performance_score")}
    return f"<h2>Regulation</h2>{_table({**score, **values}, {**MEANING, **REGULATION_MEANING})}"


def _table(values: Mapping[str, object], meaning: Mapping[str, str]) -> str:
    rows = "".join(_row(key, value, meaning[key]) for key, value in values.items())
    return f'<div class="table"><table>{rows}</table></div>'


def _row(key: str, value: object, meaning: str) -> str:
    if value is None:
        shown = "not measured"
    elif isinstance(value, float):
        shown = f"{value:.4g}"
    else:
        shown = str(value)
    return f"<tr><td><code>{key}</code></td><td>{html.escape(shown)}</td><td>{html.escape(meaning)}</td></tr>"
