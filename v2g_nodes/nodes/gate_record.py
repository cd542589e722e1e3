"""What a module writes down of the ticks that it makes by itself, while droop is silent."""

from __future__ import annotations

import json
from array import array

from builtin_interfaces.msg import Time

from v2g_nodes.core.module_control import ModuleControl
from v2g_nodes.msg import DecisionRecord

COLUMNS = ("dt_s", "low_kw", "high_kw", "before_kw", "requested_kw", "applied_kw")
TICKS = 20  # of one message: a second


class GateRecord:
    """Ticks towards zero.

    Args:
        module_id: of the module.
        gate_ramp_kw_per_s: ramp of the last gate [kW/s].
    """

    def __init__(self, module_id: int, gate_ramp_kw_per_s: float) -> None:
        self._module_id = module_id
        self._settings = json.dumps({"gate_ramp_kw_per_s": gate_ramp_kw_per_s})
        self._rows: list[tuple[float, ...]] = []
        self._energised: list[bool] = []
        self._ticks_ns: list[int] = []
        self._row: tuple[float, ...] = ()
        self._sequence = 0

    def towards_zero_kw(self, control: ModuleControl, _now_s: float, dt_s: float) -> float:
        """What a module without droop asks for [kW]; a `Request` of the module node."""
        requested_kw = control.towards_zero_kw(dt_s)
        self._row = (dt_s, control.limits.low_kw, control.limits.high_kw, control.setpoint_kw, requested_kw)
        self._energised.append(control.energised)
        return requested_kw

    def note(self, tick_ns: int, applied_kw: float | None) -> None:
        """The tick for which `towards_zero_kw` was called, if it was.

        Args:
            tick_ns: steady clock [ns].
            applied_kw: what left the last gate [kW]; None = there was no tick.
        """
        if applied_kw is not None and len(self._energised) > len(self._rows):
            self._rows.append((*self._row, applied_kw))
            self._ticks_ns.append(tick_ns)

    def take(self, stamp: Time, ended: bool) -> DecisionRecord | None:
        """Ticks as a message, once there are enough or no more come; None else.

        Args:
            stamp: ROS time.
            ended: droop has taken over, or the node stops.
        """
        if not self._rows or not (ended or len(self._rows) >= TICKS):
            return None
        self._sequence += 1
        columns = dict(zip(COLUMNS, zip(*self._rows, strict=True), strict=True))
        record = DecisionRecord(
            kind=DecisionRecord.GATE,
            module_id=self._module_id,
            stamp=stamp,
            sequence=self._sequence,
            settings=self._settings,
            tick_ns=array("q", self._ticks_ns),
            energised=self._energised,
            **{name: array("d", column) for name, column in columns.items()},
        )
        self._rows, self._energised, self._ticks_ns = [], [], []
        return record
