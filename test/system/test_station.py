"""The whole station as people run it: real processes on a real ROS graph, killed, stopped, refused."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2g_nodes.cli.bag_reader import BagReader

LONG_S = 120.0  # a test that waits this long has failed
DATA = ("freq_CE_1s_2024-09-03.csv", "price_DE-LU_2024-04-09.csv", "pjm_regd_2s_day.csv")


class Up:
    """A running `v2g up`.

    Args:
        folder: for what it prints.
        arguments: options.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._out, self._log = folder / "out.json", folder / "log.txt"
        with self._out.open("w") as out, self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "v2g_nodes.cli.main", "up", "--headless", "--json", "-", *arguments],
                stdout=out, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def hosts(self) -> dict[str, int]:
        """Its host processes by name."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if parent == self.process.pid and b"v2g_nodes.nodes.host" in words:
                    found[words[-2].decode()] = int(entry.name)
        return found

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; fail if the station ends before."""
        until = time.monotonic() + LONG_S
        while not condition():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.05)

    def result(self) -> dict[str, object]:
        """Its JSON object, once it has ended."""
        self.process.wait(LONG_S)
        return json.loads(self._out.read_text())


@pytest.fixture
def start(tmp_path: Path, ros_domain_id: int) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start_one(*arguments: str) -> Up:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Up(folder, *arguments))
        return started[-1]

    yield start_one
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
            up.process.wait()


def alive(pids: list[int]) -> list[int]:
    def runs(pid: int) -> bool:
        try:
            return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False

    return [pid for pid in pids if runs(pid)]


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + LONG_S
    while alive(pids):
        assert time.monotonic() < until, f"still there: {alive(pids)}"
        time.sleep(0.05)


PLANNED = """version: 1
planner: {planner}
topology: line
signal: {{missing: none, sessions_csv: s.csv, start: 08:00}}
modules: [{{id: 1}}, {{id: 2}}]
"""


@pytest.mark.parametrize("planner", ["valley", "allocation"])
def test_modules_follow_the_plan_made_for_their_vehicles(
    start: Callable[..., Up], tmp_path: Path, planner: str
) -> None:
    """Without a plan they would charge in the last hours: each is due 2 kWh in two hours."""
    (tmp_path / "s.csv").write_text("arrival,departure,energy_kwh\n08:15,10:15,2\n08:20,10:20,2\n", encoding="utf-8")
    (tmp_path / "station.yaml").write_text(PLANNED.format(planner=planner), encoding="utf-8")
    bag = tmp_path / "bag"
    up = start("--station", str(tmp_path / "station.yaml"), "--speed", "600", "--duration", str(2.5 * 3600),
               "--record", str(bag))  # fmt: skip
    figures = up.result()
    assert figures["verdict"] == "ok", up.log
    with BagReader(str(bag), "v2g_nodes/msg/MarketPlan") as plans:
        sent = {sample.message.plan_version: sample.message for sample in plans.samples()}
    assert len(sent) >= 8, "a plan for every slot"
    assert {plan.rule for plan in sent.values()} == {planner}
    with BagReader(str(bag), "v2g_nodes/msg/Meter") as readings:
        imported_kwh = [sample.message.imported_kwh for sample in readings.samples()]
    assert 4.0 <= imported_kwh[-1] < 5.0, "what is due, and losses"
    half = imported_kwh[len(imported_kwh) // 2]
    assert 0.25 < half / imported_kwh[-1] < 0.85, "prices are even, so the energy is spread"


def test_modules_that_hide_their_curves_share_as_well(start: Callable[..., Up], tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    up = start("--modules", "3", "--topology", "line", "--privacy", "masks", "--duration", "5", "--record", str(bag))
    figures = up.result()
    assert figures["verdict"] == "ok", up.log
    assert figures["epochs"] >= 2
    assert figures["gap_max"] < 1e-3
    assert figures["balance_error_kw_max"] < 1e-2
    assert figures["bytes_per_message_max"] == 56
    with BagReader(str(bag), "v2g_nodes/msg/MaskKey") as keys:
        sent = {(sample.message.origin, bytes(sample.message.public_key)) for sample in keys.samples()}
    assert sorted(origin for origin, _ in sent) == [1, 2, 3], "each has one key"
    with BagReader(str(bag), "v2g_nodes/msg/NeighborState") as states:
        powers_kw = [sample.message.power_kw for sample in states.samples()]
    assert powers_kw
    assert all(math.isnan(power_kw) for power_kw in powers_kw)


def test_four_modules_share_recorded_grid_data(start: Callable[..., Up], shared_data: Path) -> None:
    files = [str(shared_data / name) for name in DATA]
    options = [x for pair in zip(("--frequency", "--prices", "--signal"), files, strict=True) for x in pair]
    up = start("--modules", "4", *options, "--start", "17:00", "--duration", "20")
    figures = up.result()
    assert figures["verdict"] == "ok", up.log
    assert up.process.returncode == 0
    assert figures["epochs"] >= 7
    assert figures["cold_epochs"] >= 1
    assert figures["rounds_max"] <= 2 * figures["diameter"] + 2
    assert figures["gap_max"] < 1e-3
    assert figures["equal_split_gap_median"] > 0.1
    assert figures["constraint_violations"] == 0
    assert figures["gate_clips"] == 0
    assert 0 < figures["bytes_per_message_max"] <= 64
    assert figures["restarts"] == 0
    assert figures["performance_score"] is None, "the run is shorter than the longest delay"
    settlement = figures["settlement"]
    offered_kwh = 0.6 * 4 * 3.15 * 20.0 / 3600.0
    assert settlement["capacity_kwh"] == pytest.approx(offered_kwh, rel=0.25)
    assert settlement["degradation_eur"] > 0.0
    assert settlement["mileage_per_h"] > 1.0


def test_killed_processes_are_replaced_and_rejoin(start: Callable[..., Up]) -> None:
    up = start("--modules", "4", "--duration", "25")
    up.wait_for(lambda: "station is up" in up.log and "spare" in up.hosts())
    before = up.hosts()
    time.sleep(3.0)
    os.kill(before["ek3_02_opt"], signal.SIGKILL)
    up.wait_for(lambda: "takes over ek3_02_opt" in up.log)
    up.wait_for(lambda: "spare" in up.hosts())
    time.sleep(2.0)
    os.kill(before["ek3_03"], signal.SIGKILL)
    up.wait_for(lambda: "takes over ek3_03" in up.log)
    figures = up.result()
    assert figures["restarts"] == 2
    assert figures["constraint_violations"] == 0, up.log  # neither ramp nor limit broken on the way back
    assert figures["gap_max"] < 1e-3
    assert figures["verdict"] == "ok", up.log  # all four took part in the last epoch
    assert not alive(list(before.values()))


@pytest.mark.usefixtures("hangups_are_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(start: Callable[..., Up], number: signal.Signals) -> None:
    up = start("--modules", "2")
    up.wait_for(lambda: "station is up" in up.log)
    pids = list(up.hosts().values())
    assert len(pids) >= 8
    # What is never made can't be left: not compared with all of /dev/shm, where others may be at work.
    assert not [pid for pid in pids if "/dev/shm/fastrtps" in Path(f"/proc/{pid}/maps").read_text()]
    up.process.send_signal(number)
    up.process.wait(LONG_S)
    wait_until_gone(pids)


def test_a_second_station_in_the_same_domain_is_refused(start: Callable[..., Up]) -> None:
    first = start("--modules", "2")
    first.wait_for(lambda: "station is up" in first.log)
    second = start("--modules", "3")
    assert second.process.wait(LONG_S) == 2
    lines = [line for line in second.log.splitlines() if "error" in line]
    assert len(lines) == 1
    assert "already running" in lines[0]
    assert first.process.poll() is None


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("second_of_day,frequency\n0,50\n", "frequency_hz"),
        ("second_of_day,frequency_hz\n0,50\n1,fifty\n", ":3"),
        ("second_of_day,frequency_hz\n0,50\n1,nan\n", ":3"),
        ("second_of_day,frequency_hz\n5,50\n4,50\n", ":3"),
        ("", "empty"),
    ],
)
def test_a_bad_recording_starts_nothing(start: Callable[..., Up], tmp_path: Path, content: str, where: str) -> None:
    file = tmp_path / "frequency.csv"
    file.write_text(content)
    up = start("--frequency", str(file))
    assert up.process.wait(LONG_S) == 2
    lines = [line for line in up.log.splitlines() if line.startswith("v2g: error:")]
    assert len(lines) == 1
    assert str(file) in lines[0]
    assert where in lines[0]
    assert not up.hosts()
