"""Events for the supervisor: JSON lines on standard output, one object each. Silent when nobody supervises."""

from __future__ import annotations

import contextlib
import json
import math
import os

_readers: list[int] = []  # file descriptors


def supervise() -> None:
    """From now on somebody reads the events on standard output."""
    _readers[:] = [1]


def emit(event: str, **fields: object) -> None:
    """Write one event; numbers that are not finite become null. A reader that is gone misses it."""
    for descriptor in _readers:
        line = json.dumps({"event": event, **{k: _plain(v) for k, v in fields.items()}}, separators=(",", ":"))
        with contextlib.suppress(BrokenPipeError):
            _write_all(descriptor, line.encode() + b"\n")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value
