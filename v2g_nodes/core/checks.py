"""Range checks whose message shows what was found and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2g_nodes.core.errors import InputError


def check_range(name: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse a value that is not finite or not in [low, high].

    Args:
        name: what the value is called where it is set.
        value: as found.
        low: smallest allowed value; minus infinity = no lower bound (the value must still be finite).
        high: largest allowed value; infinity = no upper bound.
        unit: unit of value and range, empty for a pure number.

    Raises:
        InputError: with name, value and range.
    """
    if not (math.isfinite(value) and low <= value <= high):
        suffix = f" {unit}" if unit else ""
        raise InputError(f"{name} is {value!r}{suffix}, allowed {_allowed(low, high)}{suffix}")


def _allowed(low: float, high: float) -> str:
    if math.isfinite(high):
        return f"{low:g} to {high:g}" if math.isfinite(low) else f"up to {high:g}, finite"
    return f"at least {low:g}, finite" if math.isfinite(low) else "any finite number"


def check_positive(name: str, value: float, unit: str = "") -> None:
    """Refuse a value that is not finite and above zero.

    Raises:
        InputError: with name and value.
    """
    if not (math.isfinite(value) and value > 0.0):
        suffix = f" {unit}" if unit else ""
        raise InputError(f"{name} is {value!r}{suffix}, allowed above 0{suffix}, finite")


def check_count(name: str, values: Sequence[float], count: int) -> None:
    """Refuse values that are not as many as asked for.

    Raises:
        InputError: with name and both numbers.
    """
    if len(values) != count:
        raise InputError(f"{name} has {len(values)} values, allowed are {count}")
