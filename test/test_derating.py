"""Derating tables, against the figures of the EK3 specification."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.core.derating import EK3_DERATING, DeratingTable
from v2g_nodes.core.errors import InputError


@pytest.mark.parametrize(
    ("ambient_c", "limit_kw"),
    [(-20, 3.3), (35, 3.3), (40, 3.0), (42.5, 2.85), (45, 2.7), (50, 2.3), (55, 1.8), (57.5, 0.9), (60, 0), (80, 0)],
)
def test_ambient_table_of_the_specification(ambient_c: float, limit_kw: float) -> None:
    charge, discharge = EK3_DERATING.fractions(25.0, ambient_c)
    assert 3.3 * charge == pytest.approx(limit_kw)
    assert 3.3 * discharge == pytest.approx(limit_kw)


@pytest.mark.parametrize(
    ("junction_c", "charge", "discharge"),
    [
        (25, 1.0, 1.0),
        (100, 1.0, 1.0),
        (105, 1.0, 0.9),
        (110, 0.95, 0.8),
        (112.5, 0.9, 0.725),
        (115, 0.85, 0.65),
        (120, 0.7, 0.5),
        (125, 0.5, 0.3),
        (130, 0.25, 0.0),
        (150, 0.25, 0.0),
    ],
)
def test_junction_tables_of_the_specification(junction_c: float, charge: float, discharge: float) -> None:
    assert EK3_DERATING.fractions(junction_c, None) == (pytest.approx(charge), pytest.approx(discharge))


def test_the_smaller_fraction_counts() -> None:
    assert EK3_DERATING.fractions(115.0, 40.0) == (pytest.approx(0.85), pytest.approx(0.65))
    assert EK3_DERATING.fractions(105.0, 55.0) == (pytest.approx(1.8 / 3.3), pytest.approx(1.8 / 3.3))


def test_no_number_counts_as_hottest() -> None:
    assert EK3_DERATING.ambient.at(math.nan) == 0.0


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ((), "0 points"),
        (((50.0, 1.0), (40.0, 0.5)), "allowed ascending"),
        (((40.0, 1.0), (40.0, 0.5)), "allowed ascending"),
        (((40.0, 1.5),), "fraction at 40 deg C is 1.5, allowed 0 to 1"),
        (((math.nan, 0.5),), "temperature is nan"),
    ],
)
def test_bad_table_is_refused(points: tuple[tuple[float, float], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DeratingTable(points)
