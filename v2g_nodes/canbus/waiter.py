"""Waiting for frames on several buses at once, until woken."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Sequence

from v2g_nodes.canbus.bus_port import BusPort

POLL_S = 0.005  # where a bus has no file descriptor
ERROR_EVENTS = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Waiter:
    """Sleeps until a frame waits, somebody calls `wake`, or time is up."""

    def __init__(self) -> None:
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch([])

    def watch(self, ports: Sequence[BusPort]) -> None:
        """Wait on these ports from now on; to be called whenever one was opened or closed."""
        open_ports = [port for port in ports if port.is_open]
        self._by_number = {number: port for port in open_ports if (number := port.fileno()) is not None}
        self._blind = [port for port in open_ports if port not in self._by_number.values()]
        self._poll = select.poll()
        for number in (self._wake_read, *self._by_number):
            self._poll.register(number, select.POLLIN)

    def wait(self, timeout_s: float) -> None:
        """Wait; a port whose adapter is gone is marked as failed.

        Args:
            timeout_s: longest wait [s].
        """
        for port in self._blind:
            port.wait(min(timeout_s, POLL_S))
            timeout_s = 0.0
        for number, events in self._poll.poll(timeout_s * 1e3):
            if number == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            elif events & ERROR_EVENTS and not events & select.POLLIN:
                self._by_number[number].fail("adapter gone")

    def wake(self) -> None:
        """End the wait, from any thread."""
        with contextlib.suppress(BlockingIOError):  # full: it will end anyway
            os.write(self._wake_write, b"\0")

    def close(self) -> None:
        """Free the file descriptors."""
        os.close(self._wake_read)
        os.close(self._wake_write)
