"""The bridge under fire: what comes out on its topics is what another host said, and nothing else."""

from __future__ import annotations

from random import Random
from typing import Any

from rclpy.context import Context

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import bridge_slot, controller_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.nodes import can_words
from v2g_nodes.nodes.can_bridge_node import CanBridgeNode
from v2g_nodes.sim.frame_fuzz import FuzzClock, random_signals

HERE, THERE = (1, 2), 3  # modules of this host, and one of the other
CARRIED = ("CURVE", "NEIGHBOR_STATE", "GRID_SIGNAL", "PLAN")


class _Recorder:
    """In place of a publisher."""

    def __init__(self, published: list[Any]) -> None:
        self._published = published

    def publish(self, message: Any) -> None:  # noqa: ANN401 - generated messages have no types
        self._published.append(message)


class BridgeTarget:
    """A bridge without a bus of its own, and the other host's speaker.

    Args:
        key: of the bus; None = without.
        clock: of the campaign.
        context: rclpy context of the node.
    """

    def __init__(self, key: bytes | None, clock: FuzzClock, context: Context) -> None:
        parameters: dict[str, object] = {"module_ids": HERE, "station_ids": (*HERE, THERE)}
        self.node = CanBridgeNode("can_bridge_keyed" if key else "can_bridge", "/", parameters, context)
        self.node.trigger_configure()
        self._codec, protection = Codec.load(), Protection(key)
        self.node._listener = Listener(protection, self.node._watch, clock.unix_ms)
        self._published: list[Any] = []
        for name in ("_curve_out", "_state_out", "_grid_out", "_plan_out"):
            setattr(self.node, name, _Recorder(self._published))
        self._speaker = Speaker(bridge_slot(THERE), protection, clock.unix_ms)
        self._accepted = 0
        self._said: tuple[str, dict[str, float]] = ("", {})

    def good_frame(self, random: Random) -> WireFrame:
        """See FuzzTarget."""
        spec = self._codec.spec(random.choice(CARRIED))
        signals = random_signals(spec, random)
        self._said = spec.name, self._codec.unpack(spec.name, self._codec.pack(spec.name, signals))
        source = controller_slot(THERE) if spec.name in ("CURVE", "NEIGHBOR_STATE") else None
        return self._speaker.say(spec.name, signals, source=source)

    def hear(self, frame: WireFrame, now_ns: int) -> None:
        """See FuzzTarget."""
        self._published.clear()
        self.node._on_frames([frame._replace(received_ns=now_ns)])
        self._accepted += len(self._published)

    def accepted(self) -> int:
        """See FuzzTarget."""
        return self._accepted

    def fault(self) -> str:
        """See FuzzTarget."""
        if not self._published:
            return ""  # counted already
        name, signals = self._said
        (message,) = self._published
        expected = {
            "CURVE": lambda: can_words.curve_message(THERE, signals),
            "NEIGHBOR_STATE": lambda: can_words.state_message(THERE, signals),
            "GRID_SIGNAL": lambda: can_words.grid_message(signals, 0.0),
            "PLAN": lambda: can_words.plan_message(signals),
        }[name]()
        if name == "GRID_SIGNAL":
            expected.stamp = message.stamp
        return "" if message == expected else f"said {expected}, published {message}"
