"""What a trial can do to a station and wait for, with a supervisor that only plays one."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.cli import fault_arena, fault_trials
from v2g_nodes.cli.fault_arena import Arena, StationEndError
from v2g_nodes.cli.fault_trials import LIVE_KINDS
from v2g_nodes.cli.fault_watch import NS_PER_S, Watch
from v2g_nodes.cli.stop_signals import StopSignals

RING = ((1, 2), (1, 4), (2, 3), (3, 4))
OLD = 7
LONG_S = 20.0  # a test that waits this long has failed


class Station:
    """Four modules that do as a script says: one entry per turn of the supervisor, each a list of (module, fields)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, edges: tuple[tuple[int, int], ...] = RING) -> None:
        self.now_s = 100.0
        self.pids = {f"ek3_{k:02d}{end}": 1000 + k for k in range(1, 5) for end in ("", "_opt")}
        self.ready = True
        self.fault = ""
        self.script: list[Callable[[], object]] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.killed: list[tuple[int, int]] = []
        self.watch = Watch([1, 2, 3, 4])
        self.stop = StopSignals()
        for module in (fault_arena, fault_trials):
            monkeypatch.setattr(module, "time", self)
        monkeypatch.setattr(fault_arena.os, "kill", lambda pid, number: self.killed.append((pid, number)))
        player: Any = self
        self.arena = Arena(player, self.watch, dict.fromkeys(range(1, 5), 3.0), edges, random.Random(0), self.stop, 2.0)

    # the clock
    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * NS_PER_S)

    # the supervisor
    def attend(self, seconds: float) -> str:
        self.now_s += seconds
        if self.script:
            self.script.pop(0)()
        return self.fault

    def is_ready(self, name: str) -> bool:
        return self.ready and name in self.pids

    def tell(self, name: str, command: str, **fields: Any) -> None:  # noqa: ANN401
        assert command == "set"
        self.told.append((name, fields["parameters"]))

    # the witness
    def agree(self, who: tuple[int, ...], membership: int, epoch: int = 10, **fields: Any) -> None:  # noqa: ANN401
        for k in who:
            self.watch.take({
                "event": "epoch", "module": k, "members": sum(1 << (m - 1) for m in who), "membership": membership,
                "epoch": [epoch, 1, 1], "lambda_eur_per_kwh": 0.1, "power_kw": 1.0, "target_kw": 5.0,
                "island_target_kw": 5.0,
                "agreed_ns": self.monotonic_ns(), **fields})  # fmt: skip

    def settled(self) -> Arena:
        self.agree((1, 2, 3, 4), OLD)
        self.watch.clear()
        self.arena.group = self.watch.group()
        self.now_s += 1.0
        return self.arena

    def replace(self, name: str) -> None:
        self.pids[name] = 2000


@pytest.fixture
def station(monkeypatch: pytest.MonkeyPatch) -> Station:
    return Station(monkeypatch)


def nothing() -> None:
    """A turn in which nothing happens."""


def test_islands_are_what_is_left_of_the_graph(station: Station) -> None:
    islands = station.arena.islands
    assert islands(without=[(1, 2)]) == [{1, 2, 3, 4}]
    assert islands(without=[(1, 2), (3, 4)]) == [{1, 4}, {2, 3}]
    assert islands(gone=[2, 4]) == [{1}, {3}]


def test_waiting_ends_with_the_station_or_when_asked_to(station: Station) -> None:
    assert not station.arena.until(lambda: False, 1.0)
    assert station.now_s == pytest.approx(101.0)
    station.fault = "plant killed"
    with pytest.raises(StationEndError, match="plant killed"):
        station.arena.wait(1.0)
    station.stop.count = 1
    with pytest.raises(KeyboardInterrupt):
        station.arena.wait(1.0)


def test_times_of_a_death_are_told(station: Station) -> None:
    arena = station.settled()
    killed_ns = arena.kill("ek3_02_opt")
    assert station.killed == [(1002, signal.SIGKILL)]
    station.script = [
        lambda: station.agree((2,), OLD),  # what was under way when it died
        lambda: station.agree((1, 3, 4), 8),
        lambda: station.replace("ek3_02_opt"),
        lambda: station.agree((1, 2, 3, 4), 9, 11),
    ]
    outcome = arena.after_deaths(killed_ns, ["ek3_02_opt"], [1, 3, 4])
    assert outcome.recovered
    assert (outcome.recover_s, outcome.rejoin_s) == pytest.approx((0.04, 0.08))


def test_a_process_that_is_back_in_no_time_changes_no_group(station: Station) -> None:
    arena = station.settled()
    killed_ns = arena.kill("ek3_02")
    station.script = [nothing, lambda: station.replace("ek3_02"), lambda: station.agree((1, 2, 3, 4), OLD, 11)]
    outcome = arena.after_deaths(killed_ns, ["ek3_02"], [1, 3, 4])
    assert (outcome.recovered, outcome.recover_s) == (True, None)
    assert outcome.rejoin_s == pytest.approx(0.04)


def test_who_lost_its_hardware_is_back_when_that_is(station: Station) -> None:
    arena = station.settled()
    names = ["ek3_02", "ek3_03_opt"]
    killed_ns = arena.kill(*names)
    station.script = [
        lambda: station.replace("ek3_03_opt"),
        lambda: station.agree((1, 2, 3, 4), 8),  # the second module's optimizer has not missed its hardware yet
        nothing,
        lambda: station.replace("ek3_02"),
        lambda: station.agree((1, 2, 3, 4), 8, 11),
    ]
    outcome = arena.after_deaths(killed_ns, names, [1, 4], spare_ready=False)
    assert outcome.recovered
    assert (outcome.recover_s, outcome.rejoin_s) == pytest.approx((0.04, 0.08))


@pytest.mark.parametrize(("script", "text"), [
    ([], "ek3_02_opt not back"),
    (["replace"], r"not all agree: 1 groups, members \{1: 4, 2: 4, 3: 4, 4: 4\}"),
    (["replace", "three"], r"not all agree: 2 groups, members \{1: 3, 2: 4, 3: 3, 4: 3\}"),
])  # fmt: skip
def test_what_does_not_recover_is_said(station: Station, script: list[str], text: str) -> None:
    arena = station.settled()
    killed_ns = arena.kill("ek3_02_opt")
    turns: dict[str, Callable[[], object]] = {
        "replace": lambda: station.replace("ek3_02_opt"), "three": lambda: station.agree((1, 3, 4), 8)}
    station.script = [turns[word] for word in script]
    outcome = arena.after_deaths(killed_ns, ["ek3_02_opt"], [1, 3, 4])
    assert not outcome.recovered
    assert re.match(text, outcome.text), outcome.text


def test_halves_are_judged_and_the_cut_is_undone(station: Station) -> None:
    arena = station.settled()
    agree = station.agree
    half = fault_trials._half(arena)
    owner, other = sorted(sorted(group) for group in (half, {1, 2, 3, 4} - half))

    def parted() -> None:
        agree(tuple(owner), 8)
        agree(tuple(other), 9, island_target_kw=0.0)

    arena.chance = random.Random(0)
    turns = round(fault_trials.HALVES_S / fault_arena.TURN_S)
    station.script = [parted, *[nothing] * (turns + 1), lambda: agree((1, 2, 3, 4), 10, 11)]
    outcome = LIVE_KINDS["halves"](arena)
    assert outcome.recovered, outcome.text
    assert outcome.recover_s == pytest.approx(fault_arena.TURN_S)
    assert outcome.merge_s is not None
    assert 0.0 < outcome.merge_s < 0.1
    cuts = [parameters["trial_cut"] for _, parameters in station.told]
    assert [0] not in cuts[:4]
    assert cuts[4:] == [[0]] * 4


def test_two_owners_are_no_recovery(station: Station) -> None:
    arena = station.settled()
    half = fault_trials._half(arena)
    arena.chance = random.Random(0)

    def parted() -> None:
        station.agree(tuple(sorted(half)), 8)
        station.agree(tuple(sorted({1, 2, 3, 4} - half)), 9)

    turns = round(fault_trials.HALVES_S / fault_arena.TURN_S)
    station.script = [parted, *[nothing] * (turns + 1), lambda: station.agree((1, 2, 3, 4), 10, 11)]
    outcome = LIVE_KINDS["halves"](arena)
    assert not outcome.recovered
    assert "took 5.000 kW of the target, owed are 0.000 kW" in outcome.text


@pytest.mark.parametrize("kind", ["loss", "corrupt", "lie_nan", "clock", "link"])
def test_whatever_ends_a_trial_undoes_its_fault(station: Station, kind: str) -> None:
    arena = station.settled()

    def stop() -> None:
        station.stop.count = 1

    station.script = [nothing, stop]
    with pytest.raises(KeyboardInterrupt):
        LIVE_KINDS[kind](arena)
    last: dict[tuple[str, str], Any] = {}
    for name, parameters in station.told:
        last |= {(name, key): value for key, value in parameters.items()}
    assert last
    assert all(value in (0.0, "", [0]) for value in last.values()), last


def eventually(condition: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + LONG_S
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.001)
    return True


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def test_a_stopped_process_goes_on_whatever_happens(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> str:
        return Path(f"/proc/{sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0]

    station = Station(monkeypatch)
    monkeypatch.undo()
    station.pids["ek3_01"] = sleeper.pid
    with pytest.raises(KeyboardInterrupt), station.arena.stopped("ek3_01"):  # noqa: PT012
        assert eventually(lambda: state() == "T")
        raise KeyboardInterrupt
    assert eventually(lambda: state() != "T")
