"""Hosts in namespaces: packets reach them, get lost or are cut off, and nothing is left of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from v2g_nodes.cli.host_network import HostNetwork, addresses, why_not
from v2g_nodes.core.errors import StartupError

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

PACKETS = 400
LISTEN = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5000))
print("ready", flush=True)
heard = 0
while s.recv(100) != b"end":
    heard += 1
print(heard)
"""
SEND = f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range({PACKETS}):
    s.sendto(b"x", ("{addresses(2)[0]}", 5000))
    time.sleep(0.0005)  # all at once would overflow the listener's buffer
"""
END = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", ("127.0.0.1", 5000))'


def heard(network: HostNetwork) -> int:
    """How many of the second host's packets the first one hears."""
    listener = subprocess.Popen([*network.enter(0), sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True)
    assert listener.stdout is not None
    listener.stdout.readline()
    subprocess.run([*network.enter(1), sys.executable, "-c", SEND], check=True)
    subprocess.run([*network.enter(0), sys.executable, "-c", END], check=True)
    return int(listener.communicate(timeout=60.0)[0])


def test_the_network_joins_loses_and_is_cut() -> None:
    with HostNetwork(2) as network:
        assert heard(network) == PACKETS
        network.loss = 0.2
        assert 0.65 * PACKETS < heard(network) < 0.95 * PACKETS  # 80 % within seven standard deviations
        network.loss = 0.0
        network.connected = False
        assert heard(network) == 0
        network.connected = True  # what the sender's interface has kept meanwhile comes first
        assert any(heard(network) == PACKETS for _ in range(20))


def test_nothing_is_left_even_of_one_that_was_killed() -> None:
    command = ("import sys, time; from v2g_nodes.cli.host_network import HostNetwork\n"
               "with HostNetwork(2) as n: print(*[p for p in (n._switch, *n._hosts)], flush=True); time.sleep(60)")
    before = {*Path("/sys/class/net").iterdir()}
    owner = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    holders = [int(word) for word in owner.stdout.readline().split()]
    assert len(holders) == 3
    owner.kill()
    owner.communicate()
    while any(_lives(pid) for pid in holders):  # their input has ended; a test that hangs here has failed
        pass
    assert {*Path("/sys/class/net").iterdir()} == before


def test_who_may_not_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(StartupError, match="network namespaces need root"):
        HostNetwork(2)
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StartupError, match="ip, nft, unshare, nsenter not installed"):
        HostNetwork(2)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
