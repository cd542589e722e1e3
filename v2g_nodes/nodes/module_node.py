"""`module`: one EK3 module, its limits, mode and last gate. The only node that commands hardware."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import asdict, dataclass

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_msgs.msg import Bool

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.module_control import ModuleControl, Observation
from v2g_nodes.msg import Applied, ModuleStatus
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.backend import open_backend
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.parameters import LimitParameters, parameter
from v2g_nodes.sim.ek3_module import Measurement

REPORT_S = 0.05  # s, `applied` at most this often
REPORT_LATEST_S = 0.2  # s, and at least this often
CHANGE_KW = 0.001  # kW, smaller changes are not worth a message
STATUS_S = 0.5  # s
SAVE_S = 1.0  # s


@dataclass(frozen=True)
class ModuleParameters(LimitParameters):
    """Parameters of the module node."""

    backend: str = parameter("sim", "sim = simulated hardware")
    armed: bool = parameter(False, "energising is allowed; set it to arm or disarm", settable=True)
    max_kw: float = parameter(3.3, "cap for commissioning", "kW", 0.0, 100.0)
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

    def configure(self) -> None:
        """Open the backend; continue from the power it reports."""
        p = self.p
        columns = (p.session_ids, p.session_arrival_s, p.session_departure_s, p.session_energy_kwh)
        if len({len(column) for column in columns}) > 1:
            raise InputError("session_ids, session_arrival_s, session_departure_s, session_energy_kwh differ in length")
        rating = ModuleRating(p.p_max_kw, p.ramp_kw_per_s, p.soc_min, p.soc_max, p.efficiency)
        self._lock = threading.Lock()
        self._backend = open_backend(p.backend, asdict(p))
        self._seen = self._backend.measurement()
        self.control = ModuleControl(rating, p.max_kw, p.armed)
        self.control.resume(self._seen.reference_kw)
        self.signal_age_s = math.inf
        self.droop_overruns = 0
        self._driven_ns = time.monotonic_ns()
        self._applied_out = self.publisher(streams.APPLIED)
        self._status_out = self.publisher(streams.STATUS)
        self._applied_ns = 0
        self._status_ns = 0
        self._shown: tuple[float, float, Mode] = (0.0, 0.0, Mode.OFF)
        self._status_shown: tuple[Mode, str] = (Mode.OFF, "")
        self.add_on_set_parameters_callback(self._on_parameters)
        LOCAL_MODULES[p.module_id] = self

    def activate(self) -> None:
        """Report and watch over droop."""
        self.listen(streams.E_STOP, self._on_e_stop)
        self.create_timer(REPORT_S, self._on_report, clock=self.steady_clock)
        self.create_timer(SAVE_S, self._save, clock=self.steady_clock)

    def deactivate(self) -> None:
        """Command zero; the hardware ramps there by itself."""
        self.control.disarm()
        self._save()
        LOCAL_MODULES.pop(self.p.module_id, None)

    def drive(self, requested_kw: float, dt_s: float) -> float:
        """Send what the last gate lets through and take in what the hardware reports.

        Args:
            requested_kw: what droop asks for [kW].
            dt_s: ROS time since the last call [s], above 0.

        Returns:
            The set-point really sent [kW].
        """
        with self._lock:
            if not self.active:
                return self.control.setpoint_kw
            self._driven_ns = time.monotonic_ns()
            result = self.control.apply(requested_kw, dt_s)
            self._seen = self._backend.step(result.setpoint_kw, dt_s)
            self.control.observe(_observation(self._seen), self.signal_age_s <= self.p.signal_hold_s)
            return result.setpoint_kw

    def _on_report(self) -> None:
        """20 Hz: take over when droop is silent; publish what changed."""
        now_ns = time.monotonic_ns()
        silent_s = (now_ns - self._driven_ns) / 1e9
        if silent_s > self.p.droop_silent_s:
            reach = self.p.ramp_kw_per_s * REPORT_S
            setpoint = self.control.setpoint_kw
            self.drive(setpoint - min(max(setpoint, -reach), reach), REPORT_S)
            self._driven_ns = now_ns - round(silent_s * 1e9)
        seen, control = self._seen, self.control
        shown = (control.setpoint_kw, seen.power_kw, control.mode)
        changed = shown[2] != self._shown[2] or any(
            abs(a - b) > CHANGE_KW for a, b in zip(shown[:2], self._shown[:2], strict=True)
        )
        if changed or now_ns - self._applied_ns >= REPORT_LATEST_S * 1e9:
            self._shown, self._applied_ns = shown, now_ns
            self._applied_out.publish(self._applied(seen))
        status = (control.mode, self._reason(seen, silent_s))
        if status != self._status_shown or now_ns - self._status_ns >= STATUS_S * 1e9:
            self._status_shown, self._status_ns = status, now_ns
            self._status_out.publish(self._status(seen, status[1]))

    def _applied(self, seen: Measurement) -> Applied:
        control = self.control
        return Applied(
            stamp=convert.to_time(self.now_s()),
            module_id=self.p.module_id,
            mode=int(control.mode),
            requested_kw=control.requested_kw,
            setpoint_kw=control.setpoint_kw,
            power_kw=seen.power_kw,
            limit_low_kw=control.range_kw.low_kw,
            limit_high_kw=control.range_kw.high_kw,
        )

    def _status(self, seen: Measurement, reason: str) -> ModuleStatus:
        control, vehicle = self.control, seen.vehicle
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
            gate_clips=control.gate_clips,
            forced_steps=control.forced_steps,
            constraint_violations=seen.constraint_violations,
            droop_overruns=self.droop_overruns,
        )

    def _reason(self, seen: Measurement, droop_silent_s: float) -> str:
        control = self.control
        if seen.fault:
            return seen.fault
        if control.e_stop:
            return "e-stop"
        if not control.armed:
            return "not armed"
        if droop_silent_s > self.p.droop_silent_s:
            return "droop silent: ramping to zero"
        if not seen.vehicle.plugged:
            return "no vehicle"
        if self.signal_age_s > self.p.signal_hold_s:
            return "grid signal lost: ramping to zero" if control.energised else "no grid signal"
        if control.mode is Mode.DERATED:
            return f"derated at {seen.temperature_c:.0f} deg C, ambient {seen.ambient_c:.0f} deg C"
        return ""

    def _save(self) -> None:
        with self._lock:
            self._backend.save()

    def _on_e_stop(self, message: Bool) -> None:
        if message.data:
            self.control.stop()
            self.get_logger().warning("e-stop: SAFE until armed again")
        else:
            self.control.e_stop = False

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for item in parameters:
            if item.name == "armed":
                if item.value:
                    self._backend.reset_fault()
                    self.control.arm()
                else:
                    self.control.disarm()
        return SetParametersResult(successful=True)


def _observation(seen: Measurement) -> Observation:
    return Observation(
        seen.time_s, seen.power_kw, seen.soc, seen.temperature_c, seen.ambient_c, seen.vehicle, seen.fault
    )
