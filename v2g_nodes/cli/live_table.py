"""The live table: what each module does and what the station agreed on, from the monitor's `table` events."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from v2g_nodes.cli.processes import Event
from v2g_nodes.core.mode import Mode
from v2g_nodes.sim.time_axis import format_clock

STALE_S = 3.0  # a module's status comes twice a second; the optimizer counts an older one as gone (msg/ModuleStatus)
BAR_CELLS = 6  # of the power bar, on each side of zero
GAP_GOOD = 1e-3
SHOWN_KW = 5e-3  # a difference that two decimals show
DASH = "–"
CHARGE, DISCHARGE = "cyan", "dark_orange"  # told apart by colour-blind people too
MODE_STYLES = {
    Mode.CHARGING: CHARGE, Mode.DISCHARGING: DISCHARGE, Mode.READY: "green", Mode.DERATED: "yellow",
    Mode.FAULT: "bold red", Mode.SAFE: "bold red",
}  # fmt: skip


@dataclass(frozen=True)
class StationView:
    """What the table has to know about the station besides events.

    Args:
        name: of the station.
        ratings_kw: by module id.
    """

    name: str
    ratings_kw: Mapping[int, float]


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    keep: int  # columns with the highest number are left out first
    cell: Callable[[Mapping[str, object], StationView], Text]
    justify: Literal["left", "right"] = "right"


def render(event: Event, station: StationView, progress: str, width: int, height: int) -> RenderableType:
    """Header and table for one event.

    Args:
        event: `table` of the monitor.
        station: the station.
        progress: words about elapsed and remaining time.
        width: columns of the terminal; what does not fit is left out, the least important first.
        height: lines of the terminal.
    """
    header = _header(event, station, progress)
    columns = _fitting(width)
    table = Table(box=None, padding=(0, 1), header_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        rest = width - sum(c.width + 2 for c in columns) if column is WHY else 0
        table.add_column(column.title, width=column.width + rest, no_wrap=True, justify=column.justify)
    lines = sum(-(-max(1, line.cell_len) // max(1, width)) for line in header)
    room = max(1, height - lines - 3)  # table header, a line that says what is hidden, cursor
    modules = sorted(event.get("modules", ()), key=lambda module: module["id"])
    hidden = len(modules) - room if len(modules) > room else 0
    for module in modules[: len(modules) - hidden]:
        table.add_row(*(column.cell(module, station) for column in columns))
    parts: list[RenderableType] = [*header, table]
    if hidden:
        parts.append(Text(f"... and {hidden} more modules", style="dim"))
    return Group(*parts)


def status_line(event: Event, progress: str) -> Text:
    """The station in one line, for runs without the table."""
    line = Text.assemble(
        (_clock(event), "bold"), "  ", _number(event.get("frequency_hz"), "{:.3f} Hz"),
        "  target ", _number(event.get("clipped_target_kw"), "{:+.2f} kW"),
        "  measured ", _number(event.get("measured_kw"), "{:+.2f} kW"),
        f"  epoch {event.get('epochs', 0)}", "  gap ", _gap(event.get("gap")), f"  {progress}",
        (f"  {event['text']}" if event.get("text") else "", "red"),
    )
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _header(event: Event, station: StationView, progress: str) -> list[Text]:
    cold = " cold" if event.get("cold") else ""
    target, clipped = _float(event.get("target_kw")), _float(event.get("clipped_target_kw"))
    is_clipped = abs(target - clipped) > SHOWN_KW
    lines = [
        Text.assemble(
            (station.name, "bold"), "   ", (_clock(event), "bold"), "   ",
            _number(event.get("frequency_hz"), "{:.3f} Hz", "bold"), "   price ",
            _number(event.get("price_eur_per_kwh"), "{:.3f} €/kWh"), (f"   {progress}", "dim")),
        Text.assemble(
            "target ", _number(target, "{:+.2f}", "bold"),
            (f" (clipped to {clipped:+.2f})" if is_clipped else "", "yellow"), "   agreed ",
            _number(event.get("agreed_kw"), "{:+.2f}"), "   measured ", _number(event.get("measured_kw"), "{:+.2f} kW"),
            "   λ ", _number(event.get("lambda_eur_per_kwh"), "{:+.4f} €/kWh", "bold")),
        Text.assemble(
            f"epoch {event.get('epochs', 0)}   ", f"{event.get('rounds', DASH)} rounds{cold} in ",
            _number(event.get("epoch_ms"), "{:.1f} ms"), "   gap ", _gap(event.get("gap")),
            "   members ", _members(event, station)),
    ]  # fmt: skip
    if event.get("text"):
        lines.append(Text(str(event["text"]), style="bold red"))
    return [*lines, Text("")]


def _fitting(width: int) -> list[_Column]:
    columns = [*COLUMNS]
    while len(columns) > 3 and sum(column.width + 2 for column in columns) > width:
        columns.remove(max(columns, key=lambda column: column.keep))
    return columns


def _float(value: object) -> float:
    """A number; NaN for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else math.nan  # type: ignore[arg-type]


def _number(value: object, form: str, style: str = "") -> Text:
    number = _float(value)
    return Text(DASH if math.isnan(number) else form.format(number), style=style)


def _clock(event: Event) -> str:
    seconds = _float(event.get("time_of_day_s"))
    return "--:--:--" if math.isnan(seconds) else format_clock(float(int(seconds)))


def _gap(value: object) -> Text:
    return _number(value, "{:.1e}", "green" if _float(value) < GAP_GOOD else "bold red")


def _members(event: Event, station: StationView) -> Text:
    members = event.get("members")
    if isinstance(members, Sequence) and not isinstance(members, str):
        members = len(members)
    count = len(station.ratings_kw)
    return Text(f"{DASH if members is None else members}/{count}", style="green" if members == count else "yellow")


def _bar(module: Mapping[str, object], station: StationView) -> Text:
    """Power as a bar: to the left charging, to the right discharging."""
    power, rating = _float(module.get("power_kw")), _float(station.ratings_kw.get(int(str(module["id"]))))
    share = 0.0 if math.isnan(power / rating) else min(1.0, max(-1.0, power / rating))
    filled = _cells(abs(share))
    if share < 0:
        left = filled[::-1].replace("╸", "╺")
        return Text.assemble((left.rjust(BAR_CELLS), CHARGE), "│", " " * BAR_CELLS)
    return Text.assemble(" " * BAR_CELLS, "│", (filled.ljust(BAR_CELLS), DISCHARGE))


def _cells(share: float) -> str:
    halves = round(share * 2 * BAR_CELLS)
    return "━" * (halves // 2) + ("╸" if halves % 2 else "")


def _mode(module: Mapping[str, object], _: StationView) -> Text:
    if not _float(module.get("age_s")) <= STALE_S:
        return Text("silent", style="bold red")
    value = module.get("mode")
    try:
        mode = Mode(value) if isinstance(value, int) else Mode[str(value).upper()]
    except (KeyError, ValueError):
        return Text(str(value))
    return Text(mode.name.lower(), style=MODE_STYLES.get(mode, "dim"))


def _soc(module: Mapping[str, object], _: StationView) -> Text:
    return _number(100.0 * _float(module.get("soc")), "{:.1f} %")


def _temperature(module: Mapping[str, object], _: StationView) -> Text:
    return _number(module.get("temperature_c"), "{:.1f} °C")


def _vehicle(module: Mapping[str, object], _: StationView) -> Text:
    vehicle = module.get("vehicle")
    if vehicle in (None, "", False):
        return Text("none", style="dim")
    return Text("plugged" if vehicle is True else str(vehicle))


WHY = _Column("why", 12, 9, lambda m, _: Text(str(m.get("reason") or ""), style="yellow"), "left")  # takes what is left
COLUMNS = (
    _Column("module", 6, 0, lambda m, _: Text(f"{int(str(m['id'])):02d}", style="bold")),
    _Column("mode", 11, 2, _mode, "left"),
    _Column("λ €/kWh", 8, 3, lambda m, _: _number(m.get("lambda"), "{:+.4f}")),
    _Column("p kW", 7, 1, lambda m, _: _number(m.get("power_kw"), "{:+.3f}", "bold")),
    _Column("", 2 * BAR_CELLS + 1, 7, _bar, "left"),
    _Column("set kW", 7, 6, lambda m, _: _number(m.get("setpoint_kw"), "{:+.3f}")),
    _Column("SOC", 7, 4, _soc),
    _Column("junction", 8, 5, _temperature),
    _Column("vehicle", 14, 8, _vehicle, "left"),
    WHY,
)
