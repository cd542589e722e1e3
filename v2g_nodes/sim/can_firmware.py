"""Firmware of an EK3 module on the CAN bus, as the stand-in runs it: frames in, frames out, the plant between.

Takes set-points from its own controller only, holds one until it lapses, ramps to zero by itself then, reports what
it measures and trips. Time is an argument; who calls `step` about 100 times a second is can_device.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_words import (
    FAULTS,
    DeviceState,
    Setpoint,
    Status,
    Vehicle,
    code_of,
    read_setpoint,
    status_signals,
    vehicle_signals,
)
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import BROADCAST, controller_slot, device_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Received, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.sim.command_judge import STAMP_MODULUS, CommandJudge
from v2g_nodes.sim.ek3_hardware import TRIP_JUNCTION_C
from v2g_nodes.sim.ek3_module import Ek3Plant, Measurement

PAUSE_S = 0.1  # s, a step that comes later than this had a pause before it, in which nobody commanded
IDLE_STATUS_S = 0.1  # s, well below the silence after which a controller takes the module for lost
STAMPS_KEPT = 64  # set-points, more than a receive queue collects before the controller goes silent
DONE, REFUSED = 0, 1  # of ACKNOWLEDGE


class _Command(NamedTuple):
    setpoint: Setpoint
    until_ns: int


class _Shown(NamedTuple):
    """What is reported as soon as it changes; the last two in the heartbeat too."""

    fault: bool
    vehicle: tuple[bool, str]
    timed_out: bool
    state: DeviceState
    life: int


class CanDevice:
    """One module on the bus.

    Args:
        module_id: its slot.
        plant: the module's power part, with the vehicle at it.
        draw_life: draws a random number of 32 bits that names a life of the firmware.
        protection: of the bus.
        codec: of the bus.
        clock_ms: Unix time [ms].
        link_words: which bus is spoken on, as in HEARTBEAT, and the errors of the link so far.
    """

    def __init__(
        self, module_id: int, plant: Ek3Plant, draw_life: Callable[[], int], protection: Protection, codec: Codec,
        clock_ms: Callable[[], int], link_words: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self.slot = device_slot(module_id)
        self.plant = plant
        self.watch = FrameWatch(codec)
        self.setpoints = 0  # accepted
        self._codec, self._clock_ms, self._link_words = codec, clock_ms, link_words
        self._protection, self._draw_life = protection, draw_life
        self._controller = controller_slot(module_id)
        self._speaker = Speaker(self.slot, protection, clock_ms, codec)
        self._life = draw_life()
        self._listener = Listener(protection, self.watch, clock_ms, self._life, codec, slots={self.slot})
        hardware = plant.hardware
        self._timeout_s = hardware.command_timeout_s
        self._judge = CommandJudge(hardware.ramp_kw_per_s, self._timeout_s)
        self._seen = plant.measurement()
        self._command: _Command | None = None
        self._lags_ms: deque[int] = deque(maxlen=STAMPS_KEPT)
        self._lag_zero_ms: int | None = None
        self._enabled = False
        self._reset = 0
        self._clock_offset_ms = 0
        self._last_ns: int | None = None
        self._told_ns: dict[str, int] = {}  # when each message went out last
        self._shown = _Shown(False, (False, ""), False, DeviceState.OFF, 0)
        self._urgent: list[WireFrame] = []

    @property
    def state(self) -> DeviceState:
        """What it is doing."""
        if self._seen.fault:
            return DeviceState.TRIPPED
        if not self._enabled:
            return DeviceState.IDLE
        return DeviceState.TIMED_OUT if self._seen.timed_out else DeviceState.ENABLED

    @property
    def setpoint(self) -> Setpoint | None:
        """The set-point that holds."""
        return None if self._command is None else self._command.setpoint

    def on_frame(self, frame: WireFrame, now_ns: int) -> None:
        """Take in one frame; what is wrong with it is counted in `watch`.

        Args:
            frame: as it came.
            now_ns: steady time [ns].
        """
        received = self._listener.hear(frame, now_ns)
        if received is None:
            return
        if received.name == "TIME_SYNC":
            self._clock_offset_ms = self._clock_ms() - int(received.signals["unix_ms"])
        elif (received.name, received.source, received.destination) == ("SETPOINT", self._controller, self.slot):
            self._on_setpoint(received, now_ns)

    def step(self, now_ns: int) -> list[WireFrame]:
        """Advance to a time and tell what is due.

        Args:
            now_ns: steady time [ns], later than in the call before.
        """
        first, dt_s = self._last_ns is None, 0.0 if self._last_ns is None else (now_ns - self._last_ns) / 1e9
        self._last_ns = now_ns
        if dt_s > PAUSE_S:
            self._seen = self.plant.hold(None, dt_s - PAUSE_S)
            dt_s = PAUSE_S
        if dt_s > 0.0:
            self._seen = self.plant.hold(self._target_kw(now_ns), dt_s)
        self._judge.remember(self._seen, now_ns)
        frames, self._urgent = self._urgent, []
        if first:
            frames.append(self._join_leave(1))
        return frames + self._due(now_ns)

    def leave(self) -> list[WireFrame]:
        """Its last words at an orderly end."""
        return [self._join_leave(0)]

    def _on_setpoint(self, received: Received, now_ns: int) -> None:
        setpoint = read_setpoint(received.signals)
        if self._is_late(received.stamp_ms, now_ns, setpoint.valid_s):
            return
        self.setpoints += 1
        valid_s = min(setpoint.valid_s, self._timeout_s)
        self._command = _Command(setpoint, now_ns + round(valid_s * 1e9))
        self._acknowledge(setpoint, received.sequence)
        if setpoint.enable:
            self._judge.judge(self.plant, setpoint.power_kw, received.stamp_ms, now_ns)
        else:
            self._judge.forget()

    def _is_late(self, stamp_ms: int, now_ns: int, valid_s: float) -> bool:
        """Whether it was under way for longer than it is valid, next to the quickest of the last ones.

        The two clocks need not agree. A sender whose clock was set back is believed again after STAMPS_KEPT frames.
        """
        lag_ms = now_ns // 1_000_000 - stamp_ms
        if self._lag_zero_ms is None:
            self._lag_zero_ms = lag_ms
        lag_ms = (lag_ms - self._lag_zero_ms + (1 << 31)) % STAMP_MODULUS - (1 << 31)
        self._lags_ms.append(lag_ms)
        return lag_ms - min(self._lags_ms) > 1000.0 * valid_s

    def _acknowledge(self, setpoint: Setpoint, sequence: int) -> None:
        """Follow `enable` and `reset`; a change of either is answered."""
        asked = setpoint.reset not in (0, self._reset)  # 0: from a host that does not know yet
        if not asked and setpoint.enable == self._enabled:
            return
        hot = self._seen.temperature_c > TRIP_JUNCTION_C
        if asked and not hot:
            self.plant.reset_fault()
        self._reset, self._enabled = setpoint.reset or self._reset, setpoint.enable
        signals = {"code": self._codec.spec("SETPOINT").code, "sequence_acknowledged": sequence,
                   "result": REFUSED if asked and hot else DONE, "enable": setpoint.enable, "reset": self._reset}
        self._urgent.append(self._speaker.say("ACKNOWLEDGE", signals, self._controller))

    def _target_kw(self, now_ns: int) -> float | None:
        command = self._command
        if command is None:
            return None
        if now_ns >= command.until_ns:
            self._lapse()
            return None
        wanted = command.setpoint
        return min(max(wanted.power_kw, -wanted.max_kw), wanted.max_kw) if wanted.enable else 0.0

    def _lapse(self) -> None:
        """The set-point holds no longer; a new one begins anew.

        With keys in a new life: in the old one a controller whose clock was set back would not be believed.
        """
        self._command = None
        self._judge.forget()
        if self._protection.keyed:
            self._life = self._listener.nonce = self._draw_life()

    def _due(self, now_ns: int) -> list[WireFrame]:
        """Reports whose time has come; the one that is most urgent first."""
        seen = self._seen
        fault, vehicle = bool(seen.fault), (seen.vehicle.plugged, seen.vehicle.session_id)
        before, self._shown = self._shown, _Shown(fault, vehicle, seen.timed_out, self.state, self._life)
        active = self._enabled or abs(seen.reference_kw) > 0.0
        frames = []
        if before.fault != fault or (fault and self._is_due("FAULT", now_ns)):
            frames.append(self._fault(now_ns))
        if before[3:] != self._shown[3:] or self._is_due("HEARTBEAT", now_ns):
            frames.append(self._heartbeat(now_ns))
        if before != self._shown or self._is_due("VEHICLE", now_ns):
            frames.append(self._vehicle(now_ns))  # before the status that says it is plugged in
        if before != self._shown or self._is_due("STATUS", now_ns, None if active else IDLE_STATUS_S):
            frames.append(self._status(now_ns))
        return frames

    def _is_due(self, name: str, now_ns: int, period_s: float | None = None) -> bool:
        period_ns = self._codec.spec(name).cycle_ms * 1e6 if period_s is None else period_s * 1e9
        # half a step early is nearer than half a step late
        return now_ns - self._told_ns.get(name, -(1 << 62)) >= period_ns - 5e6

    def _say(self, name: str, signals: dict[str, float], now_ns: int) -> WireFrame:
        self._told_ns[name] = now_ns
        return self._speaker.say(name, signals, BROADCAST)

    def _join_leave(self, action: int) -> WireFrame:
        signals = {"action": action, "p_max_kw": self.plant.hardware.p_max_kw}
        return self._speaker.say("JOIN_LEAVE", signals, BROADCAST)

    def _fault(self, now_ns: int) -> WireFrame:
        seen = self._seen
        signals = {"fault": code_of(seen.fault, FAULTS), "active": bool(seen.fault), "power_kw": seen.power_kw,
                   "temperature_c": seen.temperature_c}
        return self._say("FAULT", signals, now_ns)

    def _heartbeat(self, now_ns: int) -> WireFrame:
        bus, errors = self._link_words()
        signals = {"life": self._life, "dbc_version": self._codec.version, "bus": bus, "state": self.state,
                   "clock_offset_ms": self._clock_offset_ms, "errors": errors + self.watch.refused.total(),
                   "p_max_kw": self.plant.hardware.p_max_kw}
        return self._say("HEARTBEAT", signals, now_ns)

    def _status(self, now_ns: int) -> WireFrame:
        seen = self._seen
        status = Status(
            seen.power_kw, seen.reference_kw, seen.limits.low_kw, seen.limits.high_kw, seen.soc, seen.temperature_c,
            seen.ambient_c, seen.vehicle.plugged, seen.timed_out, self._enabled, seen.fault, seen.violation,
            seen.constraint_violations, seen.vehicle.energy_due_kwh, seen.discharged_kwh, seen.charged_kwh,
            self._reset)
        return self._say("STATUS", dict(status_signals(status)), now_ns)

    def _vehicle(self, now_ns: int) -> WireFrame:
        return self._say("VEHICLE", dict(vehicle_signals(vehicle_of(self._seen))), now_ns)


def vehicle_of(seen: Measurement) -> Vehicle:
    """Who is plugged in, as the bus tells it."""
    vehicle = seen.vehicle
    if not vehicle.plugged:
        return Vehicle("", math.nan, math.nan)
    left_s = math.nan if vehicle.departure_s is None else vehicle.departure_s - seen.time_s
    return Vehicle(vehicle.session_id, vehicle.capacity_kwh, left_s)
