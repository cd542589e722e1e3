"""What an optimizer writes down of an epoch, so that its decision can be made again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from v2g_nodes.core.cost import CostParameters
from v2g_nodes.core.optimizer_types import Decision
from v2g_nodes.msg import DecisionRecord
from v2g_nodes.nodes import convert


@dataclass(frozen=True)
class AgreedEpoch:
    """A decision and what is known at its moment only, as the record is written later.

    Args:
        decision: what was decided, from what.
        target_kw: target of the station [kW].
        signal_ns: receipt of the signal [ns].
        curves_sent: messages since start.
        states_sent: messages since start.
        now_s: ROS time [s].
        agreed_ns: base set-point published [ns].
    """

    decision: Decision
    target_kw: float
    signal_ns: int
    curves_sent: int
    states_sent: int
    now_s: float
    agreed_ns: int


def epoch_record(epoch: AgreedEpoch, module_id: int, cost: CostParameters) -> DecisionRecord:
    """The record of an epoch at one module."""
    decision = epoch.decision
    agreement, group, warm = decision.agreement, decision.group, decision.warm
    detail: Any = decision.snapshot.detail
    mask = dict.fromkeys(group.members, 0)
    for a, b in group.edges:
        mask[a] |= 1 << (b - 1)
        mask[b] |= 1 << (a - 1)
    start = decision.start_eur_per_kwh
    record = DecisionRecord(
        kind=DecisionRecord.EPOCH,
        module_id=module_id,
        stamp=convert.to_time(epoch.now_s),
        membership=group.fingerprint,
        members=sum(1 << (k - 1) for k in group.members),
        links=[mask[k] for k in group.members],
        cold=agreement.cold,
        bracket=decision.bracket,
        warm=[*warm.prices, *warm.totals_kw] if warm and not agreement.cold else [],
        start_eur_per_kwh=math.nan if start is None else start,
        rounds=agreement.rounds,
        resends=decision.resends,
        curves_sent=epoch.curves_sent,
        states_sent=epoch.states_sent,
        target_kw=epoch.target_kw,
        island_target_kw=agreement.target_kw,
        clipped_target_kw=agreement.clipped_target_kw,
        box_low_kw=decision.snapshot.box.low_kw,
        box_high_kw=decision.snapshot.box.high_kw,
        soc=detail["soc"],
        temperature_c=detail["temperature_c"],
        previous_kw=detail["previous_kw"],
        cost_parameters=[getattr(cost, name) for name in CostParameters.__dataclass_fields__],
        lambda_eur_per_kwh=agreement.lambda_eur_per_kwh,
        power_kw=agreement.power_kw,
        signal_received_ns=epoch.signal_ns,
        started_ns=decision.started_ns,
        agreed_ns=epoch.agreed_ns,
    )
    convert.put_epoch(record, decision.epoch)
    return record
