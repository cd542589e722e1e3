"""All host processes of one run: started, listened to, and ended whatever happens."""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from v2g_nodes.bringup_launch import security_environment
from v2g_nodes.cli.logs import Logs
from v2g_nodes.cli.processes import Host, Receiver
from v2g_nodes.cli.stop_signals import StopSignals

HOST_COMMAND = (sys.executable, "-m", "v2g_nodes.nodes.host")
STAND_IN_COMMAND = (sys.executable, "-m", "v2g_nodes.sim.can_device")
KILLED_S = 5.0  # longest wait for the kernel to end a killed process


class HostPool:
    """Starts hosts and waits for what they say, in one thread.

    Args:
        logs: told who does not end.
        stop: asks for the end.
        command: program of a host; its name is added.
        environment: of the hosts; None takes this process's own.
        stop_s: time for an orderly end before SIGTERM [s].
        kill_s: from SIGTERM to SIGKILL [s].
    """

    def __init__(
        self, logs: Logs, stop: StopSignals, command: Sequence[str] = HOST_COMMAND,
        environment: Mapping[str, str] | None = None, stop_s: float = 3.0, kill_s: float = 3.0,
    ) -> None:
        self.stop_signals = stop
        self.environment = dict(os.environ if environment is None else environment)
        self._logs, self._command = logs, tuple(command)
        self._stop_s, self._kill_s = stop_s, kill_s
        self._selector = selectors.DefaultSelector()
        self._living: list[Host] = []

    def start(self, name: str, nice: int, receiver: Receiver, command: Sequence[str] = ()) -> Host:
        """Start a host, or another program that speaks its protocol."""
        environment = {**self.environment, **security_environment(name, self.environment)}
        host = Host(name, command or self._command, environment, nice, self._selector, receiver)
        self._living.append(host)
        return host

    def pump(self, seconds: float) -> None:
        """Pass on what hosts say; waits up to `seconds` for it."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def pump_until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Pass on what hosts say until `done` or the time is over.

        Returns:
            Whether it is done.

        Raises:
            KeyboardInterrupt: an end at once was asked for.
        """
        until_s = time.monotonic() + seconds
        while not done():
            if self.stop_signals.urgent:
                raise KeyboardInterrupt
            if time.monotonic() > until_s:
                return False
            self.pump(0.02)
        return True

    def end(self, stages: Sequence[Sequence[Host]]) -> None:
        """End everything: stage by stage, then whoever else is there; SIGTERM and SIGKILL for those who don't.

        Args:
            stages: who is to end before whom.

        Raises:
            KeyboardInterrupt: an end at once was asked for.
        """
        named = [host for stage in stages for host in stage]
        for stage in (*stages, [host for host in self._living if host not in named]):
            self._tell_stop([host for host in stage if not host.poll()])
        for seconds, number in ((self._stop_s, signal.SIGTERM), (self._kill_s, signal.SIGKILL)):
            if not self.pump_until(self._all_ended, seconds):
                self._signal(self._living, number)
        self.pump_until(self._all_ended, KILLED_S)

    def _tell_stop(self, hosts: Sequence[Host]) -> None:
        for host in hosts:
            host.kill(signal.SIGCONT)  # one that was stopped can leave as the others do
            if host.warm:
                host.send("stop")
            else:  # it has nothing to leave safe and does not listen yet
                host.kill(signal.SIGTERM)
        silent = [*hosts]

        def done() -> bool:
            silent[:] = [host for host in silent if "stopped" not in host.said and not host.poll()]
            return not silent

        if not self.pump_until(done, self._stop_s):
            self._signal(silent, signal.SIGTERM)

    def _signal(self, hosts: Sequence[Host], number: signal.Signals) -> None:
        for host in hosts:
            if not host.poll():
                self._logs.say(f"{host.name} does not end, sending {number.name}", "yellow")
                host.kill(number)

    def _all_ended(self) -> bool:
        self._living = [host for host in self._living if not host.poll()]
        return not self._living

    def close(self) -> None:
        """Kill whatever still lives."""
        for host in self._living:
            host.kill(signal.SIGKILL)
        until_s = time.monotonic() + KILLED_S
        while not self._all_ended() and time.monotonic() < until_s:
            self.pump(0.01)
        self._selector.close()
