"""What the monitor keeps of a run: figures for the summary, samples for the report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message

from v2g_nodes.core.run_statistics import EpochCollector, EpochResult, ModuleRecord, RisingCount, Rows, Samples
from v2g_nodes.core.types import Box
from v2g_nodes.msg import Curve, DecisionRecord, Meter, ModuleStatus, NeighborState
from v2g_nodes.nodes import convert

SAMPLE_FIELDS = (
    "time_s", "time_of_day_s", "frequency_hz", "price_eur_per_kwh",
    "target_kw", "clipped_target_kw", "agreed_kw", "measured_kw",
)  # fmt: skip
MODULE_FIELDS = ("power_kw", "setpoint_kw", "soc", "temperature_c", "lambda")
EPOCH_FIELDS = ("time_s", "epoch_ms", "rounds", "cold", "gap", "equal_split_gap", "lambda", "target_kw", "agreed_kw")
EPOCH_FIGURES = (
    "rounds", "round_ms", "epoch_ms", "gap", "equal_split_gap", "balance_error_kw", "lambda_spread", "shortfall_kw",
)  # fmt: skip
FIGURES = (*EPOCH_FIGURES, "lateness_ms", "latency_ms", "delivered_error_kw")


def module_record(message: DecisionRecord) -> ModuleRecord:
    """Message -> value."""
    return ModuleRecord(
        module_id=message.module_id,
        epoch=convert.get_epoch(message),
        membership=message.membership,
        members=message.members,
        cold=message.cold,
        rounds=message.rounds,
        target_kw=message.target_kw,
        island_target_kw=message.island_target_kw,
        box=Box(message.box_low_kw, message.box_high_kw),
        cost=convert.cost_parameters(message),
        soc=message.soc,
        temperature_c=message.temperature_c,
        lambda_eur_per_kwh=message.lambda_eur_per_kwh,
        power_kw=message.power_kw,
        signal_received_ns=message.signal_received_ns,
        started_ns=message.started_ns,
        agreed_ns=message.agreed_ns,
    )


class RunRecord:
    """Everything counted from the first grid signal on.

    Args:
        module_ids: of the modules that run here.
        modules: how many the whole station has.
    """

    def __init__(self, module_ids: Sequence[int], modules: int) -> None:
        self.module_ids = tuple(module_ids)
        self._modules = modules
        self.last: EpochResult | None = None
        self.epochs = 0
        self.complete_epochs = 0
        self.unjudged_epochs = 0
        self.unjudged = ""  # why the latest of them could not be judged
        self._cold_epochs = 0
        self._clipped_epochs = 0
        self._collector = EpochCollector(module_ids)
        self._figures = {name: Samples() for name in FIGURES}
        self._ticks: dict[int, tuple[int, int, int]] = {}
        self._sent: dict[int, list[tuple[int, int, int]]] = {}
        self._clips, self._violations = RisingCount(), RisingCount()
        self._overruns = RisingCount(from_first=True)  # like jitter: while the station comes up ticks are late
        self._meter: Meter | None = None
        self._meter_before = (0.0, 0.0)  # energy [kWh] and cost [EUR] of meters that were restarted
        self._samples: Rows[tuple[dict[str, float], dict[int, dict[str, float]]]] = Rows()
        self._epoch_rows: Rows[tuple[float | int | bool | None, ...]] = Rows()

    def add_epoch(self, message: DecisionRecord, time_s: float) -> EpochResult | None:
        """One module's record of an epoch; the result when it was the last of the island that owes the target."""
        counters = (message.agreed_ns, message.curves_sent, message.states_sent)
        self._sent.setdefault(message.module_id, []).append(counters)
        del self._sent[message.module_id][1:-1]
        try:
            result = self._collector.add(module_record(message))
        except ValueError as error:  # a power outside its box, a record of another version
            self.unjudged_epochs += 1
            self.unjudged = str(error)
            return None
        if result is None or not result.owner:
            return None
        self.last = result
        self.epochs += 1
        self.complete_epochs += result.members == self._modules
        self._cold_epochs += result.cold
        self._clipped_epochs += result.shortfall_kw > 0.0
        for name in EPOCH_FIGURES:
            self._figures[name].add([getattr(result, name)])
        values = (
            time_s, result.epoch_ms, result.rounds, result.cold, result.gap, result.equal_split_gap,
            result.lambda_eur_per_kwh, result.target_kw, result.agreed_kw,
        )  # fmt: skip
        self._epoch_rows.add(tuple(map(_number, values)))
        return result

    def add_ticks(self, message: DecisionRecord) -> None:
        """One module's droop ticks of a second."""
        lateness = np.asarray(message.lateness_ns)
        scheduled = lateness >= 0
        self._figures["lateness_ms"].add(lateness[scheduled] / 1e6)
        self._figures["latency_ms"].add(np.asarray(message.signal_to_setpoint_ns) / 1e6)
        if scheduled.any():
            times = np.asarray(message.tick_ns)[scheduled]
            count, first, _ = self._ticks.get(message.module_id, (0, int(times[0]), 0))
            self._ticks[message.module_id] = (count + int(scheduled.sum()), first, int(times[-1]))

    def add_status(self, message: ModuleStatus) -> None:
        """A module's counters."""
        self._clips.see(message.module_id, message.gate_clips)
        self._violations.see(message.module_id, message.constraint_violations)
        self._overruns.see(message.module_id, message.droop_overruns)

    def add_meter(self, message: Meter) -> None:
        """The meter's reading; one that counts from zero again goes on from where it was."""
        last = self._meter
        if last is not None and message.exported_kwh + message.imported_kwh < last.exported_kwh + last.imported_kwh:
            energy_kwh, cost_eur = self._meter_before
            self._meter_before = (energy_kwh + last.exported_kwh - last.imported_kwh, cost_eur + last.cost_eur)
        self._meter = message

    def add_delivered_error(self, error_kw: float) -> None:
        """Measured station power against what it owed, at the end of an epoch [kW]."""
        self._figures["delivered_error_kw"].add([abs(error_kw)])

    def add_sample(self, station: dict[str, float], modules: dict[int, dict[str, float]]) -> None:
        """One sample per second for the report."""
        self._samples.add((station, modules))

    def summary(self) -> dict[str, Any]:
        """Figures under the names of the command's JSON."""
        figures, meter = self._figures, self._meter
        rates = [(n - 1) * 1e9 / (last - first) for n, first, last in self._ticks.values() if last > first]
        curve_bytes = len(serialize_message(Curve()))
        state_bytes = len(serialize_message(NeighborState()))
        rounds_max = figures["rounds"].largest
        energy_kwh, cost_eur = self._meter_before
        return {
            "epochs": self.epochs,
            "complete_epochs": self.complete_epochs,
            "unjudged_epochs": self.unjudged_epochs,
            "cold_epochs": self._cold_epochs,
            "rounds_median": _number(figures["rounds"].median),
            "rounds_max": None if math.isnan(rounds_max) else int(rounds_max),
            "round_ms_median": _number(figures["round_ms"].median),
            "epoch_ms_median": _number(figures["epoch_ms"].median),
            "epoch_ms_p99": _number(figures["epoch_ms"].percentile(99.0)),
            "gap_max": _number(figures["gap"].largest),
            "equal_split_gap_median": _number(figures["equal_split_gap"].median),
            "balance_error_kw_max": _number(figures["balance_error_kw"].largest),
            "lambda_spread_max": _number(figures["lambda_spread"].largest),
            "delivered_error_kw_p99": _number(figures["delivered_error_kw"].percentile(99.0)),
            "constraint_violations": self._violations.total,
            "gate_clips": self._clips.total,
            "clipped_epochs": self._clipped_epochs,
            "shortfall_kw_max": _number(figures["shortfall_kw"].largest),
            "signal_to_setpoint_ms_median": _number(figures["latency_ms"].median),
            "signal_to_setpoint_ms_p99": _number(figures["latency_ms"].percentile(99.0)),
            "droop_rate_hz": min(rates, default=None),
            "droop_jitter_ms_p99": _number(figures["lateness_ms"].percentile(99.0)),
            "droop_overruns": self._overruns.total,
            "bytes_per_message_max": max(curve_bytes, state_bytes),
            "kbps_per_module_max": max((_kbps(s, curve_bytes, state_bytes) for s in self._sent.values()), default=None),
            "energy_kwh": energy_kwh + meter.exported_kwh - meter.imported_kwh if meter else None,
            "cost_eur": cost_eur + meter.cost_eur if meter else None,
            "members": self.last.members if self.last else 0,
        }

    def write_series(self, path: Path, regulation: Mapping[str, Any]) -> None:
        """Samples for the report, and what was asked and given on the regulation signal."""
        samples = self._samples.kept
        content = {
            **{name: [_number(station.get(name, math.nan)) for station, _ in samples] for name in SAMPLE_FIELDS},
            "modules": {
                k: {name: [_number(modules.get(k, {}).get(name, math.nan)) for _, modules in samples]
                    for name in MODULE_FIELDS}
                for k in self.module_ids
            },
            "regulation": regulation,
            "epochs": {name: [row[n] for row in self._epoch_rows.kept] for n, name in enumerate(EPOCH_FIELDS)},
        }  # fmt: skip
        path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def _kbps(sent: Sequence[tuple[int, int, int]], curve_bytes: int, state_bytes: int) -> float:
    """Mean rate of what a module sent to its neighbours between its first and last epoch [kbit/s]."""
    (first_ns, curves_0, states_0), (last_ns, curves_1, states_1) = sent[0], sent[-1]
    bits = 8 * (max(curves_1 - curves_0, 0) * curve_bytes + max(states_1 - states_0, 0) * state_bytes)
    return bits / ((last_ns - first_ns) / 1e9) / 1000.0 if last_ns > first_ns else 0.0


def _number(value: float | int | bool) -> float | int | bool | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
