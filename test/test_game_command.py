"""`v2g game`: figures, report, verdict, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from v2g_nodes.cli import main as cli
from v2g_nodes.cli.game_figures import Asked, Study, figures, study
from v2g_nodes.cli.game_fleets import random_fleet
from v2g_nodes.core.game.sweep import free_sale_kw

KEYS = ("modules", "seed", "target_kw", "externality", "has_potential", "best_response_rounds",
        "exploitability_eur_per_h", "potential", "price_of_anarchy", "welfare_equilibrium_eur_per_h",
        "welfare_optimum_eur_per_h", "vcg_payments_eur_per_h", "vcg_budget_eur_per_h", "misreport_tries",
        "misreports_profitable_vcg", "misreports_profitable_pay_as_bid", "best_gain_vcg_eur_per_h",
        "best_gain_pay_as_bid_eur_per_h", "verdict")  # fmt: skip
SMALL = ("--fleets", "3", "--tries", "120", "--externality", "0", "--externality", "0.001")


def test_figures_and_report(tmp_path: Path) -> None:
    words = ["game", "--modules", "5", "--seed", "3", *SMALL, "--report", str(tmp_path / "report"), "--json"]
    assert cli.main([*words, str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert tuple(found)[: len(KEYS)] == KEYS
    assert found["verdict"] == "ok"
    assert found["externality"] == [0.0, 0.001]
    assert found["target_kw"] == pytest.approx(0.5 * free_sale_kw(random_fleet(5, 3).players, 0.1))
    assert found["has_potential"] is True
    assert found["price_of_anarchy"][0] == pytest.approx(1.0, abs=1e-12)
    assert found["price_of_anarchy"][1] > 1.0
    assert found["misreports_profitable_vcg"] == 0
    assert found["misreports_profitable_pay_as_bid"] > 0
    assert len(found["vcg_payments_eur_per_h"]) == 5
    assert sum(found["powers_kw"]) == pytest.approx(found["target_kw"], abs=1e-9)
    budget = 0.1 * found["target_kw"] - sum(found["vcg_payments_eur_per_h"])
    assert found["vcg_budget_eur_per_h"] == pytest.approx(budget, abs=1e-9)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert cli.main([*words, str(tmp_path / "b.json")]) == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    assert (tmp_path / "report" / "report.html").read_text() == page


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["game", "--modules", "4", *SMALL, "--target-kw", "-3", "--mechanism", "pay-as-bid"]) == 0
    shown = capsys.readouterr().out
    for words in ("anarchy", "worst", "0.001", "pay-as-bid", "verdict: ok", "modules: the game", "buys -3 kW"):
        assert words in " ".join(shown.split()), words
    assert "\n  vcg " not in shown


def test_one_mechanism_leaves_the_other_open(tmp_path: Path) -> None:
    assert cli.main(["game", "--modules", "3", *SMALL, "--mechanism", "vcg", "--json", str(tmp_path / "f.json")]) == 0
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["misreports_profitable_vcg"] == 0
    assert found["misreports_profitable_pay_as_bid"] is None
    assert found["best_gain_pay_as_bid_eur_per_h"] is None


def test_a_search_that_shows_nothing_ends_with_1(tmp_path: Path) -> None:
    words = ["game", "--modules", "3", "--externality", "0.001", "--fleets", "1", "--tries", "1", "--json"]
    codes = [cli.main([*words, str(tmp_path / "f.json"), "--seed", str(seed)]) for seed in range(3)]
    assert 1 in codes
    assert cli.main([*words, str(tmp_path / "f.json"), "--seed", str(codes.index(1))]) == 1
    assert "no lie paid" in json.loads((tmp_path / "f.json").read_text())["verdict"]


@pytest.fixture(scope="module")
def good() -> Study:
    return study(Asked(4, 0, None, 0.1, (0.0, 0.01), 2, 80, ("vcg", "pay-as-bid"), 1.0), lambda _: None)


def test_every_fault_is_in_the_verdict(good: Study) -> None:
    assert figures(good)["verdict"] == "ok"
    point, vcg = good.points[1], good.settlements["vcg"]
    course, anarchy = point.course, point.anarchy
    worse = replace(anarchy, optimum=replace(anarchy.optimum, welfare_eur_per_h=0.9 * anarchy.welfare_eur_per_h))
    faults = {
        "no potential": {"points": (replace(point, has_potential=False),)},
        "to gain": {"points": (replace(point, course=replace(course, exploitability_eur_per_h=1e-6)),)},
        "kW from": {"points": (replace(point, course=replace(course, powers_kw=course.powers_kw + 1e-5)),)},
        "below 1": {"points": (replace(point, anarchy=worse),)},
        "does not vanish": {"losses": (1e-3, 9e-4, 8e-4)},
        "at once": {"falls_eur_per_h": 1e-9},
        "stand still loses": {"settlements": {**good.settlements, "vcg": replace(
            vcg, gains_eur_per_h=vcg.gains_eur_per_h - 1e-3)}},
        "lies paid": {"searches": {"vcg": good.searches["pay-as-bid"]}},
        "no lie paid": {"searches": {"pay-as-bid": good.searches["vcg"]}},
    }  # fmt: skip
    for words, change in faults.items():
        changes = {"stations": [row[-1:] for row in good.stations]} if "points" in change else {}
        assert words in figures(replace(good, **changes, **change))["verdict"]  # type: ignore[arg-type]


def test_more_modules_than_a_bus_holds() -> None:
    fleet = random_fleet(150, 0)
    assert len(fleet.costs) == len(fleet.boxes) == 150
    wear = {cost.parameters.wear_gamma for cost in fleet.costs}
    assert len(wear) > 120, "not the same station twice"
    assert sum(b.low_kw for b in fleet.boxes) <= fleet.target_kw <= sum(b.high_kw for b in fleet.boxes)
    assert not np.isnan(fleet.target_kw)


BAD = [
    (("--modules", "1"), "--modules is 1, allowed 2 to 500"),
    (("--modules", "501"), "--modules is 501, allowed 2 to 500"),
    (("--seed", "-1"), "--seed is -1, allowed 0 to"),
    (("--target-kw", "nan"), "--target-kw is nan kW, allowed"),
    (("--price", "inf"), "--price is inf EUR/kWh, allowed -10 to 10"),
    (("--externality", "-0.1"), "--externality is -0.1 EUR/h/kW^2, allowed 0 to 1"),
    (("--fleets", "0"), "--fleets is 0, allowed 1 to 1000"),
    (("--tries", "5"), "--tries is 5, allowed 20 to"),
    (("--mechanism", "lottery"), "--mechanism lottery: allowed vcg, pay-as-bid, both"),
    (("--shortage", "0"), "--shortage is 0.0 EUR/kWh, allowed 0.001 to 1000"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[line for _, line in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    asked = ["game", *words, "--json", str(tmp_path / "f.json"), "--report", str(tmp_path / "report")]
    assert cli.main(asked) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert line in error[0]
    assert list(tmp_path.iterdir()) == []
