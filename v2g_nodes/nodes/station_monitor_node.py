"""`station_monitor`: watches, judges against the centralised optimum, reports. Nothing depends on it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v2g_nodes.core.droop_settings import DroopSettings, build_law
from v2g_nodes.core.run_statistics import EpochResult
from v2g_nodes.msg import DecisionRecord, GridSignal, Meter, ModuleStatus, StationStatus
from v2g_nodes.nodes import convert, events, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics_ear import DiagnosticsEar
from v2g_nodes.nodes.graph_check import GraphCheck
from v2g_nodes.nodes.last_words import LastWords
from v2g_nodes.nodes.law_parameters import LawParameters
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.regulation_prices import RegulationParameters
from v2g_nodes.nodes.regulation_watch import LOOK_S, RegulationWatch
from v2g_nodes.nodes.run_record import RunRecord
from v2g_nodes.nodes.settlement_log import SettlementLog
from v2g_nodes.nodes.sources import MEAN_ABOVE_SPEED
from v2g_nodes.nodes.station_diagnostics import StationDiagnostics, station_name

DROOP_FIGURES = (
    "signal_to_setpoint_ms_median", "signal_to_setpoint_ms_p99",
    "droop_rate_hz", "droop_jitter_ms_p99", "droop_overruns",
)  # fmt: skip
TABLE_S = 0.5  # s, wall period of the live table
SAMPLE_S = 1.0  # s, wall period of samples for the report
STATUS_S = 2.0  # s, station status at least this often


@dataclass(frozen=True)
class StationMonitorParameters(LawParameters, RegulationParameters):
    """Parameters of the station monitor node."""

    algorithm: str = parameter("supply_curve", "how the modules agree")
    module_ids: tuple[int, ...] = parameter((), "modules of the station that run on this host")
    joined: bool = parameter(True, "these are one group without modules that run elsewhere")
    modules: int = parameter(0, "modules of the whole station; 0 = module_ids are all", "", 0, 64)
    rating_kw: float = parameter(3.3, "rating of the station", "kW", 0.1, 1e5)
    links: tuple[str, ...] = parameter((), "edges the ROS graph must have: topic, publisher, subscriber")
    silence_ms: float = parameter(500.0, "a silent neighbour counts as gone after", "ms", 50.0, 60_000.0)
    setpoint_valid_s: float = parameter(6.0, "how long droop holds a base set-point", "s", 0.5, 600.0)
    epoch_period_s: float = parameter(2.0, "period of agreements", "s", 0.05, 60.0)
    droop_gain_kw_per_hz: float = parameter(0.0, "gain of the whole station", "kW/Hz", 0.0, 1e6)
    deadband_hz: float = parameter(0.010, "droop's deadband", "Hz", 0.0, 0.5)
    law_p_max_kw: float = parameter(3.3, "rating of these modules, for a grid code's slopes", "kW", 0.1, 1e5)
    series_file: str = parameter("", "where samples for the report are written; empty = nowhere")


class StationMonitorNode(ManagedNode[StationMonitorParameters]):
    """See module docstring."""

    PARAMETERS = StationMonitorParameters

    def configure(self) -> None:
        """Begin an empty record.

        Raises:
            InputError: a recording that can't be used.
        """
        p = self.p
        self._modules = p.modules or len(p.module_ids)
        self._record = RunRecord(p.module_ids, self._modules)
        self._law = build_law(DroopSettings(
            p.droop_gain_kw_per_hz, p.nominal_hz, p.deadband_hz, 1e6, math.inf,
            p.law, p.law_p_max_kw, p.law_category, p.law_changes))
        self._signal: GridSignal | None = None
        self._words = LastWords(p.module_ids)
        self._regulation = RegulationWatch(p, self._words, self._droop_kw)
        self._ear = DiagnosticsEar(but=station_name(self))
        self._diagnostics = StationDiagnostics(
            self, self._words, self._ear, lambda: self._record.unjudged, self._owed_kw
        )
        self._started_ns = 0
        self._settled: EpochResult | None = None
        self._settlement = SettlementLog(self.audit, self.get_fully_qualified_name())
        self._published_ns = 0
        self._status_out = self.publisher(streams.STATION_STATUS.of_host(self.get_namespace()))

    def activate(self) -> None:
        """Listen to everyone."""
        for k in self.p.module_ids:
            space = f"/ek3_{k:02d}"
            self.listen(streams.APPLIED, self._words.hear_applied, space)
            self.listen(streams.STATUS, self._on_status, space)
            self.listen(streams.DECISION_RECORD, self._on_record, space)
        self.listen(streams.GRID_SIGNAL, self._on_signal)
        self.listen(streams.GRID_METER.of_host(self.get_namespace()), self._on_meter)
        self.listen(streams.MARKET_PLAN, self._regulation.hear_plan)
        self.listen(streams.DIAGNOSTICS, self._ear.hear)
        self.every(TABLE_S, self._show)
        self.every(SAMPLE_S, self._sample)
        self.every(LOOK_S, self._regulation.look)
        self._diagnostics.start()
        GraphCheck(self, self.p.links, self.p.module_ids if self.p.joined else ())

    def deactivate(self) -> None:
        """Write down what has not been settled yet."""
        self._settle(at_once=True)

    def report(self) -> None:
        """Write the samples, tell the summary; without the file where it can't be written."""
        file = self.p.series_file
        if file:
            try:
                self._record.write_series(Path(file), self._regulation.series())
            except OSError as error:
                self.get_logger().error(f"series_file {file}: {error}")
                file = ""
        summary = self._record.summary() | self._regulation.figures()
        if self.p.speed > MEAN_ABOVE_SPEED:  # droop answers to means there
            summary |= dict.fromkeys(DROOP_FIGURES)
        summary["unreached"] = self._ear.errors("set-points")
        events.emit("summary", summary=summary, series_file=file)

    def _on_status(self, message: ModuleStatus) -> None:
        self._words.hear_status(message)
        if self._started_ns:
            self._record.add_status(message)
        self._settlement.see(message, self._signal.price_eur_per_kwh if self._signal else math.nan)

    def _on_meter(self, message: Meter) -> None:
        self._record.add_meter(message)
        self._diagnostics.metered(message)

    def _on_signal(self, message: GridSignal) -> None:
        if not self._started_ns:
            self._started_ns = time.monotonic_ns()
        new_epoch = self._signal is None or message.signal_sequence != self._signal.signal_sequence
        if new_epoch and self._signal is not None and self._settled is not None and self.p.speed == 1.0:
            error_kw = self._words.measured_kw() - self._owed_kw()
            self._record.add_delivered_error(error_kw)
            self._diagnostics.delivered(error_kw)
        if new_epoch:
            self._settled = None
        self._signal = message

    def _on_record(self, message: DecisionRecord) -> None:
        if message.kind == DecisionRecord.DROOP and self._started_ns and message.tick_ns[0] > self._started_ns:
            self._record.add_ticks(message)
        if message.kind != DecisionRecord.EPOCH:
            return
        self._regulation.hear_record(message)
        self._words.price_eur_per_kwh[message.module_id] = message.lambda_eur_per_kwh
        unjudged = self._record.unjudged_epochs
        result = self._record.add_epoch(message, self._elapsed_s())
        if self._record.unjudged_epochs > unjudged:
            self.get_logger().error(f"epoch not judged: {self._record.unjudged}", throttle_duration_sec=1.0)
        if result is not None:
            self._settled = result
            self._diagnostics.agreed(result)
            self._publish(result)

    def _owed_kw(self) -> float:
        """By the agreement of this epoch and the frequency of the moment; NaN before there is one."""
        return math.nan if self._settled is None else self._settled.clipped_target_kw + self._droop_kw()

    def _droop_kw(self) -> float:
        """Droop's answer to the frequency of the moment; NaN before there is one."""
        return math.nan if self._signal is None else self._law.contribution_kw(self._signal.frequency_hz)

    def _elapsed_s(self) -> float:
        return (time.monotonic_ns() - self._started_ns) / 1e9 * self.p.speed if self._started_ns else 0.0

    def _problem(self) -> str:
        """What is wrong, in words."""
        silent, errors = self._words.silent(), self._ear.errors()
        if silent:
            return f"no status from module {', '.join(map(str, silent))}"
        if errors:
            return "; ".join(errors)
        last = self._record.last
        if last is not None and last.members < self._modules:
            return f"{last.members} of {self._modules} modules agreed"
        return f"epoch not judged: {self._record.unjudged}" if self._record.unjudged else ""

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
            measured_kw=self._words.measured_kw(),
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
            "measured_kw": self._words.measured_kw(),
        }

    def _settle(self, at_once: bool = False) -> None:
        time_of_day_s = self._signal.time_of_day_s if self._signal else math.nan
        self._settlement.settle(self.law_s(), time_of_day_s, at_once)

    def _sample(self) -> None:
        self._settle()
        if self._started_ns:
            self._record.add_sample(self._station_values(), {k: self._words.values(k) for k in self.p.module_ids})

    def _show(self) -> None:
        last, now_ns = self._record.last, time.monotonic_ns()
        if last is not None and now_ns - self._published_ns > STATUS_S * 1e9:
            self._publish(last)
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
            modules=[self._words.row(k) for k in self.p.module_ids],
        )
