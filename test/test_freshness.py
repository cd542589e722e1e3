"""Age and sequence of what was received."""

from __future__ import annotations

import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.freshness import Choice, Freshness, SourceChoice, Verdict, serial_newer

S = 1_000_000_000  # ns


@pytest.mark.parametrize(
    ("sequence", "than", "newer"),
    [
        (1, 0, True),
        (0, 1, False),
        (5, 5, False),
        (0, 0xFFFFFFFF, True),
        (0xFFFFFFFF, 0, False),
        (0x7FFFFFFF, 0, True),
        (0x80000000, 0, False),
    ],
)
def test_serial_numbers_wrap(sequence: int, than: int, newer: bool) -> None:
    assert serial_newer(sequence, than) is newer


def test_sixteen_bits() -> None:
    assert serial_newer(2, 65530, bits=16)
    assert not serial_newer(2, 65530, bits=32)


def test_verdict_follows_the_age() -> None:
    fresh = Freshness(2 * S)
    assert fresh.verdict(0) is Verdict.NEVER
    assert fresh.age_ns(0) is None
    assert fresh.accept(1, 10 * S)
    assert fresh.verdict(10 * S) is Verdict.FRESH
    assert fresh.verdict(12 * S) is Verdict.FRESH
    assert fresh.verdict(12 * S + 1) is Verdict.STALE
    assert fresh.age_ns(13 * S) == 3 * S
    assert fresh.age_ns(9 * S) == 0


def test_repeated_and_backward_numbers_are_refused_and_do_not_refresh() -> None:
    fresh = Freshness(2 * S)
    assert fresh.accept(7, 0)
    assert not fresh.accept(7, 1 * S)
    assert not fresh.accept(6, 1 * S)
    assert fresh.age_ns(1 * S) == S
    assert fresh.refused == 2
    assert fresh.accept(8, 1 * S)


def test_restarted_sender_is_taken_once_the_old_one_is_stale() -> None:
    fresh = Freshness(2 * S)
    fresh.accept(5000, 0)
    assert not fresh.accept(0, 1 * S)
    assert fresh.accept(1, 3 * S)
    assert fresh.verdict(3 * S) is Verdict.FRESH


def test_a_stuck_number_stays_refused_when_stale() -> None:
    fresh = Freshness(2 * S)
    fresh.accept(5, 0)
    assert not fresh.accept(5, 10 * S)
    assert fresh.verdict(10 * S) is Verdict.STALE


def test_sequence_wraps_without_a_gap() -> None:
    fresh = Freshness(2 * S, bits=16)
    assert fresh.accept(65535, 0)
    assert fresh.accept(0, 1)
    assert not fresh.accept(65535, 2)


def test_freshest_source_wins_and_the_lowest_id_on_a_tie() -> None:
    choice = SourceChoice(5 * S)
    assert choice.best(0) is None
    assert choice.verdict(0) is Verdict.NEVER
    choice.accept(3, 1, 0)
    choice.accept(2, 1, 1 * S)
    assert choice.best(1 * S) == Choice(2, 0)
    choice.accept(3, 2, 2 * S)
    assert choice.best(2 * S) == Choice(3, 0)
    choice.accept(2, 2, 2 * S)
    assert choice.best(3 * S) == Choice(2, S)


def test_ages_within_the_tie_window_count_as_equal() -> None:
    choice = SourceChoice(5 * S, tie_ns=S)
    choice.accept(1, 1, 0)
    choice.accept(2, 1, S)
    assert choice.best(S) == Choice(1, S)
    choice.accept(2, 2, S + 1)
    assert choice.best(S + 1) == Choice(2, 0)


def test_stale_sources_are_not_chosen() -> None:
    choice = SourceChoice(2 * S)
    choice.accept(1, 1, 0)
    choice.accept(9, 1, 2 * S)
    assert choice.best(3 * S) == Choice(9, S)
    assert choice.best(5 * S) is None
    assert choice.verdict(5 * S) is Verdict.STALE
    assert choice.verdict(3 * S) is Verdict.FRESH


def test_each_source_has_its_own_sequence() -> None:
    choice = SourceChoice(2 * S)
    assert choice.accept(1, 100, 0)
    assert choice.accept(2, 1, 0)
    assert not choice.accept(2, 1, 1)
    assert not choice.accept(1, 99, 1)


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, 1), (1, 65)])
def test_freshness_parameters_out_of_range_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="allowed"):
        Freshness(*arguments)


def test_negative_tie_is_refused() -> None:
    with pytest.raises(InputError, match="tie_ns is -1"):
        SourceChoice(1, tie_ns=-1)


def test_a_message_is_followed_if_it_counts_and_comes_from_the_chosen_source() -> None:
    choice = SourceChoice(1000, 100)
    assert choice.follows(2, 1, 0)
    assert not choice.follows(2, 1, 10)  # repeated
    assert choice.follows(1, 1, 20)  # as fresh, lower id
    assert not choice.follows(2, 2, 30)  # counts, but the other one is chosen
    assert choice.follows(2, 3, 900)  # the other one has aged
