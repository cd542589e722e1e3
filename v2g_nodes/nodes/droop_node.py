"""`droop`: answers grid frequency around the agreed base power, 200 times a second and on every new frequency."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from v2g_nodes.core.droop_control import DroopInputs
from v2g_nodes.core.droop_settings import PLAIN, DroopSettings, build_control, build_law
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.core.freshness import SourceChoice
from v2g_nodes.core.module_control import ModuleControl
from v2g_nodes.msg import BaseSetpoint, GridSignal
from v2g_nodes.nodes import convert, streams, tick_group
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.droop_diagnostics import DroopDiagnostics
from v2g_nodes.nodes.droop_record import DroopRecord
from v2g_nodes.nodes.law_parameters import LawParameters
from v2g_nodes.nodes.module_node import LOCAL_MODULES, ModuleNode
from v2g_nodes.nodes.parameters import LimitParameters, parameter
from v2g_nodes.nodes.ticker import Tick

RECORD_S = 0.5  # s, records that are full are looked for so often


@dataclass(frozen=True)
class DroopParameters(LimitParameters, LawParameters):
    """Parameters of the droop node."""

    gain_kw_per_hz: float = parameter(
        0.0, "share of the station's gain, of the plain law", "kW/Hz", 0.0, 1e5, settable=True)
    deadband_hz: float = parameter(
        0.010, "deviation without an answer, of the plain law", "Hz", 0.0, 0.5, settable=True)
    nominal_v: float = parameter(400.0, "nominal voltage, phase to phase", "V", 100.0, 1000.0)
    rate_hz: float = parameter(200.0, "ticks per second", "Hz", 1.0, 1000.0)
    cpu: int = parameter(-1, "core to which the process is pinned; -1 = none", "", -1, 1023)
    in_service: bool = parameter(
        False, "the connection to the grid is in service at the start; else it has to be entered by the grid code")
    optimizer_silent_s: float = parameter(1.0, "a base set-point that is not repeated is held so long", "s", 0.3, 60.0)


class DroopNode(ManagedNode[DroopParameters]):
    """See module docstring. `_on_tick` runs in the ticker's thread, everything else in the executor's."""

    PARAMETERS = DroopParameters
    _was_configured = False
    _settings: DroopSettings  # to be in force from the next tick on

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Gain and deadband, from the next tick on."""
        law = {name: changes[name] for name in ("gain_kw_per_hz", "deadband_hz") if name in changes}
        if law and self.p.law != PLAIN:
            return f"{next(iter(law))} with law {self.p.law}, allowed with {PLAIN}"
        if law and self.configured:
            self._settings = replace(self._settings, **law)
        return ""

    def configure(self) -> None:
        """Find the module of this process.

        Raises:
            InputError: the module node is not in this process.
        """
        p = self.p
        if p.module_id not in LOCAL_MODULES:
            found = sorted(LOCAL_MODULES)
            raise InputError(f"module {p.module_id} is not in the process of its droop, found {found}")
        self._module: ModuleNode = LOCAL_MODULES[p.module_id]
        hold_s = p.held_s(p.signal_hold_s)
        self._settings = DroopSettings(
            p.gain_kw_per_hz, p.nominal_hz, p.deadband_hz, p.ramp_kw_per_s, hold_s,
            p.law, p.p_max_kw, p.law_category, p.law_changes)
        self._settings_in_force = self._settings
        self._control = build_control(self._settings, p.in_service and not self._was_configured)
        self._was_configured = True  # what comes after a clean-up is a start like any other
        self._sources = SourceChoice(round(hold_s * 1e9 / p.speed), round(0.5e9 / p.speed))
        self._arrival_ns = 0
        self._record = DroopRecord(p.module_id, self._settings, self._module.p.ramp_kw_per_s)
        self._record_out = self.publisher(streams.DECISION_RECORD)
        self._diagnostics = DroopDiagnostics(
            self, self._module.law_s, self._control.signal_age_s, self._control.told)

    def activate(self) -> None:
        """Begin to tick; the first tick goes on from the power that flows.

        Raises:
            StartupError: the module is not active.
        """
        if not self._module.active:
            raise StartupError(f"module {self.p.module_id} is not active: activate it first")
        self.listen(streams.GRID_SIGNAL, self._on_signal)
        self.listen(streams.BASE_SETPOINT, self._on_base)
        self.every(RECORD_S, self._on_record)
        self._diagnostics.start()
        self._seat = tick_group.join(self.p.rate_hz, self._on_tick)

    def deactivate(self) -> None:
        """Stop ticking; the module ramps to zero by itself."""
        self._seat.leave()
        self._on_record(ended=True)

    def _on_signal(self, message: GridSignal, info: dict[str, Any]) -> None:
        now_ns = time.monotonic_ns()
        problem = convert.signal_problem(message, self.p.nominal_hz)
        if problem:
            self.get_logger().warning(f"grid signal refused: {problem}", throttle_duration_sec=1.0)
            return
        if self._sources.follows(message.source_id, message.sequence, now_ns):
            voltage_pu = message.voltage_v / self.p.nominal_v
            self._control.set_frequency(message.frequency_hz, self._module.law_s(), voltage_pu)
            self._arrival_ns = info["source_timestamp"]
            self._seat.wake()

    def _on_base(self, message: BaseSetpoint) -> None:
        # The stamp counts in ROS time, the law in its own: what is left of the validity goes over. A stepped clock
        # must not make it longer.
        left_s = convert.to_seconds(message.valid_until) - self._module.now_s()
        left_s = min(left_s, self.p.held_s(self.p.optimizer_silent_s))
        # Not woken for it: the next tick is at most a period away, and neighbours may be in their last round.
        until_s = self._module.law_s() + left_s
        self._control.set_base(message.power_kw, until_s)
        self._diagnostics.base_until_s = until_s

    def _on_tick(self, tick: Tick) -> None:
        if self._settings is not self._settings_in_force:
            self._change_law(self._settings)
        inputs: DroopInputs | None = None

        def request(control: ModuleControl, now_s: float, dt_s: float) -> float:
            nonlocal inputs
            self._module.signal_age_s = self._control.signal_age_s(now_s)
            self._module.droop_overruns = self._seat.overruns
            inputs = self._control.inputs(
                now_s, dt_s, control.energised, control.limits, control.due_kw, control.setpoint_kw
            )
            self._module.base_kw = inputs.base_kw
            requested_kw = self._record.decide(self._control, inputs)
            control.ceased, control.connection = self._control.ceased, self._control.connection
            control.offer_cap_kw = self._control.offer_cap_kw
            return requested_kw

        arrival_ns = self._arrival_ns
        applied_kw = self._module.drive(request)
        if applied_kw is None or inputs is None:
            return
        if arrival_ns:
            self._record.note_latency(time.time_ns() - arrival_ns)
            if self._arrival_ns == arrival_ns:  # else another one has come meanwhile, for the next tick
                self._arrival_ns = 0
        self._record.note(tick, inputs, applied_kw)

    def _change_law(self, settings: DroopSettings) -> None:
        self._control.change_law(build_law(settings))
        self._record.renew(settings)
        self._settings_in_force = settings

    def _on_record(self, ended: bool = False) -> None:
        if self._seat.failed:  # the module has taken over; whoever started this process gives it another try
            raise StartupError(f"{self.get_fully_qualified_name()}: droop's tick has failed, see its error above")
        stamp = convert.to_time(self.now_s())
        while (record := self._record.take(stamp, ended)) is not None:
            self._record_out.publish(record)
            self._diagnostics.took(record, self._module.droop_overruns)
