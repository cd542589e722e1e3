"""`v2g scenario`: options, JSON, table, figure, processes, and the files of a live run."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest
from rich.console import Console

from v2g_nodes.bringup_inputs import Overrides, validate_inputs
from v2g_nodes.cli import scenario_pool
from v2g_nodes.cli.main import main
from v2g_nodes.cli.scenario_live import live_station, write_signals
from v2g_nodes.cli.scenario_table import faults, summary, table
from v2g_nodes.sim.scenario_figures import FIGURES, ScenarioResult
from v2g_nodes.sim.scenario_file import load_scenario, shortened
from v2g_nodes.sim.scenario_signals import scenario_plan
from v2g_nodes.sim.series import read_columns
from v2g_nodes.station import load_station


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("calm", "scenario 'calm', allowed BASIC, TRACKING, FREQUENCY, ARBITRAGE, SCALE, ROBUST or all"),
        ("basic --algorithm vote", "--algorithm vote: allowed supply_curve"),
        ("basic --duration 3601", "--duration 3601: allowed 1 to 3600 s for BASIC"),
        ("basic --duration nan", "--duration nan: allowed"),
        ("basic --seed -1", "--seed -1: allowed 0 to 2147483647"),
        ("basic --figure plot.pdf", "--figure plot.pdf: allowed are files that end in .png, .svg, .html"),
        ("basic --figure nowhere/plot.png", "--figure nowhere/plot.png: allowed is a file in a folder that exists"),
        ("basic --json nowhere/out.json", "--json nowhere/out.json: allowed is a file in a folder that exists"),
        ("scale --live", "--live SCALE: 200 modules of L200 are more processes than one machine runs"),
        ("basic --live --figure plot.png", "--figure with --live: allowed in simulation"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    assert main(["scenario", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_writes_json_and_figure_and_ends_with_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "plot.html"
    code = main(["scenario", "Tracking", "--duration", "60", "--json", "-", "--figure", str(figure)])
    result = json.loads(capsys.readouterr().out)
    (only,) = result["scenarios"]
    assert (only["name"], only["station"], only["modules"], only["epochs"]) == ("TRACKING", "S10", 10, 6)
    assert (only["metropolis_rounds"], only["diameter"], only["shortened"]) == (51, 5, True)
    assert only["limits"]["gap_max"]["met"] is True
    assert only["best_eur"] is None
    assert code == (0 if only["verdict"] == "ok" else 1)
    assert (result["met"] == 1) == (code == 0)
    assert "<svg" in figure.read_text(encoding="utf-8")
    assert not multiprocessing.active_children()


def result_of(name: str, **figures: float) -> ScenarioResult:
    known = dict.fromkeys(FIGURES, 0.0) | {"droop_gain_ratio": 1.0, "failures": 2.0} | figures
    return ScenarioResult(load_scenario(name, FIGURES), 50, 157.5, "supply_curve", known)


def test_a_limit_that_is_not_met_shows_in_table_and_json() -> None:
    good, bad = result_of("ROBUST"), result_of("FREQUENCY", gap_max=0.01)
    assert summary(good, whole=True)["verdict"] == "ok"
    shown = summary(bad, whole=True)
    assert (shown["verdict"], shown["why"]) == ("not met", "gap_max 0.01, allowed up to 0.001")
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table([good, bad], whole=True))
    text = captured.get()
    assert "ROBUST ok" in text
    assert "FREQUENCY not met" in text
    assert "0.01 ≤ 0.001" in text
    assert "…" not in text  # fits a terminal of 80 columns


def test_what_a_shortened_run_could_not_measure_is_not_held_against_it() -> None:
    run = result_of("ARBITRAGE", profit_eur=float("nan"), earned_of_best=float("nan"))
    assert [item.figure for item in faults(run, whole=True)] == ["profit_eur", "earned_of_best"]
    assert faults(run, whole=False) == []


def test_an_interrupted_run_leaves_no_process() -> None:
    def interrupt(_place: int, _epochs: int) -> None:
        raise KeyboardInterrupt

    scenarios = [load_scenario(name, FIGURES) for name in ("BASIC", "TRACKING")]
    with pytest.raises(KeyboardInterrupt):
        scenario_pool.play_all(scenarios, "supply_curve", 2, interrupt)
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_an_error_with_the_name_of_its_scenario() -> None:
    def kill(_place: int, _epochs: int) -> None:
        (child,) = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, 9)

    with pytest.raises(scenario_pool.WorkerError, match="scenario BASIC: its process died"):
        scenario_pool.play_all([load_scenario("BASIC", FIGURES)], "supply_curve", 1, kill)


def test_the_files_of_a_live_run_say_what_the_scenario_says(tmp_path: Path) -> None:
    import yaml

    scenario = shortened(load_scenario("TRACKING", FIGURES), 1800.0)
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(live_station(scenario, "newton").model_dump(mode="json")), encoding="utf-8")
    write_signals(scenario, tmp_path)
    station = load_station(path)
    assert (len(station.modules), station.algorithm, station.dispatch.epoch_period_s) == (10, "newton", 10.0)
    inputs = validate_inputs(station, Overrides(duration_s=1800.0))
    assert inputs.start_s == 43_200.0
    assert not any("ends" in note for note in inputs.notes)
    base = read_columns(tmp_path / "plan.csv", ("base",))["base"]
    plan = scenario_plan(scenario, rating_kw=0.0)
    for time_s in (43_200.0, 44_100.0, 45_000.0, 86_399.0):
        assert base.at(time_s) == plan.at(time_s)[0]
