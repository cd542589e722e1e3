"""Slots of a plan."""

from __future__ import annotations

import math

EDGE_S = 1e-6  # s, rounding of a time


def whole_slots(start_s: float, end_s: float, slot_s: float, slots: int) -> tuple[int, int]:
    """The slots of a plan that lie inside a stay as a whole.

    Args:
        start_s: of the stay, after the start of the plan [s]; may be below 0.
        end_s: of the stay [s]; may be infinite.
        slot_s: width of a slot [s].
        slots: of the plan.

    Returns:
        The first one, and the one after the last; there is none unless the second is above the first.
    """
    first = max(0, math.ceil((start_s - EDGE_S) / slot_s))
    return first, int(min(float(slots), (end_s + EDGE_S) // slot_s))
