"""One line of text for a frame."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import slot_name
from v2g_nodes.canbus.message_spec import MessageSpec, SignalSpec
from v2g_nodes.cli.bus_reader import Reading

NS_PER_S = 1_000_000_000
SERIES = re.compile(r"(.+?)_?(\d+)")  # value_0, value_1, ...: one list
SESSION = ("session_low", "session_high")
RESET, DIM = "\x1b[0m", "\x1b[2m"
KIND_COLORS = {0: "\x1b[33m", 1: "\x1b[36m", 2: "\x1b[35m", 3: "\x1b[34m"}  # command, status, event, firmware
WRONG_COLOR = "\x1b[1;31m"


def frame_line(reading: Reading, colors: bool, raw: bool = False) -> str:
    """Time, bus, priority, sender, receiver, message, signals with units, verdict.

    Args:
        reading: the frame.
        colors: for a terminal.
        raw: with identifier and payload as they were on the bus.
    """
    identifier = reading.identifier
    seconds, rest_ns = divmod(reading.unix_ns, NS_PER_S)
    clock = f"{datetime.fromtimestamp(seconds):%H:%M:%S}.{rest_ns // 1000:06d}"
    name = reading.name or f"0x{identifier.code:02X}"
    head = (f"{clock} {reading.bus} p{identifier.priority} {slot_name(identifier.source):<13}"
            f" > {slot_name(identifier.destination):<13} ")
    text = signals_text(reading)
    if raw:
        text += f"  [{identifier.pack():08X} {reading.payload.hex()}]"
    mark = "" if reading.verdict == "ok" else f"  !{_verdict_text(reading)}"
    if not colors:
        return f"{head}{name:<14} {text}{mark}"
    color = KIND_COLORS[identifier.kind]
    body = text if reading.accepted else f"{DIM}{text}{RESET}"
    return f"{DIM}{head}{RESET}{color}{name:<14}{RESET} {body}{WRONG_COLOR}{mark}{RESET if mark else ''}"


def signals_text(reading: Reading) -> str:
    """Signals with units; those that are counted through as one list. Payload where they can't be read."""
    if reading.signals is None:
        return reading.payload.hex()
    spec = Codec.load().spec(reading.name)
    series: dict[str, list[float]] = {}
    words = []
    if set(SESSION) <= reading.signals.keys():
        words.append(f"session {_session_text(reading.signals)!r}")
    for signal in spec.signals:
        if signal.name in SESSION:
            continue
        name = _series_name(signal.name, spec)
        if name is None:
            words.append(f"{signal.name} {_value_text(reading.signals[signal.name], signal)}")
        else:
            if name not in series:
                words.append(name)
            series.setdefault(name, []).append(reading.signals[signal.name])
    return ", ".join(f"{word} {_list_text(series[word])}" if word in series else word for word in words)


def _session_text(signals: Mapping[str, float]) -> str:
    """Sixteen characters in two numbers, the first one lowest."""
    text = b"".join(int(signals[name]).to_bytes(8, "little") for name in SESSION)
    return text.rstrip(b"\0").decode("ascii", "replace")


def _series_name(name: str, spec: MessageSpec) -> str | None:
    match = SERIES.fullmatch(name)
    if match is None or f"{name[: match.start(2)]}1" not in {signal.name for signal in spec.signals}:
        return None
    return match[1]


def _list_text(values: list[float]) -> str:
    return f"[{' '.join(f'{value:g}' for value in values)}]"


def _value_text(value: float, signal: SignalSpec) -> str:
    if math.isnan(value):
        return "–"
    if signal.choices and int(value) in signal.choices:
        return signal.choices[int(value)]
    unit = "" if signal.unit in ("", "-", "1") else f" {signal.unit}"
    if isinstance(value, int):
        return f"{value}{unit}"
    return f"{value:.{_decimals(signal)}f}{unit}"


def _decimals(signal: SignalSpec) -> int:
    """As many as the signal resolves."""
    return 4 if signal.is_float else max(0, math.ceil(-math.log10(signal.scale)))


def _verdict_text(reading: Reading) -> str:
    lost = f" {reading.lost} before it" if reading.lost else ""
    return f"{reading.verdict}{lost}{f': {reading.detail}' if reading.detail else ''}"

