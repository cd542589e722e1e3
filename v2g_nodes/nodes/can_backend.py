"""An EK3 module on the CAN bus as the backend of its module node: hardware, or a stand-in for it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_view import DeviceView
from v2g_nodes.canbus.device_words import Setpoint, Status, setpoint_signals
from v2g_nodes.canbus.identifier import controller_slot, device_slot
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.canbus.parameters import settings_from
from v2g_nodes.canbus.protection import Protection, protection_of
from v2g_nodes.canbus.wire import Speaker, unix_ms
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.battery import UNPLUGGED, VehicleState
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.limits import ZERO_BOX
from v2g_nodes.core.types import Box
from v2g_nodes.nodes.backend import BackendError, Health
from v2g_nodes.sim.ek3_module import Measurement

SILENCE_S = 0.3  # s, three idle periods of STATUS
REPEAT_S = 0.1  # s, a set-point that does not change is repeated this often; a third of the device's time-out
RESOLUTION_KW = 0.0002  # kW, of SETPOINT in ek3.dbc
DEPARTURE_JITTER_S = 0.5  # s, smaller changes are the resolution and the travel time of VEHICLE
RESET_S = 0.3  # s, a device answers a reset within a few of its steps
FAULTS_KEPT = 20  # lines about the link, until they are logged
SOURCE_MASK = 0xFF0000  # of the identifier


class BusLink(Protocol):
    """What is needed of canbus.link.Link."""

    @property
    def state(self) -> LinkState:
        """How it is now."""

    def send(self, frame: WireFrame) -> None:
        """Send without blocking."""

    def close(self) -> None:
        """Stop."""


OpenLink = Callable[[Callable[[list[WireFrame]], None], Callable[[str], None]], BusLink]


class CanModule:
    """Sends set-points, keeps what the module reports. `step` neither blocks nor waits for a frame.

    An energising set-point goes out only while `step` is told to enable and the module's status is fresh: who can't
    see the hardware must not drive it. What the module reports first after an outage or a restart, and all that it
    reports while it is not enabled, is marked `timed_out`, so that control goes on from what the hardware steers to.

    Args:
        parameters: of the module node.
        protection: of the bus.
        open_link: opens the link with the functions that take its frames and what it tells of faults.
        clock_ns: steady time [ns].
        clock_ms: Unix time [ms].
    """

    def __init__(
        self, parameters: Mapping[str, Any], protection: Protection, open_link: OpenLink,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        clock_ms: Callable[[], int] = unix_ms,
    ) -> None:
        module_id, codec = parameters["module_id"], Codec.load()
        self._view = DeviceView(module_id, protection, codec, clock_ms)
        self._slot = device_slot(module_id)
        self._speaker = Speaker(controller_slot(module_id), protection, clock_ms, codec)
        self._clock_ns = clock_ns
        self._dry_run = parameters["can_dry_run"]
        self._ramp = parameters["ramp_kw_per_s"]
        self._timeout_s = parameters["command_timeout_s"]
        self._max_kw, self._period_ns = 0.0, 0
        self.apply(parameters)
        self._begun_ns, self._begun_s = clock_ns(), parameters["start_time_of_day_s"]
        self._life: int | None = None  # of the module that control goes on from; None = it has to resume
        self._resumed_ns = 0  # arrival of the status that control goes on from, where it does not lead itself [ns]
        self._reset = 0  # as the module has it; 0 = not known
        self._sent: tuple[Setpoint, int] | None = None  # and when [ns]
        self._due_ns = 0
        self._vehicle = UNPLUGGED
        self._faults: deque[str] = deque(maxlen=FAULTS_KEPT)
        self._link = open_link(self._on_frames, self._faults.append)

    def step(self, setpoint_kw: float | None, dt_s: float, enable: bool) -> Measurement:
        """See Backend."""
        now_ns, view = self._clock_ns(), self._view
        news, life = view.news, view.life
        if news is None or view.problem(now_ns, SILENCE_S):
            self._life, self._reset = None, 0
            if setpoint_kw is not None and now_ns - self._begun_ns > SILENCE_S * 1e9:
                self._command(None, now_ns)
            return self._in_the_dark(now_ns)
        resumes = self._life != life or now_ns - self._resumed_ns > SILENCE_S * 1e9
        if self._life != life:
            self._life, self._reset = life, news[0].reset
        if setpoint_kw is not None and not (resumes and enable):  # it was made before control could resume
            self._command(setpoint_kw if enable else None, now_ns)
        leads = resumes or setpoint_kw is None or not enable or news[0].timed_out
        self._resumed_ns = news[1] if leads else now_ns
        return self._measurement(news[0], now_ns, leads)

    def measurement(self) -> Measurement:
        """See Backend."""
        now_ns, news = self._clock_ns(), self._view.news
        if news is None or self._view.problem(now_ns, SILENCE_S):
            return self._in_the_dark(now_ns)
        return self._measurement(news[0], now_ns, leads=True)

    def problem(self) -> str:
        """See Backend."""
        problem = self._view.problem(self._clock_ns(), SILENCE_S)
        link = self._link.state if problem else None
        return problem if link is None or link.up else f"{problem}; bus {link.active}: {link.text}"

    def reset_fault(self) -> None:
        """See Backend. Waits for the answer of a module that has tripped; nothing else can be done with it anyway.

        Raises:
            BackendError: the module does not answer or stays tripped.
        """
        problem, news = self.problem(), self._view.news
        if problem or news is None:
            raise BackendError(problem or "module has not answered")
        if not news[0].fault:
            return
        self._reset = news[0].reset % 255 + 1  # 0 asks for nothing
        self._view.healthy.clear()
        self._command(None, self._clock_ns())
        if not self._view.healthy.wait(RESET_S):
            raise BackendError(f"module stays tripped: {news[0].fault}")

    def apply(self, changes: Mapping[str, Any]) -> None:
        """See Backend: the module caps by itself what it is sent, and is sent it at most so often."""
        self._max_kw = changes.get("max_kw", self._max_kw)
        if "can_setpoint_hz" in changes:
            self._period_ns = round(1e9 / changes["can_setpoint_hz"])

    def checkpoint(self) -> Callable[[], None]:
        """See Backend: the module itself remembers."""
        return _nothing

    def close(self) -> None:
        """See Backend."""
        self._link.close()

    def health(self) -> Health:
        """See Backend."""
        now_ns, watch = self._clock_ns(), self._view.watch
        faults = [self._faults.popleft() for _ in range(len(self._faults))]
        return Health(self._link.state, watch.lines(now_ns), faults + watch.news(now_ns))

    def _on_frames(self, frames: list[WireFrame]) -> None:
        for frame in frames:
            self._view.hear(frame)

    def _command(self, power_kw: float | None, now_ns: int) -> None:
        """Send a set-point where it is due; None = not enabled."""
        life = self._view.life
        if life is None or self._dry_run:
            return
        enable = power_kw is not None
        cap_kw = max(self._max_kw, abs(power_kw or 0.0))  # never below what is still to be ramped down
        wanted = Setpoint(power_kw or 0.0, self._timeout_s, enable, self._reset, cap_kw)
        if self._sent is not None:
            sent, sent_ns = self._sent
            changed = abs(wanted.power_kw - sent.power_kw) >= RESOLUTION_KW and now_ns >= self._due_ns
            urgent = (enable, self._reset) != (sent.enable, sent.reset)
            if not (changed or urgent or now_ns - sent_ns >= REPEAT_S * 1e9):
                return
        self._sent = (wanted, now_ns)
        self._due_ns = max(self._due_ns, now_ns - self._period_ns) + self._period_ns  # keeps the mean rate
        self._link.send(self._speaker.say("SETPOINT", setpoint_signals(wanted), self._slot, life))

    def _measurement(self, status: Status, now_ns: int, leads: bool) -> Measurement:
        """What the module reports; `leads`: control follows it, not the other way round."""
        return Measurement(
            self._time_s(now_ns), status.power_kw, status.reference_kw, status.soc, status.temperature_c,
            status.ambient_c, Box(status.limit_low_kw, status.limit_high_kw), self._vehicle_of(status),
            leads, status.fault, status.constraint_violations, status.violation,
            status.discharged_kwh, status.charged_kwh)

    def _in_the_dark(self, now_ns: int) -> Measurement:
        """No fresh status: nothing can be offered; by now the module ramps to zero, as it gets no set-point."""
        news = self._view.news
        if news is None:
            power_kw, temperature_c, ambient_c, count, text, out, into = 0.0, 0.0, 0.0, 0, "", 0.0, 0.0
        else:
            last, since_ns = news
            fallen_kw = self._ramp * max((now_ns - since_ns) / 1e9 - self._timeout_s, 0.0)
            power_kw = math.copysign(max(abs(last.reference_kw) - fallen_kw, 0.0), last.reference_kw)
            temperature_c, ambient_c, count, text = (
                last.temperature_c, last.ambient_c, last.constraint_violations, last.violation)
            out, into = last.discharged_kwh, last.charged_kwh
        return Measurement(self._time_s(now_ns), power_kw, 0.0, math.nan, temperature_c, ambient_c, ZERO_BOX,
                           UNPLUGGED, True, "", count, text, out, into)

    def _time_s(self, now_ns: int) -> float:
        """Local time of day, not wrapped [s]."""
        return self._begun_s + (now_ns - self._begun_ns) / 1e9

    def _vehicle_of(self, status: Status) -> VehicleState:
        told = self._view.vehicle
        if told is None or not status.plugged or math.isnan(status.soc) or not told[0].capacity_kwh > 0.0:
            self._vehicle = UNPLUGGED
            return UNPLUGGED
        vehicle, told_ns = told
        departure_s = self._time_s(told_ns) + vehicle.departure_in_s
        before, same = self._vehicle.departure_s, self._vehicle.session_id == vehicle.session_id
        kept_s = None if math.isnan(departure_s) else departure_s
        if same and kept_s is not None and before is not None and abs(kept_s - before) < DEPARTURE_JITTER_S:
            kept_s = before
        self._vehicle = VehicleState(
            True, vehicle.session_id, vehicle.capacity_kwh, status.soc, kept_s, status.energy_due_kwh)
        return self._vehicle


def open_can_module(parameters: Mapping[str, Any]) -> CanModule:
    """A module on the bus that the parameters name; its link is started.

    Raises:
        InputError: parameters that can't be used.
    """
    if parameters["speed"] != 1.0:
        raise InputError(f"speed is {parameters['speed']}, allowed with backend can is 1.0: the bus has one time only")
    settings = settings_from(parameters)
    protection = protection_of(settings.key_file)
    module_id = parameters["module_id"]

    def open_link(on_frames: Callable[[list[WireFrame]], None], on_fault: Callable[[str], None]) -> Link:
        from_module = [(device_slot(module_id) << 16, SOURCE_MASK)]
        link = Link(settings, on_frames, from_module, name=f"module {module_id}", on_fault=on_fault)
        link.start()
        return link

    return CanModule(parameters, protection, open_link)


def _nothing() -> None:
    """Nothing to keep."""
