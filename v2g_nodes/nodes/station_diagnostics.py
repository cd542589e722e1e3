"""What the station monitor tells on /diagnostics of the station as a whole."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from v2g_nodes.core.dispatch.methods import gap_limit
from v2g_nodes.core.run_statistics import EpochResult
from v2g_nodes.msg import Meter
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, Status
from v2g_nodes.nodes.diagnostics_ear import DiagnosticsEar
from v2g_nodes.nodes.last_words import LastWords

BALANCE_SHARE = 1e-3  # of the rating; agreed powers may miss the clipped target by so much
DELIVERED_SHARE = 0.05  # of the rating: chosen, beyond it the station is well off what it owes
FULL_BUS = 0.7  # chosen: above this load low priorities begin to wait (docs/decisions/0008-the-bus.md)
OVERDUE_EPOCHS = 3.0  # an agreement this many epoch periods old is overdue


class StationDiagnostics:
    """Statuses `agreement`, `delivery`, `modules` and, with a bus, `CAN bus` of the station.

    Args:
        node: the monitor; make this while it is configured.
        words: what the modules said last.
        ear: what all nodes tell on /diagnostics.
        unjudged: tells why the latest epoch that could not be judged was not; empty if none.
        owed_kw: tells what the station owes now [kW]; NaN where that is not known.
    """

    def __init__(
        self, node: ManagedNode[Any], words: LastWords, ear: DiagnosticsEar, unjudged: Callable[[], str],
        owed_kw: Callable[[], float],
    ) -> None:
        self._p, self._words, self._ear, self._who = node.p, words, ear, station_name(node)
        self._unjudged, self._owed_kw = unjudged, owed_kw
        self._modules = node.p.modules or len(node.p.module_ids)
        self._result: EpochResult | None = None
        self._agreed_s = -math.inf
        self._delivered_error_kw = math.nan
        self._meter: Meter | None = None
        self._diagnostics = Diagnostics(node, self._statuses)
        self.start = self._diagnostics.start

    def agreed(self, result: EpochResult) -> None:
        """An epoch was closed."""
        self._result, self._agreed_s = result, time.monotonic()

    def delivered(self, error_kw: float) -> None:
        """At the end of an epoch: measured less owed [kW]."""
        self._delivered_error_kw = error_kw

    def metered(self, meter: Meter) -> None:
        """The meter's reading."""
        self._meter = meter

    def _statuses(self) -> list[Status]:
        statuses = [self._agreement(), self._delivery(), self._all_modules()]
        loads = self._ear.figures("bus load")
        return [*statuses, _bus(self._who, loads)] if loads else statuses

    def _agreement(self) -> Status:
        p, last = self._p, self._result
        age_s = time.monotonic() - self._agreed_s
        status = Status(self._who, "agreement", "all modules agree", {"last agreement s ago": age_s})
        if age_s > OVERDUE_EPOCHS * p.epoch_period_s / min(p.speed, 1.0):
            status.warn("nothing agreed yet" if last is None else f"last agreement {age_s:.0f} s ago")
        if text := self._unjudged():
            status.warn(f"an epoch could not be judged: {text}")
        if last is None:
            return status
        status.values |= {
            "members": last.members,
            "gap": last.gap,
            "gap of an equal split": last.equal_split_gap,
            "balance error kW": last.balance_error_kw,
            "largest difference of prices EUR/kWh": last.lambda_spread,
            "price EUR/kWh": last.lambda_eur_per_kwh,
            "rounds": last.rounds,
            "round ms": last.round_ms,
            "epoch ms": last.epoch_ms,
            "shortfall kW": last.shortfall_kw,
        }
        if last.members < self._modules:
            status.warn(f"{last.members} of {self._modules} modules agreed")
        if last.gap > gap_limit(p.algorithm):
            status.warn(f"gap {last.gap:.2g}, allowed {gap_limit(p.algorithm):g}")
        if last.balance_error_kw > BALANCE_SHARE * p.rating_kw:
            status.warn(f"agreed powers miss the target by {last.balance_error_kw:.3f} kW")
        return status

    def _delivery(self) -> Status:
        meter, measured_kw = self._meter, self._words.measured_kw()
        status = Status(self._who, "delivery", f"{measured_kw:.2f} kW as owed", {
            "measured kW": measured_kw,
            "owed kW": self._owed_kw(),
            "error at the end of the last epoch kW": self._delivered_error_kw,
        })  # fmt: skip
        if abs(self._delivered_error_kw) > DELIVERED_SHARE * self._p.rating_kw:
            status.warn(f"{self._delivered_error_kw:+.2f} kW off what was owed at the end of the epoch")
        if meter is not None:
            status.values |= {"voltage V": float(meter.voltage_v), "reactive kvar": float(meter.reactive_kvar)}
            if meter.tripped:
                status.error(f"grid protection has tripped at {meter.voltage_v:.0f} V, {meter.frequency_hz:.3f} Hz")
        return status

    def _all_modules(self) -> Status:
        rates, lateness = self._ear.figures("rate Hz"), self._ear.figures("lateness p99 ms")
        status = Status(self._who, "modules", "all modules answer", {
            "modules": len(self._words.module_ids),
            "slowest droop Hz": min(rates.values(), default=math.nan),
            "largest droop lateness p99 ms": max(lateness.values(), default=math.nan),
        })  # fmt: skip
        silent, errors = self._words.silent(), self._ear.errors()
        if silent:
            status.error(f"no status from module {', '.join(map(str, silent))}")
        for text in errors:
            status.error(text)
        return status


def station_name(node: ManagedNode[Any]) -> str:
    """Who its statuses are about: the station, or the part of it that this node's host runs."""
    host = str(node.get_namespace()).strip("/")
    return f"station of {host}" if host else "station"


def _bus(who: str, loads: dict[str, float]) -> Status:
    """All bridges hear the same frames; what modules say and hear is heard by nobody else."""
    bridges = [load for name, load in loads.items() if "can_bridge" in name]
    load = max(bridges, default=0.0) + sum(load for name, load in loads.items() if "can_bridge" not in name)
    status = Status(who, "CAN bus", f"load {load:.0%}", {"load of the bus": load})
    if load > FULL_BUS:
        status.warn(f"load {load:.0%}, messages of low priority wait")
    return status
