"""What `v2g doctor` looks at below the frames: the CAN interface of the kernel, its bit rates, and how to set them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from v2g_nodes.canbus.settings import MULTICAST, CanSettings
from v2g_nodes.cli.finding import NOTE, OK, WRONG, Finding

SOCKETCAN = "socketcan"
FD_MTU = 72  # linux/can.h CANFD_MTU; 16 is classic CAN
RESTART_MS = 100  # the controller comes back from bus-off by itself after this
QUEUE_FRAMES = 128  # waiting in the kernel; with the usual 10 bursts find it full
IP_LIMIT_S = 5.0

Look = Callable[[str], Mapping[str, Any] | None]


def interface_findings(settings: CanSettings, look: Look | None = None) -> list[Finding]:
    """Bit rates as configured, and what the kernel says of the interfaces.

    Args:
        settings: of the bus.
        look: gives what `ip` says of an interface, None where there is none; default asks it.
    """
    rates = f"{settings.bitrate / 1e6:g} Mbit/s arbitration, {settings.data_bitrate / 1e6:g} Mbit/s data"
    if settings.interface == MULTICAST:
        where = f"UDP group {' and '.join(settings.channels)}, port {settings.port}, on this machine only"
        return [Finding("bit rate", OK, f"{rates} (for the load only: {where})")]
    found = [Finding("bit rate", OK, f"{rates} (configured), {settings.interface} {' and '.join(settings.channels)}")]
    if settings.interface != SOCKETCAN:
        return found
    for channel in settings.channels:
        try:
            shown = (look or look_at)(channel)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            found.append(Finding(channel, NOTE, f"`ip` does not tell: {error}", "install iproute2"))
            continue
        found += _findings(channel, shown, settings)
    return found


def look_at(channel: str) -> Mapping[str, Any] | None:
    """What `ip -details` says of an interface; None where there is none.

    Raises:
        OSError: no `ip`.
        subprocess.SubprocessError: it hangs.
        ValueError: it says something else.
    """
    run = subprocess.run(["ip", "-details", "-json", "link", "show", "dev", channel], capture_output=True, text=True,
                         check=False, timeout=IP_LIMIT_S)
    if run.returncode != 0:
        return None
    shown = json.loads(run.stdout)
    if not shown or not isinstance(shown[0], dict):
        raise ValueError(f"{run.stdout[:80]!r}")
    return shown[0]


def lines_to_paste(channel: str, settings: CanSettings) -> str:
    """Shell commands that bring the interface up as configured."""
    if channel.startswith("vcan"):
        return f"sudo ip link add dev {channel} type vcan; sudo ip link set {channel} up mtu {FD_MTU}"
    return (f"sudo ip link set {channel} down; sudo ip link set {channel} up txqueuelen {QUEUE_FRAMES} type can "
            f"bitrate {settings.bitrate} dbitrate {settings.data_bitrate} fd on restart-ms {RESTART_MS}")


def _findings(channel: str, shown: Mapping[str, Any] | None, settings: CanSettings) -> list[Finding]:
    paste = lines_to_paste(channel, settings)
    if shown is None:
        return [Finding(channel, WRONG, "there is no such interface", f"plug the adapter in (dmesg), then: {paste}")]
    info = shown.get("linkinfo", {})
    kind, data = info.get("info_kind"), info.get("info_data", {})
    if kind not in ("can", "vcan"):
        return [Finding(channel, WRONG, f"is no CAN interface but {kind or 'another kind'}", "look at can.channel")]
    if "UP" not in shown.get("flags", ()):
        return [Finding(channel, WRONG, "is down", paste)]
    if shown.get("mtu") != FD_MTU:
        return [Finding(channel, WRONG, f"carries no CAN-FD (mtu {shown.get('mtu')}, {FD_MTU} needed)", paste)]
    if kind == "vcan":
        return [Finding(channel, OK, "virtual, up")]
    return _of_controller(channel, data, settings, paste)


def _of_controller(channel: str, data: Mapping[str, Any], settings: CanSettings, paste: str) -> list[Finding]:
    """Bit rates and state of a real controller."""
    found = []
    for what, section, wanted in (("arbitration", "bittiming", settings.bitrate),
                                  ("data", "data_bittiming", settings.data_bitrate)):
        rate = data.get(section, {}).get("bitrate")
        if rate != wanted:
            found.append(Finding(channel, WRONG, f"{what} at {rate} bit/s, the station file says {wanted}", paste))
    state, counters = str(data.get("state", "unknown")), data.get("berr_counter", {})
    text = f"{state.lower()}, errors tx {counters.get('tx', '?')} rx {counters.get('rx', '?')}"
    cable = "look at cable, termination (2 x 120 Ω) and bit rates of all nodes"
    if state in ("BUS-OFF", "STOPPED"):
        found.append(Finding(channel, WRONG, text, f"{cable}, then: {paste}"))
    elif state in ("ERROR-PASSIVE", "ERROR-WARNING"):
        found.append(Finding(channel, WRONG, text, cable))
    if not data.get("restart_ms"):
        found.append(Finding(channel, NOTE, "stays off after a bus-off (restart-ms 0)", paste))
    return found or [Finding(channel, OK, f"up, bit rates as configured, {text}")]
