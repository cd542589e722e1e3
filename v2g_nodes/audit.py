"""The audit log: who did what to the station, and what it settled. One JSON line each, only ever appended.

Every line carries the SHA-256 of the line before it, so a line that was changed, removed or put in shows. Cutting lines
off the end does not show in the file itself: note `AuditState.last` elsewhere, `verify` finds it again. Whoever may
write the file can also write all of it anew; keep it, or that hash, where others can't.

Known from certificate transparency and from system journals as a hash chain. No ROS here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import pwd
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from v2g_nodes.core.errors import InputError

FIRST = "0" * 64  # stands for the hash of the line before the first
KEYS = ("number", "time", "action", "who", "details", "before")
LOCK_S = 2.0  # longest wait for another writer; each holds the lock for one line
LOCK_TURN_S = 0.005
TAIL_BYTES = 65_536  # longer than any line
WAITING_MAX = 1000  # lines that wait for a slow disk
LOST = "lines lost"  # action of the line that counts those which could not be written


@dataclass(frozen=True)
class AuditState:
    """What a file shows.

    Args:
        lines: how many it has.
        last: hash of its last line; FIRST of an empty one.
        problems: one line each, with the number of the file's line; empty = the chain holds.
    """

    lines: int
    last: str
    problems: tuple[str, ...]


class AuditLog:
    """Appends lines in a thread of its own, so that no disk ever holds up control.

    Args:
        path: the file; made with its folder at the first line. None: nothing is written.
        on_error: told, from that thread, what went wrong; the next line that can be written counts the lost ones.
    """

    def __init__(self, path: Path | None, on_error: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._on_error = on_error or (lambda text: None)
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(WAITING_MAX)
        self._shared = threading.Lock()  # of the two below
        self._lost = 0
        self._thread: threading.Thread | None = None

    def append(self, action: str, who: str, **details: object) -> None:
        """Note what happened; returns at once and raises nothing.

        Args:
            action: what, in a word or two.
            who: node, or user@host.
            details: JSON values; numbers that are not finite become null, other objects text.
        """
        if self._path is None:
            return
        with self._shared:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait({"time": _now(), "action": action, "who": who, "details": _plain(details)})
        except queue.Full:
            self._count_lost(1)

    def flush(self, seconds: float = LOCK_S) -> bool:
        """Wait until everything is written or given up.

        Args:
            seconds: how long [s].

        Returns:
            Whether nothing waits any more.
        """
        until_s = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < until_s:
            time.sleep(LOCK_TURN_S)
        return not self._waiting.unfinished_tasks

    def _write_all(self) -> None:
        while True:
            entry = self._waiting.get()
            self._write(entry)
            self._waiting.task_done()

    def _write(self, entry: Mapping[str, Any]) -> None:
        path, lost = self._path, self._lost
        if path is None:
            return
        entries = [entry]
        if lost:
            entries.insert(0, {**entry, "action": LOST, "details": {"lines": lost}})
        try:
            append_lines(path, entries)
        except OSError as error:
            self._count_lost(1)
            self._on_error(f"audit log {path}: {error.strerror or error}; {self._lost} lines are lost")
        else:
            self._count_lost(-lost)

    def _count_lost(self, lines: int) -> None:
        with self._shared:
            self._lost += lines


def audit_path(setting: str, station: str, hardware: bool, environment: Mapping[str, str]) -> Path | None:
    """The log of a station, None where it has none.

    Args:
        setting: a file, none, or auto: in the user's state folder (XDG_STATE_HOME) where there is hardware.
        station: name of the station.
        hardware: it has modules that are not simulated.
        environment: of the process.
    """
    if setting == "none" or (setting == "auto" and not hardware):
        return None
    if setting != "auto":
        return Path(setting)
    return state_folder(environment) / f"audit_{re.sub(r'[^A-Za-z0-9_.-]', '_', station)}.jsonl"


def check_writable(path: Path) -> None:
    """Refuse a log that could never be written; makes nothing.

    Args:
        path: the file, which need not be there yet, nor its folder.

    Raises:
        InputError: it is a folder, or may not be made or written to.
    """
    existing = next(place for place in (path, *path.absolute().parents) if os.access(place, os.F_OK))
    fits = path.is_file() if existing == path else existing.is_dir()
    if not (fits and os.access(existing, os.W_OK)):
        raise InputError(f"key audit_file: {path}: {existing} can't be written to as that needs, "
                         "allowed is a file in a folder that can be written to, auto or none")


def operator_name(environment: Mapping[str, str]) -> str:
    """Who asks: user@host, with the user behind sudo.

    Args:
        environment: of the process.
    """
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name, as in containers
        user = str(os.getuid())
    behind = environment.get("SUDO_USER")
    return f"{user}{f' ({behind})' if behind and behind != user else ''}@{socket.gethostname()}"


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where logs are kept that are named nowhere else: in the user's state folder (XDG_STATE_HOME)."""
    home = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME") or Path.home()) / ".local" / "state")
    return Path(home) / "v2g_nodes"


def append_lines(path: Path, entries: list[Mapping[str, Any]]) -> None:
    """Append entries in one piece, chained to the line before; nothing is left of them when it fails.

    Args:
        path: the file.
        entries: with time, action, who, details.

    Raises:
        OSError: it can't be opened, locked within two seconds, or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        _take_lock(descriptor)
        size = os.fstat(descriptor).st_size
        last, before, torn = _end(descriptor, size)
        lines = b"\n" if torn else b""  # what a power cut left of a line stays as it is, and shows
        for number, entry in enumerate(entries, last + 1):
            line = _text({"number": number, **{key: entry[key] for key in KEYS[1:5]}, "before": before})
            before = _hash(line)
            lines += line + b"\n"
        try:
            if os.write(descriptor, lines) < len(lines):
                raise OSError("No space left on device")
            os.fdatasync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)  # half a line would break the chain
            raise
    finally:
        os.close(descriptor)  # and with it the lock


def _take_lock(descriptor: int) -> None:
    until_s = time.monotonic() + LOCK_S
    while not _try_lock(descriptor):
        if time.monotonic() > until_s:
            raise OSError(f"locked by another process for {LOCK_S:g} s")
        time.sleep(LOCK_TURN_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end(descriptor: int, size: int) -> tuple[int, str, bool]:
    """Number and hash of the last line, and whether its end is missing."""
    tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    torn = bool(tail) and not tail.endswith(b"\n")
    lines = tail.removesuffix(b"\n").split(b"\n")
    if not lines[-1]:
        return 0, FIRST, False
    numbers = [entry["number"] for entry in map(_entry, lines) if entry is not None]
    return (numbers[-1] if numbers else 0), _hash(lines[-1]), torn


def entries(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Lines of a log: number of the line in the file, its bytes, and what it says; None where it is no entry.

    Args:
        path: the file.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            bare = line.removesuffix(b"\n")
            yield number, bare, _entry(bare)


def check(path: Path, known: str = "") -> AuditState:
    """Follow the chain from the first line to the last.

    Args:
        path: the file.
        known: hash of a line that was there once; empty = none is known.

    Raises:
        OSError: it can't be read.
    """
    count, before, expected, seen = 0, FIRST, 1, known in ("", FIRST)
    problems = []
    for count, line, entry in entries(path):
        if entry is None:
            problems.append(f"line {count}: not an entry of an audit log")
        elif entry["before"] != before:
            problems.append(f"line {count}: does not follow the line before: changed, removed or put in")
        elif entry["number"] != expected:
            problems.append(f"line {count}: number {entry['number']}, expected {expected}")
        if entry is not None:
            expected = entry["number"] + 1
        before = _hash(line)
        seen = seen or before == known
    if not seen:
        problems.append(f"no line with hash {known}: lines are missing at the end, or all were written anew")
    return AuditState(count, before, tuple(problems))


def verify(path: Path) -> list[str]:
    """What is wrong with the chain of a log, one line each; empty = it holds.

    Args:
        path: the file.

    Raises:
        OSError: it can't be read.
    """
    return [*check(path).problems]


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or {*entry} != {*KEYS} or not isinstance(entry["number"], int):
        return None
    return entry


def _text(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    """As JSON can tell it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
