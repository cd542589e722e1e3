"""The network of several hosts: the profile that is made, the interface that is meant, the user's own word."""

from __future__ import annotations

import re
import socket
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.bringup_dds import allowed_addresses, check_loopback, profile_path, uses_our_profile
from v2g_nodes.bringup_network import network_environment, own_address, profile_text
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.station import Station, default_station, load_station

SPACE = {"d": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}


def station_with(**network: Any) -> Station:  # noqa: ANN401 - values of any key
    station = default_station(2)
    return station.model_copy(update={"network": station.network.model_copy(update=network)})


def texts(xml: str, path: str) -> list[str | None]:
    return [element.text for element in ElementTree.fromstring(xml).findall(f".//{path}", SPACE)]


def test_peers_are_asked_over_one_interface_and_no_other() -> None:
    xml = profile_text("10.0.0.1", ["10.0.0.1", "10.0.0.2"], [], 3)
    assert texts(xml, "d:interfaceWhiteList/d:address") == ["10.0.0.1"]
    assert texts(xml, "d:initialPeersList/d:locator/d:udpv4/d:address") == ["239.255.0.1", "10.0.0.1", "10.0.0.2"]
    assert texts(xml, "d:initialPeersList/d:locator/d:udpv4/d:port") == ["8150"]
    assert texts(xml, "d:useBuiltinTransports") == ["false"]
    assert "127.0.0.1" not in xml
    assert texts(xml, "d:discoveryProtocol") == []


def test_servers_are_known_by_number_and_give_the_whole_graph() -> None:
    xml = profile_text(None, [], [("10.0.0.1", 11811), ("10.0.0.2", 11812)])
    servers = ElementTree.fromstring(xml).findall(".//d:RemoteServer", SPACE)
    prefixes = ["44.53.00.5f.45.50.52.4f.53.49.4d.41", "44.53.01.5f.45.50.52.4f.53.49.4d.41"]
    assert [server.get("prefix") for server in servers] == prefixes
    assert texts(xml, "d:RemoteServer//d:address") == ["10.0.0.1", "10.0.0.2"]
    assert texts(xml, "d:RemoteServer//d:port") == ["11811", "11812"]
    assert texts(xml, "d:discoveryProtocol") == ["SUPER_CLIENT"]
    assert texts(xml, "d:initialPeersList") == texts(xml, "d:interfaceWhiteList") == []


def test_a_subnet_is_every_interface_and_multicast() -> None:
    xml = profile_text(None, [], [])
    assert texts(xml, "d:interfaceWhiteList") == texts(xml, "d:initialPeersList") == []
    assert texts(xml, "d:TTL") == ["1"]
    assert texts(xml, "d:leaseDuration/d:sec") == ["20"]


def test_the_loopback_profile_is_the_template_and_stays_as_it_is() -> None:
    before = profile_path().read_text()
    profile_text("10.0.0.1", ["10.0.0.2"], [])
    assert profile_path().read_text() == before
    assert allowed_addresses(profile_path()) == ("127.0.0.1",)


def test_an_interface_is_a_name_an_address_or_a_network() -> None:
    assert own_address("lo") == own_address("127.0.0.1") == own_address("127.0.0.0/8") == "127.0.0.1"
    for wrong in ("none0", "203.0.113.0/24", "203.0.113.9"):
        with pytest.raises(InputError, match=rf"key network.interface: '{wrong}', allowed is .*lo 127.0.0.1"):
            own_address(wrong)


def test_localhost_stays_the_default(tmp_path: Path) -> None:
    environment = network_environment(default_station(1), {"XDG_CACHE_HOME": str(tmp_path)})
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(profile_path())
    assert not [*tmp_path.iterdir()]


def test_the_profile_is_written_once_for_each_content(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    peers = station_with(discovery="peers", peers=("127.0.0.2", "localhost"), interface="lo")
    paths = {network_environment(peers, cache)["FASTDDS_DEFAULT_PROFILES_FILE"] for _ in range(2)}
    paths.add(network_environment(station_with(discovery="subnet"), cache)["FASTDDS_DEFAULT_PROFILES_FILE"])
    assert sorted(paths) == sorted(map(str, (tmp_path / "v2g_nodes").iterdir()))
    assert len(paths) == 2
    ours = network_environment(peers, cache)
    assert uses_our_profile(ours)
    assert network_environment(peers, {**cache, **ours}) == {}, "a child of ours keeps what it was given"
    assert "<address>127.0.0.2</address>" in Path(ours["FASTDDS_DEFAULT_PROFILES_FILE"]).read_text()


@pytest.mark.parametrize("own", [
    {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
    {"FASTRTPS_DEFAULT_PROFILES_FILE": "/home/me/mine.xml"},
    {"ROS_DISCOVERY_SERVER": "127.0.0.1:11811"},
])  # fmt: skip
def test_the_users_choice_stands(own: dict[str, str]) -> None:
    assert network_environment(station_with(discovery="subnet"), own) == {}


def test_another_middleware_gets_what_all_know() -> None:
    station = station_with(discovery="peers", peers=("10.0.0.1", "10.0.0.2"))
    assert network_environment(station, {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}) == {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_STATIC_PEERS": "10.0.0.1;10.0.0.2"}


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"file/v2g_nodes/fastdds_network_.*XDG_CACHE_HOME"):
        network_environment(station_with(discovery="subnet"), {"XDG_CACHE_HOME": str(tmp_path / "file")})


def test_a_socket_beyond_the_interface_is_refused(tmp_path: Path) -> None:
    ours = network_environment(station_with(discovery="subnet", interface="lo"), {"XDG_CACHE_HOME": str(tmp_path)})
    everywhere = network_environment(station_with(discovery="subnet"), {"XDG_CACHE_HOME": str(tmp_path)})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as open_to_all:
        open_to_all.bind(("0.0.0.0", 0))
        with pytest.raises(StartupError, match=rf"{open_to_all.getsockname()[1]}, but only 127.0.0.1 is allowed"):
            check_loopback(ours)
        check_loopback(everywhere)


MODULE = "version: 1\nmodules: [{id: 1}]\nnetwork: "


@pytest.mark.parametrize(("network", "message"), [
    ("{discovery: peers}", r"network.peers: \[\] with discovery peers, allowed are addresses"),
    ("{peers: [10.0.0.1]}", r"network.peers: \['10.0.0.1'\] with discovery localhost"),
    ("{discovery: server}", r"network.servers: \[\] with discovery server"),
    ("{discovery: server, servers: ['10.0.0.1']}", r"network.servers\[0\]: '10.0.0.1', allowed is address:port"),
    ("{discovery: server, servers: ['10.0.0.1:80']}", "port 1024 to 65535"),
    ("{interface: eth0}", "network.interface: 'eth0' with discovery localhost, allowed is null"),
    ("{discovery: everywhere}", "localhost, subnet, peers"),
])  # fmt: skip
def test_a_bad_network_is_named(tmp_path: Path, network: str, message: str) -> None:
    file = tmp_path / "station.yaml"
    file.write_text(MODULE + network)
    with pytest.raises(InputError) as error:
        load_station(file)
    assert re.search(message, str(error.value))


def test_hosts_whose_nodes_would_have_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "station.yaml"
    file.write_text("version: 1\nmodules: [{id: 1, host: a-b}, {id: 2, host: a_b}]\n")
    with pytest.raises(InputError, match="hosts 'a-b' and 'a_b', allowed are names that differ"):
        load_station(file)
