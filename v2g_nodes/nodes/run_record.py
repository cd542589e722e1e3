"""What the monitor keeps of a run: figures for the summary, samples for the report."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message

from v2g_nodes.core.cost import CostParameters
from v2g_nodes.core.run_statistics import EpochCollector, EpochResult, ModuleRecord, RisingCount, Samples
from v2g_nodes.core.types import Box
from v2g_nodes.msg import Curve, DecisionRecord, Meter, ModuleStatus, NeighborState
from v2g_nodes.nodes import convert

COST_FIELDS = tuple(CostParameters.__dataclass_fields__)
SAMPLE_FIELDS = (
    "time_s", "time_of_day_s", "frequency_hz", "price_eur_per_kwh",
    "target_kw", "clipped_target_kw", "agreed_kw", "measured_kw",
)  # fmt: skip
MODULE_FIELDS = ("power_kw", "setpoint_kw", "soc", "temperature_c", "lambda")
EPOCH_FIELDS = ("time_s", "epoch_ms", "rounds", "cold", "gap", "equal_split_gap", "lambda", "target_kw", "agreed_kw")


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
        cost=CostParameters(**dict(zip(COST_FIELDS, message.cost_parameters, strict=True))),
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
        module_ids: of the station.
    """

    def __init__(self, module_ids: Sequence[int]) -> None:
        self.module_ids = tuple(module_ids)
        self.last: EpochResult | None = None
        self.epochs = 0
        self.complete_epochs = 0
        self._collector = EpochCollector()
        self._results: list[EpochResult] = []
        self._lateness_ms = Samples()
        self._latency_ms = Samples()
        self._delivered_error_kw = Samples()
        self._ticks: dict[int, tuple[int, int, int]] = {}
        self._sent: dict[int, list[tuple[int, int, int]]] = {}
        self._clips, self._violations = RisingCount(), RisingCount()
        self._overruns = RisingCount(from_first=True)  # like jitter: while the station comes up ticks are late
        self._meter: Meter | None = None
        self._series: dict[str, list[float | None]] = {name: [] for name in SAMPLE_FIELDS}
        self._module_series: dict[int, dict[str, list[float | None]]] = {
            k: {name: [] for name in MODULE_FIELDS} for k in self.module_ids
        }
        self._epoch_series: dict[str, list[float | int | bool | None]] = {name: [] for name in EPOCH_FIELDS}

    def add_epoch(self, message: DecisionRecord, time_s: float) -> EpochResult | None:
        """One module's record of an epoch; the result when it was the last of the island that owes the target."""
        counters = (message.agreed_ns, message.curves_sent, message.states_sent)
        self._sent.setdefault(message.module_id, []).append(counters)
        del self._sent[message.module_id][1:-1]
        result = self._collector.add(module_record(message))
        if result is None or not result.owner:
            return None
        self.last = result
        self.epochs += 1
        self.complete_epochs += result.members == len(self.module_ids)
        self._results.append(result)
        values = (
            time_s, result.epoch_ms, result.rounds, result.cold, result.gap, result.equal_split_gap,
            result.lambda_eur_per_kwh, result.target_kw, result.agreed_kw,
        )  # fmt: skip
        for name, value in zip(EPOCH_FIELDS, values, strict=True):
            self._epoch_series[name].append(_number(value))
        return result

    def add_ticks(self, message: DecisionRecord) -> None:
        """One module's droop ticks of a second."""
        lateness = np.asarray(message.lateness_ns)
        scheduled = lateness >= 0
        self._lateness_ms.add(lateness[scheduled] / 1e6)
        self._latency_ms.add(np.asarray(message.signal_to_setpoint_ns) / 1e6)
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
        """The meter's reading."""
        self._meter = message

    def add_delivered_error(self, error_kw: float) -> None:
        """Measured station power against what it owed, at the end of an epoch [kW]."""
        self._delivered_error_kw.add([abs(error_kw)])

    def add_sample(self, station: dict[str, float], modules: dict[int, dict[str, float]]) -> None:
        """One sample per second for the report."""
        for name in SAMPLE_FIELDS:
            self._series[name].append(_number(station.get(name, math.nan)))
        for k in self.module_ids:
            for name in MODULE_FIELDS:
                self._module_series[k][name].append(_number(modules.get(k, {}).get(name, math.nan)))

    def summary(self) -> dict[str, Any]:
        """Figures under the names of the command's JSON."""
        results = self._results
        full = [r for r in results if not math.isnan(r.epoch_ms)]
        rates = [(n - 1) * 1e9 / (last - first) for n, first, last in self._ticks.values() if last > first]
        curve_bytes = len(serialize_message(Curve()))
        state_bytes = len(serialize_message(NeighborState()))
        meter = self._meter
        return {
            "epochs": self.epochs,
            "complete_epochs": self.complete_epochs,
            "cold_epochs": sum(r.cold for r in results),
            "rounds_median": _median([r.rounds for r in results]),
            "rounds_max": max((r.rounds for r in results), default=None),
            "round_ms_median": _median([r.round_ms for r in results if math.isfinite(r.round_ms)]),
            "epoch_ms_median": _median([r.epoch_ms for r in full]),
            "epoch_ms_p99": _percentile([r.epoch_ms for r in full], 99.0),
            "gap_max": max((r.gap for r in results), default=None),
            "equal_split_gap_median": _median([r.equal_split_gap for r in results]),
            "balance_error_kw_max": max((r.balance_error_kw for r in results), default=None),
            "lambda_spread_max": max((r.lambda_spread for r in results), default=None),
            "delivered_error_kw_p99": _number(self._delivered_error_kw.percentile(99.0)),
            "constraint_violations": self._violations.total,
            "gate_clips": self._clips.total,
            "clipped_epochs": sum(r.shortfall_kw > 0.0 for r in results),
            "shortfall_kw_max": max((r.shortfall_kw for r in results), default=None),
            "signal_to_setpoint_ms_median": _number(self._latency_ms.median),
            "signal_to_setpoint_ms_p99": _number(self._latency_ms.percentile(99.0)),
            "droop_rate_hz": min(rates, default=None),
            "droop_jitter_ms_p99": _number(self._lateness_ms.percentile(99.0)),
            "droop_overruns": self._overruns.total,
            "bytes_per_message_max": max(curve_bytes, state_bytes),
            "kbps_per_module_max": max((_kbps(s, curve_bytes, state_bytes) for s in self._sent.values()), default=None),
            "energy_kwh": meter.exported_kwh - meter.imported_kwh if meter else None,
            "cost_eur": meter.cost_eur if meter else None,
            "members": results[-1].members if results else 0,
        }

    def write_series(self, path: Path) -> None:
        """Samples for the report."""
        content = {**self._series, "modules": self._module_series, "epochs": self._epoch_series}
        path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def _kbps(sent: Sequence[tuple[int, int, int]], curve_bytes: int, state_bytes: int) -> float:
    """Mean rate of what a module sent to its neighbours between its first and last epoch [kbit/s]."""
    (first_ns, curves_0, states_0), (last_ns, curves_1, states_1) = sent[0], sent[-1]
    bits = 8 * (max(curves_1 - curves_0, 0) * curve_bytes + max(states_1 - states_0, 0) * state_bytes)
    return bits / ((last_ns - first_ns) / 1e9) / 1000.0 if last_ns > first_ns else 0.0


def _number(value: float | int | bool) -> float | int | bool | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _median(values: Sequence[float]) -> float | None:
    return _percentile(values, 50.0)


def _percentile(values: Sequence[float], percent: float) -> float | None:
    return float(np.percentile(np.asarray(values), percent)) if len(values) else None
