"""Target rule: base + capacity * signal - shaving, the same bits at every module."""

from __future__ import annotations

import math
import struct

import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.target import target_kw, to_float32


def test_base_plus_capacity_times_signal() -> None:
    assert target_kw(2.0, 16.0, 0.5) == 10.0
    assert target_kw(2.0, 16.0, -1.0) == -14.0
    assert target_kw(-3.0, 0.0, 1.0) == -3.0


def test_positive_signal_asks_for_discharge() -> None:
    assert target_kw(0.0, 10.0, 0.25) > 0.0


@pytest.mark.parametrize(
    ("site_load_kw", "import_limit_kw", "expected"),
    [
        (30.0, 20.0, 10.0),  # 30 kW load, 20 kW allowed in: the station has to give 10 kW
        (30.0, 25.0, 5.0),
        (10.0, 20.0, 4.0),  # the plan keeps it well below
        (23.0, 20.0, 4.0),
        (math.nan, 20.0, 4.0),  # not measured
        (30.0, None, 4.0),
        (-5.0, 0.0, 4.0),
    ],
)
def test_shaving_keeps_the_import_at_its_limit(
    site_load_kw: float, import_limit_kw: float | None, expected: float
) -> None:
    target = target_kw(4.0, 0.0, 0.0, site_load_kw, import_limit_kw)
    assert target == expected
    if import_limit_kw is not None and not math.isnan(site_load_kw):
        assert site_load_kw - target <= import_limit_kw


def test_shaving_stops_charging_first() -> None:
    assert target_kw(-10.0, 0.0, 0.0, 15.0, 20.0) == -5.0


def test_result_survives_a_float32_message() -> None:
    target = target_kw(0.1, 0.7, 0.3)
    assert struct.unpack("<f", struct.pack("<f", target))[0] == target
    assert target == pytest.approx(0.31, rel=1e-6)
    assert target != 0.1 + 0.7 * 0.3
    assert to_float32(0.1) == struct.unpack("<f", struct.pack("<f", 0.1))[0]


def test_rounding_of_the_signal_is_cut_off() -> None:
    assert target_kw(0.0, 1000.0, 1.0 + 1e-7) == 1000.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 1.2), "signal_pu is 1.2 pu"),
        ((0.0, 1.0, math.nan), "signal_pu is nan pu"),
        ((0.0, -1.0, 0.0), "capacity_kw is -1.0 kW, allowed at least 0"),
        ((math.inf, 1.0, 0.0), "base_kw is inf kW"),
        ((0.0, 1.0, 0.0, 5.0, -1.0), "import_limit_kw is -1.0 kW"),
        ((0.0, 1.0, 0.0, math.inf, 1.0), "site_load_kw is inf kW"),
    ],
)
def test_out_of_range_is_named(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        target_kw(*arguments)


