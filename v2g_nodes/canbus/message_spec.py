"""The messages of the wire contract as ek3.dbc describes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cantools.database
from cantools.database.can import Database, Message, Signal

from v2g_nodes.canbus.identifier import Identifier
from v2g_nodes.core.errors import InputError

DBC_FILE = Path(__file__).with_name("ek3.dbc")
IDENTIFIER_MASK = 0x1F0000FF  # all but the slots, which the DBC can't know
HEADER_BYTES = 8  # version, time stamp, sequence, flags
TRAILER_BYTES = 8  # check
NO_VALUE = "not available"  # entry of a value table that stands for the absence of a number


class SignalSpec(NamedTuple):
    """One signal in the data part of a message.

    Args:
        name: as in the DBC.
        start_bit: counted from the first bit of the data part, little-endian.
        bits: width.
        is_signed: two's complement (integers only).
        is_float: float32 or float64.
        scale: value = scale * integer on the wire; 1 for floats.
        minimum: smallest allowed value, in `unit`.
        maximum: largest allowed value, in `unit`.
        unit: of the value; `-` for a mere number.
        choices: names of codes.
        none_raw: integer on the wire that means "no number" (NaN in Python); None if there is none.
        may_be_nan: NaN is allowed (floats only).
        comment: what it is.
    """

    name: str
    start_bit: int
    bits: int
    is_signed: bool
    is_float: bool
    scale: float
    minimum: float
    maximum: float
    unit: str
    choices: Mapping[int, str]
    none_raw: int | None
    may_be_nan: bool
    comment: str


class MessageSpec(NamedTuple):
    """One message.

    Args:
        name: as in the DBC.
        code: message code, bits 7-0 of the identifier.
        priority: 0 (first) to 7.
        kind: 0 command, 1 status, 2 event, 3 firmware.
        length: of the whole payload [bytes].
        cycle_ms: time between two frames of one sender when nothing happens [ms]; 0 = only on an event.
        fast_cycle_ms: the same when much happens [ms].
        senders: kinds of speakers.
        signals: of the data part, in order.
        comment: what it is.
    """

    name: str
    code: int
    priority: int
    kind: int
    length: int
    cycle_ms: int
    fast_cycle_ms: int
    senders: tuple[str, ...]
    signals: tuple[SignalSpec, ...]
    comment: str


class Contract(NamedTuple):
    """All messages of one version.

    Args:
        version: byte 0 of every payload.
        messages: in the order of the DBC.
    """

    version: int
    messages: tuple[MessageSpec, ...]


@lru_cache(maxsize=1)
def read_contract() -> Contract:
    """Read ek3.dbc.

    Raises:
        InputError: it uses something that frames here can't have.
    """
    database = cantools.database.load_file(DBC_FILE, frame_id_mask=IDENTIFIER_MASK)
    if not isinstance(database, Database) or database.version is None:
        raise InputError(f"{DBC_FILE.name} is not a CAN database with a version")
    return Contract(int(database.version), tuple(_message_spec(message) for message in database.messages))


def _message_spec(message: Message) -> MessageSpec:
    identifier = Identifier.unpack(message.frame_id)
    first_bit, end_bit = HEADER_BYTES * 8, (message.length - TRAILER_BYTES) * 8
    return MessageSpec(
        name=message.name,
        code=identifier.code,
        priority=identifier.priority,
        kind=identifier.kind,
        length=message.length,
        cycle_ms=message.cycle_time or 0,
        fast_cycle_ms=int(_attribute(message, "GenMsgCycleTimeFast")),
        senders=tuple(message.senders),
        signals=tuple(
            _signal_spec(message.name, signal, first_bit)
            for signal in sorted(message.signals, key=lambda signal: signal.start)
            if first_bit <= signal.start < end_bit
        ),
        comment=message.comment or "",
    )


def _signal_spec(message: str, signal: Signal, first_bit: int) -> SignalSpec:
    name = f"{message}.{signal.name}"
    if signal.byte_order != "little_endian" or signal.offset != 0 or (signal.is_float and signal.scale != 1):
        raise InputError(f"{DBC_FILE.name}: {name} is big-endian, has an offset or is a scaled float; not supported")
    if signal.minimum is None or signal.maximum is None or signal.unit is None:
        raise InputError(f"{DBC_FILE.name}: {name} has no range or no unit")
    choices = {int(number): str(text) for number, text in (signal.choices or {}).items()}
    return SignalSpec(
        name=signal.name,
        start_bit=signal.start - first_bit,
        bits=signal.length,
        is_signed=signal.is_signed,
        is_float=signal.is_float,
        scale=signal.scale,
        minimum=signal.minimum,
        maximum=signal.maximum,
        unit=signal.unit,
        choices=choices,
        none_raw=next((number for number, text in choices.items() if text == NO_VALUE), None),
        may_be_nan=bool(_attribute(signal, "NanMeansNone")),
        comment=signal.comment or "",
    )


def _attribute(of: Message | Signal, name: str) -> float:
    attributes = of.dbc.attributes if of.dbc else {}
    return float(attributes[name].value) if name in attributes else 0.0
