"""All that changes in a simulated module, and its JSON form, so that state survives a restart."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields

from v2g_nodes.core.errors import InputError

STATE_VERSION = 1


@dataclass
class Ek3State:
    """All that changes; this is what is saved."""

    time_s: float
    ambient_c: float
    temperature_c: float
    power_kw: float = 0.0
    reference_kw: float = 0.0
    since_command_s: float = 0.0
    ramp_budget_kw: float = 0.0
    plugged: bool = False
    session_id: str = ""
    capacity_kwh: float = 60.0
    soc: float = 0.5
    soc_due: float = 0.0
    departure_s: float | None = None
    sessions_done: int = 0
    fault: str = ""
    violations: int = 0
    violation: str = ""
    discharged_kwh: float = 0.0
    charged_kwh: float = 0.0


def state_to_json(state: Ek3State, saved_at_s: float) -> str:
    """The state with the time of saving [s]."""
    return json.dumps({"version": STATE_VERSION, "saved_at_s": saved_at_s, **asdict(state)})


def state_from_json(text: str) -> tuple[Ek3State, float]:
    """The state and its time of saving [s].

    Raises:
        InputError: not what state_to_json wrote.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"module state is not JSON: {error}, allowed is what to_state wrote") from error
    if not isinstance(content, dict) or content.pop("version", None) != STATE_VERSION:
        raise InputError(f"module state is of another version, allowed is {STATE_VERSION}")
    saved_at_s = content.pop("saved_at_s", None)
    known = {item.name: item.type for item in fields(Ek3State)}
    if set(content) != set(known):
        wrong = ", ".join(sorted(set(content) ^ set(known)))
        raise InputError(f"module state has missing or unknown keys {wrong}, allowed is what to_state wrote")
    for key, value, kind in [("saved_at_s", saved_at_s, "float"), *((k, content[k], known[k]) for k in known)]:
        if not _fits(value, str(kind)):
            raise InputError(f"module state {key} is {value!r}, allowed is a finite {kind}")
    return Ek3State(**content), float(saved_at_s)


def _fits(value: object, kind: str) -> bool:
    if kind in ("str", "bool"):
        return type(value).__name__ == kind
    if value is None:
        return kind.endswith("None")
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
