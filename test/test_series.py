from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.csv_table import Table, read_table
from v2g_nodes.sim.series import HOLD_STEPS, Series, read_columns, read_series
from v2g_nodes.sim.sessions import Session, assign_sessions, read_sessions, sessions_of_day
from v2g_nodes.sim.time_axis import DAY_S, format_clock, parse_clock, read_time_axis

HOURS = "hour_local,price_eur_per_mwh\n" + "".join(f"{h},{10 * h}\n" for h in range(24))


def write(folder: Path, text: str | bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path: Path, quantity: str = "frequency", **options: str) -> str:
    with pytest.raises(InputError) as caught:
        read_series(path, quantity, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert "allowed" in text
    return text


# bad input: one line that names file and line, what was found, what is allowed


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("second_of_day,frequency\n0,50\n", 1, ["found second_of_day, frequency", "frequency_hz"]),
        ("seconds,frequency_hz\n0,50\n", 1, ["no column for time", "second_of_day"]),
        ("second_of_day,frequency_hz\n0,50\n1,abc\n", 3, ["'abc'", "finite number"]),
        ("second_of_day,frequency_hz\n0,50\n1,\n", 3, ["''", "finite number"]),
        ("second_of_day,frequency_hz\n0,50\n1,nan\n", 3, ["'nan'"]),
        ("second_of_day,frequency_hz\n0,50\n1,inf\n", 3, ["'inf'"]),
        ("second_of_day,frequency_hz\n0,50\nx,50\n", 3, ["second_of_day", "'x'"]),
        ("second_of_day,frequency_hz\n0,50\n2,50\n1,50\n", 4, ["second_of_day 1", "backwards", "line 3"]),
        ("second_of_day,frequency_hz\n0,50\n2,50\n2,50\n", 4, ["repeats", "line 3"]),
        ("second_of_day,frequency_hz\n0,50\n86401,50\n", 3, ["86401", "0 to 86400"]),
        ("second_of_day,frequency_hz\n-1,50\n", 2, ["-1", "0 to 86400"]),
        ("hour_local,frequency_hz\n0,50\n25,50\n", 3, ["25", "0 to 24"]),
        ("second_of_day,frequency_hz\n0,50\n1,39.9\n", 3, ["39.9", "40 to 70"]),
        ("second_of_day,frequency_hz\n0,50\n1,70.1\n", 3, ["70.1", "40 to 70"]),
        ("second_of_day,frequency_hz\n0,50\n1,49,98\n", 3, ["3 fields", "allowed are 2"]),
        ("second_of_day,frequency_hz\n0,50\n1\n", 3, ["1 fields", "allowed are 2"]),
        ("second_of_day;frequency_hz\n0;49,98\n", 2, ["'49,98'", "decimal comma"]),
        ("second_of_day,frequency_hz,Frequency_Hz\n0,50,50\n", 1, ["frequency_hz", "more than once"]),
        ("# a\n\nsecond_of_day,frequency_hz\n\n0,50\n\n1,x\n", 7, ["'x'"]),
        ("second_of_day,frequency_hz\r\n0,50\r\n1,x\r\n", 3, ["'x'"]),
        ("second_of_day,frequency_hz\n", 1, ["only a header"]),
        ("time,frequency_hz\n2024-09-03T00:00,50\n2024-09-03,50\n", 3, ["'2024-09-03'", "ISO 8601"]),
        ("time,frequency_hz\n2024-09-03T00:00Z,50\n2024-09-03T00:01,50\n", 3, ["offset in every row or in none"]),
        ("time,frequency_hz\n2024-09-03T00:01,50\n2024-09-03T00:00,50\n", 3, ["backwards"]),
        ("time,frequency_hz\n00:01,50\n24:00,50\n", 3, ["'24:00'", "HH:MM"]),
    ],
)
def test_a_bad_row_is_named_by_line(tmp_path: Path, text: str, line: int, words: list[str]) -> None:
    path = write(tmp_path, text)
    message = refused(path)
    assert message.startswith(f"{path}:{line}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    assert "empty" in refused(path)
    assert str(path) in refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.csv")
    assert "directory" in refused(tmp_path)


def test_bytes_that_are_not_text_are_named_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, b"second_of_day,frequency_hz\n0,50\n1,\xb550\n")
    assert refused(path).startswith(f"{path}:3: byte 0xb5")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("price_eur_per_kwh", "78.21", ["78.21", "-10 to 10"]),
        ("price_eur_per_mwh", "12000", ["12000", "-10000 to 10000"]),
    ],
)
def test_a_price_in_the_wrong_unit_is_refused(tmp_path: Path, column: str, value: str, words: list[str]) -> None:
    message = refused(write(tmp_path, f"hour_local,{column}\n0,0.1\n1,{value}\n"), "price")
    assert ":3: " in message
    assert all(word in message for word in words)


def test_a_signal_beyond_one_is_refused_and_a_raw_one_is_not_taken(tmp_path: Path) -> None:
    assert "1.01, allowed -1 to 1" in refused(write(tmp_path, "time_s,signal_pu\n0,0\n1,1.01\n"), "signal")
    assert "found time_s, signal_pu_raw" in refused(write(tmp_path, "time_s,signal_pu_raw\n0,0\n"), "signal")
    both = write(tmp_path, "time_s,signal_pu_raw,signal_pu\n0,1.7,1\n1,-0.2,-0.2\n")
    assert read_series(both, "signal").values.tolist() == [1.0, -0.2]


# what is accepted


@pytest.mark.parametrize(
    "text",
    [
        b"second_of_day,frequency_hz\n0,50\n1,49.9\n",
        b"\xef\xbb\xbfsecond_of_day,frequency_hz\r\n0,50\r\n1,49.9\r\n\r\n\r\n",
        b"second_of_day;frequency_hz\r0;50\r1;49.9\r",
        b"Second_Of_Day\tFrequency_Hz\n0\t50\n1\t49.9",
        b'# made by hand\n"second_of_day","frequency_hz"\n"0","50"\n"1","49.9"\n   \n',
        b" second_of_day , frequency_hz ,note\n 0 , 50 ,\"a, b\"\n 1 , 49.9 ,\n",
        b"time,frequency_hz\n0,50\n1,49.9\n",
        b"time,frequency_hz\n00:00:00,50\n00:00:01,49.9\n",
        b"time,frequency_hz\n2024-09-03T00:00:00+02:00,50\n2024-09-03T00:00:01+02:00,49.9\n",
        (b"utc_start,local_start,frequency_hz\n2024-09-02T22:00:00Z,2024-09-03T00:00:00+02:00,50\n"
         b"2024-09-02T22:00:01Z,2024-09-03T00:00:01+02:00,49.9\n"),
    ],
)
def test_spellings_that_mean_the_same(tmp_path: Path, text: bytes) -> None:
    series = read_series(write(tmp_path, text), "frequency")
    assert series.times_s.tolist() == [0.0, 1.0]
    assert series.values.tolist() == [50.0, 49.9]


def test_units_are_turned_into_ours(tmp_path: Path) -> None:
    per_mwh = read_series(write(tmp_path, HOURS), "price")
    assert per_mwh.at(3 * 3600) == pytest.approx(0.03)
    per_kwh = read_series(write(tmp_path, "hour_local,price_EUR_per_kWh\n0,0.5\n1,0.25\n"), "price")
    assert per_kwh.values.tolist() == [0.5, 0.25]


def test_an_optional_column_is_read_where_there_is_one(tmp_path: Path) -> None:
    path = write(tmp_path, "time_s,frequency_hz,voltage_v\n0,50,401\n1,50,402\n")
    assert read_columns(path, ("frequency",), ("voltage", "signal"))["voltage"].values.tolist() == [401.0, 402.0]
    assert set(read_columns(path, ("frequency",), ("signal",))) == {"frequency"}


# sample and hold


def test_a_sample_holds_until_the_next(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, "time_s,frequency_hz\n100,50\n110,49\n120,51\n"), "frequency")
    assert [series.at(t) for t in (100, 109.99, 110, 129.99)] == [50.0, 50.0, 49.0, 51.0]
    assert math.isnan(series.at(99.99))
    assert math.isnan(series.at(130.0))
    assert (series.start_s, series.end_s, series.whole_day) == (100.0, 130.0, False)


def test_a_gap_is_silence_not_an_old_value(tmp_path: Path) -> None:
    rows = "".join(f"{t},50\n" for t in (*range(10), *range(100, 110)))
    series = read_series(write(tmp_path, "time_s,frequency_hz\n" + rows), "frequency")
    assert series.at(9 + HOLD_STEPS - 0.01) == 50.0
    assert math.isnan(series.at(9 + HOLD_STEPS))
    assert series.at(100.0) == 50.0
    assert "1 gap(s)" in series.notes[0]
    assert "00:00:12 to 00:01:40" in series.notes[0]


def test_a_whole_day_starts_again_at_midnight(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, HOURS), "price")
    assert series.whole_day
    assert series.at(23.5 * 3600) == pytest.approx(0.23)
    assert series.at(24.5 * 3600) == 0.0
    assert series.at(-0.5 * 3600) == pytest.approx(0.23)
    assert series.mean(23 * 3600, 25 * 3600) == pytest.approx(0.115)


def test_a_series_through_midnight(tmp_path: Path) -> None:
    text = "time,frequency_hz\n2024-09-03T23:00,50\n2024-09-04T00:00,51\n2024-09-04T01:00,52\n"
    series = read_series(write(tmp_path, text), "frequency")
    assert [series.at(h * 3600) for h in (23.5, 0.5, 24.5, 1.5)] == [50.0, 51.0, 51.0, 52.0]
    assert math.isnan(series.at(3 * 3600))


def test_means_leave_gaps_out(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, "time_s,frequency_hz\n0,50\n10,52\n20,51\n1000,50\n1010,50\n"), "frequency")
    assert series.mean(0, 20) == pytest.approx(51.0)
    assert series.mean(5, 15) == pytest.approx(51.0)
    assert series.mean(20, 900) == pytest.approx(51.0)  # 20 s to 50 s hold, the rest is a gap
    assert math.isnan(series.mean(100, 900))


@given(
    st.lists(st.floats(0.01, 500.0), min_size=1, max_size=30),
    st.lists(st.floats(-100.0, 100.0), min_size=31, max_size=31),
    st.floats(0.0, 86399.0), st.floats(0.1, 3000.0))
def test_means_are_those_of_held_values(steps: list[float], values: list[float], start: float, span: float) -> None:
    times = np.concatenate(([0.0], np.cumsum(steps)))
    series = Series("signal", times, np.array(values[: times.size]))
    fine = np.linspace(start, start + span, 4001)[:-1] + span / 8000
    held = np.array([series.at(float(t)) for t in fine])
    known = held[~np.isnan(held)]
    if known.size > 400:
        # each edge between two samples costs the sum at most one cell
        tolerance = (3 * times.size + 6) * 200.0 / known.size
        assert series.mean(start, start + span) == pytest.approx(known.mean(), abs=tolerance)


# days, daylight saving


def days(first: str, hours: int, offset: int = 0) -> str:
    start = np.datetime64(first)
    rows = [f"{start + np.timedelta64(h, 'h')},{(h + offset) % 1000}" for h in range(hours)]
    return "time,price_eur_per_mwh\n" + "\n".join(rows) + "\n"


def test_the_first_full_day_is_taken_and_said(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, days("2024-01-01T20:00", 60)), "price")
    assert (series.times_s[0], series.times_s[-1]) == (0.0, 23 * 3600.0)
    assert series.values[0] == pytest.approx(0.004)
    assert "2024-01-02" in series.notes[0]


def test_without_a_full_day_the_first_24_hours_are_taken(tmp_path: Path) -> None:
    series = read_series(write(tmp_path, days("2024-01-01T20:00", 27)), "price")
    assert series.whole_day
    assert series.at(20 * 3600) == 0.0
    assert series.at(19 * 3600) == pytest.approx(0.023)


def test_a_day_can_be_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, days("2024-01-01T00:00", 72))
    assert read_series(path, "price", day="2024-01-03").values[0] == pytest.approx(0.048)
    assert "2024-01-01 to 2024-01-03" in refused(path, "price", day="2024-01-09")
    assert "YYYY-MM-DD" in refused(path, "price", day="9 April")
    assert "no dates" in refused(write(tmp_path, HOURS, "h.csv"), "price", day="2024-01-01")


def test_utc_only_is_shifted_by_the_offset_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "utc_start,price_eur_per_mwh\n2024-01-01T00:00Z,1\n2024-01-01T01:00Z,2\n")
    assert read_series(path, "price").at(0.0) == pytest.approx(0.001)
    assert read_series(path, "price", utc_offset_h=1.0).at(3600.0) == pytest.approx(0.001)  # type: ignore[arg-type]


def test_the_hour_that_comes_twice_keeps_its_first_pass(tmp_path: Path) -> None:
    text = ("local_start,price_eur_per_mwh\n2024-10-27T01:00+02:00,1\n2024-10-27T02:00+02:00,2\n"
            "2024-10-27T02:00+01:00,3\n2024-10-27T03:00+01:00,4\n")
    series = read_series(write(tmp_path, text), "price")
    assert series.times_s.tolist() == [3600.0, 7200.0, 10800.0]
    assert series.values.tolist() == pytest.approx([0.001, 0.002, 0.004])


# recordings


def test_the_recorded_day(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Table, "_fields")  # a clean file of numbers never takes the slow way, row by row
    series = read_series(shared_data / "freq_CE_1s_2024-09-03.csv", "frequency")
    assert series.times_s.size == 86400
    assert series.whole_day
    assert series.notes == ()
    assert series.at(2.0) == 49.99
    assert 0.019 < series.values.std() < 0.022


def test_recorded_prices_and_signal(shared_data: Path) -> None:
    one_day = read_series(shared_data / "price_DE-LU_2024-04-09.csv", "price")
    years = read_series(shared_data / "price_DE-LU_dayahead_hourly_2023-2024.csv", "price", day="2024-04-09")
    assert one_day.values == pytest.approx(years.values)
    assert one_day.at(0.0) == pytest.approx(0.07821)
    signal = read_series(shared_data / "pjm_regd_2s_day.csv", "signal")
    assert signal.times_s.size == 43200  # the closing midnight belongs to the next day
    assert np.abs(signal.values).max() == 1.0


def test_days_of_both_clock_changes(shared_data: Path) -> None:
    path = shared_data / "price_DE-LU_dayahead_hourly_2023-2024.csv"
    assert read_series(path, "price", day="2024-10-27").times_s.size == 24
    spring = read_series(path, "price", day="2024-03-31")
    assert spring.times_s.size == 23
    assert spring.at(2.5 * 3600) == spring.at(1.5 * 3600)


# clock


def test_clock_times() -> None:
    assert parse_clock("17:30") == 63000.0
    assert parse_clock("7:05:09") == 25509.0
    assert format_clock(63000.4) == "17:30:00"
    for text in ("24:00", "7", "0730", "", "7.30", "12:00+02:00", "-1:00"):
        with pytest.raises(InputError, match="HH:MM"):
            parse_clock(text)


@given(st.integers(0, 86399))
def test_clock_round_trip(seconds: int) -> None:
    assert parse_clock(format_clock(seconds)) == seconds


def test_the_time_column_that_means_local_time_wins(tmp_path: Path) -> None:
    text = "utc_start,second_of_day,x\n2024-01-01T00:00Z,7,1\n2024-01-01T00:01Z,8,1\n"
    assert read_time_axis(read_table(write(tmp_path, text))).seconds.tolist() == [7.0, 8.0]


# sessions

HEAD = "session_id,arrival,departure,energy_kWh\n"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a,2024-01-01T10:00,2024-01-01T09:00,5", ["departure 2024-01-01T09:00 is not after arrival"]),
        ("a,2024-01-01T10:00,2024-01-01T10:00,5", ["is not after arrival"]),
        ("a,10:00,09:00,5", ["needs dates"]),
        ("a,10:00,2024-01-01T11:00,5", ["date on both"]),
        ("a,2024-01-01T10:00+01:00,2024-01-01T11:00,5", ["offset on both"]),
        ("a,2024-01-01T10:00,2025-01-01T11:00,5", ["stay of"]),
        ("a,ten,11:00,5", ["arrival is 'ten'"]),
        ("a,10:00,11:00,-1", ["energy_kwh is -1", "0 to 1000"]),
        ("a,10:00,11:00,nan", ["'nan'"]),
        ("a,10:00,11:00,much", ["'much'"]),
        ("a,10:00,11:00", ["3 fields"]),
    ],
)
def test_a_bad_session_is_named_by_line(tmp_path: Path, row: str, words: list[str]) -> None:
    path = write(tmp_path, f"{HEAD}z,08:00,09:00,1\n{row}\n")
    with pytest.raises(InputError) as caught:
        read_sessions(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert all(word in str(caught.value) for word in words)


def test_a_session_file_without_energy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column for energy: found arrival, departure"):
        read_sessions(write(tmp_path, "arrival,departure\n10:00,11:00\n"))


def test_sessions_are_counted_from_the_day_asked_for(tmp_path: Path) -> None:
    rows = ("a,2024-01-01T22:00+01:00,2024-01-02T07:00+01:00,5\n"
            "b,2024-01-02T08:00+01:00,2024-01-02T09:00+01:00,6\nc,2024-01-03T08:00+01:00,2024-01-03T09:00+01:00,7\n")
    sessions = read_sessions(write(tmp_path, HEAD + rows))
    day = sessions_of_day(sessions, "2024-01-02")
    assert [(s.session_id, s.arrival_s / 3600, s.departure_s / 3600) for s in day] == [("a", -2, 7), ("b", 8, 9)]
    assert [s.session_id for s in sessions_of_day(sessions)] == ["a"]
    for wanted, words in (("2024-02-01", "2024-01-01 to 2024-01-03"), ("soon", "YYYY-MM-DD")):
        with pytest.raises(InputError, match=words):
            sessions_of_day(sessions, wanted)


@given(st.lists(st.tuples(st.floats(0, 80000), st.floats(60, 40000)), max_size=40), st.integers(1, 6))
def test_no_module_gets_two_vehicles_at_once(stays: list[tuple[float, float]], modules: int) -> None:
    sessions = [Session(str(k), begin, begin + stay, 1.0) for k, (begin, stay) in enumerate(stays)]
    taken, turned_away = assign_sessions(sessions, list(range(1, modules + 1)))
    assert sum(map(len, taken.values())) + len(turned_away) == len(sessions)
    for rows in taken.values():
        assert all(a.departure_s <= b.arrival_s for a, b in zip(rows, rows[1:], strict=False))
    for refused_one in turned_away:  # it came while every module was taken
        assert all(any(s.arrival_s <= refused_one.arrival_s < s.departure_s for s in rows) for rows in taken.values())


def test_recorded_sessions(shared_data: Path) -> None:
    sessions = read_sessions(shared_data / "ev_sessions_acn_caltech_2019-03.csv")
    assert len(sessions) == 954
    assert sessions[0].arrival_s == 6 * 3600 + 20 * 60
    assert sessions[-1].departure_s > DAY_S  # leaves the next morning
    assert sessions[0].energy_kwh == 4.216
