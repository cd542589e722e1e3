"""Pages of the libraries that other programs may use: signatures and docstrings as they stand in the code."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType

MODULES = (
    "core.types", "core.supply", "core.cost", "core.dispatch.agent", "core.dispatch.methods", "core.dispatch.lockstep",
    "core.dispatch.reference", "core.averaging.average", "core.averaging.plans", "core.gate", "core.droop_control",
    "core.membership", "core.plan", "planning.valley.plan", "planning.valley.fleet", "planning.allocation.allocation",
    "planning.allocation.problem", "planning.network.certified", "planning.network.instance",
    "planning.market.platform", "nodes.backend", "canbus.bus",
)  # fmt: skip


def pages() -> dict[str, str]:
    """All of them."""
    return {f"api/{name}.md": _page(importlib.import_module(f"v2g_nodes.{name}"), name) for name in MODULES}


def _page(module: ModuleType, name: str) -> str:
    parts = [f"# {name}", _text(module)]
    for title, thing in _public(module):
        kind = "class" if inspect.isclass(thing) else "def"
        parts += [f"## {title}", f"```python\n{kind} {title}{_signature(thing)}\n```", _text(thing)]
        if inspect.isclass(thing):
            for inner, method in vars(thing).items():
                function = method.fget if isinstance(method, property) else method
                if not inner.startswith("_") and inspect.isfunction(function) and inspect.getdoc(function):
                    shown = "property" if isinstance(method, property) else f"def {inner}{_signature(function)}"
                    parts += [f"### {title}.{inner}", f"```python\n{shown}\n```", _text(function)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _public(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            yield name, thing


def _signature(thing: object) -> str:
    if inspect.isclass(thing) and getattr(thing, "_is_protocol", False):
        return "(Protocol)"
    try:
        return str(inspect.signature(thing)).replace("'", "")  # type: ignore[arg-type]
    except ValueError:  # enumerations and the like
        return ""


def _text(thing: object) -> str:
    text = inspect.getdoc(thing)
    return f"```text\n{text}\n```" if text else ""
