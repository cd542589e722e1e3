"""The schedule without a clock, and what the ticking thread promises whatever the clock does."""

from __future__ import annotations

import threading

import pytest

from v2g_nodes.nodes.ticker import Schedule, Tick, Ticker

PERIOD_NS = 5_000_000
LONG_S = 30.0  # a test that waits this long has failed


def test_nothing_is_due_before_the_start() -> None:
    schedule = Schedule(PERIOD_NS, start_ns=100)
    assert schedule.take(99) is None
    assert schedule.remaining_ns(40) == 60
    assert schedule.due_ns == 100


def test_a_punctual_tick() -> None:
    schedule = Schedule(PERIOD_NS, start_ns=100)
    assert schedule.take(100) == Tick(100, 0, 0)
    assert schedule.take(101) is None
    assert schedule.remaining_ns(101) == PERIOD_NS - 1


def test_lateness_does_not_move_the_schedule() -> None:
    schedule = Schedule(PERIOD_NS, start_ns=0)
    for k in range(1000):
        late_ns = k % 7 * 100_000
        assert schedule.take(k * PERIOD_NS + late_ns) == Tick(k * PERIOD_NS + late_ns, late_ns, 0)
    assert schedule.due_ns == 1000 * PERIOD_NS


@pytest.mark.parametrize(
    ("late_ns", "missed"),
    [(PERIOD_NS - 1, 0), (PERIOD_NS, 1), (2 * PERIOD_NS - 1, 1), (10 * PERIOD_NS + 3, 10)],
)
def test_a_stall_is_one_late_tick_and_no_burst(late_ns: int, missed: int) -> None:
    schedule = Schedule(PERIOD_NS, start_ns=0)
    assert schedule.take(late_ns) == Tick(late_ns, late_ns, missed)
    assert schedule.take(late_ns) is None
    assert late_ns < schedule.due_ns <= late_ns + PERIOD_NS
    assert schedule.due_ns % PERIOD_NS == 0


def test_ticks_and_missed_ones_add_up_to_the_time_that_passed() -> None:
    schedule, now_ns, total = Schedule(PERIOD_NS, start_ns=0), 0, 0
    for step in range(2000):
        now_ns += step * 7919 % (3 * PERIOD_NS)
        tick = schedule.take(now_ns)
        if tick is not None:
            total += 1 + tick.missed
    assert total == now_ns // PERIOD_NS + 1


def test_remaining_time_is_never_negative() -> None:
    assert Schedule(PERIOD_NS, start_ns=0).remaining_ns(10 * PERIOD_NS) == 0


@pytest.mark.parametrize("period_ns", [0, -1])
def test_a_period_has_to_be_positive(period_ns: int) -> None:
    with pytest.raises(ValueError, match=f"period {period_ns} ns must be above 0"):
        Schedule(period_ns, 0)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan")])
def test_a_rate_has_to_be_positive(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Ticker(rate_hz, lambda _: None)


def test_it_ticks_on_schedule() -> None:
    enough = threading.Event()
    ticks: list[Tick] = []

    def on_tick(tick: Tick) -> None:
        ticks.append(tick)
        if len(ticks) == 5:
            enough.set()

    ticker = Ticker(200.0, on_tick)
    ticker.start()
    assert enough.wait(LONG_S)
    assert ticker.stop()
    assert all(tick.lateness_ns is not None and tick.lateness_ns >= 0 for tick in ticks)
    first_ns = ticks[0].now_ns - (ticks[0].lateness_ns or 0)
    assert all((tick.now_ns - (tick.lateness_ns or 0) - first_ns) % PERIOD_NS == 0 for tick in ticks)
    assert ticker.ticks == len(ticks)
    assert ticker.overruns == sum(tick.missed for tick in ticks)


def test_waking_calls_back_at_once() -> None:
    called = threading.Event()
    ticks: list[Tick] = []

    def on_tick(tick: Tick) -> None:
        ticks.append(tick)
        called.set()

    ticker = Ticker(0.001, on_tick)  # the first tick would come after a quarter of an hour
    ticker.start()
    ticker.wake()
    assert called.wait(LONG_S)
    assert ticker.stop()
    assert [tick.lateness_ns for tick in ticks] == [None]
    assert (ticker.ticks, ticker.woken) == (0, 1)


def test_waking_during_a_callback_leads_to_one_more() -> None:
    in_callback, go_on, again = threading.Event(), threading.Event(), threading.Event()
    calls = []

    def on_tick(tick: Tick) -> None:
        calls.append(tick)
        if len(calls) == 1:
            in_callback.set()
            go_on.wait(LONG_S)
        else:
            again.set()

    ticker = Ticker(0.001, on_tick)
    ticker.start()
    ticker.wake()
    assert in_callback.wait(LONG_S)
    for _ in range(3):
        ticker.wake()
    go_on.set()
    assert again.wait(LONG_S)
    assert ticker.stop()
    assert len(calls) == 2


def test_stop_joins_and_can_be_repeated() -> None:
    ticker = Ticker(1000.0, lambda _: None, name="test_ticker")
    ticker.start()
    assert ticker.stop()
    assert "test_ticker" not in [thread.name for thread in threading.enumerate()]
    assert ticker.stop()
    ticker.wake()  # too late, harmless


def test_stop_without_start() -> None:
    assert Ticker(1.0, lambda _: None).stop()


def test_stop_from_the_callback() -> None:
    stopped = threading.Event()

    def on_tick(_: Tick) -> None:
        ticker.stop()
        stopped.set()

    ticker = Ticker(1000.0, on_tick)
    ticker.start()
    assert stopped.wait(LONG_S)
    assert ticker.stop(LONG_S)
    assert ticker.ticks == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failing_callback_is_noticed() -> None:
    def on_tick(_: Tick) -> None:
        raise RuntimeError("droop law failed")

    ticker = Ticker(1000.0, on_tick)
    ticker.start()
    assert ticker.stop(LONG_S) or ticker.failed
    ticker = Ticker(1000.0, on_tick)
    ticker.start()
    while not ticker.failed:
        threading.Event().wait(0.001)
    assert ticker.stop(LONG_S)
