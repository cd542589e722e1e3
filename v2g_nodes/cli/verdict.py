"""The figures of a run, in the order of their JSON, and whether they are good."""

from __future__ import annotations

import math
from collections.abc import Mapping

from v2g_nodes.core.dispatch.methods import gap_limit

#: of the CAN bridge, null without one
BUS_KEYS = ("bridge_to_bus_ms_median", "bridge_to_bus_ms_p99", "bridge_from_bus_ms_median", "bridge_from_bus_ms_p99",
            "bus_frames_lost", "bus_frames_refused")  # fmt: skip
UP_KEYS = (
    "modules", "topology", "diameter", "algorithm", "duration_s", "speed", "epochs", "cold_epochs", "rounds_median",
    "rounds_max", "round_ms_median", "transport_round_ms_median", "epoch_ms_median", "epoch_ms_p99",
    "epoch_over_floor", "gap_max", "equal_split_gap_median", "balance_error_kw_max", "delivered_error_kw_p99",
    "constraint_violations", "gate_clips", "clipped_epochs", "shortfall_kw_max", "signal_to_setpoint_ms_median",
    "signal_to_setpoint_ms_p99", "droop_rate_hz", "droop_jitter_ms_p99", "droop_overruns", "bytes_per_message_max",
    "kbps_per_module_max", *BUS_KEYS, "energy_kwh", "cost_eur", "performance_score", "performance_parts",
    "settlement", "restarts", "verdict",
)  # fmt: skip

BALANCE = 1e-3  # of the rating


def ordered(figures: Mapping[str, object]) -> dict[str, object]:
    """Exactly the keys of `up`, in their order; what was not measured is null."""
    return {key: figures.get(key) for key in UP_KEYS}


def verdict(
    figures: Mapping[str, object], rating_kw: float, members: int | None, fault: str = "", partial: bool = False
) -> str:
    """`ok`, or in a few words what is not. A process that died and was replaced counts in `restarts`, not here.

    Args:
        figures: of the run; `unreached` are modules that their set-points do not reach, in words.
        rating_kw: sum of the modules' ratings [kW].
        members: modules that took part in the last agreement; None when nobody saw one.
        fault: why the run had to end, empty if it had not.
        partial: only a part of the station ran on this host, so its balance is not known here.
    """
    faults = [fault] if fault else []
    unreached = figures.get("unreached")
    faults += map(str, unreached) if isinstance(unreached, list) else []
    if not _number(figures, "epochs") >= 1:
        faults.append("no epoch agreed")
    else:
        faults += _limits(figures, math.inf if partial else rating_kw)
        modules = _number(figures, "modules")
        if members is None or members < modules:
            faults.append(f"{members or 0} of {modules:g} modules took part in the last epoch")
    return "; ".join(faults) or "ok"


def _limits(figures: Mapping[str, object], rating_kw: float) -> list[str]:
    faults = []
    gap = gap_limit(str(figures.get("algorithm")))
    for key, limit, unit in (("gap_max", gap, ""), ("balance_error_kw_max", BALANCE * rating_kw, " kW")):
        value = _number(figures, key)
        if limit < math.inf and not value < limit:
            found = "not measured" if math.isnan(value) else f"{value:.3g}{unit}"
            faults.append(f"{key} {found}, allowed below {limit:.3g}{unit}")
    for key in ("constraint_violations", "gate_clips"):
        value = _number(figures, key)
        if value != 0:
            faults.append(f"{key} {'not measured' if math.isnan(value) else f'{value:g}'}, allowed 0")
    refused = _number(figures, "bus_frames_refused")
    if refused > 0:
        faults.append(f"{refused:g} frames on the bus were refused, see the bridge's log")
    unjudged = _number(figures, "unjudged_epochs")
    if unjudged > 0:
        faults.append(f"{unjudged:g} epochs could not be judged, see the monitor's log")
    return faults


def _number(figures: Mapping[str, object], key: str) -> float:
    value = figures.get(key)
    return float(value) if isinstance(value, (int, float)) else math.nan
