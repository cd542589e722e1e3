"""The command line itself: which commands show, how arguments reach them, what an error looks like."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import typer

from v2g_nodes.cli import main as cli
from v2g_nodes.cli.test import test as run_checks
from v2g_nodes.core.errors import GraphError, InputError, StartupError

Run = Callable[..., int]


def station(modules: Annotated[int, typer.Option(min=1, help="how many")] = 8) -> None:
    """Do something with modules."""
    print(f"{modules} modules")


def bad_input() -> None:
    raise InputError("prices.csv line 7: price_eur_per_mwh is 'abc',\n   a number is needed")


def bad_graph() -> None:
    raise GraphError("edges[2] is [1, 9], modules are 1..8")


def no_start() -> None:
    raise StartupError("ek3_03 did not answer")


def interrupted() -> None:
    raise KeyboardInterrupt


def result(words: list[str]) -> int:
    print(words)
    return 7


def command(function: Callable[..., object], name: str | None = None, raw: bool = False) -> cli.Command:
    target = f"{__name__}:{function.__name__}"
    return cli.Command(name or function.__name__, target, f"Help of {function.__name__}.", raw)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line with commands of this file."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    commands = (
        *map(command, (station, bad_input, bad_graph, no_start, interrupted)),
        command(result, raw=True),
        command(station, "bench station"),
        cli.Command("later", "v2g_nodes.cli.not_yet_written:later", "Help of later."),
    )
    app = cli.build_app(commands)
    monkeypatch.setattr(cli, "build_app", lambda: app)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: cli.main(words)


def test_options_reach_the_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("station", "--modules", "3") == 0
    assert run("bench", "station", "--modules=4") == 0
    assert run("station") == 0
    assert capsys.readouterr().out == "3 modules\n4 modules\n8 modules\n"


def test_a_raw_command_gets_its_words_as_they_are(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-xvk", "a or b", "test/test_x.py", "--help", "--lf=1", "-n", "2"]
    assert run("result", *words) == 7
    assert capsys.readouterr().out == f"{words}\n"


def test_help_lists_commands_that_exist(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert run("--help") == 0
    text = capsys.readouterr().out
    assert text.count("Help of bad_input.") == 2
    assert "later" not in text
    assert run("bench") == 0
    assert "Help of station." in capsys.readouterr().out


def test_help_of_a_command_is_its_own(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "station", "--help") == 0
    text = capsys.readouterr().out
    assert "Usage: v2g bench station [OPTIONS]" in text
    assert "Do something with modules." in text
    assert "how many" in text


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["bad_input"], 2, "v2g: error: prices.csv line 7: price_eur_per_mwh is 'abc', a number is needed"),
        (["bad_graph"], 2, "v2g: error: edges[2] is [1, 9], modules are 1..8"),
        (["no_start"], 1, "v2g: error: ek3_03 did not answer"),
        (["station", "--modules", "0"], 2, "in: v2g station --modules 0  (see v2g station --help)"),
        (["station", "--modules", "many"], 2, "Invalid value for '--modules': "),
        (["station", "--modules"], 2, "--modules"),
        (["station", "--nodules", "3"], 2, "No such option: --nodules"),
        (["station", "3"], 2, "unexpected extra argument"),
        (["nothing"], 2, "v2g: error: No such command 'nothing', in: v2g nothing  (see v2g --help)"),
        (["later"], 2, "No such command 'later'"),
        (["bench", "nothing"], 2, "No such command 'nothing'"),
        (["--nothing"], 2, "No such option: --nothing"),
    ],
)
def test_an_error_is_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str], code: int, line: str
) -> None:
    assert run(*words) == code
    output, errors = capsys.readouterr()
    assert output == ""
    assert line in errors
    assert errors.startswith("v2g: error: ")
    assert errors.count("\n") == 1


def test_an_interrupt_has_its_own_exit_code(run: Run) -> None:
    assert run("interrupted") == 130


def test_the_version_is_printed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.strip().count(".") == 2


def test_help_imports_no_command_and_nothing_slow() -> None:
    code = (
        "import sys; from v2g_nodes.cli.main import main; main(['--help']); "
        "print(sorted(name for name in sys.modules if name in "
        "{'rclpy', 'numpy', 'scipy', 'pydantic', 'matplotlib', 'v2g_nodes.cli.test', 'v2g_nodes.cli.up'}))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "[]"


def test_every_command_that_exists_can_be_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    for entry in filter(cli.Command.exists, cli.COMMANDS):
        assert cli.main([*entry.name.split(), "--help"]) == 0, entry.name
        assert f"v2g {entry.name}" in capsys.readouterr().out


def test_checks_need_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("v2g_nodes.cli.test.ROOT", tmp_path)
    with pytest.raises(InputError, match="needs a checkout"):
        run_checks([])


@pytest.mark.parametrize("failing", [None, 0, 1, 2, 3])
def test_every_check_runs_and_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: int | None
) -> None:
    ran: list[list[str]] = []

    def start(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(words[2:])
        return subprocess.CompletedProcess(words, 3 if len(ran) - 1 == failing else 0)

    monkeypatch.setattr(subprocess, "run", start)
    assert run_checks([]) == (0 if failing is None else 1)
    assert [tool for tool, *_ in ran] == ["ruff", "mypy", "pytest", "pytest"]
    assert {word.removeprefix("--ignore=") for word in ran[2] if "ignore" in word} == {*ran[3][1:]}, "each test once"
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.count("FAILED") == (failing is not None)


def test_arguments_go_to_pytest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def start(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(words[2:])
        return subprocess.CompletedProcess(words, 5)

    monkeypatch.setattr(subprocess, "run", start)
    assert run_checks(["-k", "droop"]) == 5
    assert ran == [["pytest", "-k", "droop"]]


def test_units_and_defaults_in_brackets_show_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for text in ("power [kW]", "[default: until Ctrl-C]", "[default: ring]"):
        assert text in shown
