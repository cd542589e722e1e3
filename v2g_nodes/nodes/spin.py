"""One ROS process: context, executor, signals, wake-ups from other threads, and a way out that always ends.

The order of the exit was measured against the ways a process can hang there, see
docs/decisions/0002-executor-and-transport.md. A process may exist before its nodes do (warm spare).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, ShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from v2g_nodes.nodes.executor import make_executor

EXIT_LIMIT_S = 3  # Fast DDS 2.14 sometimes deadlocks while it shuts down; the alarm then ends the process
WAKE_LIMIT_S = 0.5  # longest sleep; signals and other threads wake it sooner
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STDIN = 0


class RosProcess:
    """Context, executor and end of one process. Use it in the main thread.

    Typical use: `process = RosProcess(); process.add(node); sys.exit(process.run())`.

    Args:
        arguments: ROS arguments (remaps, parameters); none by default.
        domain_id: DDS domain; None takes ROS_DOMAIN_ID.
    """

    def __init__(self, arguments: Sequence[str] = (), domain_id: int | None = None) -> None:
        self.nap_s = 0.0  # after each turn [s]: what may wait is cheaper to do together
        self.stop_reason: str | None = None
        self.exit_code = 0
        self._nodes: list[Node] = []
        self._farewells: list[Callable[[], None]] = []
        self._pending: deque[Callable[[], object]] = deque()
        self._line: Callable[[str], None] | None = None
        self.context = Context()
        # rclpy's own handlers would invalidate the context before the last safe message is out. Its global context is
        # not used, so that they are never installed.
        rclpy.init(
            args=list(arguments),
            context=self.context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.executor = make_executor(self.context)
        self._signal_in, self._signal_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._install_signals()
        threading.Thread(target=self._watch, args=(self._signal_in,), name="signals", daemon=True).start()

    def add(self, node: Node) -> None:
        """Let the executor serve a node made with this process's `context`; destroyed at the end, last one first."""
        self._nodes.append(node)
        self.executor.add_node(node)

    def remove(self, node: Node) -> None:
        """Stop serving a node and destroy it."""
        self._nodes.remove(node)
        self._destroy(node)

    def run_soon(self, callback: Callable[[], object]) -> None:
        """Run `callback` in the executor's thread at its next turn; from any thread. Its exceptions end the process.

        Callbacks keep their order, which rclpy's own tasks do not.
        """
        self._pending.append(callback)
        self.executor.create_task(self._run_pending)

    def on_stop(self, farewell: Callable[[], None]) -> None:
        """Have `farewell` called once when the process ends, while nodes still publish; last one first."""
        self._farewells.append(farewell)

    def watch_stdin(self, on_line: Callable[[str], None]) -> None:
        """Pass every line of standard input to `on_line` in the executor's thread; its end stops the process."""
        self._line = on_line
        threading.Thread(target=self._read_lines, name="stdin", daemon=True).start()

    def stop(self, reason: str, exit_code: int = 0) -> None:
        """End `run` soon; from any thread. The first reason counts."""
        if self.stop_reason is None:
            self.stop_reason, self.exit_code = reason, exit_code
        self.executor.wake()

    def run(self) -> int:
        """Serve until stopped, then leave in order.

        Returns:
            Exit code.

        Raises:
            Exception: whatever a callback raised, after the process has left in order.
        """
        try:
            while self.stop_reason is None:
                self.executor.spin_once(timeout_sec=WAKE_LIMIT_S)
                if self.nap_s > 0.0:
                    time.sleep(self.nap_s)
        except (ExternalShutdownException, ShutdownException):
            self.stop("the ROS context was shut down")
        except BaseException as error:
            self.stop(f"{type(error).__name__}: {error}", exit_code=1)
            raise
        finally:
            self.close()
        return self.exit_code

    def close(self) -> None:
        """Say farewell and shut down; safe to call twice. From here on the process lives EXIT_LIMIT_S at the most."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(EXIT_LIMIT_S)
        failures = [failure for farewell in _take_reversed(self._farewells) if (failure := _attempt(farewell))]
        for node in _take_reversed(self._nodes):
            self._destroy(node)
        self.executor.shutdown(timeout_sec=1.0)
        self.context.try_shutdown()
        if failures:
            raise failures[0]

    def _destroy(self, node: Node) -> None:
        self.executor.remove_node(node)
        node.destroy_node()
        # rclpy leaves the state machine of a managed node to the garbage collector, and with it the DDS participant:
        # the others would not be told that this process leaves, and `leave` would stop its threads in mid-air.
        state_machine = getattr(node, "_state_machine", None)
        if state_machine is not None and hasattr(state_machine, "destroy_when_not_in_use"):
            state_machine.destroy_when_not_in_use()

    def _run_pending(self) -> None:
        while self._pending:
            self._pending.popleft()()

    def _install_signals(self) -> None:
        # Python runs a handler only when the main thread is back from its wait; the byte that the interpreter writes
        # here at once makes the watching thread end that wait.
        signal.set_wakeup_fd(self._signal_out, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.stop_reason is not None:
            os._exit(128 + number)  # asked twice: no more waiting
        self.stop(signal.Signals(number).name)

    def _watch(self, signal_in: int) -> None:
        while True:
            select.select([signal_in], [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(signal_in, 512)
            self.executor.wake()

    def _read_lines(self) -> None:
        # The descriptor is read directly: a thread inside sys.stdin would hold its lock while the interpreter ends.
        rest = b""
        while chunk := os.read(STDIN, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._deliver(line)
        if rest:
            self._deliver(rest)
        self.run_soon(lambda: self.stop("standard input was closed"))

    def _deliver(self, line: bytes) -> None:
        handler = self._line
        if handler is not None:
            self.run_soon(lambda: handler(line.decode("utf-8", "replace")))


def spin(nodes: Iterable[Callable[[Context], Node]], on_stop: Callable[[], None] | None = None) -> int:
    """Make nodes in a fresh process and serve them to the end.

    Args:
        nodes: each makes one node in the context it is given.
        on_stop: called once while nodes still publish.

    Returns:
        Exit code.
    """
    process = RosProcess()
    if on_stop is not None:
        process.on_stop(on_stop)
    for make in nodes:
        process.add(make(process.context))
    return process.run()


def leave(exit_code: int) -> None:
    """End the process without the interpreter's clean-up, in which Fast DDS may deadlock; what was printed is kept."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)


def _take_reversed(items: list[Any]) -> list[Any]:
    taken = items[::-1]
    items.clear()
    return taken


def _attempt(action: Callable[[], None]) -> Exception | None:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - the others must still be asked; close() raises it afterwards
        return error
    return None
