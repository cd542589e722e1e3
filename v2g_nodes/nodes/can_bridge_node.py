"""`can_bridge`: between the topics of this host and the CAN bus, both ways.

What the optimizers of this host say goes on the bus under their modules' slots. What the bus carries, their own words
by its echo among it, comes out on /bus topics, which is all that optimizers of a CAN station listen to. Signal and plan
go on the bus where they are made and come out on their usual topics elsewhere. Nothing goes round in circles: /bus
topics are not listened to here, a signal is known by source and number, a plan by its rule.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from v2g_nodes.canbus.codec import SignalError
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import bridge_slot, controller_slot, module_of
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.parameters import settings_from
from v2g_nodes.canbus.protection import protection_of
from v2g_nodes.canbus.watched_load import watched_load
from v2g_nodes.canbus.wire import Listener, Received, Speaker, unix_ms
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.run_statistics import Samples
from v2g_nodes.msg import Curve, GridSignal, MarketPlan, NeighborState
from v2g_nodes.nodes import can_words, events, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.can_diagnostics import bus_status
from v2g_nodes.nodes.can_parameters import CanParameters
from v2g_nodes.nodes.diagnostics import Diagnostics, Status, node_name
from v2g_nodes.nodes.parameters import parameter

FILTERS = ((0x20, 0xFC), (0x12, 0xFF))  # low byte of the identifier: what modules and station say, and time
TIME_SYNC_S = 0.1  # s
OTHERS_TIME_S = 0.35  # s, then a bridge with a higher slot takes over telling the time
PLAN_S = 1.0  # s, pause between two PLAN frames
TELL_S = 1.0  # s, /diagnostics and the supervisor
REMEMBERED = 64  # signals that came from the bus
SAMPLES = 8192  # latencies kept; percentiles of them are worked out each second
OWN_FRAMES = 512  # that may be under way to the bus and back


@dataclass(frozen=True)
class CanBridgeParameters(CanParameters):
    """Parameters of the bridge node."""

    module_ids: tuple[int, ...] = parameter((), "modules whose optimizers run on this host", "", 1, 64)
    station_ids: tuple[int, ...] = parameter((), "all modules of the station", "", 1, 64)


class CanBridgeNode(ManagedNode[CanBridgeParameters]):
    """See module docstring. `_on_frames` runs in the link's thread, everything else in the executor's."""

    PARAMETERS = CanBridgeParameters

    def configure(self) -> None:
        """Key, slots and publishers; nothing is open yet."""
        p = self.p
        if not p.module_ids or not {*p.module_ids} <= {*p.station_ids}:
            raise InputError(f"module_ids is {list(p.module_ids)}, allowed some of station_ids {list(p.station_ids)}")
        self._settings = settings_from(vars(p))
        protection = protection_of(self._settings.key_file)
        self._slot = bridge_slot(min(p.module_ids))
        self._here = {controller_slot(k): k for k in p.module_ids}
        self._there = {controller_slot(k): k for k in p.station_ids}
        self._speaker = Speaker(self._slot, protection, unix_ms)
        self._watch = FrameWatch()
        self._listener = Listener(protection, self._watch, unix_ms)
        self._curve_out = self.publisher(streams.BUS_CURVE)
        self._state_out = self.publisher(streams.BUS_STATE)
        self._grid_out = self.publisher(streams.GRID_SIGNAL)
        self._plan_out = self.publisher(streams.MARKET_PLAN)
        self._diagnostics = Diagnostics(self, self._statuses)
        self._from_bus: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self._under_way: dict[bytes, None] = {}
        self._plan: MarketPlan | None = None  # made on this host
        self._plan_of_bus: MarketPlan | None = None
        self._time_of_day_s = 0.0
        self._time_heard_ns = -(1 << 62)  # of a bridge with a lower slot
        self._figures: dict[str, float] = {}  # as told last
        self._foreign = 0  # frames under a slot of this host that it has not sent
        self._to_bus_ms, self._from_bus_ms = Samples(SAMPLES), Samples(SAMPLES)
        self._carry: dict[str, Callable[[Received], None]] = {
            "CURVE": self._carry_curve, "NEIGHBOR_STATE": self._carry_state, "GRID_SIGNAL": self._carry_grid,
            "PLAN": self._carry_plan, "TIME_SYNC": self._hear_time,
        }  # fmt: skip

    def activate(self) -> None:
        """Open the bus, listen to the modules of this host, the signal and the plan."""
        self._link = Link(
            self._settings, self._on_frames, FILTERS, own_echo=True, name="bridge", on_fault=self.get_logger().warning
        )
        self._link.start()
        for k in self.p.module_ids:
            space = f"/ek3_{k:02d}"
            self.listen(streams.CURVE, self._sender(k, "CURVE", can_words.curve_signals), space)
            self.listen(streams.NEIGHBOR_STATE, self._sender(k, "NEIGHBOR_STATE", can_words.state_signals), space)
        self.listen(streams.GRID_SIGNAL, self._on_grid)
        self.listen(streams.MARKET_PLAN, self._on_plan)
        self.every(TIME_SYNC_S, self._tell_time)
        self.every(PLAN_S, self._send_plan)
        self.every(TELL_S, self._tell)
        self._diagnostics.start()

    def deactivate(self) -> None:
        """Close the bus."""
        self._link.close()
        self._tell()

    # ---- topics -> bus ---------------------------------------------------------------------------------------------
    def _sender(self, k: int, name: str, signals: Callable[..., dict[str, Any]]) -> Callable[..., None]:
        slot = controller_slot(k)

        def send(message: Curve | NeighborState, info: dict[str, int]) -> None:
            if message.module_id != k:  # a stranger on a module's topic
                return
            self._say(name, signals(message), slot)
            self._to_bus_ms.add([(time.time_ns() - info["source_timestamp"]) / 1e6])

        return send

    def _say(self, name: str, signals: dict[str, Any], source: int | None = None) -> None:
        try:
            frame = self._speaker.say(name, signals, source=source)
        except SignalError as error:
            self.get_logger().warning(f"not sent: {error}", throttle_duration_sec=5.0)
            return
        if source is not None:
            self._under_way[frame.payload] = None
            if len(self._under_way) > OWN_FRAMES:
                self._under_way.pop(next(iter(self._under_way)), None)
        if self.p.can_dry_run:  # as if the bus had carried it
            self._on_frames([frame._replace(received_ns=time.monotonic_ns())])
        else:
            self._link.send(frame)

    def _on_grid(self, message: GridSignal) -> None:
        self._time_of_day_s = message.time_of_day_s
        if (message.source_id, message.sequence) not in self._from_bus:
            self._say("GRID_SIGNAL", can_words.grid_signals(message))

    def _on_plan(self, message: MarketPlan) -> None:
        if message.rule != can_words.BUS_RULE and can_words.is_finite_plan(message):
            self._plan = message
            self._send_plan()

    def _send_plan(self) -> None:
        signals = None if self._plan is None else can_words.plan_signals(self._plan, self._time_of_day_s)
        if signals is not None:
            self._say("PLAN", signals)

    def _tell_time(self) -> None:
        """One bridge tells the time: that with the lowest slot that is heard."""
        if time.monotonic_ns() - self._time_heard_ns > OTHERS_TIME_S * 1e9:
            self._say("TIME_SYNC", {"unix_ms": unix_ms()})

    # ---- bus -> topics ---------------------------------------------------------------------------------------------
    def _on_frames(self, frames: list[WireFrame]) -> None:
        for frame in frames:
            received = self._listener.hear(frame, frame.received_ns)
            carry = None if received is None else self._carry.get(received.name)
            if received is None or carry is None or not self._is_genuine(received, frame):
                continue
            carry(received)
            self._from_bus_ms.add([(time.monotonic_ns() - frame.received_ns) / 1e6])

    def _is_genuine(self, received: Received, frame: WireFrame) -> bool:
        """Under the slots of this host only this host speaks: anything else is a second bridge or a forgery."""
        if received.source not in self._here:
            return True
        if frame.payload in self._under_way:
            self._under_way.pop(frame.payload, None)
            return True
        self._foreign += 1
        self.get_logger().error(
            f"somebody else speaks for module {self._here[received.source]} on the bus", throttle_duration_sec=5.0
        )
        return False

    def _carry_curve(self, received: Received) -> None:
        if received.source in self._there:
            self._curve_out.publish(can_words.curve_message(self._there[received.source], received.signals))

    def _carry_state(self, received: Received) -> None:
        if received.source in self._there:
            self._state_out.publish(can_words.state_message(self._there[received.source], received.signals))

    def _carry_grid(self, received: Received) -> None:
        if received.source == self._slot or module_of(received.source) is not None:
            return
        message = can_words.grid_message(received.signals, self.now_s())
        self._from_bus.append((message.source_id, message.sequence))
        self._grid_out.publish(message)

    def _carry_plan(self, received: Received) -> None:
        if received.source == self._slot or module_of(received.source) is not None:
            return
        message = can_words.plan_message(received.signals)
        if message != self._plan_of_bus:
            self._plan_of_bus = message
            self._plan_out.publish(message)

    def _hear_time(self, received: Received) -> None:
        if received.source < self._slot:
            self._time_heard_ns = received.received_ns

    # ---- what it tells ---------------------------------------------------------------------------------------------
    def _tell(self) -> None:
        state = self._link.state
        for text in self._watch.news(time.monotonic_ns()):
            self.get_logger().warning(text)
        self._figures = {
            "bridge_to_bus_ms_median": self._to_bus_ms.median,
            "bridge_to_bus_ms_p99": self._to_bus_ms.percentile(99.0),
            "bridge_from_bus_ms_median": self._from_bus_ms.median,
            "bridge_from_bus_ms_p99": self._from_bus_ms.percentile(99.0),
            "bus_frames_lost": self._watch.lost,
            "bus_frames_refused": sum(self._watch.refused.values()) + self._foreign,
        }
        events.emit("bus", up=state.up, text=state.text, sent=state.sent, received=state.received, **self._figures)

    def _statuses(self) -> list[Status]:
        lines = self._watch.lines(time.monotonic_ns())
        figures = {"bus load": watched_load(lines, self._settings), **self._figures}
        return [bus_status(node_name(self), self._link.state, lines, figures)]
