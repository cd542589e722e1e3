"""What droop writes down of its ticks, so that each of them can be made again."""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import Any

from builtin_interfaces.msg import Time

from v2g_nodes.core.droop_control import DroopInputs
from v2g_nodes.msg import DecisionRecord
from v2g_nodes.nodes.ticker import Tick


class DroopRecord:
    """Ticks since the last message. Filled by the ticker's thread, emptied by the executor's, nothing is lost between.

    Args:
        module_id: of the module.
    """

    def __init__(self, module_id: int) -> None:
        self._module_id = module_id
        self._ticks: deque[tuple[Any, ...]] = deque()
        self._latencies_ns: deque[int] = deque()

    def note(self, tick: Tick, inputs: DroopInputs, applied_kw: float) -> None:
        """One tick.

        Args:
            tick: when.
            inputs: all that it depended on.
            applied_kw: what left the last gate [kW].
        """
        lateness_ns = -1 if tick.lateness_ns is None else tick.lateness_ns
        frequency = math.nan if inputs.frequency_hz is None else inputs.frequency_hz
        self._ticks.append(
            (tick.now_ns, lateness_ns, inputs.dt_s, frequency, inputs.base_kw, inputs.limits.low_kw,
             inputs.limits.high_kw, inputs.due_kw, inputs.energised, applied_kw)
        )

    def note_latency(self, latency_ns: int) -> None:
        """From the source's sending of a frequency to the set-point sent [ns]."""
        self._latencies_ns.append(latency_ns)

    def take(self, stamp: Time) -> DecisionRecord | None:
        """All ticks since the call before as a message; None when there were none."""
        ticks = [self._ticks.popleft() for _ in range(len(self._ticks))]
        latencies = [self._latencies_ns.popleft() for _ in range(len(self._latencies_ns))]
        if not ticks:
            return None
        tick, late, dt, frequency, base, low, high, due, energised, applied = zip(*ticks, strict=True)
        return DecisionRecord(
            kind=DecisionRecord.DROOP,
            module_id=self._module_id,
            stamp=stamp,
            tick_ns=array("q", tick),
            lateness_ns=array("q", late),
            dt_s=array("d", dt),
            frequency_hz=array("d", frequency),
            base_kw=array("d", base),
            low_kw=array("d", low),
            high_kw=array("d", high),
            due_kw=array("d", due),
            energised=list(energised),
            applied_kw=array("d", applied),
            signal_to_setpoint_ns=array("q", latencies),
        )
