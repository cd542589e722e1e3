"""Between the messages that cross the bridge and the signals of canbus/ek3.dbc."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from v2g_nodes.core.plan import DAY_S
from v2g_nodes.msg import Curve, GridSignal, MarketPlan, NeighborState
from v2g_nodes.nodes import convert

Signals = Mapping[str, Any]

WORDS = 10
PLAN_SLOTS = 4  # of one PLAN frame
BUS_RULE = "bus"  # of a plan that came over the bus, so that it is not sent there again
_VALUES = tuple(f"value_{k}" for k in range(WORDS))
_PREVIOUS = tuple(f"previous_{k}" for k in range(WORDS))
_CURVE_HEAD = ("tag", "round", "exponent", "exponent_previous", "bracket")
_STATE_SAME = ("signal_sequence", "membership", "plan_version", "source_id", "lambda_eur_per_kwh", "target_kw",
               "link_origin", "link_incarnation", "link_version")  # fmt: skip
_GRID_SAME = ("source_id", "signal_sequence", "time_of_day_s", "frequency_hz", "voltage_v", "price_eur_per_kwh",
              "signal_pu", "site_load_kw")  # fmt: skip


def curve_signals(message: Curve) -> dict[str, Any]:
    """Message -> signals. The tag goes over as it is: its checksum holds from optimizer to optimizer."""
    signals = {name: getattr(message, name) for name in _CURVE_HEAD}
    signals.update(zip(_VALUES, message.values.tolist(), strict=True))
    signals.update(zip(_PREVIOUS, message.values_previous.tolist(), strict=True))
    return signals


def curve_message(sender: int, signals: Signals) -> Curve:
    """Signals -> message of a module."""
    message = Curve(module_id=sender, **{name: signals[name] for name in _CURVE_HEAD})
    message.values = [signals[name] for name in _VALUES]
    message.values_previous = [signals[name] for name in _PREVIOUS]
    return message


def state_signals(message: NeighborState) -> dict[str, Any]:
    """Message -> signals."""
    return {name: getattr(message, name) for name in _STATE_SAME} | {
        "state_sequence": message.sequence,
        "agreed_kw": message.power_kw,
        "agreed": message.flags & NeighborState.FLAG_AGREED,
        "leaving": (message.flags & NeighborState.FLAG_LEAVING) >> 1,
        "standing": message.flags >> NeighborState.STANDING_SHIFT & 3,
        "link_alive": message.link_alive_low | message.link_alive_high << 32,
    }


def state_message(sender: int, signals: Signals) -> NeighborState:
    """Signals -> message of a module."""
    alive = signals["link_alive"]
    flags = (
        NeighborState.FLAG_AGREED * signals["agreed"]
        + NeighborState.FLAG_LEAVING * signals["leaving"]
        + (signals["standing"] << NeighborState.STANDING_SHIFT)
    )
    return convert.seal(
        NeighborState(
            module_id=sender, sequence=signals["state_sequence"], power_kw=signals["agreed_kw"], flags=flags,
            link_alive_low=alive & 0xFFFFFFFF, link_alive_high=alive >> 32,
            **{name: signals[name] for name in _STATE_SAME},
        )
    )  # fmt: skip


def grid_signals(message: GridSignal) -> dict[str, Any]:
    """Message -> signals."""
    return {name: getattr(message, name) for name in _GRID_SAME} | {"signal_counter": message.sequence}


def grid_message(signals: Signals, now_s: float) -> GridSignal:
    """Signals -> message.

    Args:
        signals: of the frame.
        now_s: ROS time of receipt [s]; the sender's clock is another one.
    """
    return GridSignal(
        stamp=convert.to_time(now_s), sequence=signals["signal_counter"], **{name: signals[name] for name in _GRID_SAME}
    )


def plan_signals(message: MarketPlan, time_of_day_s: float) -> dict[str, Any] | None:
    """The slot of this moment and the next ones as signals; None where the plan has none.

    Args:
        message: the plan.
        time_of_day_s: now [s].
    """
    slot = int((time_of_day_s - message.start_time_of_day_s) % DAY_S / message.slot_s)
    here = slice(slot, slot + PLAN_SLOTS)
    base, capacity = list(message.base_kw[here]), list(message.capacity_kw[here])
    if not base:
        return None
    signals: dict[str, Any] = {
        "plan_version": message.plan_version,
        "slots": len(base),
        "start_time_of_day_s": (message.start_time_of_day_s + slot * message.slot_s) % DAY_S,
        "slot_s": message.slot_s,
    }
    for name, values in (("base_kw", base), ("capacity_kw", capacity)):
        signals |= {f"{name}_{k}": values[k] if k < len(values) else 0.0 for k in range(PLAN_SLOTS)}
    return signals


def plan_message(signals: Signals) -> MarketPlan:
    """Signals -> plan of a few slots."""
    slots = range(min(int(signals["slots"]), PLAN_SLOTS))
    return MarketPlan(
        plan_version=signals["plan_version"],
        rule=BUS_RULE,
        start_time_of_day_s=signals["start_time_of_day_s"],
        slot_s=signals["slot_s"],
        base_kw=[signals[f"base_kw_{k}"] for k in slots],
        capacity_kw=[signals[f"capacity_kw_{k}"] for k in slots],
    )


def is_finite_plan(message: MarketPlan) -> bool:
    """Whether a plan can be cut into slots."""
    return message.slot_s > 0.0 and math.isfinite(message.slot_s) and math.isfinite(message.start_time_of_day_s)
