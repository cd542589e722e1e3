"""A page for every message: what its file says in its comments, field by field."""

from __future__ import annotations

import re
from pathlib import Path

from pages import list_page, table

MESSAGES = Path(__file__).resolve().parents[2] / "msg"
CONSTANT = re.compile(r"(\S+) +(\w+)=(\S+)")


def pages() -> dict[str, str]:
    """All of them."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(MESSAGES.glob("*.msg"))}
    listed = {name: (name, _escaped(text.partition("\n")[0].lstrip("# "))) for name, text in texts.items()}
    words = "What nodes say to each other; the text of a page is that of the message's file."
    made = {f"messages/{name}.md": page(name, text) for name, text in texts.items()}
    return made | {"messages/index.md": list_page("Messages", words, listed)}


def page(name: str, text: str) -> str:
    """The page of one message.

    Args:
        name: of the message.
        text: of its file.
    """
    lines = text.splitlines()
    length = next(n for n, line in enumerate(lines) if not line.startswith("#"))
    head = [line.lstrip("# ") for line in lines[:length]]
    parts = [f"({name})=\n# {name}", "\n".join(_escaped(line) + ("  " if line.endswith((".", ";")) else "")
                                                for line in head)]
    rows: list[tuple[object, ...]] = []
    title = ""
    for line in lines[length:]:
        code, _, comment = line.partition("#")
        code, comment = code.strip(), comment.strip()
        if code:
            constant = CONSTANT.fullmatch(code)
            kind, field = (constant[1], f"{constant[2]} = {constant[3]}") if constant else code.split()
            rows.append((f"`{field}`", f"`{kind}`", _escaped(comment)))
        elif comment and line.startswith("#"):
            parts += _section(title, rows)
            title, rows = comment, []
        elif comment and rows:
            rows[-1] = (*rows[-1][:2], f"{rows[-1][2]} {_escaped(comment)}")
    parts += _section(title, rows)
    return "\n\n".join(parts) + "\n"


def _section(title: str, rows: list[tuple[object, ...]]) -> list[str]:
    if not rows:
        return []
    return [*([f"**{_escaped(title)}**"] if title else []), table(("field", "type", "what it is"), rows)]


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]*_<>$|])", r"\\\1", text)
