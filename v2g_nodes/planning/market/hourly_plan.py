"""The platform's bids as the plan that a station follows."""

from __future__ import annotations

from v2g_nodes.core.plan import DAY_S, Plan
from v2g_nodes.core.types import FloatArray


def station_plan(bid_kw: FloatArray, version: int = 1, start_time_of_day_s: float = 0.0, scale: float = 1.0) -> Plan:
    """Capacity per slot and no base power: regulation alone moves the vehicles.

    Args:
        bid_kw: of the fleet, shape (hours,) [kW].
        version: of the plan.
        start_time_of_day_s: of the first slot [s].
        scale: share of the fleet's bid that this station serves.

    Raises:
        InputError: a value out of range.
    """
    hours = len(bid_kw)
    return Plan(version, "market", start_time_of_day_s, DAY_S / 24.0, (0.0,) * hours,
                tuple(float(scale * bid) for bid in bid_kw))  # fmt: skip
