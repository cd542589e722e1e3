"""What processes print: which lines are shown, how many, and what is kept."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from v2g_nodes.cli import logs as logs_module
from v2g_nodes.cli.logs import SHOWN_BURST, SHOWN_PER_S, Logs
from v2g_nodes.cli.view import PatientConsole

INFO = "[INFO] [17.25] [ek3_01.module]: armed"
WARN = "[WARN] [17.25] [ek3_01.module]: no grid signal for 6 s"


class Screen:
    """Logs on a console that can be read, with a clock that only moves when told."""

    def __init__(self, folder: Path | None = None, verbose: bool = False) -> None:
        self.now_s = 0.0
        self.text = io.StringIO()
        self.logs = Logs(Console(file=self.text, width=200), folder, verbose, clock=lambda: self.now_s)

    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (INFO, []),
        ("[DEBUG] [17.25] [x]: y", []),
        (WARN, ["ek3_01 │ WARN ek3_01.module: no grid signal for 6 s"]),
        ("[ERROR] [1.0] [a]: b", ["ek3_01 │ ERROR a: b"]),
        ("ImportError: no such thing", ["ek3_01 │ ImportError: no such thing"]),
    ],
)
def test_warnings_errors_and_bare_text_are_shown(line: str, shown: list[str]) -> None:
    screen = Screen()
    screen.logs.line("ek3_01", "cyan", line)
    assert screen.lines() == shown


def test_verbose_shows_everything() -> None:
    screen = Screen(verbose=True)
    screen.logs.line("ek3_01", "cyan", INFO)
    assert screen.lines() == ["ek3_01 │ INFO ek3_01.module: armed"]


def test_an_indented_line_belongs_to_the_one_before() -> None:
    screen = Screen()
    for line in (INFO, "  more of the info", "Traceback (most recent call last):", "  File x"):
        screen.logs.line("a", "", line)
    assert screen.lines() == ["a │ Traceback (most recent call last):", "a │   File x"]


def test_a_flood_is_cut_and_counted_per_process() -> None:
    screen = Screen()
    for _ in range(500):
        screen.logs.line("loud", "", WARN)
    screen.logs.line("other", "", WARN)
    assert len(screen.lines()) == SHOWN_BURST + 1
    screen.now_s = 1.0 / SHOWN_PER_S
    screen.logs.line("loud", "", WARN)
    assert f"loud │ ... {500 - SHOWN_BURST:.0f} lines not shown" in screen.lines()
    assert len(screen.lines()) == SHOWN_BURST + 3


def test_files_keep_every_line(tmp_path: Path) -> None:
    screen = Screen(tmp_path / "logs")
    for k in range(100):
        screen.logs.line("a", "", f"[INFO] [1.0] [a]: line {k}")
    screen.logs.close()
    assert len((tmp_path / "logs" / "a.log").read_text().splitlines()) == 100


def test_a_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "FILE_BYTES_MAX", 1000)
    screen = Screen(tmp_path)
    for _ in range(1000):
        screen.logs.line("a", "", INFO)
    screen.logs.close()
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert lines[-1] == "... the rest is left out"
    assert len(lines) < 40


def test_last_words_are_the_last_line_of_weight() -> None:
    logs = Logs(None)
    assert logs.last_words("a") == ""
    for line in ("Traceback (most recent call last):", "  File x", "ValueError: 3", "  ^^^^"):
        logs.line("a", "", line)
    assert logs.last_words("a") == "ValueError: 3"


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.EIO, "hung up")])
@pytest.mark.parametrize("speak", [lambda logs: logs.say("x"), lambda logs: logs.line("a", "", WARN)])
def test_a_terminal_that_goes_away_does_not_matter(speak: Callable[[Logs], None], error: OSError) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    logs = Logs(PatientConsole(file=Gone()))
    speak(logs)
    speak(logs)


def test_markup_in_a_line_is_text() -> None:
    screen = Screen()
    screen.logs.line("a", "", "value [bold]3[/bold] [x]")
    assert screen.lines() == ["a │ value [bold]3[/bold] [x]"]
