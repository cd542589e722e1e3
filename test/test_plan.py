"""Plan over the day, and the price-threshold rule."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.plan import Plan, price_threshold_plan

HOUR = 3600.0
EVENING = Plan(7, "csv", 22 * HOUR, HOUR, (1.0, 2.0, 3.0, 4.0), (10.0, 20.0, 30.0, 40.0))  # 22:00 to 02:00


@pytest.mark.parametrize(
    ("hour", "expected"),
    [
        (22.0, (1.0, 10.0)),
        (22.999, (1.0, 10.0)),
        (23.0, (2.0, 20.0)),
        (24.0, (3.0, 30.0)),
        (0.0, (3.0, 30.0)),
        (1.5, (4.0, 40.0)),
        (2.0, (0.0, 0.0)),  # after the end
        (12.0, (0.0, 0.0)),
        (21.999, (0.0, 0.0)),  # before the start
        (46.5, (1.0, 10.0)),  # a time of day beyond midnight
    ],
)
def test_plan_wraps_at_midnight_and_is_zero_after_its_end(hour: float, expected: tuple[float, float]) -> None:
    assert EVENING.at(hour * HOUR) == expected


def test_a_whole_day_has_no_gap() -> None:
    plan = Plan(1, "csv", 0.0, HOUR, tuple(float(h) for h in range(24)), (0.0,) * 24)
    assert [plan.at(h * HOUR)[0] for h in range(24)] == list(range(24))
    assert plan.at(86400.0) == (0.0, 0.0)
    assert plan.at(86399.999)[0] == 23.0
    assert replace(plan, base_kw=(5.0,) * 24).at(-1e-17)[0] == 5.0  # rounds to a whole day


def test_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="time_of_day_s is nan s"):
        EVENING.at(math.nan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 65536}, "plan version is 65536, allowed 0 to 65535"),
        ({"version": -1}, "plan version is -1"),
        ({"start_time_of_day_s": 90000.0}, "start_time_of_day_s is 90000.0 s, allowed 0 to 86400 s"),
        ({"slot_s": 0.0}, "slot_s is 0.0 s, allowed above 0"),
        ({"slot_s": 30000.0}, "plan covers 120000 s, allowed up to one day"),
        ({"base_kw": ()}, "0 slots of base_kw and 4 of capacity_kw"),
        ({"base_kw": (1.0,)}, "1 slots of base_kw and 4 of capacity_kw"),
        ({"base_kw": (1.0, math.nan, 0.0, 0.0)}, "base_kw of slot 1 is nan kW"),
        ({"capacity_kw": (1.0, 1.0, -0.5, 0.0)}, "capacity_kw of slot 2 is -0.5 kW, allowed at least 0"),
    ],
)
def test_plan_out_of_range_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(EVENING, **changes)


def test_rule_charges_cheap_and_discharges_dear() -> None:
    plan = price_threshold_plan([0.05, 0.10, 0.12, 0.30], 20.0, 0.6, 0.3, version=3, start_time_of_day_s=HOUR)
    assert plan.base_kw == (-6.0, 0.0, 0.0, 6.0)
    assert plan.capacity_kw == (12.0,) * 4
    assert (plan.version, plan.rule, plan.start_time_of_day_s, plan.slot_s) == (3, "price_threshold", HOUR, HOUR)


def test_flat_prices_rest() -> None:
    assert price_threshold_plan([0.1] * 24, 20.0, 0.6, 0.3).base_kw == (0.0,) * 24


def test_negative_prices_charge() -> None:
    assert price_threshold_plan([-0.05, 0.0, 0.02, 0.1], 10.0, 0.5, 0.5).base_kw[0] == -5.0


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    prices=st.lists(st.floats(-1.0, 5.0), min_size=1, max_size=24),
    rating=st.floats(1.0, 1000.0),
    share=st.floats(0.0, 1.0),
)
def test_base_and_capacity_stay_within_the_rating(prices: list[float], rating: float, share: float) -> None:
    plan = price_threshold_plan(prices, rating, share, 1.0 - share)
    for slot in range(len(prices)):
        base, capacity = plan.at(slot * HOUR)
        assert abs(base) + capacity <= rating * (1.0 + 1e-15)
        assert capacity >= 0.0


def test_rounding_of_the_fractions_does_not_exceed_the_rating() -> None:
    plan = price_threshold_plan([0.0, 1.0], 10.0, 0.5, 0.5 + 5e-10)
    assert plan.base_kw[1] > 5.0
    assert plan.base_kw[1] + plan.capacity_kw[1] == 10.0


@pytest.mark.parametrize(
    ("prices", "more", "message"),
    [
        ([], {}, "prices hold 0 slots"),
        ([0.1, math.nan], {}, "price of slot 1 is nan EUR/kWh"),
        ([0.1], {"rating_kw": 0.0}, "rating_kw is 0.0 kW"),
        ([0.1], {"capacity_fraction": 0.8}, "base_fraction 0.3 \\+ capacity_fraction 0.8 is 1.1, allowed up to 1"),
        ([0.1], {"capacity_fraction": -0.1}, "capacity_fraction is -0.1"),
        ([0.1], {"dear_quantile": 0.1}, "dear_quantile is 0.1, allowed 0.25 to 1"),
    ],
)
def test_rule_refuses_bad_input(prices: list[float], more: dict[str, float], message: str) -> None:
    arguments = {"rating_kw": 20.0, "capacity_fraction": 0.6, "base_fraction": 0.3, **more}
    with pytest.raises(InputError, match=message):
        price_threshold_plan(prices, **arguments)
