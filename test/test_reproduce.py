"""`v2g reproduce`: what is kept, what is run again, what an error, Ctrl-C and bad input lead to."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from v2g_nodes.cli import reproduce as command
from v2g_nodes.cli.main import main
from v2g_nodes.cli.reproduce_runs import chosen, run_claims
from v2g_nodes.cli.reproduce_store import Store, plain, write_whole
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.claims import catalogue
from v2g_nodes.sim.claims.claim import Claim, Finding, Setting, judged, not_reproducible

Words = list[str]
Capsys = pytest.CaptureFixture[str]


def _silent(_: str) -> None:
    pass


class Checks:
    """Made claims that count how often they are run.

    000.1.1 holds, 000.1.2 is refuted, 000.1.10 is an error of a source, 001.1.1 raises, 002.1.1 needs a recording,
    003.1.1 and 004.1.1 are lost.
    """

    def __init__(self) -> None:
        self.runs: Words = []
        self.broken = True
        self.interrupted_at = ""
        made: list[tuple[str, str, Callable[[Setting], Finding]]] = [
            ("000.1.1", "derived", lambda s: judged(True, {"size": s.pick(1, 2), "list": np.arange(3)})),
            ("000.1.2", "printed", lambda _: judged(np.bool_(False), {"x": np.float64(0.5)}, "is not so",
                                                    {"lines": {"a": [1.0, float("inf")]}})),
            ("000.1.10", "error", lambda _: judged(False, {}, "wrong sign")),
            ("001.1.1", "printed", lambda _: self._fragile()),
            ("002.1.1", "printed", lambda s: judged(s.recording("signal.csv").read_text() == "1", {})),
            ("003.1.1", "printed", lambda _: not_reproducible("data is lost")),
            ("004.1.1", "printed", lambda _: not_reproducible("<lost> & gone", figure=1.5)),
        ]  # fmt: skip
        self.claims = tuple(Claim(id_, f"text of {id_}", "so", origin, self._counted(id_, check), ())  # type: ignore[arg-type]
                            for id_, origin, check in made)  # fmt: skip

    def _counted(self, id_: str, check: Callable[[Setting], Finding]) -> Callable[[Setting], Finding]:
        def counted(setting: Setting) -> Finding:
            self.runs.append(id_)
            if id_ == self.interrupted_at:
                raise KeyboardInterrupt
            return check(setting)

        return counted

    def _fragile(self) -> Finding:
        if self.broken:
            raise ZeroDivisionError("division\n by zero")
        return judged(True, {})


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    made = Checks()
    monkeypatch.setattr(command, "all_claims", lambda: made.claims)
    return made


def reproduce(folder: Path, *words: str) -> int:
    return main(["reproduce", "--output", str(folder), *words])


def verdicts(folder: Path) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in json.loads((folder / "verdicts.json").read_text())["claims"]}


def test_all_claims_run_and_an_error_stops_none(checks: Checks, tmp_path: Path, capsys: Capsys) -> None:
    assert reproduce(tmp_path, "--quick") == 1
    assert checks.runs == [claim.id for claim in checks.claims]
    assert verdicts(tmp_path / "quick") == {
        "000.1.1": "holds", "000.1.2": "refuted", "000.1.10": "refuted", "001.1.1": "failed", "002.1.1": "not run",
        "003.1.1": "not reproducible", "004.1.1": "not reproducible",
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "failed: 001.1.1 text of 001.1.1 ZeroDivisionError: division by zero" in out
    assert "refuted: 000.1.2 text of 000.1.2 is not so" in out
    assert "refuted: 000.1.10" not in out, "an error of a source is refuted as believed"


def test_a_refuted_claim_is_no_failure(checks: Checks, tmp_path: Path) -> None:
    checks.broken = False
    assert reproduce(tmp_path) == 0
    assert verdicts(tmp_path / "full")["000.1.2"] == "refuted"


def test_finished_claims_are_kept_and_the_others_run_again(checks: Checks, tmp_path: Path) -> None:
    reproduce(tmp_path, "--quick")
    checks.runs.clear()
    checks.broken = False
    assert reproduce(tmp_path, "--quick") == 0
    assert checks.runs == ["001.1.1", "002.1.1"], "what failed or lacked its recording"
    assert verdicts(tmp_path / "quick")["001.1.1"] == "holds"
    assert verdicts(tmp_path / "quick")["000.1.1"] == "holds"


def test_again_and_another_size_run_all(checks: Checks, tmp_path: Path) -> None:
    reproduce(tmp_path, "--quick")
    checks.runs.clear()
    reproduce(tmp_path, "--quick", "--again", "--only", "000")
    assert checks.runs == ["000.1.1", "000.1.2", "000.1.10"]
    reproduce(tmp_path, "--only", "000.1.1")
    sizes = {size: json.loads((tmp_path / size / "claims" / "000.1.1.json").read_text()) for size in ("quick", "full")}
    assert sizes["quick"]["figures"] == {"size": 1, "list": [0, 1, 2]}
    assert sizes["full"]["figures"] == {"size": 2, "list": [0, 1, 2]}


def test_data_is_part_of_what_a_result_counts_for(checks: Checks, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "signal.csv").write_text("1")
    reproduce(tmp_path / "out", "--quick", "--only", "002", "--only", "003")
    checks.runs.clear()
    assert reproduce(tmp_path / "out", "--quick", "--only", "002", "--only", "003", "--data", str(data)) == 0
    assert checks.runs == ["002.1.1", "003.1.1"]
    assert verdicts(tmp_path / "out" / "quick")["002.1.1"] == "holds"


def test_a_changed_claim_is_run_again(checks: Checks, tmp_path: Path) -> None:
    claim, setting, store = checks.claims[0], Setting(True), Store(tmp_path)
    run_claims([claim], setting, store, again=False, jobs=1, tell=_silent)
    run_claims([claim], setting, store, again=False, jobs=1, tell=_silent)
    assert checks.runs == ["000.1.1"]
    changed = replace(claim, holds_if="something else")
    run_claims([changed], setting, store, again=False, jobs=1, tell=_silent)
    assert checks.runs == ["000.1.1"] * 2


def test_the_code_a_claim_names_is_part_of_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "test_reproduce.py"
    folder = tmp_path / "planning"
    folder.mkdir()
    own.write_text("own")
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "__file__", str(own))
    claim = Claim("000.1.1", "text", "so", "derived", _constant, ("planning",))
    marks = []
    for text in ("1", "2", "1"):
        (folder / "a.py").write_text(text)
        catalogue._text.cache_clear()
        marks.append(catalogue.mark(claim))
    catalogue._text.cache_clear()
    assert marks[0] == marks[2] != marks[1]


def _constant(_: Setting) -> Finding:
    return judged(True, {})


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(checks: Checks, tmp_path: Path, capsys: Capsys) -> None:
    checks.interrupted_at = "000.1.10"
    assert reproduce(tmp_path, "--quick") == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    files = sorted(path.name for path in (tmp_path / "quick" / "claims").iterdir())
    assert files == ["000.1.1.json", "000.1.2.json"]
    assert all(json.loads((tmp_path / "quick" / "claims" / name).read_text())["verdict"] for name in files)
    checks.interrupted_at, checks.broken = "", False
    checks.runs.clear()
    assert reproduce(tmp_path, "--quick") == 0
    assert checks.runs[0] == "000.1.10"


def test_a_write_that_is_interrupted_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_whole(path, "old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_whole(path, "new")
    assert [one.name for one in tmp_path.iterdir()] == ["result.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"verdict": "holds"}', '{"verdict": "failed", "id": "000.1.1"}'])
def test_a_file_that_is_no_result_is_not_believed(checks: Checks, tmp_path: Path, text: str) -> None:
    reproduce(tmp_path, "--quick", "--only", "000.1.1")
    (tmp_path / "quick" / "claims" / "000.1.1.json").write_text(text)
    reproduce(tmp_path, "--quick", "--only", "000.1.1")
    assert checks.runs == ["000.1.1"] * 2


def test_only_runs_what_begins_so_and_the_report_keeps_the_rest(checks: Checks, tmp_path: Path) -> None:
    checks.broken = False
    reproduce(tmp_path, "--quick", "--only", "001", "--only", "000.1.2")
    assert checks.runs == ["000.1.2", "001.1.1"]
    assert verdicts(tmp_path / "quick")["000.1.1"] == "not run"
    reproduce(tmp_path, "--quick", "--only", "000.1.1")
    found = verdicts(tmp_path / "quick")
    assert (found["000.1.1"], found["001.1.1"], found["003.1.1"]) == ("holds", "holds", "not run")


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--only", "009"], "--only 009"), (["--data", "/nowhere/at/all"], "--data /nowhere/at/all"),
     (["--jobs", "0"], "--jobs is 0"), (["--json", "/nowhere/at/all.json"], "--json /nowhere/at/all.json")],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(
    checks: Checks, tmp_path: Path, capsys: Capsys, words: Words, told: str
) -> None:
    assert reproduce(tmp_path / "out", "--quick", *words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"v2g: error: {told}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert checks.runs == []


def test_an_output_that_is_a_file_is_refused(checks: Checks, tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "file").write_text("")
    assert reproduce(tmp_path / "file", "--quick") == 2
    assert "--output" in capsys.readouterr().err
    assert checks.runs == []


def test_json_csv_and_report_say_the_same(checks: Checks, tmp_path: Path, capsys: Capsys) -> None:
    assert reproduce(tmp_path, "--quick", "--json", "-") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"hold": 1, "refuted": 1, "wrong as believed": 1, "not reproducible": 2, "not run": 1,
                              "failed": 1}  # fmt: skip
    assert {"size", "data", "output", "seconds", "cpu_seconds", "report", "claims"} < told.keys()
    with (tmp_path / "quick" / "verdicts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["verdict"]) for row in rows] == [(one["id"], one["verdict"]) for one in told["claims"]]
    assert json.loads(rows[1]["figures"]) == {"x": 0.5}
    page = (tmp_path / "quick" / "report.html").read_text()
    assert Path(told["report"]) == tmp_path / "quick" / "report.html"
    for one in told["claims"]:
        assert f"<code>{one['id']}</code>" in page
        assert one["claim"] in page
    assert "&lt;lost&gt; &amp; gone" in page


def test_list_runs_nothing(checks: Checks, tmp_path: Path, capsys: Capsys) -> None:
    assert reproduce(tmp_path / "out", "--list", "--only", "000.1") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["000.1.1", "000.1.2", "000.1.10"]
    assert not (tmp_path / "out").exists()
    assert checks.runs == []


def test_values_become_what_json_knows() -> None:
    found = plain({"a": np.array([1.0, np.nan]), "b": np.int64(3), 4: (True, None), "c": np.bool_(True)})
    assert found == {"a": [1.0, None], "b": 3, "4": [True, None], "c": True}
    json.dumps(found, allow_nan=False)


def test_a_prefix_that_fits_nothing_is_refused(checks: Checks) -> None:
    with pytest.raises(InputError, match="--only 7"):
        chosen(checks.claims, ["7"])
    assert len(chosen(checks.claims, [])) == len(checks.claims)
    assert [one.id for one in chosen(checks.claims, ["000.1.1"])] == ["000.1.1"], "not 000.1.10"
    assert [one.id for one in chosen(catalogue.all_claims(), ["001.4.3"])] == ["001.4.3a", "001.4.3b", "001.4.3c"]


def test_two_processes_find_the_same(tmp_path: Path) -> None:
    """Real claims, as processes of their own look them up by id."""
    claims = chosen(catalogue.all_claims(), ["003.3.1", "003.3.2", "003.3.6", "000.2.6"])
    setting = Setting(True)
    alone = run_claims(claims, setting, Store(tmp_path / "1"), again=False, jobs=1, tell=_silent)
    beside = run_claims(claims, setting, Store(tmp_path / "2"), again=False, jobs=2, tell=_silent)
    times = ("seconds", "cpu_seconds")
    assert [{k: v for k, v in one.items() if k not in times} for one in alone] == [
        {k: v for k, v in one.items() if k not in times} for one in beside]  # fmt: skip
