"""`module`: one EK3 module, its limits, mode and last gate. The only node that commands hardware."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from rclpy.parameter import Parameter
from std_msgs.msg import Bool

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.limits import ZERO_BOX, ModuleRating
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.module_control import ModuleControl
from v2g_nodes.core.pace import Pace
from v2g_nodes.msg import Applied, ModuleStatus
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.backend import open_backend
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.can_parameters import CanParameters
from v2g_nodes.nodes.gate_record import GateRecord
from v2g_nodes.nodes.module_diagnostics import ModuleDiagnostics, Seen
from v2g_nodes.nodes.parameters import LimitParameters, parameter
from v2g_nodes.nodes.sources import RunClock

REPORT_S = 0.05  # s, `applied` at most this often
REPORT_LATEST_S = 0.2  # s, and at least this often
CHANGE_KW = 0.001  # kW, smaller changes are not worth a message
STATUS_S = 0.5  # s
PAUSE_S = 0.1  # s, wall: a tick that comes later than this has had a pause before it; below the hardware's time-out

Request: TypeAlias = Callable[[ModuleControl, float, float], float]


@dataclass(frozen=True)
class ModuleParameters(LimitParameters, CanParameters):
    """Parameters of the module node."""

    backend: str = parameter("sim", "sim = simulated hardware; can = EK3 on the CAN bus")
    can_setpoint_hz: float = parameter(
        100.0, "set-points sent on the bus at most so often", "Hz", 10.0, 200.0, settable=True)
    armed: bool = parameter(False, "energising is allowed; set it to arm or disarm", settable=True)
    max_kw: float = parameter(
        3.3, "cap for commissioning, beside the rating; power above a lower one ramps down", "kW", 0.0, 100.0,
        settable=True)
    rate_hz: float = parameter(200.0, "droop ticks per second", "Hz", 1.0, 1000.0)
    droop_silent_s: float = parameter(0.5, "silence of droop after which the module ramps to zero", "s", 0.05, 60.0)
    state_file: str = parameter("", "where the simulation keeps its state; empty = nowhere")
    ambient_c: float = parameter(30.0, "simulated ambient", "deg C", -60.0, 100.0)
    temperature_c: float = parameter(30.0, "simulated junction at the start", "deg C", -60.0, 200.0)
    soc: float = parameter(0.5, "simulated state of charge at the start", "", 0.0, 1.0)
    command_timeout_s: float = parameter(0.3, "simulated hardware ramps to zero after this silence", "s", 0.01, 10.0)
    actuator_lag_s: float = parameter(0.02, "simulated time constant of power", "s", 0.0, 1.0)
    thermal_resistance_k_per_w: float = parameter(1.2, "simulated, per device", "K/W", 0.001, 100.0)
    thermal_devices: int = parameter(8, "simulated devices that share the loss", "", 1, 1000)
    thermal_tau_s: float = parameter(180.0, "simulated", "s", 0.1, 1e6)
    vehicle_plugged: bool = parameter(True, "simulated vehicle at the start")
    vehicle_session_id: str = parameter("", "its session")
    vehicle_capacity_kwh: float = parameter(60.0, "its battery", "kWh", 0.1, 10_000.0)
    vehicle_departure_s: float = parameter(math.nan, "its departure, local time of day; NaN = not known", "s")
    vehicle_energy_due_kwh: float = parameter(0.0, "energy owed to it", "kWh", 0.0, 10_000.0)
    session_ids: tuple[str, ...] = parameter((), "simulated sessions of the day")
    session_arrival_s: tuple[float, ...] = parameter((), "their arrival, local time of day", "s")
    session_departure_s: tuple[float, ...] = parameter((), "their departure", "s")
    session_energy_kwh: tuple[float, ...] = parameter((), "their energy", "kWh")


#: modules of this process, by id: droop reaches its module by a call, not a message
LOCAL_MODULES: dict[int, ModuleNode] = {}


class ModuleNode(ManagedNode[ModuleParameters]):
    """See module docstring. `drive` is called by droop's thread, everything else by the executor's."""

    PARAMETERS = ModuleParameters

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Cap, pace on the bus and arming; arming may be refused and comes first."""
        if not self.configured:
            return ""
        if "armed" in changes and (problem := self._arm() if changes["armed"] else self._disarm()):
            return problem
        with self._lock:
            self.control.max_kw = changes.get("max_kw", self.control.max_kw)
            self._backend.apply(changes)
        return ""

    def configure(self) -> None:
        """Open the backend; continue from the power it reports."""
        p = self.p
        columns = (p.session_ids, p.session_arrival_s, p.session_departure_s, p.session_energy_kwh)
        if len({len(column) for column in columns}) > 1:
            raise InputError("session_ids, session_arrival_s, session_departure_s, session_energy_kwh differ in length")
        rating = ModuleRating(p.p_max_kw, p.ramp_kw_per_s, p.soc_min, p.soc_max, p.efficiency)
        self._lock = threading.Lock()  # guards backend, control and what was seen
        begun_s = p.start_time_of_day_s + RunClock(p, time.time(), time.monotonic()).elapsed_s(time.monotonic())
        self._backend = open_backend(p.backend, {**asdict(p), "start_time_of_day_s": begun_s})
        self._seen = self._backend.measurement()
        self._violations_told = self._seen.constraint_violations
        self.control = ModuleControl(rating, p.max_kw, p.armed, PAUSE_S * p.speed)
        self.control.resume(self._seen.reference_kw)
        self._pace = Pace(PAUSE_S * p.speed)
        self._fault = ""
        self._hold_s = p.held_s(p.signal_hold_s)
        self._ticked_s = self.law_s()
        self.signal_age_s = math.inf
        self.droop_overruns = 0
        self.base_kw = 0.0  # droop's, agreed and valid
        self._applied_out = self.publisher(streams.APPLIED)
        self._status_out = self.publisher(streams.STATUS)
        self._diagnostics = ModuleDiagnostics(self, rating, self.control, self._backend)
        self._record = GateRecord(p.module_id, p.ramp_kw_per_s)
        self._record_out = self.publisher(streams.DECISION_RECORD)
        self._applied_ns = 0
        self._status_ns = 0
        self._listeners = 0
        self._shown: tuple[Mode, float, float, float] = (Mode.OFF, 0.0, 0.0, 0.0)
        self._status_shown: tuple[Mode, str] = (Mode.OFF, "")
        self.listen(streams.E_STOP, self._on_e_stop)
        LOCAL_MODULES[p.module_id] = self

    def activate(self) -> None:
        """Report and watch over droop."""
        with self._lock:
            self._observe()  # limits before the first tick, or its gate would force power that flows to zero at once
        self._driven_ns = time.monotonic_ns()
        self.every(REPORT_S, self._on_report)
        self._diagnostics.start()

    def deactivate(self) -> None:
        """Stop commanding: the hardware times out and ramps to zero by itself. Say so."""
        with self._lock:
            self.control.switch_off()
            applied, status = self._applied(silent=True), self._status("not active")
        self._applied_out.publish(applied)
        self._status_out.publish(status)
        if (record := self._record.take(convert.to_time(self.now_s()), ended=True)) is not None:
            self._record_out.publish(record)
        self._save()

    def cleanup(self) -> None:
        """Let go of the backend."""
        self._backend.close()
        if LOCAL_MODULES.get(self.p.module_id) is self:
            del LOCAL_MODULES[self.p.module_id]

    def drive(self, request: Request) -> float | None:
        """One tick of droop: send what the last gate lets through and take in what the hardware reports.

        Args:
            request: asked for the power wanted [kW] while nothing else can change the module; gets its control,
                law time now [s] and the law time this tick stands for [s].

        Returns:
            The set-point really sent [kW]; None where no law time has passed or the node is not active.
        """
        with self._lock:
            self._driven_ns = time.monotonic_ns()
            return self._tick(request)

    def _tick(self, request: Request) -> float | None:
        now_s, control = self.law_s(), self.control
        if not self.active or now_s == 0.0:  # simulated time has not reached this node yet
            return None
        pause_s, dt_s = self._pace.take(now_s)
        if dt_s <= 0.0:
            return None
        self._ticked_s = now_s
        if pause_s > 0.0:
            self._exchange(None, pause_s)
        if self._seen.timed_out:  # the hardware has gone on towards zero by itself
            control.resume(self._seen.reference_kw)
        control.begin_tick(dt_s)
        result = control.apply(request(control, now_s, dt_s), dt_s)
        self._exchange(result.setpoint_kw, dt_s)
        return result.setpoint_kw

    def _exchange(self, setpoint_kw: float | None, dt_s: float) -> None:
        """Send a set-point or none, take in the answer; no answer is a fault."""
        try:
            self._seen = self._backend.step(setpoint_kw, dt_s, self.control.enabled)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: the module must say so and go to zero
            self._seen = self._seen._replace(fault=f"backend: {error}")
            self.get_logger().error(self._seen.fault, throttle_duration_sec=1.0)
        self._observe()

    def _observe(self) -> None:
        self._fault = self._seen.fault or self._fault
        self.control.observe(self._seen.observation, self.signal_age_s <= self._hold_s)

    def _on_report(self) -> None:
        """20 Hz: take over when droop is silent; publish what changed, and everything to who has begun to listen."""
        now_ns = time.monotonic_ns()
        listeners = self._applied_out.get_subscription_count() + self._status_out.get_subscription_count()
        if listeners > self._listeners:  # a restarted optimizer waits for both
            self._applied_ns = self._status_ns = 0
        self._listeners = listeners
        with self._lock:
            silent = (now_ns - self._driven_ns) / 1e9 > self.p.droop_silent_s
            if silent:
                self.signal_age_s, self.base_kw = math.inf, 0.0
                self._record.note(now_ns, self._tick(self._record.towards_zero_kw))
            record = self._record.take(convert.to_time(self.now_s()), not silent)
            applied = self._applied_due(now_ns, silent)
            status = self._status_due(now_ns, silent)
            state = Seen(*self._status_shown, self._seen, self.control.setpoint_kw, self.control.enabled, not silent)
            seen, before = self._seen, self._violations_told
            self._violations_told = seen.constraint_violations
        self._diagnostics.see(state)
        if seen.constraint_violations > before:
            self.get_logger().warning(f"constraint violation: {seen.violation}", throttle_duration_sec=1.0)
        self._save()  # before it is told: who takes over after a kill goes on from what was told, or later
        if applied is not None:
            self._applied_out.publish(applied)
        if status is not None:
            self._status_out.publish(status)
        if record is not None:
            self._record_out.publish(record)

    def _applied_due(self, now_ns: int, silent: bool) -> Applied | None:
        shown = (self.control.mode, self.control.setpoint_kw, self._seen.power_kw, self.base_kw)
        changed = shown[0] != self._shown[0] or any(
            abs(a - b) > CHANGE_KW for a, b in zip(shown[1:], self._shown[1:], strict=True)
        )
        if not changed and now_ns - self._applied_ns < REPORT_LATEST_S * 1e9:
            return None
        self._shown, self._applied_ns = shown, now_ns
        return self._applied(silent)

    def _status_due(self, now_ns: int, silent: bool) -> ModuleStatus | None:
        shown = (self.control.mode, self._reason(silent))
        if shown == self._status_shown and now_ns - self._status_ns < STATUS_S * 1e9:
            return None
        self._status_shown, self._status_ns = shown, now_ns
        return self._status(shown[1])

    def _applied(self, silent: bool) -> Applied:
        control, seen = self.control, self._seen
        offer = ZERO_BOX if silent else control.range_kw
        return Applied(
            stamp=convert.to_time(max(self.now_s() - (self.law_s() - self._ticked_s), 0.0)),
            module_id=self.p.module_id,
            mode=int(control.mode),
            requested_kw=control.requested_kw,
            setpoint_kw=control.setpoint_kw,
            power_kw=seen.power_kw,
            limit_low_kw=offer.low_kw,
            limit_high_kw=offer.high_kw,
            base_kw=0.0 if silent else self.base_kw,
        )

    def _status(self, reason: str) -> ModuleStatus:
        control, seen, vehicle = self.control, self._seen, self._seen.vehicle
        return ModuleStatus(
            stamp=convert.to_time(self.now_s()),
            module_id=self.p.module_id,
            mode=int(control.mode),
            reason=reason,
            armed=control.armed,
            power_kw=seen.power_kw,
            soc=seen.soc,
            temperature_c=seen.temperature_c,
            limit_low_kw=control.range_kw.low_kw,
            limit_high_kw=control.range_kw.high_kw,
            vehicle_plugged=vehicle.plugged,
            session_id=vehicle.session_id,
            departure_time_of_day_s=math.nan if vehicle.departure_s is None else float(vehicle.departure_s),
            vehicle_capacity_kwh=vehicle.capacity_kwh if vehicle.plugged else math.nan,
            energy_due_kwh=vehicle.energy_due_kwh,
            signal_age_s=min(self.signal_age_s, 1e6) if math.isfinite(self.signal_age_s) else math.nan,
            discharged_kwh=seen.discharged_kwh,
            charged_kwh=seen.charged_kwh,
            gate_clips=control.gate_clips,
            forced_steps=control.forced_steps,
            constraint_violations=seen.constraint_violations,
            droop_overruns=self.droop_overruns,
        )

    def _reason(self, droop_silent: bool) -> str:
        control, seen = self.control, self._seen
        if control.mode is Mode.FAULT:
            return self._fault if seen.fault else f"{self._fault} (gone; arm to go on)"
        if control.e_stop:
            return "e-stop"
        if problem := self._backend.problem():
            return problem
        if not control.armed:
            return "not armed"
        if droop_silent:
            return "droop silent: ramping to zero"
        if not seen.vehicle.plugged:
            return "no vehicle"
        if self.signal_age_s > self._hold_s:
            return "grid signal lost: ramping to zero" if control.energised else "no grid signal"
        if control.connection:
            return f"grid code: {control.connection}"
        if control.mode is Mode.DERATED:
            return f"derated at {seen.temperature_c:.0f} deg C, ambient {seen.ambient_c:.0f} deg C"
        return ""

    def _save(self) -> None:
        with self._lock:
            keep = self._backend.checkpoint()
        try:
            keep()
        except OSError as error:
            self.get_logger().warning(f"state not kept: {error}", throttle_duration_sec=10.0)

    def _on_e_stop(self, message: Bool) -> None:
        with self._lock:
            was_in_force = self.control.e_stop
            if message.data:
                self.control.stop()
            else:
                self.control.e_stop = False
        if message.data != was_in_force:
            self.audit.append("e-stop" if message.data else "e-stop released", self.get_fully_qualified_name())
        if message.data:
            self.get_logger().warning("e-stop: SAFE until released and armed again")
            self.set_parameters([Parameter("armed", value=False)])

    def _arm(self) -> str:
        """Why it is refused; empty if it is not."""
        with self._lock:
            if self.control.e_stop:
                return "e-stop is in force, allowed after its release"
            try:
                self._backend.reset_fault()
            except Exception as error:  # noqa: BLE001 - as in _exchange
                return f"backend: {error}"
            self.control.arm()
        return ""

    def _disarm(self) -> str:
        with self._lock:
            self.control.disarm()
        return ""
