"""A run on the regulation signal: means of 10 s, hours, score, credits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from v2g_nodes.planning.market.regulation import Moment, RegulationRecord
from v2g_nodes.planning.market.score import performance_score
from v2g_nodes.planning.market.signal_statistics import Need
from v2g_nodes.planning.market.station_day import NEED, need_of_signal, station_day, station_plan
from v2g_nodes.planning.market.synthetic import prices

IDLE = Moment(10.0, 0.0, 0.0, 0.03, 0.002, 0.5, 0.2)


def signal_at(time_s: float) -> float:
    """A new value every 2 s."""
    return round(0.8 * math.sin(2.0 * math.floor(time_s / 2.0) / 37.0), 6)


def follow(seconds: float, late_s: float = 0.0, share: float = 1.0, step_s: float = 0.2,
           reference: float = 6.0) -> RegulationRecord:  # fmt: skip
    """A station that follows late and by a share."""
    record = RegulationRecord(reference)
    for t in np.arange(0.0, seconds + step_s / 2.0, step_s).tolist():
        given_kw = share * IDLE.capacity_kw * signal_at(max(t - late_s, 0.0))
        record.see(100.0 + t, replace(IDLE, signal_pu=signal_at(t), response_kw=given_kw))
    return record


def test_who_follows_exactly_scores_one() -> None:
    settled = follow(600.0).settle()
    assert settled.score == pytest.approx(1.0, abs=1e-9)
    assert settled.hours == 1
    assert settled.capacity_kwh == pytest.approx(10.0 / 6.0)


def test_bins_are_means_over_ten_seconds_of_what_held() -> None:
    times, asked, given = follow(600.0, share=0.5).means()
    values = [10.0 * signal_at(10.0 * 7 + k) for k in range(0, 10, 2)]
    assert (len(times), times[7]) == (60, 75.0)
    assert asked[7] == pytest.approx(np.mean(values), abs=1e-6)
    assert given[7] == pytest.approx(0.5 * np.mean(values), abs=1e-6)


def test_a_short_lag_costs_precision_a_long_one_delay_too() -> None:
    short, long = follow(1200.0, late_s=2.0).settle(), follow(1200.0, late_s=30.0).settle()
    assert short.delay == 1.0
    assert 0.9 < (short.precision or 0.0) < 1.0
    assert long.delay == pytest.approx(0.9)
    assert long.accuracy == pytest.approx(1.0, abs=1e-6)
    assert follow(600.0, share=0.5).settle().precision == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("step_s", [0.1, 2.0])
def test_the_score_is_that_of_the_means(step_s: float) -> None:
    record = follow(900.0, late_s=3.0, share=0.9, step_s=step_s)
    _, asked, given = record.means()
    assert record.settle().score == pytest.approx(performance_score(np.array(asked), np.array(given)).score)


def test_ten_seconds_that_are_not_over_do_not_count() -> None:
    record = follow(600.0)
    record.see(700.0, replace(IDLE, signal_pu=0.5, response_kw=-50.0))
    record.see(706.0, IDLE)
    assert record.settle().score == pytest.approx(1.0, abs=1e-9)


def test_half_an_hour_of_mileage_pays_half_an_hour() -> None:
    half, whole = follow(1800.0).settle(), follow(3600.0).settle()
    assert half.performance_credit_eur == pytest.approx(0.5 * (whole.performance_credit_eur or 0.0), rel=0.02)


def test_credits_follow_the_stated_formula() -> None:
    settled = follow(3600.0, share=0.8, reference=5.0).settle()
    assert settled.score is not None
    assert settled.mileage_per_h is not None
    values = [signal_at(t) for t in range(0, 3600, 2)]
    assert settled.mileage_per_h == pytest.approx(np.abs(np.diff(values)).sum(), rel=1e-3)
    assert settled.capability_credit_eur == pytest.approx(settled.score * 10.0 * 0.03)
    performed = settled.score * 10.0 * 0.002 * settled.mileage_per_h / 5.0
    assert settled.performance_credit_eur == pytest.approx(performed, rel=1e-3)
    assert (settled.rebates_eur, settled.degradation_eur) == (pytest.approx(0.5), pytest.approx(0.2))
    assert settled.net_eur == pytest.approx(settled.score * 0.3 + performed - 0.7, rel=1e-3)


def test_hours_are_scored_by_themselves_and_a_short_rest_joins_the_last() -> None:
    """The second hour follows half of the signal. Five minutes more are no hour of their own, eleven are."""

    def settle(seconds: float) -> tuple[int, float | None]:
        record = RegulationRecord(6.0)
        for t in np.arange(0.0, seconds + 0.5, 1.0).tolist():
            share = 1.0 if t < 3600.0 else 0.5
            record.see(t, replace(IDLE, signal_pu=signal_at(t), response_kw=share * 10.0 * signal_at(t)))
        settled = record.settle()
        return settled.hours, settled.precision

    second = 3900.0 / 3600.0
    assert settle(7200.0 + 300.0) == (2, pytest.approx((1.0 + 0.5 * second) / (1.0 + second), abs=2e-3))
    assert settle(7200.0 + 660.0)[0] == 3


def test_what_is_not_known_is_not_scored() -> None:
    assert follow(300.0).settle().score is None, "shorter than the longest delay"
    gap = follow(600.0)
    gap.see(900.0, IDLE)
    gap.see(905.0, IDLE)
    assert gap.settle().score is None
    assert gap.settle().capability_credit_eur is None
    assert follow(600.0).settle(scored=False).net_eur is None
    still = RegulationRecord(6.0)
    for t in range(601):
        still.see(float(t), IDLE)
    assert still.settle().score is None, "nothing was asked"
    unpriced = RegulationRecord(6.0)
    for t in range(601):
        values = {"signal_pu": signal_at(t), "response_kw": 10.0 * signal_at(t), "capability_eur_per_kwh": math.nan}
        unpriced.see(float(t), replace(IDLE, **values))
    assert unpriced.settle().score == pytest.approx(1.0)
    assert unpriced.settle().capability_credit_eur is None


def test_looks_that_tell_nothing_or_go_back_in_time_change_nothing() -> None:
    record = RegulationRecord(6.0)
    for t in np.arange(0.0, 600.5, 0.5).tolist():
        moment = replace(IDLE, signal_pu=signal_at(t), response_kw=10.0 * signal_at(t))
        record.see(t, moment)
        if int(t) % 50 == 7:
            record.see(t - 3.0, replace(IDLE, response_kw=1e6))
        if t == 400.0:
            record.see(t, None)
    settled = record.settle()
    assert settled.score == pytest.approx(1.0, abs=1e-3)
    assert settled.capacity_kwh == pytest.approx((600.0 - 0.5) / 3600.0 * 10.0)


def test_the_need_of_a_signal_leaves_out_what_is_not_known() -> None:
    hours = np.array([[signal_at(2.0 * k + 100.0 * h) for k in range(1800)] for h in range(6)])
    broken = np.concatenate([hours, [np.where(np.arange(1800) == 5, np.nan, 0.3)], [np.zeros(1800)]])
    need, moved = need_of_signal(hours, 0.25)
    assert need_of_signal(broken[:7], 0.25) == (need, moved)
    assert need_of_signal(broken, 0.25)[0] == need, "an hour that rests needs nothing"
    assert 0.0 < need.mean < 0.8
    assert need_of_signal(np.zeros((3, 9)), 0.25) == (NEED, 0.0)


def test_a_station_bids_what_its_vehicles_can_serve() -> None:
    need = Need(0.6, 0.05, 0.05)
    bid_kw, rebates = station_day(8, 3.2, prices(), need, 0.25, 15.0)
    assert bid_kw.max() == 15.0
    assert 0.0 <= bid_kw.min() < 3.0, "few drivers are surely at home by day"
    assert rebates.max() == 0.0, "regulation pays less than a driver's day out"
    dear = station_day(8, 3.2, 10.0 * prices(), need, 0.25, 1e3)
    assert dear[1].max() > 0.0
    assert (dear[0] >= station_day(8, 3.2, prices(), need, 0.25, 1e3)[0] - 1e-6).all()
    plan = station_plan(*dear, version=4)
    assert (plan.version, plan.rule, plan.at(3600.0 * 12.5)[1]) == (4, "market", dear[0][12])
    assert plan.rebate_at(3600.0 * 12.5) == dear[1][12] > 0.0
