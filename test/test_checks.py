"""Range checks: what passes, and what the message says."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_values_in_range_pass(value: float) -> None:
    check_range("soc", value, 0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "low", "high", "message"),
    [
        (1.5, 0.0, 1.0, "soc is 1.5 kW, allowed 0 to 1 kW"),
        (-0.1, 0.0, 1.0, "soc is -0.1 kW, allowed 0 to 1 kW"),
        (math.nan, 0.0, 1.0, "soc is nan kW, allowed 0 to 1 kW"),
        (math.inf, 0.0, math.inf, "soc is inf kW, allowed at least 0, finite kW"),
        (math.inf, -math.inf, math.inf, "soc is inf kW, allowed any finite number kW"),
        (3.0, -math.inf, 2.0, "soc is 3.0 kW, allowed up to 2, finite kW"),
    ],
)
def test_message_shows_value_and_range(value: float, low: float, high: float, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_range("soc", value, low, high, "kW")
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_not_positive_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="allowed above 0"):
        check_positive("ramp", value)
