"""Pages of the station file and of the launch files, from the types and tables that read them."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Literal

from pages import table
from pydantic import BaseModel

from v2g_nodes import station_model
from v2g_nodes.bringup_launch import ARGUMENTS, MODULE_ARGUMENTS, RIG_ARGUMENTS, LaunchArgument

HEAD = ("key", "default", "allowed", "what it is")
STATION = """One YAML file describes a station: its modules, who hears whom, and how they are run. Every key but
`version`, `modules` and the ids is optional, unknown keys are refused, and file names are relative to the file. Powers
are in kW, above 0 discharges to the grid. `config/station.yaml` is an example with every key."""
LAUNCH = """`ros2 launch v2g_nodes FILE ARGUMENT:=VALUE ...`; `--show-args` lists them too. An empty value leaves what
the station file says."""


def pages() -> dict[str, str]:
    """Both."""
    return {"station_file.md": _station_page(), "launch.md": _launch_page()}


def _station_page() -> str:
    parts = ["# Station file", STATION, "## The file", _keys(station_model.Station)]
    for title, section in _sections(station_model.Station):
        parts += [f"## {title}", section.__doc__ or "", _keys(section)]
    return "\n\n".join(parts) + "\n"


def _sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Sections of the file in its order, those within a section after it."""
    for name, field in model.model_fields.items():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield name, part
                yield from ((f"{name}: {inner}", found) for inner, found in _sections(part))


def _parts(annotation: object) -> Iterator[object]:
    yield annotation
    for part in typing.get_args(annotation):
        yield from _parts(part)


def _keys(model: type[BaseModel]) -> str:
    rows: list[tuple[object, ...]] = []
    for name, field in model.model_fields.items():
        extra: Any = field.json_schema_extra
        default = "needed" if field.is_required() else _value(field.get_default())
        rows.append((f"`{name}`", default, _allowed(field, extra), f"{field.description}"))
    return table(HEAD, rows)


def _value(value: object) -> str:
    if isinstance(value, BaseModel) or (isinstance(value, dict) and value):
        return "see below"
    return "`null`" if value is None else f"`{value!s}`" if value not in ((), {}) else "empty"


def _allowed(field: Any, extra: Any) -> str:  # noqa: ANN401 - pydantic's own
    low, high = (next((getattr(one, end) for one in field.metadata if hasattr(one, end)), None) for end in ("ge", "le"))
    choices = [str(value) for part in _parts(field.annotation) if typing.get_origin(part) is Literal
               for value in typing.get_args(part)]
    span = "" if low is None or high is None else f"{_number(low)} to {_number(high)}"
    return " ".join(filter(None, (", ".join(choices) or span, extra["unit"], extra["allowed"])))


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"


def _launch_page() -> str:
    parts = ["# Launch files", LAUNCH]
    for name, arguments in (("station", ARGUMENTS), ("module", MODULE_ARGUMENTS), ("rig", RIG_ARGUMENTS)):
        parts += [f"## {name}.launch.py", _arguments(arguments)]
    return "\n\n".join(parts) + "\n"


def _arguments(arguments: tuple[LaunchArgument, ...]) -> str:
    return table(("argument", "default", "what it is"), [
        (f"`{one.name}`", "needed" if one.default is None else f"`{one.default}`" if one.default else "", one.text)
        for one in arguments])  # fmt: skip
