"""`station_monitor`: watches, judges against the centralised optimum, reports. Nothing depends on it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from v2g_nodes.core.droop import Droop
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.run_statistics import EpochResult
from v2g_nodes.msg import Applied, DecisionRecord, GridSignal, Meter, ModuleStatus, NeighborState, StationStatus
from v2g_nodes.nodes import convert, events, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.parameters import RunParameters, parameter
from v2g_nodes.nodes.run_record import RunRecord
from v2g_nodes.nodes.sources import MEAN_ABOVE_SPEED

DROOP_FIGURES = (
    "signal_to_setpoint_ms_median", "signal_to_setpoint_ms_p99",
    "droop_rate_hz", "droop_jitter_ms_p99", "droop_overruns",
)  # fmt: skip
TABLE_S = 0.5  # s, wall period of the live table
SAMPLE_S = 1.0  # s, wall period of samples for the report
GRAPH_S = 0.25  # s, wall period of the look at the graph
STATUS_S = 2.0  # s, station status at least this often


@dataclass(frozen=True)
class StationMonitorParameters(RunParameters):
    """Parameters of the station monitor node."""

    name: str = parameter("station", "name in reports")
    topology: str = parameter("ring", "who hears whom")
    algorithm: str = parameter("supply_curve", "how the modules agree")
    module_ids: tuple[int, ...] = parameter((), "modules of the station that run on this host")
    modules: int = parameter(0, "modules of the whole station; 0 = module_ids are all", "", 0, 64)
    links: tuple[str, ...] = parameter((), "edges the ROS graph must have: topic, publisher, subscriber")
    silence_ms: float = parameter(500.0, "a silent neighbour counts as gone after", "ms", 50.0, 60_000.0)
    setpoint_valid_s: float = parameter(6.0, "how long droop holds a base set-point", "s", 0.5, 600.0)
    epoch_period_s: float = parameter(2.0, "period of agreements", "s", 0.05, 60.0)
    droop_gain_kw_per_hz: float = parameter(0.0, "gain of the whole station", "kW/Hz", 0.0, 1e6)
    deadband_hz: float = parameter(0.010, "droop's deadband", "Hz", 0.0, 0.5)
    series_file: str = parameter("", "where samples for the report are written; empty = nowhere")


class StationMonitorNode(ManagedNode[StationMonitorParameters]):
    """See module docstring."""

    PARAMETERS = StationMonitorParameters

    def configure(self) -> None:
        """Begin an empty record."""
        p = self.p
        self._modules = p.modules or len(p.module_ids)
        self._record = RunRecord(p.module_ids, self._modules)
        self._law = Droop(p.droop_gain_kw_per_hz, p.nominal_hz, p.deadband_hz, 1e6)
        self._signal: GridSignal | None = None
        self._applied: dict[int, tuple[int, Applied]] = {}  # with the steady time of receipt [ns]
        self._status: dict[int, tuple[int, ModuleStatus]] = {}
        self._exchange_faults: dict[str, str] = {}  # by status name
        self._started_ns = 0
        self._settled: EpochResult | None = None
        self._lambda: dict[int, float] = {}
        self._published_ns = 0
        self._status_out = self.publisher(streams.STATION_STATUS)

    def activate(self) -> None:
        """Listen to everyone."""
        for k in self.p.module_ids:
            space = f"/ek3_{k:02d}"
            self.listen(streams.APPLIED, self._on_applied, space)
            self.listen(streams.STATUS, self._on_status, space)
            self.listen(streams.DECISION_RECORD, self._on_record, space)
        self.listen(streams.GRID_SIGNAL, self._on_signal)
        self.listen(streams.GRID_METER, self._on_meter)
        self.listen(streams.DIAGNOSTICS, self._on_diagnostics)
        self.every(TABLE_S, self._show)
        self.every(SAMPLE_S, self._sample)
        self._groups: dict[int, int] = {}
        self._heartbeats = [
            self.listen(streams.NEIGHBOR_STATE, self._on_heartbeat, f"/ek3_{k:02d}") for k in self.p.module_ids
        ]
        self._unseen = [text.split(" ") for text in self.p.links]
        self._graph_timer = self.every(GRAPH_S, self._check_graph)

    def report(self) -> None:
        """Write the samples, tell the summary; without the file where it can't be written."""
        file = self.p.series_file
        if file:
            try:
                self._record.write_series(Path(file))
            except OSError as error:
                self.get_logger().error(f"series_file {file}: {error}")
                file = ""
        summary = self._record.summary()
        if self.p.speed > MEAN_ABOVE_SPEED:  # droop answers to means there
            summary |= dict.fromkeys(DROOP_FIGURES)
        events.emit("summary", summary=summary, series_file=file)

    def _on_applied(self, message: Applied) -> None:
        self._applied[message.module_id] = (time.monotonic_ns(), message)

    def _on_status(self, message: ModuleStatus) -> None:
        self._status[message.module_id] = (time.monotonic_ns(), message)
        if self._started_ns:
            self._record.add_status(message)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level == DiagnosticStatus.ERROR:
                self._exchange_faults[status.name] = status.message
            else:
                self._exchange_faults.pop(status.name, None)

    def _on_meter(self, message: Meter) -> None:
        self._record.add_meter(message)

    def _on_signal(self, message: GridSignal) -> None:
        if not self._started_ns:
            self._started_ns = time.monotonic_ns()
        new_epoch = self._signal is None or message.signal_sequence != self._signal.signal_sequence
        if new_epoch and self._signal is not None and self._settled is not None and self.p.speed == 1.0:
            owed_kw = self._settled.clipped_target_kw + self._law.contribution_kw(self._signal.frequency_hz)
            self._record.add_delivered_error(self._measured_kw() - owed_kw)
        if new_epoch:
            self._settled = None
        self._signal = message

    def _on_record(self, message: DecisionRecord) -> None:
        if message.kind == DecisionRecord.DROOP:
            if self._started_ns and message.tick_ns[0] > self._started_ns:
                self._record.add_ticks(message)
        if message.kind != DecisionRecord.EPOCH:
            return
        self._lambda[message.module_id] = message.lambda_eur_per_kwh
        unjudged = self._record.unjudged_epochs
        result = self._record.add_epoch(message, self._elapsed_s())
        if self._record.unjudged_epochs > unjudged:
            self.get_logger().error(f"epoch not judged: {self._record.unjudged}", throttle_duration_sec=1.0)
        if result is not None:
            self._settled = result
            self._publish(result)

    def _measured_kw(self) -> float:
        return float(sum(m.power_kw for m in map(self._fresh_applied, self.p.module_ids) if m is not None))

    def _fresh_applied(self, k: int) -> Applied | None:
        """What module k sent last, unless it is silent."""
        received_ns, message = self._applied.get(k, (0, None))
        silent = time.monotonic_ns() - received_ns > streams.APPLIED.max_age_s * 1e9
        return None if silent else message

    def _elapsed_s(self) -> float:
        return (time.monotonic_ns() - self._started_ns) / 1e9 * self.p.speed if self._started_ns else 0.0

    def _problem(self) -> str:
        """What is wrong, in words."""
        stale = [k for k in self.p.module_ids if k not in self._status or self._is_stale(self._status[k][0])]
        if stale:
            return f"no status from module {', '.join(map(str, stale))}"
        if self._exchange_faults:
            return "; ".join(sorted(set(self._exchange_faults.values())))
        last = self._record.last
        if last is not None and last.members < self._modules:
            return f"{last.members} of {self._modules} modules agreed"
        return f"epoch not judged: {self._record.unjudged}" if self._record.unjudged else ""

    def _is_stale(self, received_ns: int) -> bool:
        return time.monotonic_ns() - received_ns > streams.STATUS.max_age_s * 1e9

    def _publish(self, result: EpochResult) -> None:
        signal = self._signal
        self._published_ns = time.monotonic_ns()
        message = StationStatus(
            stamp=convert.to_time(self.now_s()),
            modules=self._modules,
            members=result.members,
            rounds=result.rounds,
            cold=result.cold,
            clipped=result.shortfall_kw > 0.0,
            frequency_hz=signal.frequency_hz if signal else math.nan,
            price_eur_per_kwh=signal.price_eur_per_kwh if signal else math.nan,
            target_kw=result.target_kw,
            clipped_target_kw=result.clipped_target_kw,
            agreed_kw=result.agreed_kw,
            measured_kw=self._measured_kw(),
            lambda_eur_per_kwh=result.lambda_eur_per_kwh,
            gap=result.gap,
            equal_split_gap=result.equal_split_gap,
            epoch_ms=result.epoch_ms,
            text=self._problem(),
        )
        convert.put_epoch(message, result.epoch)
        self._status_out.publish(message)

    def _station_values(self) -> dict[str, Any]:
        signal, last = self._signal, self._record.last
        return {
            "time_s": self._elapsed_s(),
            "time_of_day_s": signal.time_of_day_s if signal else math.nan,
            "frequency_hz": signal.frequency_hz if signal else math.nan,
            "price_eur_per_kwh": signal.price_eur_per_kwh if signal else math.nan,
            "target_kw": last.target_kw if last else math.nan,
            "clipped_target_kw": last.clipped_target_kw if last else math.nan,
            "agreed_kw": last.agreed_kw if last else math.nan,
            "measured_kw": self._measured_kw(),
        }

    def _module_values(self, k: int) -> dict[str, float]:
        applied, status = self._fresh_applied(k), self._status.get(k)
        return {
            "lambda": self._lambda.get(k, math.nan),
            "power_kw": applied.power_kw if applied else math.nan,
            "setpoint_kw": applied.setpoint_kw if applied else math.nan,
            "soc": status[1].soc if status else math.nan,
            "temperature_c": status[1].temperature_c if status else math.nan,
        }

    def _sample(self) -> None:
        if self._started_ns:
            self._record.add_sample(self._station_values(), {k: self._module_values(k) for k in self.p.module_ids})

    def _show(self) -> None:
        last, now_ns = self._record.last, time.monotonic_ns()
        if last is not None and now_ns - self._published_ns > STATUS_S * 1e9:
            self._publish(last)
        modules = []
        for k in self.p.module_ids:
            status = self._status.get(k)
            modules.append(
                {
                    "id": k,
                    **self._module_values(k),
                    "vehicle": status[1].session_id if status and status[1].vehicle_plugged else "",
                    "mode": Mode(status[1].mode).name if status else "?",
                    "reason": status[1].reason if status else "not seen yet",
                    "age_s": (now_ns - status[0]) / 1e9 if status else math.nan,
                }
            )
        events.emit(
            "table",
            **self._station_values(),
            lambda_eur_per_kwh=last.lambda_eur_per_kwh if last else math.nan,
            gap=last.gap if last else math.nan,
            rounds=last.rounds if last else 0,
            cold=last.cold if last else False,
            epochs=self._record.epochs,
            members=last.members if last else 0,
            epoch_ms=last.epoch_ms if last else math.nan,
            text=self._problem(),
            modules=modules,
        )

    def _on_heartbeat(self, message: NeighborState) -> None:
        self._groups[message.module_id] = message.membership

    def _check_graph(self) -> None:
        """Compare the discovered graph with the station file, then wait until all modules count on the same group.

        Stops looking, and listening to heartbeats, once all is there.
        """
        self._unseen = self._still_unseen(self._unseen)
        missing = [*self._unseen]
        if not missing or all("/grid_signal" in link for link in missing):
            fingerprints = {self._groups.get(k) for k in self.p.module_ids}
            if len(fingerprints) > 1 or None in fingerprints:
                missing.append(["one membership", *sorted(f"/ek3_{k:02d}/optimizer" for k in self.p.module_ids)[:2]])
        events.emit("link", missing=missing)
        if not missing:
            self.destroy_timer(self._graph_timer)
            for heartbeat in self._heartbeats:
                self.destroy_subscription(heartbeat)

    def _still_unseen(self, links: list[list[str]]) -> list[list[str]]:
        """Of these edges those that the graph does not show; each topic is looked up once."""
        ends: dict[str, tuple[set[str], set[str]]] = {}
        for topic in {link[0] for link in links}:
            ends[topic] = (
                {_full_name(info) for info in self.get_publishers_info_by_topic(topic)},
                {_full_name(info) for info in self.get_subscriptions_info_by_topic(topic)},
            )
        return [link for link in links if link[1] not in ends[link[0]][0] or link[2] not in ends[link[0]][1]]


def _full_name(info: Any) -> str:  # noqa: ANN401 - rclpy's endpoint info
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
