"""Studies of the market planner: trends that can fail, drivers from a survey, the study of mixes and its campaign."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from v2g_nodes.cli import main as cli
from v2g_nodes.cli import market_mixes
from v2g_nodes.cli.market_inputs import MarketOptions, read_market
from v2g_nodes.cli.market_mixes import MixStudy, run_mixes, write_whole
from v2g_nodes.cli.market_peers import PEERS, run_peer
from v2g_nodes.cli.market_runs import Limits
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.market import studies
from v2g_nodes.planning.market.calibration import inverse_gap
from v2g_nodes.planning.market.replay import replay_scores
from v2g_nodes.planning.market.studies import Case, made_base, pattern
from v2g_nodes.planning.market.survey import connected_by_hour, plug_shares, survey_day
from v2g_nodes.planning.market.trends import Trend, trends
from v2g_nodes.sim.series import read_columns

GROUPS = ("fleet", "charger", "utility", "scaled", "soc", "soc_charger_without", "soc_charger_share",
          "soc_charger_power", "ownership", "workplace", "mixes", "mixes_workplace")  # fmt: skip
Numbers = tuple[float, float, float]
OPTIONS = MarketOptions(200, 10.0, 200.0, 0.25, 3, None, None, None, False, None, None, "weekdays", None, None, None,
                        None, None, 0.05, "company", None, False)  # fmt: skip


# ---- trends ----------------------------------------------------------------------------------------------------------
def verdicts(cases: dict[str, list[Case]]) -> dict[str, bool]:
    found: list[Trend] = trends(cases, made_base())
    return {trend.claim.split(" (")[0].split(" [")[0]: trend.holds for trend in found}


def cases_of(profit: Numbers, without: Numbers, paid: Numbers, value: Numbers = (1.0, 2.0, 3.0)) -> list[Case]:
    """Three cases; the more the later, the more rebates are like prices."""
    prices = made_base().prices
    return [Case(f"{2**k} x (kW)", *numbers, tuple(k * prices + 0.001 * np.arange(24.0)))
            for k, numbers in enumerate(zip(profit, without, paid, value, strict=True))]  # fmt: skip


def good_cases() -> dict[str, list[Case]]:
    """Where every observation of the source holds."""
    return {
        "fleet": cases_of((10.0, 11.0, 12.0), (5.0, 6.0, 7.0), (1.0, 1.0, 1.0)),
        "charger": cases_of((1.1, 2.4, 5.2), (1.0, 2.0, 4.0), (0.1, 0.5, 2.0)),
        "utility": cases_of((3.0, 2.5, 2.0005), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0)),
        "scaled": cases_of((1.0, 2.0, 4.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        "soc": cases_of((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (5.0, 1.0, 2.0)),
        "soc_charger_without": cases_of((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (4.0, 8.0, 16.0)),
        "soc_charger_share": cases_of((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.0, 2.0, 8.0)),
        "soc_charger_power": cases_of((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.0, 2.0, 8.0)),
        "ownership": cases_of((3.0, 2.0, 1.0), (1.0, 1.0, 1.0), (1.0, 2.0, 3.0)),
        "workplace": cases_of((2.0, 3.0, 4.0), (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)),
        "mixes": cases_of((2.0, 2.0, 2.0), (1.9, 1.9, 1.9), (1.0, 1.0, 1.0)),
        "mixes_workplace": cases_of((3.0, 3.0, 3.0), (2.99, 2.99, 2.99), (1.0, 1.0, 1.0)),
    }  # fmt: skip


def test_every_trend_can_hold_and_can_be_refuted() -> None:
    good = good_cases()
    assert all(verdicts(good).values())
    bad = {name: group[::-1] for name, group in good.items()}
    bad["mixes"], bad["mixes_workplace"] = good["mixes_workplace"], good["mixes"]
    identities = [claim for claim in verdicts(bad) if "same for every" in claim or "x G" in claim]
    assert len(identities) == 3
    assert not any(holds for claim, holds in verdicts(bad).items() if claim not in identities)


def test_identities_are_refuted_by_a_millionth() -> None:
    def cases(factor: float) -> dict[str, list[Case]]:
        good, more = good_cases(), 1.0 + factor
        return {**good, **{name: [replace(group[0], profit=more * group[0].profit,
                                          profit_without=more * group[0].profit_without), *group[1:]]
                           for name, group in good.items() if name in {"charger", "scaled", "utility"}}}  # fmt: skip

    words = ("without rebates, profit per kW is the same for every charger",
             "without rebates, profit is the same for every baseline utility",
             "profit = charger x G(utility / charger)")  # fmt: skip
    for factor, holds in ((0.0, True), (3e-6, False)):
        found = verdicts(cases(factor))
        assert [found[word] for word in words] == [holds] * 3


def test_pattern_is_the_correlation_with_prices() -> None:
    prices = made_base().prices
    assert pattern(Case("", 0, 1, 0, hourly=tuple(3.0 * prices + 1.0)), prices) == pytest.approx(1.0)
    assert pattern(Case("", 0, 1, 0, hourly=tuple(-prices)), prices) == pytest.approx(-1.0)
    assert pattern(Case("", 0, 1, 0, hourly=(0.2,) * 24), prices) == 0.0


def test_cases_have_chargers_at_work_where_the_base_has() -> None:
    base = made_base()
    found = [studies.case_of("", one, workplace=work).profit_without
             for one, work in ((base, None), (base, False), (replace(base, workplace=True), None), (base, True))]
    assert found[0] == found[1] < found[2] == found[3]


# ---- drivers from data -----------------------------------------------------------------------------------------------
def test_trips_of_a_survey_are_the_flows() -> None:
    trips = np.zeros((24, 3))
    trips[8, 1], trips[17, 0] = 0.6, 0.5
    day = survey_day(trips, 5.0)
    network = day.drivers.network
    answer = day.drivers.solve(np.zeros(24))
    flow = {(network.nodes[t], network.nodes[h]): answer.flow[0][a]
            for a, (t, h) in enumerate(zip(network.tail, network.head, strict=True))}  # fmt: skip
    assert flow["home 8", "work 9"] == pytest.approx(0.6, abs=1e-5)
    assert flow["work 17", "home 18"] == pytest.approx(0.5, abs=1e-5)
    assert day.present[12] == pytest.approx([0.4, 0.6, 0.0])
    assert day.late == pytest.approx(0.1)  # one in ten is still at work at 23 h
    assert day.missed == pytest.approx(0.0, abs=1e-12)
    assert answer.value[0] == pytest.approx(5.0, rel=1e-3)
    assert abs(inverse_gap(day.drivers, answer.flow[0])) < 1e-9


def test_trips_that_nobody_can_make_are_told() -> None:
    trips = np.zeros((24, 3))
    trips[3, 0], trips[9, 2] = 0.2, 0.2  # home at night, while all are at home
    assert survey_day(trips, 5.0).missed == pytest.approx(0.5)


def test_connected_vehicles_wrap_around_midnight() -> None:
    found = connected_by_hour(np.array([22.5]), np.array([3.0]), np.array([2.0]))
    assert found[[22, 23, 0, 1]] == pytest.approx([1.0, 2.0, 2.0, 1.0])
    assert found.sum() == pytest.approx(6.0)


def test_plug_shares_have_the_shape_of_connected_per_present() -> None:
    present = np.full(24, 0.5)
    present[12] = 0.25
    present[3] = 0.0
    found = plug_shares(np.ones(24), present, 0.8)
    assert found[12] == 0.8
    assert found[11] == pytest.approx(0.4)
    assert found[3] == 0.0


def test_survey_and_sessions_as_they_are_recorded(shared_data: Path) -> None:
    options = replace(OPTIONS, survey=str(shared_data), home_sessions=str(shared_data), workplace=True,
                      work_sessions=str(shared_data / "ev_sessions_acn_caltech_2019-03.csv"))  # fmt: skip
    inputs = read_market(options)
    share = inputs.platform.evaluate(np.zeros(24)).plugged[:, 0] / inputs.platform.vehicles[:, None]
    assert share[:, 2].min() > 0.7  # at night
    assert share[0, 10] > 1.5 * share[1, 10]  # workers plug in at work
    assert len(inputs.notes) == 4
    assert all(float(note.split(" trips a day, ")[1].split("%")[0]) < 2.0 for note in inputs.notes[:2])


# ---- mixes -----------------------------------------------------------------------------------------------------------
def study(folder: Path | None, **changed: float) -> MixStudy:
    return MixStudy(replace(OPTIONS, **changed), Limits(0.2, 20.0), 1, False, folder)  # type: ignore[arg-type]


def test_a_campaign_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []
    real = market_mixes._ours

    def counted(*words: object) -> dict[str, object]:
        if len(solved) == 1:
            raise KeyboardInterrupt
        solved.append(1)
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(market_mixes, "_ours", counted)
    with pytest.raises(KeyboardInterrupt):
        run_mixes(study(tmp_path), print, (0.4, 0.5))
    assert [path.name for path in tmp_path.iterdir()] == ["mix_0.40_instance_001.json"]
    monkeypatch.setattr(market_mixes, "_ours", real)
    told: list[str] = []
    found = run_mixes(study(tmp_path), told.append, (0.4, 0.5))
    assert told == ["mix 0.5/0.5, instance 1 of 1, v2g"]
    assert found["instances_solved_before"] == 1
    assert [row["v2g"]["solved_share"] for row in found["mixes"]] == [1.0, 1.0]
    assert found["mixes"][0]["v2g"]["gap_max"] <= 0.2
    again = run_mixes(study(tmp_path), told.append, (0.4, 0.5))
    assert again["mixes"] == found["mixes"]
    with pytest.raises(InputError, match=r"mix_0.40_instance_001.json: charger_kw was 10.0, allowed 11.0"):
        run_mixes(study(tmp_path, charger_kw=11.0), print, (0.4,))
    (tmp_path / "mix_0.40_instance_001.json").write_text('{"share": 0.4')
    with pytest.raises(InputError, match=r"mix_0.40_instance_001.json: JSONDecodeError"):
        run_mixes(study(tmp_path), print, (0.4,))


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(path: Path, text: str, encoding: str) -> int:
        path.write_bytes(text[:5].encode(encoding))
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", torn)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "one.json", {"share": 0.4})
    assert list(tmp_path.iterdir()) == []


def test_time_outs_count_as_the_limit_and_are_marked() -> None:
    from v2g_nodes.cli.market_table import mix_table

    def run(seconds: float, gap: float | None) -> dict[str, object]:
        return {"seconds": seconds, "solved": gap is not None and gap <= 0.05, "gap": gap}

    done = [{"share": 0.4, "methods": {"v2g": run(2.0, 0.01), "scip": run(20.0, 0.2), PEERS_LAST: run(4.0, 0.05)}},
            {"share": 0.4, "methods": {"v2g": run(2.0, 0.02), "scip": run(10.0, 0.04), PEERS_LAST: run(8.0, 0.01)}}]
    rows = market_mixes.mix_rows(done, replace(study(None), peer=True))
    assert rows[0]["scip"] == {"seconds": 15.0, "time_outs": 1, "solved_share": 0.5, "gap_unsolved": 0.2,
                               "gap_max": 0.2, "ratio": 7.5}  # fmt: skip
    done[0]["methods"]["v2g"] = run(20.0, 0.3)  # ours too: no ratio is known
    late = mix_table(market_mixes.mix_rows(done, replace(study(None), peer=True)))
    assert [line[7] for line in late] == ["–", "–", "–"]
    lines = mix_table(rows)
    assert [line[3] for line in lines] == ["2.00", "≥ 15.00", "6.00"]
    assert [line[7] for line in lines] == ["1.0", "≥ 7.5", "3.0"]


PEERS_LAST = tuple(PEERS)[-1]


def test_a_peer_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2g_nodes.cli.market_peers.within", lambda *_: None)
    found = run_peer(read_market(OPTIONS).platform, "scip", 0.005, 60.0)
    assert (found["solved"], found["seconds"], found["gap"]) == (False, 60.0, None)


# ---- the command -----------------------------------------------------------------------------------------------------
def test_community_through_the_command_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "MIXES", studies.MIXES[:2])
    arcs = [f"{k},{k + 1},{hour},{share}" for k in range(24) for hour, share in ((k, 0.6), ("", 0.4))]
    (tmp_path / "day.csv").write_text("\n".join(["tail,head,plug_hour,flow", *arcs]))
    words = ["plan", "market", "--network", str(tmp_path / "day.csv"),
             "--ownership", "community", "--stake", "0.9", "--levels", "3", "--gap", "0.1",
             "--report", str(tmp_path / "page"), "--json", str(tmp_path / "f.json")]  # fmt: skip
    assert cli.main(words) == 0
    found = json.loads((tmp_path / "f.json").read_text())
    share = found["profit_per_ev_month"] / 0.9
    assert found["welfare_per_ev_month"] == pytest.approx(found["driver_value_per_ev_month"] + share)
    assert found["welfare_without_rebates"] < found["welfare_per_ev_month"] <= found["welfare_bound"]
    assert found["lower_bound"] == -found["welfare_bound"]
    assert found["gap"] == pytest.approx(found["welfare_bound"] / found["welfare_per_ev_month"] - 1.0)
    assert found["profit_per_ev_month"] >= 0.0
    assert {trend["verdict"] for trend in found["trends"]} <= {"holds", "refuted"}
    page = (tmp_path / "page" / "report.html").read_text()
    assert page.count("<svg") == 12
    assert all(trend["claim"].split("<")[0] in page for trend in found["trends"])
    summary = json.loads((tmp_path / "page" / "summary.json").read_text())
    assert set(GROUPS) - {"workplace"} == set(summary["cases"])
    assert [len(group) for group in summary["cases"].values()] == [7, 6, 7, 3, 7, 4, 4, 4, 12, 2, 2]


TIMES = "".join(f"weekdays,{0.5 * k:g},0,{1 / 48 if k != 3 else 0.5}\n" for k in range(48))
BAD = [
    (("--ownership", "coop"), "--ownership coop: allowed company, community"),
    (("--stake", "0.5"), "--stake: allowed with --ownership community"),
    (("--ownership", "community", "--stake", "0"), "--stake is 0.0, allowed 0.001 to 10"),
    (("--ownership", "community", "--peer"), "--peer: allowed with --ownership company"),
    (("--eta", "0"), "--eta is 0.0, allowed above 0 and below 1"),
    (("--soc-kw", "2", "--soc-eta", "1"), "--soc-eta is 1.0, allowed above 0 and below 1"),
    (("--levels", "1"), "--levels is 1, allowed 2 to 64"),
    (("--instances", "5"), "--instances: allowed with --mixes"),
    (("--campaign", "{folder}"), "--campaign: allowed with --mixes"),
    (("--mixes", "--seed", "3"), "--seed: allowed without --mixes"),
    (("--mixes", "--instances", "0"), "--instances is 0, allowed 1 to 999"),
    (("--mixes", "--eta", "2"), "--eta is 2.0, allowed above 0 and below 1"),
    (("--network", "{folder}/a.csv", "--workplace"), "--workplace: allowed without --network"),
    (("--home-sessions", "{folder}"), "--home-sessions: allowed with --survey"),
    (("--survey", "{folder}", "--work-sessions", "x.csv"), "--work-sessions: allowed with --workplace"),
    (("--survey", "{folder}", "--survey-day", "monday"), "--survey-day monday: allowed weekdays, saturday, sunday"),
    (("--survey", "{folder}", "--clusters", "mean"), "--clusters mean: allowed worker, nonworker"),
    (("--survey", "{folder}/none"), "survey_trips_per_day.csv: No such file"),
    (("--survey", "{folder}", "--clusters", "worker"), "_worker.csv: 47 rows of weekdays, allowed 48"),
    (("--survey", "{folder}", "--clusters", "nonworker"), "destination.csv: probabilities of weekdays sum to 1.479"),
    (("--report", "{folder}/a.csv"), "--report {folder}/a.csv: File exists"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "line"), BAD, ids=[line for _, line in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    pytest.importorskip("pyscipopt")
    (tmp_path / "a.csv").write_text("tail,head,plug_hour,flow\na,b,0,1\n")
    (tmp_path / "survey_trips_per_day.csv").write_text("trip,weekday,weekend\n0,0.5,1\n2,0.5,0\n")
    head = "days,time,home,workplace\n"
    (tmp_path / "survey_departure_destination_worker.csv").write_text(head + TIMES.partition("\n")[2])
    (tmp_path / "survey_departure_destination.csv").write_text(head + TIMES)
    before = sorted(tmp_path.iterdir())
    asked = [word.format(folder=tmp_path) for word in words]
    assert cli.main(["plan", "market", *asked, "--json", str(tmp_path / "figures.json")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert line.format(folder=tmp_path) in error[0]
    assert sorted(tmp_path.iterdir()) == before


def test_a_plan_file_of_the_bids_is_one_that_a_station_reads(tmp_path: Path) -> None:

    file, figures = tmp_path / "plan.csv", tmp_path / "f.json"
    words = ["plan", "market", "--vehicles", "30", "--levels", "3", "--gap", "0.5", "--plan-csv", str(file)]
    assert cli.main([*words, "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    columns = read_columns(str(file), ("base", "capacity"), ("rebate",))
    assert columns["capacity"].values.tolist() == pytest.approx(found["capacity_kw"], abs=1e-6)
    assert columns["rebate"].values.tolist() == pytest.approx(found["rebates"], abs=1e-6)
    assert not columns["base"].values.any()
    assert (found["performance_score"], found["settlement"]) == (None, None), "no signal"


def test_replayed_scores_fall_with_the_vehicles_there_are() -> None:
    time_s = np.arange(0.0, 3600.0, 2.0)
    signal = np.array([0.9 * np.sin(time_s / period) for period in (41.0, 97.0)])
    bid_kw, vehicles = np.array([100.0, 0.0, 100.0]), np.array([20.0])
    scores = replay_scores(bid_kw, vehicles, np.array([[1.0, 1.0, 0.3]]), 10.0, signal)
    assert scores[0] == pytest.approx(1.0)
    assert np.isnan(scores[1]), "no bid"
    assert 0.5 < scores[2] < 0.95
