"""Faults that need a run of `v2g up` of their own: deaths while it starts and ends, and its own."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from v2g_nodes.bringup_dds import SHARED_MEMORY
from v2g_nodes.cli.fault_arena import Outcome
from v2g_nodes.cli.stop_signals import StopSignals

MARK = "V2G_FAULT_TRIAL"  # environment variable by which a run's processes are found, whoever their parent is
DURATION_S = 6.0
LONG_S = 120.0  # a run that takes longer has failed
GONE_S = 10.0  # within this time after the command's end no process of it is left
LOOK_S = 0.02
SEGMENT = re.compile(rf"{SHARED_MEMORY}/\S*(?:fastrtps|fast_datasharing)_\S+")  # of Fast DDS
FIRST_HOSTS_S, STARTING_S = 0.2, 8.0  # after the first host, one dies within this time; it may be up before
ENDING_S = 1.0  # after the stop signal, one dies within this time


class Left:
    """What runs have left behind: processes, and shared memory that they were seen to hold. Look often.

    Args:
        mark: of the processes.
    """

    def __init__(self, mark: str | None = None) -> None:
        self.mark = mark or uuid.uuid4().hex
        self._ours: set[str] = set()  # shared memory that one of the processes has held
        self.orphans = 0
        self.segments = 0

    @property
    def environment(self) -> dict[str, str]:
        """Variables that mark a process and what it starts."""
        return {MARK: self.mark}

    def pids(self) -> dict[int, str]:
        """Marked processes that live, with their command lines; this one is none of them."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                        self._ours.update(SEGMENT.findall((entry / "maps").read_text()))
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def hosts(self) -> dict[int, str]:
        """Those of them that run nodes, with their names."""
        return {pid: line.split()[-1] for pid, line in self.pids().items() if "v2g_nodes.nodes.host" in line}

    def count(self) -> str:
        """Wait until nothing is left, end and count what is: in words, empty when there is nothing."""
        until_s = time.monotonic() + GONE_S
        while (found := self.pids()) and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        segments = {name for name in self._ours if Path(name).exists()}
        self._ours.clear()
        self.orphans += len(found)
        self.segments += len(segments)
        return "; ".join(f"{what} {', '.join(sorted(names))} left" for what, names in
                         (("processes", [*found.values()]), ("shared memory", segments)) if names)


class UpRun:
    """One run of `v2g up`, started; a context manager that leaves nothing of it.

    Args:
        options: words behind `up`.
        left: finds its processes.
        stop: asks for the end.
    """

    def __init__(self, options: Sequence[str], left: Left, stop: StopSignals) -> None:
        self._left, self._stop = left, stop
        self._process = subprocess.Popen(
            [sys.executable, "-m", "v2g_nodes.cli.main", "up", "--headless", "--json", "-", *options],
            env={**os.environ, **left.environment}, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> UpRun:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._left.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()

    def until(self, done: Callable[[], object], seconds: float) -> bool:
        """Wait until something is true or the run has ended.

        Raises:
            KeyboardInterrupt: a stop was asked for.
        """
        until_s = time.monotonic() + seconds
        while not done():
            if self._stop.requested:
                raise KeyboardInterrupt
            if time.monotonic() > until_s or self._process.poll() is not None:
                return False
            time.sleep(LOOK_S)
        return True

    def signal(self, number: signal.Signals) -> None:
        """To the command itself."""
        self._process.send_signal(number)

    def kill_one(self, chance: random.Random) -> str:
        """Kill one of its hosts with SIGKILL: which one."""
        hosts = self._left.hosts()
        if not hosts:
            return "nobody"
        pid = chance.choice(sorted(hosts))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return hosts[pid]

    def stop_one(self, chance: random.Random) -> None:
        """SIGSTOP of one of its hosts, for good."""
        hosts = sorted(self._left.hosts())
        if hosts:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(hosts), signal.SIGSTOP)

    def end(self) -> tuple[int | None, str, str]:
        """Its exit code, None if it does not end; what it wrote to standard output and error."""
        try:
            out, err = self._process.communicate(timeout=LONG_S)
        except subprocess.TimeoutExpired:
            return None, "", ""
        return self._process.returncode, out, err


def die_while_starting(run: UpRun, chance: random.Random, left: Left) -> Outcome:
    """A host dies while the station comes up: it is replaced and the run is good."""
    run.until(left.hosts, LONG_S)
    run.until(lambda: False, chance.uniform(FIRST_HOSTS_S, STARTING_S))
    victim = run.kill_one(chance)
    code, out, err = run.end()
    verdict = _verdict(out)
    text = "" if code == 0 else f"{victim} killed while starting: exit code {code}, {verdict or _last_line(err)}"
    return _outcome(text, left)


def die_while_ending(run: UpRun, chance: random.Random, left: Left) -> Outcome:
    """A host dies while the station is taken down: it ends as it should."""
    run.until(lambda: len(left.hosts()) > 3, LONG_S)
    run.until(lambda: any(line == "spare" for line in left.hosts().values()), LONG_S)  # everything is up then
    run.until(lambda: False, DURATION_S)
    run.signal(signal.SIGINT)
    run.until(lambda: False, chance.uniform(0.0, ENDING_S))
    victim = run.kill_one(chance)
    code, out, err = run.end()
    text = "" if code in (0, 1) and out else f"{victim} killed while ending: exit code {code}, {_last_line(err)}"
    return _outcome(text, left)


def end_at_once(run: UpRun, chance: random.Random, left: Left) -> Outcome:
    """The command itself is killed, hung up on, or interrupted twice at any moment; a host may be stopped then."""
    run.until(left.hosts, LONG_S)
    run.until(lambda: False, chance.uniform(0.0, 2.0 * STARTING_S))
    if chance.random() < 0.5:
        run.stop_one(chance)
    number = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT))
    run.signal(number)
    if number is signal.SIGINT:
        run.until(lambda: False, chance.uniform(0.0, 0.5))
        run.signal(number)
    code, _, _ = run.end()
    return _outcome(f"does not end after {number.name}" if code is None else "", left)


def _outcome(text: str, left: Left) -> Outcome:
    texts = [words for words in (text, left.count()) if words]
    return Outcome(recovered=not texts, text="; ".join(texts))


def _verdict(out: str) -> str:
    with suppress(ValueError, AttributeError):
        return str(json.loads(out).get("verdict", ""))
    return ""


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word"])[-1]


#: name of a kind -> what it does
RUN_KINDS: Mapping[str, Callable[[UpRun, random.Random, Left], Outcome]] = {
    "starting": die_while_starting,
    "ending": die_while_ending,
    "command": end_at_once,
}
