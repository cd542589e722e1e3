"""A key of a YAML file as a field of a pydantic model."""

from __future__ import annotations

from typing import Any

from pydantic import Field


def key(default: object, text: str, unit: str = "", low: float | None = None, high: float | None = None,
        pattern: str | None = None, allowed: str = "") -> Any:  # noqa: ANN401 - as pydantic.Field, which stands for any type
    """A key of the file: default, text, unit, bounds; `allowed` where type and bounds do not say it in words."""
    return Field(default, ge=low, le=high, pattern=pattern, description=text,
                 json_schema_extra={"unit": unit, "allowed": allowed})
