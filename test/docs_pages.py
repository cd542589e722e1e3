"""Pages of a built site as values: links, anchors, what they would ask the network for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

FOREIGN = re.compile(r"(?:[a-z]+:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//[^\s)\"';]*", re.IGNORECASE)
IN_SCRIPT = re.compile(r"(?:importScripts|import|fetch|XMLHttpRequest|\.src\s*=|\.open)\s*\(?\s*[\"'`](?:https?:)?//")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "embed": "src"}


@dataclass
class Page:
    """What is on a page.

    Args:
        links: targets of links, files that are loaded among them.
        anchors: ids.
        loaded: what the browser fetches by itself.
        formulas: MathML elements.
        text: words.
    """

    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    loaded: list[str] = field(default_factory=list)
    formulas: int = 0
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        page = self.page
        page.anchors |= {values[key] for key in ("id", "name") if key in values}
        page.formulas += tag == "math"
        if tag == "a" and "href" in values:
            page.links.append(values["href"])
        rel = values.get("rel", "").split()
        if tag == "link" and not {"index", "search", "next", "prev", "canonical"} & {*rel}:
            page.loaded.append(values.get("href", ""))
        if tag in LOADED and LOADED[tag] in values:
            page.loaded.append(values[LOADED[tag]])
        page.loaded += _in_style(values.get("style", ""))
        if tag in ("script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.page.text += data
        elif self._inside[-1] == "style":
            self.page.loaded += _in_style(data)


def read_pages(folder: Path) -> dict[str, Page]:
    """All pages of a site by name."""
    pages = {}
    for path in folder.rglob("*.html"):
        reader = _Reader()
        reader.feed(path.read_text(encoding="utf-8"))
        pages[path.relative_to(folder).as_posix()] = reader.page
    return pages


def link_faults(folder: Path, pages: Mapping[str, Page]) -> list[str]:
    """Links within the site that lead nowhere, in words."""
    return [f"{name}: {link}: {fault}" for name, page in pages.items() for link in (*page.links, *page.loaded)
            if (fault := _fault(folder, pages, name, link))]  # fmt: skip


def _fault(folder: Path, pages: Mapping[str, Page], name: str, link: str) -> str:
    if FOREIGN.match(link) or link.startswith(("mailto:", "data:")):
        return ""
    path, anchor = urldefrag(link)
    target = (folder / name).parent / unquote(path.partition("?")[0]) if path else folder / name
    if not target.is_file():
        return "no such file"
    page = pages.get(target.resolve().relative_to(folder.resolve()).as_posix())
    if anchor and page is not None and unquote(anchor) not in page.anchors:
        return "no anchor"
    return ""


def requests(folder: Path, pages: Mapping[str, Page]) -> list[str]:
    """What the site would ask the network for, in words."""
    found = [f"{name}: {what}" for name, page in pages.items() for what in page.loaded if FOREIGN.match(what)]
    for path in folder.rglob("*.css"):
        found += [f"{path.name}: {what}" for what in _in_style(path.read_text(encoding="utf-8"))]
    for path in folder.rglob("*.js"):
        found += [f"{path.name}: {what[0]}" for what in IN_SCRIPT.finditer(path.read_text(encoding="utf-8"))]
    return found


def _in_style(text: str) -> Iterator[str]:
    for found in IN_STYLE.finditer(text):
        yield "//" + found[0].partition("//")[2]
