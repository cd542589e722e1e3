"""Results for people and for scripts."""

from __future__ import annotations

import json as json_module
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from v2g_nodes.core.errors import InputError

Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write one JSON object; - = standard output.")]


def emit(result: Mapping[str, object], json: str | None, title: str) -> None:
    """Write a result as JSON, or show it as a table.

    Args:
        result: keys as they stand in the JSON.
        json: file, `-` for standard output, None for a table.
        title: of the table.

    Raises:
        InputError: the file can't be written.
    """
    if json is None:
        _show(result, title)
        return
    text = json_module.dumps(plain(result), allow_nan=False)
    if json == "-":
        print(text, flush=True)
        return
    try:
        Path(json).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"--json {json}: {error.strerror}") from error


def check_writable(path: str | None, option: str = "--json") -> None:
    """Refuse a file for results that can't be written before a long run, not after it.

    Args:
        path: as given; None and `-` are fine.
        option: that gave it.

    Raises:
        InputError: its folder does not exist or it is a folder itself.
    """
    if path not in (None, "-") and (Path(str(path)).is_dir() or not Path(str(path)).resolve().parent.is_dir()):
        raise InputError(f"{option} {path}: allowed is a file in a folder that exists")


def progress(count: int, what: str) -> Iterable[int]:
    """0 .. count - 1 with a bar on the terminal, if standard error is one."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(range(count), what, console=console, transient=True, disable=not console.is_terminal)


def plain(value: Any) -> Any:  # noqa: ANN401 - JSON values, arrays among them
    """Mappings, arrays and numbers of any library as Python's own; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _show(result: Mapping[str, object], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False)
    for key, value in result.items():
        table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
