"""Results of `v2g plan network` on the terminal: the figures, the peers beside them, and the radii of two-stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from v2g_nodes.cli.output import emit

PEER_COLUMNS = ("peer", "objective_eur", "bound_eur", "gap", "seconds", "feasible")
RADIUS_COLUMNS = ("radius", "feasible", "objective_eur", "gap", "seconds")


TITLE = "vehicles and power flow"


def show_figures(figures: Mapping[str, Any], json: str | None) -> None:
    """Write JSON where it is asked for, else print tables; `peers` and `radii` have their own."""
    if json is not None:
        emit(figures, json, TITLE)
        return
    own = {**figures, "peer": figures["method"], "bound_eur": figures["lower_bound_eur"]}
    emit(
        {key: value for key, value in figures.items() if key not in ("peers", "radii")}, None, TITLE
    )
    if figures["peers"]:
        _show("beside peers", PEER_COLUMNS, [own, *figures["peers"]])
    if "radii" in figures:
        _show("two-stage: sensitivity to the radius", RADIUS_COLUMNS, figures["radii"])


def _show(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title)
    for row in rows:
        cells = (row[key] for key in columns)
        table.add_row(*(f"{cell:.8g}" if isinstance(cell, float) else str(cell) for cell in cells))
    Console().print(table)
