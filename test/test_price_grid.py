"""Prices to try, and what the supply at them says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.dispatch import price_grid
from v2g_nodes.core.dispatch.price_grid import (
    VALUES_PER_FRAME,
    WarmStart,
    cold_prices,
    find_crossing,
    finite_prices,
    guess_price,
    refined_prices,
    warm_prices,
)

RATING_KW = 30.0


def curve(step_kw: float = 0.0, target_kw: float = 4.0) -> WarmStart:
    prices = tuple(0.1 * k for k in range(-9, 10))
    return WarmStart(prices, tuple(10.0 * x for x in prices), target_kw, step_kw, 7)


def ascending(prices: tuple[float, ...]) -> bool:
    return all(a < b for a, b in zip(prices, prices[1:], strict=False))


@settings(deadline=None)
@given(st.floats(-40.0, 40.0), st.floats(0.01, 5.0))
def test_cold_prices_cover_everything(target_kw: float, span: float) -> None:
    prices = cold_prices(span, target_kw, RATING_KW)
    assert len(prices) == VALUES_PER_FRAME
    assert (prices[0], prices[-1]) == (-math.inf, math.inf)
    assert ascending(prices)
    assert max(map(abs, prices[1:-1])) < span
    assert min(prices[1:-1]) < 0.0 < max(prices[1:-1])


def test_cold_prices_lie_where_the_target_asks() -> None:
    up, down = cold_prices(1.0, 20.0, RATING_KW), cold_prices(1.0, -20.0, RATING_KW)
    assert down == tuple(-x for x in reversed(up))
    assert sum(x > 0 for x in up) == 7
    even = cold_prices(1.0, 0.5, RATING_KW)
    assert even == tuple(-x for x in reversed(even))


@settings(deadline=None)
@given(st.floats(-8.9, 8.9))
def test_warm_prices_lie_around_the_guess(target_kw: float) -> None:
    prices = warm_prices(curve(target_kw=target_kw), 1.0, target_kw, RATING_KW)
    assert prices is not None
    assert len(prices) == VALUES_PER_FRAME
    assert (prices[0], prices[-1]) == (-math.inf, math.inf)
    assert list(prices) == sorted(prices)
    near = [x for x in prices if abs(x - target_kw / 10.0) < 0.03]
    assert len(near) >= 4
    assert min(near) < target_kw / 10.0 < max(near)


def test_a_memory_that_says_too_little_is_not_used() -> None:
    assert warm_prices(curve(), 1.0, 4.0, RATING_KW) is not None
    assert warm_prices(curve(target_kw=9.0), 1.0, 9.5, RATING_KW) is None  # beyond the curve
    assert warm_prices(curve(), 0.5, 4.0, RATING_KW) is None  # its cells are too wide for this span
    assert warm_prices(curve(target_kw=-8.0), 1.0, 4.0, RATING_KW) is None  # a long step to here
    assert warm_prices(curve(step_kw=12.0), 1.0, 4.0, RATING_KW) is None  # a long step before
    assert warm_prices(curve(step_kw=math.inf), 1.0, 4.0, RATING_KW) is None


@settings(deadline=None)
@given(st.floats(-1.0, 1.0), st.floats(1e-4, 1.0), st.floats(-0.5, 1.5))
def test_refined_prices_divide_a_cell(low: float, width: float, place: float) -> None:
    high, guess = low + width, low + place * width
    prices = refined_prices(low, high, guess)
    assert len(prices) == VALUES_PER_FRAME
    assert (prices[0], prices[-1]) == (low, high)
    assert ascending(prices)
    cells = list(zip(prices, prices[1:], strict=False))
    assert max(b - a for a, b in cells) < 0.35 * width  # wherever the guess lies, no cell stays large
    inside = min(max(guess, low), high)
    if 0.01 < place < 0.99:  # denser around the guess
        assert guess - 0.15 * (guess - low) <= max(x for x in prices if x <= guess + 1e-12)
        assert guess + 0.15 * (high - guess) >= min(x for x in prices if x >= guess - 1e-12)
    assert min(b - a for a, b in cells if a - 1e-9 <= inside <= b + 1e-9) < 0.25 * width


@pytest.mark.parametrize(
    ("totals", "target_kw", "cell", "share", "clipped"),
    [
        ((-1.0, 0.0, 2.0), 1.0, 1, 0.5, 1.0),
        ((-1.0, 0.0, 2.0), -0.75, 0, 0.25, -0.75),
        ((-1.0, 0.0, 2.0), 0.0, 0, 1.0, 0.0),
        ((-1.0, 0.0, 2.0), -1.0, 0, 0.0, -1.0),
        ((-1.0, 0.0, 2.0), -5.0, 0, 0.0, -1.0),
        ((-1.0, 0.0, 2.0), 2.0, 1, 1.0, 2.0),
        ((-1.0, 0.0, 2.0), 7.0, 1, 1.0, 2.0),
        ((-1.0, 0.0, 0.0, 0.0, 2.0), 0.0, 0, 1.0, 0.0),
        ((-1.0, 0.0, 2.0, 2.0, 2.0), 2.0, 1, 1.0, 2.0),
        ((0.0, 0.0, 0.0), 0.0, 0, 0.5, 0.0),
        ((0.0, 0.0, 0.0), 1.0, 0, 0.5, 0.0),
    ],
)
def test_crossings(totals: tuple[float, ...], target_kw: float, cell: int, share: float, clipped: float) -> None:
    found = find_crossing(totals, target_kw)
    assert (found.cell, found.share, found.clipped_target_kw) == (cell, share, clipped)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(1e-3, 1.0), st.floats(0.0, 5.0)), min_size=2, max_size=18),
    st.floats(-1.0, 100.0),
)
def test_a_guess_stays_in_its_cell(steps: list[tuple[float, float]], target_kw: float) -> None:
    prices, totals = [0.0], [0.0]
    for rise, run in steps:
        prices.append(prices[-1] + rise)
        totals.append(totals[-1] + run)
    crossing = find_crossing(tuple(totals), target_kw)
    guess = guess_price(tuple(prices), tuple(totals), crossing)
    assert prices[crossing.cell] - 1e-9 <= guess <= prices[crossing.cell + 1] + 1e-9


def test_a_guess_follows_the_curve() -> None:
    prices = tuple(0.1 * k for k in range(11))
    totals = tuple(x**2 for x in prices)
    for target_kw in (0.2, 0.33, 0.5, 0.7):
        guess = guess_price(prices, totals, find_crossing(totals, target_kw))
        assert guess == pytest.approx(math.sqrt(target_kw), abs=2e-4)
    line = tuple(3.0 * x for x in prices)
    assert guess_price(prices, line, find_crossing(line, 1.0)) == pytest.approx(1 / 3)
    flat = (0.0, 1.0, 1.0, 2.0)
    assert guess_price((0.0, 1.0, 3.0, 4.0), flat, price_grid.Crossing(1, 0.5, 1.0)) == 2.0


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ((-math.inf, 0.1, math.inf), (-1.0, 0.1, 1.0)),
        ((-math.inf, -1.5, 2.0, math.inf), (-1.5 - 1e-6, -1.5, 2.0, 2.0 + 1e-6)),
        ((-math.inf, 0.1, 0.2), (-1.0, 0.1, 0.2)),
        ((0.1, 0.2, math.inf), (0.1, 0.2, 1.0)),
        ((0.1, 0.2, 0.3), (0.1, 0.2, 0.3)),
    ],
)
def test_finite_prices(prices: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert finite_prices(prices, 1.0) == pytest.approx(expected, rel=1e-12)
