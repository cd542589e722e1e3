"""The bus from flat node parameters, as ROS has them: `can_interface`, `can_channel` and so on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.core.errors import InputError


def settings_from(parameters: Mapping[str, Any]) -> CanSettings:
    """The bus of a node.

    Args:
        parameters: with a key `can_` + name for every field of CanSettings; `can_options` is JSON text.

    Raises:
        InputError: a value that can't be used.
    """
    values = {item.name: parameters[f"can_{item.name}"] for item in fields(CanSettings)}
    text = values["options"]
    try:
        values["options"] = json.loads(text) if text else {}
    except ValueError as error:
        raise InputError(f"can_options is {text!r}, allowed a JSON object: {error}") from error
    if not isinstance(values["options"], dict):
        raise InputError(f"can_options is {text!r}, allowed a JSON object")
    return CanSettings(**values)
