"""Droops of one process share a thread: in turn, each woken for itself, one that fails leaves the others alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from v2g_nodes.nodes.tick_group import Seat, join
from v2g_nodes.nodes.ticker import Tick

LONG_S = 10.0
RARE_HZ = 0.001  # the first tick would come after a quarter of an hour


def threads() -> int:
    return sum(thread.name.startswith("droop_") for thread in threading.enumerate())


def test_seats_are_called_in_turn_on_one_schedule_by_one_thread() -> None:
    calls: list[tuple[str, Tick, int]] = []
    enough = threading.Event()

    def callback(name: str) -> Callable[[Tick], None]:
        def on_tick(tick: Tick) -> None:
            calls.append((name, tick, threading.get_ident()))
            if len(calls) >= 10:
                enough.set()

        return on_tick

    seats = [join(200.0, callback(name)) for name in "ab"]
    assert threads() == 1
    assert enough.wait(LONG_S)
    assert all(seat.leave() for seat in seats)
    assert threads() == 0
    calls = calls[[name for name, *_ in calls].index("b") - 1 :]  # a may have ticked alone before b came
    assert [name for name, *_ in calls[:8]] == list("abababab")
    assert len({thread for *_, thread in calls}) == 1
    for (_, a, _), (_, b, _) in zip(calls[0:8:2], calls[1:8:2], strict=True):
        assert a.lateness_ns is not None
        assert b.lateness_ns is not None
        assert a.now_ns - a.lateness_ns == b.now_ns - b.lateness_ns, "same due time"
        assert b.now_ns >= a.now_ns, "each begins when the one before has ended"
        assert a.missed == b.missed


def test_only_who_is_woken_is_called() -> None:
    called = threading.Event()
    ticks: dict[str, list[Tick]] = {"a": [], "b": []}
    a = join(RARE_HZ, ticks["a"].append)
    b = join(RARE_HZ, lambda tick: (ticks["b"].append(tick), called.set()))
    b.wake()
    assert called.wait(LONG_S)
    a.leave(), b.leave()
    assert ([tick.lateness_ns for tick in ticks["b"]], ticks["a"]) == ([None], [])
    b.wake()  # nothing happens
    assert len(ticks["b"]) == 1


def test_one_that_fails_is_reported_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr("threading.excepthook", reported.append)
    enough = threading.Event()
    sound: list[Tick] = []

    def broken(tick: Tick) -> None:
        raise ZeroDivisionError("law")

    def on_tick(tick: Tick) -> None:
        sound.append(tick)
        if len(sound) == 5:
            enough.set()

    bad, good = join(200.0, broken), join(200.0, on_tick)
    assert enough.wait(LONG_S)
    assert (bad.failed, good.failed) == (True, False)
    assert [report.exc_type for report in reported] == [ZeroDivisionError], "once"
    bad.leave(), good.leave()
    assert threads() == 0


def test_leaving_waits_for_the_call_that_is_running_and_then_there_is_none() -> None:
    inside, go_on, left = threading.Event(), threading.Event(), threading.Event()
    calls: list[Tick] = []

    def on_tick(tick: Tick) -> None:
        calls.append(tick)
        inside.set()
        go_on.wait(LONG_S)

    other = join(RARE_HZ, lambda _: None)
    seat = join(RARE_HZ, on_tick)
    seat.wake()
    assert inside.wait(LONG_S)
    assert not seat.leave(timeout_s=0.01)
    leaver = threading.Thread(target=lambda: (seat.leave(LONG_S), left.set()))
    leaver.start()
    assert not left.is_set()
    go_on.set()
    assert left.wait(LONG_S)
    leaver.join()
    seat.wake()
    assert other.leave()
    assert len(calls) == 1


def test_a_seat_may_leave_in_its_own_call_and_another_may_come_after_the_last_has_left() -> None:
    done = threading.Event()
    seats: list[Seat] = []

    def once(tick: Tick) -> None:
        assert not seats[0].leave()
        done.set()

    for _ in range(2):
        done.clear()
        seats[:] = [join(RARE_HZ, once)]
        seats[0].wake()
        assert done.wait(LONG_S)


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="rate 0 Hz must be above 0"):
        join(0, lambda _: None)
