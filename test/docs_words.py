"""Command lines and code that stand in pages, checked against what there is, without running a command."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from v2g_nodes.bringup_launch import ARGUMENTS, MODULE_ARGUMENTS, RIG_ARGUMENTS
from v2g_nodes.cli.main import COMMANDS, Command

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"(?<!`)`(\./v2g [^`\n]+)`(?!`)")
CHECKED = ("./v2g", "v2g", "ros2")
LAUNCH = {"station.launch.py": ARGUMENTS, "module.launch.py": MODULE_ARGUMENTS, "rig.launch.py": RIG_ARGUMENTS}


def commands() -> Any:  # noqa: ANN401 - a module of the documentation
    """The module that knows options of commands."""
    folder = str(ROOT / "docs" / "_ext")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("commands")


def command_lines(text: str) -> Iterator[str]:
    """Lines of `sh` blocks that call v2g or ros2, comments left out."""
    for kind, block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines() if kind == "sh" else ():
            words = shlex.split(line, comments=True)
            if words and words[0] in CHECKED:
                yield shlex.join(words)


def quoted_lines(text: str) -> Iterator[str]:
    """Words in back quotes outside of blocks that call v2g."""
    for quoted in QUOTED.findall(BLOCK.sub("", text)):
        yield shlex.join(shlex.split(quoted.rstrip(".…")))


def python_blocks(path: Path) -> list[str]:
    """Python code of a page."""
    return [block for kind, block in BLOCK.findall(path.read_text(encoding="utf-8")) if kind == "python"]


def fault_of(line: str, whole: bool = True) -> str:
    """What is wrong with a command line, in words; empty when nothing is.

    Args:
        line: a command line.
        whole: it must have all that is needed; else it may only name a command.
    """
    program, *words = shlex.split(line)
    if program == "ros2":
        return _ros_fault(words)
    for length in (2, 1):
        for command in COMMANDS:
            if command.name.split() == words[:length]:
                return _option_fault(command, words[length:], whole)
    return f"no command {' '.join(words[:2])}"


def _option_fault(command: Command, words: Sequence[str], whole: bool) -> str:
    if command.raw or "--help" in words:
        return ""
    parameters = commands().parameters_of(command)
    by_spelling = {spelling: one for one in parameters for spelling in one.spellings}
    arguments = [one for one in parameters if not one.spellings]
    given, coming = 0, iter(words)
    for word in coming:
        spelling, equals, _ = word.partition("=")
        if not word.startswith("-"):
            given += 1
        elif spelling not in by_spelling:
            return f"no option {spelling}"
        elif by_spelling[spelling].value and not equals and next(coming, "--").startswith("--"):
            return f"{spelling} without a value"
        elif equals and not by_spelling[spelling].value:
            return f"{spelling} takes no value"
    if given > len(arguments) and not any(one.many for one in arguments):
        return f"one word too many: {words[-1]}"
    missing = sum(one.needed for one in arguments) - given
    return f"{missing} word is missing" if missing > 0 and whole else ""


def _ros_fault(words: Sequence[str]) -> str:
    if words[:2] == ["launch", "v2g_nodes"]:
        arguments = LAUNCH.get(words[2])
        if arguments is None:
            return f"no launch file {words[2]}"
        given = [word.partition(":=")[0] for word in words[3:] if not word.startswith("--")]
        unknown = [name for name in given if name not in {one.name for one in arguments}]
        return f"no argument {unknown[0]} of {words[2]}" if unknown else ""
    if words[:2] == ["param", "set"]:
        return _parameter_fault(words[2].rpartition("/")[2], words[3])
    return ""


def _parameter_fault(kind: str, name: str) -> str:
    from dataclasses import fields

    from v2g_nodes.nodes.host import KINDS

    settable = {field.name: field.metadata["settable"] for field in fields(KINDS[kind].PARAMETERS)}
    if name not in settable:
        return f"no parameter {name} of {kind}"
    return "" if settable[name] else f"{name} of {kind} can't be set while it runs"
