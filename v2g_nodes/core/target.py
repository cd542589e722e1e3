"""What the station owes the grid, evaluated by each module for itself, never a function of frequency."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from v2g_nodes.core.checks import check_range

MAJORITY, NAMEPLATE_SHARE = "majority", "nameplate_share"
SIGNAL_TOLERANCE_PU = 1e-6  # pu, float32 of the message may take the signal this far beyond 1


def target_kw(
    base_kw: float,
    capacity_kw: float,
    signal_pu: float,
    site_load_kw: float = math.nan,
    import_limit_kw: float | None = None,
) -> float:
    """Target of the station [kW], > 0 discharges: base + capacity * signal - shaving.

    The shaving is what the plan lacks to keep the import of the connection at its limit. Import is
    site load - target, so the shaving is min(0, base + capacity * signal - (site load - limit)): it only ever
    raises the target. The result is rounded to float32, as messages carry it, so that all modules that see the
    same signal and plan hold the same number bit by bit.

    Args:
        base_kw: planned base power [kW].
        capacity_kw: planned capacity for regulation [kW], >= 0.
        signal_pu: regulation signal, -1 to 1, positive asks for discharge.
        site_load_kw: other load behind the same connection [kW]; NaN = not measured, nothing is shaved.
        import_limit_kw: largest import of the connection [kW]; None = no limit.

    Raises:
        InputError: a value not finite or out of range.
    """
    check_range("base_kw", base_kw, -math.inf, math.inf, "kW")
    check_range("capacity_kw", capacity_kw, 0.0, math.inf, "kW")
    check_range("signal_pu", signal_pu, -1.0 - SIGNAL_TOLERANCE_PU, 1.0 + SIGNAL_TOLERANCE_PU, "pu")
    planned = base_kw + capacity_kw * min(max(signal_pu, -1.0), 1.0)
    shaving = 0.0
    if import_limit_kw is not None and not math.isnan(site_load_kw):
        check_range("site_load_kw", site_load_kw, -math.inf, math.inf, "kW")
        check_range("import_limit_kw", import_limit_kw, 0.0, math.inf, "kW")
        shaving = min(0.0, planned - (site_load_kw - import_limit_kw))
    return to_float32(planned - shaving)


def caution(target_kw: float) -> tuple[float, float]:
    """Order of the targets of one epoch, of which the first counts: the smaller power, charging before discharging."""
    return abs(target_kw), target_kw


def island_target_kw(
    target_kw: float, members: Collection[int], present: Collection[int], rating_w: Mapping[int, int], rule: str
) -> float:
    """What an island owes of the target [kW].

    Args:
        target_kw: of the station [kW].
        members: modules of the island.
        present: an electorate (core/membership.py); members outside of it do not count.
        rating_w: ratings by id, whole numbers so that every member adds up to the same [W].
        rule: MAJORITY = the island with more than half of the rating present owes all, others nothing, the lowest id
            decides a tie; NAMEPLATE_SHARE = each owes its share of the rating.
    """
    counting = [k for k in members if k in present]
    island_w, present_w = (sum(rating_w[k] for k in ids) for ids in (counting, present))
    if not island_w:
        return 0.0
    if rule == NAMEPLATE_SHARE:
        return target_kw * island_w / present_w
    owns = 2 * island_w > present_w or (2 * island_w == present_w and min(present) in counting)
    return target_kw if owns else 0.0


def to_float32(value: float) -> float:
    """The value as a message of 32-bit floats carries it."""
    return float(np.float32(value))
