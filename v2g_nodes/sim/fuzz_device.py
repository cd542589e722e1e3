"""The stand-in under fire: only its own controller's set-points move it, and never beyond cap, rating and ramp."""

from __future__ import annotations

from itertools import count
from random import Random

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_words import Setpoint, read_setpoint, setpoint_signals
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import controller_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.battery import VehicleState
from v2g_nodes.sim.can_firmware import CanDevice
from v2g_nodes.sim.ek3_hardware import Ek3Hardware
from v2g_nodes.sim.ek3_module import Ek3Plant
from v2g_nodes.sim.frame_fuzz import FuzzClock

MODULE = 3
SETPOINT = "SETPOINT"
STEP_NS = 10_000_000
SILENT_EVERY = 500  # hostile frames; before each such one the controller is silent
SILENCE_NS = 1_500_000_000  # long enough for a listener to believe a sender that begins anew
ROUNDING_KW = 1e-9


class DeviceTarget:
    """A device and its controller.

    Args:
        key: of the bus; None = without.
        clock: of the campaign.
    """

    def __init__(self, key: bytes | None, clock: FuzzClock) -> None:
        protection, lives = Protection(key), count(0xC0FFEE)
        plant = Ek3Plant(Ek3Hardware())
        plant.plug_in(VehicleState(plugged=True, session_id="fuzz", capacity_kwh=60.0, soc=0.5))
        self._codec, self._clock = Codec.load(), clock
        self._device = CanDevice(MODULE, plant, lambda: next(lives), protection, self._codec, clock.unix_ms)
        self._speaker = Speaker(controller_slot(MODULE), protection, clock.unix_ms)
        self._listener = Listener(protection, FrameWatch(), clock.unix_ms)
        self._said: Setpoint | None = None
        self._good: WireFrame | None = None
        self._problem = ""
        self._hostile = 0
        self._stepped_ns = clock.now_ns
        self._step(clock.now_ns)

    def good_frame(self, random: Random) -> WireFrame:
        """See FuzzTarget."""
        self._step_to(self._clock.now_ns)  # a lapse begins a new life, which the controller hears of
        setpoint = Setpoint(
            random.uniform(-3.6, 3.6),
            random.uniform(0.0, 1.0),
            random.random() < 0.9,
            random.randint(0, 255),
            random.uniform(0.0, 4.0),
        )
        data = self._codec.pack(SETPOINT, setpoint_signals(setpoint))
        self._said = read_setpoint(self._codec.unpack(SETPOINT, data))
        self._good = self._speaker.say(SETPOINT, setpoint_signals(setpoint), MODULE, self._listener.lives[MODULE])
        return self._good

    def hear(self, frame: WireFrame, now_ns: int) -> None:
        """See FuzzTarget."""
        if frame is not self._good:
            self._hostile += 1
            if self._hostile % SILENT_EVERY == 0:
                now_ns += SILENCE_NS
                self._clock.now_ns = now_ns
        self._step_to(now_ns)
        self._device.on_frame(frame, now_ns)
        self._device.watch.news(now_ns)

    def accepted(self) -> int:
        """See FuzzTarget."""
        return self._device.setpoints

    def fault(self) -> str:
        """See FuzzTarget."""
        if self._device.setpoint != self._said:
            return f"said {self._said}, heard {self._device.setpoint}"
        problem, self._problem = self._problem, ""
        return problem

    def _step_to(self, now_ns: int) -> None:
        while now_ns - self._stepped_ns >= STEP_NS:
            self._step(min(self._stepped_ns + 10 * STEP_NS, now_ns))

    def _step(self, now_ns: int) -> None:
        plant, setpoint = self._device.plant, self._device.setpoint
        before_kw = plant.measurement().reference_kw
        for frame in self._device.step(now_ns):
            self._listener.hear(frame, now_ns)
        after_kw = plant.measurement().reference_kw
        reach_kw = plant.hardware.ramp_kw_per_s * (now_ns - self._stepped_ns) / 1e9
        wanted_kw = max(-setpoint.max_kw, min(setpoint.power_kw, setpoint.max_kw)) if setpoint else 0.0
        low_kw, high_kw = min(before_kw, 0.0, wanted_kw), max(before_kw, 0.0, wanted_kw)
        if not low_kw - ROUNDING_KW <= after_kw <= high_kw + ROUNDING_KW:
            self._problem = f"{setpoint} led from {before_kw} to {after_kw} kW"
        if abs(after_kw - before_kw) > reach_kw + ROUNDING_KW:
            self._problem = f"from {before_kw} to {after_kw} kW in {reach_kw} kW of ramp"
        self._stepped_ns = now_ns
