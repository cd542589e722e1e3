from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from v2g_nodes.msg import Curve, GridSignal, MarketPlan, NeighborState

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.membership import LinkReport
from v2g_nodes.core.optimizer_types import NO_EPOCH, NeighborReport
from v2g_nodes.core.plan import Plan
from v2g_nodes.core.privacy.key_book import KeyReport
from v2g_nodes.core.types import EpochId, Frame
from v2g_nodes.nodes import convert

uint8, uint16, uint32 = st.integers(0, 255), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
int8, int16 = st.integers(-128, 127), st.integers(-(2**15), 2**15 - 1)
values = st.lists(int16, min_size=10, max_size=10).map(tuple)
epochs = st.builds(EpochId, uint32, uint16, uint8)
fingerprints = uint32
frames = st.builds(
    Frame, sender=st.integers(1, 64), tag=uint32, round=st.integers(1, 255), bracket=uint8,
    exponent=int8, values=values, exponent_previous=int8, values_previous=values,
)  # fmt: skip
float32 = st.floats(width=32, allow_nan=False)
reports = st.builds(
    NeighborReport, sender=st.integers(1, 64), sequence=uint16, epoch=epochs, membership=fingerprints,
    target_kw=float32, lambda_eur_per_kwh=float32, power_kw=float32, agreed=st.booleans(),
    link=st.builds(LinkReport, st.integers(1, 64), uint16, uint16, st.integers(0, 2**64 - 1), st.booleans()),
)  # fmt: skip

keys = st.builds(
    KeyReport, sender=st.integers(1, 64), origin=st.integers(1, 64), stamp=st.integers(0, 2**64 - 1),
    public=st.binary(min_size=32, max_size=32), book=uint32,
)  # fmt: skip


def over_the_wire(message: object) -> object:
    return deserialize_message(serialize_message(message), type(message))


@settings(deadline=None)
@given(frames)
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    assert convert.curve_frame(over_the_wire(convert.curve_message(frame))) == frame


def test_a_first_frame_has_no_round_before() -> None:
    frame = Frame(3, 9, 0, 0, -3, tuple(range(10)))
    assert convert.curve_frame(over_the_wire(convert.curve_message(frame))) == frame


@settings(deadline=None)
@given(reports, st.booleans())
def test_a_report_survives_the_wire(report: NeighborReport, leaving: bool) -> None:
    message = over_the_wire(convert.state_message(report, leaving))
    assert convert.state_report(message) == report
    assert isinstance(message, NeighborState)
    assert bool(message.flags & NeighborState.FLAG_LEAVING) is leaving


@settings(deadline=None)
@given(keys, st.integers(0, 10_000))
def test_a_key_survives_the_wire_and_a_damaged_one_is_not_taken(report: KeyReport, place: int) -> None:
    message = convert.key_message(report)
    assert convert.key_report(over_the_wire(message)) == report
    wire = bytearray(serialize_message(message))
    before = bytes(wire)
    bit = 32 + place % (8 * (len(wire) - 4))
    wire[bit // 8] ^= 1 << bit % 8
    damaged = deserialize_message(bytes(wire), type(message))
    same = serialize_message(damaged) == before  # a bit of the padding
    assert convert.key_report(damaged) == (report if same else None)


def test_a_report_before_the_first_epoch_keeps_its_gaps() -> None:
    report = NeighborReport(1, 0, NO_EPOCH, 5, math.nan, math.nan, math.nan, False, LinkReport(1, 2, 3, 1 << 63))
    back = convert.state_report(over_the_wire(convert.state_message(report, False)))
    assert back is not None
    assert math.isnan(back.target_kw)
    assert math.isnan(back.lambda_eur_per_kwh)
    assert (back.epoch, back.agreed, back.link) == (NO_EPOCH, False, report.link)


@settings(deadline=None)
@given(st.one_of(frames, reports), st.integers(0, 10_000))
def test_what_is_damaged_on_the_way_is_not_taken(sent: Frame | NeighborReport, place: int) -> None:
    message = convert.curve_message(sent) if isinstance(sent, Frame) else convert.state_message(sent, False)
    wire = bytearray(serialize_message(message))
    bit = 32 + place % (8 * (len(wire) - 4))  # the first four bytes say how the rest is coded
    wire[bit // 8] ^= 1 << bit % 8
    damaged = deserialize_message(bytes(wire), type(message))
    if isinstance(sent, Frame):
        assert damaged == message or convert.curve_frame(damaged).tag != sent.tag  # padding may differ
    else:
        assert damaged == message or convert.state_report(damaged) is None


def test_the_two_exchange_messages_fit_a_can_frame() -> None:
    frame = Frame(64, 2**32 - 1, 65535, 255, -128, (-32768,) * 10, 127, (32767,) * 10)
    assert len(serialize_message(convert.curve_message(frame))) <= 64
    link = LinkReport(64, 65535, 65535, 2**64 - 1)
    report = NeighborReport(64, 65535, EpochId(1, 1, 1), 2**32 - 1, 1.0, 1.0, 1.0, True, link)
    assert len(serialize_message(convert.state_message(report, True))) <= 64
    assert len(serialize_message(Curve())) <= 64


# exact in the message's float32
PLAN = Plan(7, "csv", 3600.0, 900.0, (0.5, -1.25), (2.0, 0.0))


def test_a_plan_survives_the_wire() -> None:
    assert convert.plan_of(over_the_wire(convert.plan_message(PLAN))) == PLAN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_kw", [1.0]), ("base_kw", [math.nan, 0.0]), ("capacity_kw", [-1.0, 0.0]), ("slot_s", 0.0),
        ("slot_s", math.nan), ("slot_s", 80_000.0), ("start_time_of_day_s", -1.0), ("capacity_kw", []),
    ],
)  # fmt: skip
def test_an_unusable_plan_is_refused(field: str, value: object) -> None:
    message = convert.plan_message(PLAN)
    setattr(message, field, value)
    with pytest.raises(InputError, match="allowed"):
        convert.plan_of(message)


def test_an_empty_plan_message_is_refused() -> None:
    with pytest.raises(InputError):
        convert.plan_of(MarketPlan())


GOOD = {"source_id": 1, "frequency_hz": 50.02, "signal_pu": -0.5, "time_of_day_s": 61200.0}


@pytest.mark.parametrize(
    "more", [{}, {"frequency_hz": 45.0}, {"signal_pu": 1.0}, {"time_of_day_s": 86400.0},
             {"price_eur_per_kwh": math.nan}, {"source_id": 255}],
)  # fmt: skip
def test_a_signal_in_range_is_used(more: dict[str, float]) -> None:
    assert convert.signal_problem(GridSignal(**{**GOOD, **more}), 50.0) == ""


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"frequency_hz": math.nan}, "frequency_hz nan, allowed 45 to 55 Hz"),
        ({"frequency_hz": 0.0}, "frequency_hz 0, allowed 45 to 55 Hz"),
        ({"frequency_hz": 55.1}, "frequency_hz 55.1, allowed 45 to 55 Hz"),
        ({"frequency_hz": math.inf}, "frequency_hz inf, allowed 45 to 55 Hz"),
        ({"signal_pu": 1.01}, "signal_pu 1.01, allowed -1 to 1"),
        ({"signal_pu": math.nan}, "signal_pu nan, allowed -1 to 1"),
        ({"time_of_day_s": -1.0}, "time_of_day_s -1, allowed 0 to 86400 s"),
        ({"time_of_day_s": math.nan}, "time_of_day_s nan, allowed 0 to 86400 s"),
        ({"source_id": 0}, "source_id 0, allowed 1 to 255"),
    ],
)
def test_a_signal_out_of_range_is_refused_by_name(more: dict[str, float], text: str) -> None:
    assert convert.signal_problem(GridSignal(**{**GOOD, **more}), 50.0) == text


def test_the_range_of_frequency_follows_the_nominal_one() -> None:
    assert convert.signal_problem(GridSignal(**{**GOOD, "frequency_hz": 60.0}), 60.0) == ""
    assert "allowed 55 to 65 Hz" in convert.signal_problem(GridSignal(**GOOD), 60.0)


@settings(deadline=None)
@given(st.floats(0.0, 4e9))
def test_times_survive_to_the_nanosecond(seconds: float) -> None:
    assert convert.to_seconds(convert.to_time(seconds)) == pytest.approx(seconds, abs=1e-6)
    assert 0 <= convert.to_time(seconds).nanosec < 1_000_000_000


@settings(deadline=None)
@given(st.floats(1.6e9, 2.0e9), st.sampled_from([0.1, 0.5, 1.0, 2.0, 3.0]), st.floats(0.0, 10.0))
def test_signal_sequences_rise_with_time_and_hold_for_a_period(now_s: float, period_s: float, later_s: float) -> None:
    first, later = convert.signal_sequence(now_s, period_s), convert.signal_sequence(now_s + later_s, period_s)
    step = (later - first) % 2**32
    assert step < 2**31
    assert step % round(10 * period_s) == 0
    if later_s > 2 * period_s:
        assert step > 0
    if later_s < period_s:
        assert step <= round(10 * period_s)
