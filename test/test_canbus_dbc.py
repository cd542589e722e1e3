"""The DBC: well-formed, complete, and the same to two readers that share no code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import canmatrix
import canmatrix.formats
import cantools.database
import pytest
from cantools.database.can import Message

from v2g_nodes.canbus.identifier import BROADCAST, Identifier
from v2g_nodes.canbus.message_spec import DBC_FILE, IDENTIFIER_MASK, SignalSpec, read_contract

CAN_FD_LENGTHS = (8, 12, 16, 20, 24, 32, 48, 64)
HEADER = {"version": (0, 8), "stamp_ms": (8, 32), "sequence": (40, 16), "flags": (56, 8)}
COMMANDS, STATUSES, EVENTS = 0, 1, 2


@pytest.fixture(scope="module")
def by_cantools() -> dict[str, Message]:
    database = cantools.database.load_file(DBC_FILE, strict=True)  # strict: refuses overlaps and what does not fit
    return {message.name: message for message in database.messages}


@pytest.fixture(scope="module")
def by_canmatrix() -> dict[str, canmatrix.Frame]:
    (matrix,) = canmatrix.formats.loadp(str(DBC_FILE)).values()
    assert matrix.load_errors == []
    return {frame.name: frame for frame in matrix.frames}


def of_cantools(message: Message) -> dict[str, Any]:
    return {
        "identifier": (message.frame_id, message.is_extended_frame),
        "is_fd": message.is_fd,
        "length": message.length,
        "cycle_ms": message.cycle_time or 0,
        "senders": sorted(message.senders),
        "comment": message.comment,
        "signals": {
            signal.name: (
                signal.start, signal.length, signal.byte_order == "little_endian", signal.is_signed, signal.is_float,
                float(signal.scale), float(signal.offset), float(signal.minimum), float(signal.maximum), signal.unit,
                signal.comment, {int(number): str(text) for number, text in (signal.choices or {}).items()},
            )
            for signal in message.signals
        },
    }  # fmt: skip


def of_canmatrix(frame: canmatrix.Frame) -> dict[str, Any]:
    return {
        "identifier": (frame.arbitration_id.id, frame.arbitration_id.extended),
        "is_fd": frame.is_fd,
        "length": frame.size,
        "cycle_ms": frame.cycle_time,
        "senders": sorted(frame.transmitters),
        "comment": frame.comment,
        "signals": {
            signal.name: (
                signal.start_bit, signal.size, signal.is_little_endian, signal.is_signed, signal.is_float,
                float(signal.factor), float(signal.offset), float(signal.min), float(signal.max), signal.unit,
                signal.comment, {int(number): str(text) for number, text in signal.values.items()},
            )
            for signal in frame.signals
        },
    }  # fmt: skip


def test_two_readers_see_the_same(by_cantools: dict[str, Message], by_canmatrix: dict[str, canmatrix.Frame]) -> None:
    assert len(by_cantools) == 12
    seen = {name: of_cantools(message) for name, message in by_cantools.items()}
    assert seen == {name: of_canmatrix(frame) for name, frame in by_canmatrix.items()}


def test_two_readers_decode_the_same_bits(
    by_cantools: dict[str, Message], by_canmatrix: dict[str, canmatrix.Frame]
) -> None:
    for name, message in by_cantools.items():
        payload = bytes(range(1, message.length + 1))
        theirs = by_canmatrix[name].decode(payload)
        ours = message.decode(payload, decode_choices=False)
        assert {signal: float(value.phys_value) for signal, value in theirs.items()} == pytest.approx(ours)


def test_payload_layout_is_the_one_of_the_ek3_bus(by_cantools: dict[str, Message]) -> None:
    for message in by_cantools.values():
        bits = (message.length - 8) * 8
        layout = HEADER | {"check_low": (bits, 32), "check_high": (bits + 32, 32)}
        found = {signal.name: (signal.start, signal.length) for signal in message.signals if signal.name in layout}
        assert found == layout, message.name
        assert message.length in CAN_FD_LENGTHS
        assert message.is_fd
        assert message.is_extended_frame


def test_identifiers_name_code_priority_and_type() -> None:
    contract = read_contract()
    assert [len({getattr(spec, field) for spec in contract.messages}) for field in ("name", "code")] == [12, 12]
    kinds = {spec.name: spec.kind for spec in contract.messages}
    assert {name for name, kind in kinds.items() if kind == COMMANDS} == {"SETPOINT", "TIME_SYNC", "PLAN"}
    assert {name for name, kind in kinds.items() if kind == EVENTS} == {"FAULT", "JOIN_LEAVE"}


def test_masked_identifiers_have_no_slots(by_cantools: dict[str, Message]) -> None:
    for message in by_cantools.values():
        fields = Identifier.unpack(message.frame_id)
        assert (fields.source, fields.destination) == (0, BROADCAST)
        assert Identifier.unpack(message.frame_id & IDENTIFIER_MASK)[2:4] == (0, 0)


def test_faults_come_first_then_set_points() -> None:
    order = sorted(read_contract().messages, key=lambda spec: spec.priority)
    assert [spec.name for spec in order[:2]] == ["FAULT", "SETPOINT"]
    assert order[1].priority < order[2].priority
    assert order[0].length == order[1].length == 24


def all_signals() -> Iterator[tuple[str, SignalSpec]]:
    return ((spec.name, signal) for spec in read_contract().messages for signal in spec.signals)


def test_every_signal_and_message_says_what_it_is() -> None:
    for spec in read_contract().messages:
        assert spec.comment, spec.name
        assert spec.senders, spec.name
        assert spec.fast_cycle_ms > 0, spec.name
        assert spec.cycle_ms == 0 or spec.cycle_ms >= spec.fast_cycle_ms, spec.name
    for name, signal in all_signals():
        assert signal.unit, (name, signal.name)
        assert signal.comment, (name, signal.name)
        assert signal.minimum < signal.maximum, (name, signal.name)


def test_ranges_fit_into_the_bits_and_spare_the_word_for_no_value() -> None:
    for name, signal in all_signals():
        if signal.is_float:
            continue
        lowest = -(1 << (signal.bits - 1)) if signal.is_signed else 0
        raw = [
            bound if signal.scale == 1 else round(bound / signal.scale) for bound in (signal.minimum, signal.maximum)
        ]
        assert lowest <= raw[0] <= raw[1] <= lowest + (1 << signal.bits) - 1, (name, signal.name)
        if signal.none_raw is not None:
            assert not raw[0] <= signal.none_raw <= raw[1], (name, signal.name)


def test_what_may_be_absent_says_so() -> None:
    for name, signal in all_signals():
        assert signal.may_be_nan == (signal.is_float and "NaN" in signal.comment), (name, signal.name)


def test_units_in_names_are_the_units() -> None:
    units = {"_kw": "kW", "_s": "s", "_ms": "ms", "_hz": "Hz", "_v": "V", "_c": "degC", "_kwh": "kWh", "_wh": "Wh",
             "_ds": "0.1 s", "_pu": "-", "_eur_per_kwh": "EUR/kWh"}  # fmt: skip
    checked = 0
    for name, signal in all_signals():
        stem = signal.name.rstrip("0123456789").rstrip("_") if signal.name[-1].isdigit() else signal.name
        suffix = next((end for end in sorted(units, key=len, reverse=True) if stem.endswith(end)), None)
        if suffix is not None:
            checked += 1
            assert signal.unit == units[suffix], (name, signal.name)
    assert checked > 30
