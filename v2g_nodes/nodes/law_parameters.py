"""ROS parameters of every node that knows the droop law."""

from __future__ import annotations

import json
from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes.parameters import RunParameters, parameter


@dataclass(frozen=True)
class LawParameters(RunParameters):
    """The law beside gain and deadband, as the station file's section `droop` has it."""

    law: str = parameter("plain", "plain = gain and deadband; ieee1547, en50549 = grid codes")
    law_category: str = parameter("III", "abnormal operating performance category of IEEE 1547-2018: I, II or III")
    law_settings: str = parameter("{}", "settings of the grid code that differ from its defaults, as JSON")

    @property
    def law_changes(self) -> dict[str, float]:
        """`law_settings`, read.

        Raises:
            InputError: not an object of numbers.
        """
        return numbers_of("law_settings", self.law_settings)


def numbers_of(name: str, text: str) -> dict[str, float]:
    """Numbers by name, from JSON.

    Args:
        name: of the parameter.
        text: its value.

    Raises:
        InputError: not an object of numbers.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name} is {text[:80]!r}: {error}, allowed is JSON") from error
    if not isinstance(found, dict) or not all(type(value) in (int, float) for value in found.values()):
        raise InputError(f"{name} is {text[:80]!r}, allowed is an object of numbers")
    return {key: float(value) for key, value in found.items()}
