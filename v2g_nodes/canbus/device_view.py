"""What a controller knows of its module from the frames that came, and for how long."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_words import FAULTS, Status, Vehicle, read_status, read_vehicle, text_of
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import Identifier, controller_slot, device_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Received
from v2g_nodes.canbus.wire_frame import WireFrame

LEAVE = 0  # action of JOIN_LEAVE


class DeviceView:
    """The module at the other end. `hear` runs in the link's thread; everything else may be read from any.

    Args:
        module_id: its slot.
        protection: of the bus.
        codec: of the bus.
        clock_ms: Unix time [ms].
    """

    def __init__(self, module_id: int, protection: Protection, codec: Codec, clock_ms: Callable[[], int]) -> None:
        self.watch = FrameWatch(codec)
        # life of its firmware; with keys nothing can be sent before it is known, without it does not matter
        self.life: int | None = None if protection.keyed else 0
        self.news: tuple[Status, int] | None = None  # the last status of this life and its arrival [ns]
        self.vehicle: tuple[Vehicle, int] | None = None  # and its arrival [ns]
        self.healthy = threading.Event()  # set by each status without a fault
        self._listener = Listener(protection, self.watch, clock_ms, codec=codec, slots={controller_slot(module_id)})
        self._slot, self._version = device_slot(module_id), codec.version
        self._heard_life: int | None = None
        self._other_version: int | None = None
        self._left = False

    def hear(self, frame: WireFrame) -> None:
        """Take in one frame."""
        received = self._listener.hear(frame, frame.received_ns)
        if received is None:
            if Identifier.unpack(frame.identifier).source == self._slot and frame.payload[:1]:
                self._other_version = frame.payload[0]
        elif received.source == self._slot:
            self._take(received)

    def problem(self, now_ns: int, silence_s: float) -> str:
        """Why nothing is known of the module at this moment; empty when its status is fresh.

        Args:
            now_ns: steady time [ns].
            silence_s: age at which a status is worth nothing [s].
        """
        if self._left:
            return "module has left the bus"
        news = self.news
        age_s = math.inf if news is None or self.vehicle is None else (now_ns - news[1]) / 1e9
        if age_s <= silence_s and self.life is not None:
            return ""
        if self._other_version not in (None, self._version):
            return f"module speaks version {self._other_version} of the bus, this is {self._version}"
        return "module has not answered" if math.isinf(age_s) else f"no status from the module for {age_s:.1f} s"

    def _take(self, received: Received) -> None:
        signals, name = received.signals, received.name
        if name == "STATUS":
            status = read_status(signals)
            self._left, self._other_version = False, None
            self.news = (status, received.received_ns)
            if not status.fault:
                self.healthy.set()
        elif name == "VEHICLE":
            self.vehicle = (read_vehicle(signals), received.received_ns)
        elif name == "HEARTBEAT":
            life = int(signals["life"])
            if self._heard_life not in (None, life):
                self.news = None  # what was before its restart counts no more
            self.life = self._heard_life = life
        elif name == "FAULT" and signals["active"] and self.news is not None:
            status, since_ns = self.news
            self.news = (status._replace(fault=text_of(signals["fault"], FAULTS)), since_ns)
        elif name == "JOIN_LEAVE":
            self._left = signals["action"] == LEAVE
