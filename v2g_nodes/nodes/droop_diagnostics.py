"""What a droop node tells on /diagnostics: how evenly it ticks, and how old what it answers to is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from v2g_nodes.msg import DecisionRecord
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, Status, module_name

RATE_SHARE = 0.99  # of the rate asked for, below it somebody should look; one missed tick a second is not worth it
LATE_PERIODS = 1.0  # a p99 of so many tick periods is worth a word
SILENT_S = 2.5  # s, wall: ticks are recorded once a second


class DroopDiagnostics:
    """Status `droop` of a module.

    Args:
        node: the droop node; make this while it is configured.
        law_s: clock of the law [s].
        signal_age_s: age of the grid signal at a law time [s]; infinite before the first.
        told: what the law has to tell besides, by name.
    """

    def __init__(
        self, node: ManagedNode[Any], law_s: Callable[[], float], signal_age_s: Callable[[float], float],
        told: Callable[[], Mapping[str, str]],
    ) -> None:
        self._told = told
        self._p, self._law_s, self._signal_age_s = node.p, law_s, signal_age_s
        self._hold_s = node.p.held_s(node.p.signal_hold_s)
        self._diagnostics = Diagnostics(node, lambda: [self._status()])
        self.base_until_s = -math.inf  # law time until which the base set-point counts
        self._overruns = self._missed = 0
        self._recorded_s = math.nan  # or begun
        self._rate_hz = self._jitter_ms = self._latency_ms = math.nan

    def start(self) -> None:
        """Begin to tell; the ticks begin now too."""
        self._recorded_s = time.monotonic()
        self._diagnostics.start()

    def took(self, record: DecisionRecord, overruns: int) -> None:
        """The ticks of a second.

        Args:
            record: of them.
            overruns: ticks missed since the start.
        """
        lateness_ns, tick_ns = np.asarray(record.lateness_ns), np.asarray(record.tick_ns)
        late_ms, times_ns = lateness_ns[lateness_ns >= 0] / 1e6, tick_ns[lateness_ns >= 0]
        latencies_ms = np.asarray(record.signal_to_setpoint_ns) / 1e6
        span_s = (times_ns[-1] - times_ns[0]) / 1e9 if times_ns.size > 1 else math.nan
        self._rate_hz = (times_ns.size - 1) / span_s
        self._jitter_ms = float(np.percentile(late_ms, 99.0)) if late_ms.size else math.nan
        self._latency_ms = float(latencies_ms.max()) if latencies_ms.size else math.nan
        due = span_s * self._p.rate_hz  # ticks after the first
        self._missed = max(round(due) - times_ns.size + 1, 0) if times_ns.size > 1 else 0
        self._overruns = overruns
        self._recorded_s = time.monotonic()

    def _judge_ticks(self, status: Status) -> None:
        if self._rate_hz < RATE_SHARE * self._p.rate_hz:
            status.warn(f"{self._rate_hz:.1f} Hz of {self._p.rate_hz:g} Hz, {self._missed} missed in the last second")
        elif self._jitter_ms > LATE_PERIODS * 1e3 / self._p.rate_hz:
            status.warn(f"ticks come up to {self._jitter_ms:.1f} ms late (p99)")

    def _status(self) -> Status:
        now_s = self._law_s()
        signal_age_s, base_left_s = self._signal_age_s(now_s), self.base_until_s - now_s
        status = Status(module_name(self._p.module_id), "droop", f"{self._rate_hz:.1f} Hz", {
            "rate Hz": self._rate_hz,
            "lateness p99 ms": self._jitter_ms,
            "missed in the last second": self._missed,
            "missed since the start": self._overruns,
            "signal to set-point worst ms": self._latency_ms,
            "grid signal age s": signal_age_s,
            "base set-point valid for s": base_left_s,
            "law": self._p.law,
            "gain kW/Hz": self._p.gain_kw_per_hz,
            **self._told(),
        })  # fmt: skip
        if time.monotonic() - self._recorded_s > SILENT_S:
            status.error("does not tick")
        elif math.isnan(self._rate_hz):
            status.warn("no second of ticks yet")
        elif self._p.speed == 1.0:  # else ticks follow the simulated clock, which comes in strides
            self._judge_ticks(status)
        if math.isinf(signal_age_s):
            status.warn("no grid signal yet")
        elif signal_age_s > self._hold_s:
            status.warn(f"grid signal lost for {signal_age_s:.1f} s")
        if base_left_s < 0.0:
            status.warn("no base set-point yet" if math.isinf(base_left_s) else "base set-point has run out")
        return status
