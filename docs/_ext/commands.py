"""Options and arguments of every command, from the functions that are the commands."""

from __future__ import annotations

import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass

from typer.models import ArgumentInfo, OptionInfo

from v2g_nodes.cli.main import Command

WORDS = {"int": "N", "float": "X", "str": "TEXT"}


@dataclass(frozen=True)
class Parameter:
    """One option or argument.

    Args:
        spellings: of an option, such as --output and -o; of an argument none.
        value: what follows it, in capitals; empty for a flag.
        text: what it does.
        default: in words; empty where there is none to tell.
        needed: must be given.
        many: may be given several times.
    """

    spellings: tuple[str, ...]
    value: str
    text: str
    default: str
    needed: bool
    many: bool


def function_of(command: Command) -> Callable[..., object]:
    """What runs when the command is called."""
    module, _, name = command.target.partition(":")
    function: Callable[..., object] = getattr(importlib.import_module(module), name)
    return function


def parameters_of(command: Command) -> list[Parameter]:
    """All of a command, in order, `--help` left out; none of one that reads its words itself."""
    if command.raw:
        return []
    found = inspect.signature(function_of(command), eval_str=True).parameters.values()
    return [_parameter(one) for one in found]


def _parameter(one: inspect.Parameter) -> Parameter:
    kind, info = typing.get_args(one.annotation)[:2]
    if not isinstance(info, (OptionInfo, ArgumentInfo)):
        raise TypeError(f"{one.name} is neither option nor argument")
    parts = [part for part in (typing.get_args(kind) or (kind,)) if part is not types.NoneType]
    flag = parts == [bool]
    many = getattr(kind, "__origin__", None) in (list, tuple)
    given = (info.default, *(info.param_decls or ()))  # within Annotated the first spelling stands where defaults do
    declared = tuple(word for word in given if isinstance(word, str) and word.startswith("-"))
    name = one.name.replace("_", "-")
    usual = (f"--{name}", f"--no-{name}") if flag else (f"--{name}",)
    spellings = tuple(word for words in declared or usual for word in words.split("/"))
    value = "" if flag else info.metavar or WORDS.get(getattr(parts[0], "__name__", ""), "TEXT")
    text = " ".join((info.help or "").split())
    told = re.search(r" ?\[default: ([^\]]*)\]", text)
    needed = one.default is inspect.Parameter.empty or one.default is ...
    plain = not flag and isinstance(one.default, (int, float, str)) and one.default != ""
    default = told[1] if told else f"{one.default}" if plain else ""
    if isinstance(info, ArgumentInfo):
        spellings, value = (), info.metavar or one.name.upper()
    return Parameter(spellings, value, text.replace(told[0], "") if told else text, default, needed, many)
