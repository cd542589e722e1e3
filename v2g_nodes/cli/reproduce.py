"""`v2g reproduce`: every checkable claim of the source documents, run and judged."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.progress import telling
from v2g_nodes.cli.reproduce_runs import FAILED, chosen, kept_results, run_claims
from v2g_nodes.cli.reproduce_store import Result, Store, write_verdicts
from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.claims.catalogue import all_claims
from v2g_nodes.sim.claims.claim import SHORT, Claim, Setting

#: columns of the table: title and what belongs there, of verdict and origin
COLUMNS: Mapping[str, Callable[[str, str], bool]] = {
    "hold": lambda verdict, origin: verdict == "holds",
    "refuted": lambda verdict, origin: verdict == "refuted" and origin != "error",
    "wrong as believed": lambda verdict, origin: verdict == "refuted" and origin == "error",
    "not reproducible": lambda verdict, origin: verdict == "not reproducible",
    "not run": lambda verdict, origin: verdict == "not run",
    "failed": lambda verdict, origin: verdict == FAILED,
}
HEADS = {"hold": "holds", "wrong as believed": "errors", "not reproducible": "lost"}  # short, for the terminal


def reproduce(
    quick: Annotated[bool, typer.Option("--quick", help="All claims at reduced size: a few minutes.")] = False,
    output: Annotated[
        str, typer.Option(metavar="DIR", help="Results and report; a run that was interrupted goes on from here.")
    ] = "reproduce",
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Recordings: pjm_regd_2s_day.csv, pjm_regulation_prices_hourly_2024-08.csv, "
                                         "price_DE-LU_2024-04-09.csv. [default: made ones where that makes sense]"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PREFIX", help="Only claims whose id begins so, as 002 or 001.4.3; may "
                                                              "be repeated.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run claims too whose result is kept.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes side by side, 1 to 64; times are truest with 1.")] = 1,
    list_: Annotated[bool, typer.Option("--list", help="Only list the claims: id, origin, text.")] = False,
    json: Json = None,
) -> None:  # fmt: skip
    """Check what the five source documents and the prototypes claim, and write one report.

    Each claim says what counts as holding. Verdicts: holds, refuted, not reproducible (with the reason), not run (a
    recording is missing); of formulas believed to be wrong refuted is what is expected. DIR/quick or DIR/full gets
    report.html with the sources' figures redrawn from our data, verdicts.json, verdicts.csv and a file per claim. A
    claim is run again only where its code, the solvers, the size or the data have changed. Exit code 0
    when all claims ran, whatever the verdicts, 1 when one failed.
    """
    claims = all_claims()
    wanted = chosen(claims, only or [])
    if list_:
        for claim in wanted:
            print(f"{claim.id:10} {claim.origin:9} {claim.text}")
        return
    check_range("--jobs", jobs, 1, 64)
    check_writable(json)
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: allowed is a folder that exists")
    setting = Setting(quick, None if data is None else Path(data))
    store = Store(prepare_folder(output, "--output") / ("quick" if quick else "full"))
    began, cpu = time.perf_counter(), _cpu_seconds()
    try:
        with telling("claims") as tell:
            results = run_claims(wanted, setting, store, again, jobs, tell)
    except KeyboardInterrupt:
        print(f"v2g: finished claims are kept in {store.folder}; the same command goes on from there", file=sys.stderr)
        raise
    seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds() - cpu
    everything = kept_results(claims, results, setting, store)
    head: dict[str, Any] = {
        "size": "quick" if quick else "full", "data": data, "output": str(store.folder), "seconds": seconds,
        "cpu_seconds": cpu_seconds, "counts": _counts(everything),
    }  # fmt: skip
    write_verdicts(store.folder, everything, head)
    from v2g_nodes.cli.reproduce_report import write_report  # matplotlib takes a second to import

    page = write_report(store.folder, everything, head)
    if json is not None:
        rows = [{key: value for key, value in result.items() if key != "series"} for result in results]
        emit({**head, "report": str(page), "claims": rows}, json, "")
    if json != "-":
        _show(results, wanted, page, seconds, cpu_seconds)
    if any(result["verdict"] == FAILED for result in results):
        raise typer.Exit(1)


def _cpu_seconds() -> float:
    """Of this process and of children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _counts(results: Sequence[Result]) -> dict[str, int]:
    return {title: sum(fits(result["verdict"], result["origin"]) for result in results)
            for title, fits in COLUMNS.items()}  # fmt: skip


def _show(results: Sequence[Result], claims: Sequence[Claim], page: Path, seconds: float, cpu_seconds: float) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    told = "errors: wrong formulas of a source, shown to be; lost: not reproducible"
    table = Table(title="claims of the source documents", show_footer=True, box=SIMPLE_HEAD, caption=told)
    table.add_column("source", footer="all", no_wrap=True)
    totals = _counts(results)
    for title in COLUMNS:
        table.add_column(HEADS.get(title, title), justify="right", footer=str(totals[title]))
    for number in sorted({claim.id[:3] for claim in claims}):
        counts = _counts([result for result in results if str(result["id"]).startswith(number)])
        table.add_row(f"{number} {SHORT[number]}", *(str(counts[title]) for title in COLUMNS))
    console = Console()
    console.print(table)
    for title in ("refuted", "failed"):
        for result in results:
            if COLUMNS[title](result["verdict"], result["origin"]):
                console.print(f"{title}: {result['id']} {result['claim']} {result['reason']}", soft_wrap=True,
                              markup=False, highlight=False)  # fmt: skip
    console.print(f"{seconds:.0f} s, {cpu_seconds:.0f} s of processor time; {page}", soft_wrap=True, highlight=False)
