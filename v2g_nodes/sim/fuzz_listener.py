"""The wire's own listener under fire: that of a device, which hears set-points for itself and what is for all."""

from __future__ import annotations

from random import Random

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import controller_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Received, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.sim.frame_fuzz import FuzzClock, random_signals

MODULE, LIFE = 3, 0xC0FFEE
SETPOINT = "SETPOINT"


class ListenerTarget:
    """Speaker and listener with one protection.

    Args:
        key: of the bus; None = without.
        clock: of the campaign.
    """

    def __init__(self, key: bytes | None, clock: FuzzClock) -> None:
        protection = Protection(key)
        self.watch = FrameWatch()
        self._codec = Codec.load()
        self._speaker = Speaker(controller_slot(MODULE), protection, clock.unix_ms)
        self._listener = Listener(protection, self.watch, clock.unix_ms, LIFE, slots={MODULE})
        self._said: dict[str, float] = {}
        self._received: Received | None = None

    def good_frame(self, random: Random) -> WireFrame:
        """See FuzzTarget."""
        spec = random.choice(self._codec.messages)
        signals = random_signals(spec, random)
        self._said = self._codec.unpack(spec.name, self._codec.pack(spec.name, signals))
        if spec.name == SETPOINT:
            return self._speaker.say(spec.name, signals, MODULE, LIFE)
        return self._speaker.say(spec.name, signals)

    def hear(self, frame: WireFrame, now_ns: int) -> None:
        """See FuzzTarget."""
        self._received = self._listener.hear(frame, now_ns)
        self.watch.news(now_ns)

    def accepted(self) -> int:
        """See FuzzTarget."""
        return self.watch.frames

    def fault(self) -> str:
        """See FuzzTarget."""
        if self._received is None or self._received.signals != self._said:
            return f"said {self._said}, heard {self._received}"
        return ""
