"""The loopback profile: when it is used, that sockets tell, what may be removed from shared memory."""

from __future__ import annotations

import fcntl
import os
import socket
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from v2g_nodes.bringup_dds import (
    PROFILE_FILE,
    check_loopback,
    foreign_sockets,
    loopback_environment,
    profile_path,
    remove_dead_segments,
    ros_domain,
    uses_our_profile,
)
from v2g_nodes.core.errors import InputError, StartupError

NAMESPACE = {"d": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}


@pytest.mark.parametrize(
    "environment",
    [{}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}],
)
def test_loopback_unless_told_otherwise(environment: dict[str, str]) -> None:
    added = loopback_environment(environment)
    assert added["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SYSTEM_DEFAULT"
    assert added["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(profile_path())
    assert uses_our_profile({**environment, **added})
    assert loopback_environment({**environment, **added}) == {}  # a child of ours keeps what it was given


@pytest.mark.parametrize(
    "own",
    [
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"},
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "/home/me/mine.xml"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "/home/me/mine.xml"},
        {"ROS_DISCOVERY_SERVER": "127.0.0.1:11811"},
    ],
)
def test_own_settings_stand(own: dict[str, str]) -> None:
    assert loopback_environment(own) == {}
    assert not uses_our_profile(own)


def test_the_profile_allows_loopback_only() -> None:
    root = ElementTree.parse(profile_path()).getroot()
    transports = root.findall(".//d:transport_descriptor", NAMESPACE)
    assert [t.findtext("d:type", namespaces=NAMESPACE) for t in transports] == ["UDPv4"]
    assert [e.text for e in root.findall(".//d:interfaceWhiteList/d:address", NAMESPACE)] == ["127.0.0.1"]
    assert root.findtext(".//d:TTL", namespaces=NAMESPACE) == "0"
    assert root.findtext(".//d:useBuiltinTransports", namespaces=NAMESPACE) == "false"
    participant = root.find(".//d:participant", NAMESPACE)
    assert participant is not None
    assert participant.get("is_default_profile") == "true"


def test_sockets_tell() -> None:
    before = set(foreign_sockets())
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as home,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as group,
    ):
        home.bind(("127.0.0.1", 0))
        group.bind(("239.255.0.1", 0))
        assert set(foreign_sockets()) == before
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as open_to_all:
            open_to_all.bind(("0.0.0.0", 0))
            assert set(foreign_sockets()) - before == {f"0.0.0.0:{open_to_all.getsockname()[1]}"}


def test_an_open_socket_is_refused_only_under_our_profile() -> None:
    ours = loopback_environment({})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as open_to_all:
        open_to_all.bind(("0.0.0.0", 0))
        with pytest.raises(
            StartupError, match=rf"0\.0\.0\.0:{open_to_all.getsockname()[1]}.*127\.0\.0\.1.*{PROFILE_FILE}"
        ):
            check_loopback(ours)
        check_loopback({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"})


def segment(folder: Path, name: str) -> Path:
    for file in (name, f"{name}_el", f"sem.{name}_mutex"):
        (folder / file).write_bytes(b"x")
    return folder / f"{name}_el"


def test_only_dead_segments_are_removed(tmp_path: Path) -> None:
    segment(tmp_path, "fastrtps_0123456789abcdef")
    segment(tmp_path, "fastrtps_port7000")
    alive = segment(tmp_path, "fastrtps_fedcba9876543210")
    (tmp_path / "somebody_elses_el").write_bytes(b"x")
    with alive.open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_SH)
        assert remove_dead_segments(tmp_path) == 2
    assert sorted(os.listdir(tmp_path)) == [  # noqa: PTH208 - names are what counts
        "fastrtps_fedcba9876543210",
        "fastrtps_fedcba9876543210_el",
        "sem.fastrtps_fedcba9876543210_mutex",
        "somebody_elses_el",
    ]
    assert remove_dead_segments(tmp_path) == 1  # its owner has gone too


@pytest.mark.parametrize(("text", "domain"), [("", 0), ("0", 0), ("232", 232)])
def test_the_ros_domain_is_a_number(text: str, domain: int) -> None:
    assert ros_domain({"ROS_DOMAIN_ID": text}) == domain


@pytest.mark.parametrize("text", ["abc", "-1", "233", "1.5"])
def test_what_is_no_ros_domain_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"ROS_DOMAIN_ID is '{text}', allowed 0 to 232"):
        ros_domain({"ROS_DOMAIN_ID": text})
