"""Which network the nodes of several hosts use: a Fast DDS profile made from the loopback one, unless the user has one.

The profile says which interface is used, how nodes find each other, and that a host which is cut off for a few seconds
is not forgotten. Knows no rclpy. Why these values: docs/decisions/0015-several-hosts.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import os
import socket
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from v2g_nodes.bringup_dds import (
    FAST_DDS,
    NETWORK_PROFILE,
    PROFILE_VARIABLES,
    RANGE_VARIABLE,
    RANGE_WITH_PROFILE,
    has_own_choice,
    loopback_environment,
    profile_path,
    ros_domain,
)
from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.station import Station

XML_NAMESPACE = "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"
TTL = 1  # routers do not pass multicast on
PARTICIPANTS = 32  # per host that peers are asked for: more than a station file allows
LEASE_S = 20  # a host that is cut off for less than this is not discovered anew; as ROS 2 has it
ANNOUNCE_S = 0.5  # who joins, or comes back later, is noticed within this
DATAGRAM_BYTES = 1400  # longer messages go in pieces of their own, each repeated by itself when it is lost
GROUP = "239.255.0.1"  # where DDS announces itself
PORT_BASE, PORT_PER_DOMAIN = 7400, 250  # DDSI-RTPS 9.6.2.3: well-known ports
SIOCGIFADDR = 0x8915  # Linux: IPv4 address of an interface


def network_environment(
    station: Station | None, environment: Mapping[str, str], address: str | None = None
) -> dict[str, str]:
    """Variables that keep the nodes to the network of the station file.

    Args:
        station: for section network; None = not known, of this host then.
        environment: of the calling process; a discovery range, profile, server or middleware chosen there stands.
        address: of the host they are for; None = this one, whose address is looked up.

    Raises:
        InputError: an interface or peer that this host does not know, or no such ROS domain.
        StartupError: the profile can't be written.
    """
    if station is None or station.network.discovery == "localhost":
        return loopback_environment(environment)
    network = station.network
    if has_own_choice(environment):
        return {}
    if environment.get("RMW_IMPLEMENTATION", "") not in FAST_DDS:  # what every middleware of ROS 2 knows
        peers = {"ROS_STATIC_PEERS": ";".join(network.peers)} if network.peers else {}
        return {RANGE_VARIABLE: "SUBNET", **peers}
    interface = None if network.interface is None else address or own_address(network.interface)
    addresses, servers = [*map(_address_of, network.peers)], [*map(_server, network.servers)]
    text = profile_text(interface, addresses, servers, ros_domain(environment))
    path = str(_write(text, environment))
    return {RANGE_VARIABLE: RANGE_WITH_PROFILE} | dict.fromkeys(PROFILE_VARIABLES, path)


def profile_text(
    interface: str | None, peers: Sequence[str], servers: Sequence[tuple[str, int]], domain: int = 0
) -> str:
    """The profile as XML: the loopback profile with another network.

    Args:
        interface: own IPv4 address to use alone; None = all.
        peers: IPv4 addresses of hosts to ask; empty = whoever answers to multicast.
        servers: IPv4 address and port of discovery servers; empty = none.
        domain: ROS domain, for the port of the multicast group.
    """
    ElementTree.register_namespace("", XML_NAMESPACE)
    root = ElementTree.parse(profile_path()).getroot()
    transport = _find(root, "transport_descriptor")
    whitelist = _find(transport, "interfaceWhiteList")
    if interface is None:
        transport.remove(whitelist)
    else:
        _find(whitelist, "address").text = interface
    _find(transport, "TTL").text = str(TTL)
    _find(transport, "maxInitialPeersRange").text = str(PARTICIPANTS)
    _add(transport, "maxMessageSize", str(DATAGRAM_BYTES))
    for name in (transport, _find(root, "userTransports")):
        _find(name, "transport_id").text = "v2g_network"
    _find(root, "participant").set("profile_name", "v2g_network")
    builtin, config = _find(root, "builtin"), _find(root, "discovery_config")
    _duration(_find(config, "leaseDuration"), LEASE_S)
    _duration(_find(config, "leaseAnnouncement"), ANNOUNCE_S)
    if servers:
        _add_servers(config, servers)
    elif peers:
        _add_peers(builtin, [*peers, *([interface] if interface else [])], domain)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_peers(builtin: ElementTree.Element, peers: Sequence[str], domain: int) -> None:
    """Who is announced to: the hosts, and by multicast whoever hears it, at least on this host."""
    listed = _add(builtin, "initialPeersList")
    group = _add(_add(listed, "locator"), "udpv4")
    _add(group, "address", GROUP)
    _add(group, "port", str(PORT_BASE + PORT_PER_DOMAIN * domain))
    for peer in dict.fromkeys(peers):
        _add(_add(_add(listed, "locator"), "udpv4"), "address", peer)


def _add_servers(config: ElementTree.Element, servers: Sequence[tuple[str, int]]) -> None:
    """Clients that get the whole graph from the servers, as start-up looks at it."""
    protocol = ElementTree.Element(f"{{{XML_NAMESPACE}}}discoveryProtocol")
    protocol.text = "SUPER_CLIENT"
    config.insert(0, protocol)
    listed = _add(config, "discoveryServersList")
    for number, (address, port) in enumerate(servers):
        # the prefix by which `fastdds discovery -i NUMBER` is known
        server = _add(listed, "RemoteServer")
        server.set("prefix", f"44.53.{number:02x}.5f.45.50.52.4f.53.49.4d.41")
        locator = _add(_add(_add(server, "metatrafficUnicastLocatorList"), "locator"), "udpv4")
        _add(locator, "address", address)
        _add(locator, "port", str(port))


def _find(element: ElementTree.Element, name: str) -> ElementTree.Element:
    found = next(element.iter(f"{{{XML_NAMESPACE}}}{name}"), None)
    if found is None:
        raise StartupError(f"{profile_path()} has no {name}; install again")
    return found


def _add(element: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(element, f"{{{XML_NAMESPACE}}}{name}")
    child.text = text
    return child


def _duration(element: ElementTree.Element, seconds: float) -> None:
    for child in [*element]:
        element.remove(child)
    _add(element, "sec", str(int(seconds)))
    _add(element, "nanosec", str(round(seconds % 1.0 * 1e9)))


def own_address(interface: str) -> str:
    """This host's address that is meant by a name, an address or a network such as 10.0.0.0/24.

    Raises:
        InputError: it has none of the kind.
    """
    own = dict(_own_addresses())
    try:
        wanted = ipaddress.ip_network(interface)
    except ValueError:
        if interface in own:
            return own[interface]
    else:
        for address in own.values():
            if ipaddress.ip_address(address) in wanted:
                return address
    known = ", ".join(f"{name} {address}" for name, address in own.items())
    raise InputError(f"key network.interface: {interface!r}, allowed is one of this host ({known}) or a network "
                     "with one")


def _own_addresses() -> Iterator[tuple[str, str]]:
    """Interfaces that have an IPv4 address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            try:
                answer = fcntl.ioctl(asked, SIOCGIFADDR, request)
            except OSError:  # no IPv4 there
                continue
            yield name, socket.inet_ntoa(answer[20:24])


def _address_of(host: str) -> str:
    try:
        return socket.gethostbyname(host)
    except OSError as error:
        raise InputError(f"section network: {host!r}, allowed is an address or the name of a host that is known here"
                         ) from error


def _server(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return _address_of(host), int(port)


def _write(text: str, environment: Mapping[str, str]) -> Path:
    """The profile in the user's cache, under a name of its content: it stays as long as anybody reads it."""
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".cache")
    path = Path(home) / "v2g_nodes" / f"{NETWORK_PROFILE}{hashlib.sha256(text.encode()).hexdigest()[:12]}.xml"
    part = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}; it is needed for network.discovery, XDG_CACHE_HOME says where"
                           ) from error
    return path
