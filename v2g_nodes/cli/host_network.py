"""Hosts on one network, played on this machine: namespaces joined by a bridge that can be cut or lose packets.

Nothing has a name outside: bridge and hosts live in namespaces that end with the processes in them, so nothing is left
however this one ends, and the machine's own network is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from v2g_nodes.core.errors import StartupError

TOOLS = ("ip", "nft", "unshare", "nsenter")
NETWORK = "10.77.0.0/24"
READY = "ready"
HOLD = f"echo {READY}; exec cat"  # ends when its input does, that is with this process, even if that is killed
LOSS_MAX = 0.9


def addresses(hosts: int) -> list[str]:
    """Addresses of the hosts on the network."""
    return [f"10.77.0.{number}" for number in range(1, hosts + 1)]


def why_not() -> str:
    """Why namespaces can't be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(missing)} not installed (packages iproute2, nftables, util-linux)" if missing else ""


class HostNetwork:
    """A context manager. A host's commands run behind `enter(number)`.

    Args:
        hosts: how many.

    Raises:
        StartupError: not root, a tool is missing, or the kernel refuses.
    """

    def __init__(self, hosts: int) -> None:
        reason = why_not()
        if reason:
            raise StartupError(reason)
        self._count = hosts
        self._connected, self._loss = True, 0.0
        self._stack = ExitStack()
        self._switch: int = 0  # processes that hold the namespaces
        self._hosts: list[int] = []

    def __enter__(self) -> HostNetwork:
        with ExitStack() as stack:
            self._switch, *self._hosts = [self._namespace(stack) for _ in range(1 + self._count)]
            self._in(self._switch, "ip link add net type bridge forward_delay 0 stp_state 0")
            self._in(self._switch, "ip link set net up")
            for number, (pid, address) in enumerate(zip(self._hosts, addresses(self._count), strict=True)):
                self._in(self._switch, f"ip link add port{number} type veth peer name eth0 netns {pid}")
                self._in(self._switch, f"ip link set port{number} master net up")
                self._in(pid, "ip link set lo up")
                self._in(pid, f"ip address add {address}/{NETWORK.partition('/')[2]} dev eth0")
                self._in(pid, "ip link set eth0 up")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def enter(self, number: int) -> tuple[str, ...]:
        """Words before a command that is to run on a host, 0 and up."""
        return _enter(self._hosts[number])

    @property
    def connected(self) -> bool:
        """Whether the last host hears the others."""
        return self._connected

    @connected.setter
    def connected(self, value: bool) -> None:
        """Cut or join."""
        self._in(self._switch, f"ip link set port{self._count - 1} {'up' if value else 'down'}")
        self._connected = value

    @property
    def loss(self) -> float:
        """Share of the packets between hosts that is lost, each on its own; 0 to 0.9."""
        return self._loss

    @loss.setter
    def loss(self, value: float) -> None:
        """From now on."""
        self._in(self._switch, "nft flush ruleset")
        if value > 0.0:
            share = round(1000 * min(value, LOSS_MAX))
            self._in(self._switch, "nft add table bridge lossy")
            self._in(self._switch, "nft add chain bridge lossy way { type filter hook forward priority 0 ; }")
            self._in(self._switch, f"nft add rule bridge lossy way numgen random mod 1000 < {share} counter drop")
        self._loss = value

    def _namespace(self, stack: ExitStack) -> int:
        """A network namespace; the process that holds it."""
        holder = subprocess.Popen(["unshare", "--net", "sh", "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, start_new_session=True)
        stack.callback(holder.communicate)  # closes its input and waits for it
        if holder.stdout is None or holder.stdout.readline().strip() != READY:
            raise StartupError("a network namespace could not be made: the kernel refuses")
        return holder.pid

    def _in(self, pid: int, command: str) -> None:
        words: Sequence[str] = (*_enter(pid), *command.split())
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StartupError(f"{command}: {' '.join(done.stderr.split()) or done.returncode}")


def _enter(pid: int) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
