"""`can dump`, `can log`, `can replay` and what they are made of, on recordings and on a bus of processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import BROADCAST, bridge_slot, controller_slot, device_slot
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.recording import Recorder, read_recording
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire import Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.cli.bus_ear import Heard
from v2g_nodes.cli.bus_reader import BusReader
from v2g_nodes.cli.frame_text import frame_line
from v2g_nodes.cli.main import main

BEGIN_NS = 1_795_000_000_123_456_789
STEP_NS = 10_000_000
PORT = 20_000 + os.getpid() % 20_000
STATION = f"""
version: 1
can: {{port: {PORT}, backup_channel: 239.255.43.2}}
modules: [{{id: 1, backend: can}}, {{id: 2, backend: can}}]
"""
SETPOINT = {"power_kw": 1.25, "valid_ms": 300, "enable": 1, "reset": 0, "max_kw": 3.3}


class Talk:
    """Frames of a station as its speakers make them, 10 ms apart."""

    def __init__(self, key: bytes | None = None) -> None:
        self.now_ns = BEGIN_NS
        self._protection = Protection(key)
        self._speakers: dict[int, Speaker] = {}

    def say(self, slot: int, name: str, to: int = BROADCAST, nonce: int = 0, **signals: float) -> WireFrame:
        values = {s.name: s.minimum for s in Codec.load().spec(name).signals} | signals
        speaker = self._speakers.setdefault(slot, Speaker(slot, self._protection, lambda: self.now_ns // 1_000_000))
        frame = speaker.say(name, values, to, nonce)
        self.now_ns += STEP_NS
        return frame._replace(received_ns=self.now_ns)

    def setpoint(self, k: int = 1, **signals: float) -> WireFrame:
        return self.say(controller_slot(k), "SETPOINT", device_slot(k), **(SETPOINT | signals))

    def everything(self) -> list[WireFrame]:
        slots = {"device": device_slot(2), "bridge": bridge_slot(1), "controller": controller_slot(2)}
        return [self.say(slots[spec.senders[0]], spec.name) for spec in Codec.load().messages]


def heard(frame: WireFrame, bus: str = "A") -> Heard:
    return Heard(bus, frame, frame.received_ns)


def damaged(frame: WireFrame) -> WireFrame:
    return frame._replace(payload=frame.payload[:9] + bytes([frame.payload[9] ^ 1]) + frame.payload[10:])


def record(path: Path, frames: list[WireFrame]) -> None:
    with Recorder(path) as recorder:
        for index, frame in enumerate(frames):
            recorder.write("AB"[index % 2], frame, frame.received_ns)


@pytest.mark.parametrize("ending", ["blf", "asc", "BLF"])
def test_a_recording_gives_back_what_was_heard(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"bus.{ending}"
    talk = Talk()
    frames = [frame for _ in range(200) for frame in talk.everything()]  # more than a container of BLF holds
    record(file, frames)
    read = [*read_recording(file)]
    assert [(frame.identifier, frame.payload) for _, frame in read] == [(f.identifier, f.payload) for f in frames]
    assert [bus for bus, _ in read] == ["AB"[index % 2] for index in range(len(frames))]
    begun_ns = read[0][1].received_ns
    assert abs(begun_ns - frames[0].received_ns) <= 1_000_000
    for (_, frame), written in zip(read, frames, strict=True):
        assert abs((frame.received_ns - begun_ns) - (written.received_ns - frames[0].received_ns)) <= 1_500


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bus.log", b"", "allowed is a name that ends with .blf or .asc"),
        ("bus.blf", b"LOGG, but no more", "not a .blf file, or damaged"),
        ("bus.asc", b"\xff\xfe\x00 nonsense", "not a .asc file, or damaged"),
        ("missing.blf", None, "No such file"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        [*read_recording(tmp_path / name)]


def test_frames_are_told_in_words_with_what_is_wrong_about_them() -> None:
    talk, reader = Talk(), BusReader(Protection())
    good = talk.setpoint()
    lines = [frame_line(reader.read(heard(frame)), colors=False) for frame in (
        good, damaged(talk.setpoint()), good, talk.setpoint(power_kw=-0.5),
        talk.say(device_slot(3), "VEHICLE", session_low=int.from_bytes(b"wallbox-", "little"), session_high=0x37),
        talk.say(controller_slot(64), "CURVE", value_9=-7), WireFrame(0x1FFFFFFF, b"\1\2", talk.now_ns))]  # fmt: skip
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{6} A p1 controller 1  > module 1      SETPOINT       "
        r"power_kw 1\.2500 kW, valid_ms 300 ms, enable yes, reset 0, max_kw 3\.3000 kW", lines[0])
    assert lines[1].endswith("!check")
    assert "!repeated" in lines[2] or "!stale" in lines[2]
    assert "power_kw -0.5000 kW" in lines[3]
    assert lines[3].endswith("!lost 1 before it")
    assert "module 3      > all           VEHICLE        session 'wallbox-7'" in lines[4]
    assert "controller 64 > all           CURVE" in lines[5]
    assert re.search(r"value \[(-32768 ){9}-7\]", lines[5])
    assert "0xFF" in lines[6]
    assert lines[6].endswith("0102  !unknown")
    assert "\x1b" not in "".join(lines)
    assert "\x1b" in frame_line(reader.read(heard(talk.setpoint())), colors=True)
    assert f"[{good.identifier:08X} {good.payload.hex()}]" in frame_line(reader.read(heard(good)), False, raw=True)


def test_each_bus_is_judged_for_itself() -> None:
    talk, reader = Talk(), BusReader(Protection())
    beat = talk.say(device_slot(1), "HEARTBEAT")
    assert [reader.read(heard(beat, bus)).verdict for bus in ("A", "B", "A")] == ["ok", "ok", "repeated"]


def test_with_the_key_unicast_frames_are_judged_by_the_life_of_their_device() -> None:
    key = bytes(range(16))
    talk, reader, keyless = Talk(key), BusReader(Protection(key)), BusReader(Protection())
    beat = talk.say(device_slot(1), "HEARTBEAT", life=77)
    command = talk.say(controller_slot(1), "SETPOINT", device_slot(1), nonce=77, **SETPOINT)
    forged = talk.say(controller_slot(1), "SETPOINT", device_slot(1), nonce=78, **SETPOINT)
    early = talk.say(controller_slot(1), "SETPOINT", device_slot(1), nonce=77, **SETPOINT)
    verdicts = [reader.read(heard(frame)).verdict for frame in (early, beat, command, forged)]
    assert verdicts == ["unproven", "ok", "ok", "check"]
    assert [keyless.read(heard(frame)).verdict for frame in (beat, command)] == ["check", "check"]


def test_dump_of_a_recording_shows_what_is_asked_for_and_counts_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = Talk()
    frames = [*talk.everything(), *talk.everything(), talk.setpoint(1), damaged(talk.setpoint(1))]
    with Recorder(tmp_path / "bus.blf") as recorder:
        for frame in frames:
            recorder.write("A", frame, frame.received_ns)
    assert main(["can", "dump", "--file", str(tmp_path / "bus.blf"), "--only", "setpoint", "--module", "1"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " p1 " in line]
    assert len(lines) == 2
    assert all("controller 1  > module 1" in line for line in lines)
    assert lines[1].endswith("!check")
    assert main(["can", "dump", "--file", str(tmp_path / "bus.blf"), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["lost"], told["refused"]) == (len(frames) - 1, 0, 1)
    (damaged_one,) = (m for m in told["messages"] if m["refused"])
    assert (damaged_one["message"], damaged_one["source"]) == ("SETPOINT", "controller 1")
    assert damaged_one["refused"] == {"check": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dump", "--only", "CURVES"], "--only CURVES, allowed FAULT"),
        (["dump", "--module", "65"], "--module 65, allowed 1 to 64"),
        (["dump", "--duration", "0"], "--duration 0, allowed 0.1 to"),
        (["dump", "--interface", "socketcan"], "--interface socketcan without --channel"),
        (["dump", "--station", "x.yaml", "--channel", "can0"], "--channel with --station"),
        (["dump", "--file", "x.blf", "--channel", "239.255.43.3"], "--file with --interface or --channel"),
        (["log", "bus.txt"], "recording bus.txt: allowed is a name"),
        (["replay", "bus.blf", "--speed", "0"], "--speed 0, allowed 0.01 to 1000"),
        (["replay", "bus.blf", "--interface", "socketcan", "--channel", "can0"], "allowed are udp_multicast and vcan"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["can", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_log_is_never_written_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bus.asc"
    file.write_text("dear")
    assert main(["can", "log", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "dear"


@contextmanager
def talking() -> Iterator[None]:
    """A station on a bus of processes, for as long as it is entered."""
    ended = threading.Event()
    settings = CanSettings(port=PORT, backup_channel="239.255.43.2")
    talk = Talk()

    def run() -> None:
        with Link(settings, lambda _: None) as link:
            while not ended.wait(0.01):
                for frame in talk.everything():
                    link.send(frame)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def station(tmp_path: Path) -> str:
    file = tmp_path / "station.yaml"
    file.write_text(STATION)
    return str(file)


def counts(told: dict[str, Any]) -> dict[str, int]:
    return {f"{message['bus']} {message['message']}": message["frames"] for message in told["messages"]}


def test_both_buses_are_heard_live(station: str, capsys: pytest.CaptureFixture[str]) -> None:
    with talking():
        assert main(["can", "dump", "--station", station, "--duration", "0.5", "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["lost"], told["refused"]) == (0, 0)
    assert counts(told).keys() == {*(f"A {spec.name}" for spec in Codec.load().messages), "B HEARTBEAT"}


def test_ctrl_c_leaves_a_whole_log_that_plays_back(
    station: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, again = tmp_path / "bus.blf", tmp_path / "again.blf"
    with talking(), recording(log, station):
        pass
    frames = [*read_recording(log)]
    assert len(frames) > 12
    with recording(again, station):
        assert main(["can", "replay", str(log), "--station", station, "--speed", "20"]) == 0
    heard_again = [(bus, frame[:2]) for bus, frame in read_recording(again)]
    assert sorted(heard_again) == sorted((bus, frame[:2]) for bus, frame in frames)
    assert f"{len(frames)} frames sent" in capsys.readouterr().err


@contextmanager
def recording(file: Path, station: str) -> Iterator[None]:
    """`v2g can log` in a process of its own, ended by Ctrl-C when something is in the file."""
    words = [sys.executable, "-c", LOGGER, "can", "log", str(file), "--station", station]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield
        assert process.stdout.readline() == "heard\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


# tells when it listens, and when nothing new has come for a while after something had
LOGGER = """
import sys
from v2g_nodes.cli import bus_ear, main
enter, take = bus_ear.BusEar.__enter__, bus_ear.BusEar.take
state = []
def entered(self):
    ear = enter(self)
    print("listening", flush=True)
    return ear
def taken(self, wait_s):
    frames = take(self, wait_s)
    state.append(bool(frames))
    if not frames and True in state and "told" not in state or len(state) == 400:
        state.append("told")
        print("heard", flush=True)
    return frames
bus_ear.BusEar.__enter__, bus_ear.BusEar.take = entered, taken
sys.exit(main.main(sys.argv[1:]))
"""
