"""Signals to bytes and back, made from ek3.dbc.

The DBC is read by cantools; its encoder raises for what is out of range, so each message gets one of its own here,
which clips and is tested to give the same bits.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from v2g_nodes.canbus.message_spec import HEADER_BYTES, TRAILER_BYTES, MessageSpec, SignalSpec, read_contract
from v2g_nodes.core.errors import V2gError

INTEGER_CODES = {8: "B", 16: "H", 32: "I", 64: "Q"}  # struct; lower case for signed ones
FLOAT_CODES = {32: "f", 64: "d"}
_WORD = ""  # in place of a name, for an item that several signals share


class SignalError(V2gError, ValueError):
    """A signal has a value that can't be sent, or one was received that is out of its range."""


class _Member(NamedTuple):
    """A signal that shares a word with others."""

    name: str
    shift: int
    mask: int
    sign: int  # value of the sign bit; 0 for unsigned ones
    quantise: Callable[[float], float]


class _Word(NamedTuple):
    """Neighbouring signals that are read and written together."""

    place: int  # among the struct's items
    members: tuple[_Member, ...]


class _Bounds(NamedTuple):
    """What a received item has to be, and how it becomes a value."""

    name: str
    low: float
    high: float
    none_raw: int | None
    may_be_nan: bool
    scale: float


class MessageCodec:
    """Packs and unpacks the data part of one message."""

    def __init__(self, spec: MessageSpec) -> None:
        self.spec = spec
        self._struct, self._plain, self._words = _lay_out(spec)
        self._quantise = {signal.name: _quantiser(signal) for signal in spec.signals}
        plain = {name: index for index, name in enumerate(self._plain)}
        self._special = [
            (plain[signal.name], self._quantise[signal.name])
            for signal in spec.signals
            if signal.name in plain and not _is_plain(signal)
        ]
        self._items = list(self._plain)
        for word in self._words:
            self._items.insert(word.place, _WORD)
        self._bounds = [_bounds(signal) for signal in spec.signals if not _is_plain(signal)]

    def pack(self, signals: Mapping[str, float]) -> bytes:
        """Data part with these values, each clipped to its range.

        Args:
            signals: all signals of the message, in the DBC's units; NaN where there is no value.

        Raises:
            SignalError: a signal is missing or unknown, or NaN where the DBC knows no absence.
        """
        if len(signals) != len(self._quantise):
            raise self._names_error(signals)
        try:
            items = list(map(signals.__getitem__, self._plain))
            for index, quantise in self._special:
                items[index] = quantise(items[index])
            return self._struct.pack(*self._with_words(items, signals))
        except KeyError as error:
            raise self._names_error(signals) from error
        except struct.error:  # an integer signal got a float or something beyond its range
            items = [self._quantise[name](signals[name]) for name in self._plain]
            return self._struct.pack(*self._with_words(items, signals))

    def unpack(self, data: bytes) -> dict[str, float]:
        """Values of all signals: integers where the scale is 1, NaN where there is no value.

        Raises:
            SignalError: the length is wrong or a value is out of its range.
        """
        try:
            items = self._struct.unpack(data)
        except struct.error as error:
            raise SignalError(f"{self.spec.name}: {len(data)} bytes, allowed {self._struct.size}") from error
        values: dict[str, float] = dict(zip(self._items, items, strict=True))
        for place, members in self._words:
            word = items[place]
            for name, shift, mask, sign, _ in members:
                values[name] = ((word >> shift & mask) ^ sign) - sign
        if self._words:
            del values[_WORD]
        for name, low, high, none_raw, may_be_nan, scale in self._bounds:
            raw = values[name]
            if low <= raw <= high:
                if scale != 1:
                    values[name] = raw * scale
            elif raw == none_raw or (raw != raw and may_be_nan):
                values[name] = math.nan
            else:
                raise SignalError(f"{name} is {raw} on the wire, allowed {low} to {high}")
        return values

    def _names_error(self, signals: Mapping[str, float]) -> SignalError:
        return SignalError(f"{self.spec.name}: signals {sorted(signals)}, allowed exactly {sorted(self._quantise)}")

    def _with_words(self, items: list[float], signals: Mapping[str, float]) -> list[float]:
        for place, members in self._words:
            word = 0
            for name, shift, mask, _, quantise in members:
                word |= (int(quantise(signals[name])) & mask) << shift
            items.insert(place, word)
        return items


class Codec:
    """Packs and unpacks the data parts of all messages. Get it by Codec.load()."""

    def __init__(self) -> None:
        contract = read_contract()
        self.version = contract.version
        self.messages = contract.messages
        self._codecs = {spec.name: MessageCodec(spec) for spec in contract.messages}
        self._by_code = {spec.code: spec for spec in contract.messages}

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> Codec:
        """The codec of ek3.dbc, made once."""
        return Codec()

    def spec(self, name: str) -> MessageSpec:
        """Description of a message.

        Raises:
            KeyError: there is none of that name.
        """
        return self._codecs[name].spec

    def by_code(self, code: int) -> MessageSpec | None:
        """The message with this code, if there is one."""
        return self._by_code.get(code)

    def pack(self, name: str, signals: Mapping[str, float]) -> bytes:
        """See MessageCodec.pack."""
        return self._codecs[name].pack(signals)

    def unpack(self, name: str, data: bytes) -> dict[str, float]:
        """See MessageCodec.unpack."""
        return self._codecs[name].unpack(data)


def _lay_out(spec: MessageSpec) -> tuple[struct.Struct, tuple[str, ...], tuple[_Word, ...]]:
    """Struct of a data part, the signals that are items of their own, and the words of those that share one."""
    format_text, plain, words, position, index = "<", [], [], 0, 0
    for group in _groups(spec.signals):
        first_byte = group[0].start_bit // 8
        end_byte = -(-(group[-1].start_bit + group[-1].bits) // 8)
        format_text += f"{first_byte - position}x"
        if len(group) == 1 and group[0].bits == (end_byte - first_byte) * 8:
            format_text += _struct_code(group[0])
            plain.append(group[0].name)
        else:
            format_text += INTEGER_CODES[(end_byte - first_byte) * 8]
            words.append(_Word(index, tuple(_member(signal, first_byte * 8) for signal in group)))
        position, index = end_byte, index + 1
    format_text += f"{spec.length - HEADER_BYTES - TRAILER_BYTES - position}x"
    return struct.Struct(format_text), tuple(plain), tuple(words)


def _groups(signals: tuple[SignalSpec, ...]) -> list[list[SignalSpec]]:
    """Signals cut where one begins on a byte of its own, in order."""
    groups = [[signals[0]]]
    for before, signal in pairwise(signals):
        if signal.start_bit % 8 != 0 or (before.bits % 8 != 0 and signal.start_bit == before.start_bit + before.bits):
            groups[-1].append(signal)
        else:
            groups.append([signal])
    return groups


def _struct_code(signal: SignalSpec) -> str:
    if signal.is_float:
        return FLOAT_CODES[signal.bits]
    code = INTEGER_CODES[signal.bits]
    return code.lower() if signal.is_signed else code


def _member(signal: SignalSpec, word_start_bit: int) -> _Member:
    return _Member(
        signal.name,
        signal.start_bit - word_start_bit,
        (1 << signal.bits) - 1,
        1 << (signal.bits - 1) if signal.is_signed else 0,
        _quantiser(signal),
    )


def _raw_range(signal: SignalSpec) -> tuple[float, float]:
    """Smallest and largest allowed item on the wire."""
    if not signal.is_float and signal.scale == 1:
        return signal.minimum, signal.maximum
    if not signal.is_float:
        return round(signal.minimum / signal.scale), round(signal.maximum / signal.scale)
    code = FLOAT_CODES[signal.bits]
    low, high = struct.unpack(f"<2{code}", struct.pack(f"<2{code}", signal.minimum, signal.maximum))
    return min(low, signal.minimum), max(high, signal.maximum)


def _is_plain(signal: SignalSpec) -> bool:
    """Whether every pattern of bits is a value, and the value is the integer itself."""
    if signal.is_float or signal.scale != 1 or signal.none_raw is not None:
        return False
    low = -(1 << (signal.bits - 1)) if signal.is_signed else 0
    return (signal.minimum, signal.maximum) == (low, low + (1 << signal.bits) - 1)


def _bounds(signal: SignalSpec) -> _Bounds:
    return _Bounds(signal.name, *_raw_range(signal), signal.none_raw, signal.may_be_nan, signal.scale)


def _quantiser(signal: SignalSpec) -> Callable[[float], float]:
    """What turns a value into the item on the wire."""
    name, low, high, scale, none_raw = signal.name, signal.minimum, signal.maximum, signal.scale, signal.none_raw

    def absent() -> float:
        if signal.may_be_nan:
            return math.nan
        if none_raw is None:
            raise SignalError(f"{name} is not a number, allowed {low} to {high} {signal.unit}")
        return none_raw

    def real(value: float) -> float:
        return min(max(value, low), high) if value == value else absent()

    def integer(value: float) -> float:
        return round(min(max(value, low), high)) if value == value else absent()

    def scaled(value: float) -> float:
        return round(min(max(value, low), high) / scale) if value == value else absent()

    if signal.is_float:
        return real
    return integer if scale == 1 else scaled
