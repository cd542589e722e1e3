"""Makes the reference pages from the code before Sphinx looks for pages."""

from __future__ import annotations

from pathlib import Path

import api_pages
import command_pages
import message_pages
import node_pages
import station_pages
from pages import write_all
from sphinx.application import Sphinx

SOURCES = (node_pages, message_pages, command_pages, station_pages, api_pages)


def make(app: Sphinx) -> None:
    """Write docs/generated/reference."""
    texts = {name: text for source in SOURCES for name, text in source.pages().items()}
    write_all(Path(app.srcdir) / "generated" / "reference", texts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
