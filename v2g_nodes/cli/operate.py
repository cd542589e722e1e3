"""What `v2g arm` and `v2g stop` have in common: which modules, a node in the station's network, what came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from v2g_nodes.audit import AuditLog, operator_name
from v2g_nodes.bringup_launch import security_environment
from v2g_nodes.bringup_network import network_environment
from v2g_nodes.bringup_parameters import run_audit_file
from v2g_nodes.cli.output import check_writable, emit
from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.station import Station, load_station

if TYPE_CHECKING:
    from v2g_nodes.nodes.operator import Operator, Outcome


def module_ids(station_file: str | None, wanted: str | None) -> tuple[int, ...]:
    """Modules that are meant.

    Args:
        station_file: names the modules there should be; None = whatever is there.
        wanted: ids with commas between; None = all.

    Returns:
        Ascending; empty = whatever is there.

    Raises:
        InputError: the file can't be used, no numbers, or modules that are not in the file.
    """
    known = () if station_file is None else tuple(sorted(m.id for m in load_station(station_file).modules))
    if wanted is None:
        return known
    try:
        ids = tuple(sorted({int(word) for word in wanted.split(",")}))
    except ValueError as error:
        raise InputError(f"--modules {wanted!r}, allowed are numbers with commas between, such as 1,2") from error
    allowed = known or tuple(range(1, 65))
    for k in ids:
        if k not in allowed:
            text = ", ".join(map(str, known)) if known else f"{allowed[0]} to {allowed[-1]}"
            raise InputError(f"--modules {k}, allowed {text}")
    return ids


def operate(
    station_file: str | None, ids: Sequence[int], request: Callable[[Operator], list[Outcome]], asked: str, done: str,
    json: str | None,
) -> None:
    """Carry a request out, show what came of it and end the process.

    Args:
        station_file: for how far discovery goes; None = this host.
        ids: modules that must be there; empty = whatever is there.
        request: to the operator's node.
        asked: the word for the audit log.
        done: the word for success.
        json: as for `emit`.

    Raises:
        InputError: a file that can't be used or written.
        StartupError: there is no station here.
    """
    check_writable(json)
    station = None if station_file is None else load_station(station_file)
    os.environ.update(network_environment(station, os.environ))
    os.environ.update(security_environment("operator", os.environ))
    from v2g_nodes.nodes.operator import Operator, Outcome  # rclpy reads the environment when it starts
    from v2g_nodes.nodes.spin import leave

    with Operator(ids) as operator:
        try:
            outcomes = request(operator)
        except V2gError as error:
            _note(station, set(), asked, refused=str(error))
            raise
        _note(station, operator.audit_files(), asked, done=[o.module_id for o in outcomes if o.done],
              refused={o.module_id: o.text for o in outcomes if not o.done})
    found = {outcome.module_id for outcome in outcomes}
    outcomes += [Outcome(k, False, text="no such node in the graph") for k in ids if k not in found]
    outcomes.sort(key=lambda outcome: outcome.module_id)
    ok = all(outcome.done for outcome in outcomes)
    if json is None:
        Console().print(_table(outcomes, done))
    else:
        emit({"modules": [asdict(outcome) for outcome in outcomes], "verdict": "ok" if ok else f"not all {done}"}, json,
             done)
    if not ok:
        missing = ", ".join(str(outcome.module_id) for outcome in outcomes if not outcome.done)
        print(f"v2g: error: not {done}: module {missing}", file=sys.stderr)
    leave(0 if ok else 1)


def _note(station: Station | None, files: set[str], asked: str, **details: object) -> None:
    """In every audit log of the station: who asked for what, and what came of it."""
    if station is not None:
        files = files | {run_audit_file(station)}
    for file in sorted(files - {""}):
        log = AuditLog(Path(file), lambda text: print(f"v2g: warning: {text}", file=sys.stderr))
        log.append(asked, operator_name(os.environ), **details)
        log.flush()


def _table(outcomes: Sequence[Outcome], done: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("module", "", "mode", "p kW", "why"):
        table.add_column(title, justify="right" if title in ("module", "p kW") else "left")
    for outcome in outcomes:
        power = "" if outcome.power_kw is None else f"{outcome.power_kw:+.3f}"
        word = f"[green]{done}[/]" if outcome.done else f"[bold red]not {done}[/]"
        table.add_row(f"{outcome.module_id:02d}", word, outcome.mode or "", power, outcome.text)
    return table
