"""Pages of the libraries that other programs may use: signatures and docstrings as they stand in the code."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType

from pages import list_page

PAGES = {
    "core": ("core.types", "core.supply", "core.cost", "core.gate", "core.droop_control", "core.membership",
             "core.plan"),
    "dispatch": ("core.dispatch.agent", "core.dispatch.methods", "core.dispatch.lockstep", "core.dispatch.iterative",
                 "core.dispatch.reference", "core.averaging.average", "core.averaging.plans", "sim.network"),
    "planning": ("planning.valley.fleet", "planning.valley.plan", "planning.allocation.problem",
                 "planning.allocation.allocation", "planning.network.instance", "planning.network.certified",
                 "planning.market.platform", "planning.station.vehicles"),
    "hardware": ("nodes.backend", "canbus.bus"),
}  # fmt: skip


LINE_MAX = 84  # characters of a signature on one line


def pages() -> dict[str, str]:
    """All of them."""
    made = {f"api/{name}.md": "\n\n".join([f"# {name}", *map(_module, modules)]) + "\n"
            for name, modules in PAGES.items()}  # fmt: skip
    listed = {name: (name, ", ".join(f"`{module}`" for module in modules)) for name, modules in PAGES.items()}
    words = "What other programs may use, without ROS but for `hardware`, where a module's hardware is attached."
    return made | {"api/index.md": list_page("Libraries", words, listed)}


def _module(name: str) -> str:
    module = importlib.import_module(f"v2g_nodes.{name}")
    parts = [f"## {name}", _text(module)]
    for title, thing in _public(module):
        kind = "class" if inspect.isclass(thing) else "def"
        parts += [f"### {title}", f"```python\n{kind} {title}{_signature(thing)}\n```", _text(thing)]
        parts += [*_methods(title, thing)] if inspect.isclass(thing) else []
    return "\n\n".join(filter(None, parts))


def _methods(title: str, thing: type) -> Iterator[str]:
    for name, method in vars(thing).items():
        function = method.fget if isinstance(method, property) else method
        if not name.startswith("_") and inspect.isfunction(function) and inspect.getdoc(function):
            words = name if isinstance(method, property) else f"{name}{_signature(function)}"
            yield f"```python\n{title}.{words}\n```"
            yield _text(function)


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
        signature = inspect.signature(thing)  # type: ignore[arg-type]
    except ValueError:  # enumerations and the like
        return ""
    text = str(signature).replace("'", "")
    if len(text) <= LINE_MAX:
        return text
    each = "".join(f"    {parameter},\n" for parameter in signature.parameters.values())
    returned = text[text.rindex(")") + 1 :] if "->" in text else ""
    return f"(\n{each})".replace("'", "") + returned


def _text(thing: object) -> str:
    text = inspect.getdoc(thing)
    return f"```text\n{text}\n```" if text else ""
