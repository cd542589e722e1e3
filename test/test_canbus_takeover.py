"""Which of two buses is spoken on."""

from __future__ import annotations

from v2g_nodes.canbus.takeover import A, B, Takeover

MS = 1_000_000
BOTH = (True, True)


def fault(takeover: Takeover, bus: int, times: int, first_ns: int = 0, step_ns: int = 9 * MS) -> int:
    """So many error frames; returns the time of the last one."""
    for number in range(times):
        takeover.error_frame(bus, first_ns + number * step_ns)
    return first_ns + (times - 1) * step_ns


def test_eleven_error_frames_in_100_ms_are_too_many_and_ten_are_not() -> None:
    takeover = Takeover(2)
    now_ns = fault(takeover, A, 10)
    assert not takeover.decide(BOTH, now_ns)
    takeover.error_frame(A, now_ns + 9 * MS)
    assert takeover.decide(BOTH, now_ns + 9 * MS)
    assert (takeover.active, takeover.takeovers) == (B, 1)


def test_eleven_error_frames_in_more_than_100_ms_are_borne() -> None:
    takeover = Takeover(2)
    now_ns = fault(takeover, A, 50, step_ns=10 * MS)
    assert not takeover.decide(BOTH, now_ns)


def test_errors_and_failed_sends_count_together() -> None:
    takeover = Takeover(2)
    fault(takeover, A, 6, step_ns=0)
    for _ in range(5):
        takeover.failed_send(A, 0)
    assert takeover.decide(BOTH, 0)


def test_a_full_buffer_that_empties_is_no_fault() -> None:
    takeover = Takeover(2)
    for _ in range(50):
        takeover.failed_send(A, 0)
    takeover.sent(A)
    assert not takeover.decide(BOTH, 0)


def test_a_bus_that_is_gone_is_left_at_once_and_one_that_returns_does_not_call_back() -> None:
    takeover = Takeover(2)
    assert takeover.decide((False, True), 0)
    assert not takeover.decide(BOTH, 10**10)
    assert takeover.active == B


def test_b_failing_likewise_brings_a_back() -> None:
    takeover = Takeover(2)
    takeover.use(B, 0)
    assert takeover.decide(BOTH, fault(takeover, B, 11, first_ns=10**9))
    assert takeover.active == A


def test_nobody_goes_to_a_bus_that_is_no_better() -> None:
    takeover = Takeover(2)
    now_ns = fault(takeover, A, 11)
    assert not takeover.decide((True, False), now_ns)
    fault(takeover, B, 11)
    assert not takeover.decide(BOTH, now_ns)
    assert not takeover.decide((False, False), now_ns)


def test_one_bus_alone_is_kept() -> None:
    takeover = Takeover(1)
    assert not takeover.decide([False], fault(takeover, A, 99))


def test_who_hears_somebody_speak_on_b_goes_there() -> None:
    takeover = Takeover(2)
    takeover.spoken(A, 0)
    assert not takeover.decide(BOTH, 0)
    takeover.spoken(B, 1)
    assert takeover.decide(BOTH, 1)
    assert takeover.active == B


def test_what_was_said_before_the_others_could_follow_does_not_pull_back() -> None:
    takeover = Takeover(2)
    takeover.use(B, 0)
    for now_ns in range(0, 900 * MS, 10 * MS):  # others still on A, nobody on B yet
        takeover.spoken(A, now_ns)
        assert not takeover.decide(BOTH, now_ns)
    assert not takeover.decide(BOTH, 1500 * MS)


def test_who_is_left_alone_on_b_goes_back_to_where_the_others_speak() -> None:
    takeover = Takeover(2)
    takeover.use(B, 0)
    takeover.spoken(B, 1500 * MS)
    takeover.spoken(A, 2000 * MS)
    assert not takeover.decide(BOTH, 2000 * MS)  # somebody is here as well
    takeover.spoken(A, 2600 * MS)
    assert takeover.decide(BOTH, 2600 * MS)
    assert takeover.active == A


def test_silence_on_both_changes_nothing() -> None:
    takeover = Takeover(2)
    takeover.use(B, 0)
    assert not takeover.decide(BOTH, 10**10)
    takeover.spoken(A, 10**10)
    assert not takeover.decide(BOTH, 10**10 + 2 * 10**9)  # long ago
