"""`v2g plan valley` as it is called: figures, files, and one line for bad input with nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from v2g_nodes.cli import main as cli

KEYS = ("vehicles", "slots", "eta", "iterations", "price_change", "gap_to_centralized", "peak_kw", "valley_kw",
        "delivered_kwh", "seconds", "seconds_per_iteration", "peak_memory_mb", "baseline_cost", "cost", "scheduler")


def plan(tmp_path: Path, *words: str) -> dict[str, object]:
    assert cli.main(["plan", "valley", *words, "--json", str(tmp_path / "figures.json")]) == 0
    found = json.loads((tmp_path / "figures.json").read_text())
    assert isinstance(found, dict)
    return found


def test_figures_schedules_and_report(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("plan.parquet", "plan.csv")]
    words = ("--vehicles", "60", "--seed", "3", "--discharging", "0.3", "--floor", "--report", str(tmp_path / "report"))
    found = plan(tmp_path, *words, "--schedule", files[0])
    assert tuple(found)[: len(KEYS)] == KEYS
    assert abs(float(str(found["gap_to_centralized"]))) < 1e-6
    assert found["cost"] < found["price_only_cost"] < found["baseline_cost"]  # type: ignore[operator]
    plan(tmp_path, *words, "--schedule", files[1])
    tables = [pyarrow.parquet.read_table(files[0]), pyarrow.csv.read_csv(files[1])]
    for table in tables:
        assert table.num_rows == 60
        total = sum(sum(table[name].to_pylist()) for name in table.column_names[1:])
        assert total == pytest.approx(found["delivered_kwh"], rel=1e-5)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<svg") == 6
    numbers = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert len(numbers["distance_by_eta"]) == 6


def test_vehicles_without_a_coordinator(tmp_path: Path) -> None:
    found = plan(tmp_path, "--vehicles", "8", "--consensus", "ring", "--loss", "0.2")
    assert float(str(found["consensus_difference"])) < 1e-6
    assert found["consensus_iterations"] == found["iterations"]


def test_real_sessions_get_what_is_possible_and_the_reason_is_told(tmp_path: Path, shared_data: Path) -> None:
    data = {name: str(shared_data / name) for name in (
        "ev_sessions_acn_caltech_2019-03.csv", "load_profile_BDEW_H25_G25_15min.csv", "price_DE-LU_2024-04-09.csv")}
    sessions, load, prices = data.values()
    found = plan(tmp_path, "--sessions", sessions, "--load", load, "--load-column", "g25_April_WT", "--prices", prices,
                 "--day", "2019-03-05", "--power-kw", "1.5")  # fmt: skip
    reasons = found["reasons"]
    assert isinstance(reasons, dict)
    assert len(reasons) == found["short_vehicles"] > 0
    assert all("kWh" in why or "no whole slot" in why for why in reasons.values())


def test_a_plan_that_does_not_converge_ends_with_1(tmp_path: Path) -> None:
    words = ["plan", "valley", "--fleet", "source", "--vehicles", "50", "--eta", "1.36", "--iterations-max", "30"]
    assert cli.main([*words, "--json", str(tmp_path / "f.json")]) == 1
    assert json.loads((tmp_path / "f.json").read_text())["converged"] is False


BAD = [
    (("--vehicles", "0"), "--vehicles is 0, allowed 1 to"),
    (("--eta", "nan"), "--eta is nan, allowed"),
    (("--fleet", "mine"), "--fleet mine: allowed random, source"),
    (("--schedule", "plan.xlsx"), "allowed is a name that ends in .parquet or .csv"),
    (("--consensus", "cloud"), "--consensus cloud: allowed ring"),
    (("--vehicles", "65", "--consensus", "ring"), "consensus of 65 vehicles, allowed up to 64"),
    (("--sessions", "{folder}/late.csv"), "late.csv:3: departure 2024-03-01T08:00 is not after arrival"),
    (("--sessions", "{folder}/much.csv"), "session line 2: energy_kwh is 120, allowed up to 100"),
    (("--prices", "{folder}/prices.csv"), "prices.csv:3: price_eur_per_mwh is 'nan'"),
    (("--scheduler", "nowhere"), "--scheduler nowhere"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[line for _, line in BAD])
@pytest.mark.filterwarnings("ignore")
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    header = "arrival,departure,energy_kwh\n"
    good = "2024-03-01T07:00,2024-03-01T18:00"
    (tmp_path / "late.csv").write_text(f"{header}{good},9\n2024-03-01T09:00,2024-03-01T08:00,9\n")
    (tmp_path / "much.csv").write_text(f"{header}{good},120\n")
    (tmp_path / "prices.csv").write_text("hour_local,price_eur_per_mwh\n0,50\n1,nan\n")
    before = sorted(tmp_path.iterdir())
    asked = [word.format(folder=tmp_path) for word in words]
    assert cli.main(["plan", "valley", *asked, "--json", str(tmp_path / "figures.json")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in error
    assert sorted(tmp_path.iterdir()) == before
