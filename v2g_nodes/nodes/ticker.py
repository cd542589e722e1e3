"""A fixed-rate thread on an absolute schedule that can also be woken at once.

Why a thread and not a timer of the executor: docs/decisions/0002-executor-and-transport.md.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

NS_PER_S = 1_000_000_000


class Tick(NamedTuple):
    """One call of the ticker's callback.

    Args:
        now_ns: steady clock when the tick began [ns].
        lateness_ns: against the ideal schedule [ns]; None for a tick that `wake` asked for.
        missed: scheduled ticks skipped just before this one.
    """

    now_ns: int
    lateness_ns: int | None
    missed: int


class Schedule:
    """Due times k * period after the start; late ticks are skipped, never caught up in a burst.

    Args:
        period_ns: [ns], > 0.
        start_ns: steady clock of the first due time [ns].
    """

    def __init__(self, period_ns: int, start_ns: int) -> None:
        if period_ns <= 0:
            raise ValueError(f"period {period_ns} ns must be above 0")
        self.period_ns = period_ns
        self.due_ns = start_ns

    def remaining_ns(self, now_ns: int) -> int:
        """Time until the next tick is due [ns], 0 when it is."""
        return max(0, self.due_ns - now_ns)

    def take(self, now_ns: int) -> Tick | None:
        """The tick that is due, and move on to the next; None when none is due.

        A tick that comes whole periods late stands for the ones it skips: its lateness is that of the first of them,
        and the next due time is the first one still ahead.
        """
        lateness_ns = now_ns - self.due_ns
        if lateness_ns < 0:
            return None
        missed = lateness_ns // self.period_ns
        self.due_ns += (missed + 1) * self.period_ns
        return Tick(now_ns, lateness_ns, missed)


class Ticker:
    """Calls back at a fixed rate, and whenever woken, from one thread of its own.

    A wake-up during a callback leads to one more call right after it; several count as one. Waking does not shift the
    schedule. An exception in the callback ends the thread: `failed` turns true and the interpreter reports it.

    Args:
        rate_hz: ticks per second, > 0.
        callback: gets a `Tick`; runs in the ticker's thread.
        name: of the thread.
    """

    def __init__(self, rate_hz: float, callback: Callable[[Tick], None], name: str = "ticker") -> None:
        if not rate_hz > 0:
            raise ValueError(f"rate {rate_hz} Hz must be above 0")
        self.ticks = 0
        self.woken = 0
        self.overruns = 0  # scheduled ticks missed since the start
        self.failed = False
        self._period_ns = round(NS_PER_S / rate_hz)
        self._callback = callback
        self._stopping = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()  # guards the descriptor against being closed under a wake-up
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first tick is one period away."""
        self._thread.start()

    def wake(self) -> None:
        """Call back at once; from any thread. Does nothing after `stop`."""
        with self._lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def stop(self, timeout_s: float = 1.0) -> bool:
        """End the thread and wait for it; safe to call twice and from the callback itself.

        Args:
            timeout_s: longest wait for a callback that is running [s].

        Returns:
            Whether the thread is gone.
        """
        self._stopping = True
        self.wake()
        if self._thread is threading.current_thread():
            return False
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        with self._lock:
            if self._wake_fd >= 0:
                os.close(self._wake_fd)
                self._wake_fd = -1
        return True

    def _run(self) -> None:
        schedule = Schedule(self._period_ns, time.monotonic_ns() + self._period_ns)
        try:
            while not self._stopping:
                if self._wait(schedule.remaining_ns(time.monotonic_ns())) and not self._stopping:
                    self.woken += 1
                    self._callback(Tick(time.monotonic_ns(), None, 0))
                tick = schedule.take(time.monotonic_ns())
                if tick is not None and not self._stopping:
                    self.ticks += 1
                    self.overruns += tick.missed
                    self._callback(tick)
        except BaseException:
            self.failed = True
            raise

    def _wait(self, timeout_ns: int) -> bool:
        """Sleep; True when woken. `select` counts on the steady clock and has microseconds, which `poll` has not."""
        ready, _, _ = select.select([self._wake_fd], [], [], timeout_ns / NS_PER_S)
        if ready:
            os.eventfd_read(self._wake_fd)
        return bool(ready)
