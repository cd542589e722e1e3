"""`bench can`: what is counted of a bus, what is computed, and the verdict."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from v2g_nodes.canbus.ample_bus import AmpleOpener, AmpleSocket
from v2g_nodes.canbus.bit_time import frame_bits, frame_time_s
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.frame_io import Reading
from v2g_nodes.canbus.identifier import Identifier, bridge_slot, controller_slot, device_slot
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.cli import bench_can, bus_meter, bus_meter_process
from v2g_nodes.cli.bus_meter_process import BusMeter
from v2g_nodes.cli.bus_tally import BusTally
from v2g_nodes.cli.bus_worst_case import worst_case_load
from v2g_nodes.cli.main import main
from v2g_nodes.core.errors import StartupError
from v2g_nodes.station import load_station

SETTINGS = CanSettings(port=30_000 + os.getpid() % 10_000, channel="239.255.43.9")
S = 1_000_000_000


def frame(source: int, sequence: int, size: int = 24, code: int = 0x10, destination: int = 255) -> tuple[int, bytes]:
    payload = bytes(5) + (sequence % 65536).to_bytes(2, "little") + bytes(size - 7)
    return Identifier(1, 0, source, destination, code).pack(), payload


def test_load_bits_and_lengths_of_known_traffic() -> None:
    tally = BusTally(SETTINGS, 0)
    count = 4000
    for k in range(count):  # ten seconds; the third second has four times the traffic of the others
        second = k // 500 if k < 1000 else 2 + (k - 1000) // 2000 if k < 3000 else 3 + (k - 3000) // 500
        place = k % 500 * 2 if not 1000 <= k < 3000 else (k - 1000) / 2
        tally.add(*frame(controller_slot(3), k), second * S + round(place * 1e6))
    tally.add(*frame(device_slot(3), 0, 64, 0x31), 5 * S)
    tally.add(*frame(bridge_slot(1), 0, 48, 0x12), 5 * S + 1)
    told = tally.figures(10 * S)
    short_s, long_s, middle_s = (frame_time_s(size, SETTINGS) for size in (24, 64, 48))
    assert told["bus_load_mean"] == pytest.approx((count * short_s + long_s + middle_s) / 10.0)
    assert told["bus_load_max"] == pytest.approx(2000 * short_s, rel=0.01)
    assert told["bytes_per_frame_max"] == 64
    assert told["kbps_per_module_max"] == pytest.approx((count * sum(frame_bits(24)) + sum(frame_bits(64))) / 10_000.0)
    assert told["payload_kbps_per_module_max"] == pytest.approx((count * 24 + 64) * 8 / 10_000.0)
    assert (told["frames"], told["frames_per_s"], told["senders"]) == (count + 2, (count + 2) / 10.0, 3)
    assert told["lost_by_identifier"] == {}
    assert told["frames_by_code"] == {str(0x10): count, str(0x12): 1, str(0x31): 1}


def test_every_frame_that_is_missing_is_counted_for_its_sender() -> None:
    chance, tally = random.Random(4), BusTally(SETTINGS, 0)
    dropped = 0
    streams = [(source, code) for source in (device_slot(1), controller_slot(1)) for code in (0x10, 0x31)]
    begun = {stream: chance.randrange(65536) for stream in streams}  # so that some wrap around
    for k in range(70_000):
        for stream in streams[: 1 if k > 100 else None]:
            source, code = stream
            if 0 < k < 69_999 and chance.random() < 0.01 and (k < 100 or stream == streams[0]):
                dropped += 1
            else:
                tally.add(*frame(source, begun[stream] + k, code=code), k)
    told = tally.figures(S)
    assert told["frames_lost"] == dropped
    assert told["frames_repeated"] == 0
    by_sender = bench_can.lost_by_sender(told["lost_by_identifier"])  # type: ignore[arg-type]
    assert sum(by_sender.values()) == dropped
    assert "SETPOINT of module 1" in by_sender
    tally.add(*frame(device_slot(1), begun[streams[0]] + 69_999, code=0x10), S)
    assert tally.figures(S)["frames_repeated"] == 1
    tally.add(1, b"short", S)
    assert tally.figures(S)["frames_odd"] == 1


def test_the_worst_case_is_the_sum_of_all_at_their_shortest_cycle() -> None:
    """By hand for 16 modules: senders x rate x time of the frame, message by message."""
    by_hand = 0.0
    for spec in Codec.load().messages:
        senders = 1 if spec.name in ("TIME_SYNC", "GRID_SIGNAL", "PLAN") else 16
        by_hand += senders * 1000.0 / spec.fast_cycle_ms * frame_time_s(spec.length, SETTINGS)
    assert worst_case_load(16, SETTINGS) == pytest.approx(by_hand)
    fast = CanSettings(bitrate=1_000_000, data_bitrate=8_000_000)
    assert worst_case_load(16, fast) < worst_case_load(16, SETTINGS) < worst_case_load(17, SETTINGS)


@pytest.mark.parametrize("modules", [1, 16, 64])
def test_the_station_written_is_the_shipped_one_with_other_modules(tmp_path: Path, modules: int) -> None:
    made = bench_can.bus_station(modules, seed=3)
    read = load_station(bench_can.write_station(made, tmp_path / "s.yaml"))
    assert read == made
    shipped = load_station(Path(__file__).parents[1] / "config" / "station_can.yaml")
    assert read.dispatch == shipped.dispatch
    assert (read.can.stand_ins, read.can.setpoint_hz) == (True, shipped.can.setpoint_hz)
    assert read.can.channel != shipped.can.channel
    assert len(read.modules) == modules
    assert {module.backend for module in read.modules} == {"can"}


GOOD = {"duration_s": 60.0, "bytes_per_frame_max": 64, "kbps_per_module_max": 99.9, "bus_load_max": 0.49,
        "frames_lost": 0, "frames_odd": 0, "meter_missed": 0, "frames_by_code": {"16": 5, "200": 1}}


class Result:
    """A run."""

    def __init__(self, verdict: str = "ok") -> None:
        self.figures = {"verdict": verdict, "epochs": 30}
        self.ok = verdict == "ok"


@pytest.mark.parametrize(
    ("bus", "run", "fault", "verdict"),
    [
        (GOOD, Result(), "", "ok"),
        (GOOD | {"bytes_per_frame_max": 65}, Result(), "", "bytes_per_frame_max 65, allowed up to 64"),
        (GOOD | {"kbps_per_module_max": 100.0}, Result(), "", "kbps_per_module_max 100, allowed below 100"),
        (GOOD | {"bus_load_max": 0.5}, Result(), "", "bus_load_max 0.5, allowed below 0.5"),
        (GOOD | {"frames_lost": 1}, Result(), "", "frames_lost 1, allowed 0"),
        (GOOD | {"meter_missed": 7}, Result(), "", "meter_missed 7, allowed 0"),
        (GOOD, Result("gap_max 1"), "", "station: gap_max 1"),
        ({}, None, "no live run", "no live run"),
    ],
)
def test_the_verdict_says_what_was_missed(
    bus: dict[str, object], run: Result | None, fault: str, verdict: str
) -> None:
    told = bench_can.compose(16, None, SETTINGS, bus, run, fault)  # type: ignore[arg-type]
    assert told["verdict"] == verdict
    assert told["bus_load_worst_case"] == worst_case_load(16, SETTINGS)
    if bus:
        assert told["frames_by_message"] == {"SETPOINT": 5, "0xC8": 1}
    else:
        assert told["bus_load_max"] is told["frames_lost"] is None
    assert bench_can.load_table(told).row_count == 8


def test_what_was_not_measured_is_not_ok() -> None:
    told = bench_can.compose(2, None, SETTINGS, GOOD | {"bus_load_max": None}, Result(), "")  # type: ignore[arg-type]
    assert told["verdict"] == "bus_load_max not measured, allowed below 0.5"


def test_a_live_run_that_is_not_possible_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise StartupError("after 90 s not warm: ek3_64")

    monkeypatch.setattr(bench_can, "run_station", refuse)
    assert main(["bench", "can", "--modules", "64", "--live", "--json", "-"]) == 1
    output = capsys.readouterr()
    assert '"verdict": "a run of 64 modules is not possible here: after 90 s not warm: ek3_64"' in output.out
    assert '"bus_load_max": null' in output.out
    assert "not possible here" in output.err


@pytest.mark.parametrize(("option", "value"), [("modules", "65"), ("modules", "0"), ("duration", "1")])
def test_bad_input_is_one_line(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "can", f"--{option}", value]) == 2
    assert f"--{option} {value}, allowed " in capsys.readouterr().err


def test_the_meter_counts_between_its_two_commands_only() -> None:
    with BusMeter(SETTINGS) as meter, Link(SETTINGS, lambda _: None) as link:
        send(link, 0, 5)
        with meter.counting():
            send(link, 5, 3000)
        send(link, 3000, 3010)
    told = meter.figures
    assert told["frames"] == 2995
    assert (told["frames_lost"], told["frames_odd"], told["bytes_per_frame_max"]) == (0, 0, 24)
    assert told["meter_missed"] == 0
    assert told["frames_by_code"] == {"16": 2995}


def test_what_finds_no_room_is_counted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind(("127.0.0.1", 0))
        ample = AmpleSocket(reader.fileno())
        with closing(ample), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as writer:
            writer.sendto(b"there is room", reader.getsockname())
            assert ample.missed == 0
            assert reader.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 200_000
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least there is, some kilobytes
            for _ in range(100):
                writer.sendto(bytes(500), reader.getsockname())
            assert 50 < ample.missed < 100


def test_a_bus_that_is_opened_again_keeps_its_count_and_lets_the_old_one_go() -> None:
    opener = AmpleOpener()
    first = opener(SETTINGS, SETTINGS.channel)
    number = first.fileno()
    with socket.socket(fileno=os.dup(number)) as held, Link(SETTINGS, lambda _: None) as link:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        send(link, 0, 200)
        missed = opener.missed
        assert missed > 100
    first.shutdown()
    handles = len([*Path("/proc/self/fd").iterdir()])
    second = opener(SETTINGS, SETTINGS.channel)
    assert opener.missed == missed
    assert len([*Path("/proc/self/fd").iterdir()]) == handles + 2  # reader and writer; the handle of the first is gone
    second.shutdown()
    opener.close()


def send(link: Link, first: int, end: int) -> None:
    for k in range(first, end):
        link.send(WireFrame(*frame(controller_slot(1), k)))


def test_what_comes_while_the_meter_reads_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    commands, say = os.pipe()
    calls = 0

    def read(*_: object) -> Reading:
        nonlocal calls
        calls += 1
        if calls in (1, 11):
            os.write(say, b"\n")
        return Reading([WireFrame(*frame(controller_slot(1), calls), time.monotonic_ns())], 0, 0, False)

    monkeypatch.setattr(bus_meter, "STDIN", commands)
    monkeypatch.setattr(bus_meter, "LONGEST_WAIT_S", 0.0)
    monkeypatch.setattr(bus_meter, "read", read)
    with closing(bus_meter.Meter(SETTINGS)) as meter:
        told = meter.run()
    os.close(commands)
    os.close(say)
    assert told is not None
    assert told["frames"] == 10  # calls 2 to 11; the twelfth frame comes after the command to end
    assert told["frames_lost"] == 0


def test_a_meter_that_can_not_listen_is_no_silent_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_meter_process, "COMMAND", ("false",))
    with pytest.raises(StartupError, match="has ended too early"), BusMeter(SETTINGS):
        pass


@pytest.mark.system
def test_loops_of_three_modules_agree_and_say_what_a_live_station_says() -> None:
    words = ["bench", "can", "--modules", "3", "--duration", "6", "--json", "-"]
    run = subprocess.run(  # a process of its own, as it takes a real-time class
        [sys.executable, "-m", "v2g_nodes.cli.main", *words], capture_output=True, timeout=200, check=False)
    told = json.loads(run.stdout)
    assert told["epochs"] >= 1
    assert (told["bytes_per_frame_max"], told["frames_odd"], told["live"]) == (64, 0, False)
    assert 0.0 < told["bus_load_mean"] < told["bus_load_worst_case"]
    frames = told["frames_by_message"]
    assert set(frames) >= {"SETPOINT", "STATUS", "CURVE", "NEIGHBOR_STATE", "GRID_SIGNAL", "PLAN", "TIME_SYNC",
                           "HEARTBEAT", "VEHICLE"}  # fmt: skip
    assert frames["SETPOINT"] >= 3 * 5 * 9, "each module, at least ten a second"
    assert frames["CURVE"] >= 3 * 2, "each module, each epoch"
