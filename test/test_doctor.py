"""What `v2g doctor` makes of what it sees: interfaces, the bus, this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.bringup_dds import dead_segments
from v2g_nodes.canbus.identifier import bridge_slot, device_slot
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.cli import doctor_machine
from v2g_nodes.cli.bus_reader import BusReader
from v2g_nodes.cli.doctor_bus import BusHealth
from v2g_nodes.cli.doctor_interface import interface_findings
from v2g_nodes.cli.finding import NOTE, OK, WRONG, Finding, all_well

from .test_can_tools import STATION, Talk, damaged, heard, talking

CAN0 = CanSettings("socketcan", "can0")
UP = LinkState(True, "A", 0, 0, 0, 0, 0, 0, 0, 0, "")
RATINGS_KW = {1: 3.3, 2: 3.0}


def controller(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as JSON has it
    """What `ip -details -json` says of a CAN controller."""
    data = {"state": "ERROR-ACTIVE", "restart_ms": 100, "berr_counter": {"tx": 0, "rx": 0},
            "bittiming": {"bitrate": 1_000_000}, "data_bittiming": {"bitrate": 5_000_000}, "ctrlmode": ["FD"]}
    shown = {"ifname": "can0", "flags": ["NOARP", "UP", "LOWER_UP"], "mtu": 72,
             "linkinfo": {"info_kind": "can", "info_data": {**data, **changes}}}
    return shown | {key: changes[key] for key in ("flags", "mtu") if key in changes}


def wrong(findings: list[Finding]) -> list[str]:
    return [f"{f.what} {f.text} -> {f.advice}" for f in findings if f.level == WRONG]


PASTE = "sudo ip link set can0 up txqueuelen 128 type can bitrate 1000000 dbitrate 5000000 fd on restart-ms 100"


@pytest.mark.parametrize(
    ("shown", "text", "advice"),
    [
        (None, "there is no such interface", PASTE),
        (controller(flags=["NOARP"]), "is down", PASTE),
        (controller(mtu=16), "carries no CAN-FD", PASTE),
        (controller(bittiming={"bitrate": 500_000}), "arbitration at 500000 bit/s, the station file", PASTE),
        (controller(data_bittiming={}), "data at None bit/s, the station file says 5000000", PASTE),
        (controller(state="BUS-OFF"), "bus-off, errors tx 0 rx 0", "termination"),
        (controller(state="ERROR-PASSIVE", berr_counter={"tx": 128, "rx": 3}), "errors tx 128 rx 3", "cable"),
        ({"linkinfo": {"info_kind": "veth"}, "flags": ["UP"]}, "is no CAN interface but veth", "can.channel"),
    ],
)
def test_what_is_wrong_with_an_interface_is_told_with_the_line_to_paste(
    shown: Mapping[str, Any] | None, text: str, advice: str
) -> None:
    (line,) = wrong(interface_findings(CAN0, lambda channel: shown))
    assert text in line
    assert advice in line


def test_a_good_interface_is_good() -> None:
    assert [f.level for f in interface_findings(CAN0, lambda channel: controller())] == [OK, OK]
    (note,) = (f for f in interface_findings(CAN0, lambda channel: controller(restart_ms=0)) if f.level != OK)
    assert note.level == NOTE
    assert "stays off after a bus-off" in note.text
    vcan = {"flags": ["UP"], "mtu": 72, "linkinfo": {"info_kind": "vcan"}}
    assert all_well(interface_findings(CanSettings("socketcan", "vcan0"), lambda channel: vcan))
    assert "sudo ip link add dev vcan0 type vcan" in wrong(
        interface_findings(CanSettings("socketcan", "vcan0"), lambda channel: None))[0]


def examine(frames: list[WireFrame], ratings_kw: Mapping[int, float], **links: LinkState) -> list[Finding]:
    reader, health = BusReader(Protection()), BusHealth(ratings_kw)
    for frame in frames:
        health.add(reader.read(heard(frame)))
    return health.findings(links or {"A": UP}, dict.fromkeys(links or "A", 0.1), 2.0)


def station(talk: Talk) -> list[WireFrame]:
    """One of each: two devices, their controllers, a bridge that tells the time."""
    frames = []
    for k, rating_kw in RATINGS_KW.items():
        frames += [talk.say(device_slot(k), "HEARTBEAT", dbc_version=1, state=2, p_max_kw=rating_kw, life=k),
                   talk.say(device_slot(k), "STATUS"), talk.setpoint(k)]
    frames.append(talk.say(bridge_slot(1), "TIME_SYNC", unix_ms=talk.now_ns // 1_000_000))
    return frames


def test_a_healthy_bus_is_well_and_everybody_is_named() -> None:
    found = examine(station(Talk()), RATINGS_KW)
    assert wrong(found) == []
    text = " | ".join(f"{f.what} {f.text}" for f in found)
    assert "module 2 /ek3_02: enabled, bus A, 3.00 kW, 0 errors, life 00000002" in text
    assert "hosts bridge 1, controller 1, controller 2" in text
    assert "set-points with enable: module 1, 2" in text
    assert "time sync 1 heard" in text
    assert "bus A 10.0% busy" in text


def test_each_thing_wrong_on_the_bus_is_told() -> None:
    talk = Talk()
    frames = [frame for frame in station(talk) if frame.identifier >> 16 & 0xFF != device_slot(2)]
    old = talk.say(device_slot(1), "STATUS")
    frames += [
        talk.say(device_slot(9), "HEARTBEAT", dbc_version=7, state=3, p_max_kw=1.0),
        damaged(talk.setpoint(1)),
        old._replace(payload=b"\x09" + old.payload[1:]),
        talk.setpoint(30),
        talk.say(bridge_slot(1), "TIME_SYNC", unix_ms=talk.now_ns // 1_000_000 + 60_000)]
    found = examine(frames, {1: 3.0, 2: 3.0}, A=UP._replace(errors=4), B=UP._replace(up=False, text="cable out"))
    lines = "\n".join(wrong(found))
    for expected in (
        "module 1 says 3.30 kW, the station file 3.00 kW",
        "module 1 speaks version 9 of the wire contract, we 1",
        "module 2 silent, but in the station file",
        "module 9 speaks, but is not in the station file",
        "module 9 has version 7 of ek3.dbc, we 1",
        "controller 30 speaks for a module that is not in the station file",
        "refused 1 x SETPOINT of controller 1: check",
        "time sync 2 heard, +299",
        "bus B cable out",
    ):
        assert expected in lines
    assert len(lines.splitlines()) == 9
    notes = " | ".join(f"{f.what} {f.text}" for f in found if f.level == NOTE)
    assert "bus A 4 error frames" in notes
    assert "module 9 has tripped" in notes


def test_a_clock_that_is_off_and_a_full_bus_are_wrong() -> None:
    talk = Talk()
    late = [frame._replace(received_ns=frame.received_ns + 3_000_000_000) for frame in station(talk)]
    assert "module 1 its clock is -30" in "\n".join(wrong(examine(late, RATINGS_KW)))
    health = BusHealth({})
    assert "75.0% busy" in wrong(health.findings({"A": UP}, {"A": 0.75}, 2.0))[0]


def test_a_silent_bus_is_wrong_where_a_station_should_be() -> None:
    assert "nobody has said anything in 2 s" in wrong(examine([], RATINGS_KW))[0]
    assert wrong(examine([], {})) == []


@pytest.mark.parametrize(
    ("variables", "level", "text"),
    [
        ({"ROS_DOMAIN_ID": "102"}, WRONG, "ROS_DOMAIN_ID is '102'"),
        ({"ROS_DOMAIN_ID": "seven"}, WRONG, "ROS_DOMAIN_ID is 'seven'"),
        ({"ROS_DOMAIN_ID": "7"}, OK, "ROS_DOMAIN_ID 7"),
        ({}, OK, "0 (not set)"),
        ({"ROS_LOCALHOST_ONLY": "1"}, NOTE, "ROS_LOCALHOST_ONLY is set"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, NOTE, "ROS_AUTOMATIC_DISCOVERY_RANGE SUBNET"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, OK, "this host only"),
        ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, NOTE, "RMW_IMPLEMENTATION is rmw_cyclonedds_cpp"),
        ({"ROS_DISTRO": "humble"}, WRONG, "humble is sourced"),
    ],
)
def test_ros_variables_are_looked_at(variables: dict[str, str], level: str, text: str) -> None:
    assert (level, True) in [(f.level, text in f.text) for f in doctor_machine.machine_findings(variables)]


def test_what_this_machine_permits_is_told() -> None:
    assert doctor_machine.real_time(False).level == NOTE
    assert "rtprio" in doctor_machine.real_time(False).advice
    levels = [doctor_machine.cores(count, load).level for count, load in ((1, 0.0), (4, 9.0), (4, 1.0))]
    assert levels == [NOTE, NOTE, OK]
    assert doctor_machine.segments(3, Path("/dev/shm")).level == NOTE
    missing = doctor_machine.findings_of_modules([1, 2, 3], {1: "ready", 3: "safe"})
    assert [f.text for f in missing] == ["2 module nodes, ready: 1; safe: 3", "no node of module 2"]


def test_dead_segments_are_counted_and_left_alone(tmp_path: Path) -> None:
    for name in ("fastrtps_dead", "fastrtps_dead_el", "other_el"):
        (tmp_path / name).touch()
    assert dead_segments(tmp_path) == (tmp_path / "fastrtps_dead",)
    assert (tmp_path / "fastrtps_dead").exists()


@pytest.mark.ros
@pytest.mark.usefixtures("ros_domain_id")
def test_the_whole_examination(tmp_path: Path) -> None:
    file = tmp_path / "station.yaml"
    file.write_text(STATION)
    with talking():  # everything module 2 has to say, in the values it begins with, and nothing of module 1
        run = subprocess.run([sys.executable, "-m", "v2g_nodes.cli.main", "doctor", "--station", str(file), "--seconds",
                              "1", "--json", "-"], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    told = json.loads(run.stdout)
    lines = [f"{f['what']} {f['text']}" for f in told["findings"] if f["level"] == WRONG]
    assert told["verdict"] == "something is wrong"
    assert any(line == "module 1 silent, but in the station file" for line in lines)
    assert any(line.startswith("module 2 says 0.00 kW") for line in lines)
    assert not any("refused" in line for line in lines)
