"""What processes print: kept in files, shown with the process's name in its colour, never in a flood."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

ROS_LINE = re.compile(r"^\[(DEBUG|INFO|WARN|ERROR|FATAL)\] \[[\d.]+\] \[([^\]]*)\]: (.*)$")
IMPORTANT = ("WARN", "ERROR", "FATAL")
STYLES = {"WARN": "yellow", "ERROR": "red", "FATAL": "bold red"}

SHOWN_PER_S = 5.0  # lines of one process on the screen, on average
SHOWN_BURST = 30.0  # and at once
FILE_BYTES_MAX = 10_000_000  # of one process
LAST_LINES = 20  # kept for the message about its end


class Logs:
    """Log text of all processes, and the supervisor's own words.

    Args:
        console: where lines are shown; None shows nothing.
        folder: for one file per process; None writes none.
        verbose: show every line, not warnings and errors only.
        clock: steady time [s].
    """

    def __init__(
        self, console: Console | None, folder: Path | None = None, verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._folder, self._verbose, self._clock = console, folder, verbose, clock
        self._sources: dict[str, _Source] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def say(self, text: str, style: str = "") -> None:
        """Show a line of the supervisor itself."""
        self._print(Text.assemble(("v2g", "bold"), " │ ", (text, style)))

    def line(self, name: str, color: str, text: str) -> None:
        """Take a line of a process."""
        source = self._source(name)
        source.last.append(text)
        self._write(source, text)
        match = ROS_LINE.match(text)
        level = match[1] if match else ""
        if not text[:1].isspace():  # an indented line belongs to the one before
            source.important = level in IMPORTANT or not match
        if not (self._verbose or source.important):
            return
        hidden = source.admit(self._clock())
        if hidden is None:
            return
        if hidden:
            self._print(Text.assemble((name, color), f" │ ... {hidden} lines not shown"))
        shown = f"{level} {match[2]}: {match[3]}" if match else text
        self._print(Text.assemble((name, color), " │ ", (shown, STYLES.get(level, ""))))

    def last_words(self, name: str) -> str:
        """The line that says most about why a process ended: its last one, empty if it said nothing."""
        lines = [line for line in self._source(name).last if not line[:1].isspace()]
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Close the files."""
        for source in self._sources.values():
            if source.file is not None:
                source.file.close()
                source.file = None

    def _source(self, name: str) -> _Source:
        if name not in self._sources:
            file = None if self._folder is None else (self._folder / f"{name}.log").open("a", encoding="utf-8")
            self._sources[name] = _Source(file, self._clock())
        return self._sources[name]

    def _write(self, source: _Source, text: str) -> None:
        if source.file is None or source.bytes > FILE_BYTES_MAX:
            return
        source.bytes += len(text) + 1
        over = source.bytes > FILE_BYTES_MAX
        try:
            source.file.write((text if not over else "... the rest is left out") + "\n")
            source.file.flush()
        except OSError:  # disk full: a station goes on without its log
            source.bytes = FILE_BYTES_MAX + 1

    def _print(self, text: Text) -> None:
        if self._console is None:
            return
        try:
            self._console.print(text, soft_wrap=True, highlight=False)
        except OSError:  # the terminal or the reader of the pipe is gone
            self._console = None


class _Source:
    """One process: its file, its budget of lines, its last lines."""

    def __init__(self, file: TextIO | None, now_s: float) -> None:
        self.file = file
        self.bytes = 0
        self.important = True
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._tokens, self._since_s, self._hidden = SHOWN_BURST, now_s, 0

    def admit(self, now_s: float) -> int | None:
        """None when the line is not to be shown; else how many were not shown before it."""
        self._tokens = min(SHOWN_BURST, self._tokens + SHOWN_PER_S * (now_s - self._since_s))
        self._since_s = now_s
        if self._tokens < 1.0:
            self._hidden += 1
            return None
        self._tokens -= 1.0
        hidden, self._hidden = self._hidden, 0
        return hidden
