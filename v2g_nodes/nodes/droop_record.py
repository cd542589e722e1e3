"""What droop writes down of its ticks, so that each of them can be made again."""

from __future__ import annotations

import json
from array import array
from collections import deque
from dataclasses import asdict, dataclass, field

from builtin_interfaces.msg import Time

from v2g_nodes.core.droop_control import DroopControl, DroopInputs
from v2g_nodes.core.droop_settings import DroopSettings
from v2g_nodes.core.droop_ticks import COLUMNS, row_of
from v2g_nodes.msg import DecisionRecord
from v2g_nodes.nodes.ticker import Tick

BATCH_NS = 1_000_000_000  # ns, ticks of one message


@dataclass
class _Batch:
    """Ticks in a row, the constants of the law, and its state before the first."""

    settings: str
    state: tuple[float, ...]
    ticks: list[tuple[Tick, DroopInputs, float, float]] = field(default_factory=list)
    latencies_ns: list[int] = field(default_factory=list)


class DroopRecord:
    """Ticks by the second. Filled by the ticker's thread, emptied by the executor's, nothing is lost between them.

    Args:
        module_id: of the module.
        settings: what the law was built from.
        gate_ramp_kw_per_s: ramp of the last gate [kW/s].
    """

    def __init__(self, module_id: int, settings: DroopSettings, gate_ramp_kw_per_s: float) -> None:
        self._module_id = module_id
        self._gate_ramp_kw_per_s = gate_ramp_kw_per_s
        self._full: deque[_Batch] = deque()
        self._batch: _Batch | None = None  # that is being filled
        self._requested_kw = 0.0
        self._sequence = 0
        self.renew(settings)

    def renew(self, settings: DroopSettings) -> None:
        """The law has other constants from the next tick on. To be called by the thread that ticks, or while none does.

        Args:
            settings: the constants.
        """
        self._settings = json.dumps({"law": asdict(settings), "gate_ramp_kw_per_s": self._gate_ramp_kw_per_s})
        self._close()

    def _close(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None and batch.ticks:
            self._full.append(batch)

    def decide(self, control: DroopControl, inputs: DroopInputs) -> float:
        """What the law asks for [kW], its state kept where a message is to begin."""
        if self._batch is None:
            self._batch = _Batch(self._settings, control.state())
        self._requested_kw = control.decide(inputs)
        return self._requested_kw

    def note(self, tick: Tick, inputs: DroopInputs, applied_kw: float) -> None:
        """The tick for which `decide` was called.

        Args:
            tick: when.
            inputs: all that it depended on.
            applied_kw: what left the last gate [kW].
        """
        batch = self._batch
        if batch is None:
            return
        batch.ticks.append((tick, inputs, self._requested_kw, applied_kw))
        if tick.now_ns - batch.ticks[0][0].now_ns >= BATCH_NS:
            self._close()

    def note_latency(self, latency_ns: int) -> None:
        """From the source's sending of a frequency to the set-point sent [ns]; of the tick that is noted next."""
        if self._batch is not None:
            self._batch.latencies_ns.append(latency_ns)

    def take(self, stamp: Time, ended: bool = False) -> DecisionRecord | None:
        """The oldest full second as a message; None when there is none.

        Args:
            stamp: ROS time.
            ended: no more ticks come, so the last second need not be full.
        """
        if ended:
            self._close()
        return self._message(self._full.popleft(), stamp) if self._full else None

    def _message(self, batch: _Batch, stamp: Time) -> DecisionRecord:
        self._sequence += 1
        ticks, inputs, requested, applied = zip(*batch.ticks, strict=True)
        columns = dict(zip(COLUMNS, zip(*map(row_of, inputs), strict=True), strict=True))
        return DecisionRecord(
            kind=DecisionRecord.DROOP,
            module_id=self._module_id,
            stamp=stamp,
            sequence=self._sequence,
            settings=batch.settings,
            state=array("d", batch.state),
            tick_ns=array("q", [tick.now_ns for tick in ticks]),
            lateness_ns=array("q", [-1 if tick.lateness_ns is None else tick.lateness_ns for tick in ticks]),
            energised=[one.energised for one in inputs],
            requested_kw=array("d", requested),
            applied_kw=array("d", applied),
            signal_to_setpoint_ns=array("q", batch.latencies_ns),
            **{name: array("d", column) for name, column in columns.items()},
        )
