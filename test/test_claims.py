"""The claims themselves: all that is listed is there, wrong formulas are refuted, and a handful is run for real."""

from __future__ import annotations

import re

import numpy as np
import pytest

from v2g_nodes.cli.reproduce_figures import PANELS, drawings
from v2g_nodes.cli.reproduce_runs import run_one
from v2g_nodes.sim.claims import dispatch_setting, market_tables, network_setting
from v2g_nodes.sim.claims.catalogue import all_claims, mark, order
from v2g_nodes.sim.claims.claim import ORIGINS, SOURCES, NeedsRecordingError, Setting

CLAIMS = {claim.id: claim for claim in all_claims()}
QUICK = Setting(True)
#: of each list of the notes on the sources the highest number; every number below it needs a claim
LISTS = {"000.4": 17, "000.5": 6, "001.4": 7, "001.5": 5, "002.4": 7, "002.5": 5, "003.3": 6, "003.4": 6, "003.5": 3,
         "004.4": 7, "004.5": 7, "000.8": 2}  # fmt: skip
FAST_ERRORS = ("000.4.1", "000.4.3", "000.4.5a", "000.4.5b", "000.4.8c", "000.4.9b", "000.4.10b", "000.4.11",
               "000.4.12", "000.4.15", "001.5.1", "001.5.2", "001.5.5", "002.5.2", "002.5.3", "002.5.4", "002.5.5",
               "003.5.1", "004.5.1", "004.5.2", "004.5.3a", "004.5.3b", "004.5.5", "004.5.6", "004.5.7")  # fmt: skip
FAST_RESULTS = ("000.5.1a", "000.5.3a", "000.8.2", "000.5.6", "000.4.9a", "000.4.9c", "000.4.10a", "001.4.2",
                "001.4.3a", "001.4.4", "002.4.1a", "002.4.3a", "002.4.3b", "002.4.4", "002.4.7", "003.3.1",
                "003.3.2", "003.3.6", "004.4.1", "004.4.4", "004.4.5a")  # fmt: skip


@pytest.mark.parametrize(("section", "number"), [(s, k + 1) for s, count in LISTS.items() for k in range(count)])
def test_every_listed_item_has_a_claim(section: str, number: int) -> None:
    assert any(re.fullmatch(rf"{re.escape(section)}\.{number}[a-z]?", id_) for id_ in CLAIMS)


def test_ids_are_unique_ordered_and_of_a_source() -> None:
    ids = [claim.id for claim in all_claims()]
    assert len(ids) == len(set(ids))
    assert ids == sorted(ids, key=order)
    assert ids.index("000.4.9a") < ids.index("000.4.10a"), "by number, not by letter"
    for claim in all_claims():
        assert re.fullmatch(r"00[0-4]\.\d\.\d+[a-z]?", claim.id)
        assert claim.source == SOURCES[claim.id[:3]]
        assert claim.origin in ORIGINS
        assert claim.text.endswith("."), claim.id
        assert claim.holds_if, claim.id
        assert len(mark(claim)) == 16, "the code that it names is there"


@pytest.mark.parametrize("id_", FAST_ERRORS)
def test_a_wrong_formula_is_refuted(id_: str) -> None:
    assert CLAIMS[id_].origin == "error"
    finding = CLAIMS[id_].check(QUICK)
    assert finding.verdict == "refuted"
    assert finding.reason


@pytest.mark.parametrize("id_", FAST_RESULTS)
def test_a_claim_that_holds(id_: str) -> None:
    finding = CLAIMS[id_].check(QUICK)
    assert finding.verdict == "holds", dict(finding.figures)
    assert finding.figures


@pytest.mark.parametrize(
    ("id_", "figure", "low", "high"),
    [("000.4.4a", "sum_kw", -32.0, -31.0), ("000.4.4b", "power_spread_kw", 0.0, 1e-6),
     ("000.4.4b", "sum_kw", 19.9, 20.1),
     ("000.4.6", "excess_with_sign_turned", 0.0, 1e-6), ("000.4.6", "sum_kw", -32.0, -31.0),
     ("000.4.3", "min_max_eur_per_h", 1.5, 1.53), ("001.5.1", "off_with_marginal_cost", 0.0, 1e-9),
     ("002.5.1", "spread_flowing_down", 0.0, 1e-6), ("002.5.3", "flat_directions_at_0.05", 0, 0),
     ("004.5.2", "served_right", 0.75, 0.8), ("004.5.6", "dual_usd", 8.12, 8.5)],
)  # fmt: skip
def test_it_is_refuted_for_the_right_reason(id_: str, figure: str, low: float, high: float) -> None:
    """The wrong formula ends where it is known to, and the right one beside it does not."""
    finding = CLAIMS[id_].check(QUICK)
    assert finding.verdict == "refuted"
    value = finding.figures[figure]
    assert isinstance(value, (int, float))
    assert low <= value <= high


def test_the_printed_gap_is_not_that_of_the_averages() -> None:
    finding = CLAIMS["003.3.5"].check(QUICK)
    assert finding.verdict == "refuted"
    assert finding.figures["gap_percent_case18"] == pytest.approx(0.00254, rel=1e-3)


def test_lost_totals_are_not_reproducible() -> None:
    for id_ in ("003.3.4", "004.3.5", "000.4.8a"):
        finding = CLAIMS[id_].check(QUICK)
        assert finding.verdict == "not reproducible"
        assert finding.reason


def test_a_table_that_is_changed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arithmetic is done, not assumed."""
    with_typo = {**market_tables.FLEET, 100: (216.163, 205.475, 5.15, 23.163)}
    monkeypatch.setattr(market_tables, "TABLES", (with_typo, market_tables.CHARGER, market_tables.UTILITY))
    assert CLAIMS["004.4.4"].check(QUICK).verdict == "refuted"


def test_an_optimum_that_is_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_setting.Station, "proximal", lambda self, price, weight: 9.0 * np.asarray(price))
    assert CLAIMS["000.5.2a"].check(QUICK).verdict == "refuted"


def test_a_claim_on_a_recording_asks_for_it() -> None:
    with pytest.raises(NeedsRecordingError, match=r"needs --data DIR with pjm_regd_2s_day\.csv"):
        CLAIMS["004.4.8"].check(QUICK)
    result = run_one(CLAIMS["004.4.8"], QUICK)
    assert (result["verdict"], result["reason"]) == ("not run", "needs --data DIR with pjm_regd_2s_day.csv")


def test_a_made_feeder_stands_in_for_the_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_setting, "has_cases", lambda: False)
    assert network_setting.cases() == ("feeder18",)
    plan_day = network_setting.day("feeder18", 0, None)
    assert len(plan_day.grid) == 18
    assert network_setting.relaxed(plan_day).found
    assert "made feeder" in network_setting.note(QUICK)


def test_every_figure_is_drawn_from_a_claim_that_is_there() -> None:
    assert set(PANELS) == set(SOURCES)
    for panels in PANELS.values():
        assert panels
        for panel in panels:
            assert all(claim in CLAIMS for claim, _ in panel.parts)


def test_figures_have_the_lines_of_their_claims() -> None:
    results = [run_one(CLAIMS[id_], QUICK) for id_ in ("001.4.1", "002.4.3a", "002.4.3b", "002.4.4")]
    (demand, price), allocation = drawings("001", results), drawings("002", results)
    assert "<svg" in demand
    assert "<svg" in price
    assert len(allocation) == 3
    assert drawings("003", results) == []
