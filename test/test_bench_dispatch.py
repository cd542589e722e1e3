"""`v2g bench dispatch`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from v2g_nodes.cli import bench_dispatch as bench
from v2g_nodes.cli import dispatch_trial
from v2g_nodes.cli.main import main
from v2g_nodes.sim.network import LossyNetwork

KEYS = [
    "method", "topology", "modules", "diameter", "loss", "burst", "trials", "rounds_median", "rounds_max", "gap_max",
    "equal_split_gap_median", "balance_error_max", "constraint_violations", "bytes_per_message_max", "converged",
    "seed", "averaging", "iterations_median", "iterations_max", "iterations_to_1_percent_median",
    "iterations_to_1_percent_max",
]  # fmt: skip


def result(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["bench", "dispatch", *words, "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    found: dict[str, object] = json.loads(captured.out)
    return found


def test_the_keys_and_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    found = result(capsys, "--method", "supply_curve", "--topology", "ring", "--modules", "8", "--trials", "10")
    assert list(found) == KEYS
    assert (found["topology"], found["modules"], found["diameter"], found["trials"]) == ("ring", 8, 4, 10)
    assert (found["loss"], found["burst"], found["seed"]) == (0.0, 1.0, 0)
    assert found["rounds_max"] == 8
    assert found["rounds_median"] in (4, 8)
    assert 0.0 <= float(str(found["gap_max"])) < 1e-3
    assert float(str(found["equal_split_gap_median"])) > 0.1
    assert float(str(found["balance_error_max"])) < 1e-4
    assert found["constraint_violations"] == 0
    assert found["converged"] == 1.0
    assert int(str(found["bytes_per_message_max"])) <= 64


def test_losses_and_bursts_cost_rounds_only(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--modules", "6", "--trials", "8", "--topology", "line")
    calm = result(capsys, *words)
    lossy = result(capsys, *words, "--loss", "0.2")
    bursty = result(capsys, *words, "--loss", "0.2", "--burst", "6")
    assert int(str(calm["rounds_max"])) < int(str(lossy["rounds_max"])) < int(str(bursty["rounds_max"]))
    for key in ("gap_max", "balance_error_max", "constraint_violations", "converged"):
        assert calm[key] == lossy[key] == bursty[key]


def test_the_seed_names_the_trials(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--trials", "4", "--loss", "0.3", "--seed")
    first, again, other = (result(capsys, *words, seed) for seed in ("5", "5", "6"))
    assert first == again
    assert first["gap_max"] != other["gap_max"]


@pytest.mark.parametrize(("topology", "hops"), [("ring", 3), ("line", 5), ("star", 2), ("bus", 1), ("mesh", 3)])
def test_the_diameter_is_that_of_the_topology(capsys: pytest.CaptureFixture[str], topology: str, hops: int) -> None:
    found = result(capsys, "--topology", topology, "--modules", "6", "--trials", "3")
    assert found["diameter"] == hops
    assert int(str(found["rounds_max"])) <= (4 if topology == "mesh" else 2) * hops


def test_what_hidden_curves_cost_and_that_they_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--modules", "6", "--trials", "4", "--loss", "0.2")
    plain, hidden = result(capsys, *words), result(capsys, *words, "--privacy", "masks")
    assert {key: hidden[key] for key in KEYS} == plain
    assert list(hidden)[: len(KEYS)] == KEYS
    assert hidden["privacy"] == "masks"
    assert hidden["price_difference_eur_per_kwh_max"] == hidden["power_difference_kw_max"] == 0.0
    for key in ("rounds_max", "rounds_median", "bytes_per_message_max"):
        assert hidden[f"{key}_without"] == hidden[key]
    for key in ("start_bytes_per_module", "calm_bytes_per_s_and_module"):
        assert 0.0 < float(str(hidden[f"{key}_without"])) < float(str(hidden[key]))


def test_a_table_without_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "dispatch", "--trials", "2"]) == 0
    shown = capsys.readouterr().out
    assert "dispatch on the network simulator" in shown
    for key in KEYS:
        assert key in shown


def test_the_json_goes_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    assert main(["bench", "dispatch", "--trials", "2", "--json", str(path)]) == 0
    assert list(json.loads(path.read_text())) == KEYS
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--method", "magic"], "--method magic: allowed supply_curve, newton, admm, primal_dual, price_tracking"),
        (["--averaging", "chebyshev"], "--averaging chebyshev: allowed exact"),
        (["--method", "newton", "--averaging", "metropolis"], "--averaging metropolis: allowed exact, tree"),
        (["--topology", "torus"], "--topology torus: allowed ring, line, star, bus, mesh"),
        (["--modules", "0"], "--modules 0: allowed 1 to 64"),
        (["--modules", "65"], "--modules 65: allowed 1 to 64"),
        (["--loss", "1"], "--loss 1: allowed 0 to 0.9"),
        (["--loss", "nan"], "--loss nan: allowed 0 to 0.9"),
        (["--burst", "0"], "--burst 0: allowed 1 to 1000"),
        (["--loss", "0.9", "--burst", "3"], "burst is 3, allowed 1 or from 9"),
        (["--trials", "0"], "--trials 0: allowed 1 to"),
        (["--privacy", "veil"], "--privacy veil: allowed none, masks"),
        (["--privacy", "masks", "--method", "admm"], "--privacy masks with --method admm: allowed with supply_curve"),
        (["--privacy", "masks", "--all"], "--privacy masks with --all: allowed without it"),
        (["--seed", "-1"], "--seed -1: allowed 0 to"),
        (["--modules", "many"], "many"),
        (["--json", "/no/such/x.json"], "--json /no/such/x.json: allowed is a file in a folder that exists"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "dispatch", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert text in captured.err


def test_a_file_that_can_not_be_written_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "run_trial", lambda *_: pytest.fail("worked"))
    assert main(["bench", "dispatch", "--json", "/no/such/folder/x.json"]) == 2


@pytest.mark.parametrize("topology", ["bus", "ring"])
def test_a_bus_loses_a_frame_for_all(topology: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Recorder(LossyNetwork):
        def __init__(self, *arguments: object) -> None:
            made.append(arguments)
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dispatch_trial, "LossyNetwork", Recorder)
    dispatch_trial.run_trial(dispatch_trial.Case("supply_curve", "exact", topology, 4, 0.25, 3.0, seed=1), 0)
    assert made[0][1:4] == (0.25, 3.0, topology == "bus")


def test_random_boxes_hold_every_kind_of_module() -> None:
    random = np.random.default_rng(0)
    boxes = [dispatch_trial._random_box(random, 4.0) for _ in range(500)]
    assert any(b.low_kw == b.high_kw == 0.0 for b in boxes)
    assert any(b.high_kw < 0.0 for b in boxes)
    assert sum(b.low_kw == -3.0 and b.high_kw == 3.0 for b in boxes) > 300
    assert all(b.low_kw <= b.high_kw for b in boxes)
