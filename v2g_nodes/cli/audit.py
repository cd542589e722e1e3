"""`v2g audit`: show an audit log, and whether its chain holds."""

from __future__ import annotations

import json as json_module
import os
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from v2g_nodes.audit import AuditState, check, entries, state_folder
from v2g_nodes.bringup_parameters import run_audit_file
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.errors import InputError
from v2g_nodes.station import load_station

LINES_MAX = 100_000


def audit(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="The log. [default: the station's, or the one there is]")
    ] = None,
    station: Annotated[str | None, typer.Option(metavar="FILE", help="Station file whose log is meant.")] = None,
    last: Annotated[int, typer.Option(help=f"Show so many of the last lines, 0 to {LINES_MAX}.")] = 20,
    known: Annotated[
        str, typer.Option(metavar="HASH", help="Hash noted earlier: shows whether lines are missing at the end.")
    ] = "",
    json: Json = None,
) -> None:
    """Who armed, stopped and set what, and what was settled; each line is chained to the one before by its hash.

    Exit code 1 when the chain is broken: a line was changed, removed or put in.
    """
    if not 0 <= last <= LINES_MAX:
        raise InputError(f"--last {last}, allowed 0 to {LINES_MAX}")
    check_writable(json)
    path = _path(file, station)
    try:
        state = check(path, known)
        shown = deque((entry for _, _, entry in entries(path) if entry is not None), maxlen=last)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, allowed is an audit log that can be read") from error
    if json is None:
        _show(path, state, [*shown])
    else:
        emit({"file": str(path), "lines": state.lines, "last": state.last, "problems": [*state.problems],
              "entries": [*shown], "verdict": "broken" if state.problems else "ok"}, json, str(path))
    raise typer.Exit(1 if state.problems else 0)


def _path(file: str | None, station: str | None) -> Path:
    if file is not None and station is not None:
        raise InputError(f"{file} beside --station {station}, allowed is one of the two")
    if file is not None:
        return Path(file)
    if station is not None:
        named = run_audit_file(load_station(station))
        if not named:
            raise InputError(f"{station}: keeps no audit log, allowed is one with key audit_file or with hardware")
        return Path(named)
    folder = state_folder(os.environ)
    found = sorted(folder.glob("audit_*.jsonl"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"no file named and {folder} has {names}, allowed without is exactly one")
    return found[0]


def _show(path: Path, state: AuditState, shown: list[dict[str, Any]]) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("number", "time", "who", "action", "details"):
        table.add_column(title, justify="right" if title == "number" else "left", overflow="fold")
    for entry in shown:
        details = json_module.dumps(entry["details"], ensure_ascii=False)
        table.add_row(*map(str, (entry["number"], entry["time"], entry["who"], entry["action"], details)))
    console.print(table, markup=False)
    for problem in state.problems:
        console.print(problem, style="bold red", markup=False)
    holds = "[bold red]the chain is broken[/]" if state.problems else "[green]the chain holds[/]"
    console.print(f"{path}: {state.lines} lines, {holds}, last hash {state.last}", soft_wrap=True)
