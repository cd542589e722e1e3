"""`v2g up` with hosts that only speak the protocol: input, output, exit codes, folders."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.cli import run_station as run_station_module
from v2g_nodes.cli.folders import LOCK, PREFIX, prepare_folder, run_folder
from v2g_nodes.cli.main import main
from v2g_nodes.cli.run_station import RunOptions, RunResult
from v2g_nodes.cli.supervisor import Supervisor, Times
from v2g_nodes.cli.verdict import UP_KEYS, ordered
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import default_station

HERE = Path(__file__).resolve().parent
Run = Callable[..., int]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Fake hosts instead of real ones; what they hear. Temporary folders are below tmp_path."""
    file = tmp_path / "heard"
    file.touch()
    command = [sys.executable, "-S", str(HERE / "fake_host.py")]
    patient = functools.partial(Supervisor, command=command, times=Times(scout_s=0.0))
    monkeypatch.setattr(run_station_module, "Supervisor", patient)
    monkeypatch.setenv("FAKE_LOG", str(file))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return file


def commands(file: Path) -> list[str]:
    return [line.split(" ", 2)[2] for line in file.read_text().splitlines()]


SHORT = ("--modules", "2", "--duration", "1", "--speed", "2", "--headless")


def test_standard_output_is_one_json_object_with_the_keys_in_order(
    heard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", *SHORT, "--json", "-"]) == 0
    output, errors = capsys.readouterr()
    figures = json.loads(output)
    assert tuple(figures) == UP_KEYS
    assert output.count("\n") == 1
    assert (figures["modules"], figures["topology"], figures["diameter"]) == (2, "ring", 1)
    assert (figures["verdict"], figures["restarts"], figures["speed"], figures["epochs"]) == ("ok", 0, 2.0, 3)
    assert figures["duration_s"] >= 1.0
    assert figures["transport_round_ms_median"] is None
    assert "frequency: synthetic, seed 0" in errors
    assert "log of module" in errors


def test_an_interrupted_start_says_so(
    heard: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("v2g_nodes.cli.stop_signals.StopSignals.requested", True)
    assert main(["up", *SHORT, "--json", "-"]) == 130
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.endswith("v2g │ interrupted, all processes are gone\n")


def test_a_run_that_is_not_good_exits_with_one(
    heard: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FIGURES", '{"gate_clips": 2}')
    assert main(["up", *SHORT, "--json", "-"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "gate_clips 2, allowed 0"


def test_the_length_is_station_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[RunOptions] = []

    def run(options: RunOptions) -> RunResult:
        seen.append(options)
        return RunResult(ordered({"verdict": "ok"}), default_station(1), ())

    monkeypatch.setattr("v2g_nodes.cli.up.run_station", run)
    assert main(["up", "--duration", "60", "--speed", "4"]) == 0
    assert (seen[0].overrides.duration_s, seen[0].overrides.speed, seen[0].live) == (15.0, 4.0, True)


def test_without_json_a_table_is_printed(heard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", *SHORT]) == 0
    assert "gap_max" in capsys.readouterr().out


def test_the_report_is_written_with_logs(heard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "report"
    assert main(["up", *SHORT, "--report", str(folder), "--json", str(tmp_path / "figures.json")]) == 0
    assert json.loads((folder / "summary.json").read_text()) == json.loads((tmp_path / "figures.json").read_text())
    assert "<svg" in (folder / "report.html").read_text()
    assert "log of module" in (folder / "logs" / "ek3_02.log").read_text()
    series = json.loads((folder / "series.json").read_text())
    assert series["time_s"] == [1.0, 2.0]
    owed_kw, missing = series["owed_kw"]
    assert missing is None
    assert owed_kw == pytest.approx(1.0 + (0.1 - 0.01) * 5.0 * 6.3, rel=0.1)  # K = rating / 0.2 Hz, 10 mHz deadband
    assert str(folder / "report.html") in capsys.readouterr().err


def test_the_monitor_is_told_every_edge_and_where_to_write(heard: Path, tmp_path: Path) -> None:
    main(["up", *SHORT])
    assert "links 16" in commands(heard)  # 2 neighbours x 2 topics x 1, and 6 per module
    monitor = next(json.loads(c.split(" ", 2)[2]) for c in commands(heard) if c.startswith("role station_monitor"))
    assert Path(monitor["series_file"]).parent.parent == tmp_path


def test_modules_keep_their_state_in_the_run_folder_which_is_gone_afterwards(
    heard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_LOG_DIR", raising=False)
    main(["up", *SHORT])
    states = [json.loads(c.split(" ", 2)[2])["state_file"] for c in commands(heard) if c.startswith("role module")]
    assert sorted(Path(state).name for state in states) == ["ek3_01.json", "ek3_02.json"]
    ros_logs = {Path(c.split(" ")[1]) for c in commands(heard) if c.startswith("ros_log")}
    assert {path.parent for path in ros_logs} == {Path(states[0]).parents[1]}
    assert not Path(states[0]).parent.exists()
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_a_station_file_is_run(heard: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "station.yaml"
    file.write_text("{version: 1, name: pair, edges: [[4, 7]], modules: [{id: 4}, {id: 7}]}")
    assert main(["up", "--station", str(file), "--duration", "1", "--headless", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["topology"] == "edges"
    assert any('"module_id": 7' in command for command in commands(heard))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--modules", "0"], "modules 0, allowed 1 to 64"),
        (["--modules", "65"], "modules 65, allowed 1 to 64"),
        (["--duration", "0"], "--duration 0, allowed 1 to"),
        (["--duration", "nan"], "--duration nan, allowed 1 to"),
        (["--speed", "-1"], "--speed -1, allowed 0.01 to 1000"),
        (["--max-kw", "-1"], "max_kw -1, allowed 0 to 3.6"),
        (["--topology", "tree"], "topology 'tree', allowed ring, line, star, bus, mesh"),
        (["--algorithm", "guess"], "algorithm 'guess', allowed supply_curve"),
        (["--start", "25:00"], "time of day '25:00', allowed HH:MM"),
        (["--frequency", "/no/such.csv"], "/no/such.csv: No such file or directory"),
        (["--station", "/no/such.yaml"], "/no/such.yaml: No such file or directory"),
        (["--json", "/no/such/folder/x.json"], "--json /no/such/folder/x.json: allowed is a file in a folder that exi"),
        (["--report", "/proc/report"], "--report /proc/report: No such file or directory, allowed is a folder that"),
        (["--record", "/dev/null/bag"], "--record /dev/null/bag: Not a directory"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_started(
    heard: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["up", *words]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"v2g: error: {message}")
    assert errors.count("\n") == 1
    assert heard.read_text() == ""


def test_a_recording_that_can_not_be_used_is_named_by_line(
    heard: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "f.csv"
    file.write_text("time_s,frequency_hz\n0,50.0\n1,fifty\n")
    assert main(["up", "--frequency", str(file)]) == 2
    assert f"{file}:3" in capsys.readouterr().err.replace(" line ", ":")
    assert heard.read_text() == ""


def test_a_folder_left_by_a_killed_run_is_removed_but_no_other(tmp_path: Path) -> None:
    dead = tmp_path / f"{PREFIX}dead"
    dead.mkdir()
    (dead / LOCK).touch()
    (tmp_path / f"{PREFIX}being_made").mkdir()
    with run_folder(tmp_path) as first, run_folder(tmp_path) as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
        assert not dead.exists()
    assert [path.name for path in tmp_path.iterdir()] == [f"{PREFIX}being_made"]


def test_a_result_folder_is_made_and_tried(tmp_path: Path) -> None:
    assert prepare_folder(str(tmp_path / "a" / "b"), "--report").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--report .*file: File exists, allowed is a folder"):
        prepare_folder(str(tmp_path / "file"), "--report")


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["up", "--help"]) == 0
    text = capsys.readouterr().out
    options: list[Any] = ["station", "modules", "topology", "algorithm", "privacy", "frequency", "prices", "signal",
                          "sessions", "start", "duration", "speed", "report", "headless", "json"]
    assert [option for option in options if f"--{option} " not in text] == []
