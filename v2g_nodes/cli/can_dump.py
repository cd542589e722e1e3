"""`v2g can dump`: the frames of the bus decoded, live or from a recording."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import module_of, slot_name
from v2g_nodes.canbus.recording import read_recording
from v2g_nodes.cli.bus_ear import Heard
from v2g_nodes.cli.bus_reader import BusReader, Reading
from v2g_nodes.cli.can_bus import (
    Channel,
    Duration,
    Interface,
    KeyFile,
    StationFile,
    check_duration,
    choose_bus,
    listen,
)
from v2g_nodes.cli.frame_text import frame_line
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import MODULES_MAX

SHOWN_MAX = 2000  # lines of one turn (0.2 s): no terminal keeps up with more, and what is not shown is counted


def can_dump(
    station: StationFile = None,
    interface: Interface = None,
    channel: Channel = None,
    key_file: KeyFile = None,
    file: Annotated[str | None, typer.Option(metavar="FILE", help="A recording (.blf, .asc) instead of a bus.")] = None,
    only: Annotated[str | None, typer.Option(metavar="NAME,...", help="Show these messages only.")] = None,
    module: Annotated[
        int | None, typer.Option(help="Show frames from or to this module's device and controller only.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Identifier and payload too, as they were.")] = False,
    duration: Duration = None,
    json: Json = None,
) -> None:
    """Show what is said on the bus: one line per frame, and at the end what came of each message of each sender.

    Sends nothing. Frames that a receiver would refuse are shown with the reason. Ends with Ctrl-C, after --duration or
    with the recording. With `--json -` the frames themselves are not shown.
    """
    check_duration(duration)
    check_writable(json)
    wanted = _wanted(only, module)
    choice = choose_bus(station, interface, channel, key_file)
    if file is not None and (interface is not None or channel is not None):
        raise InputError("--file with --interface or --channel, allowed is either a recording or a bus")
    reader = BusReader(choice.protection)
    turns = listen(choice.settings, duration) if file is None else _recorded(file)
    _show(turns, reader, wanted, raw, sys.stdout if json != "-" else None)
    summary = summary_of(reader)
    if json is None:
        Console().print(summary_table(summary))
    else:
        emit(summary, json, "")


def summary_of(reader: BusReader) -> dict[str, object]:
    """What came of each message of each sender.

    Args:
        reader: that has read them.
    """
    span_s = reader.span_s
    messages = [
        {"bus": bus, "message": line.name, "source": slot_name(line.source) if line.source >= 0 else "?",
         "frames": line.frames, "rate_hz": line.frames / span_s if span_s > 0.0 else None, "lost": line.lost,
         "refused": dict(line.refused)}
        for bus, line in reader.lines()]  # fmt: skip
    lines = [line for _, line in reader.lines()]
    return {"seconds": span_s, "frames": sum(line.frames for line in lines), "lost": sum(line.lost for line in lines),
            "refused": sum(sum(line.refused.values()) for line in lines), "messages": messages}


def summary_table(summary: dict[str, object]) -> Table:
    """The same for people."""
    table = Table(title=f"{summary['frames']} frames, {summary['lost']} lost, {summary['refused']} refused")
    for title in ("bus", "message", "sender", "frames", "rate Hz", "lost", "refused"):
        table.add_column(title, justify="right" if title in ("frames", "rate Hz", "lost") else "left")
    messages = summary["messages"]
    for m in messages if isinstance(messages, list) else []:
        refused = ", ".join(f"{count} {word}" for word, count in m["refused"].items())
        rate = f"{m['rate_hz'] or 0.0:.2f}"
        table.add_row(m["bus"], m["message"], m["source"], str(m["frames"]), rate, str(m["lost"]), refused,
                      style="red" if refused or m["lost"] else None)
    return table


def _wanted(only: str | None, module: int | None) -> Callable[[Reading], bool]:
    names = None if only is None else {name.strip().upper() for name in only.split(",")}
    known = [spec.name for spec in Codec.load().messages]
    for name in names or ():
        if name not in known:
            raise InputError(f"--only {name}, allowed {', '.join(known)}")
    if module is not None and not 1 <= module <= MODULES_MAX:
        raise InputError(f"--module {module}, allowed 1 to {MODULES_MAX}")

    def wanted(reading: Reading) -> bool:
        ends = (module_of(reading.identifier.source), module_of(reading.identifier.destination))
        return (names is None or reading.name in names) and (module is None or module in ends)

    return wanted


def _show(
    turns: Iterator[list[Heard]], reader: BusReader, wanted: Callable[[Reading], bool], raw: bool, out: TextIO | None
) -> None:
    """Read all, print what is wanted."""
    for turn in turns:
        readings = [reading for reading in map(reader.read, turn) if wanted(reading)]
        if out is None:
            continue
        lines = [frame_line(reading, out.isatty(), raw) for reading in readings[:SHOWN_MAX]]
        if len(readings) > SHOWN_MAX:
            lines.append(f"... {len(readings) - SHOWN_MAX} more, not shown")
        if lines:
            print("\n".join(lines), file=out, flush=True)


def _recorded(path: str) -> Iterator[list[Heard]]:
    turn: list[Heard] = []
    for bus, frame in read_recording(path):
        turn.append(Heard(bus, frame, frame.received_ns))
        if len(turn) == SHOWN_MAX:
            yield turn
            turn = []
    yield turn
