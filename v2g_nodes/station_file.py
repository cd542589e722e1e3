"""Reading a YAML file into checked models, so that every error is one line: file, line, key, found, allowed."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import annotated_types
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from v2g_nodes.core.errors import InputError

KeyPath = tuple[int | str, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: 17:30 is text (1.1 reads 1050), `on` is text, 1e-3 is a number, a date is text."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+.0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


class YamlFile:
    """A YAML file that knows on which line each key stands."""

    def __init__(self, path: str | Path) -> None:
        """Read and parse.

        Args:
            path: the file.

        Raises:
            InputError: missing, not text, not YAML, empty, or a key that appears twice.
        """
        self.path = str(path)
        try:
            loader = _Loader(self._text())
            root = loader.get_single_node()
            if root is None:
                raise InputError(f"{self.path}: the file is empty, allowed is a station file of version 1")
            self._root = root
            self._refuse_doubled_keys(root, ())
            self.content = _with_tuples(loader.construct_document(root))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise InputError(f"{self.path}{line}: not YAML: {problem}, allowed is YAML 1.2") from error
        except RecursionError as error:
            raise InputError(f"{self.path}: an anchor refers to itself, allowed is a tree") from error

    def fail(self, key: Sequence[int | str], what: str) -> typing.NoReturn:
        """Refuse a key.

        Raises:
            InputError: file, line, key, what.
        """
        raise InputError(f"{self.path}:{self._line(key)}: {key_text(key)}{what}")

    def model(self, kind: type[ModelT]) -> ModelT:
        """The content as a model.

        Raises:
            InputError: the first key that is not as the model says.
        """
        if not isinstance(self.content, dict):
            self.fail((), f"the file holds {_shown(self.content)}, allowed is `key: value` lines")
        try:
            return kind.model_validate(self.content)
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False)
            key, what = _explain(kind, errors[0]["type"], tuple(errors[0]["loc"]), errors[0]["input"])
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            self.fail(key, what + more)

    def _text(self) -> str:
        try:
            return Path(self.path).read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}, allowed is a readable station file") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path}: not UTF-8 text, allowed is a YAML station file") from error

    def _refuse_doubled_keys(self, node: yaml.Node, key: KeyPath) -> None:
        for step, _, value in _children(node):
            self._refuse_doubled_keys(value, (*key, step))
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for name, _ in node.value:
                line = name.start_mark.line + 1
                if name.value in seen:
                    raise InputError(f"{self.path}:{line}: {key_text((*key, name.value))}appears again (first on line "
                                     f"{seen[name.value]}), allowed is once")
                seen[name.value] = line

    def _line(self, key: Sequence[int | str]) -> int:
        """Line of a key, or of the closest thing around it that is in the file."""
        node, line = self._root, self._root.start_mark.line + 1
        for step in key:
            found = next(((mark, value) for name, mark, value in _children(node) if name == step), None)
            if found is None:
                break
            line, node = found[0], found[1]
        return line


def _children(node: yaml.Node) -> Iterator[tuple[int | str, int, yaml.Node]]:
    """(key or index, line, node) of everything right below a node."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield name.value, name.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value.start_mark.line + 1, value


def _with_tuples(value: object) -> object:
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, dict):
        return {str(key): _with_tuples(item) for key, item in value.items()}
    return value


def key_text(key: Sequence[int | str]) -> str:
    """`key modules[3].soc: `, or nothing for the whole file."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key).lstrip(".")
    return f"key {text}: " if text else ""


def _explain(kind: type[BaseModel], error: str, key: KeyPath, found: object) -> tuple[KeyPath, str]:
    """The key at fault and 'found, allowed'."""
    model, info = _field_at(kind, key)
    if error == "extra_forbidden" and model is not None:
        known = list(model.model_fields)
        close = difflib.get_close_matches(str(key[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}? " if close else ""
        return key, f"unknown key, {hint}allowed {', '.join(known)}"
    allowed = allowed_text(info) if info is not None else "another type"
    if error == "missing":
        return key, f"missing, allowed {allowed}"
    return key, f"{_shown(found)}, allowed {allowed}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "`key: value` lines"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return "null" if value is None else repr(value)


def _field_at(kind: type[BaseModel], key: KeyPath) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The model a key belongs to, and the field above or at it."""
    model: type[BaseModel] | None = kind
    info: FieldInfo | None = None
    for step in key:
        if model is None:  # inside a list or a table of names
            model = _inner_model(info.annotation) if info is not None else None
            continue
        if step not in model.model_fields:
            return model, None
        info = model.model_fields[str(step)]
        annotation = info.annotation
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
        if model is None and typing.get_origin(annotation) in (typing.Union, types.UnionType):
            model = _inner_model(annotation)
    return model, info


def _inner_model(annotation: object) -> type[BaseModel] | None:
    for inner in typing.get_args(annotation):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


_TYPES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def allowed_text(info: FieldInfo) -> str:
    """What a field allows, in words: range with unit, or choices, and null where it may be left out."""
    choices = [a for a in typing.get_args(info.annotation) if a is not type(None)]
    nullable = " or null" if len(choices) < len(typing.get_args(info.annotation)) else ""
    kind: Any = choices[0] if nullable and len(choices) == 1 else info.annotation
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = f" {extra['unit']}" if extra.get("unit") else ""
    if extra.get("allowed"):
        return str(extra["allowed"])
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(str(choice) for choice in typing.get_args(kind)) + nullable
    low = next((m.ge for m in info.metadata if isinstance(m, annotated_types.Ge)), None)
    high = next((m.le for m in info.metadata if isinstance(m, annotated_types.Le)), None)
    if low is not None and high is not None:
        whole = "whole number " if kind is int else ""
        return f"{whole}{low:.12g} to {high:.12g}{unit}{nullable}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"`key: value` lines{nullable}"
    return _TYPES.get(kind, "a list" if typing.get_origin(kind) is tuple else "`name: ...` lines") + unit + nullable
