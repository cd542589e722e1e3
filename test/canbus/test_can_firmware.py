"""The stand-in's firmware, frame by frame."""

from __future__ import annotations

from collections import Counter

import pytest

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_words import DeviceState, Setpoint, setpoint_signals
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import BROADCAST, bridge_slot, controller_slot, device_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Received, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.sim.can_firmware import CanDevice
from v2g_nodes.sim.ek3_module import build_plant

from .can_rig import MODULE, PARAMETERS, WALL_MS

KEY = bytes(range(16))
STEP_NS = 10_000_000
ONE_KW = Setpoint(1.0, 0.3, True, 0, 3.3)
OFF = Setpoint(0.0, 0.3, False, 0, 3.3)


class Bench:
    """A device, somebody who speaks to it, and somebody who hears all it says."""

    def __init__(self, key: bytes | None = None, **parameters: object) -> None:
        self.now_ns = 1_000_000_000
        self.lives = [0xA1, 0xA2, 0xA3]
        protection = Protection(key)
        self.device = CanDevice(
            MODULE, build_plant({**PARAMETERS, **parameters}), lambda: self.lives.pop(0), protection, Codec.load(),
            self.wall_ms)
        self.controller = Speaker(controller_slot(MODULE), protection, self.wall_ms)
        self._listener = Listener(protection, FrameWatch(), self.wall_ms)
        self.life = self.lives[0]
        self.heard: list[tuple[int, Received]] = []

    def wall_ms(self) -> int:
        return WALL_MS + self.now_ns // 1_000_000

    def say(self, setpoint: Setpoint) -> WireFrame:
        return self.controller.say("SETPOINT", setpoint_signals(setpoint), device_slot(MODULE), 0xA1)

    def give(self, *frames: WireFrame) -> None:
        for frame in frames:
            self.device.on_frame(frame._replace(received_ns=self.now_ns), self.now_ns)

    def step(self, steps: int = 1, setpoint: Setpoint | None = None) -> list[Received]:
        """Steps, with a set-point before each of them if there is one."""
        before = len(self.heard)
        for _ in range(steps):
            if setpoint is not None:
                self.give(self.say(setpoint))
            self.now_ns += STEP_NS
            for frame in self.device.step(self.now_ns):
                received = self._listener.hear(frame, self.now_ns)
                assert received is not None, self._listener.verdict
                self.heard.append((self.now_ns, received))
        return [received for _, received in self.heard[before:]]

    @property
    def reference_kw(self) -> float:
        return self.device.plant.measurement().reference_kw

    @property
    def violations(self) -> tuple[int, str]:
        seen = self.device.plant.measurement()
        return seen.constraint_violations, seen.violation


def names(heard: list[Received]) -> list[str]:
    return [item.name for item in heard]


def test_it_introduces_itself() -> None:
    heard = Bench(vehicle_departure_s=1500.0).step()
    assert names(heard) == ["JOIN_LEAVE", "HEARTBEAT", "VEHICLE", "STATUS"]
    join, heartbeat, vehicle, status = (item.signals for item in heard)
    assert (join["action"], join["p_max_kw"]) == (1, pytest.approx(3.3))
    assert (heartbeat["life"], heartbeat["state"]) == (0xA1, DeviceState.IDLE)
    assert heartbeat["dbc_version"] == Codec.load().version
    assert vehicle["departure_in_ds"] == pytest.approx(5000.0)
    assert (status["plugged"], status["enabled"], status["power_kw"]) == (1, 0, 0.0)


def test_reports_come_at_their_rates() -> None:
    bench = Bench()
    bench.step()
    idle = Counter(names(bench.step(200, OFF)))
    assert (idle["STATUS"], idle["HEARTBEAT"], idle["VEHICLE"]) == (20, 20, 2)
    bench.step(1, ONE_KW._replace(power_kw=0.05))
    active = Counter(names(bench.step(200, ONE_KW._replace(power_kw=0.05))))
    assert (active["STATUS"], active["HEARTBEAT"], active["VEHICLE"]) == (40, 20, 2)


@pytest.mark.parametrize("key", [None, KEY], ids=["crc", "cmac"])
def test_it_obeys_its_own_controller_only(key: bytes | None) -> None:
    bench = Bench(key)
    bench.step()
    signals = setpoint_signals(ONE_KW)
    other = Speaker(controller_slot(MODULE + 1), Protection(key), bench.wall_ms)
    bridge = Speaker(bridge_slot(1), Protection(key), bench.wall_ms)
    own = device_slot(MODULE)
    bench.give(other.say("SETPOINT", signals, own, 0xA1), bridge.say("SETPOINT", signals, own, 0xA1),
               bench.controller.say("SETPOINT", signals, BROADCAST, 0),
               bench.controller.say("SETPOINT", signals, device_slot(MODULE + 1), 0xA1))
    assert (bench.device.setpoints, bench.device.setpoint) == (0, None)
    bench.give(bench.say(ONE_KW))
    assert bench.device.setpoint == pytest.approx(ONE_KW, abs=1e-4)


@pytest.mark.parametrize("key", [None, KEY], ids=["crc", "cmac"])
def test_replayed_and_forged_commands_are_refused_and_counted(key: bytes | None) -> None:
    bench = Bench(key)
    bench.step()
    frame = bench.say(ONE_KW)
    bench.give(frame, frame)
    bench.step(5, OFF)
    bench.give(frame)
    flipped = bytearray(bench.say(ONE_KW).payload)
    flipped[9] ^= 1
    bench.give(frame._replace(payload=bytes(flipped)))
    forger = Speaker(controller_slot(MODULE), Protection(bytes(16)), bench.wall_ms)
    bench.give(forger.say("SETPOINT", setpoint_signals(ONE_KW), device_slot(MODULE), 0xA1))
    refused = bench.device.watch.refused
    assert (refused["repeated"], refused["stale"], refused["check"]) == (1, 1, 2)
    assert bench.device.setpoint is not None
    assert not bench.device.setpoint.enable


def test_a_command_that_was_held_up_is_refused_even_after_silence() -> None:
    bench = Bench()
    bench.step(10, OFF)
    held_up = bench.say(ONE_KW)
    bench.step(50, OFF)
    bench.step(200)
    bench.give(held_up)
    assert bench.device.setpoint is None


def test_a_controller_whose_clock_was_set_back_is_believed_again() -> None:
    bench = Bench()
    bench.step(100, OFF)
    true_ms = bench.wall_ms
    slow = Speaker(controller_slot(MODULE), Protection(), lambda: true_ms() - 60_000)
    for _ in range(200):
        bench.give(slow.say("SETPOINT", setpoint_signals(OFF), device_slot(MODULE), 0xA1))
        bench.step()
    assert bench.device.setpoint is not None


def test_with_keys_a_lapse_begins_a_new_life() -> None:
    bench = Bench(KEY)
    bench.step()
    old = bench.say(OFF)
    bench.step(2, OFF)
    heard = bench.step(40)
    assert [item.signals["life"] for item in heard if item.name == "HEARTBEAT"][-1] == 0xA2
    bench.give(old, bench.say(OFF))
    assert bench.device.setpoint is None
    bench.give(bench.controller.say("SETPOINT", setpoint_signals(OFF), device_slot(MODULE), 0xA2))
    assert bench.device.setpoint is not None


def test_a_set_point_holds_until_it_lapses() -> None:
    bench = Bench(ramp_kw_per_s=10.0)
    bench.step(1, ONE_KW)
    bench.step(28)
    assert bench.reference_kw == pytest.approx(1.0, abs=2e-4)
    assert bench.device.state is DeviceState.ENABLED
    heard = bench.step(3)
    assert bench.device.state is DeviceState.TIMED_OUT
    assert next(item for item in heard if item.name == "HEARTBEAT").signals["state"] == DeviceState.TIMED_OUT
    assert next(item for item in heard if item.name == "STATUS").signals["timed_out"] == 1
    bench.step(20)
    assert bench.reference_kw == 0.0


def test_the_sender_may_ask_for_a_shorter_hold_but_not_for_a_longer_one() -> None:
    for valid_s, held_steps in ((0.1, 9), (5.0, 29)):
        bench = Bench(ramp_kw_per_s=10.0)
        bench.step(1, ONE_KW._replace(valid_s=valid_s))
        bench.step(held_steps - 1)
        assert bench.device.setpoint is not None
        bench.step(2)
        assert bench.device.setpoint is None


def test_power_without_enable_is_no_power() -> None:
    bench = Bench()
    bench.step(20, ONE_KW._replace(enable=False))
    assert bench.reference_kw == 0.0
    bench.step(50, ONE_KW)
    bench.step(1, ONE_KW._replace(enable=False))
    assert bench.reference_kw == pytest.approx(0.49, abs=1e-3), "to zero within the ramp"


def test_the_cap_holds_in_the_device_too() -> None:
    bench = Bench()
    bench.step(100, ONE_KW._replace(max_kw=0.25))
    assert bench.reference_kw == pytest.approx(0.25, abs=2e-4)


def test_a_pause_of_the_firmware_gives_no_power_to_catch_up() -> None:
    bench = Bench()
    bench.step(1, ONE_KW)
    bench.now_ns += 2_000_000_000
    bench.step(1, ONE_KW)
    assert bench.reference_kw <= 0.11 + 1e-9


def test_a_jump_and_a_power_beyond_the_limits_are_counted_once_each() -> None:
    bench = Bench(ramp_kw_per_s=0.5, p_max_kw=3.0)
    bench.step(50, ONE_KW._replace(power_kw=0.0))
    assert bench.violations == (0, "")
    bench.step(10, ONE_KW)
    assert bench.violations == (1, "ramp")
    assert bench.reference_kw <= 0.051, "followed within the ramp all the same"
    bench.step(10, OFF)
    for power_kw in (k * 0.005 for k in range(650)):
        bench.step(1, ONE_KW._replace(power_kw=power_kw))
    assert bench.violations == (2, "power beyond limit")
    assert bench.reference_kw <= 3.0


def test_twice_the_ramp_is_found_out_though_no_step_is_large() -> None:
    bench = Bench()
    for k in range(100):
        bench.step(1, ONE_KW._replace(power_kw=max(0.02 * (k - 50), 0.0)))
    assert bench.violations == (1, "ramp")


def test_a_sender_that_was_held_up_when_it_began_anew_breaks_nothing() -> None:
    bench = Bench()
    bench.step(50, ONE_KW._replace(power_kw=0.0))
    bench.step(1, ONE_KW._replace(power_kw=0.15))
    bench.step(100, OFF)
    bench.step(1, ONE_KW._replace(power_kw=0.1))
    bench.step(1, ONE_KW._replace(power_kw=0.2))
    assert bench.violations == (0, "")


def test_a_command_is_judged_by_what_its_sender_could_know() -> None:
    bench = Bench()
    for k in range(100):
        bench.step(1, ONE_KW._replace(power_kw=0.01 * k))
    bench.device.plant.plug_out()
    bench.step(35, ONE_KW)
    assert bench.violations == (0, "")
    bench.step(10, ONE_KW)
    assert bench.violations == (1, "power without a vehicle")


def test_lost_frames_make_no_ramp_violation() -> None:
    bench = Bench()
    for k in range(150):
        lost = 40 <= k < 65
        bench.step(1, None if lost else ONE_KW._replace(power_kw=0.01 * k))
    assert bench.violations == (0, "")


def test_a_trip_is_told_at_once_and_only_a_reset_after_cooling_clears_it() -> None:
    bench = Bench()
    bench.step(50, ONE_KW._replace(power_kw=0.3))
    bench.device.plant._state.temperature_c = 200.0
    heard = bench.step(1, ONE_KW._replace(power_kw=0.3))
    assert names(heard)[0] == "FAULT"
    assert (heard[0].signals["fault"], heard[0].signals["active"]) == (2, 1)
    assert bench.device.state is DeviceState.TRIPPED
    heard = bench.step(30, OFF)
    assert names(heard).count("FAULT") == 3
    heard = bench.step(1, ONE_KW._replace(reset=1))
    assert next(item for item in heard if item.name == "ACKNOWLEDGE").signals["result"] == 1, "refused: hot"
    assert bench.reference_kw == 0.0
    bench.device.plant._state.temperature_c = 40.0
    bench.step(1, OFF._replace(reset=1))
    assert bench.device.state is DeviceState.TRIPPED
    heard = bench.step(1, OFF._replace(reset=2))
    acknowledge = next(item for item in heard if item.name == "ACKNOWLEDGE")
    assert (acknowledge.signals["result"], acknowledge.signals["reset"]) == (0, 2)
    assert acknowledge.destination == controller_slot(MODULE)
    assert next(item for item in heard if item.name == "FAULT").signals["active"] == 0
    assert bench.device.state is DeviceState.IDLE
    bench.device.plant._state.fault = "overpower"
    bench.step(1, OFF._replace(reset=0))
    assert bench.device.state is DeviceState.TRIPPED, "0 asks for nothing"


def test_it_tells_its_clock_offset() -> None:
    bench = Bench()
    bridge = Speaker(bridge_slot(1), Protection(), bench.wall_ms)
    bench.give(bridge.say("TIME_SYNC", {"unix_ms": bench.wall_ms() - 120}))
    heartbeat = next(item for item in bench.step() if item.name == "HEARTBEAT")
    assert heartbeat.signals["clock_offset_ms"] == 120
