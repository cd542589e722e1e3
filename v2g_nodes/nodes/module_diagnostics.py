"""What a module node tells on /diagnostics: whether its set-points reach the hardware, and what limits them."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from v2g_nodes.canbus.parameters import settings_from
from v2g_nodes.canbus.watched_load import watched_load
from v2g_nodes.core.following import Sample, SetpointWatch
from v2g_nodes.core.limit_reasons import limit_reasons
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.module_control import ModuleControl
from v2g_nodes.nodes.backend import Backend, Health
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.can_diagnostics import bus_status
from v2g_nodes.nodes.diagnostics import Diagnostics, Rise, Status, module_name
from v2g_nodes.sim.ek3_module import Measurement

HEALTH_S = 1.0  # s, wall: how often the bus of a module is looked at


class Seen(NamedTuple):
    """A module at one moment.

    Args:
        mode: of the module.
        reason: why the mode is what it is; empty in normal operation.
        measured: what the hardware reports.
        setpoint_kw: sent last [kW].
        enabled: power may flow.
        driven: droop ticks.
    """

    mode: Mode
    reason: str
    measured: Measurement
    setpoint_kw: float
    enabled: bool
    driven: bool


class ModuleDiagnostics:
    """Statuses `set-points`, `limits` and, with a bus, `CAN bus` of a module.

    Args:
        node: the module node; make this while it is configured.
        rating: of the module.
        control: of the module; its values are read one by one, without its lock.
        backend: of the module.
    """

    def __init__(
        self, node: ManagedNode[Any], rating: ModuleRating, control: ModuleControl, backend: Backend
    ) -> None:
        self._node, self._rating, self._control, self._backend = node, rating, control, backend
        self._who = module_name(node.p.module_id)
        self._settings = settings_from(vars(node.p))
        self._is_dry = node.p.backend == "can" and node.p.can_dry_run
        self._watch = SetpointWatch(rating.p_max_kw, max(1.0, 1.0 / node.p.speed))
        self._diagnostics = Diagnostics(node, self._statuses)
        self._seen: Seen | None = None
        self._health: Health | None = None
        self._setpoints_hz = 0.0  # sent on the bus over the last HEALTH_S
        self._clips, self._violations = Rise(), Rise()

    def start(self) -> None:
        """Begin to tell."""
        if self._backend.health() is not None:
            self._node.every(HEALTH_S, self._on_health)
        self._diagnostics.start()

    def see(self, seen: Seen) -> None:
        """The module as it is now; called 20 times a second."""
        self._seen = seen
        measured = seen.measured
        self._watch.see(
            Sample(time.monotonic(), seen.setpoint_kw, measured.reference_kw, measured.power_kw,
                   taken=not (measured.timed_out and seen.enabled))
        )  # fmt: skip

    def _on_health(self) -> None:
        before, self._health = self._health, self._backend.health()
        if self._health is None:
            return
        for text in self._health.news:
            self._node.get_logger().warning(text)
        if before is not None:
            self._setpoints_hz = (self._health.link.sent - before.link.sent) / HEALTH_S

    def _statuses(self) -> list[Status]:
        seen, now_s = self._seen, time.monotonic()
        if seen is None:
            return []
        statuses = [self._setpoints(seen), self._limits(seen, now_s)]
        if self._health is not None:
            statuses.append(self._bus(self._health))
        return statuses

    def _bus(self, health: Health) -> Status:
        load = watched_load(health.frames, self._settings, self._setpoints_hz)
        return bus_status(self._who, health.link, health.frames, {"bus load": load}, self._backend.problem())

    def _setpoints(self, seen: Seen) -> Status:
        """OK only if what is sent reaches the hardware, or rightly nothing is sent."""
        measured, control = seen.measured, self._control
        status = Status(self._who, "set-points", f"{measured.power_kw:.3f} kW as set", {
            "set-point kW": seen.setpoint_kw,
            "requested kW": control.requested_kw,
            "reference of the hardware kW": measured.reference_kw,
            "measured kW": measured.power_kw,
            "mode": seen.mode.name,
            "armed": control.armed,
        })  # fmt: skip
        if seen.mode is Mode.FAULT:
            status.error(seen.reason or "fault")
        elif problem := self._backend.problem() or ("" if self._is_dry else self._watch.problem):
            status.error(problem)
        elif not seen.driven:
            status.error("droop silent: ramping to zero")
        elif not seen.measured.vehicle.plugged and control.armed and not control.e_stop:
            status.note("no vehicle")
        elif not seen.enabled or control.connection:
            status.warn(seen.reason or "no power may flow")
        if self._is_dry:
            status.warn("dry run: nothing is sent to the hardware")
        return status

    def _limits(self, seen: Seen, now_s: float) -> Status:
        control, measured = self._control, seen.measured
        offer, violations = control.range_kw, measured.constraint_violations
        status = Status(self._who, "limits", f"{offer.low_kw:.2f} to {offer.high_kw:.2f} kW, the full rating", {
            "lowest kW": offer.low_kw,
            "highest kW": offer.high_kw,
            "cap kW": control.max_kw,
            "charge": measured.soc,
            "junction deg C": measured.temperature_c,
            "ambient deg C": measured.ambient_c,
            "energy due kWh": measured.vehicle.energy_due_kwh,
            "gate clips": control.gate_clips,
            "forced steps": control.forced_steps,
            "constraint violations": violations,
        })  # fmt: skip
        reasons = limit_reasons(self._rating, control.max_kw, control.limits, control.due_kw, measured.observation)
        if self._violations.lately(violations, now_s):
            status.error(f"constraint violation: {measured.violation}")
        if reasons.temperature:
            status.warn(reasons.temperature)
        if self._clips.lately(control.gate_clips, now_s):
            status.warn(f"the last gate had to change set-points, {control.gate_clips} since the start")
        for text in reasons[1:]:
            if text:
                status.note(text)
        return status
