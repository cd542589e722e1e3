"""The audit log: one chain whoever writes, tampering shows, and nothing of it ever stops the caller."""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from v2g_nodes import audit
from v2g_nodes.audit import FIRST, AuditLog, check, verify
from v2g_nodes.bringup import process_plan
from v2g_nodes.cli.main import main
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import load_station

ROOT = Path(__file__).resolve().parents[1]


def write(path: Path, *actions: str, who: str = "tester@bench") -> AuditLog:
    log = AuditLog(path)
    for action in actions:
        log.append(action, who)
    assert log.flush()
    return log


def told(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_numbered_chained_and_plain(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    log = AuditLog(path)
    log.append("arm", "ä@rig", modules=[1, 2], limit_kw=math.nan, file=Path("x"), nested={"kw": math.inf, "on": True})
    log.append("stop", "b@rig")
    assert log.flush()
    first, second = told(path)
    assert (first["number"], first["action"], first["who"], first["before"]) == (1, "arm", "ä@rig", FIRST)
    assert first["details"] == {"modules": [1, 2], "limit_kw": None, "file": "x", "nested": {"kw": None, "on": True}}
    assert second["number"] == 2
    assert verify(path) == []
    assert check(path).lines == 2


def test_none_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = AuditLog(None)
    log.append("arm", "a")
    assert log.flush()
    assert not [*tmp_path.iterdir()]


def test_a_later_writer_goes_on_with_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, "one", "two")
    write(path, "three")
    assert [entry["number"] for entry in told(path)] == [1, 2, 3]
    assert verify(path) == []


@pytest.mark.parametrize("tamper", ["change", "remove", "insert", "swap", "renumber"])
def test_tampering_shows(tmp_path: Path, tamper: str) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, "one", "two", "three", "four")
    lines = path.read_text().splitlines()
    if tamper == "change":
        lines[1] = lines[1].replace("two", "2wo")
    elif tamper == "remove":
        del lines[1]
    elif tamper == "insert":
        lines.insert(2, lines[1])
    elif tamper == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[3] = lines[3].replace('"number":4', '"number":5')
    path.write_text("\n".join(lines) + "\n")
    problems = verify(path)
    where = {"change": "line 3", "remove": "line 2", "insert": "line 3", "swap": "line 2", "renumber": "line 4"}[tamper]
    assert problems
    assert problems[0].startswith(where)


def test_lines_cut_off_the_end_show_by_a_hash_noted_before(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, "one", "two", "three")
    noted = check(path).last
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:2]) + "\n")
    assert verify(path) == []
    assert "lines are missing at the end" in check(path, noted).problems[0]
    path.write_text("\n".join(lines) + "\n")
    write(path, "four")
    assert check(path, noted).problems == ()


def test_a_torn_line_stays_and_shows_and_the_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, "one", "two")
    path.write_bytes(path.read_bytes()[:-20])
    write(path, "three")
    assert verify(path) == ["line 2: not an entry of an audit log"]
    assert json.loads(path.read_text().splitlines()[2])["number"] == 2


MANY = """
import sys
from pathlib import Path
from v2g_nodes.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for k in range(40):
    log.append("set", sys.argv[2], k=k)
sys.exit(not log.flush(20.0))
"""


def test_writers_of_many_processes_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", MANY, str(path), f"w{k}"], cwd=ROOT) for k in range(3)]
    assert [writer.wait(60.0) for writer in writers] == [0, 0, 0]
    assert verify(path) == []
    assert len(told(path)) == 120
    for k in range(3):
        mine = [entry["details"] for entry in told(path) if entry["who"] == f"w{k}"]
        assert mine == [{"k": n} for n in range(40)]


def test_a_full_disk_leaves_whole_lines_and_is_told_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, "before")
    errors: list[str] = []
    log = AuditLog(path, errors.append)
    whole = os.write
    with monkeypatch.context() as full:
        full.setattr(audit.os, "write", lambda descriptor, data: whole(descriptor, data[:30]))
        log.append("lost one", "a")
        log.append("lost two", "a")
        assert log.flush()
    assert len(told(path)) == 1
    assert len(errors) == 2
    assert "No space left on device; 2 lines are lost" in errors[1]
    log.append("after", "a")
    assert log.flush()
    assert [entry["action"] for entry in told(path)] == ["before", audit.LOST, "after"]
    assert told(path)[1]["details"] == {"lines": 2}
    assert verify(path) == []


def test_a_file_size_limit_of_the_system_is_survived(tmp_path: Path) -> None:
    """The same by the real thing: the kernel cuts the write off."""
    path = tmp_path / "audit.jsonl"
    write(path, "before")
    size = path.stat().st_size
    errors: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        log = AuditLog(path, errors.append)
        log.append("lost", "a")
        assert log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(errors) == 1
    assert path.stat().st_size == size


def test_a_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    errors: list[str] = []
    log = AuditLog(tmp_path / "file" / "audit.jsonl", errors.append)
    log.append("arm", "a")
    assert log.flush()
    assert len(errors) == 1
    assert str(tmp_path / "file" / "audit.jsonl") in errors[0]


def test_a_disk_that_hangs_does_not_hold_up_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(audit, "append_lines", lambda path, entries: go.wait(30.0))
    log = AuditLog(tmp_path / "audit.jsonl")
    for _ in range(audit.WAITING_MAX + 10):
        log.append("set", "a")  # would never return if it waited for the disk
    assert not log.flush(0.01)
    go.set()
    assert log.flush(10.0)


# the command

def told_by(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["audit", *words])
    out = capsys.readouterr()
    return code, out.out + out.err


def test_the_command_shows_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.jsonl"
    write(path, "arm", "stop", "set")
    code, text = told_by(capsys, str(path), "--json", "-")
    shown = json.loads(text)
    assert code == 0
    assert [entry["action"] for entry in shown["entries"]] == ["arm", "stop", "set"]
    assert (shown["verdict"], shown["lines"], shown["last"]) == ("ok", 3, check(path).last)
    code, text = told_by(capsys, str(path), "--last", "1")
    assert code == 0
    assert "the chain holds" in text
    assert "arm" not in text.replace(str(path), "")
    path.write_text(path.read_text().replace("stop", "halt"))
    code, text = told_by(capsys, str(path))
    assert code == 1
    assert "line 3: does not follow the line before" in text


def test_the_log_is_found_by_the_station_or_in_the_state_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code, text = told_by(capsys)
    assert code == 2
    assert "has none, allowed without is exactly one" in text
    write(audit.audit_path("auto", "my rig", True, os.environ) or Path(), "arm")
    assert (tmp_path / "v2g_nodes" / "audit_my_rig.jsonl").exists()
    assert told_by(capsys)[0] == 0
    station = tmp_path / "station.yaml"
    station.write_text("version: 1\naudit_file: mine.jsonl\nmodules: [{id: 1}]\n")
    write(tmp_path / "mine.jsonl", "of mine")
    code, text = told_by(capsys, "--station", str(station))
    assert code == 0
    assert "of mine" in text
    station.write_text("version: 1\nmodules: [{id: 1}]\n")
    code, text = told_by(capsys, "--station", str(station))
    assert code == 2
    assert "keeps no audit log" in text


@pytest.mark.parametrize("name", ["", "file/audit.jsonl"])
def test_a_log_that_could_never_be_written_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    station = tmp_path / "station.yaml"
    station.write_text(f"version: 1\naudit_file: {tmp_path / name}\nmodules: [{{id: 1}}]\n")
    with pytest.raises(InputError, match=r"key audit_file: .*can't be written to.*allowed is a file"):
        process_plan(load_station(station))
    station.write_text("version: 1\naudit_file: new/folder/audit.jsonl\nmodules: [{id: 1}]\n")
    process_plan(load_station(station))
    assert not (tmp_path / "new").exists(), "made with the first line"


@pytest.mark.parametrize(("setting", "hardware", "expected"), [
    ("auto", True, "/state/v2g_nodes/audit_a_b.jsonl"), ("auto", False, None), ("none", True, None),
    ("/x/y.jsonl", False, "/x/y.jsonl"),
])  # fmt: skip
def test_hardware_has_a_log_unless_told_otherwise(setting: str, hardware: bool, expected: str | None) -> None:
    path = audit.audit_path(setting, "a/b", hardware, {"XDG_STATE_HOME": "/state"})
    assert path == (None if expected is None else Path(expected))


def test_an_operator_is_a_user_of_a_host() -> None:
    assert "@" in audit.operator_name({})
    assert "(alice)@" in audit.operator_name({"SUDO_USER": "alice"})
