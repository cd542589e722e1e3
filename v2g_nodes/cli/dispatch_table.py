"""`v2g bench dispatch --all`: averages and algorithms side by side, as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from v2g_nodes.cli.average_table import ROUNDS_MAX, Row, average_rounds, average_rows
from v2g_nodes.cli.dispatch_trial import Case, run_trial, summary, usual_averaging
from v2g_nodes.cli.output import emit, progress
from v2g_nodes.core.dispatch.methods import (
    AVERAGE_TOLERANCE,
    METHODS,
    averagings,
)
from v2g_nodes.core.graph import adjacency, build_edges, diameter

SIZES = (5, 16, 64)  # modules
STEPWISE_MODULES_MAX = 16  # an average that converges step by step is not run on more, unless it is quick
LOSS = 0.2  # of the frames, in the columns with losses
BURST = 3.0  # rounds, in the column with bursts
TARGET_ITERATIONS = 50  # the formulation asks for fewer, to 1 %
TARGET_ROUNDS = 50  # it asks for 50 ms at 1 ms a round

COLUMNS = (
    "method", "averaging", "topology", "modules", "diameter", "iterations to 1 %", "rounds", "rounds at 20 % loss",
    "rounds in bursts of 3", "bytes", "gap", "converged", "note",
)  # fmt: skip


def compare_all(topologies: Sequence[str], sizes: Sequence[int], trials: int, seed: int, json: str | None) -> None:
    """Run every algorithm on every graph, show or write the tables.

    Args:
        topologies: graphs.
        sizes: numbers of modules.
        trials: random stations for each cell.
        seed: names them.
        json: see `emit`; None prints Markdown.
    """
    graphs = [(topology, modules) for modules in sizes for topology in topologies]
    averages = average_rows(graphs, seed)
    cases = [case for method in METHODS for graph in graphs for case in _cases(method, *graph, seed)]
    rows = [compare(cases[k], trials) for k in progress(len(cases), "algorithms and graphs")]
    if json is not None:
        emit({"averages": averages, "rows": rows, "trials": trials, "seed": seed}, json, "")
        return
    print(f"Rounds until members differ by {AVERAGE_TOLERANCE:g} of what they did at first (– over {ROUNDS_MAX}):\n")
    print(f"{_markdown(averages)}\n")
    print(f"{trials} random stations for each line; rounds, iterations and gap are the largest of them:\n")
    print(_markdown([{name: row[name] for name in COLUMNS} for row in rows]))


def compare(case: Case, trials: int) -> Row:
    """One line: an algorithm on a graph without losses, with independent ones and with bursts."""
    inner = average_rounds(case.averaging, case.topology, case.modules)
    ids = range(1, case.modules + 1)
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"method": case.method, "averaging": case.averaging, "topology": case.topology, "modules": case.modules,
            "diameter": diameter(adjacency(ids, build_edges(case.topology, ids))), "note": ""}
    too_many = ROUNDS_MAX if case.modules <= STEPWISE_MODULES_MAX else int(str(row["diameter"]))
    if case.averaging == "metropolis" and inner > too_many:
        row["note"] = f"not run: one average takes {inner} rounds"
        return row
    calm, lossy, bursty = (
        summary(one, [run_trial(one, k) for k in range(trials)])
        for one in (case, replace(case, loss=LOSS), replace(case, loss=LOSS, burst=BURST))
    )
    to_1_percent = calm["iterations_to_1_percent_max"]
    return row | {
        "iterations to 1 %": to_1_percent,
        "rounds": calm["rounds_max"],
        "rounds at 20 % loss": lossy["rounds_max"],
        "rounds in bursts of 3": bursty["rounds_max"],
        "bytes": calm["bytes_per_message_max"],
        "gap": max(float(str(one["gap_max"])) for one in (calm, lossy, bursty)),
        "converged": min(float(str(one["converged"])) for one in (calm, lossy, bursty)),
        "constraint_violations": sum(int(str(one["constraint_violations"])) for one in (calm, lossy, bursty)),
        "note": _note(case, to_1_percent, inner),
    }


def _cases(method: str, topology: str, modules: int, seed: int) -> list[Case]:
    """The algorithm on its usual average, and on Metropolis weights where that is another."""
    names = [usual_averaging(method, topology, modules)]
    if "metropolis" in averagings(method) and "metropolis" not in names:
        names.append("metropolis")
    return [Case(method, name, topology, modules, 0.0, 1.0, seed) for name in names]


def _note(case: Case, iterations: object, inner: int) -> str:
    """Why a target of the formulation is out of reach on this graph."""
    if not isinstance(iterations, int):
        return "1 % not reached in every trial"
    if iterations >= TARGET_ITERATIONS:
        return f"{iterations} iterations, the target is below {TARGET_ITERATIONS}; one average takes {inner} rounds"
    per_iteration = 1 if case.method == "price_tracking" and case.averaging == "metropolis" else inner
    if iterations * per_iteration > TARGET_ROUNDS:
        return f"{iterations} iterations of {per_iteration} rounds: more than {TARGET_ROUNDS} rounds on this graph"
    return ""


def _markdown(rows: Sequence[Row]) -> str:
    """Rows as a table; the keys of the first one are the heads."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([_text(row[head]) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.2g}" if isinstance(value, float) else str(value)
