"""Runs without nodes whose decision records are written by what the nodes use: seconds of law time in milliseconds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from v2g_nodes.msg import DecisionRecord

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.cost import CostParameters
from v2g_nodes.core.droop_settings import DroopSettings, build_control
from v2g_nodes.core.epoch_start import OfferRule
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.module_control import ModuleControl, Observation
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import OptimizerSettings, Snapshot
from v2g_nodes.core.types import Box, EpochId
from v2g_nodes.nodes import convert
from v2g_nodes.nodes.droop_record import DroopRecord
from v2g_nodes.nodes.gate_record import GateRecord
from v2g_nodes.nodes.optimizer_record import AgreedEpoch, OptimizerRecord
from v2g_nodes.nodes.ticker import Tick

RATING = ModuleRating(3.3, 1.0, 0.1, 0.95, 0.96)
WEAR = (0.004, 0.02, 0.011, 0.05, 0.008)
SOCS = (0.4, 0.55, 0.7, 0.25, 0.6)
STEP_NS = 2_000_000
BEGIN_NS = 1_000_000_000_000
TARGETS_KW = (4.0, 4.5, -3.25, 1.0)


class Ring:
    """Optimizers side by side; what one says the neighbours hear at the next step."""

    def __init__(self, algorithm: str, modules: int = 4, topology: str = "ring") -> None:
        ids = range(1, modules + 1)
        edges = build_edges(topology, ids)
        self.neighbours = adjacency(ids, edges)
        settings = OptimizerSettings(0, edges, dict.fromkeys(ids, 3.3), 1.0, cold_every=3, algorithm=algorithm)
        self.records: list[DecisionRecord] = []
        self.writers, self.optimizers = {}, {}
        for k in ids:
            own = replace(settings, module_id=k)
            cost = CostParameters(3.3, 0.97, 0.02, 0.01, 0.1, WEAR[k - 1], 1.5, 2.0, 2e-4, 2.0, 50.0)
            self.writers[k] = OptimizerRecord(own, cost)
            self.optimizers[k] = ModuleOptimizer(
                own, 100 + k, lambda k=k, cost=cost: self.freeze(k, cost), lambda: 0.0, self.writers[k].release
            )  # fmt: skip
        self.now_ns = BEGIN_NS
        self.said: dict[int, Any] = {}
        self.agreed: dict[int, EpochId] = {}

    def freeze(self, k: int, cost: CostParameters) -> Snapshot:
        soc, temperature_c = SOCS[k - 1], 31.25 + k
        offer = OfferRule(RATING, cost, 0.2, 2.0)
        vehicle = VehicleState(True, "", 60.0, soc, None, 0.0)
        supply = offer.freeze(Box(-3.3, 3.3), 0.0, soc, temperature_c, vehicle)
        return Snapshot(supply.box, supply, {"soc": soc, "temperature_c": temperature_c, "previous_kw": 0.0})

    def signal(self, sequence: int, target_kw: float) -> None:
        for optimizer in self.optimizers.values():
            optimizer.start_epoch(EpochId(sequence, 1, 1), target_kw)

    def turn(self, deaf: tuple[int, ...] = ()) -> None:
        """One step of everybody; who is deaf hears nothing."""
        self.now_ns += STEP_NS
        said, self.said = self.said, {}
        for k, optimizer in self.optimizers.items():
            heard = [said[j] for j in self.neighbours[k] if j in said and k not in deaf]
            frames = [frame for outbox in heard for frame in outbox.frames]
            reports = [report for outbox in heard for report in outbox.reports]
            outbox = self.said[k] = optimizer.step(frames, reports, self.now_ns)
            if outbox.given_up is not None:
                self.writers[k].note(outbox.given_up)
            if outbox.decision is not None:
                self.agreed[k] = outbox.decision.epoch
                self.writers[k].note(AgreedEpoch(outbox.decision, self.now_ns, 0, 0, self.now_ns / 1e9, self.now_ns))
            if (self.now_ns - BEGIN_NS) % (50 * STEP_NS) == 0:
                optimizer.base_kw(self.now_ns)

    def write(self, ended: bool = False) -> None:
        for writer in self.writers.values():
            self.records += writer.take(self.now_ns / 1e9, self.now_ns, ended)

    def run(self, targets_kw: tuple[float, ...] = TARGETS_KW) -> None:
        """An epoch per target, the first when the group has come together."""
        for _ in range(700):
            self.turn()
        for number, target_kw in enumerate(targets_kw, 1):
            self.signal(20 * number, target_kw)
            for _ in range(2000):
                self.turn()
                if all(self.agreed.get(k, EpochId(0, 0, 0)).signal_sequence == 20 * number for k in self.optimizers):
                    break
            else:
                raise AssertionError(f"no agreement on {target_kw} kW")
            for _ in range(400):
                self.turn()
            self.write()
        self.write(ended=True)


def ring_records(algorithm: str, modules: int = 4, topology: str = "ring") -> list[DecisionRecord]:
    """All records of a run of optimizers."""
    ring = Ring(algorithm, modules, topology)
    ring.run()
    return ring.records


def tick_records(seconds: int = 3, settings: DroopSettings | None = None) -> list[DecisionRecord]:
    """Droop and last gate of a module that is armed, meets a frequency event, is stopped and loses droop."""
    settings = settings or DroopSettings(12.0, 50.0, 0.01, 1.0, 5.0)
    control, droop = ModuleControl(RATING, 3.3, armed=False), build_control(settings)
    record, alone = DroopRecord(1, settings, RATING.ramp_kw_per_s), GateRecord(1, RATING.ramp_kw_per_s)
    vehicle = VehicleState(True, "", 60.0, 0.5, 7200.0, 0.0)
    ticks, written = 200 * seconds, []
    for k in range(ticks):
        now_ns, now_s = BEGIN_NS + 5_000_000 * k, 1000.0 + 0.005 * k
        if k == 20:
            control.arm()
        if k == ticks - 60:
            control.stop()
        control.observe(Observation(3600.0, control.setpoint_kw, 0.5, 40.0, 25.0, vehicle, ""), True)
        if k % 100 == 0:
            droop.set_frequency(50.0 + 0.08 * math.sin(k), now_s)
            droop.set_base(1.0 - k / ticks, now_s + 4.0)
        inputs = droop.inputs(now_s, 0.005, control.energised, control.limits, control.due_kw, control.setpoint_kw)
        applied_kw = control.apply(record.decide(droop, inputs), 0.005).setpoint_kw
        record.note(Tick(now_ns, k % 7, 0), inputs, applied_kw)
        while (message := record.take(convert.to_time(now_s), k == ticks - 1)) is not None:
            written.append(message)
    for k in range(30):
        requested_kw = alone.towards_zero_kw(control, 0.0, 0.05)
        alone.note(BEGIN_NS + 10**10 + 50_000_000 * k, control.apply(requested_kw, 0.05).setpoint_kw)
        while (message := alone.take(convert.to_time(2000.0), k == 29)) is not None:
            written.append(message)
    return written
