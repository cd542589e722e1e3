"""`optimizer`: agrees with the neighbours on the price and on this module's base power."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rclpy.context import Context

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.epoch_start import OfferRule
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.freshness import SourceChoice
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import Decision, NeighborReport, Outbox, Snapshot
from v2g_nodes.core.plan import Plan
from v2g_nodes.core.privacy.key_book import KeyReport
from v2g_nodes.core.privacy.masks import MASKS
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.target import target_kw
from v2g_nodes.core.types import Box, EpochId, Frame
from v2g_nodes.msg import (
    Applied,
    BaseSetpoint,
    Curve,
    GridSignal,
    MarketPlan,
    MaskKey,
    ModuleStatus,
    NeighborState,
)
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.exchange_diagnostics import ExchangeDiagnostics
from v2g_nodes.nodes.optimizer_parameters import OptimizerParameters, cost_of, key_pair_of, offer_of, settings_of
from v2g_nodes.nodes.optimizer_record import AgreedEpoch, OptimizerRecord
from v2g_nodes.nodes.trials import Trials

TICK_S = 0.025  # s, how often silence and resends are looked at
OUT_OF_SERVICE = (ModuleStatus.OFF, ModuleStatus.FAULT, ModuleStatus.SAFE)
SETPOINT_REPEAT_S = 0.1  # s, wall: the base set-point in force is published so often, changed or not


class OptimizerNode(ManagedNode[OptimizerParameters]):
    """See module docstring."""

    PARAMETERS = OptimizerParameters
    _offer: OfferRule

    def __init__(
        self, name: str, namespace: str, overrides: dict[str, object], context: Context | None = None
    ) -> None:
        super().__init__(name, namespace, overrides, context)
        self._trials = Trials(self.get_fully_qualified_name(), self.p)

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Trials at once, the headroom from the next epoch on."""
        reason = self._trials.apply(changes)
        if "headroom_kw" in changes and self.configured and not reason:
            self._offer = offer_of(replace(self.p, headroom_kw=changes["headroom_kw"]))
        return reason

    def configure(self) -> None:
        """Publishers now, subscriptions on activation."""
        p = self.p
        self._cost, self._offer = cost_of(p), offer_of(p)
        settings = settings_of(p)
        self._record = OptimizerRecord(settings, self._cost)
        self._optimizer = ModuleOptimizer(
            settings, int(time.time() * 65536), self._freeze, self._in_force_kw, self._record.release, key_pair_of(p)
        )
        hold_s = p.held_s(p.signal_hold_s)
        self._sources = SourceChoice(round(hold_s * 1e9 / p.speed), round(p.epoch_period_s * 0.5e9 / p.speed))
        self._valid_s, self._silent_s = p.held_s(p.setpoint_valid_s), p.held_s(p.optimizer_silent_s)
        self._plan: Plan | None = None
        self._applied: Applied | None = None
        self._applied_ns = -(1 << 62)
        self._status: ModuleStatus | None = None
        self._status_ns = self._applied_ns
        self._setpoint: BaseSetpoint | None = None  # of the last agreement
        self._setpoint_until_s = -math.inf  # law time
        self._signal_ns = 0
        self._curves_sent = 0
        self._reports_later: list[NeighborReport] = []
        self._states_sent = 0
        self._state_out = self.publisher(streams.NEIGHBOR_STATE)
        self._curve_out = self.publisher(streams.CURVE)
        self._key_out = self.publisher(streams.MASK_KEY) if p.privacy == MASKS else None
        self._setpoint_out = self.publisher(streams.BASE_SETPOINT)
        self._record_out = self.publisher(streams.DECISION_RECORD)
        self._diagnostics = ExchangeDiagnostics(self, self._optimizer, self._own_silence_s)
        self._faults: dict[int, str] = {}  # excluded neighbours, as told last
        self._failed = ""  # why the exchange fails, as told last

    def activate(self) -> None:
        """Listen to neighbours, own module, signal and plan."""
        if self.p.on_bus:
            self.listen(streams.BUS_CURVE, self._on_curve)
            self.listen(streams.BUS_STATE, self._on_state)
        for neighbour in () if self.p.on_bus else self._optimizer.membership.neighbours:
            space = f"/ek3_{neighbour:02d}"
            self.listen(streams.CURVE, self._on_curve, space)
            self.listen(streams.NEIGHBOR_STATE, self._on_state, space)
            if self._key_out is not None:
                self.listen(streams.MASK_KEY, self._on_key, space)
        self.listen(streams.APPLIED, self._on_applied)
        self.listen(streams.STATUS, self._on_status)
        self.listen(streams.GRID_SIGNAL, self._on_signal)
        self.listen(streams.MARKET_PLAN, self._on_plan)
        self.every(TICK_S, self._on_tick)
        self.every(SETPOINT_REPEAT_S, self._publish_setpoint)
        self._diagnostics.start()

    def deactivate(self) -> None:
        """Leave politely: tell the neighbours before going."""
        if self._optimizer.membership.group.members != (self.p.module_id,):
            self._send(self._optimizer.step((), (), time.monotonic_ns(), available=False))
        self._publish_records(ended=True)

    def _on_curve(self, message: Curve) -> None:
        if message.module_id == self.p.module_id:  # the bus's echo
            return
        for heard in self._trials.heard(message):
            self._step((convert.curve_frame(heard),), ())

    def _on_state(self, message: NeighborState) -> None:
        if message.module_id == self.p.module_id:
            return
        for heard in self._trials.heard(message):
            report = convert.state_report(heard)
            if report is not None:
                self._step((), (report,))

    def _on_key(self, message: MaskKey) -> None:
        for heard in self._trials.heard(message):
            report = convert.key_report(heard)
            if report is not None:
                self._step((), (), (report,))

    def _on_tick(self) -> None:
        self._step((), ())
        if self._optimizer.failed != self._failed:
            self._failed = self._optimizer.failed
            if self._failed:
                self.get_logger().warning(f"no agreement in this epoch: {self._failed}", throttle_duration_sec=5.0)
        if self._optimizer.faults.keys() != self._faults.keys():
            self._tell_excluded()
        if self._record.waits(time.monotonic_ns()):
            return
        reports, self._reports_later = self._reports_later, []
        self._report(reports)
        self._publish_records()

    def _publish_records(self, ended: bool = False) -> None:
        for record in self._record.take(self.now_s(), time.monotonic_ns(), ended):
            self._record_out.publish(record)

    def _tell_excluded(self) -> None:
        faults = dict(self._optimizer.faults)
        for k in faults.keys() - self._faults.keys():
            self.get_logger().warning(f"module {k} excluded: {faults[k]}")
        for k in self._faults.keys() - faults.keys():
            self.get_logger().warning(f"module {k} is sane again and taken back")
        self._faults = faults
        self._diagnostics.look()

    def _own_silence_s(self) -> float:
        return math.inf if self._applied is None else (time.monotonic_ns() - self._applied_ns) / 1e9

    def _on_applied(self, message: Applied) -> None:
        if all(map(math.isfinite, (message.setpoint_kw, message.limit_low_kw, message.limit_high_kw))):
            self._applied, self._applied_ns = message, time.monotonic_ns()

    def _on_status(self, message: ModuleStatus) -> None:
        if math.isfinite(message.temperature_c):
            self._status, self._status_ns = message, time.monotonic_ns()

    def _on_plan(self, message: MarketPlan) -> None:
        try:
            self._plan = convert.plan_of(message)
        except InputError as error:
            self.get_logger().warning(f"plan refused: {error}")

    def _on_signal(self, message: GridSignal) -> None:
        now_ns = time.monotonic_ns()
        problem = convert.signal_problem(message, self.p.nominal_hz)
        if problem:
            self.get_logger().warning(f"grid signal refused: {problem}", throttle_duration_sec=1.0)
            return
        if not self._sources.follows(message.source_id, message.sequence, now_ns) or self._plan is None:
            return
        base_kw, capacity_kw = self._plan.at(message.time_of_day_s)
        limit = None if math.isnan(self.p.import_limit_kw) else self.p.import_limit_kw
        target = target_kw(base_kw, capacity_kw, message.signal_pu, message.site_load_kw, limit)
        epoch, known = EpochId(message.signal_sequence, self._plan.version, message.source_id), self._optimizer.epoch
        if epoch[:2] == known[:2]:  # a second source's signal of an epoch does not ask for it again
            return
        if self._optimizer.start_epoch(epoch, target, self._sequence_limit()):
            self._signal_ns = now_ns
            self._step((), ())

    def _step(
        self, frames: tuple[Frame, ...], reports: tuple[NeighborReport, ...], keys: tuple[KeyReport, ...] = ()
    ) -> None:
        now_ns = time.monotonic_ns()
        before = (self._optimizer.epoch, self._optimizer.membership.group)
        limit = self._sequence_limit() if reports else None
        outbox = self._optimizer.step(frames, reports, now_ns, self._available(now_ns), limit, keys)
        if (self._optimizer.epoch, self._optimizer.membership.group) != before:
            self._signal_ns = now_ns  # a signal adopted from a neighbour, or a new group that begins again
            self._publish_setpoint()  # whose island owes nothing any more goes to zero at once
        self._send(outbox)

    def _sequence_limit(self) -> int:
        """Signal sequences beyond it come from a wrong clock."""
        return convert.signal_sequence(self.now_s() + 2 * self.p.epoch_period_s, self.p.epoch_period_s)

    def _available(self, now_ns: int) -> bool:
        """Whether the own module answers and may be energised."""
        fresh = (
            now_ns - self._applied_ns < streams.APPLIED.max_age_s * 1e9
            and now_ns - self._status_ns < streams.STATUS.max_age_s * 1e9
        )
        return fresh and self._status is not None and self._status.mode not in OUT_OF_SERVICE

    def _freeze(self) -> Snapshot:
        applied, status = self._applied, self._status
        if applied is None or status is None:  # not called then; a module that says nothing offers nothing
            nothing = Box(0.0, 0.0)
            detail = {"soc": 0.5, "temperature_c": 25.0, "previous_kw": 0.0}
            return Snapshot(nothing, BoxedCost(LocalCost(self._cost, 0.5, 25.0), nothing), detail)
        soc = status.soc if math.isfinite(status.soc) else 0.5
        hard = Box(min(applied.limit_low_kw, applied.limit_high_kw), applied.limit_high_kw)
        if not (status.armed and status.vehicle_plugged):
            hard = Box(0.0, 0.0)
        vehicle = VehicleState(
            plugged=status.vehicle_plugged,
            session_id=status.session_id,
            capacity_kwh=status.vehicle_capacity_kwh if status.vehicle_plugged else 1.0,
            soc=soc,
            departure_s=None,
            energy_due_kwh=0.0,
        )
        base_kw = self._in_force_kw()
        supply = self._offer.freeze(hard, base_kw, soc, status.temperature_c, vehicle)
        detail = {"soc": soc, "temperature_c": float(status.temperature_c), "previous_kw": base_kw}
        return Snapshot(supply.box, supply, detail)

    def _in_force_kw(self) -> float:
        """What droop follows, by the last word of the own module."""
        base_kw = 0.0 if self._applied is None else float(self._applied.base_kw)
        return base_kw if math.isfinite(base_kw) else 0.0

    def _send(self, outbox: Outbox) -> None:
        if outbox.given_up is not None:
            self._record.note(outbox.given_up)
        for frame in outbox.frames:
            self._curve_out.publish(convert.curve_message(frame))
            self._curves_sent += 1
        if self._key_out is not None:
            for key in outbox.keys:
                self._states_sent += 1
                self._key_out.publish(convert.key_message(key))
        if outbox.decision is not None:
            self._decide(outbox.decision)
            self._reports_later += outbox.reports  # others may still be in their last round
        else:
            self._report(outbox.reports)

    def _report(self, reports: Sequence[NeighborReport]) -> None:
        for report in reports:
            self._states_sent += 1
            leaving = not self._optimizer.membership.taking_part
            self._state_out.publish(self._trials.said(convert.state_message(report, leaving)))

    def _decide(self, decision: Decision) -> None:
        """Pass the agreed power on at once; the record follows with the next tick, when the others are through."""
        self._setpoint = BaseSetpoint(
            membership=decision.group.fingerprint, lambda_eur_per_kwh=decision.agreement.lambda_eur_per_kwh
        )
        convert.put_epoch(self._setpoint, decision.epoch)
        self._setpoint_until_s = self.law_s() + self._valid_s
        self._publish_setpoint()
        agreed_ns = time.monotonic_ns()
        self._diagnostics.agreed(self._signal_ns, agreed_ns)
        self._record.note(
            AgreedEpoch(decision, self._signal_ns, self._curves_sent, self._states_sent, self.now_s(), agreed_ns)
        )

    def _publish_setpoint(self) -> None:
        """The base power in force: the agreed one, or less while the group changes (core/release.py)."""
        base_kw = self._optimizer.base_kw(time.monotonic_ns())
        left_s = min(self._setpoint_until_s - self.law_s(), self._silent_s)
        if self._setpoint is None or base_kw is None or left_s <= 0.0:
            return
        self._setpoint.power_kw = base_kw
        self._setpoint.valid_until = convert.to_time(self.now_s() + left_s)
        self._setpoint_out.publish(self._setpoint)
