"""Speaker and listener: what is accepted, what is refused, and with which verdict."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

import pytest

from v2g_nodes.canbus import verdict
from v2g_nodes.canbus.codec import Codec, SignalError
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import BROADCAST, controller_slot, device_slot
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Received, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame

CODEC = Codec.load()
MS = 1_000_000  # ns
KEY, OTHER_KEY = bytes(range(16)), bytes(range(1, 17))
KEYS = pytest.mark.parametrize("key", [None, KEY], ids=["crc", "mac"])
MODULE, LIFE = 3, 0xCAFE
SETPOINT = {"power_kw": 1.5, "valid_ms": 200, "enable": 1, "reset": 0, "max_kw": 3.3}
HEARTBEAT = {"life": LIFE, "dbc_version": 1, "bus": 0, "state": 1, "clock_offset_ms": math.nan, "errors": 0,
             "p_max_kw": 3.3}  # fmt: skip
TIME = {"unix_ms": 1}
START_MS = 0xFFFF_FF00  # the 32 bits of a time stamp wrap a quarter of a second later


@dataclass
class Wire:
    """A bus on which time passes by hand: a controller's speaker and the listener of device 3."""

    key: bytes | None
    unix_ms: int = START_MS
    watch: FrameWatch = field(default_factory=FrameWatch)

    def __post_init__(self) -> None:
        self.controller = self.speaker(controller_slot(MODULE))
        self.device = self.listener(slots={device_slot(MODULE)}, nonce=LIFE)

    @property
    def now_ns(self) -> int:
        return (self.unix_ms - START_MS + 1000) * MS

    def speaker(self, slot: int, key: bytes | None = None) -> Speaker:
        return Speaker(slot, Protection(key or self.key), lambda: self.unix_ms)

    def listener(self, slots: set[int] | None = None, nonce: int = 0, has_clock: bool = True) -> Listener:
        clock_ms = (lambda: self.unix_ms) if has_clock else None
        return Listener(Protection(self.key), self.watch, clock_ms, nonce, slots=slots)

    def setpoint(self, after_ms: int = 10, nonce: int = LIFE, destination: int = MODULE, **changed: float) -> WireFrame:
        self.unix_ms += after_ms
        return self.controller.say("SETPOINT", SETPOINT | changed, destination, nonce)

    def hears(self, frame: WireFrame, listener: Listener | None = None) -> str:
        listener = listener or self.device
        received = listener.hear(frame, self.now_ns)
        assert (received is not None) == (listener.verdict in verdict.ACCEPTED)
        return listener.verdict

    def sealed(self, name: str, data: bytes, source: int, destination: int = BROADCAST) -> WireFrame:
        """A genuine frame with a data part that no codec would make."""
        good = self.speaker(source).say(name, middle(name), destination)
        body = good.payload[:8] + data
        return good._replace(payload=Protection(self.key).seal(good.identifier, body))


def middle(name: str) -> dict[str, float]:
    return {signal.name: 1 if signal.minimum <= 1 <= signal.maximum else 0 for signal in CODEC.spec(name).signals}


def flipped(frame: WireFrame, bit: int) -> WireFrame:
    payload = int.from_bytes(frame.payload, "little") ^ 1 << bit
    return frame._replace(payload=payload.to_bytes(len(frame.payload), "little"))


@KEYS
@pytest.mark.parametrize("name", [spec.name for spec in CODEC.messages])
def test_what_is_said_is_heard(key: bytes | None, name: str) -> None:
    wire = Wire(key)
    tool = wire.listener()
    frame = wire.speaker(7).say(name, middle(name))
    received = tool.hear(frame, wire.now_ns)
    assert received is not None
    assert received.signals == pytest.approx(middle(name), abs=1e-4)
    assert len(frame.payload) == CODEC.spec(name).length
    sequence = int.from_bytes(frame.payload[5:7], "little")
    assert received == Received(name, 7, BROADCAST, sequence, START_MS, received.signals, wire.now_ns, 0)
    assert (wire.watch.frames, wire.watch.lost, sum(wire.watch.refused.values())) == (1, 0, 0)


def test_speaking_for_another_slot() -> None:
    wire = Wire(None)
    received = wire.listener().hear(wire.speaker(65).say("CURVE", middle("CURVE"), source=130), wire.now_ns)
    assert received is not None
    assert received.source == 130


def test_time_of_arrival_is_the_frames_own_if_it_has_one() -> None:
    wire = Wire(None)
    arrived = [wire.device.hear(wire.setpoint()._replace(received_ns=ns), wire.now_ns) for ns in (77, 0)]
    assert [received and received.received_ns for received in arrived] == [77, wire.now_ns]


def test_what_can_not_be_sent_leaves_no_gap() -> None:
    wire = Wire(None)
    assert wire.hears(wire.setpoint()) == verdict.OK
    with pytest.raises(SignalError, match="power_kw is not a number"):
        wire.setpoint(power_kw=math.nan)
    assert wire.hears(wire.setpoint()) == verdict.OK


@KEYS
def test_sequence_and_stamp_wrap(key: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.getrandbits", lambda bits: 0xFFF0)
    wire = Wire(key)
    frames = [wire.setpoint(after_ms=1) for _ in range(400)]
    assert {wire.hears(frame) for frame in frames} == {verdict.OK}
    assert [frames[i].payload[1:7].hex() for i in (15, 16, 254, 255)] == [
        "10ffffffffff", "11ffffff0000", "ffffffffee00", "00000000ef00",
    ]  # fmt: skip


@KEYS
def test_frames_of_one_millisecond_are_told_apart(key: bytes | None) -> None:
    wire = Wire(key)
    first, second, third = wire.setpoint(), wire.setpoint(after_ms=0), wire.setpoint(after_ms=0)
    words = [wire.hears(frame) for frame in (second, first, second, third)]
    assert words == [verdict.OK, verdict.STALE, verdict.REPEATED, verdict.OK]


@KEYS
def test_missing_frames_are_counted(key: bytes | None) -> None:
    wire = Wire(key)
    frames = [wire.setpoint() for _ in range(6)]
    assert [wire.hears(frame) for frame in (frames[0], frames[1], frames[5])] == [verdict.OK, verdict.OK, verdict.LOST]
    (line,) = wire.watch.lines(wire.now_ns)
    assert (line.frames, line.lost, wire.watch.lost) == (3, 3, 3)


@KEYS
def test_a_repeated_and_an_old_frame_are_refused(key: bytes | None) -> None:
    wire = Wire(key)
    old, last = wire.setpoint(), wire.setpoint()
    assert wire.hears(old) == wire.hears(last) == verdict.OK
    assert [wire.hears(frame) for frame in (last, old, last)] == [verdict.REPEATED, verdict.STALE, verdict.REPEATED]
    assert wire.hears(wire.setpoint()) == verdict.OK


@KEYS
@pytest.mark.parametrize("away_ms", [15, 5000])
def test_a_restarted_speaker_is_heard_and_counts_as_no_loss(
    key: bytes | None, away_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(key)
    for first in (40_000, 10_000, 50_000):
        monkeypatch.setattr("random.getrandbits", lambda bits, first=first: first)
        wire.controller = wire.speaker(controller_slot(MODULE))
        assert wire.hears(wire.setpoint(after_ms=away_ms)) == verdict.OK
        assert wire.hears(wire.setpoint()) == verdict.OK


def test_without_a_key_a_clock_that_steps_back_is_believed_after_a_second() -> None:
    wire = Wire(None)
    speaker = Speaker(controller_slot(MODULE), Protection(), lambda: wire.unix_ms - step_ms)
    step_ms = 0
    assert wire.hears(speaker.say("SETPOINT", SETPOINT, MODULE)) == verdict.OK
    step_ms = 3_600_000
    wire.unix_ms += 500
    assert wire.hears(speaker.say("SETPOINT", SETPOINT, MODULE)) == verdict.STALE
    wire.unix_ms += 501
    assert wire.hears(speaker.say("SETPOINT", SETPOINT, MODULE)) == verdict.OK


@KEYS
def test_every_flipped_bit_is_refused(key: bytes | None) -> None:
    wire = Wire(key)
    frame = wire.setpoint()
    words = [wire.hears(flipped(frame, bit)) for bit in range(len(frame.payload) * 8)]
    assert set(words[:8]) == {verdict.VERSION}
    assert set(words[8:]) == {verdict.CHECK}
    identifiers = {bit: wire.hears(frame._replace(identifier=frame.identifier ^ 1 << bit)) for bit in range(29)}
    assert verdict.OK not in identifiers.values()
    assert {identifiers[bit] for bit in range(8, 16)} == {verdict.DESTINATION}
    assert {identifiers[bit] for bit in range(16, 24)} == {verdict.CHECK}
    assert {identifiers[bit] for bit in range(24, 29)} == {verdict.UNKNOWN}
    assert wire.hears(frame) == verdict.OK


@KEYS
def test_cut_and_grown_frames_are_refused(key: bytes | None) -> None:
    wire = Wire(key)
    frame = wire.setpoint()
    for length in range(len(frame.payload)):
        assert wire.hears(frame._replace(payload=frame.payload[:length])) == verdict.LENGTH
    assert wire.hears(frame._replace(payload=frame.payload + bytes(8))) == verdict.LENGTH


@KEYS
def test_another_version_is_reported_with_both_numbers_and_never_read(key: bytes | None) -> None:
    wire = Wire(key)
    newer = wire.speaker(MODULE).say("STATUS", middle("STATUS"))
    newer = newer._replace(payload=b"\2" + newer.payload[1:-8])  # may have any form, its trailer too
    sealed = newer._replace(payload=Protection(key).seal(newer.identifier, newer.payload))
    unknown = newer._replace(identifier=newer.identifier ^ 0xC0)
    for frame in (newer, sealed, unknown):
        assert wire.hears(frame, wire.listener()) == verdict.VERSION
    assert wire.watch.news(wire.now_ns) == ["module 3 speaks version 2, this is 1: 3 frames not read"]


@KEYS
def test_a_value_out_of_range_is_refused_by_name(key: bytes | None) -> None:
    wire = Wire(key)
    tool = wire.listener()
    assert wire.hears(wire.sealed("JOIN_LEAVE", bytes([2, 0, 0, 0, 0, 0, 0, 0]), MODULE), tool) == verdict.RANGE
    assert tool.detail == "action is 2 on the wire, allowed 0 to 1"
    nothing = bytes.fromhex("01") + bytes(16) + struct.pack("<6f", math.nan, *[0.0] * 5) + bytes(7)
    assert wire.hears(wire.sealed("GRID_SIGNAL", nothing, 65), tool) == verdict.RANGE
    assert tool.detail == "frequency_hz is nan on the wire, allowed 0.0 to 100.0"


def test_a_frame_with_and_one_without_a_key_do_not_mix() -> None:
    keyed, bare = Wire(KEY), Wire(None)
    assert keyed.hears(bare.setpoint(nonce=0)) == verdict.CHECK
    assert bare.hears(keyed.setpoint()) == verdict.CHECK
    assert bare.device.detail == "keyed or of unknown flags, here is no key"


@KEYS
def test_unknown_flags_are_refused_though_the_frame_is_genuine(key: bytes | None) -> None:
    wire = Wire(key)
    frame = wire.setpoint()
    body = bytearray(frame.payload[:-8])
    body[7] |= 2
    forged = frame._replace(payload=Protection(key).seal(frame.identifier, bytes(body), LIFE))
    assert wire.hears(forged) == verdict.CHECK


def test_a_forged_command_is_refused_and_counted() -> None:
    wire = Wire(KEY)
    forger = wire.speaker(controller_slot(MODULE), OTHER_KEY)
    for _ in range(5):
        assert wire.hears(forger.say("SETPOINT", SETPOINT, MODULE, LIFE)) == verdict.CHECK
    assert wire.watch.refused == {verdict.CHECK: 5}
    assert wire.watch.news(wire.now_ns) == ["SETPOINT of controller 3: 5 frames refused, check"]


def test_with_a_key_nothing_old_is_ever_accepted_again() -> None:
    wire = Wire(KEY)
    recorded = [wire.setpoint() for _ in range(100)]
    assert {wire.hears(frame) for frame in recorded} == {verdict.OK}
    for later_ms in (0, 1_000, 60_000, 3_600_000):
        wire.unix_ms += later_ms
        assert {wire.hears(frame) for frame in recorded} <= {verdict.STALE, verdict.REPEATED}


def test_a_new_life_knows_nothing_of_the_last_and_still_refuses_its_frames() -> None:
    wire = Wire(KEY)
    recorded = wire.setpoint()
    assert wire.hears(recorded) == verdict.OK
    wire.device = wire.listener(slots={MODULE}, nonce=LIFE + 1)  # restarted
    assert wire.hears(recorded) == verdict.CHECK
    assert wire.hears(wire.setpoint(nonce=LIFE)) == verdict.CHECK
    assert wire.hears(wire.setpoint(nonce=LIFE + 1)) == verdict.OK


def test_a_host_whose_clock_stepped_back_is_heard_in_the_next_life() -> None:
    wire = Wire(KEY)
    assert wire.hears(wire.setpoint()) == verdict.OK
    assert wire.hears(wire.setpoint(after_ms=-3_600_000)) == verdict.STALE
    wire.device.nonce = LIFE + 1
    assert wire.hears(wire.setpoint(nonce=LIFE + 1)) == verdict.OK


@pytest.mark.parametrize(("late_ms", "word"), [(1900, verdict.OK), (2100, verdict.STALE), (-1900, verdict.OK),
                                               (-2100, verdict.STALE)])  # fmt: skip
def test_a_broadcast_with_a_key_has_to_be_of_now(late_ms: int, word: str) -> None:
    wire = Wire(KEY)
    frame = wire.speaker(65).say("TIME_SYNC", TIME)
    wire.unix_ms += late_ms
    listener = wire.listener()
    assert wire.hears(frame, listener) == word
    assert listener.detail == (
        "" if word == verdict.OK else f"its time is {-late_ms / 1000:+} s off, allowed 2 s either way"
    )


def test_a_broadcast_with_a_key_is_accepted_once() -> None:
    wire = Wire(KEY)
    bridge = wire.speaker(65)
    frames = [bridge.say("TIME_SYNC", TIME) for _ in range(2)]
    assert {wire.hears(frame) for frame in frames} == {verdict.OK}
    wire.unix_ms += 1900
    assert [wire.hears(frame) for frame in frames] == [verdict.STALE, verdict.REPEATED]


def test_a_device_without_a_clock_takes_it_from_the_first_frame_sealed_for_its_life() -> None:
    wire = Wire(KEY)
    wire.device = wire.listener(slots={MODULE}, nonce=LIFE, has_clock=False)
    bridge = wire.speaker(65)
    old = bridge.say("TIME_SYNC", TIME)
    assert wire.hears(old) == verdict.STALE
    assert wire.device.time_ms(wire.now_ns) is None
    wire.unix_ms += 5000
    assert wire.hears(wire.setpoint()) == verdict.OK
    wire.unix_ms += 700
    assert wire.device.time_ms(wire.now_ns) == wire.unix_ms % 2**32
    assert wire.hears(old) == verdict.STALE
    assert wire.hears(bridge.say("TIME_SYNC", TIME)) == verdict.OK


def test_with_a_key_everyone_learns_a_life_from_heartbeats() -> None:
    wire = Wire(KEY)
    tool = wire.listener()
    assert wire.hears(wire.setpoint(), tool) == verdict.CHECK
    assert wire.hears(wire.speaker(MODULE).say("HEARTBEAT", HEARTBEAT), tool) == verdict.OK
    assert tool.lives == {MODULE: LIFE}
    assert wire.hears(wire.setpoint(), tool) == verdict.OK


def test_a_device_that_lost_its_clock_is_believed_when_it_was_silent() -> None:
    wire = Wire(KEY)
    tool = wire.listener()
    assert wire.hears(wire.speaker(MODULE).say("HEARTBEAT", HEARTBEAT), tool) == verdict.OK
    reborn = Speaker(MODULE, Protection(KEY), lambda: wire.unix_ms - 3_600_000)  # has not the time
    assert wire.hears(reborn.say("HEARTBEAT", HEARTBEAT | {"life": 5}), tool) == verdict.STALE
    wire.unix_ms += 301
    assert wire.hears(reborn.say("HEARTBEAT", HEARTBEAT | {"life": 5}), tool) == verdict.OK
    assert tool.lives == {MODULE: 5}
    assert wire.hears(reborn.say("STATUS", middle("STATUS")), tool) == verdict.STALE  # until it has the time


def test_a_device_does_not_learn_its_own_life_from_a_replayed_heartbeat() -> None:
    wire = Wire(KEY)
    recorded = wire.setpoint(nonce=1)
    wire.hears(wire.speaker(MODULE).say("HEARTBEAT", HEARTBEAT | {"life": 1}))
    assert wire.hears(recorded) == verdict.CHECK


def test_a_frame_for_another_module_is_not_ours() -> None:
    wire = Wire(KEY)
    other = wire.setpoint(destination=device_slot(4))
    assert wire.hears(other) == verdict.DESTINATION
    assert wire.hears(other._replace(identifier=other.identifier & ~0xFF00 | MODULE << 8)) == verdict.CHECK
