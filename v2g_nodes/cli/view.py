"""What a person sees of a run on standard error: steps while it starts, then the table or one line, then the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from v2g_nodes.cli.live_table import StationView, render, status_line
from v2g_nodes.cli.processes import Event

STEP_S = 0.1  # the spinner turns this often


class PatientConsole(Console):
    """A console that falls silent when nobody reads it any more, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        """The reader of the pipe is gone."""
        self.quiet = True


class View:
    """Shows a run; a context manager. Goes silent when the terminal goes away, the run does not care.

    Args:
        station: what is run.
        table: show the live table; else one line. Without a terminal: plain words on start and end only.
        seconds: wall time of the run, None until it is stopped.
        console: where to.
    """

    def __init__(self, station: StationView, table: bool, seconds: float | None, console: Console) -> None:
        self.console = console
        self._station, self._table, self._seconds = station, table, seconds
        self._live: Live | None = None
        self._began_s = time.monotonic()
        self._running_s: float | None = None
        self._drawn_s = 0.0
        self._spinner = Spinner("dots")

    def __enter__(self) -> View:
        if self.console.is_terminal:
            self._open(Text(""), transient=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def step(self, text: str) -> None:
        """Say what start-up or shutdown is waiting for."""
        now_s = time.monotonic()
        if now_s - self._drawn_s >= STEP_S and self._running_s is None:
            self._spinner.update(text=Text(f"{text}  ({now_s - self._began_s:.0f} s)"))
            self._draw(self._spinner)

    def started(self) -> None:
        """Everything is up."""
        seconds = time.monotonic() - self._began_s
        if self._live is not None:
            self._close()
        self._say(f"station is up after {seconds:.1f} s" + ("" if self._seconds else ", Ctrl-C ends it"))
        self._running_s = time.monotonic()
        if self.console.is_terminal:
            self._open(Text(""), transient=not self._table)

    def show(self, event: Event) -> None:
        """Show the monitor's latest table."""
        if self._running_s is None or self._live is None:
            return
        elapsed_s = time.monotonic() - self._running_s
        progress = f"{elapsed_s:.0f} s" + (f" of {self._seconds:g} s" if self._seconds else "")
        if self._table:
            width, height = self.console.size
            self._draw(render(event, self._station, progress, width, height))
        else:
            self._draw(status_line(event, progress))

    def ending(self, text: str) -> None:
        """The run is over: leave the last table on the screen and say what comes now."""
        self._close()
        self._running_s = None
        if self.console.is_terminal:
            self._open(Text(text), transient=True)
            self._draw(Text(text))

    def _open(self, content: RenderableType, transient: bool) -> None:
        self._live = Live(content, console=self.console, auto_refresh=False, transient=transient,
                          redirect_stdout=False, redirect_stderr=False)
        self._guarded(self._live.start)

    def _close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            self._guarded(live.stop)

    def _draw(self, content: RenderableType) -> None:
        live = self._live
        if live is not None:
            self._drawn_s = time.monotonic()
            self._guarded(lambda: live.update(content, refresh=True))

    def _say(self, text: str) -> None:
        self._guarded(lambda: self.console.print(Text.assemble(("v2g", "bold"), " │ ", text)))

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError:  # the terminal or the reader of the pipe is gone
            self._live = None
