"""What an optimizer writes down, so that its decisions can be made again: agreements, and what comes into force."""

from __future__ import annotations

import json
import math
from array import array
from dataclasses import dataclass
from typing import Any

from v2g_nodes.core.cost import CostParameters
from v2g_nodes.core.optimizer_types import Begun, Decision, OptimizerSettings
from v2g_nodes.core.release import release_rule
from v2g_nodes.core.release_journal import JournalPage, ReleaseJournal
from v2g_nodes.msg import DecisionRecord
from v2g_nodes.nodes import convert

RECORD_AFTER_NS = 10_000_000  # ns after the agreement; neighbours may be in their last round until then
BASE_NS = 1_000_000_000  # ns, calls of the release rule in one message


@dataclass(frozen=True)
class AgreedEpoch:
    """A decision and what is known at its moment only, as the record is written later.

    Args:
        decision: what was decided, from what.
        signal_ns: receipt of the signal [ns].
        curves_sent: messages since start.
        states_sent: messages since start.
        now_s: ROS time [s].
        agreed_ns: base set-point published [ns].
    """

    decision: Decision
    signal_ns: int
    curves_sent: int
    states_sent: int
    now_s: float
    agreed_ns: int


class OptimizerRecord:
    """Keeps what is to be written until nobody waits for this module any more.

    Args:
        settings: of the optimizer.
        cost: of the module.
    """

    def __init__(self, settings: OptimizerSettings, cost: CostParameters) -> None:
        self._module_id, self._cost = settings.module_id, cost
        self.release = ReleaseJournal(release_rule(settings.silence_ns, settings.fall_ns))
        constants = {"algorithm": settings.algorithm, "price_span_eur_per_kwh": settings.price_span_eur_per_kwh,
                     "rating_kw": {str(k): kw for k, kw in settings.rating_kw.items()}}  # fmt: skip
        self._epoch_settings = json.dumps(constants)
        self._base_settings = json.dumps({"silence_ns": settings.silence_ns, "fall_ns": settings.fall_ns})
        self._later: list[AgreedEpoch | Begun] = []
        self._based_ns: int | None = None  # when base set-points were written last; the first second counts from a call
        self._sequence = 0

    def note(self, epoch: AgreedEpoch | Begun) -> None:
        """An agreement, or an exchange that was ended before it."""
        self._later.append(epoch)

    def waits(self, now_ns: int) -> bool:
        """Whether to write nothing yet."""
        last = self._later[-1] if self._later else None
        return isinstance(last, AgreedEpoch) and now_ns - last.agreed_ns < RECORD_AFTER_NS

    def take(self, now_s: float, now_ns: int, ended: bool = False) -> list[DecisionRecord]:
        """What is to be published now.

        Args:
            now_s: ROS time [s].
            now_ns: steady time [ns].
            ended: nothing more comes.
        """
        later, self._later = self._later, []
        records = [
            self._begun(epoch, now_s) if isinstance(epoch, Begun) else self._epoch(epoch) for epoch in later
        ]
        if self._based_ns is None:
            self._based_ns = now_ns
        if ended or now_ns - self._based_ns >= BASE_NS:
            self._based_ns = now_ns
            page = self.release.take()
            records += [] if page is None else [self._base(page, now_s)]
        return records

    def _record(self, kind: int, settings: str, now_s: float) -> DecisionRecord:
        self._sequence += 1
        return DecisionRecord(
            kind=kind, module_id=self._module_id, stamp=convert.to_time(now_s), sequence=self._sequence,
            settings=settings,
        )  # fmt: skip

    def _epoch(self, epoch: AgreedEpoch) -> DecisionRecord:
        decision, agreement = epoch.decision, epoch.decision.agreement
        record = self._begun(decision.begun, epoch.now_s)
        record.kind = DecisionRecord.EPOCH
        record.cold = agreement.cold
        record.bracket = decision.bracket
        record.rounds = agreement.rounds
        record.resends = decision.resends
        record.clipped_target_kw = agreement.clipped_target_kw
        record.lambda_eur_per_kwh = agreement.lambda_eur_per_kwh
        record.power_kw = agreement.power_kw
        record.curves_sent = epoch.curves_sent
        record.states_sent = epoch.states_sent
        record.signal_received_ns = epoch.signal_ns
        record.agreed_ns = epoch.agreed_ns
        return record

    def _begun(self, begun: Begun, now_s: float) -> DecisionRecord:
        record = self._record(DecisionRecord.BEGUN, self._epoch_settings, now_s)
        group, warm, start, detail = begun.group, begun.warm, begun.start_eur_per_kwh, begun.snapshot.detail
        frozen: Any = detail
        mask = dict.fromkeys(group.members, 0)
        for a, b in group.edges:
            mask[a] |= 1 << (b - 1)
            mask[b] |= 1 << (a - 1)
        convert.put_epoch(record, begun.epoch)
        record.membership = group.fingerprint
        record.members = sum(1 << (k - 1) for k in group.members)
        record.links = array("Q", mask.values())
        record.begun_cold = begun.cold
        if warm is not None:
            record.warm = array("d", (*warm.prices, *warm.totals_kw))
            record.warm_target_kw, record.warm_step_kw, record.warm_tag = warm.target_kw, warm.step_kw, warm.tag
        record.start_eur_per_kwh = math.nan if start is None else start
        record.target_kw = begun.target_kw
        record.island_target_kw = begun.island_target_kw
        record.box_low_kw, record.box_high_kw = begun.snapshot.box.low_kw, begun.snapshot.box.high_kw
        record.soc, record.temperature_c = frozen["soc"], frozen["temperature_c"]
        record.previous_kw = frozen["previous_kw"]
        record.cost_parameters = array("d", (getattr(self._cost, name) for name in CostParameters.__dataclass_fields__))
        record.started_ns = begun.started_ns
        return record

    def _base(self, page: JournalPage, now_s: float) -> DecisionRecord:
        record = self._record(DecisionRecord.BASE, self._base_settings, now_s)
        record.state, record.state_ns = array("d", page.powers_kw), array("q", page.times_ns)
        record.tick_ns, record.call = array("q", page.now_ns), array("B", page.calls)
        record.base_kw, record.agreed = array("d", page.answers_kw), array("d", page.agreed)
        return record
