"""`v2g arm` and `v2g stop` as people call them, against module nodes of this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from std_msgs.msg import Bool

from v2g_nodes.audit import operator_name, verify
from v2g_nodes.core.mode import Mode
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.module_node import ModuleNode

from .conftest import Bench

UNARMED = {"armed": False, "vehicle_plugged": True}


class Desk:
    """Modules 1 and 2, and the commands."""

    def __init__(self, bench: Bench, folder: Path, **parameters: object) -> None:
        self.bench, self._folder = bench, folder
        self.modules = [bench.start(ModuleNode, "module", f"/ek3_0{k}", module_id=k, **UNARMED, **parameters)
                        for k in (1, 2)]

    def run(self, *words: str) -> tuple[int, str, dict[int, dict[str, Any]]]:
        """Exit code, standard error, what the JSON says of each module."""
        out, log = self._folder / "out.json", self._folder / "log.txt"
        with out.open("w") as stdout, log.open("w") as stderr:
            process = subprocess.Popen([sys.executable, "-m", "v2g_nodes.cli.main", *words, "--json", "-"],
                                       stdout=stdout, stderr=stderr)
            self.bench.until(lambda: process.poll() is not None, f"v2g {words[0]} ends")
        modules = json.loads(out.read_text())["modules"] if out.read_text() else []
        return process.returncode, log.read_text(), {module["module_id"]: module for module in modules}

    @property
    def modes(self) -> list[Mode]:
        return [module.control.mode for module in self.modules]

    @property
    def armed(self) -> list[bool]:
        return [module.control.armed for module in self.modules]


@pytest.fixture
def desk(bench: Bench, tmp_path: Path) -> Desk:
    return Desk(bench, tmp_path)


def test_only_who_is_meant_is_armed_and_a_stop_reaches_all(desk: Desk) -> None:
    code, _, told = desk.run("arm", "--modules", "2")
    assert (code, desk.armed) == (0, [False, True])
    assert [*told] == [2]
    assert told[2]["done"]
    assert told[2]["armed"]
    code, _, told = desk.run("stop")
    assert (code, desk.armed, desk.modes) == (0, [False, False], [Mode.SAFE, Mode.SAFE])
    assert {k: told[k]["mode"] for k in told} == {1: "safe", 2: "safe"}
    code, _, _ = desk.run("arm")
    assert (code, desk.armed) == (0, [True, True])
    assert Mode.SAFE not in desk.modes
    code, _, _ = desk.run("arm", "--off")
    assert (code, desk.armed, desk.modes) == (0, [False, False], [Mode.STANDBY, Mode.STANDBY])


def test_who_is_missing_refuses_or_does_not_confirm_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.modules[0], "_arm", lambda: "backend: no answer from the device")
    code, log, told = desk.run("arm", "--modules", "1,2,3")
    assert code == 1
    assert "not armed: module 1, 3" in log
    assert "no answer from the device" in told[1]["text"]
    assert "no such node" in told[3]["text"]
    assert desk.armed == [False, True]
    desk.modules[0].trigger_deactivate()  # hears the stop but says nothing any more
    code, log, told = desk.run("stop")
    assert (code, [told[k]["done"] for k in told]) == (1, [False, True])
    assert "not stopped: module 1" in log


def test_nobody_arms_over_an_e_stop_that_somebody_holds(desk: Desk) -> None:
    panel = desk.bench.sender(streams.E_STOP, listeners=2)
    panel.publish(Bool(data=True))
    desk.bench.until(lambda: desk.modes == [Mode.SAFE, Mode.SAFE])
    code, log, _ = desk.run("arm")
    assert code == 1
    assert "held by /peer: release it there" in log
    assert desk.armed == [False, False]
    panel.publish(Bool(data=False))
    code, _, _ = desk.run("arm")
    assert (code, desk.armed) == (0, [True, True])


@pytest.mark.usefixtures("ros_domain_id")
def test_without_a_station_one_line_says_so() -> None:
    run = subprocess.run([sys.executable, "-m", "v2g_nodes.cli.main", "stop"], capture_output=True, text=True,
                         check=False)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "no node of a module in ROS domain" in run.stderr


def test_who_asked_and_what_the_modules_did_is_in_the_audit_log(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    desk = Desk(bench, tmp_path, audit_file=str(file))
    assert desk.run("arm")[0] == 0
    assert desk.run("stop")[0] == 0
    assert all(module.audit.flush(10.0) for module in desk.modules)
    assert verify(file) == []
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    asked = {line["action"]: line for line in lines if line["who"] == operator_name(os.environ)}
    assert asked["arm"]["details"] == {"done": [1, 2], "refused": {}}
    assert asked["stop"]["details"] == {"done": [1, 2], "refused": {}}
    for module in ("/ek3_01/module", "/ek3_02/module"):
        theirs = [(line["action"], line["details"].get("value")) for line in lines if line["who"] == module]
        assert theirs == [("parameter", True), ("e-stop", None), ("parameter", False)]
