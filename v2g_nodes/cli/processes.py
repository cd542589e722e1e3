"""One host process: started, spoken to over its pipes, ended.

Commands go to its standard input and events come from its standard output as one JSON object per line; whatever
else it writes is log text. Single-threaded: a selector says when to read, `poll` says when it has ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

Event = Mapping[str, Any]

LINE_BYTES_MAX = 1 << 22  # a summary of a long run is the longest line there is; more without an end is no line
LEFT_OPEN_S = 1.0  # a host whose standard output has ended is dead or of no use
PR_SET_PDEATHSIG = 1  # Linux, prctl(2)

_libc = ctypes.CDLL(None, use_errno=True)


class Receiver(Protocol):
    """Who hears what a host says."""

    def event(self, host: Host, event: Event) -> None:
        """A line of the host protocol."""

    def text(self, host: Host, text: str) -> None:
        """A line of log text."""


class Host:
    """A running host process.

    Args:
        name: process name of its role, or of the spare.
        command: program and arguments; the name is added.
        environment: of the process.
        nice: added niceness.
        selector: told which pipes to watch; its data are callables without arguments.
        receiver: hears events and log text.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], nice: int,
        selector: selectors.BaseSelector, receiver: Receiver,
    ) -> None:
        self.name = name
        self.said: dict[str, Event] = {}  # the last event of each kind
        self.exit_code: int | None = None
        self.warm_since_s = float("inf")  # steady time
        self._selector, self._receiver = selector, receiver
        parent = os.getpid()
        self._process = subprocess.Popen(
            [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
            env=dict(environment), start_new_session=True,  # a Ctrl-C at the terminal is the supervisor's alone
            preexec_fn=lambda: _before_exec(nice, parent))  # noqa: PLW1509 - two system calls, they take no lock
        self.pid = self._process.pid
        self._outgoing = bytearray()
        self._stdin = self._fd(self._process.stdin)
        self._readers = {fd: _Lines(take) for fd, take in (
            (self._fd(self._process.stdout), self._from_stdout), (self._fd(self._process.stderr), self._to_log))}
        self._eof_s = float("inf")
        for fd in self._readers:
            selector.register(fd, selectors.EVENT_READ, self._reading(fd))

    def send(self, command: str, **fields: object) -> None:
        """Write one command; what the pipe can't take now follows when it can."""
        self._outgoing += json.dumps({"cmd": command, **fields}).encode() + b"\n"
        self._flush()

    def set_nice(self, nice: int) -> bool:
        """Change the niceness of all its threads; False when that is not permitted."""
        try:
            os.setpriority(os.PRIO_PGRP, self.pid, nice)
        except (PermissionError, ProcessLookupError):
            return False
        return True

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the process and what it has started, if it still runs."""
        if self.exit_code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def poll(self) -> bool:
        """Whether it has ended. Its last words are read first."""
        if self.exit_code is not None:
            return True
        if self._process.poll() is None:
            if time.monotonic() - self._eof_s > LEFT_OPEN_S:
                self.kill(signal.SIGKILL)
            return False
        for fd in [*self._readers]:
            self._read(fd)
        self.exit_code = self._process.returncode
        self._close()
        return True

    @property
    def closing(self) -> bool:
        """Whether its output has ended, so that its end is near."""
        return self._eof_s < float("inf")

    @property
    def warm(self) -> bool:
        """Whether it has imported everything and joined the graph."""
        return "warm" in self.said

    @property
    def ready(self) -> bool:
        """Whether it runs its role."""
        return "ready" in self.said

    @property
    def was_killed(self) -> bool:
        """Whether a signal has ended it."""
        return self.exit_code is not None and self.exit_code < 0

    @property
    def end_text(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        if code is None:
            return "still running"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

    def _fd(self, pipe: Any) -> int:  # noqa: ANN401 - typeshed leaves Popen's pipes as IO or None
        number: int = pipe.fileno()
        os.set_blocking(number, False)
        return number

    def _reading(self, fd: int) -> Callable[[], None]:
        return lambda: self._read(fd)

    def _read(self, fd: int) -> None:
        lines = self._readers.get(fd)
        if lines is None:
            return
        while True:
            try:
                data = os.read(fd, 1 << 16)
            except BlockingIOError:
                return
            lines.feed(data)
            if not data:
                self._selector.unregister(fd)
                del self._readers[fd]
                self._eof_s = min(self._eof_s, time.monotonic())
                return

    def _from_stdout(self, line: str) -> None:
        event: object = None
        if line.startswith("{"):
            with suppress(ValueError):
                event = json.loads(line)
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            self._to_log(line)
            return
        self.said[event["event"]] = event
        if event["event"] == "warm":
            self.warm_since_s = time.monotonic()
        self._receiver.event(self, event)

    def _to_log(self, line: str) -> None:
        self._receiver.text(self, line)

    def _flush(self) -> None:
        try:
            while self._outgoing:
                sent = os.write(self._stdin, self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            if self._stdin not in self._selector.get_map():
                self._selector.register(self._stdin, selectors.EVENT_WRITE, self._flush)
            return
        except OSError:  # it is dead, which poll() will tell; or closed already
            self._outgoing.clear()
        with suppress(KeyError, ValueError):
            self._selector.unregister(self._stdin)

    def _close(self) -> None:
        for fd in [*self._readers, self._stdin]:
            with suppress(KeyError, ValueError):
                self._selector.unregister(fd)
        self._readers.clear()
        self._outgoing.clear()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


class _Lines:
    """Bytes in, whole lines out."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Pass on every line that is complete; empty data is the end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) > LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text:
                self._take(text)


def may_lower_nice() -> bool:
    """Whether this process may take back a niceness it has given (CAP_SYS_NICE, or RLIMIT_NICE up to 0)."""
    import resource

    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20:
        return True
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no Path needed for a proc file
            line = next(line for line in status if line.startswith("CapEff"))
    except (OSError, StopIteration):
        return False
    return bool(int(line.split()[1], 16) >> 23 & 1)


def _before_exec(nice: int, parent: int) -> None:
    """In the child: end with the parent even where the end of standard input goes unseen.

    By SIGKILL: a stopped process would get no other signal. Hardware times out and ramps to zero by itself.
    """
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    if nice:
        os.nice(nice)
