"""A module's control and its device, joined by a bus that a test can cut; one clock, which the test moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_words import Setpoint, read_setpoint
from v2g_nodes.canbus.identifier import Identifier
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.module_control import ModuleControl, Observation
from v2g_nodes.core.pace import Pace
from v2g_nodes.nodes.can_backend import CanModule
from v2g_nodes.sim.can_firmware import CanDevice
from v2g_nodes.sim.ek3_module import Ek3Plant, Measurement, build_plant

TICK_S = 0.005
PAUSE_S = 0.1  # of nodes/module_node.py
STEP_TICKS = 2  # ticks of control for a step of the device
MODULE = 3
WALL_MS = 1_795_000_000_000
PARAMETERS: dict[str, Any] = {
    "module_id": MODULE, "p_max_kw": 3.3, "ramp_kw_per_s": 1.0, "soc_min": 0.1, "soc_max": 0.95, "efficiency": 0.96,
    "command_timeout_s": 0.3, "actuator_lag_s": 0.02, "thermal_resistance_k_per_w": 1.2, "thermal_devices": 8,
    "thermal_tau_s": 180.0, "ambient_c": 30.0, "temperature_c": 30.0, "soc": 0.5, "vehicle_plugged": True,
    "vehicle_session_id": "session-17", "vehicle_capacity_kwh": 60.0, "vehicle_departure_s": math.nan,
    "vehicle_energy_due_kwh": 0.0, "start_time_of_day_s": 1000.0, "speed": 1.0, "max_kw": 3.3, "can_dry_run": False,
    "can_setpoint_hz": 100.0}


class CutLink:
    """The host's end of the bus."""

    def __init__(self, take: Callable[[WireFrame], None]) -> None:
        self.send = take
        self.closed = False

    @property
    def state(self) -> LinkState:
        """Always well: who cuts the bus does not tell."""
        return LinkState(True, "A", 0, 0, 0, 0, 0, 0, 0, 0, "")

    def close(self) -> None:
        """No longer used."""
        self.closed = True


class CanRig:
    """Ticks control, bus and device as ModuleNode, link and stand-in do."""

    def __init__(self, key: bytes | None = None, armed: bool = True, **parameters: Any) -> None:  # noqa: ANN401
        self.parameters = {**PARAMETERS, **parameters}
        self.key = key
        self.now_ns = 5_000_000_000
        self.ticks = 0
        self.pace = Pace(PAUSE_S)
        self.wanted_kw = 0.0
        self.to_device_is_cut = self.to_host_is_cut = False
        self.recorded: list[tuple[int, WireFrame]] = []
        self.seen: list[Measurement] = []
        self.commands: list[Setpoint] = []
        self.references_kw: list[float] = []
        self._to_device: list[WireFrame] = []  # in the receive buffers
        self._to_host: list[WireFrame] = []
        self.start_device(build_plant(self.parameters))
        p = self.parameters
        self.control = ModuleControl(
            ModuleRating(p["p_max_kw"], p["ramp_kw_per_s"], p["soc_min"], p["soc_max"], p["efficiency"]),
            p["max_kw"], armed)
        self.start_host()

    def start_device(self, plant: Ek3Plant, life: int = 0xC0FFEE) -> None:
        """Power up the device; what was under way to the one before is lost."""
        self._to_device.clear()
        lives = itertools.count(life)
        self.device = CanDevice(
            MODULE, plant, lambda: next(lives), Protection(self.key), Codec.load(), self.wall_ms)

    def start_host(self) -> None:
        """A new process on the host's side."""
        self._to_host.clear()
        self.module = CanModule(
            self.parameters, Protection(self.key), self._open, lambda: self.now_ns, self.wall_ms)
        self.measured = self.module.measurement()
        self.control.resume(self.measured.reference_kw)

    def wall_ms(self) -> int:
        """Clock of both ends."""
        return WALL_MS + self.now_ns // 1_000_000

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK_S)):
            self.tick()

    def tick(self) -> None:
        """One tick of control, and every other time one step of the device."""
        self.now_ns += round(TICK_S * 1e9)
        self.ticks += 1
        self.read()
        self.decide()
        if self.ticks % STEP_TICKS == 0:
            self.step_device()

    def read(self) -> None:
        """The host's link hands on what has come."""
        heard, self._to_host = self._to_host, []
        if heard:
            self.hear(heard)

    def decide(self, held_up_s: float = 0.0) -> None:
        """As ModuleNode._tick.

        Args:
            held_up_s: time for which only this thread does not run, between its look at the clock and the bus [s].
        """
        control, now_s = self.control, self.now_ns / 1e9
        pause_s, dt_s = self.pace.take(now_s)
        if dt_s <= 0.0:
            return
        if pause_s > 0.0:
            self._exchange(None, pause_s)
        if self.measured.timed_out:
            control.resume(self.measured.reference_kw)
        control.begin_tick(dt_s)
        result = control.apply(self.wanted_kw, dt_s)
        if held_up_s > 0.0:
            self.now_ns += round(held_up_s * 1e9)
            self.step_device()
            self.read()
        self._exchange(result.setpoint_kw, dt_s)

    def step_device(self) -> None:
        """As StandIn._step."""
        frames, self._to_device = self._to_device, []
        for frame in frames:
            self.device.on_frame(frame, frame.received_ns)
        for frame in self.device.step(self.now_ns):
            self.recorded.append((self.now_ns, frame))
            if not self.to_host_is_cut:
                self._to_host.append(frame._replace(received_ns=self.now_ns))
        self.references_kw.append(self.device.plant.measurement().reference_kw)

    def setpoints(self, since: int = 0) -> list[Setpoint]:
        """All SETPOINT frames that were on the bus, decoded."""
        codec = Codec.load()
        code = codec.spec("SETPOINT").code
        return [read_setpoint(codec.unpack("SETPOINT", frame.payload[8:-8])) for _, frame in self.recorded[since:]
                if Identifier.unpack(frame.identifier).code == code]

    def _exchange(self, setpoint_kw: float | None, dt_s: float) -> None:
        self.measured = seen = self.module.step(setpoint_kw, dt_s, self.control.energised)
        self.seen.append(seen)
        self.control.observe(Observation(seen.time_s, seen.power_kw, seen.soc, seen.temperature_c, seen.ambient_c,
                                         seen.vehicle, seen.fault), True)

    def _open(self, on_frames: Callable[[list[WireFrame]], None], on_fault: Callable[[str], None]) -> CutLink:
        self.hear, self.tell_fault = on_frames, on_fault
        return CutLink(self._send)

    def _send(self, frame: WireFrame) -> None:
        self.recorded.append((self.now_ns, frame))
        if not self.to_device_is_cut:
            self._to_device.append(frame._replace(received_ns=self.now_ns))
