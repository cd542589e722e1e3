from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.run_statistics import (
    EpochCollector,
    ModuleRecord,
    RisingCount,
    Rows,
    Samples,
    close_epoch,
)
from v2g_nodes.core.types import Box, EpochId

COSTS = tuple(CostParameters(3.3, 0.97, 0.02, 0.01, 0.1, gamma, 1.5, 2.0, 2e-4, 2.0, 50.0) for gamma in (0.005, 0.05))
BOX = Box(-2.5, 2.5)
MS = 1_000_000


def record(k: int, power_kw: float = 1.5, *, epoch: int = 20, members: int = 0b11, membership: int = 7,
           target_kw: float = 3.0) -> ModuleRecord:
    return ModuleRecord(
        module_id=k, epoch=EpochId(epoch, 1, 1), membership=membership, members=members, cold=False, rounds=4,
        target_kw=target_kw, island_target_kw=target_kw, box=BOX, cost=COSTS[k - 1], soc=0.5, temperature_c=40.0,
        lambda_eur_per_kwh=0.05, power_kw=power_kw, signal_received_ns=100 * MS, started_ns=102 * MS,
        agreed_ns=110 * MS,
    )  # fmt: skip


# epochs


def test_an_epoch_closes_with_its_last_member_in_any_order() -> None:
    for first, last in ((1, 2), (2, 1)):
        collector = EpochCollector((1, 2))
        assert collector.add(record(first)) is None
        result = collector.add(record(last))
        assert result == close_epoch([record(1), record(2)])
        assert collector.add(record(first)) is None, "it begins anew"


def test_epochs_and_memberships_do_not_mix() -> None:
    collector = EpochCollector((1, 2))
    assert collector.add(record(1, epoch=20)) is None
    assert collector.add(record(2, epoch=40)) is None
    assert collector.add(record(2, epoch=20, membership=8)) is None
    result = collector.add(record(1, epoch=40))
    assert result is not None
    assert result.epoch == EpochId(40, 1, 1)


def test_epochs_that_never_close_are_forgotten_in_the_end() -> None:
    collector = EpochCollector((1, 2))
    for k in range(40):
        collector.add(record(1, epoch=20 * k))
    assert len(collector._open) <= 17
    assert collector.add(record(2, epoch=0)) is None, "the oldest one is gone"
    assert collector.add(record(2, epoch=20 * 39)) is not None, "the latest one is not"


def test_an_epoch_of_one_member_closes_at_once() -> None:
    result = EpochCollector((1, 2)).add(record(1, members=0b01, target_kw=1.5))
    assert result is not None
    assert (result.members, result.agreed_kw) == (1, 1.5)


def test_where_others_run_elsewhere_those_here_are_judged_for_their_total() -> None:
    best = dispatch_optimum([LocalCost(c, 0.5, 40.0) for c in COSTS], [BOX, BOX], 3.0)
    records = [record(k, power_kw, members=0b111) for k, power_kw in enumerate(best.powers_kw, 1)]
    collector = EpochCollector((1, 2))
    assert collector.add(records[0]) is None
    result = collector.add(records[1])
    assert result is not None
    assert (result.members, result.judged) == (3, 2)
    assert 0.0 <= result.gap < 1e-9
    assert math.isnan(result.balance_error_kw), "what the third delivers is not known"
    assert math.isnan(result.shortfall_kw)


def test_gap_and_equal_split_are_judged_against_the_optimum() -> None:
    best = dispatch_optimum([LocalCost(c, 0.5, 40.0) for c in COSTS], [BOX, BOX], 3.0)
    result = close_epoch([record(k, power_kw) for k, power_kw in enumerate(best.powers_kw, 1)])
    assert 0.0 <= result.gap < 1e-9
    equal = close_epoch([record(1), record(2)])
    assert equal.gap == pytest.approx(equal.equal_split_gap)
    assert equal.gap == pytest.approx(result.equal_split_gap)
    assert result.equal_split_gap > 0.1


def test_times_run_from_the_first_receipt_to_the_last_agreement() -> None:
    late = replace(record(2), signal_received_ns=101 * MS, started_ns=104 * MS, agreed_ns=112 * MS, rounds=3)
    result = close_epoch([record(1), late])
    assert result.epoch_ms == 12.0
    assert result.rounds == 4
    assert result.round_ms == 2.0, "from the last one that began"
    assert math.isnan(close_epoch([replace(record(1, members=1), rounds=0)]).round_ms)


def test_a_target_beyond_the_boxes_is_clipped_and_the_rest_is_the_shortfall() -> None:
    result = close_epoch([record(1, 2.5, target_kw=8.0), record(2, 2.5, target_kw=8.0)])
    assert (result.target_kw, result.clipped_target_kw, result.shortfall_kw) == (8.0, 5.0, 3.0)
    assert result.balance_error_kw == 0.0
    inside = close_epoch([record(1, 1.5), record(2, 1.4)])
    assert inside.shortfall_kw == 0.0
    assert inside.balance_error_kw == pytest.approx(0.1)


def test_a_target_at_the_edge_of_the_boxes_is_not_clipped_by_rounding() -> None:
    edge_kw = 5.0 + 1e-12
    result = close_epoch([record(1, 2.5, target_kw=edge_kw), record(2, 2.5, target_kw=edge_kw)])
    assert result.shortfall_kw == 0.0


def test_members_that_differ_in_price_show_it() -> None:
    result = close_epoch([record(1), replace(record(2), lambda_eur_per_kwh=0.08, cold=True)])
    assert result.lambda_spread == pytest.approx(0.03)
    assert result.cold, "one that began cold makes it a cold epoch"


def test_only_members_that_owe_the_target_own_it() -> None:
    assert close_epoch([record(1), record(2)]).owner
    assert not close_epoch([replace(record(1, 0.0, members=1), island_target_kw=0.0)]).owner


# samples


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), max_size=30), max_size=10))
def test_figures_are_those_of_all_finite_numbers(batches: list[list[float]]) -> None:
    samples = Samples()
    for batch in batches:
        samples.add(batch)
    finite = [x for batch in batches for x in batch if math.isfinite(x)]
    if not finite:
        assert math.isnan(samples.median)
        assert math.isnan(samples.largest)
        return
    assert samples.median == pytest.approx(float(np.median(finite)))
    assert samples.percentile(99.0) == pytest.approx(float(np.percentile(finite, 99.0)))
    assert samples.largest == max(finite)


@pytest.mark.parametrize("batch", [1, 7, 50, 1000])
def test_many_numbers_are_thinned_evenly_and_the_maximum_stays(batch: int) -> None:
    samples = Samples(most=100)
    numbers = np.arange(10_000.0)
    numbers[1234] = 1e9
    for start in range(0, numbers.size, batch):
        samples.add(numbers[start : start + batch])
    assert samples._size <= 100
    assert samples.largest == 1e9
    kept = samples._kept[: samples._size]
    distances = np.diff(kept[kept < 1e8])
    assert set(distances.tolist()) == {float(samples._stride)}, "one in so many, from the first to the last"
    assert samples.median == pytest.approx(5000.0, rel=0.03), "early and late numbers count alike"


def test_rows_are_thinned_evenly() -> None:
    rows: Rows[int] = Rows(most=10)
    for k in range(1000):
        rows.add(k)
    assert 5 <= len(rows.kept) <= 10
    assert rows.kept[0] == 0
    steps = {b - a for a, b in zip(rows.kept, rows.kept[1:], strict=False)}
    assert len(steps) == 1
    assert 1000 - rows.kept[-1] <= steps.pop()


# counters


def test_counters_add_up_over_restarts() -> None:
    count = RisingCount()
    for owner, value in ((1, 3), (1, 5), (2, 4), (1, 2), (2, 4), (1, 2), (1, 6)):
        count.see(owner, value)
    assert count.total == 5 + 2 + 4 + 4


def test_what_was_counted_before_the_start_may_be_left_out() -> None:
    count = RisingCount(from_first=True)
    for value in (100, 100, 103, 1):
        count.see(1, value)
    assert count.total == 3 + 1
