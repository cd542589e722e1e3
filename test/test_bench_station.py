"""`v2g bench station`: steps, floors, ratios."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from v2g_nodes.cli import bench_station as bench
from v2g_nodes.cli.bench_station import Floor, compare, comparison_table, write_steps
from v2g_nodes.cli.main import main
from v2g_nodes.cli.run_station import RunOptions, RunResult
from v2g_nodes.cli.verdict import UP_KEYS, ordered
from v2g_nodes.nodes.transport_floor import TransportFloor
from v2g_nodes.sim.series import read_series
from v2g_nodes.station import default_station

FIGURES = {
    "modules": 8, "rounds_median": 8.0, "epoch_ms_median": 20.0, "round_ms_median": 2.0, "droop_jitter_ms_p99": 0.3,
    "droop_rate_hz": 200.0, "signal_to_setpoint_ms_p99": 9.0, "bytes_per_message_max": 60, "verdict": "ok",
    "droop_overruns": 3,
}  # fmt: skip
EXTRA_KEYS = ("timer_jitter_ms_p99", "hop_ms_p99", "droop_jitter_over_floor", "timer_jitter_real_time_ms_p99",
              "droop_jitter_over_real_time_floor", "real_time")


def transport_floor(round_ms: float) -> TransportFloor:
    return TransportFloor(modules=8, processes=8, round_ms_median=round_ms, round_ms_p99=5.0, hop_ms_p99=2.0,
                          timer_jitter_ms_p99=0.6, hop_ms_median=0.2, burst_round_ms_median=1.1,
                          timer_jitter_real_time_ms_p99=None, resends=0, unfinished_bursts=0)  # fmt: skip


def test_the_signal_steps_up_and_down_in_every_epoch(tmp_path: Path) -> None:
    file = tmp_path / "steps.csv"
    write_steps(file, 60.0, seed=1)
    series = read_series(str(file), "signal")
    values = [series.at(17 * 3600.0 + 2.0 * k + 1.0) for k in range(30)]
    assert all(a * b < 0.0 for a, b in zip(values, values[1:], strict=False))
    assert all(0.25 <= abs(value) <= 0.45 for value in values)
    assert len(set(values)) > 20


def test_ratios_are_to_the_floor_of_the_same_run() -> None:
    figures = compare(FIGURES, Floor(round_ms=1.25, hop_p99_ms=2.0, timer_p99_ms=0.6))
    assert figures["transport_round_ms_median"] == 1.25
    assert figures["epoch_over_floor"] == pytest.approx(20.0 / (8.0 * 1.25))
    assert figures["droop_jitter_over_floor"] == pytest.approx(0.5)
    assert (figures["hop_ms_p99"], figures["timer_jitter_ms_p99"]) == (2.0, 0.6)


@pytest.mark.parametrize(
    ("changes", "row", "verdict"),
    [
        ({}, "epoch", "kept"), ({"epoch_ms_median": 25.1}, "epoch", "missed"),
        ({}, "droop jitter", "kept"), ({"droop_jitter_ms_p99": 1.81}, "droop jitter", "missed"),
        ({}, "signal to set-point", "kept"), ({"signal_to_setpoint_ms_p99": 11.1}, "signal to set-point", "missed"),
        ({}, "message", "kept"), ({"bytes_per_message_max": 65}, "message", "missed"),
        ({"epoch_ms_median": None}, "epoch", "missed"),
    ],
)  # fmt: skip
def test_what_must_be_kept_is_judged(changes: dict[str, Any], row: str, verdict: str) -> None:
    console = Console(file=io.StringIO(), width=150, record=True)
    console.print(comparison_table(compare({**FIGURES, **changes}, Floor(1.25, 2.0, 0.6))))
    line = next(line for line in console.export_text().splitlines() if row in line)
    assert verdict in line


def shown(floor: Floor, **changes: float) -> list[str]:
    console = Console(file=io.StringIO(), width=150, record=True)
    console.print(comparison_table(compare({**FIGURES, **changes}, floor)))
    return console.export_text().splitlines()


def test_goals_missed_ticks_and_the_scheduling_class_are_told() -> None:
    lines = shown(Floor(1.25, 2.0, 0.6, 0.1), round_ms_median=2.0, epoch_ms_median=19.0)
    told = {what: next(line for line in lines if what in line) for what in ("round", "epoch", "missed  ")}
    assert "missed" in told["round"], "2 ms, the goal is 1 ms"
    assert told["epoch"].count("kept") == 2
    assert any("droop ticks missed" in line and " 3 " in line for line in lines)
    assert any("SCHED_FIFO" in line and "0.1 ms, droop 3 times that" in line for line in lines)
    assert any("not permitted here, v2g doctor" in line for line in shown(Floor(1.25, 2.0, 0.6)))


def test_floors_are_measured_before_and_after_and_the_mean_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def measure(modules: int, processes: int, seconds: float, stopped: Callable[[], bool]) -> TransportFloor:
        assert not stopped()
        order.append(f"floor {modules} {processes}")
        return transport_floor(1.0 if len(order) == 1 else 1.5)

    def run(options: RunOptions) -> RunResult:
        order.append("run")
        assert Path(str(options.overrides.signal_csv)).is_file()
        assert options.overrides.duration_s == 20.0
        return RunResult(ordered(FIGURES), default_station(8), ())

    monkeypatch.setattr(bench, "measure_transport", measure)
    monkeypatch.setattr(bench, "run_station", run)
    monkeypatch.setattr("v2g_nodes.bringup.usable_cores", lambda: 32)
    assert main(["bench", "station", "--modules", "16", "--duration", "20", "--json", "-"]) == 0
    assert order == ["floor 16 8", "run", "floor 16 8"]  # 16 modules share 8 processes of optimizers
    figures = json.loads(capsys.readouterr().out)
    assert tuple(figures) == (*UP_KEYS, *EXTRA_KEYS)
    assert figures["transport_round_ms_median"] == 1.25


def test_what_was_not_measured_stays_unknown() -> None:
    figures = compare({}, Floor(1.0, 1.0, 1.0))
    assert isinstance(figures["epoch_over_floor"], float)
    assert math.isnan(figures["epoch_over_floor"])


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--modules", "1"], "--modules 1, allowed 2 to 64"), (["--duration", "1"], "--duration 1, allowed 5 to 3600"),
     (["--topology", "tree"], "topology 'tree', allowed"), (["--json", "/no/x"], "--json /no/x: allowed")],
)  # fmt: skip
def test_bad_input_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.setattr(bench, "measure_transport", lambda *_: pytest.fail("started"))
    assert main(["bench", "station", *words]) == 2
    assert f"v2g: error: {message}" in capsys.readouterr().err
