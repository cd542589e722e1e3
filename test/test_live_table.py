"""What the live table shows, at any width, and what happens to it when the terminal goes away."""

from __future__ import annotations

import errno
import io
from typing import Any

import pytest
from rich.console import Console

from v2g_nodes.cli.live_table import COLUMNS, StationView, render, status_line
from v2g_nodes.cli.view import PatientConsole, View


def module(number: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any type
    return {
        "id": number, "lambda": 0.0312, "power_kw": -1.65, "setpoint_kw": -1.64, "soc": 0.614, "temperature_c": 41.26,
        "vehicle": f"car-{number}", "mode": "CHARGING", "reason": "", "age_s": 0.2, **changes,
    }  # fmt: skip


def event(modules: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any type
    return {
        "event": "table", "time_of_day_s": 61212.9, "frequency_hz": 49.987, "price_eur_per_kwh": 0.104,
        "target_kw": 8.4, "clipped_target_kw": 8.4, "agreed_kw": 8.41, "measured_kw": 8.32, "lambda_eur_per_kwh": 0.03,
        "gap": 2.3e-6, "rounds": 4, "cold": False, "epochs": 17, "members": len(modules), "epoch_ms": 11.24, "text": "",
        "modules": modules, **changes,
    }  # fmt: skip


def station(count: int) -> StationView:
    return StationView("ring of eight", dict.fromkeys(range(1, count + 1), 3.3))


def drawn(shown: dict[str, Any], width: int = 140, height: int = 60, count: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, record=True)
    view = station(len(shown["modules"]) if count is None else count)
    console.print(render(shown, view, "12 s of 60 s", width, height))
    return console.export_text()


def test_the_station_and_each_module_are_shown() -> None:
    text = drawn(event([module(k) for k in (1, 2)]))
    for part in ("ring of eight", "17:00:12", "49.987 Hz", "0.104 €/kWh", "12 s of 60 s", "target +8.40",
                 "agreed +8.41", "measured +8.32 kW", "λ +0.0300 €/kWh", "epoch 17", "4 rounds in 11.2 ms",
                 "gap 2.3e-06", "members 2/2"):  # fmt: skip
        assert part in text
    rows = [line for line in text.splitlines() if "car-" in line]
    assert [row.split()[0] for row in rows] == ["01", "02"]
    for part in ("charging", "+0.0312", "-1.650", "-1.640", "61.4 %", "41.3 °C", "car-1"):
        assert part in rows[0]


@pytest.mark.parametrize(
    ("power_kw", "bar"),
    [(-3.3, "━━━━━━│"), (-1.65, "   ━━━│"), (0.0, "      │"), (1.65, "      │━━━"), (9.9, "      │━━━━━━"),
     (0.3, "      │╸"), (None, "      │")],
)  # fmt: skip
def test_the_bar_points_left_while_charging_and_right_while_discharging(power_kw: float | None, bar: str) -> None:
    row = next(line for line in drawn(event([module(1, power_kw=power_kw)])).splitlines() if "car-1" in line)
    start = row.index("│") - 6
    assert row[start : start + 13].rstrip() == bar.rstrip()


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"cold": True}, "4 rounds cold in"), ({"clipped_target_kw": 8.1}, "(clipped to +8.10)"),
     ({"members": 1}, "members 1/2"), ({"text": "no status from module 2"}, "no status from module 2"),
     ({"frequency_hz": None, "gap": None, "epoch_ms": None}, "gap –"), ({"time_of_day_s": None}, "--:--:--")],
)  # fmt: skip
def test_what_is_out_of_the_ordinary_is_said(changes: dict[str, Any], part: str) -> None:
    ordinary = drawn(event([module(1), module(2)]))
    assert part not in ordinary
    assert part in drawn(event([module(1), module(2)], **changes))


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"age_s": 3.1}, "silent"), ({"age_s": None}, "silent"), ({"mode": 5}, "derated"), ({"mode": "?"}, "?"),
     ({"vehicle": ""}, "none"), ({"soc": None}, "–"), ({"reason": "no grid signal for 6 s"}, "no grid signal for 6 s")],
)  # fmt: skip
def test_states_of_a_module(changes: dict[str, Any], part: str) -> None:
    text = drawn(event([module(1, **changes)], gap=1e-6))
    row = next(line for line in text.splitlines() if line.strip().startswith("01"))
    assert part in row


@pytest.mark.parametrize("width", range(20, 160, 7))
def test_no_row_is_wider_than_the_terminal(width: int) -> None:
    lines = drawn(event([module(1, reason="a long reason " * 5)]), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.strip().startswith("01") for line in lines) == 1


def test_a_narrow_terminal_keeps_what_matters() -> None:
    head = next(line for line in drawn(event([module(1)]), width=32).splitlines() if "module" in line)
    assert "p kW" in head
    assert "vehicle" not in head
    wide = drawn(event([module(1)]), width=140)
    assert all(column.title in wide for column in COLUMNS)


@pytest.mark.parametrize("height", [8, 12, 24, 40])
def test_a_low_terminal_says_how_many_modules_are_hidden(height: int) -> None:
    text = drawn(event([module(k) for k in range(1, 65)]), height=height)
    shown = text.count("car-")
    assert f"... and {64 - shown} more modules" in text
    assert len(text.splitlines()) < height or shown == 1


def test_modules_stand_in_order() -> None:
    text = drawn(event([module(k) for k in (3, 1, 2)]))
    assert [line.split()[0] for line in text.splitlines() if "car-" in line] == ["01", "02", "03"]


def test_one_line_for_runs_without_the_table() -> None:
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(status_line(event([module(1)]), "12 s"))
    text = console.export_text()
    assert text.count("\n") == 1
    for part in ("17:00:12", "49.987 Hz", "+8.40 kW", "+8.32 kW", "epoch 17", "12 s"):
        assert part in text


def run_view(console: Console, table: bool) -> None:
    with View(station(1), table, 60.0, console) as view:
        view.step("3 of 5 processes started")
        view.started()
        view.show(event([module(1)]))
        view.ending("shutting down")
        view.step("too late to matter")


@pytest.mark.parametrize("table", [True, False])
def test_without_a_terminal_only_plain_words_are_written(table: bool) -> None:
    text = io.StringIO()
    run_view(Console(file=text, width=150), table)
    assert "station is up after" in text.getvalue()
    assert len(text.getvalue().splitlines()) == 1
    assert "\x1b" not in text.getvalue()


@pytest.mark.parametrize(("table", "part"), [(True, "car-1"), (False, "target +8.40 kW")])
def test_on_a_terminal_the_run_is_drawn(table: bool, part: str) -> None:
    text = io.StringIO()
    run_view(Console(file=text, width=150, height=40, force_terminal=True, color_system=None), table)
    assert part in text.getvalue()
    assert "3 of 5 processes started" in text.getvalue()


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.EIO, "hung up")])
def test_a_terminal_that_goes_away_does_not_end_the_run(error: OSError) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    run_view(PatientConsole(file=Gone(), width=150, height=40, force_terminal=True), True)
