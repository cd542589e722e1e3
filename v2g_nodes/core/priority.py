"""Scheduling class of a process: real time for the droop law where the machine allows it, niceness elsewhere.

Measured in docs/decisions/0002-executor-and-transport.md: only the whole process in the real-time class helps. With the
ticking thread alone in it, a callback of another thread that holds the interpreter lock can be preempted by anyone.
"""

from __future__ import annotations

import os
import resource
import threading
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

# The lowest ones are above every normal process, and below whatever the owner of the machine has put in this class.
# Within one priority nobody is preempted: optimizers that exchange rounds run each message to its end.
OPTIMIZER_PRIORITY = 1
DROOP_PRIORITY = 2  # its ticking thread has one more, see `run_ahead`
BRIDGE_PRIORITY = 2  # all optimizers wait for it
SIGNAL_PRIORITY = 4  # a signal goes out to all before those that got it first may act on it
DEVICE_PRIORITY = 5  # a stand-in: hardware is never late because the controllers compute
# Processor time without a sleep after which the kernel ends a real-time process, which could otherwise keep a core.
RUNAWAY_S = 2.0

_AHEAD: WeakSet[threading.Thread] = WeakSet()


def claim_real_time(priority: int) -> bool:
    """Put every thread of this process, and those it starts from now on, into the real-time class (SCHED_FIFO).

    Args:
        priority: one of the above.

    Returns:
        False when the machine does not permit it (no CAP_SYS_NICE and no `rtprio` limit); then nothing changes.
    """
    parameters = os.sched_param(priority)
    runaway_us = round(RUNAWAY_S * 1e6)
    resource.setrlimit(resource.RLIMIT_RTTIME, (runaway_us, runaway_us))
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, parameters)
    except OSError:  # not permitted, or not possible in this container
        return False
    ahead = {thread.native_id for thread in _AHEAD}
    for thread in _threads():
        with suppress(ProcessLookupError):  # ended since it was listed
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority + (thread in ahead)))
    return True


def run_ahead() -> None:
    """Keep the calling thread one priority above its process, now and after each claim, as far as it is in the class.

    A thread that has a schedule to keep then starts at once where another process of the same priority computes. It
    still waits for the interpreter lock of its own process, and gives way while it does.
    """
    _AHEAD.add(threading.current_thread())
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_getparam(0).sched_priority + 1))


def pin(core: int) -> bool:
    """Keep every thread of this process, and those it starts from now on, on one core.

    Args:
        core: number of the core, from 0.

    Returns:
        False when there is no such core, or it is not for this process; then nothing changes.
    """
    if core not in os.sched_getaffinity(0):
        return False
    for thread in _threads():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, {core})
    return True


def _threads() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/task").iterdir()]
