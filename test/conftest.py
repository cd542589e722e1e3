"""Fixtures that all tests share."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
MARKER_OF_FOLDER = {"nodes": "ros", "system": "system"}

DOMAINS = range(20, 100)  # above 101 the ports of a domain reach into Linux's ephemeral range
PORT_BASE, PORTS_PER_DOMAIN = 7400, 250  # RTPS 2.2, section 9.6.1.1

settings.register_profile("logic", deadline=None)  # no test judges how fast a busy machine is
settings.load_profile("logic")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update`: files that tests make from the code, or compare with it, are written anew."""
    parser.addoption("--update", action="store_true", help="write generated files anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they are in."""
    for item in items:
        marker = MARKER_OF_FOLDER.get(item.path.parent.name)
        if marker is not None:
            item.add_marker(marker)


def pytest_sessionfinish() -> None:
    """Shared memory of nodes that tests killed goes too."""
    from v2g_nodes.bringup_dds import remove_dead_segments

    remove_dead_segments()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded grid data beside the checkout; the test is skipped where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no recorded grid data: ../shared/data is not there")
    return folder


@pytest.fixture
def hangups_are_heard() -> Iterator[None]:
    """SIGHUP does what it does by default, here and in child processes, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS domain that nobody on this machine uses, also set in the environment for rclpy and child processes."""
    with _claimed_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain


@pytest.fixture
def other_ros_domain_id(ros_domain_id: int) -> Iterator[int]:
    """A second one."""
    with _claimed_domain() as domain:
        yield domain


@contextmanager
def _claimed_domain() -> Iterator[int]:
    for domain in _shuffled(DOMAINS):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
            try:
                claim.bind(f"\0v2g_nodes_test_domain_{domain}")  # keeps other test runs away; ends with this process
            except OSError:
                continue
            if _is_silent(domain):
                yield domain
                return
    pytest.fail(f"no free ROS domain in {DOMAINS.start}..{DOMAINS.stop - 1}")


def _shuffled(domains: range) -> list[int]:
    first = os.getpid() % len(domains)
    return [*domains[first:], *domains[:first]]


def _is_silent(domain: int) -> bool:
    base = PORT_BASE + PORTS_PER_DOMAIN * domain
    for port in (base, base + 10, base + 11):  # discovery, first participant's two unicast ports
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
