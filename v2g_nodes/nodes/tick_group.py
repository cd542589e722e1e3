"""One ticking thread for all droops of a process that tick at the same rate.

They run one after another: what the caches loaded for the first is still there for the next, and none waits for the
interpreter lock of another. A tick costs 0.3 ms in a thread that has slept, 0.1 ms right after another one's
(docs/decisions/0010-packing.md).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from v2g_nodes.core.priority import run_ahead
from v2g_nodes.nodes.ticker import Tick, Ticker

_GROUPS: dict[float, TickGroup] = {}  # by rate [Hz]
_GROUPS_LOCK = threading.Lock()


class Seat:
    """One callback of a group, until `leave`.

    An exception in it ends this seat alone: `failed` turns true and the interpreter reports it.

    Args:
        group: it belongs to.
        callback: gets a `Tick`; runs in the group's thread.
    """

    def __init__(self, group: TickGroup, callback: Callable[[Tick], None]) -> None:
        self.overruns = 0  # scheduled ticks missed since the start
        self.failed = False
        self.called = False
        self._group = group
        self._callback: Callable[[Tick], None] | None = callback
        self._lock = threading.Lock()  # held while the callback runs

    def wake(self) -> None:
        """Call back at once; from any thread. Does nothing after `leave`."""
        self.called = True
        self._group.wake()

    def leave(self, timeout_s: float = 1.0) -> bool:
        """No more calls; waits for one that is running, except from the callback itself. Safe to call twice.

        Args:
            timeout_s: longest wait [s].

        Returns:
            Whether the callback is not running any more.
        """
        self._callback = None
        self._group.remove(self)
        if self._group.is_current_thread():
            return False
        done = self._lock.acquire(timeout=timeout_s)
        if done:
            self._lock.release()
        return done

    def run(self, tick: Tick) -> None:
        """One call; of the group."""
        self.overruns += tick.missed
        with self._lock:
            callback = self._callback
            if callback is None:
                return
            try:
                callback(tick)
            except Exception:  # noqa: BLE001 - the other seats must go on
                self.failed, self._callback = True, None
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


class TickGroup:
    """The thread and its seats; made by `join`.

    Args:
        rate_hz: ticks per second, > 0.
    """

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._seats: tuple[Seat, ...] = ()
        self._ticker = Ticker(rate_hz, self._on_tick, name=f"droop_{rate_hz:g}_hz")
        self._thread_id = 0

    def add(self, seat: Seat) -> None:
        """Begin to call it; starts the thread for the first one."""
        self._seats = (*self._seats, seat)
        if len(self._seats) == 1:
            self._ticker.start()

    def remove(self, seat: Seat) -> None:
        """Call it no more; the thread ends with the last one."""
        with _GROUPS_LOCK:
            if seat not in self._seats:
                return
            self._seats = tuple(other for other in self._seats if other is not seat)
            if self._seats:
                return
            _GROUPS.pop(self._rate_hz)
        self._ticker.stop()

    def wake(self) -> None:
        """Look at once who wants to be called."""
        self._ticker.wake()

    def is_current_thread(self) -> bool:
        """Whether the caller is a callback of this group."""
        return threading.get_ident() == self._thread_id

    def _on_tick(self, tick: Tick) -> None:
        if not self._thread_id:
            self._thread_id = threading.get_ident()
            run_ahead()
        if tick.lateness_ns is None:
            for seat in self._seats:
                if seat.called:
                    seat.called = False
                    seat.run(Tick(time.monotonic_ns(), None, 0))
            return
        due_ns = tick.now_ns - tick.lateness_ns
        for seat in self._seats:
            now_ns = time.monotonic_ns()
            seat.run(Tick(now_ns, now_ns - due_ns, tick.missed))


def join(rate_hz: float, callback: Callable[[Tick], None]) -> Seat:
    """Have `callback` called at a rate, on the schedule of all others of this rate in this process.

    Args:
        rate_hz: ticks per second, > 0.
        callback: gets a `Tick`.

    Raises:
        ValueError: the rate is not above 0.
    """
    with _GROUPS_LOCK:
        group = _GROUPS.get(rate_hz)
        if group is None:
            group = _GROUPS[rate_hz] = TickGroup(rate_hz)
        seat = Seat(group, callback)
        group.add(seat)
    return seat
