"""The report: complete, correct, and one file that loads nothing."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from v2g_nodes.cli.report import MEANING, REGULATION_MEANING, REGULATION_PARTS, render_page, write_report
from v2g_nodes.cli.report_figures import PANELS, POINTS_MAX, figure_station, module_colors, panel_svg
from v2g_nodes.cli.run_station import RunResult
from v2g_nodes.cli.verdict import UP_KEYS, ordered
from v2g_nodes.station import default_station

MADE = datetime(2025, 1, 2, 3, 4)


def make_series(modules: int = 3, seconds: int = 60, start_s: float = 61200.0) -> dict[str, Any]:
    """A run in which module k gives (-1)^k * k kW, with a second without values in it."""
    times = [float(t) for t in range(seconds)]
    some: list[float | None] = [1.0 + 0.01 * t for t in times]
    some[1] = None
    powers = {str(k): [float(k * (-1) ** k)] * seconds for k in range(1, modules + 1)}
    epochs = range(0, seconds, 2)
    return {
        "time_s": times, "time_of_day_s": [None, *(start_s + t for t in times[1:])],
        "frequency_hz": [50.0 + 0.001 * t for t in times], "price_eur_per_kwh": some, "target_kw": some,
        "clipped_target_kw": some, "agreed_kw": some, "owed_kw": some,
        "measured_kw": [sum(p[0] for p in powers.values())] * seconds,
        "modules": {k: {"power_kw": p, "setpoint_kw": p, "soc": [0.5 + 0.0001 * t for t in times],
                        "temperature_c": some, "lambda": some} for k, p in powers.items()},
        "epochs": {"time_s": [float(t) for t in epochs], "epoch_ms": [10.0 + t for t in epochs],
                   "rounds": [4 for _ in epochs], "cold": [t % 8 == 0 for t in epochs], "gap": [1e-6 for _ in epochs],
                   "equal_split_gap": [0.3 for _ in epochs], "lambda": [0.01 for _ in epochs],
                   "target_kw": [1.0 for _ in epochs], "agreed_kw": [1.0 for _ in epochs]},
    }  # fmt: skip


def result(**changes: Any) -> RunResult:  # noqa: ANN401 - figures of any type
    figures = {"modules": 3, "topology": "ring", "epochs": 29, "gap_max": 1.2e-5, "equal_split_gap_median": 0.36,
               "duration_s": 60.0, "speed": 1.0, "verdict": "ok"}  # fmt: skip
    notes = ("frequency: recording <day>.csv", "price: synthetic, seed 0")
    return RunResult(ordered({**figures, **changes}), default_station(3), notes, make_series())


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name.split(":")[-1] in ("src", "href", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def axis_of(figure: Figure, title: str) -> Any:  # noqa: ANN401 - matplotlib's axes
    return next(axis for axis in figure.axes if title in axis.get_title(loc="left"))


def test_the_page_loads_nothing_from_elsewhere() -> None:
    text = render_page(result(), MADE)
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text


def test_every_figure_stands_in_the_page_with_its_meaning() -> None:
    page = Page(render_page(result(), MADE))
    assert tuple(MEANING) == UP_KEYS
    for key, meaning in MEANING.items():
        if key not in REGULATION_PARTS:
            assert key in page.text
            assert meaning in page.text
    for shown in ("1.2e-05", "36%", "not measured", "price: synthetic, seed 0", "2025-01-02 03:04",
                  "17:00:01 to 17:00:59"):
        assert shown in page.text


def test_regulation_has_a_table_and_a_plot_where_there_was_some() -> None:
    settled: dict[str, Any] = {key: 0.25 for key in REGULATION_MEANING if key not in ("accuracy", "delay", "precision")}
    found = result(performance_score=0.9876, performance_parts={"accuracy": 1.0, "delay": 1.0, "precision": 0.963},
                   settlement=settled)  # fmt: skip
    asked = {"time_s": [5.0, 15.0], "asked_kw": [1.0, -2.0], "given_kw": [0.9, None]}
    text = render_page(replace(found, series={**found.series, "regulation": asked}), MADE)
    page = Page(text)
    for key, meaning in REGULATION_MEANING.items():
        assert key in page.text
        assert meaning in page.text
    assert "0.9876" in page.text
    assert "Regulation signal, means of 10 s" in text
    without = render_page(result(), MADE)
    assert "Regulation" not in Page(without).text


def test_what_comes_from_outside_is_text_not_markup() -> None:
    text = render_page(result(verdict="gap <1> & more"), MADE)
    assert "recording &lt;day&gt;.csv" in text
    assert "gap &lt;1&gt; &amp; more" in text


@pytest.mark.parametrize(("verdict", "badge"), [("ok", "ok"), ("no epoch agreed", "not ok")])
def test_the_verdict_is_on_top(verdict: str, badge: str) -> None:
    text = render_page(result(verdict=verdict), MADE)
    top = text[: text.index('class="cards"')]
    assert f">{badge}</span>" in top
    assert (verdict in top) or verdict == "ok"


def test_all_panels_are_drawn_and_well_formed() -> None:
    text = render_page(result(), MADE)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == len(PANELS) == 6
    for panel, drawing in zip(PANELS, drawings, strict=True):
        words = "".join(ElementTree.fromstring(drawing).itertext())
        assert panel.title.split(" [")[0] in words
        assert "17:00:10" in words


def test_ids_of_panels_do_not_clash() -> None:
    text = "".join(panel_svg(panel, make_series()) for panel in PANELS)
    clips = re.findall(r'<clipPath id="([^"]+)"', text)
    assert len(clips) >= len(PANELS)
    assert len(set(clips)) == len(clips)


def test_a_run_without_a_series_still_has_a_page() -> None:
    page = Page(render_page(RunResult(ordered({"verdict": "the station monitor gave no summary"}),
                                      default_station(2), ()), MADE))  # fmt: skip
    assert "No series was recorded." in page.text
    assert "svg" not in page.tags


@pytest.mark.parametrize("series", [{}, {"time_s": [], "modules": {}}, {"time_s": [1.0], "modules": {"1": {}}}])
def test_a_series_with_nothing_in_it_can_be_drawn(series: dict[str, Any]) -> None:
    assert len(figure_station(series).axes) == len(PANELS)


def test_files_are_written(tmp_path: Path) -> None:
    page = write_report(tmp_path, result())
    assert page == tmp_path / "report.html"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "summary.json").read_text()) == dict(result().figures)
    assert (tmp_path / "station.png").read_bytes().startswith(b"\x89PNG")
    assert list(json.loads((tmp_path / "summary.json").read_text())) == list(UP_KEYS)
    assert json.loads((tmp_path / "series.json").read_text()) == make_series()


def test_powers_are_stacked_by_sign_under_the_measured_sum() -> None:
    axis = axis_of(figure_station(make_series(modules=4)), "Power per module")
    heights = [value for area in axis.collections for path in area.get_paths() for value in path.vertices[:, 1]]
    assert math.isclose(max(heights), 2.0 + 4.0)
    assert math.isclose(min(heights), -1.0 - 3.0)
    lines = {line.get_label(): line for line in axis.lines}
    assert np.allclose(lines["measured"].get_ydata(), 2.0)
    owed = np.asarray(lines["target + droop"].get_ydata())
    assert np.isnan(owed[1])
    assert math.isclose(owed[2], 1.02)


def test_cold_epochs_are_marked() -> None:
    axis = axis_of(figure_station(make_series()), "Time to agree")
    counts = {line.get_label(): len(line.get_xdata()) for line in axis.lines}
    assert counts["cold start"] == 8
    assert counts["warm start"] == 22


@pytest.mark.parametrize(("last_ms", "scale"), [(60.0, "linear"), (2000.0, "log")])
def test_one_slow_epoch_does_not_flatten_the_others(last_ms: float, scale: str) -> None:
    series = make_series()
    series["epochs"]["epoch_ms"][-1] = last_ms
    assert axis_of(figure_station(series), "Time to agree").get_yscale() == scale


@pytest.mark.parametrize(
    ("seconds", "title", "last"), [(600, "State of charge [%]", 55.99), (60, "change since the start", 0.59)])
def test_short_runs_show_the_change_of_charge(seconds: int, title: str, last: float) -> None:
    axis = axis_of(figure_station(make_series(seconds=seconds)), title)
    assert math.isclose(axis.lines[0].get_ydata()[-1], last, abs_tol=1e-9)


def test_clocks_go_on_after_midnight() -> None:
    drawing = panel_svg(PANELS[0], make_series(start_s=86370.0))
    assert "23:59:40" in drawing
    assert "00:00:10" in drawing


def test_long_runs_are_thinned() -> None:
    figure = figure_station(make_series(modules=2, seconds=20 * POINTS_MAX))
    assert all(len(line.get_xdata()) <= POINTS_MAX for axis in figure.axes for line in axis.lines)


@pytest.mark.parametrize("count", [1, 10, 11, 64])
def test_modules_have_colours_of_their_own(count: int) -> None:
    colors = module_colors([str(k) for k in range(count)])
    assert len(set(colors.values())) == count
