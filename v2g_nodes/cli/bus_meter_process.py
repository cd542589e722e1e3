"""Starts the bus meter, tells it when to count, takes its figures."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any

from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.core.errors import StartupError

COMMAND = (sys.executable, "-m", "v2g_nodes.cli.bus_meter")
ANSWER_S = 20.0  # importing takes seconds on a busy machine
END_S = 3.0


class BusMeter:
    """A context manager: the process ends with it.

    Args:
        settings: of the bus.
    """

    def __init__(self, settings: CanSettings) -> None:
        self.figures: Mapping[str, Any] = {}  # of `BusTally.figures`, once it has counted
        self._process = subprocess.Popen([*COMMAND, json.dumps(asdict(settings))], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, bufsize=0, start_new_session=True)
        self._rest = b""

    def __enter__(self) -> BusMeter:
        try:
            self._answer("listening")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what comes while this is entered.

        Raises:
            StartupError: the meter is dead.
        """
        self._tell()
        self._answer("counting")
        yield
        self._tell()
        self.figures = self._answer("figures")

    def _tell(self) -> None:
        with suppress(BrokenPipeError):  # it is dead, which the missing answer will tell
            os.write(self._fd("stdin"), b"\n")

    def _answer(self, event: str) -> Mapping[str, Any]:
        out = self._fd("stdout")
        while b"\n" not in self._rest:
            if not select.select([out], [], [], ANSWER_S)[0]:
                raise StartupError(f"the bus meter has not said {event} within {ANSWER_S:g} s")
            data = os.read(out, 1 << 16)
            if not data:
                raise StartupError("the bus meter has ended too early")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _fd(self, name: str) -> int:
        number: int = getattr(self._process, name).fileno()
        return number

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
