"""The `v2g` command line: finds the command asked for and turns errors into one line.

A command is a typer function in a module of its own that is imported only when it is called, so that help and
errors come quickly. Each command is one line of `COMMANDS`; a command whose module does not exist is not shown.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from v2g_nodes import __version__
from v2g_nodes.core.errors import InputError, V2gError


@dataclass(frozen=True)
class Command:
    """One entry of the command line.

    Args:
        name: words that call it, at most two (`bench dispatch`).
        target: `module:function`. The function's parameters are typer options and arguments.
        help: one line for the list of commands.
        raw: the function takes the words behind the command as they are, in one list, `--help` included.
    """

    name: str
    target: str
    help: str
    raw: bool = False

    def exists(self) -> bool:
        """Whether the module is there; it is not imported."""
        return importlib.util.find_spec(self.target.partition(":")[0]) is not None

    def run(self, arguments: list[str]) -> int:
        """Import the command and run it on its own arguments.

        Args:
            arguments: words behind the command's name.

        Returns:
            Exit code.
        """
        module, _, function = self.target.partition(":")
        command: Callable[..., object] = getattr(importlib.import_module(module), function)
        if self.raw:
            return _exit_code(command(arguments))
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
        app.command()(command)
        return _exit_code(app(args=arguments, prog_name=f"v2g {self.name}", standalone_mode=False))


GROUPS = {"bench": "Measure: algorithms, transport, the live station.",
          "plan": "Plan a day: overnight charging, active and reactive power, power flow, regulation bids.",
          "security": "Who may publish and hear what.",
          "can": "Look at the CAN-FD bus: decoded, recorded, played back."}

COMMANDS = (
    Command("up", "v2g_nodes.cli.up:up", "Run a station, simulated unless its file says otherwise."),
    Command("bench dispatch", "v2g_nodes.cli.bench_dispatch:bench_dispatch", "An algorithm on a lossy network."),
    Command("bench transport", "v2g_nodes.cli.bench_transport:bench_transport", "Bare ROS messages and timers."),
    Command("bench station", "v2g_nodes.cli.bench_station:bench_station", "The live station and its floors."),
    Command("bench domains", "v2g_nodes.cli.bench_domains:bench_domains", "Two ROS domains joined by a CAN bus alone."),
    Command("bench hosts", "v2g_nodes.cli.bench_hosts:bench_hosts", "Two hosts on a network that is cut and loses."),
    Command("bench faults", "v2g_nodes.cli.bench_faults:bench_faults", "Kills, cuts and lies in the live station."),
    Command("bench can", "v2g_nodes.cli.bench_can:bench_can", "Frames, bits and load of a live station's bus."),
    Command("scenario", "v2g_nodes.cli.scenario:scenario", "Play a station's hour or day and judge it."),
    Command("plan valley", "v2g_nodes.cli.plan_valley:plan_valley", "Overnight charging of a fleet by slot prices."),
    Command("plan allocation", "v2g_nodes.cli.plan_allocation:plan_allocation",
            "Active and reactive power by output consensus."),
    Command("plan network", "v2g_nodes.cli.plan_network:plan_network", "Vehicles and power flow of a grid, certified."),
    Command("plan market", "v2g_nodes.cli.plan_market:plan_market", "Regulation bids and rebates, a day ahead."),
    Command("game", "v2g_nodes.cli.game:game", "Selfish modules: equilibrium, price of anarchy, payments."),
    Command("reproduce", "v2g_nodes.cli.reproduce:reproduce", "Check what the source documents claim; one report."),
    Command("can dump", "v2g_nodes.cli.can_dump:can_dump", "Show the frames of the bus, decoded."),
    Command("can log", "v2g_nodes.cli.can_log:can_log", "Record the bus: BLF or ASC."),
    Command("can replay", "v2g_nodes.cli.can_replay:can_replay", "Play a recording back onto a bus."),
    Command("doctor", "v2g_nodes.cli.doctor:doctor", "Look at the bus, ROS 2 and this machine: is all well?"),
    Command("record", "v2g_nodes.cli.record:record", "Record the topics of a running station as a rosbag2 folder."),
    Command("replay", "v2g_nodes.cli.replay:replay", "Make every decision of a recorded run again and compare."),
    Command("graph", "v2g_nodes.cli.graph:graph", "Show the ROS graph of the running station, or draw it."),
    Command("arm", "v2g_nodes.cli.arm:arm", "Let the modules of the running station be energised."),
    Command("stop", "v2g_nodes.cli.stop:stop", "Emergency stop of the running station."),
    Command("audit", "v2g_nodes.cli.audit:audit", "Who armed, stopped and set what; does the log's chain hold?"),
    Command("security init", "v2g_nodes.cli.security:init", "Keys and a policy for every process (DDS-Security)."),
    Command("docs", "v2g_nodes.cli.docs:docs", "Build the documentation site."),
    Command("test", "v2g_nodes.cli.test:test", "Lint, types and tests; arguments go to pytest.", raw=True),
)

# typer brings its own copy of click or uses the installed one, so its parent of all user errors is found this way
_UserError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def build_app(commands: Sequence[Command] = COMMANDS) -> typer.Typer:
    """The command line with every command whose module exists.

    Args:
        commands: the table of commands.

    Returns:
        App that passes a command's arguments on to it unread.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    app.callback()(_root)
    groups: dict[str, typer.Typer] = {}
    for command in filter(Command.exists, commands):
        group, _, name = command.name.rpartition(" ")
        parent = app
        if group:
            if group not in groups:
                groups[group] = typer.Typer(rich_markup_mode="markdown")
                app.add_typer(groups[group], name=group, help=GROUPS[group])
            parent = groups[group]
        settings = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}
        parent.command(name, help=command.help, add_help_option=False, context_settings=settings)(_forward(command))
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: words behind `v2g`; the process's own by default.

    Returns:
        Exit code: 0, 1 for a failure, 2 for bad input, 130 when interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if words in ([group] for group in GROUPS):
        words.append("--help")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")  # nothing leaves the machine unasked
    try:
        return _exit_code(build_app()(args=words, prog_name="v2g", standalone_mode=False))
    except InputError as error:
        return _fail(str(error), 2)
    except V2gError as error:
        return _fail(str(error), 1)
    except _UserError as error:
        return _fail(_usage_text(error, words), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)


def _forward(command: Command) -> Callable[[typer.Context], None]:
    def forward(context: typer.Context) -> None:
        raise typer.Exit(command.run(list(context.args)))

    return forward


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Control stack for vehicle-to-grid stations. `v2g COMMAND --help` explains a command."""


def _exit_code(result: object) -> int:
    return result if isinstance(result, int) else 0


def _fail(text: str, code: int) -> int:
    print("v2g: error:", " ".join(map(str.strip, text.splitlines())), file=sys.stderr)
    return code


def _usage_text(error: Exception, words: Sequence[str]) -> str:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "v2g"
    return f"{text.rstrip('.')}, in: {shlex.join(['v2g', *words])}  (see {command} --help)"


if __name__ == "__main__":
    sys.exit(main())
