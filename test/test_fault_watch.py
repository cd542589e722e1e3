"""What follows from the records of a witness: who agrees with whom, since when, and who owns the target."""

from __future__ import annotations

from typing import Any

import pytest

from v2g_nodes.cli.fault_watch import NS_PER_S, Watch

OLD, NEW = 7, 8  # fingerprints


def record(module: int, agreed_s: float, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    members = fields.pop("of", (1, 2, 3))
    good = {"event": "epoch", "module": module, "members": sum(1 << (k - 1) for k in members), "membership": NEW,
            "epoch": [10, 1, 1], "lambda_eur_per_kwh": 0.1, "power_kw": 1.0, "target_kw": 5.0, "island_target_kw": 5.0,
            "agreed_ns": int(agreed_s * NS_PER_S)}  # fmt: skip
    return {**good, **fields}


def watch(*records: dict[str, Any]) -> Watch:
    seen = Watch([1, 2, 3])
    for event in records:
        seen.take(event)
    return seen


def all_three(**third: Any) -> Watch:  # noqa: ANN401
    return watch(record(1, 1.0), record(2, 1.2), record(3, 1.1, **third))


def test_all_agree_when_the_last_of_them_does() -> None:
    assert all_three().agreed_ns([1, 2, 3], 0, exactly=True) == 1.2 * NS_PER_S
    assert all_three().settled(2 * NS_PER_S)


@pytest.mark.parametrize("third", [
    {"lambda_eur_per_kwh": 0.1000000001}, {"lambda_eur_per_kwh": None}, {"epoch": [9, 1, 1]}, {"membership": OLD},
    {"of": (1, 2)},
])  # fmt: skip
def test_any_difference_is_no_agreement(third: dict[str, Any]) -> None:
    assert all_three(**third).agreed_ns([1, 2, 3], 0) is None
    assert not all_three(**third).settled(2 * NS_PER_S)


def test_no_price_is_no_agreement() -> None:
    nothing = {"lambda_eur_per_kwh": None}
    seen = watch(*(record(k, 1.0, **nothing) for k in (1, 2, 3)))
    assert seen.agreed_ns([1, 2, 3], 0) is None
    assert not seen.settled(2 * NS_PER_S)


def test_survivors_agree_under_the_first_group_that_is_not_the_old_one() -> None:
    seen = watch(*(record(k, 1.0, membership=OLD) for k in (1, 2, 3)), record(1, 1.6, of=(1, 2)),
                 *(record(k, 2.0, membership=9) for k in (1, 2, 3)))  # fmt: skip
    assert seen.agreed_ns([1, 2], 0.5 * NS_PER_S, other_than=OLD) == 2 * NS_PER_S
    seen.take(record(2, 1.7, of=(1, 2)))
    assert seen.agreed_ns([1, 2], 0.5 * NS_PER_S, other_than=OLD) == 1.7 * NS_PER_S
    assert seen.agreed_ns([1, 2], int(1.65 * NS_PER_S), other_than=OLD) == 2 * NS_PER_S, "one of them agreed before"
    assert seen.agreed_ns([1, 2, 3], 0, other_than=OLD, exactly=True) == 2 * NS_PER_S


def test_an_agreement_grows_old_and_a_new_trial_begins_without_it() -> None:
    seen = all_three()
    assert not seen.settled(20 * NS_PER_S)
    seen.clear()
    assert seen.agreed_ns([1, 2, 3], 0) is None
    assert seen.group() == NEW


@pytest.mark.parametrize(("taken_kw", "fault"), [
    ((5.0, 5.0, 0.0), ""),
    ((5.0, 5.0, 5.0), "module 3 of island [3] took 5.000 kW of the target, owed are 0.000 kW"),
    ((0.0, 0.0, 0.0), "module 1 of island [1, 2] took 0.000 kW of the target, owed are 5.000 kW"),
])  # fmt: skip
def test_the_island_with_more_than_half_owns_the_target(taken_kw: tuple[float, ...], fault: str) -> None:
    seen = watch(*(record(k, 1.0, of=(1, 2) if k < 3 else (3,), island_target_kw=kw, membership=k // 3)
                   for k, kw in enumerate(taken_kw, 1)))  # fmt: skip
    assert seen.island_fault([{1, 2}, {3}], {1: 3.0, 2: 3.0, 3: 3.0}, 0) == fault


def test_the_lowest_id_decides_between_halves() -> None:
    seen = watch(record(1, 1.0, of=(1, 3), island_target_kw=0.0))
    ratings_kw = {1: 3.0, 2: 3.1, 3: 3.1, 4: 3.0}
    assert seen.island_fault([{1, 3}], ratings_kw, 0) == (
        "module 1 of island [1, 3] took 0.000 kW of the target, owed are 5.000 kW")
    assert seen.island_fault([{1, 3}], ratings_kw, 2 * NS_PER_S) == "", "that was before the cut"


def test_the_worst_and_the_words_of_the_witness_are_kept() -> None:
    seen = watch({"event": "signal", "sequence": 3, "received_ns": 5}, {"event": "refused", "text": "no"},
                 {"event": "extremes", "texts": ["a"], "sum_above_target_kw": 0.5, "setpoints_above_target_kw": 0.0},
                 {"event": "extremes", "texts": ["b"], "sum_above_target_kw": 0.1, "setpoints_above_target_kw": 0.2,
                  "unsafe_setpoints": 2})  # fmt: skip
    assert (seen.signal_ns, seen.refused, seen.extremes["unsafe_setpoints"]) == (5, "no", 2)
    assert (seen.news(), seen.news()) == (["a", "b"], [])
    assert seen.sums_kw == {"sum_above_target_kw": 0.5, "setpoints_above_target_kw": 0.2}
    seen.clear()
    assert set(seen.sums_kw.values()) == {0.0}


def test_epochs_of_all_are_those_in_which_all_are_one_group() -> None:
    seen = watch(record(1, 1.0), record(2, 1.1, power_kw=2.0), record(3, 1.2), record(1, 3.0, epoch=[30, 1, 1]))
    assert [sum(r.power_kw for r in records) for records in seen.epochs_of_all()] == [4.0]
    assert not watch(*(record(k, 1.0, of=(1, 2)) for k in (1, 2, 3))).epochs_of_all()
