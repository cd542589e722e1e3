"""Which network the nodes use: UDP on this host's loopback, checked, unless the user has chosen otherwise.

Knows no rclpy, so the supervisor, launch files and node processes share it. Why this profile, and what it was measured
against: docs/decisions/0002-executor-and-transport.md.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from v2g_nodes.core.errors import InputError, StartupError
from v2g_nodes.station_config import config_path

PROFILE_FILE = "fastdds_localhost.xml"
NETWORK_PROFILE = "fastdds_network_"  # begin of the names of profiles for several hosts (bringup_network.py)
# Fast DDS 2 reads the first, Fast DDS 3 the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
RANGE_VARIABLE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
# With LOCALHOST rclpy's middleware opens its own transports beside those of the profile; this value leaves it alone.
RANGE_WITH_PROFILE = "SYSTEM_DEFAULT"
DOMAINS = (0, 232)  # beyond them the ports end
FAST_DDS = {"", "rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp"}

SHARED_MEMORY = Path("/dev/shm")  # where Fast DDS keeps its segments
_LOCK_SUFFIX = "_el"  # Fast DDS holds a lock on this file of a segment while its owner lives


def profile_path() -> Path:
    """The profile.

    Raises:
        StartupError: the file is missing.
    """
    return config_path(PROFILE_FILE)


def ros_domain(environment: Mapping[str, str]) -> int:
    """The ROS domain of these variables.

    Raises:
        InputError: not a number of a domain.
    """
    text = environment.get("ROS_DOMAIN_ID") or "0"
    if not (text.isdecimal() and DOMAINS[0] <= int(text) <= DOMAINS[1]):
        raise InputError(f"ROS_DOMAIN_ID is {text!r}, allowed {DOMAINS[0]} to {DOMAINS[1]}")
    return int(text)


def loopback_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep the node processes on loopback.

    Args:
        environment: variables of the calling process.

    Returns:
        What to add; empty when the user has chosen another range, profile or middleware, which then stands.
    """
    if has_own_choice(environment) or environment.get("RMW_IMPLEMENTATION", "") not in FAST_DDS:
        return {}
    path = str(profile_path())
    return {RANGE_VARIABLE: RANGE_WITH_PROFILE} | dict.fromkeys(PROFILE_VARIABLES, path)


def has_own_choice(environment: Mapping[str, str]) -> bool:
    """Whether the user has chosen a discovery range, a profile or a discovery server."""
    if environment.get(RANGE_VARIABLE, "LOCALHOST") not in {"", "LOCALHOST"}:
        return True
    return any(environment.get(name) for name in (*PROFILE_VARIABLES, "ROS_DISCOVERY_SERVER"))


def uses_our_profile(environment: Mapping[str, str]) -> bool:
    """Whether these variables are those of `loopback_environment`, or of several hosts: nothing in shared memory."""
    return bool(_our_profile(environment))


def _our_profile(environment: Mapping[str, str]) -> str:
    if environment.get(RANGE_VARIABLE) != RANGE_WITH_PROFILE:
        return ""
    paths = [environment.get(name, "") for name in PROFILE_VARIABLES]
    return next((path for path in paths if Path(path).name.startswith((PROFILE_FILE, NETWORK_PROFILE))), "")


def check_loopback(environment: Mapping[str, str] | None = None) -> None:
    """Verify that our profile is in force in this process, if it names interfaces; call it when the first node exists.

    Fast DDS prints an error and takes the open network when it can't read its profile, so the sockets are looked at.

    Args:
        environment: variables of this process, by default the real ones.

    Raises:
        StartupError: the variables ask for our profile but a socket is open beyond its interfaces.
    """
    path = _our_profile(os.environ if environment is None else environment)
    allowed = allowed_addresses(Path(path)) if path else ()
    foreign = foreign_sockets(allowed)
    if allowed and foreign:
        raise StartupError(
            f"Fast DDS opened {', '.join(foreign)}, but only {', '.join(allowed)} is allowed: it could not use {path}"
        )


def allowed_addresses(profile: Path) -> tuple[str, ...]:
    """Addresses of the interfaces that a profile of ours names; empty = all interfaces.

    Raises:
        StartupError: it can't be read.
    """
    try:
        text = profile.read_text(encoding="utf-8")
    except OSError as error:
        raise StartupError(f"{profile}: {error.strerror}") from error
    listed = text.partition("<interfaceWhiteList>")[2].partition("</interfaceWhiteList>")[0]
    return tuple(re.findall(r"<address>(.*?)</address>", listed))


def foreign_sockets(allowed: Sequence[str] = ()) -> tuple[str, ...]:
    """`address:port` of this process's UDP sockets that are bound neither to loopback nor to a multicast group.

    Args:
        allowed: further addresses that are no matter.

    Multicast groups may be joined on loopback only; whether one is joined elsewhere does not show here, but a
    transport that does so also opens a socket on another address.
    """
    mine = _own_socket_inodes()
    found = set()
    for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        local, inode = fields[1], fields[9]
        address, port = _address(local)
        first = int(address.partition(".")[0])
        if inode in mine and first != 127 and not 224 <= first <= 239 and address not in allowed:
            found.add(f"{address}:{port}")
    return tuple(sorted(found))


def remove_dead_segments(folder: Path = SHARED_MEMORY) -> int:
    """Remove Fast DDS segments whose owner is gone, as a killed process leaves them under plain LOCALHOST.

    Args:
        folder: where they are.

    Returns:
        Number of segments removed. A segment whose owner still holds its lock, or that is not ours, is left alone.
    """
    return sum(_remove_if_dead(lock) for lock in _lock_files(folder))


def dead_segments(folder: Path = SHARED_MEMORY) -> tuple[Path, ...]:
    """Fast DDS segments whose owner is gone, as far as they are ours to look at; nothing is changed.

    Args:
        folder: where they are.
    """
    return tuple(lock.with_name(lock.name.removesuffix(_LOCK_SUFFIX)) for lock in _lock_files(folder) if _is_dead(lock))


def _is_dead(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # in use, another user's, or just removed
        return False
    return True


def _lock_files(folder: Path) -> Iterable[Path]:
    return sorted(folder.glob(f"fastrtps_*{_LOCK_SUFFIX}"))


def _remove_if_dead(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            segment = lock.with_name(lock.name.removesuffix(_LOCK_SUFFIX))
            for path in (segment, lock.with_name(f"sem.{segment.name}_mutex"), lock):
                path.unlink(missing_ok=True)
    except (BlockingIOError, PermissionError, FileNotFoundError):  # in use, another user's, or just removed
        return False
    return True


def _own_socket_inodes() -> set[str]:
    inodes = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:  # closed since it was listed
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    return inodes


def _address(text: str) -> tuple[str, int]:
    """Address and port from /proc/net/udp: hexadecimal, the address in the machine's byte order (little-endian)."""
    address, _, port = text.partition(":")
    return socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)
