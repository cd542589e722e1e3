"""A page for every command: what `--help` says, options in a table."""

from __future__ import annotations

import importlib
import inspect
import re

from commands import Parameter, function_of, parameters_of
from pages import list_page, table

from v2g_nodes.cli.main import COMMANDS, Command


def pages() -> dict[str, str]:
    """All of them."""
    there = {command.name.replace(" ", "_"): command for command in COMMANDS if command.exists()}
    listed = {name: (f"v2g {command.name}", _escaped(command.help)) for name, command in there.items()}
    words = "In a checkout `./v2g`, installed `v2g`. `--help` behind any of them tells the same as its page."
    made = {f"commands/{name}.md": _page(command) for name, command in there.items()}
    return made | {"commands/index.md": list_page("Commands", words, listed)}


def _page(command: Command) -> str:
    head = f"(command-{command.name.replace(' ', '-')})=\n# v2g {command.name}"
    if command.raw:
        words = importlib.import_module(command.target.partition(":")[0]).HELP
        return f"{head}\n\n{command.help}\n\n```text\n{words}\n```\n"
    found = parameters_of(command)
    arguments, options = ([one for one in found if bool(one.spellings) is wanted] for wanted in (False, True))
    usage = "".join(f" {one.value}" if one.needed else f" [{one.value}]" for one in arguments)
    parts = [head, f"```text\nv2g {command.name}{usage}{' [OPTIONS]' if options else ''}\n```",
             _escaped(inspect.getdoc(function_of(command)) or command.help)]
    if arguments:
        parts += ["## Arguments", table(("argument", "what it is"), [(f"`{a.value}`", _text(a)) for a in arguments])]
    if options:
        rows: list[tuple[object, ...]] = [(_spelled(one), _text(one), _escaped(one.default)) for one in options]
        parts += ["## Options", table(("option", "what it does", "default"), rows)]
    return "\n\n".join(parts) + "\n"


def _spelled(one: Parameter) -> str:
    return f"`{', '.join(one.spellings)}{' ' if one.value else ''}{one.value}`"


def _text(one: Parameter) -> str:
    return _escaped(one.text) + " Needed." * one.needed + " May be given several times." * one.many


def _escaped(text: str) -> str:
    """Words in which nothing is Markdown but what stands in back quotes."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\[\]*<>$~]|(?<=\w)_(?=\w))", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)
