"""Draws docs/figures/*.py before Sphinx looks for pages: each has a function `draw` that returns an SVG text."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pages import write_all
from sphinx.application import Sphinx

SOURCES = Path(__file__).resolve().parents[1] / "figures"


def drawings() -> dict[str, str]:
    """All figures by file name."""
    return {f"{path.stem}.svg": draw(path) for path in sorted(SOURCES.glob("*.py"))}


def draw(path: Path) -> str:
    """One figure.

    Args:
        path: of the file that draws it.
    """
    spec = importlib.util.spec_from_file_location(f"figure_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.draw())


def make(app: Sphinx) -> None:
    """Write docs/generated/figures."""
    write_all(Path(app.srcdir) / "generated" / "figures", drawings())


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
