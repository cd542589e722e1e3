"""Between messages and the values of core. Nothing else knows both."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from builtin_interfaces.msg import Time

from v2g_nodes.core.cost import CostParameters
from v2g_nodes.core.membership import LinkReport
from v2g_nodes.core.optimizer_types import NeighborReport
from v2g_nodes.core.plan import Plan
from v2g_nodes.core.privacy.key_book import KeyReport
from v2g_nodes.core.types import EpochId, Frame
from v2g_nodes.msg import Curve, DecisionRecord, GridSignal, MarketPlan, MaskKey, NeighborState

NS_PER_S = 1_000_000_000
_COST_FIELDS = tuple(CostParameters.__dataclass_fields__)
_STATE_FIELDS = tuple(name for name in NeighborState.get_fields_and_field_types() if name != "checksum")
SEQUENCE_EPOCH_S = 1_577_836_800  # s, 2020-01-01 UTC in Unix time; signal sequences count tenths of a second from it


def to_time(seconds: float) -> Time:
    """ROS time message of a time in seconds."""
    nanoseconds = round(seconds * NS_PER_S)
    return Time(sec=nanoseconds // NS_PER_S, nanosec=nanoseconds % NS_PER_S)


def to_seconds(time: Time) -> float:
    """Seconds of a ROS time message."""
    return time.sec + time.nanosec / NS_PER_S


def signal_sequence(now_s: float, period_s: float) -> int:
    """Epoch counter for a ROS time: tenths of a second at the beginning of the period, modulo 2^32."""
    return round(10 * period_s * int((now_s - SEQUENCE_EPOCH_S) / period_s)) % 2**32


def put_epoch(message: Any, epoch: EpochId) -> None:  # noqa: ANN401 - several message types share these fields
    """Write an epoch id into a message."""
    message.signal_sequence = epoch.signal_sequence
    message.plan_version = epoch.plan_version
    message.source_id = epoch.source_id


def get_epoch(message: Any) -> EpochId:  # noqa: ANN401 - several message types share these fields
    """Epoch id of a message."""
    return EpochId(message.signal_sequence, message.plan_version, message.source_id)


def curve_message(frame: Frame) -> Curve:
    """Frame -> message; the tag is mixed with a checksum of all else."""
    message = Curve(
        tag=frame.tag ^ _curve_checksum(frame),
        module_id=frame.sender,
        round=frame.round,
        bracket=frame.bracket,
        exponent=frame.exponent,
        exponent_previous=frame.exponent_previous,
    )
    message.values = list(frame.values)
    if frame.values_previous:
        message.values_previous = list(frame.values_previous)
    return message


def curve_frame(message: Curve) -> Frame:
    """Message -> frame; one damaged on the way belongs to no exchange."""
    frame = Frame(
        sender=message.module_id,
        tag=0,
        round=message.round,
        bracket=message.bracket,
        exponent=message.exponent,
        values=tuple(message.values.tolist()),
        exponent_previous=message.exponent_previous,
        values_previous=tuple(message.values_previous.tolist()) if message.round else (),
    )
    return frame._replace(tag=message.tag ^ _curve_checksum(frame))


def _curve_checksum(frame: Frame) -> int:
    head = (frame.round, frame.sender, frame.bracket, frame.exponent, frame.exponent_previous)
    words = (*frame.values, *frame.values_previous)
    return zlib.crc32(struct.pack(f"<HBBbb{len(words)}h", *head, *words))


def state_message(report: NeighborReport, leaving: bool) -> NeighborState:
    """Report -> message."""
    flags = (
        NeighborState.FLAG_AGREED * report.agreed
        + NeighborState.FLAG_LEAVING * leaving
        + (report.link.standing << NeighborState.STANDING_SHIFT)
    )
    message = NeighborState(
        membership=report.membership,
        module_id=report.sender,
        sequence=report.sequence,
        lambda_eur_per_kwh=report.lambda_eur_per_kwh,
        power_kw=report.power_kw,
        target_kw=report.target_kw,
        flags=flags,
        link_origin=report.link.origin,
        link_incarnation=report.link.incarnation,
        link_version=report.link.version,
        link_alive_low=report.link.alive & 0xFFFFFFFF,
        link_alive_high=report.link.alive >> 32,
    )
    put_epoch(message, report.epoch)
    return seal(message)


def seal(message: NeighborState) -> NeighborState:
    """The message with the checksum that fits its content."""
    message.checksum = _state_checksum(message)
    return message


def _state_checksum(message: NeighborState) -> int:
    fields = [getattr(message, name) for name in _STATE_FIELDS]
    return zlib.crc32(struct.pack("<IIHBBHfffBBHHII", *fields))


def state_report(message: NeighborState) -> NeighborReport | None:
    """Message -> report; None where the checksum does not fit."""
    if message.checksum != _state_checksum(message):
        return None
    return NeighborReport(
        sender=message.module_id,
        sequence=message.sequence,
        epoch=get_epoch(message),
        membership=message.membership,
        target_kw=message.target_kw,
        lambda_eur_per_kwh=message.lambda_eur_per_kwh,
        power_kw=message.power_kw,
        agreed=bool(message.flags & NeighborState.FLAG_AGREED),
        link=LinkReport(
            message.link_origin,
            message.link_incarnation,
            message.link_version,
            message.link_alive_low | message.link_alive_high << 32,
            message.flags >> NeighborState.STANDING_SHIFT & 3,
        ),
    )


def cost_parameters(message: DecisionRecord) -> CostParameters:
    """Record of an epoch -> cost of its module.

    Raises:
        ValueError: a record of another version.
    """
    return CostParameters(**dict(zip(_COST_FIELDS, message.cost_parameters, strict=True)))


def key_message(report: KeyReport) -> MaskKey:
    """Key -> message."""
    message = MaskKey(stamp=report.stamp, book=report.book, module_id=report.sender, origin=report.origin)
    message.public_key = list(report.public)
    message.checksum = _key_checksum(message)
    return message


def key_report(message: MaskKey) -> KeyReport | None:
    """Message -> key; None where the checksum does not fit."""
    if message.checksum != _key_checksum(message):
        return None
    public = bytes(message.public_key)
    return KeyReport(message.module_id, message.origin, message.stamp, public, message.book)


def _key_checksum(message: MaskKey) -> int:
    head = struct.pack("<QIBB", message.stamp, message.book, message.module_id, message.origin)
    return zlib.crc32(head + bytes(message.public_key))


def plan_of(message: MarketPlan) -> Plan:
    """Message -> plan.

    Raises:
        InputError: the plan is not usable.
    """
    return Plan(
        version=message.plan_version,
        rule=message.rule,
        start_time_of_day_s=message.start_time_of_day_s,
        slot_s=message.slot_s,
        base_kw=tuple(message.base_kw),
        capacity_kw=tuple(message.capacity_kw),
        rebate_eur_per_h=tuple(message.rebate_eur_per_h),
    )


def plan_message(plan: Plan) -> MarketPlan:
    """Plan -> message."""
    return MarketPlan(
        plan_version=plan.version,
        rule=plan.rule,
        start_time_of_day_s=plan.start_time_of_day_s,
        slot_s=plan.slot_s,
        base_kw=list(plan.base_kw),
        capacity_kw=list(plan.capacity_kw),
        rebate_eur_per_h=list(plan.rebate_eur_per_h),
    )


def signal_problem(message: GridSignal, nominal_hz: float) -> str:
    """Why a grid signal must not be used; empty if it may."""
    if not abs(message.frequency_hz - nominal_hz) <= 5.0:
        return f"frequency_hz {message.frequency_hz:g}, allowed {nominal_hz - 5:g} to {nominal_hz + 5:g} Hz"
    if not abs(message.signal_pu) <= 1.0:
        return f"signal_pu {message.signal_pu:g}, allowed -1 to 1"
    if not 0.0 <= message.time_of_day_s <= 86400.0:
        return f"time_of_day_s {message.time_of_day_s:g}, allowed 0 to 86400 s"
    if message.source_id == GridSignal.NO_SOURCE:
        return "source_id 0, allowed 1 to 255"
    return ""
