"""docs/grid_codes.md lists every setting as the code has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from v2g_nodes.core.grid_code import settings, volt_var

PAGE = Path(__file__).parents[1] / "docs" / "grid_codes.md"


def rows() -> Iterator[str]:
    """One row of a table for each setting of each code, and for each that differs with the category."""
    last = settings.CATEGORIES[-1]
    for code in settings.CODES:
        for category in (last, *settings.CATEGORIES[:-1]):
            for name, row in settings.bounds(code, category).items():
                if category == last or row[:3] != settings.bounds(code, last)[name][:3]:
                    text, unit = settings.TEXTS[name]
                    yield _row(code, category, name, text, unit, row)
    for (code, category), table in volt_var.BOUNDS.items():
        for name, row in table.items():
            yield _row(code, category, name, volt_var.TEXTS[name], volt_var.UNITS[name], row)


def _row(code: str, category: str, name: str, text: str, unit: str, row: tuple[float, float, float, str]) -> str:
    default, low, high, source = row
    which = f"{code} {category}" if code == "ieee1547" else code
    return f"| {which} | `{name}` | {text} | {unit} | {default:.4g} | {low:g} … {high:g} | {source} |"


def test_the_page_lists_every_setting() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [row for row in rows() if row not in page]
    assert not missing, "rows to put into docs/grid_codes.md:\n" + "\n".join(missing)
    listed = [line for line in page.splitlines() if line.startswith(("| ieee1547", "| en50549"))]
    assert sorted(set(listed)) == sorted(set(rows())), "and no other"
