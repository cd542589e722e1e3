"""The bridge in one process: the graph on one side, a link of the test on the bus's other end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from v2g_nodes.msg import GridSignal, MarketPlan

from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import bridge_slot, controller_slot
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire import Listener, Received, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.membership import LinkReport
from v2g_nodes.core.optimizer_types import NeighborReport
from v2g_nodes.core.types import EpochId, Frame
from v2g_nodes.nodes import can_words, convert, streams
from v2g_nodes.nodes.can_bridge_node import CanBridgeNode

from .conftest import Bench

CHANNEL, PORT = "239.255.43.77", 20000 + os.getpid() % 20000
FRAME = Frame(1, 0x12345678, 3, 7, -7, tuple(range(-5, 5)), -6, tuple(range(10)))
REPORT = NeighborReport(1, 9, EpochId(70, 2, 1), 77, 5.5, 0.0625, -1.25, True, LinkReport(2, 3, 4, (1 << 63) | 5, 2))
SIGNAL = GridSignal(
    source_id=3, sequence=8, signal_sequence=70, time_of_day_s=3700.25, frequency_hz=49.9375, voltage_v=401.0,
    price_eur_per_kwh=0.25, signal_pu=-0.25, site_load_kw=1.5,
)  # fmt: skip
PLAN = MarketPlan(
    plan_version=4, rule="csv", start_time_of_day_s=0.0, slot_s=1800.0, base_kw=[float(k) for k in range(6)],
    capacity_kw=[10.0] * 6,
)  # fmt: skip


class FarHost:
    """The other end of the bus: another host's bridge, or a forger."""

    def __init__(self) -> None:
        self.heard: list[Received] = []
        self.frames: list[WireFrame] = []
        protection = Protection(None)
        self._listener = Listener(protection, FrameWatch(), _clock_ms)
        self._speaker = Speaker(bridge_slot(3), protection, _clock_ms)
        self.link = Link(CanSettings(channel=CHANNEL, port=PORT), self._take, name="far")

    def _take(self, frames: list[WireFrame]) -> None:
        for frame in frames:
            received = self._listener.hear(frame, frame.received_ns)
            if received is not None:
                self.frames.append(frame)
                self.heard.append(received)

    def say(self, name: str, signals: dict[str, Any], source: int | None = None) -> None:
        self.link.send(self._speaker.say(name, signals, source=source))

    def of(self, name: str) -> list[Received]:
        return [received for received in self.heard if received.name == name]


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def far() -> Iterator[FarHost]:
    host = FarHost()
    with host.link:
        yield host


@pytest.fixture
def bridge(bench: Bench) -> CanBridgeNode:
    return bench.start(
        CanBridgeNode, "can_bridge", module_ids=(1, 2), station_ids=(1, 2, 3), can_channel=CHANNEL, can_port=PORT
    )


def test_a_modules_words_cross_the_bus_and_come_back_by_its_echo(
    bench: Bench, far: FarHost, bridge: CanBridgeNode
) -> None:
    curves, states = bench.heard(streams.BUS_CURVE), bench.heard(streams.BUS_STATE)
    curve, state = convert.curve_message(FRAME), convert.state_message(REPORT, leaving=True)
    bench.sender(streams.CURVE, "/ek3_01").publish(curve)
    bench.sender(streams.NEIGHBOR_STATE, "/ek3_01").publish(state)
    bench.until(lambda: curves and states, "both are on the /bus topics")
    assert curves == [curve]
    assert convert.curve_frame(curves[0]) == FRAME, "its checksum holds"
    assert states == [state]
    assert convert.state_report(states[0]) == REPORT
    bench.until(lambda: far.of("CURVE") and far.of("NEIGHBOR_STATE"), "the other host hears both")
    assert {received.source for received in far.heard if received.name != "TIME_SYNC"} == {controller_slot(1)}
    assert max(len(frame.payload) for frame in far.frames) <= 64


def test_what_another_host_says_comes_out_on_the_bus_topics(bench: Bench, far: FarHost, bridge: CanBridgeNode) -> None:
    curves, states = bench.heard(streams.BUS_CURVE), bench.heard(streams.BUS_STATE)
    bench.until(lambda: bridge._curve_out.get_subscription_count() and bridge._state_out.get_subscription_count())
    theirs = convert.curve_message(FRAME._replace(sender=3))
    far.say("CURVE", can_words.curve_signals(theirs), controller_slot(3))
    far.say("NEIGHBOR_STATE", can_words.state_signals(convert.state_message(REPORT, leaving=False)), controller_slot(3))
    bench.until(lambda: curves and states)
    assert curves == [theirs]
    assert (states[0].module_id, states[0].power_kw) == (3, REPORT.power_kw)
    assert not far.of("CURVE"), "what came from the bus does not go there again"


def test_nobody_else_speaks_for_a_module_of_this_host(bench: Bench, far: FarHost, bridge: CanBridgeNode) -> None:
    curves = bench.heard(streams.BUS_CURVE)
    bench.until(bridge._curve_out.get_subscription_count)
    far.say("CURVE", can_words.curve_signals(convert.curve_message(FRAME)), controller_slot(1))
    far.say("CURVE", can_words.curve_signals(convert.curve_message(FRAME)), controller_slot(9))  # not of the station
    far.say("CURVE", can_words.curve_signals(convert.curve_message(FRAME._replace(sender=3))), controller_slot(3))
    bench.until(lambda: len(curves))
    assert [message.module_id for message in curves] == [3]
    assert bridge._foreign == 1


def test_a_stranger_on_a_modules_topic_is_not_carried(bench: Bench, far: FarHost, bridge: CanBridgeNode) -> None:
    sender = bench.sender(streams.CURVE, "/ek3_02")
    sender.publish(convert.curve_message(FRAME))  # says it is module 1
    sender.publish(convert.curve_message(FRAME._replace(sender=2)))
    bench.until(lambda: far.of("CURVE"))
    assert [received.source for received in far.of("CURVE")] == [controller_slot(2)]


def test_signal_and_plan_made_here_go_on_the_bus_bit_for_bit(
    bench: Bench, far: FarHost, bridge: CanBridgeNode
) -> None:
    bench.sender(streams.GRID_SIGNAL).publish(SIGNAL)
    bench.until(lambda: far.of("GRID_SIGNAL"))
    bench.sender(streams.MARKET_PLAN).publish(PLAN)
    bench.until(lambda: far.of("PLAN"))
    found = can_words.grid_message(far.of("GRID_SIGNAL")[0].signals, 0.0)
    found.stamp = SIGNAL.stamp
    assert found == SIGNAL
    plan, whole = convert.plan_of(can_words.plan_message(far.of("PLAN")[0].signals)), convert.plan_of(PLAN)
    for time_of_day_s in (3600.0, 3700.25, 5399.0, 5400.0, 9000.0, 10799.0, 86399.0):
        assert plan.at(time_of_day_s) == whole.at(time_of_day_s), "as the whole plan has it, from this slot on"
    assert far.of("GRID_SIGNAL")[0].source == bridge_slot(1)


def test_signal_and_plan_of_another_host_come_out_once_and_do_not_return(
    bench: Bench, far: FarHost, bridge: CanBridgeNode
) -> None:
    heard, plans = bench.heard(streams.GRID_SIGNAL), bench.heard(streams.MARKET_PLAN)
    bench.until(lambda: bridge._grid_out.get_subscription_count() >= 2 and bridge._plan_out.get_subscription_count())
    signals = can_words.plan_signals(PLAN, 0.0)
    assert signals is not None
    for _ in range(3):
        far.say("PLAN", signals)
    far.say("GRID_SIGNAL", can_words.grid_signals(SIGNAL))
    bench.until(lambda: heard and plans)
    bench.until(lambda: bridge._time_of_day_s == SIGNAL.time_of_day_s, "it has heard what it has said itself")
    bench.spin()
    assert (len(heard), len(plans)) == (1, 1)
    assert not far.of("GRID_SIGNAL")
    assert not far.of("PLAN")


def test_the_bridge_with_the_lowest_slot_tells_the_time(bench: Bench, far: FarHost, bridge: CanBridgeNode) -> None:
    bench.until(lambda: far.of("TIME_SYNC"))
    assert abs(far.of("TIME_SYNC")[0].signals["unix_ms"] - _clock_ms()) < 10_000
    higher = bench.start(
        CanBridgeNode, "bridge_3", module_ids=(3,), station_ids=(1, 2, 3), can_channel=CHANNEL, can_port=PORT
    )
    bench.until(lambda: time.monotonic_ns() - higher._time_heard_ns < 1e9, "it hears the lower one")
    sources = [received.source for received in far.of("TIME_SYNC")[-3:]]
    assert bridge_slot(1) in sources


def test_garbage_on_the_bus_reaches_no_topic(
    bench: Bench, far: FarHost, bridge: CanBridgeNode, emitted: list[dict[str, Any]]
) -> None:
    heard = [bench.heard(stream) for stream in (streams.BUS_CURVE, streams.BUS_STATE, streams.GRID_SIGNAL)]
    bench.until(lambda: bridge._grid_out.get_subscription_count() >= 2)
    good = far._speaker.say("CURVE", can_words.curve_signals(convert.curve_message(FRAME)), source=controller_slot(3))
    for place in range(len(good.payload)):
        spoiled = bytearray(good.payload)
        spoiled[place] ^= 0x10
        far.link.send(good._replace(payload=bytes(spoiled)))
        bench.spin(1)
    bench.until(lambda: sum(bridge._watch.refused.values()) == len(good.payload))
    assert heard == [[], [], []]
    bench.until(lambda: any(event.get("bus_frames_refused") == 64 for event in emitted), "it says so")


def test_a_dry_run_sends_nothing_and_still_lets_its_modules_agree(bench: Bench, far: FarHost) -> None:
    bench.start(
        CanBridgeNode, "can_bridge", module_ids=(1,), station_ids=(1,), can_channel=CHANNEL, can_port=PORT,
        can_dry_run=True,
    )  # fmt: skip
    curves = bench.heard(streams.BUS_CURVE)
    bench.sender(streams.CURVE, "/ek3_01").publish(convert.curve_message(FRAME))
    bench.until(lambda: len(curves))
    assert not far.heard


def test_diagnostics_tell_every_message_of_every_sender(bench: Bench, far: FarHost, bridge: CanBridgeNode) -> None:
    told = bench.heard(streams.DIAGNOSTICS)
    far.say("CURVE", can_words.curve_signals(convert.curve_message(FRAME._replace(sender=3))), controller_slot(3))
    bench.until(lambda: any("CURVE of controller 3" in values_of(message) for message in told))
    assert told[-1].status[0].level == DiagnosticStatus.OK
    values = values_of(told[-1])
    assert values["CURVE of controller 3"].startswith("ok: 1 frames")
    assert values["up"] == "True"
    bench.until(lambda: float(values_of(told[-1])["bus load"]) > 0.0, "its own words make a load")
    spoiled = far.frames[0].payload[:-1] + b"\xff"
    far.link.send(far.frames[0]._replace(payload=spoiled))
    bench.until(lambda: told[-1].status[0].level == DiagnosticStatus.WARN, "a refused frame is worth a warning")
    assert "frames refused" in told[-1].status[0].message


def values_of(message: DiagnosticArray) -> dict[str, str]:
    return {item.key: item.value for item in message.status[0].values}
