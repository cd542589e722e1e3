"""Energy and cost of sessions from the counters of meters."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.core.settlement import Settlement


def test_energy_and_cost_go_to_the_session_and_the_price_of_the_time() -> None:
    settlement = Settlement()
    settlement.see(1, "a", 10.0, 20.0, 0.30)  # counting begins
    settlement.see(1, "a", 10.0, 21.0, 0.30)
    settlement.see(1, "a", 12.0, 21.0, 0.50)
    settlement.see(1, "b", 12.0, 21.5, 0.10)
    settlement.see(2, "c", 5.0, 5.0, 0.10)
    a, b = settlement.take()
    assert (a.module_id, a.session_id, a.discharged_kwh, a.charged_kwh) == (1, "a", 2.0, 1.0)
    assert a.cost_eur == pytest.approx(0.30 * 1.0 - 0.50 * 2.0)
    assert (a.discharged_counter_kwh, a.charged_counter_kwh) == (12.0, 21.0)
    assert (b.session_id, b.charged_kwh, b.cost_eur) == ("b", 0.5, pytest.approx(0.05))


def test_what_was_taken_is_not_taken_again_and_nothing_is_lost_between() -> None:
    settlement = Settlement()
    counters = [0.0, 0.3, 0.7, 1.0, 1.6]
    taken = []
    for counter in counters:
        settlement.see(1, "a", counter, 0.0, 0.2)
        taken += settlement.take()
    assert sum(figures.discharged_kwh for figures in taken) == pytest.approx(1.6)
    assert settlement.take() == []


def test_a_counter_that_begins_anew_costs_nobody_anything() -> None:
    settlement = Settlement()
    settlement.see(1, "a", 100.0, 50.0, 0.2)
    settlement.see(1, "a", 0.5, 0.0, 0.2)
    settlement.see(1, "a", 0.75, 0.0, 0.2)
    (figures,) = settlement.take()
    assert (figures.discharged_kwh, figures.charged_kwh) == (0.25, 0.0)


def test_energy_without_a_price_is_told_apart() -> None:
    settlement = Settlement()
    settlement.see(1, "a", 0.0, 0.0, math.nan)
    settlement.see(1, "a", 1.0, 0.0, math.nan)
    settlement.see(1, "a", 1.0, 2.0, 0.1)
    (figures,) = settlement.take()
    assert (figures.unpriced_kwh, figures.cost_eur) == (1.0, pytest.approx(0.2))


def test_a_meter_that_shows_no_number_is_passed_over() -> None:
    settlement = Settlement()
    settlement.see(1, "a", 1.0, 1.0, 0.1)
    settlement.see(1, "a", math.nan, 1.5, 0.1)
    settlement.see(1, "a", 1.0, 2.0, 0.1)
    (figures,) = settlement.take()
    assert figures.charged_kwh == 1.0
