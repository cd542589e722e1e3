"""`v2g bench faults` without processes: which faults, what they come to, what is refused."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from v2g_nodes.bringup import Overrides, process_plan
from v2g_nodes.bringup_dds import SHARED_MEMORY
from v2g_nodes.cli.bench_faults import KINDS, LEVEL_PU, RUNS_MAX, bench_faults, draw_kinds, with_witness, write_levels
from v2g_nodes.cli.fault_arena import Outcome
from v2g_nodes.cli.fault_figures import KEYS, Trial, fault_table, slow, summarise
from v2g_nodes.cli.fault_runs import MARK, RUN_KINDS, Left
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import default_station

GOOD = Outcome(recovered=True, recover_s=0.4, rejoin_s=0.6)
SAFE = {"unsafe_setpoints": 0, "constraint_violations": 0, "power_jump_kw_max": 0.1}


def figures(*outcomes: Outcome, left: int = 0, **extremes: float) -> dict[str, Any]:
    trials = [Trial(k, "optimizer", outcome) for k, outcome in enumerate(outcomes, 1)]
    return summarise(trials, {**SAFE, **extremes}, {"orphans": left, "shared_memory_left": 0}, 26.0, 0.11,
                     {"seed": 0, "modules": 8}, [])


def test_every_kind_occurs_and_the_seed_decides() -> None:
    drawn = draw_kinds(KINDS, 100, random.Random(3))
    assert drawn == draw_kinds(KINDS, 100, random.Random(3)) != draw_kinds(KINDS, 100, random.Random(4))
    assert len(drawn) == 100
    assert set(drawn) == set(KINDS)
    assert max(drawn.count(kind) for kind in RUN_KINDS) <= RUNS_MAX
    assert len(set(draw_kinds(KINDS, 5, random.Random(0)))) == 5
    assert draw_kinds(["ending"], 5, random.Random(0)) == ["ending"] * 5, "as many as are asked for"


def test_good_trials_are_ok() -> None:
    found = figures(GOOD, replace(GOOD, recover_s=0.8), Outcome(recovered=True))
    assert (*found,) == KEYS
    assert found["verdict"] == "ok"
    assert (found["trials"], found["recovered"], found["recover_s_median"], found["recover_s_p99"]) == (3, 3, 0.8, 0.8)
    assert found["kinds"]["optimizer"]["rejoin_s_max"] == 0.6


def test_times_without_a_spare_are_told_apart() -> None:
    found = figures(GOOD, replace(GOOD, rejoin_s=5.0, spare_ready=False))
    assert (found["rejoin_s_p99"], found["rejoin_no_spare_s_max"], found["verdict"]) == (0.6, 5.0, "ok")


@pytest.mark.parametrize(("outcome", "extremes", "why"), [
    (replace(GOOD, recovered=False, text="no"), {}, "recovered 1 of 2"),
    (replace(GOOD, recover_s=1.2), {}, "recover_s_p99 1.2, allowed up to 1"),
    (replace(GOOD, rejoin_s=1.2), {}, "rejoin_s_p99 1.2, allowed up to 1"),
    (replace(GOOD, rejoin_s=6.5, spare_ready=False), {}, "rejoin_no_spare_s_max 6.5, allowed up to 6"),
    (GOOD, {"unsafe_setpoints": 1}, "unsafe_setpoints 1, allowed up to 0"),
    (GOOD, {"constraint_violations": 2}, "unsafe_setpoints 2, allowed up to 0"),
    (GOOD, {"power_jump_kw_max": 0.12}, "power_jump_kw_max 0.12, allowed up to 0.11"),
    (GOOD, {"left": 1}, "orphans 1, allowed up to 0"),
])  # fmt: skip
def test_the_verdict_says_what_is_not_good(outcome: Outcome, extremes: dict[str, Any], why: str) -> None:
    found = figures(GOOD, outcome, **extremes)
    assert found["verdict"] == why
    assert found["failures"] == ([f"trial 2, optimizer: {outcome.text}"] if outcome.text else [])


@pytest.mark.parametrize(("kind", "why"), [
    ("halves", "sum_above_target_kw in a cut 0.03, allowed up to 0.026"), ("in_epoch", "ok"),
])  # fmt: skip
def test_sums_are_judged_where_the_station_falls_apart(kind: str, why: str) -> None:
    trial = Trial(1, kind, GOOD, sum_above_target_kw=0.03, setpoints_above_target_kw=0.01)
    found = summarise([trial], SAFE, {"orphans": 0, "shared_memory_left": 0}, 26.0, 0.11, {"seed": 0, "modules": 8}, [])
    assert (found["verdict"], found["sum_above_target_kw_max"], found["setpoints_above_target_kw_max"]) == (
        why, 0.03, 0.01)


def test_halves_have_to_come_together_in_time_and_it_is_said_when_not() -> None:
    outcome = replace(GOOD, merge_s=1.5)
    found = summarise([Trial(1, "halves", outcome)], SAFE, {"orphans": 0, "shared_memory_left": 0}, 26.0, 0.11,
                      {"seed": 0, "modules": 8}, [])
    assert found["verdict"] == "merge_s_max 1.5, allowed up to 1"
    assert slow("halves", outcome) == "together again after 1.50 s"
    assert slow("stop_module", replace(outcome, recover_s=2.0)) == "survivors agreed after 2.00 s"


def test_people_see_a_line_per_kind() -> None:
    console = Console(width=160)
    with console.capture() as shown:
        console.print(fault_table(figures(GOOD, GOOD)))
    line = next(line for line in shown.get().splitlines() if "optimizer" in line)
    assert [word for word in line.split() if word[0].isalnum()] == ["optimizer", "2", "2", "0.400", "0.600", "0.000"]


def test_levels_are_held_for_epochs_and_stay_in_range(tmp_path: Path) -> None:
    write_levels(tmp_path / "a.csv", 1)
    rows = [*csv.DictReader((tmp_path / "a.csv").read_text().splitlines())]
    levels = [float(row["signal_pu"]) for row in rows]
    assert float(rows[-1]["second_of_day"]) > 86000.0
    assert LEVEL_PU[0] <= min(levels) < 0.9 * LEVEL_PU[0]
    assert LEVEL_PU[1] >= max(levels) > 0.9 * LEVEL_PU[1]


def test_the_witness_starts_before_time_does() -> None:
    overrides = Overrides(modules=8)
    plan = with_witness(process_plan(default_station(8), overrides), overrides)
    assert [process.name for process in plan.processes[-2:]] == ["witness", "grid_signal"]
    assert plan.nodes[-2].parameters["module_ids"] == [*range(1, 9)]


@pytest.mark.parametrize(("options", "message"), [
    ({"trials": 0}, "--trials 0, allowed 1 to 10000"),
    ({"modules": 2}, "--modules 2, allowed 3 to 9"),
    ({"only": "optimizer,flood"}, "--only 'flood', allowed optimizer, module, both"),
    ({"only": ","}, "--only ',', allowed optimizer"),
    ({"topology": "tree"}, "topology 'tree', allowed ring, line"),
])  # fmt: skip
def test_bad_options_are_refused_before_anything_starts(options: dict[str, Any], message: str) -> None:
    good = {"trials": 1, "modules": 3, "topology": "ring", "seed": 0, "only": None, "verbose": False, "json": "-"}
    with pytest.raises(InputError) as error:
        bench_faults(**{**good, **options})
    assert str(error.value).startswith(message)


# what is left behind


@pytest.fixture
def sleeper() -> Iterator[Any]:
    """Starts processes that hold a piece of shared memory; gives its name."""
    started: list[subprocess.Popen[bytes]] = []
    segment = SHARED_MEMORY / f"fastrtps_test_{os.getpid()}"

    def start(left: Left) -> subprocess.Popen[bytes]:
        program = ("import mmap, pathlib, sys, time; file = pathlib.Path(sys.argv[1]).open('w+b'); "
                   "file.truncate(4096); held = mmap.mmap(file.fileno(), 0); print(flush=True); time.sleep(1000)")
        command = [sys.executable, "-c", program, str(segment)]
        started.append(subprocess.Popen(command, env={**os.environ, **left.environment}, stdout=subprocess.PIPE))
        assert started[-1].stdout is not None
        started[-1].stdout.readline()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    segment.unlink(missing_ok=True)


def test_what_is_left_is_counted_and_ended(sleeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    monkeypatch.setattr("v2g_nodes.cli.fault_runs.GONE_S", 0.0)
    left, other = Left(), Left()
    assert left.environment[MARK] != other.environment[MARK]
    process = sleeper(left)
    assert [*left.pids()] == [process.pid]
    assert other.pids() == {}
    assert other.count() == ""
    words = left.count()
    assert words.startswith("processes ")
    assert words.endswith(f"fastrtps_test_{os.getpid()} left")
    assert (left.orphans, left.segments, other.orphans, other.segments) == (1, 1, 0, 0)
    assert process.wait(20.0) == -9
    assert left.count() == "", "told once"
