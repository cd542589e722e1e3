"""Pages and drawings that are made at build: written only where they change, removed where nobody makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def write_all(folder: Path, texts: Mapping[str, str]) -> None:
    """Make a folder hold these files and no others.

    Args:
        folder: of files that are made.
        texts: contents by name below it.
    """
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in [*folder.rglob("*")]:
        if path.is_file() and path.relative_to(folder).as_posix() not in texts:
            path.unlink()


def list_page(title: str, text: str, entries: Mapping[str, tuple[str, str]]) -> str:
    """A page that lists others of its folder.

    Args:
        title: of the page.
        text: what they are.
        entries: by file name without suffix, what to call it and what it is.
    """
    rows: list[tuple[object, ...]] = [(f"[{called}]({name}.md)", what) for name, (called, what) in entries.items()]
    tree = "\n".join(["```{toctree}", ":hidden:", "", *entries, "```"])
    return f"# {title}\n\n{text}\n\n{table(('', ''), rows)}\n\n{tree}\n"


def cell(text: object) -> str:
    """Words for a cell of a table."""
    return " ".join(str(text).replace("|", "\\|").split())


def table(head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)])
