"""What the nodes that bring signal, plan and grid tell on /diagnostics: its source, its age, what stands in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2g_nodes.core.plan import Plan
from v2g_nodes.msg import GridSignal, Meter
from v2g_nodes.nodes.diagnostics import Status
from v2g_nodes.nodes.sources import RecordingParameters
from v2g_nodes.planning.station.vehicles import Stay

LATE_PERIODS = 3.0  # a message that is older than so many of its periods is late


def stand_ins(p: RecordingParameters, *needed: str) -> list[str]:
    """What takes the place of recordings that are not given, in words.

    Args:
        p: of the node.
        needed: recordings it has a use for: `frequency`, `prices`, `signal`.
    """
    absent = [what for what in needed if not getattr(p, f"{what}_csv")]
    if not absent:
        return []
    if p.missing == "none":
        return [f"no {' and no '.join(absent)}"]
    return [f"synthetic {', '.join(absent)} (seed {p.seed})"]


def signal_status(
    who: str, p: RecordingParameters, source: str, period_s: float, sent: GridSignal | None, sent_s: float,
    measured_s: float,
) -> Status:
    """Status `source` of a grid signal.

    Args:
        who: name of the node; there may be several.
        p: of the node.
        source: csv, synthetic or topic.
        period_s: wall time between two messages [s].
        sent: what was sent last; None before the first.
        sent_s: how long ago [s].
        measured_s: how long ago the meter's last measurement came [s]; NaN without a meter.
    """
    status = Status(who, "source", f"{source}, sent {sent_s:.1f} s ago", {
        "source": source,
        "recording of the frequency": p.frequency_csv,
        "last sent s ago": sent_s,
        "period s": period_s,
    })  # fmt: skip
    if not math.isnan(measured_s):
        status.values["last measurement s ago"] = measured_s
    if sent is None:
        status.error(f"no frequency from {source}")
        return status
    status.values |= {
        "frequency Hz": float(sent.frequency_hz), "voltage V": float(sent.voltage_v),
        "price EUR/kWh": float(sent.price_eur_per_kwh), "regulation signal pu": float(sent.signal_pu),
        "time of day s": sent.time_of_day_s, "sequence": sent.sequence,
    }  # fmt: skip
    if sent_s > LATE_PERIODS * period_s:
        status.error(f"no frequency from {source} for {sent_s:.1f} s")
    if math.isnan(sent.price_eur_per_kwh):
        status.warn("no price")
    for text in stand_ins(p, *(("frequency",) if source == "synthetic" else ()), "prices", "signal"):
        status.note(text)
    return status


def plan_status(
    who: str, p: RecordingParameters, plan: Plan, sent_s: float, stays: Sequence[Stay] | None = None
) -> Status:
    """Status `plan` of a market planner.

    Args:
        who: name of the node.
        p: of the node.
        plan: that is sent.
        sent_s: how long ago [s].
        stays: of the vehicles it was made for; None where it was not made for vehicles.
    """
    status = Status(who, "plan", f"rule {plan.rule}, version {plan.version}", {
        "rule": plan.rule,
        "version": plan.version,
        "slots": len(plan.base_kw),
        "slot s": plan.slot_s,
        "largest capacity kW": max(plan.capacity_kw, default=0.0),
        "last sent s ago": sent_s,
    })  # fmt: skip
    if stays is not None:
        due_kwh = sum(stay.vehicle.due_kwh for stay in stays)
        status.values |= {"vehicles": len(stays), "energy due kWh": due_kwh,
                          "of it out of reach kWh": due_kwh - sum(stay.charge_kwh for stay in stays)}  # fmt: skip
    if plan.rule in ("price_threshold", "valley"):
        for text in stand_ins(p, "prices"):
            status.note(text)
    return status


def plant_status(who: str, p: RecordingParameters, meter: Meter | None, silent: Sequence[int]) -> Status:
    """Status `grid` of the simulated grid.

    Args:
        who: name of the node.
        p: of the node.
        meter: its last reading; None before the first.
        silent: modules that are not heard; they feed nothing.
    """
    status = Status(who, "grid", "simulated")
    if meter is not None:
        status.values = {
            "station kW": float(meter.station_kw), "reactive kvar": float(meter.reactive_kvar),
            "voltage V": float(meter.voltage_v), "frequency Hz": float(meter.frequency_hz),
            "exported kWh": meter.exported_kwh, "imported kWh": meter.imported_kwh, "cost EUR": meter.cost_eur,
        }  # fmt: skip
        if meter.tripped:
            status.error(f"grid protection has tripped at {meter.voltage_v:.0f} V, {meter.frequency_hz:.3f} Hz")
    if silent:
        status.warn(f"module {', '.join(map(str, silent))} not heard: counts as 0 kW")
    for text in stand_ins(p, "frequency", "prices"):
        status.note(text)
    return status
