"""`grid_signal`: tells every module what the grid shows and asks for. Any number of them may run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.freshness import Freshness
from v2g_nodes.msg import GridSignal
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, Status, node_name
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.source_diagnostics import signal_status
from v2g_nodes.nodes.sources import MEAN_ABOVE_SPEED, RecordingParameters, Recordings, RunClock

WALL_PERIOD_MIN_S = 0.1  # s, above real speed only the newest signal counts: at most ten epochs per wall second
SOURCES = ("csv", "synthetic", "topic")


@dataclass(frozen=True)
class GridSignalParameters(RecordingParameters):
    """Parameters of the grid signal node."""

    source_id: int = parameter(1, "number of this source; the lowest wins between equally fresh ones", "", 1, 255)
    source: str = parameter("synthetic", "frequency from: csv | synthetic | topic (/grid/measurement)")
    period_s: float = parameter(1.0, "period of the messages", "s", 0.02, 10.0)
    epoch_period_s: float = parameter(2.0, "a new epoch is asked for this often", "s", 0.05, 60.0)
    nominal_v: float = parameter(400.0, "nominal voltage, phase to phase", "V", 100.0, 1000.0)
    site_load_kw: float = parameter(0.0, "load behind the same connection", "kW", 0.0, 1e5, settable=True)


class GridSignalNode(ManagedNode[GridSignalParameters]):
    """See module docstring."""

    PARAMETERS = GridSignalParameters

    def configure(self) -> None:
        """Read the recordings.

        Raises:
            InputError: unknown source, or a recording that can't be used.
        """
        if self.p.source not in SOURCES:
            raise InputError(f"source is {self.p.source!r}, allowed {', '.join(SOURCES)}")
        if self.p.source != "topic" and (self.p.source == "csv") != bool(self.p.frequency_csv):
            raise InputError(f"frequency_csv is {self.p.frequency_csv!r} with source {self.p.source}, "
                             "allowed is a file with csv and none with synthetic")
        self._recordings = Recordings(self.p)
        self._measured: GridSignal | None = None
        self._measured_ns = 0
        self._fresh = Freshness(round(streams.GRID_MEASUREMENT.max_age_s * 1e9))
        self._sequence = 0
        self._signal_sequence = -1
        self._signal_pu = 0.0
        self._site_load_kw = self.p.site_load_kw
        self._sent: GridSignal | None = None
        self._sent_s = -math.inf  # steady time
        self._diagnostics = Diagnostics(self, self._statuses)
        self._signal_out = self.publisher(streams.GRID_SIGNAL)

    def activate(self) -> None:
        """Time starts: send at once, then periodically."""
        self._run = RunClock(self.p, time.time(), time.monotonic())
        self._period_s = max(self.p.period_s, WALL_PERIOD_MIN_S * self.p.speed if self.p.speed > 1.0 else 0.0)
        if self.p.source == "topic":
            self.listen(streams.GRID_MEASUREMENT, self._on_measurement)
        self.every(self._period_s / self.p.speed, self._send)
        self._send()
        self._diagnostics.start()

    def _on_measurement(self, message: GridSignal) -> None:
        problem = convert.signal_problem(message, self.p.nominal_hz)
        now_ns = time.monotonic_ns()
        if problem:
            self.get_logger().warning(f"measurement refused: {problem}", throttle_duration_sec=1.0)
        elif self._fresh.accept(message.sequence, now_ns):
            self._measured, self._measured_ns = message, now_ns

    def _frequency_hz(self, time_of_day_s: float) -> float:
        if self.p.source == "topic":
            age_s = (time.monotonic_ns() - self._measured_ns) / 1e9
            if self._measured is None or age_s > streams.GRID_MEASUREMENT.max_age_s:
                return math.nan
            return float(self._measured.frequency_hz)
        if self.p.speed > MEAN_ABOVE_SPEED:
            return self._recordings.mean_frequency_hz(time_of_day_s - self._period_s, time_of_day_s)
        return self._recordings.frequency_hz(time_of_day_s)

    def _voltage_v(self, time_of_day_s: float) -> float:
        if self._measured is not None and self.p.source == "topic":
            return float(self._measured.voltage_v)
        recorded = self._recordings.voltage_v(time_of_day_s)
        return self.p.nominal_v if math.isnan(recorded) else recorded

    def _send(self) -> None:
        """One message; none while there is no valid frequency, so that modules see the signal age."""
        ros_s = self.now_s()
        if ros_s == 0.0:  # simulated time has not reached this node: epochs could not be named
            return
        time_of_day_s = self._run.time_of_day_s(time.monotonic())
        frequency_hz = self._frequency_hz(time_of_day_s)
        if math.isnan(frequency_hz):
            self.get_logger().warning(f"no frequency from {self.p.source}", throttle_duration_sec=5.0)
            return
        signal_sequence = convert.signal_sequence(ros_s, self.p.epoch_period_s)
        if signal_sequence != self._signal_sequence:  # one epoch has one target, whichever of its signals is heard
            self._signal_sequence = signal_sequence
            self._site_load_kw = self._recordings.site_load_kw(time_of_day_s, self.p.site_load_kw)
            self._signal_pu = self._recordings.signal_pu(time_of_day_s)
        self._sequence = (self._sequence + 1) % 2**32
        self._sent, self._sent_s = GridSignal(
            stamp=convert.to_time(ros_s),
            source_id=self.p.source_id,
            sequence=self._sequence,
            signal_sequence=signal_sequence,
            time_of_day_s=time_of_day_s,
            frequency_hz=frequency_hz,
            voltage_v=self._voltage_v(time_of_day_s),
            price_eur_per_kwh=self._recordings.price_eur_per_kwh(time_of_day_s),
            signal_pu=self._signal_pu,
            site_load_kw=self._site_load_kw,
        ), time.monotonic()
        self._signal_out.publish(self._sent)

    def _statuses(self) -> list[Status]:
        now_s = time.monotonic()
        measured_s = now_s - self._measured_ns / 1e9 if self._measured is not None else math.nan
        return [
            signal_status(node_name(self), self.p, self.p.source, self._period_s / self.p.speed, self._sent,
                          now_s - self._sent_s, measured_s)
        ]  # fmt: skip
