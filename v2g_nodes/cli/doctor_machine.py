"""What `v2g doctor` looks at without a bus: ROS 2, its network, and what this machine permits."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from v2g_nodes.bringup_dds import (
    FAST_DDS,
    RANGE_VARIABLE,
    SHARED_MEMORY,
    dead_segments,
    loopback_environment,
    uses_our_profile,
)
from v2g_nodes.cli.finding import NOTE, OK, WRONG, Finding
from v2g_nodes.core.errors import StartupError

DOMAINS = (0, 101)  # above, the ports of a domain reach into Linux's ephemeral range
DISTRO = "jazzy"
CORES_MIN = 2  # below, droop and optimizers of even one module disturb each other
CAP_SYS_NICE = 23  # Linux, capabilities(7)


def machine_findings(environment: Mapping[str, str] | None = None) -> list[Finding]:
    """All of them.

    Args:
        environment: variables as the user has set them; default the real ones.
    """
    variables = os.environ if environment is None else environment
    return [ros_version(variables), *messages(), domain(variables), reach(variables), middleware(variables),
            real_time(_may_claim_real_time()), cores(len(os.sched_getaffinity(0)), os.getloadavg()[0]),
            segments(len(dead_segments()), SHARED_MEMORY)]  # fmt: skip


def ros_version(environment: Mapping[str, str]) -> Finding:
    """Which ROS 2 is used."""
    spec = importlib.util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        return Finding("ROS 2", WRONG, "rclpy is not there", "call ./v2g, which installs it, or source ROS 2 Jazzy")
    distro, folder = environment.get("ROS_DISTRO", ""), Path(spec.origin).parent
    if folder.is_relative_to(sys.prefix) and not distro:
        return Finding("ROS 2", OK, f"Jazzy from PyPI wheels, rclpy {_version('ros-jazzy-rclpy')}, in {sys.prefix}")
    if distro and distro != DISTRO:
        return Finding("ROS 2", WRONG, f"{distro} is sourced, rclpy in {folder}",
                       "source Jazzy, or none: ./v2g then brings its own")
    return Finding("ROS 2", OK, f"{distro or 'version unknown'}, rclpy in {folder}")


def messages() -> list[Finding]:
    """Whether our messages are built."""
    if importlib.util.find_spec("v2g_nodes.msg") is not None:
        return []
    return [Finding("messages", WRONG, "v2g_nodes.msg is not built", "call ./v2g, or colcon build and source it")]


def domain(environment: Mapping[str, str]) -> Finding:
    """Which ROS domain."""
    text = environment.get("ROS_DOMAIN_ID", "")
    allowed = f"{DOMAINS[0]} to {DOMAINS[1]}"
    if text and not (text.isdecimal() and DOMAINS[0] <= int(text) <= DOMAINS[1]):
        return Finding("domain", WRONG, f"ROS_DOMAIN_ID is {text!r}", f"allowed {allowed}")
    return Finding("domain", OK, f"ROS_DOMAIN_ID {text or '0 (not set)'}; who shares it shares the station")


def reach(environment: Mapping[str, str]) -> Finding:
    """Who can hear the nodes."""
    if environment.get("ROS_LOCALHOST_ONLY", "0") not in {"", "0"}:
        return Finding("discovery", NOTE, "ROS_LOCALHOST_ONLY is set; Jazzy lets it overrule the discovery range",
                       f"unset it and use {RANGE_VARIABLE}")
    try:
        ours = uses_our_profile({**environment, **loopback_environment(environment)})
    except StartupError as error:
        return Finding("discovery", WRONG, str(error), "install the package again")
    if ours:
        return Finding("discovery", OK, "this host only (UDP on 127.0.0.1, our Fast DDS profile)")
    chosen = environment.get(RANGE_VARIABLE) or "not set"
    return Finding("discovery", NOTE, f"your own choice: {RANGE_VARIABLE} {chosen} or a profile of yours",
                   "the nodes are heard as far as it reaches")


def middleware(environment: Mapping[str, str]) -> Finding:
    """Which DDS."""
    chosen = environment.get("RMW_IMPLEMENTATION", "")
    if chosen in FAST_DDS:
        return Finding("middleware", OK, chosen or "rmw_fastrtps_cpp (default)")
    return Finding("middleware", NOTE, f"RMW_IMPLEMENTATION is {chosen}", "measured and tested is rmw_fastrtps_cpp")


def real_time(permitted: bool) -> Finding:
    """Whether droop may run in the real-time class."""
    if permitted:
        return Finding("real time", OK, "SCHED_FIFO is permitted")
    return Finding("real time", NOTE, "SCHED_FIFO is not permitted: droop runs at normal priority and jitters more",
                   "add '<user> - rtprio 10' to /etc/security/limits.d/v2g.conf and log in again")


def cores(count: int, load: float) -> Finding:
    """Whether there is room.

    Args:
        count: cores this process may use.
        load: tasks that want to run, mean of the last minute.
    """
    text = f"{count} cores, load {load:.1f}"
    if count < CORES_MIN:
        return Finding("cores", NOTE, text, f"{CORES_MIN} or more keep droop and optimizers out of each other's way")
    if load > count:
        return Finding("cores", NOTE, text, "others keep this machine busy: times will be worse than they need be")
    return Finding("cores", OK, text)


def segments(dead: int, folder: Path) -> Finding:
    """What killed processes have left in shared memory."""
    if dead:
        return Finding("shared memory", NOTE, f"{dead} Fast DDS segments of dead processes in {folder}",
                       "the next ./v2g up clears them, or: fastdds shm clean")
    return Finding("shared memory", OK, "nothing left behind by dead processes")


def findings_of_modules(expected: Sequence[int], seen: Mapping[int, str]) -> list[Finding]:
    """Module nodes in this ROS domain.

    Args:
        expected: ids of the station file; empty = not known.
        seen: mode in a word, by id.
    """
    if not seen:
        return [Finding("ROS graph", NOTE, "no module nodes in this domain", "v2g up starts a station")]
    modes: dict[str, list[int]] = {}
    for k in sorted(seen):
        modes.setdefault(seen[k], []).append(k)
    text = "; ".join(f"{mode}: {', '.join(map(str, ids))}" for mode, ids in modes.items())
    found = [Finding("ROS graph", OK, f"{len(seen)} module nodes, {text}")]
    missing = sorted(set(expected) - set(seen))
    if missing:
        found.append(Finding("ROS graph", WRONG, f"no node of module {', '.join(map(str, missing))}",
                             "it is in the station file: look at the station's log"))
    return found


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _may_claim_real_time() -> bool:
    import resource

    if resource.getrlimit(resource.RLIMIT_RTPRIO)[0] != 0:
        return True
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_NICE & 1)
    return False
