"""Frame times and bus load."""

from __future__ import annotations

import pytest

from v2g_nodes.canbus.bit_time import LENGTHS, FrameBits, frame_bits, frame_time_s
from v2g_nodes.canbus.bus_load import BusLoad
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.core.errors import InputError

RATES = CanSettings(bitrate=1_000_000, data_bitrate=5_000_000)


def test_bits_of_frames_counted_by_hand() -> None:
    # 8 B: 1+11+1+1+18+1+1+1+1 = 36 and 12 at arbitration rate; 5 + 64 + (4+17) + 6 + 1 = 97 at data rate
    assert frame_bits(8, "none") == FrameBits(48, 97)
    # stuffed are 36 + 69 = 105 bits: 26 stuff bits, 8 of them in the first 36
    assert frame_bits(8) == FrameBits(56, 115)
    # 64 B: 5 + 512 + (4+21) + 7 + 1 = 550; 553 stuffed bits: 138 stuff bits
    assert frame_bits(64, "none") == FrameBits(48, 550)
    assert frame_bits(64) == FrameBits(56, 680)


def test_the_longer_crc_begins_above_16_bytes() -> None:
    assert frame_bits(16, "none").data - 8 * 16 == 33
    assert frame_bits(20, "none").data - 8 * 20 == 38


def test_times_known_for_this_bus() -> None:
    assert frame_time_s(16, RATES) == pytest.approx(95.0e-6)  # about 95 us, derived elsewhere
    assert frame_time_s(64, RATES) == pytest.approx(192.0e-6)  # 0.17 to 0.19 ms with the stuffing between these two
    assert frame_time_s(64, RATES, "none") == pytest.approx(158.0e-6)


def test_longer_frames_take_longer() -> None:
    times_s = [frame_time_s(length, RATES) for length in LENGTHS]
    assert times_s == sorted(set(times_s))


@pytest.mark.parametrize("length", [-1, 9, 47, 65])
def test_a_length_that_no_frame_has_is_refused(length: int) -> None:
    with pytest.raises(InputError, match=f"payload is {length} bytes, allowed 0, 1"):
        frame_bits(length)


def test_load_of_a_regular_stream() -> None:
    load = BusLoad(RATES)
    for millisecond in range(0, 3000, 2):
        load.add(64, millisecond * 1_000_000)
    result = load.load(3_000_000_000)
    assert result.frames == 1500
    assert result.mean == pytest.approx(0.096)
    assert result.peak_100ms == pytest.approx(0.096)
    assert result.peak_1s == pytest.approx(0.096)


def test_a_burst_fills_its_windows_only() -> None:
    load = BusLoad(RATES)
    load.add(16, 0)
    for _ in range(100):
        load.add(64, 5_050_000_000)
    load.add(16, 9_000_000_000)
    result = load.load(10_000_000_000)
    assert result.peak_100ms == pytest.approx(0.192)
    assert result.peak_1s == pytest.approx(0.0192)
    assert result.mean == pytest.approx((100 * 192e-6 + 2 * 95e-6) / 10.0)


def test_a_second_is_ten_windows_in_a_row() -> None:
    load = BusLoad(RATES)
    for tenth in (0, 1, 9, 10):  # the last one a second after the first
        load.add(64, tenth * 100_000_000)
    assert load.load(2_000_000_000).peak_1s == pytest.approx(3 * 192e-6)


def test_nothing_seen_is_no_load() -> None:
    assert BusLoad(RATES).load(1).mean == 0.0
