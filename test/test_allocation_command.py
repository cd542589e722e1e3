"""`v2g plan allocation`: keys, files in and out, and bad input in one line with nothing written."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from v2g_nodes.cli import allocation_inputs, plan_allocation
from v2g_nodes.cli.allocation_report import MEANING
from v2g_nodes.cli.main import main
from v2g_nodes.core.errors import V2gError
from v2g_nodes.planning.allocation import summary as summary_module

KEYS = [
    "vehicles", "slots", "commitment", "smoothing", "consensus_spread", "resource_error", "constraint_violations",
    "roughness_without", "roughness_with", "peak_without", "peak_with", "gap_to_centralized", "iterations", "seconds",
]  # fmt: skip


def result(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["plan", "allocation", *words, "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    found: dict[str, Any] = json.loads(captured.out)
    return found


def write(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def read_schedule(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_keys_and_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    found = result(capsys)
    assert list(found)[: len(KEYS)] == KEYS
    assert list(found) == list(MEANING)
    assert (found["vehicles"], found["slots"], found["commitment"], found["smoothing"]) == (6, 12, 0.05, 1.0)
    assert found["roughness_without"] == 246.0
    assert found["roughness_with"] == pytest.approx(1.515, abs=0.001)
    assert (found["peak_without"], found["peak_with"]) == (50.0, pytest.approx(45.997, abs=0.001))
    assert found["reactive_roughness_without"] == pytest.approx(246.0 * math.tan(math.acos(0.95)) ** 2)
    assert found["reactive_roughness_with"] == pytest.approx(0.0329, abs=0.0001)
    assert found["peak_uncoordinated"] == pytest.approx(48 + 6 * 2.97)
    assert found["resource_error"] < 1e-9
    assert found["constraint_violations"] == 0
    assert found["consensus_spread"] < 1e-3
    assert abs(found["gap_to_centralized"]) < 1e-3
    assert found["iterations"] > 10
    assert found["seconds"] > 0.0


def test_options_reach_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    base = result(capsys)
    for words, key in (
        (("--vehicles", "3"), "roughness_with"), (("--commitment", "0.4"), "distance_to_reference"),
        (("--smoothing", "0.2"), "variance_with"), (("--barrier", "0.1"), "gap_to_centralized"),
        (("--graph", "line"), "graph"), (("--seed", "1"), "roughness_with"), (("--slots", "10"), "slots"),
        (("--slot-h", "0.9"), "roughness_with"), (("--power-factor", "0.8"), "reactive_roughness_with"),
    ):  # fmt: skip
        assert result(capsys, *words)[key] != base[key], words


def test_the_schedule_keeps_every_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = write(
        tmp_path / "fleet.csv",
        "vehicle,arrival_slot,departure_slot,soc_start_kwh,soc_goal_kwh,soc_max_kwh,power_kw,commitment",
        "one,0,8,10,38,40,7,0.05", "two,3,12,30,12,40,11,0.2", "three,2,3,10,12,40,3.3,0.5", "four,0,12,6,40,40,11,1",
    )  # fmt: skip
    path = tmp_path / "plan.csv"
    found = result(capsys, "--fleet", fleet, "--schedule", str(path), "--power-kw", "5")
    assert (found["vehicles"], found["slots"], found["constraint_violations"]) == (4, 12, 0)
    rows = read_schedule(path)
    assert list(rows[0]) == ["vehicle", "slot", "start_h", "power_kw", "reactive_kvar", "soc_kwh"]
    for name, first, last, start, goal, power in (
        ("one", 0, 8, 10, 38, 7), ("two", 3, 12, 30, 12, 11), ("three", 2, 3, 10, 12, 3.3), ("four", 0, 12, 6, 40, 11),
    ):  # fmt: skip
        own = [row for row in rows if row["vehicle"] == name]
        assert [int(row["slot"]) for row in own] == list(range(first, last))
        p, q, soc = (np.array([float(row[key]) for row in own]) for key in ("power_kw", "reactive_kvar", "soc_kwh"))
        np.testing.assert_allclose(soc, start - np.cumsum(p), atol=1e-9)
        assert soc[-1] == pytest.approx(goal, abs=1e-9)
        assert np.all((soc >= 6.0 - 1e-9) & (soc <= 40.0 + 1e-9))
        assert np.all(np.abs(p) <= power + 1e-9)
        assert np.all(np.hypot(p, q) <= power / 0.9 + 1e-9)


def test_sessions_and_load_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = write(
        tmp_path / "sessions.csv", "arrival,departure,energy_kwh,session_id",
        "08:10,12:00,9,a", "09:00,17:30,20,b", "10:05,10:55,1,too short", "23:00,23:30,1,late",
    )  # fmt: skip
    rows = [f"{hour:02d}:00,{20 + 10 * math.sin(hour / 4):.3f},{5 + hour % 3}" for hour in range(24)]
    load = write(tmp_path / "load.csv", "time,site_load_kw,site_load_kvar", *rows)
    path = tmp_path / "plan.csv"
    words = ("--sessions", sessions, "--load", load, "--slots", "10", "--schedule", str(path))
    found = result(capsys, *words)
    assert (found["vehicles"], found["slots"]) == (2, 10)
    own = {name: [r for r in read_schedule(path) if r["vehicle"] == name] for name in "ab"}
    assert [int(row["slot"]) for row in own["a"]] == [1, 2, 3]  # the plan begins at 08:00
    assert [int(row["slot"]) for row in own["b"]] == list(range(1, 9))
    assert -sum(float(row["power_kw"]) for row in own["a"]) == pytest.approx(9.0)
    assert float(own["b"][-1]["soc_kwh"]) == pytest.approx(3.6 + 20.0)
    expected = [20 + 10 * math.sin(hour / 4) for hour in range(8, 18)]
    assert found["peak_without"] == pytest.approx(max(expected), abs=1e-3)
    assert found["reactive_roughness_without"] == pytest.approx(18.0)  # 7 5 6 7 5 6 7 5 6 7
    later = result(capsys, "--load", load, "--start", "12:00", "--slots", "4", "--slot-h", "0.5", "--vehicles", "1")
    assert later["peak_without"] == pytest.approx(20 + 10 * math.sin(12 / 4), abs=1e-3)


def test_a_session_short_of_whole_slots_charges_throughout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = write(tmp_path / "s.csv", "arrival,departure,energy_kwh,session_id", "08:10,11:50,11,short",
                     "08:00,12:00,10,enough")  # fmt: skip
    path = tmp_path / "plan.csv"
    found = result(capsys, "--sessions", sessions, "--slots", "6", "--schedule", str(path), "--report", str(tmp_path))
    assert found["energy_short_kwh"] == pytest.approx(11.0 - 2 * 3.3)
    power = [float(row["power_kw"]) for row in read_schedule(path) if row["vehicle"] == "short"]
    assert power == pytest.approx([-3.3, -3.3])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "short of their energy: short by 4.4 kWh" in page
    assert "6 slots of 1 h, the first from 08:00:00" in page
    assert result(capsys, "--sessions", sessions)["energy_short_kwh"] == 0.0  # quarters of an hour


def test_a_load_profile_of_any_column_is_scaled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{k},{20 + k % 24}" for k in range(96)]
    load = write(tmp_path / "profile.csv", "quarter_hour,H25_Winter", *rows)
    words = ("--load", load, "--load-column", "h25_winter", "--slots", "96", "--vehicles", "1")
    plain, scaled = result(capsys, *words), result(capsys, *words, "--load-kw", "63")
    assert plain["peak_without"] == 43.0
    assert scaled["peak_without"] == pytest.approx(86.0)
    assert scaled["reactive_roughness_without"] == pytest.approx(4.0 * plain["reactive_roughness_without"])


def test_the_report_has_all_figures_and_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "report"
    found = result(capsys, "--vehicles", "4", "--report", str(folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 8
    assert not re.search(r'(src|href)="http', page)
    for key in MEANING:
        assert f"<code>{key}</code>" in page
    kept = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    figures = kept.pop("figures")
    assert kept == found
    assert list(figures) == ["active", "reactive", "soc", "grid", "counts", "commitment", "smoothing", "storage"]
    assert figures["grid"]["vehicles"] == [0, 1, 3, 6, 8]
    assert figures["counts"]["vehicles"] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert figures["counts"]["saturation_reserved"] == 5
    assert np.array(figures["active"]["power_kw"]).shape == (4, 12)
    assert np.array(figures["soc"]["soc_kwh"])[:, -1] == pytest.approx([21.6] * 4)
    assert len(figures["storage"]["storage"]) == 2


def test_a_report_of_many_vehicles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(capsys, "--vehicles", "14", "--slots", "4", "--seed", "3", "--report", str(tmp_path))
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<svg") == 8


def test_a_table_without_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "allocation", "--vehicles", "1", "--slots", "1"]) == 0
    shown = capsys.readouterr().out
    for key in MEANING:
        assert key in shown


def test_a_reference_that_is_not_found_is_null(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise V2gError("no")

    monkeypatch.setattr(summary_module, "gap_to_central", fail)
    found = result(capsys, "--vehicles", "1", "--slots", "3", "--report", str(tmp_path))
    assert found["gap_to_centralized"] is None
    assert found["constraint_violations"] == 0


FILES = {
    "fleet": ("vehicle,arrival_slot,departure_slot,soc_start_kwh,soc_goal_kwh", "good,0,8,5,20"),
    "sessions": ("arrival,departure,energy_kwh,session_id", "08:00,17:00,9,good"),
    "load": ("time,load_kw", *(f"{hour:02d}:00,20" for hour in range(24))),
}


@pytest.mark.parametrize(
    ("option", "row", "text"),
    [
        ("fleet", "bad,8,4,5,20", "fleet.csv:3: vehicle bad: departure slot is 4, allowed is after arrival slot 8"),
        ("fleet", "bad,0,8,5,30", "fleet.csv:3: vehicle bad: soc_goal_kwh is 30.0 kWh, allowed 3.6 to 24 kWh"),
        ("fleet", "bad,0,8,nan,20", "fleet.csv:3: soc_start_kwh is 'nan', allowed is a finite number"),
        ("fleet", "bad,0.5,8,5,20", "fleet.csv:3: arrival_slot is 0.5, allowed is a whole number, 0 to 2000"),
        ("fleet", "bad,0,99999,5,20", "fleet.csv:3: departure_slot is 99999, allowed is a whole number, 0 to 2000"),
        ("fleet", "bad,0,4,5,20", "vehicle bad: energy due is 15 kWh, allowed -13.2 to 13.2 kWh"),
        ("fleet", "good,0,8,5,20", "vehicle good is there twice"),
        ("sessions", "17:00,08:00,9,bad", "sessions.csv:3: departure 08:00 is not after arrival 17:00"),
        ("sessions", "08:00,17:00,nan,bad", "sessions.csv:3: energy_kwh is 'nan'"),
        ("sessions", "08:00,17:00,25,bad", "session bad: energy_kwh is 25, allowed up to 20.4"),
        ("sessions", "08:00,10:00,9,bad", "session bad: energy_kwh is 9, allowed up to 6.6, what 3.3 kW give"),
        ("load", "24:00,nan", "load.csv:26"),
        ("load", "23:30,nan", "load.csv:26: load_kw is 'nan', allowed is a finite number"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(
    option: str, row: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / f"{option}.csv", *FILES[option], row)
    out = [tmp_path / name for name in ("plan.csv", "report", "result.json")]
    words = ["--schedule", str(out[0]), "--report", str(out[1]), "--json", str(out[2])]
    assert main(["plan", "allocation", f"--{option}", path, *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert text in captured.err
    assert not any(each.exists() for each in out)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--vehicles", "0"], "--vehicles is 0, allowed 1 to"),
        (["--slots", "0"], "--slots is 0, allowed 1 to"),
        (["--slot-h", "nan"], "--slot-h is nan, allowed above 0"),
        (["--slot-h", "0"], "--slot-h is 0.0, allowed above 0"),
        (["--commitment", "0"], "--commitment is 0.0, allowed 0.001 to 1"),
        (["--commitment", "nan"], "--commitment is nan, allowed 0.001 to 1"),
        (["--smoothing", "1.01"], "--smoothing is 1.01, allowed 0 to 1"),
        (["--barrier", "-1"], "--barrier is -1.0 kWh², allowed above 0"),
        (["--graph", "torus"], "--graph torus: allowed complete, ring, line, star, mesh"),
        (["--seed", "-1"], "--seed is -1, allowed 0 to"),
        (["--power-factor", "0"], "--power-factor is 0.0, allowed 0.1 to 1"),
        (["--battery-kwh", "0"], "--battery-kwh is 0.0, allowed above 0"),
        (["--fleet", "a.csv", "--sessions", "b.csv"], "--fleet and --sessions: allowed is one of them"),
        (["--fleet", "a.csv", "--vehicles", "2"], "--vehicles with --fleet or --sessions"),
        (["--load-column", "x"], "--load-column without --load"),
        (["--load-kw", "0"], "--load-kw is 0.0, allowed above 0"),
        (["--fleet", "/no/such.csv"], "/no/such.csv: No such file"),
        (["--vehicles", "3000", "--slots", "200"], "vehicles x slots^2 is 1.2e+08, allowed up to 5e+07"),
        (["--start", "25:00"], "time of day '25:00', allowed HH:MM"),
        (["--json", "/no/such/x.json"], "--json /no/such/x.json: allowed is a file in a folder that exists"),
        (["--schedule", "/no/such/x.csv"], "--schedule /no/such/x.csv: allowed is a file in a folder that exists"),
        (["--report", "/proc/x"], "--report /proc/x"),
        (["--vehicles", "many"], "many"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_allocation, "allocate", lambda *_: pytest.fail("worked"))
    assert main(["plan", "allocation", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert text in captured.err


def test_a_load_that_ends_too_early_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = write(tmp_path / "load.csv", "time,load_kw", *(f"{hour:02d}:00,20" for hour in range(6, 15)))
    assert main(["plan", "allocation", "--load", load, "--slots", "12"]) == 2
    assert "no site_load in slot 9 from 15:00:00, allowed is a file that covers 12 slots" in capsys.readouterr().err
    assert main(["plan", "allocation", "--load", load, "--slots", "9", "--json", "-"]) == 0


def test_sessions_without_a_whole_slot_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = write(tmp_path / "s.csv", "arrival,departure,energy_kwh", "08:10,08:50,1")
    assert main(["plan", "allocation", "--sessions", sessions, "--slots", "24"]) == 2
    assert "no session has a whole slot of 1 h in the 24 slots from 08:00:00" in capsys.readouterr().err
    assert result(capsys, "--sessions", sessions, "--slots", "8", "--slot-h", "0.25")["vehicles"] == 1


def test_help_explains_the_signs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "allocation", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "power_kw above 0 discharges to the grid" in shown
    for word in ("commitment", "smoothing", "barrier", "graph", "fleet", "sessions", "schedule", "report"):
        assert f"--{word}" in shown


def test_slots_fill_at_most_a_day_by_default() -> None:
    options = allocation_inputs.AllocationOptions(
        vehicles=1, slots=96, slot_h=None, commitment=None, smoothing=1.0, seed=1, power_kw=3.3, battery_kwh=24.0,
        fleet=None, sessions=None, load=None, load_column=None, load_kw=None, power_factor=0.95, day=None, start=None,
    )  # fmt: skip
    inputs = allocation_inputs.read_inputs(options)
    assert (inputs.problem.slots, inputs.problem.slot_h, len(inputs.spare)) == (96, 0.25, 1)
