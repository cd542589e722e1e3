"""`witness`: hears every module during trials and tells the supervisor what they agree on and whether they stay safe.

Passive, in a process of its own, only there in `v2g bench faults`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.serialization import deserialize_message

from v2g_nodes.core.droop import Droop
from v2g_nodes.msg import Applied, BaseSetpoint, DecisionRecord, GridSignal, ModuleStatus, NeighborState
from v2g_nodes.nodes import convert, events, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.parameters import RunParameters, parameter
from v2g_nodes.nodes.witness_measures import TOLERANCE_KW, Counter, JumpMeter, LimitJudge, SumMeter

KIND_BYTE = 4  # of a serialized DecisionRecord: its first field, behind the CDR header
TELL_S = 0.5  # s, what was worst so far is told so often; sums since the last time, everything else since the start
JUMP_WORTH_TELLING_S = 0.102  # s of the ramp; a change in 0.1 s should not be more
SUM_WORTH_TELLING_KW = 0.01
TEXTS_MAX = 5  # of one telling


@dataclass(frozen=True)
class WitnessParameters(RunParameters):
    """Parameters of the witness node."""

    module_ids: tuple[int, ...] = parameter((), "all modules of the station")
    ratings_kw: tuple[float, ...] = parameter((), "their ratings", "kW")
    ramps_kw_per_s: tuple[float, ...] = parameter((), "their ramps", "kW/s")
    droop_gain_kw_per_hz: float = parameter(0.0, "gain of the whole station", "kW/Hz", 0.0, 1e6)
    deadband_hz: float = parameter(0.010, "droop's deadband", "Hz", 0.0, 0.5)
    tell_powers: bool = parameter(False, "tell every base power and target, to be added up with those of other hosts")


class WitnessNode(ManagedNode[WitnessParameters]):
    """See module docstring."""

    PARAMETERS = WitnessParameters

    def configure(self) -> None:
        """Nothing seen yet."""
        p = self.p
        self._rating_kw = dict(zip(p.module_ids, p.ratings_kw, strict=True))
        self._jumps = {k: JumpMeter() for k in p.module_ids}
        self._ramp_kw_per_s = dict(zip(p.module_ids, p.ramps_kw_per_s, strict=True))
        self._judges = {k: LimitJudge(self._rating_kw[k], self._ramp_kw_per_s[k]) for k in p.module_ids}
        self._law = Droop(p.droop_gain_kw_per_hz, p.nominal_hz, p.deadband_hz, 1e6)
        self._sums = SumMeter()
        self._violations, self._forced = Counter(), Counter()
        self._jump_kw_max, self._unsafe = 0.0, 0
        self._texts: list[str] = []
        self._signal_sequence = -1
        self._target_told = (0.0, -TELL_S)  # target [kW], when [s]
        self._base_told: dict[int, tuple[float, float]] = {}  # by module: base power [kW], when [s]

    def activate(self) -> None:
        """Listen to everyone."""
        for k in self.p.module_ids:
            space = f"/ek3_{k:02d}"
            self.listen(streams.DECISION_RECORD, self._on_record, space, raw=True)
            self.listen(streams.APPLIED, self._on_applied, space)
            self.listen(streams.BASE_SETPOINT, self._base_judge(k), space)
            self.listen(streams.STATUS, self._on_status, space)
            self.listen(streams.NEIGHBOR_STATE, self._on_state, space)
        self.listen(streams.GRID_SIGNAL, self._on_signal)
        self.every(TELL_S, self._tell)

    def deactivate(self) -> None:
        """Tell the last."""
        self._tell()

    def _on_record(self, data: bytes) -> None:
        if data[KIND_BYTE] != DecisionRecord.EPOCH:  # droop's are long and of no interest here
            return
        message = deserialize_message(data, DecisionRecord)
        self._sums.target(time.monotonic(), message.target_kw)
        events.emit(
            "epoch", module=message.module_id, members=message.members, membership=message.membership,
            epoch=[message.signal_sequence, message.plan_version, message.source_id], agreed_ns=message.agreed_ns,
            lambda_eur_per_kwh=message.lambda_eur_per_kwh, power_kw=message.power_kw, target_kw=message.target_kw,
            island_target_kw=message.island_target_kw, box=[message.box_low_kw, message.box_high_kw],
            cost=[*message.cost_parameters], soc=message.soc, temperature_c=message.temperature_c)  # fmt: skip

    def _on_applied(self, message: Applied) -> None:
        k, now_s = message.module_id, time.monotonic()
        jump_kw = self._jumps[k].add(convert.to_seconds(message.stamp), now_s, message.setpoint_kw)
        if jump_kw > max(self._jump_kw_max, JUMP_WORTH_TELLING_S * self._ramp_kw_per_s[k]):
            self._texts.append(f"module {k} moves {jump_kw:.3f} kW in 0.1 s")
        self._jump_kw_max = max(self._jump_kw_max, jump_kw)
        self._judge(k, self._judges[k].problem(now_s, message.setpoint_kw, message.limit_low_kw, message.limit_high_kw))
        self._sums.module(now_s, k, message.base_kw, message.setpoint_kw)
        told_kw, told_s = self._base_told.get(k, (math.nan, 0.0))
        if self.p.tell_powers and (message.base_kw != told_kw or now_s - told_s > TELL_S):
            self._base_told[k] = message.base_kw, now_s
            events.emit("power", module=k, base_kw=message.base_kw, heard_s=now_s)

    def _base_judge(self, k: int) -> Callable[[BaseSetpoint], None]:
        def on_base(message: BaseSetpoint) -> None:
            if not abs(message.power_kw) <= self._rating_kw[k] + TOLERANCE_KW:
                self._judge(k, f"base power {message.power_kw:g} kW, allowed up to {self._rating_kw[k]:g} kW")

        return on_base

    def _judge(self, k: int, problem: str) -> None:
        if problem:
            self._unsafe += 1
            self._texts.append(f"module {k}: {problem}")

    def _on_status(self, message: ModuleStatus) -> None:
        if self._violations.take(message.module_id, message.constraint_violations):
            self._texts.append(f"module {message.module_id}: constraint violation")
        if self._forced.take(message.module_id, message.forced_steps):
            self._texts.append(f"module {message.module_id}: step forced by a hard limit")

    def _on_state(self, message: NeighborState) -> None:
        now_s = time.monotonic()
        self._sums.target(now_s, message.target_kw)
        told_kw, told_s = self._target_told
        if self.p.tell_powers and (message.target_kw != told_kw or now_s - told_s > TELL_S):
            self._target_told = message.target_kw, now_s
            events.emit("target", target_kw=message.target_kw, heard_s=now_s)

    def _on_signal(self, message: GridSignal) -> None:
        now_s = time.monotonic()
        self._sums.droop(now_s, self._law.contribution_kw(message.frequency_hz))
        if message.signal_sequence != self._signal_sequence:
            self._signal_sequence = message.signal_sequence
            events.emit("signal", sequence=message.signal_sequence, received_ns=time.monotonic_ns())

    def _tell(self) -> None:
        base_kw, setpoints_kw, words = self._sums.take()
        if base_kw > SUM_WORTH_TELLING_KW:
            self._texts.append(words)
        texts, self._texts = self._texts, []
        events.emit(
            "extremes", power_jump_kw_max=self._jump_kw_max, unsafe_setpoints=self._unsafe,
            constraint_violations=self._violations.total, forced_steps=self._forced.total,
            sum_above_target_kw=base_kw, setpoints_above_target_kw=setpoints_kw,
            texts=[*texts[:TEXTS_MAX], *([f"and {len(texts) - TEXTS_MAX} more"] if len(texts) > TEXTS_MAX else [])],
        )  # fmt: skip
