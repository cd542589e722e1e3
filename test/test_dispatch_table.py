"""`v2g bench dispatch --all`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from v2g_nodes.cli import average_table, dispatch_table
from v2g_nodes.cli.average_table import MUST_KNOW, ROUNDS_MAX, average_rounds, average_rows, ratio_rounds
from v2g_nodes.cli.dispatch_table import COLUMNS, SIZES, compare, compare_all
from v2g_nodes.cli.dispatch_trial import Case, Trial, run_trial, summary
from v2g_nodes.cli.main import main
from v2g_nodes.core.averaging.plans import AVERAGINGS, averaging_plan
from v2g_nodes.core.dispatch.methods import AVERAGE_TOLERANCE, METHODS
from v2g_nodes.core.graph import TOPOLOGIES, adjacency, build_edges, diameter

ALL = ("bench", "dispatch", "--all", "--modules", "5", "--topology", "bus", "--trials", "1")
AVERAGES = [*AVERAGINGS, "ratio", "ratio, 20% loss"]
MEASURED = ("iterations to 1 %", "rounds", "rounds at 20 % loss", "rounds in bursts of 3", "bytes", "gap", "converged")


def case(method: str = "admm", averaging: str = "exact", topology: str = "bus", modules: int = 5) -> Case:
    return Case(method, averaging, topology, modules, 0.0, 1.0, seed=0)


def tables(text: str) -> list[list[list[str]]]:
    """The Markdown tables of a text: tables of rows of cells."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")
            found[-1].append(line[2:-2].split(" | "))
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


# ---- the command


def test_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ALL, "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    found = json.loads(captured.out)
    assert list(found) == ["averages", "rows", "trials", "seed"]
    assert (found["trials"], found["seed"]) == (1, 0)
    assert [row["averaging"] for row in found["averages"]] == AVERAGES
    assert all(list(row) == ["averaging", "must know", "bus 5"] for row in found["averages"])
    assert [(row["method"], row["averaging"]) for row in found["rows"]] == [
        ("supply_curve", "exact"), ("newton", "exact"), ("admm", "exact"), ("admm", "metropolis"),
        ("primal_dual", "exact"), ("primal_dual", "metropolis"), ("price_tracking", "metropolis"),
    ]  # fmt: skip
    for row in found["rows"]:
        assert list(row) == [*COLUMNS, "constraint_violations"]
        assert (row["topology"], row["modules"], row["diameter"]) == ("bus", 5, 1)
        assert row["converged"] == 1.0
        assert row["constraint_violations"] == 0
        assert 0.0 <= row["gap"] < 1e-2
        assert row["bytes"] <= 64
        assert 1 <= row["rounds"] <= row["rounds at 20 % loss"]


def test_the_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ALL]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    averages, rows = tables(captured.out)
    assert averages[0] == ["averaging", "must know", "bus 5"]
    assert [cells[0] for cells in averages[2:]] == AVERAGES
    assert "by 0.0001 of what they did" in captured.out
    assert rows[0] == list(COLUMNS)
    assert len(rows) == 2 + 7
    for table in (averages, rows):
        assert table[1] == ["---"] * len(table[0])
        assert {len(cells) for cells in table} == {len(table[0])}
    assert "1 random stations for each line" in captured.out
    assert [cells[0] for cells in rows[2:]] == [
        "supply_curve", "newton", "admm", "admm", "primal_dual", "primal_dual", "price_tracking"
    ]  # fmt: skip


def test_the_json_goes_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "all.json"
    assert main([*ALL, "--json", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert len(json.loads(path.read_text())["rows"]) == 7


def test_the_seed_and_the_trials_are_those_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = []
    for seed in ("3", "3", "4"):
        assert main([*ALL, "--seed", seed, "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["seed"] == int(seed)
        gaps.append([row["gap"] for row in found["rows"]])
    assert gaps[0] == gaps[1] != gaps[2]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--topology", "torus"], "--topology torus: allowed ring, line, star, bus, mesh"),
        (["--modules", "65"], "--modules 65: allowed 1 to 64"),
        (["--modules", "0"], "--modules 0: allowed 1 to 64"),
        (["--trials", "0"], "--trials 0: allowed 1 to"),
        (["--seed", "-1"], "--seed -1: allowed 0 to"),
        (["--json", "/no/such/x.json"], "--json /no/such/x.json: allowed is a file in a folder that exists"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch_table, "run_trial", lambda *_: pytest.fail("worked"))
    assert main(["bench", "dispatch", "--all", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert text in captured.err


# ---- what is run


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """The lines that are asked for, in place of running them; the ratio's rounds are not played either."""
    asked: list[Case] = []

    def compare(one: Case, trials: int) -> dict[str, object]:
        asked.append(one)
        return dict.fromkeys(COLUMNS, trials)

    monkeypatch.setattr(dispatch_table, "compare", compare)
    monkeypatch.setattr(average_table, "ratio_rounds", lambda *_: None)
    return asked


def test_without_a_choice_every_graph_of_every_size_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = recorded(monkeypatch)
    assert main(["bench", "dispatch", "--all", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == 3
    graphs = [f"{topology} {n}" for n in SIZES for topology in TOPOLOGIES]
    assert all(list(row) == ["averaging", "must know", *graphs] for row in found["averages"])
    assert {(one.method, one.topology, one.modules) for one in asked} == {
        (method, topology, n) for method in METHODS for topology in TOPOLOGIES for n in SIZES
    }
    assert {one.averaging for one in asked if one.method in ("admm", "primal_dual")} == {"exact", "metropolis"}
    assert [one.averaging for one in asked if one.method == "price_tracking" and one.topology == "ring"] == [
        "metropolis", "exact", "metropolis", "exact", "metropolis"
    ]  # fmt: skip
    on_bus = {one.averaging for one in asked if one.method == "price_tracking" and one.topology == "bus"}
    assert on_bus == {"metropolis"}
    assert {one.averaging for one in asked if one.method in ("newton", "supply_curve")} == {"exact"}
    assert {(one.loss, one.burst, one.seed) for one in asked} == {(0.0, 1.0, 0)}


def test_a_choice_of_graph_or_size_leaves_the_other_open(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = recorded(monkeypatch)
    assert main(["bench", "dispatch", "--all", "--topology", "star"]) == 0
    assert {(one.topology, one.modules) for one in asked} == {("star", n) for n in SIZES}
    asked.clear()
    assert main(["bench", "dispatch", "--all", "--modules", "7"]) == 0
    assert {(one.topology, one.modules) for one in asked} == {(topology, 7) for topology in TOPOLOGIES}


def test_a_line_is_the_worst_of_calm_lossy_and_bursty_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[float, float, int]] = []

    def run(one: Case, k: int) -> Trial:
        made.append((one.loss, one.burst, k))
        trial = run_trial(one, k)
        worst = {(0.0, 1.0): 1e-4, (0.2, 1.0): 3e-4, (0.2, 3.0): 2e-4}[one.loss, one.burst]
        return replace(trial, gap=worst, violations=1, converged=one.burst == 1.0 or k == 0)

    monkeypatch.setattr(dispatch_table, "run_trial", run)
    row = compare(case(topology="line"), 2)
    assert made == [(loss, burst, k) for loss, burst in ((0.0, 1.0), (0.2, 1.0), (0.2, 3.0)) for k in range(2)]
    assert row["gap"] == 3e-4
    assert row["converged"] == 0.5
    assert row["constraint_violations"] == 6
    monkeypatch.undo()
    networks = {"rounds": (0.0, 1.0), "rounds at 20 % loss": (0.2, 1.0), "rounds in bursts of 3": (0.2, 3.0)}
    for name, (loss, burst) in networks.items():
        one = replace(case(topology="line"), loss=loss, burst=burst)
        assert row[name] == summary(one, [run_trial(one, k) for k in range(2)])["rounds_max"]


# ---- averages


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("name", AVERAGINGS)
def test_rounds_of_an_average_are_those_of_its_plan(name: str, topology: str) -> None:
    ids = tuple(range(1, 17))
    plan = averaging_plan(name, ids, build_edges(topology, ids), AVERAGE_TOLERANCE)
    assert average_rounds(name, topology, 16) == plan.rounds


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_rounds_of_the_ratio_are_those_until_all_are_close(topology: str) -> None:
    calm, lossy = ratio_rounds(topology, 5, 0.0, 0), ratio_rounds(topology, 5, 0.2, 0)
    assert calm is not None
    assert lossy is not None
    assert diameter(adjacency(range(1, 6), build_edges(topology, range(1, 6)))) <= calm <= lossy < 60 + 3 * calm
    assert ratio_rounds(topology, 5, 0.2, 0) == lossy
    assert ratio_rounds(topology, 1, 0.0, 0) == 0


def test_a_ratio_that_is_not_close_in_time_has_no_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ratio_rounds("line", 5, 0.0, 0)
    assert needed is not None
    monkeypatch.setattr(average_table, "ROUNDS_MAX", needed)
    assert ratio_rounds("line", 5, 0.0, 0) is None
    monkeypatch.setattr(average_table, "ROUNDS_MAX", needed + 1)
    assert ratio_rounds("line", 5, 0.0, 0) == needed


def test_the_rows_of_the_averages() -> None:
    rows = average_rows([("ring", 4), ("star", 3)], 7)
    assert [row["averaging"] for row in rows] == AVERAGES
    assert [row["must know"] for row in rows] == [MUST_KNOW[name] for name in (*AVERAGINGS, "ratio", "ratio")]
    assert [row["star 3"] for row in rows] == [
        *(average_rounds(name, "star", 3) for name in AVERAGINGS),
        ratio_rounds("star", 3, 0.0, 7),
        ratio_rounds("star", 3, 0.2, 7),
    ]
    assert rows[0]["ring 4"] == 2
    assert rows[1]["ring 4"] == 3


def test_an_average_that_takes_too_long_is_named_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_table, "run_trial", lambda *_: pytest.fail("worked"))
    row = compare(case(averaging="metropolis", topology="ring", modules=64), 1)
    rounds = average_rounds("metropolis", "ring", 64)
    assert rounds > ROUNDS_MAX
    assert row["note"] == f"not run: one average takes {rounds} rounds"
    assert list(row) == list(COLUMNS)
    assert all(row[name] is None for name in MEASURED)
    assert (row["method"], row["averaging"], row["topology"], row["modules"], row["diameter"]) == (
        "admm", "metropolis", "ring", 64, 32
    )  # fmt: skip


def test_the_longest_average_allowed_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = average_rounds("metropolis", "star", 4)
    monkeypatch.setattr(dispatch_table, "ROUNDS_MAX", inner)
    assert compare(case(averaging="metropolis", topology="star", modules=4), 1)["converged"] == 1.0
    monkeypatch.setattr(dispatch_table, "ROUNDS_MAX", inner - 1)
    assert "not run" in str(compare(case(averaging="metropolis", topology="star", modules=4), 1)["note"])


def test_metropolis_weights_are_not_run_on_large_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_table, "STEPWISE_MODULES_MAX", 4)
    assert "not run" in str(compare(case(averaging="metropolis", topology="star", modules=5), 1)["note"])
    assert "not run" not in str(compare(case(averaging="metropolis", topology="star", modules=4), 1)["note"])
    assert "not run" not in str(compare(case(topology="star", modules=5), 1)["note"])
    assert compare(case(averaging="metropolis", topology="bus", modules=5), 1)["note"] == ""  # quick


def test_what_was_not_run_is_a_dash_in_markdown_and_null_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dispatch_table, "METHODS", ("admm",))
    monkeypatch.setattr(dispatch_table, "ROUNDS_MAX", 2)
    compare_all(("star",), (4,), 1, 0, None)
    _, rows = tables(capsys.readouterr().out)
    exact, metropolis = (dict(zip(rows[0], cells, strict=True)) for cells in rows[2:])
    assert "–" not in exact.values()
    assert [metropolis[name] for name in MEASURED] == ["–"] * len(MEASURED)
    assert metropolis["note"].startswith("not run: one average takes ")
    compare_all(("star",), (4,), 1, 0, "-")
    found = json.loads(capsys.readouterr().out)["rows"][1]
    assert [found[name] for name in MEASURED] == [None] * len(MEASURED)


# ---- notes

MISSED = "iterations, the target is below 50; one average takes"


@pytest.mark.parametrize(
    ("method", "averaging", "iterations", "inner", "note"),
    [
        ("admm", "exact", 10, 1, ""),
        ("admm", "exact", 49, 1, ""),
        ("admm", "exact", 50, 1, f"50 {MISSED} 1 rounds"),
        ("admm", "exact", 10, 5, ""),
        ("admm", "exact", 10, 6, "10 iterations of 6 rounds: more than 50 rounds on this graph"),
        ("admm", "exact", None, 1, "1 % not reached in every trial"),
        ("price_tracking", "metropolis", 40, 300, ""),
        ("price_tracking", "exact", 40, 8, "40 iterations of 8 rounds: more than 50 rounds on this graph"),
        ("price_tracking", "metropolis", 51, 300, f"51 {MISSED} 300 rounds"),
    ],
)
def test_a_note_says_which_target_is_out_of_reach(
    method: str, averaging: str, iterations: int | None, inner: int, note: str
) -> None:
    assert dispatch_table._note(case(method, averaging), iterations, inner) == note


def test_a_line_carries_its_note() -> None:
    row = compare(case(averaging="metropolis", topology="line"), 1)
    inner = average_rounds("metropolis", "line", 5)
    assert row["note"] == f"{row['iterations to 1 %']} iterations of {inner} rounds: more than 50 rounds on this graph"
    assert compare(case(topology="bus"), 1)["note"] == ""


def test_numbers_are_short() -> None:
    assert [dispatch_table._text(value) for value in (None, 0.000123456, 1.0, 12, "note")] == [
        "–", "0.00012", "1", "12", "note"
    ]  # fmt: skip
