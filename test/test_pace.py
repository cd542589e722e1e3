from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.pace import Pace


def test_a_tick_stands_for_the_time_since_the_one_before() -> None:
    pace = Pace(0.1)
    assert pace.take(100.0) == (0.0, 0.0), "nobody knows what was before the first"
    assert pace.take(100.25 - 0.2) == (0.0, 100.05 - 100.0)
    assert pace.take(100.05) == (0.0, 0.0)


def test_what_is_beyond_the_longest_tick_is_a_pause() -> None:
    pace = Pace(0.5)
    pace.take(0.0)
    assert pace.take(10.0) == (9.5, 0.5)
    assert pace.take(10.25) == (0.0, 0.25), "the pause is not caught up"


def test_a_step_back_counts_as_no_time_and_time_goes_on_from_there() -> None:
    pace = Pace(0.5)
    pace.take(3600.0)
    assert pace.take(0.0) == (0.0, 0.0)
    assert pace.take(0.25) == (0.0, 0.25)


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), max_size=20), st.floats(1e-3, 1e3))
def test_no_tick_is_negative_or_too_long(times_s: list[float], longest_s: float) -> None:
    pace = Pace(longest_s)
    for now_s in times_s:
        pause_s, tick_s = pace.take(now_s)
        assert pause_s >= 0.0
        assert 0.0 <= tick_s <= longest_s
