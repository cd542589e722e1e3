"""Definitions of messages as their packages install them: `share/PACKAGE/msg/NAME.msg`, comments and units included."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from v2g_nodes.core.errors import InputError

PREFIX_PATH = "AMENT_PREFIX_PATH"
SEPARATOR = "=" * 80
BASIC = {"bool", "byte", "char", "float32", "float64", "string", "wstring",
         *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}  # fmt: skip
FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+", re.MULTILINE)


def definition(message: str, environment: Mapping[str, str] = os.environ) -> str:
    """Text of a type and, after lines of 80 `=`, that of every type in it.

    Args:
        message: such as v2g_nodes/msg/Applied.
        environment: says where packages are installed.

    Raises:
        InputError: a definition is not installed.
    """
    texts: dict[str, str] = {}
    _collect(_short(message), texts, environment)
    (_, first), *others = texts.items()
    return "\n".join([first, *(f"{SEPARATOR}\nMSG: {name}\n{text}" for name, text in others)])


def _collect(name: str, texts: dict[str, str], environment: Mapping[str, str]) -> None:
    if name in texts:
        return
    texts[name] = _read(name, environment)
    for inner in _types_in(texts[name], name.split("/")[0]):
        _collect(inner, texts, environment)


def _types_in(text: str, package: str) -> Iterator[str]:
    for line in text.splitlines():
        found = FIELD.match(line.partition("#")[0])
        kind = "" if found is None else found.group(1)
        if kind and kind not in BASIC:
            yield _short(kind) if "/" in kind else f"{package}/{kind}"


def _read(name: str, environment: Mapping[str, str]) -> str:
    package, _, kind = name.partition("/")
    prefixes = filter(None, environment.get(PREFIX_PATH, "").split(os.pathsep))
    for prefix in (*prefixes, sys.prefix):  # a virtual environment with ROS in it needs no path
        path = Path(prefix, "share", package, "msg", f"{kind}.msg")
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise InputError(f"message {name}: no definition below share/ in {PREFIX_PATH} or {sys.prefix}")


def _short(message: str) -> str:
    """package/Name of package/msg/Name."""
    parts = message.split("/")
    return f"{parts[0]}/{parts[-1]}"
