"""Signals to bytes and back: the same bits as cantools, and nothing wraps."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Any

import cantools.database
import pytest
from cantools.database.can import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.canbus.codec import Codec, SignalError
from v2g_nodes.canbus.message_spec import DBC_FILE, HEADER_BYTES, TRAILER_BYTES, SignalSpec

CODEC = Codec.load()
NAMES = [spec.name for spec in CODEC.messages]
NO_HEADER = dict.fromkeys(("version", "stamp_ms", "sequence", "flags", "check_low", "check_high"), 0)


@cache
def cantools_message(name: str) -> Message:
    return cantools.database.load_file(DBC_FILE).get_message_by_name(name)


def encoded_by_cantools(name: str, signals: dict[str, float]) -> bytes:
    raw = {  # cantools knows no NaN for "not available"
        signal.name: signal.none_raw * signal.scale
        for signal in CODEC.spec(name).signals
        if signal.none_raw is not None and math.isnan(signals[signal.name])
    }
    payload: bytes = cantools_message(name).encode(NO_HEADER | signals | raw, strict=False)
    return payload[HEADER_BYTES:-TRAILER_BYTES]


def decoded_by_cantools(name: str, data: bytes) -> dict[str, float]:
    values = cantools_message(name).decode(bytes(HEADER_BYTES) + data + bytes(TRAILER_BYTES), decode_choices=False)
    return {
        signal.name: math.nan
        if signal.none_raw is not None and values[signal.name] == signal.none_raw * signal.scale
        else values[signal.name]
        for signal in CODEC.spec(name).signals
    }


def single(value: float) -> float:
    """Rounded to float32."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return float(rounded)


def values_of(signal: SignalSpec) -> st.SearchStrategy[float]:
    """All values that a signal may have."""
    if signal.is_float:
        numbers = st.floats(signal.minimum, signal.maximum).map(single if signal.bits == 32 else float)
        return numbers | (st.just(math.nan) if signal.may_be_nan else st.nothing())
    absent = st.just(math.nan) if signal.none_raw is not None else st.nothing()
    if signal.scale == 1:
        return st.integers(int(signal.minimum), int(signal.maximum)) | absent
    return st.floats(signal.minimum, signal.maximum) | absent


def slack(signal: SignalSpec) -> float:
    """Rounding of the product of integer and scale."""
    return 0.0 if signal.scale == 1 else signal.scale / 100


def middle(name: str) -> dict[str, float]:
    """Some allowed value of each signal."""
    return {
        signal.name: (signal.minimum + signal.maximum) // 2 if signal.bits < 64 else 1
        for signal in CODEC.spec(name).signals
    }


def same(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    return ours.keys() == theirs.keys() and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in ((ours[name], theirs[name]) for name in ours)
    )


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_bits_are_those_of_cantools(name: str, data: st.DataObject) -> None:
    signals = {signal.name: data.draw(values_of(signal), signal.name) for signal in CODEC.spec(name).signals}
    packed = CODEC.pack(name, signals)
    assert packed == encoded_by_cantools(name, signals)
    unpacked = CODEC.unpack(name, packed)
    assert same(unpacked, decoded_by_cantools(name, packed))
    for signal in CODEC.spec(name).signals:
        assert unpacked[signal.name] == pytest.approx(signals[signal.name], abs=signal.scale * 0.500001, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_bits_are_read_as_cantools_reads_them_or_refused(name: str, data: st.DataObject) -> None:
    bits = data.draw(st.binary(min_size=CODEC.spec(name).length - 16, max_size=CODEC.spec(name).length - 16))
    theirs = decoded_by_cantools(name, bits)
    allowed = all(
        signal.minimum - slack(signal) <= theirs[signal.name] <= signal.maximum + slack(signal)
        or (math.isnan(theirs[signal.name]) and (signal.may_be_nan or signal.none_raw is not None))
        for signal in CODEC.spec(name).signals
    )
    if allowed:
        assert same(CODEC.unpack(name, bits), theirs)
    else:
        with pytest.raises(SignalError, match="on the wire, allowed"):
            CODEC.unpack(name, bits)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e30, -1e30, 10**30, -(10**30)])
def test_what_is_too_large_is_clipped(name: str, value: float) -> None:
    for signal in CODEC.spec(name).signals:
        unpacked = CODEC.unpack(name, CODEC.pack(name, middle(name) | {signal.name: value}))
        assert unpacked[signal.name] == pytest.approx(signal.maximum if value > 0 else signal.minimum, rel=1e-7)
        others = {other: found for other, found in unpacked.items() if other != signal.name}
        expected = CODEC.unpack(name, CODEC.pack(name, middle(name)))
        assert others == {other: expected[other] for other in others}


def test_one_past_the_end_does_not_wrap() -> None:
    for value, found in ((32768, 32767), (-32769, -32768), (32767.6, 32767)):
        assert CODEC.unpack("CURVE", CODEC.pack("CURVE", middle("CURVE") | {"value_3": value}))["value_3"] == found
    for value, found in ((32, 31), (-33, -32)):
        assert CODEC.unpack("CURVE", CODEC.pack("CURVE", middle("CURVE") | {"exponent": value}))["exponent"] == found
    for value, found in ((3.6001, 3.6), (-7.0, -3.6)):
        packed = CODEC.pack("SETPOINT", middle("SETPOINT") | {"power_kw": value})
        assert CODEC.unpack("SETPOINT", packed)["power_kw"] == pytest.approx(found)


@pytest.mark.parametrize("name", NAMES)
def test_no_number_is_sent_only_where_the_dbc_knows_absence(name: str) -> None:
    for signal in CODEC.spec(name).signals:
        signals = middle(name) | {signal.name: math.nan}
        if signal.may_be_nan or signal.none_raw is not None:
            assert math.isnan(CODEC.unpack(name, CODEC.pack(name, signals))[signal.name])
        else:
            with pytest.raises(SignalError, match=f"{signal.name} is not a number"):
                CODEC.pack(name, signals)


@pytest.mark.parametrize("changed", [{"power_kw": None}, {"power": 0.0}])
def test_names_must_be_exact(changed: dict[str, Any]) -> None:
    signals = middle("SETPOINT") | changed
    signals = {name: value for name, value in signals.items() if value is not None}
    with pytest.raises(SignalError, match="allowed exactly"):
        CODEC.pack("SETPOINT", signals)


def test_a_misspelt_bit_is_found() -> None:
    signals = middle("STATUS")
    signals["pluged"] = signals.pop("plugged")
    with pytest.raises(SignalError, match="allowed exactly"):
        CODEC.pack("STATUS", signals)


@given(
    words=st.lists(st.integers(-32768, 32767), min_size=20, max_size=20),
    tag=st.integers(0, 2**32 - 1),
    exponents=st.tuples(st.integers(-32, 31), st.integers(-32, 31)),
)
@settings(deadline=None)
def test_the_words_of_a_round_cross_unchanged(words: list[int], tag: int, exponents: tuple[int, int]) -> None:
    """The exchange is computed from these integers alone: the bus costs it no accuracy at all."""
    names = [f"{half}_{i}" for half in ("value", "previous") for i in range(10)]
    signals = dict(zip(names, words, strict=True)) | {
        "tag": tag, "round": 4095, "exponent": exponents[0], "exponent_previous": exponents[1], "bracket": 255,
    }  # fmt: skip
    assert CODEC.unpack("CURVE", CODEC.pack("CURVE", signals)) == signals


@given(value=st.floats(-1000, 1000, width=32))
@settings(deadline=None)
def test_prices_and_targets_cross_as_float32(value: float) -> None:
    """As on the topic, whose fields are float32 too; the set-point is rounded to 0.2 W (0.006 % of a module)."""
    signals = middle("NEIGHBOR_STATE") | {"lambda_eur_per_kwh": value, "target_kw": value}
    unpacked = CODEC.unpack("NEIGHBOR_STATE", CODEC.pack("NEIGHBOR_STATE", signals))
    assert struct.pack("<f", unpacked["lambda_eur_per_kwh"]) == struct.pack("<f", value)
    assert struct.pack("<f", unpacked["target_kw"]) == struct.pack("<f", value)
