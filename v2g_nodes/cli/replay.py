"""`v2g replay`: make every decision of a recorded run again and compare it bit by bit."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from v2g_nodes.cli.bag_reader import BagReader
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import MODULES_MAX
from v2g_nodes.sim.replay import Decision, Replay
from v2g_nodes.sim.replay_laws import NAMES

RECORDS = "v2g_nodes/msg/DecisionRecord"
SHOWN = 5  # gaps and differences told in words; all of them are in the JSON
COLUMNS = ("steady_ns", "node", "decision", *dict.fromkeys(name for names in NAMES.values() for name in names))


def replay(
    bag: Annotated[str, typer.Argument(metavar="BAG", help="Folder of rosbag2, or an .mcap file.")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the decisions made again, as CSV.")
    ] = None,
    module: Annotated[int | None, typer.Option(help="Only this module's decisions.")] = None,
    json: Json = None,
) -> None:
    """Make every decision of a run again from its decision records: agreements, base set-points, droop, last gate.

    The bag may come from `v2g record`, `v2g up --record` or `ros2 bag record`. Exit code 0 when all decisions are the
    recorded ones bit by bit, 1 when one differs, 2 for bad input. Gaps in the bag are told.
    """
    if module is not None and not 1 <= module <= MODULES_MAX:
        raise InputError(f"--module {module}, allowed 1 to {MODULES_MAX}")
    check_writable(json)
    player = Replay(module)
    with BagReader(bag, RECORDS) as reader, _table(output) as write:
        if reader.note:
            print(f"v2g │ {reader.note}", file=sys.stderr)
        with _bar() as show:
            times_ns = _play(reader, player, write, show)
    if not player.made.total() and not player.differing:
        wanted = "" if module is None else f" of module {module}"
        raise InputError(f"bag {bag}: no decisions{wanted} in it, allowed is one with topics /ek3_NN/decision_record")
    _tell(player)
    emit(_figures(bag, player, times_ns), json, "replay")
    raise typer.Exit(1 if player.differing else 0)


def _play(reader: BagReader, player: Replay, write: Any, show: Any) -> tuple[int, int]:  # noqa: ANN401 - two callables
    """Replay all; times of the first and the last record [ns]."""
    first_ns = last_ns = 0
    for sample in reader.samples():
        first_ns, last_ns = first_ns or sample.time_ns, sample.time_ns
        for decision in player.add(sample.message, sample.time_ns):
            write(decision)
        show(sample.share)
    for decision in player.finish():
        write(decision)
    return first_ns, last_ns


def _figures(bag: str, player: Replay, times_ns: tuple[int, int]) -> dict[str, object]:
    return {
        "bag": bag,
        "duration_s": round((times_ns[1] - times_ns[0]) / 1e9, 3),
        "records": player.records,
        "agreements": player.made["agreement"],
        "base_setpoints": player.made["base"],
        "droop_ticks": player.made["droop"],
        "gate_ticks": player.made["gate"],
        "records_lost": player.lost,
        "gaps": player.gaps,
        "differing": player.differing,
        "differences": player.differences,
        "verdict": f"{player.differing} decisions differ" if player.differing else "ok",
    }


def _tell(player: Replay) -> None:
    for title, texts in (("gap", player.gaps), ("differs", player.differences)):
        for text in texts[:SHOWN]:
            print(f"v2g │ {title}: {text}", file=sys.stderr)
        if len(texts) > SHOWN:
            print(f"v2g │ {title}: and {len(texts) - SHOWN} more", file=sys.stderr)


@contextmanager
def _table(path: str | None) -> Iterator[Any]:
    """A callable that writes a decision as a row.

    Raises:
        InputError: the file can't be written.
    """
    if path is None:
        yield lambda decision: None
        return
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            yield lambda decision: rows.writerow(_row(decision))
    except OSError as error:
        raise InputError(f"--output {path}: {error.strerror}, allowed is a file that can be written") from error


def _row(decision: Decision) -> list[object]:
    made = decision.made
    values = dict(zip(NAMES[made.decision], map(repr, made.replayed), strict=True))
    return [made.steady_ns, decision.node, made.decision, *(values.get(name, "") for name in COLUMNS[3:])]


@contextmanager
def _bar() -> Iterator[Any]:
    """A callable that shows the share done, if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replay", total=1.0)
        yield lambda share: progress.update(task, completed=share)
