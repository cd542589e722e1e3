"""Market planner: drivers, bids, the certified search, and `v2g plan market` as it is called."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from v2g_nodes.cli import main as cli
from v2g_nodes.cli.market_inputs import read_signal
from v2g_nodes.planning.market import search as search_module
from v2g_nodes.planning.market.bid_planes import bid_planes
from v2g_nodes.planning.market.bounding import profit_bound
from v2g_nodes.planning.market.calibration import calibrate, inverse_gap
from v2g_nodes.planning.market.capacity import Requirement, squared_deviation
from v2g_nodes.planning.market.continuous import best_rebates
from v2g_nodes.planning.market.envelopes import curve, last_tangent, lines_above, lines_below, spending_lines, tangents
from v2g_nodes.planning.market.intervals import Choices, Intervals, flow_intervals, utility_ends
from v2g_nodes.planning.market.levels import plan_levels
from v2g_nodes.planning.market.misocp import share_ends, solve_misocp
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import Outcome, Platform
from v2g_nodes.planning.market.program import Rows, Solver
from v2g_nodes.planning.market.relaxation import Box, Relaxation
from v2g_nodes.planning.market.score import performance_score
from v2g_nodes.planning.market.search import box_of
from v2g_nodes.planning.market.signal_statistics import Need, deviation, needed_shares, performance_index
from v2g_nodes.planning.market.synthetic import ETA, NEED, drivers, prices

KEYS = ("vehicles", "charger_kw", "profit_per_ev_month", "profit_without_rebates", "improvement_pct",
        "rebate_per_ev_month", "capacity_kw", "rebates", "plug_in_probability", "performance_index_replayed",
        "chance_level", "lower_bound", "gap", "seconds", "valid_inequalities", "performance_score",
        "settlement")  # fmt: skip


def platform(
    followers: tuple[Follower, ...], vehicles: tuple[float, ...], charger_kw: float = 10.0, levels: int = 7,
    exact: bool = True, rebate_max: float = 0.3,
) -> Platform:  # fmt: skip
    return Platform(followers, np.array(vehicles), prices()[: followers[0].network.hours],
                    (Requirement(charger_kw, ETA, NEED),), np.linspace(0.0, rebate_max, levels), exact)  # fmt: skip


def small_fleet(seed: int) -> Platform:
    """Two kinds of drivers, five hours, three levels."""
    pair = tuple(drivers(kind, hours=5, seed=seed, value_usd_month=20.0) for kind in ("mean", "home"))
    case = platform(pair, (6.0, 4.0), levels=3, rebate_max=0.03)
    return replace(case, prices=np.random.default_rng(seed).uniform(0.02, 0.2, 5))


@pytest.fixture(scope="module")
def day() -> Follower:
    return drivers()


def test_strong_duality_and_unit_flow(day: Follower) -> None:
    rebates = np.random.default_rng(0).uniform(0.0, 0.3, (20, 24))
    answer = day.solve(rebates)
    assert np.abs(day.primal_value(answer.flow, rebates) - answer.value).max() < 1e-6
    assert np.abs(answer.flow @ day.network.incidence.T - day.network.supply).max() < 1e-10


def test_sensitivities_and_profit_gradient_are_derivatives(day: Follower) -> None:
    case = platform((day, drivers("home")), (120.0, 80.0))
    rebates = np.random.default_rng(1).uniform(0.02, 0.3, 24)
    gradient, step = case.gradient(rebates, case.evaluate(rebates)), 1e-5
    for hour in (3, 8, 12, 18):
        move = step * np.eye(24)[hour]
        ends = case.evaluate(np.array([rebates + move, rebates - move])).profit
        assert gradient[hour] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-4)


def test_calibration_recovers_reduced_utilities_and_sigma(day: Follower) -> None:
    random = np.random.default_rng(2)
    moved = Follower(day.network, day.mu + day.network.incidence.T @ random.uniform(-0.2, 0.2, len(day.network.supply)),
                     day.sigma)  # fmt: skip
    seen = moved.solve(np.zeros(24))
    reduced = moved.mu - day.network.incidence.T @ seen.potential[0]
    value = float(0.5 * np.sum(reduced + np.hypot(reduced, day.sigma)))
    found = calibrate(day.network, seen.flow[0], value)
    assert found.sigma == pytest.approx(day.sigma, rel=1e-6)
    assert found.mu == pytest.approx(reduced, rel=1e-5, abs=1e-6)
    assert abs(inverse_gap(found, seen.flow[0])) < 1e-8


def test_deviation_of_a_bernoulli_and_of_a_uniform_sample() -> None:
    values = np.repeat([1.0, 0.0], [900, 100])
    assert deviation(-values) ** 2 == pytest.approx(squared_deviation(np.array(0.9), True, True)[0], rel=1e-3)
    assert deviation(values) == pytest.approx(values.std(), rel=1e-3)
    assert squared_deviation(np.array(0.9), True, True)[0] ** 0.5 == pytest.approx(0.427, abs=5e-4)


@pytest.mark.parametrize("eta", [0.05, 0.25, 0.7])
def test_bids_meet_the_chance_constraint(eta: float) -> None:
    requirement = Requirement(10.0, eta, Need(0.35, 0.0, 0.0))
    random = np.random.default_rng(3)
    for count, share in ((5, 0.95), (20, 0.99), (200, 0.6)):
        best = 0.0
        for form in requirement.forms:
            squared, _ = squared_deviation(np.array(share), form.backward, True)
            best = max(best, float(form.bid(np.array(count * share), count * squared)[0]))
        plugged = random.binomial(count, share, 20_000)
        assert (10.0 * plugged >= 0.35 * best - 1e-9).mean() >= 1.0 - eta


def test_needed_share_is_where_the_index_is_reached() -> None:
    hours = np.clip(np.random.default_rng(4).standard_normal((5, 1800)).cumsum(axis=1) * 0.03, -1.0, 1.0)
    for hour, share in zip(hours, needed_shares(hours, 0.25), strict=True):
        assert performance_index(hour, share) == pytest.approx(0.75, abs=1e-6)


def test_lines_enclose_the_curve() -> None:
    random = np.random.default_rng(5)
    low = random.uniform(0.001, 0.9, 400)
    high = low + random.uniform(0.001, 1.0, 400) * (0.999 - low)
    flows = low + np.linspace(0.0, 1.0, 101)[:, None] * (high - low)
    for (intercepts, slopes), sign, target in (
        (lines_below(low, high, 5), 1.0, curve(flows)), (lines_above(low, high, 5), -1.0, curve(flows)),
        (spending_lines(low, high, 5), -1.0, flows * curve(flows)),
    ):  # fmt: skip
        for intercept, slope in zip(intercepts, slopes, strict=True):
            room = sign * (target - intercept - slope * flows)
            assert room.min() > -1e-7 * (1.0 + np.abs(target).max())
    intercepts, slopes = tangents(low + random.uniform(0.0, 1.0, 400) * (last_tangent(low, high) - low))
    convex = last_tangent(low, high) > low
    assert (curve(flows) - intercepts - slopes * flows)[:, convex].min() > -1e-7 * (1.0 + np.abs(curve(flows)).max())


@pytest.mark.parametrize("exact", [True, False])
def test_planes_lie_above_the_bid(day: Follower, exact: bool) -> None:
    case = platform((day, drivers("home"), drivers("commuter")), (3.0, 80.0, 40.0), exact=exact)
    random = np.random.default_rng(7)
    low = random.uniform(0.0, 0.8, (3, 24))
    high = low + random.uniform(1e-4, 1.0, (3, 24)) * (0.99 - low)
    intercept, slope = bid_planes(case, 0, low, high)
    nearest = np.inf
    for _ in range(300):
        share = low + random.integers(0, 3, (3, 24)) / 2.0 * (high - low)
        bid, _ = case.best_bid(share)
        room = (intercept + np.sum(slope * share, axis=0) - bid) / 1200.0
        assert room.min() > -1e-9
        nearest = min(nearest, room.min())
    assert nearest < 1e-3


def test_planes_lie_above_the_larger_of_two_forms() -> None:
    """At η = 0.5 each form is larger in a part of the box, so that the plane of one has to be lifted."""
    case = platform((drivers(), drivers("home")), (10.0, 10.0))
    case = replace(case, requirements=(Requirement(10.0, 0.5, NEED),))
    random = np.random.default_rng(8)
    low = random.uniform(0.0, 0.6, (2, 24))
    high = low + random.uniform(0.1, 0.4, (2, 24))
    at = low + random.uniform(0.0, 1.0, (2, 24)) * (high - low)
    intercept, slope = bid_planes(case, 0, low, high, at)
    larger = [0, 0]
    for _ in range(300):
        share = low + random.integers(0, 3, (2, 24)) / 2.0 * (high - low)
        forms = [case.form_bid(form, share)[0] for form in case.forms[0]]
        larger = [
            count + int((one > other).sum()) for count, one, other in zip(larger, forms, forms[::-1], strict=True)
        ]
        assert (intercept + np.sum(slope * share, axis=0) - np.maximum(*forms)).min() > -1e-6
    assert min(larger) > 1000


def test_ends_of_utilities_are_those_of_all_corners() -> None:
    follower, low, high = drivers(hours=6, seed=3), np.full(6, 0.01), np.linspace(0.02, 0.3, 6)
    corners = np.array(list(itertools.product((0, 1), repeat=6))) * (high - low) + low
    lam = follower.utility(follower.solve(corners), corners)
    least, most, where = utility_ends(follower, low, high)
    assert follower.utility(follower.solve(where[1]), where[1]).diagonal() == pytest.approx(most, abs=1e-9)
    assert least == pytest.approx(lam.min(axis=0), abs=1e-9)
    assert most == pytest.approx(lam.max(axis=0), abs=1e-9)
    inside = low + np.random.default_rng(9).random((200, 6)) * (high - low)
    inside[:, 2] = 0.05
    found = flow_intervals(follower, low, high, Choices(np.array([2]), np.array([0.05])), lam)
    many = flow_intervals(follower, low, high, Choices(np.full(40, 2), np.linspace(0.01, 0.13, 40)), lam)
    assert (many.share_low[:13] <= found.share_low + 1e-12).all()  # 0.05 is between the thirteenth and the fourteenth
    assert (many.share_high[14:] >= found.share_high - 1e-12).all()
    assert (np.diff(many.share_low) >= 0.0).all()
    assert (np.diff(many.share_high) >= 0.0).all()
    answer = follower.solve(inside)
    share = follower.plugged(answer)[:, 2]
    for value, ends in ((answer.flow, (found.low, found.high)), (share, (found.share_low, found.share_high))):
        assert (value >= ends[0]).all()
        assert (value <= ends[1]).all()
    assert found.share_high - found.share_low < 2.0 * np.ptp(share) + 1e-3


def whole_box(case: Platform, outcome: Outcome, rebates: np.ndarray) -> Box:
    """All rebates up to the largest level, and intervals that hold some answers."""
    return box_of(case, np.zeros(case.hours), np.full(case.hours, case.levels[-1]), rebates, outcome.answers)


def test_every_equilibrium_is_a_point_of_the_program() -> None:
    """No row cuts off a choice of levels with its answers, bids and payments, and some rows touch one."""
    case = small_fleet(1)
    every = np.array(list(itertools.product(range(3), repeat=5)))
    outcome = case.evaluate(case.levels[every])
    relaxation = Relaxation(
        case, whole_box(case, outcome, case.levels[every]), tuple(a.flow[7] for a in outcome.answers)
    )
    solver, layout, nearest = relaxation.solver, relaxation.layout, np.inf
    weight = np.eye(3)[every].reshape(len(every), -1)
    exact = [case.levels[every], outcome.bid_kw, weight]
    for follower, answer in zip(case.followers, outcome.answers, strict=True):
        share = follower.plugged(answer)[:, layout.hour]
        exact += [answer.flow, answer.potential, answer.flow * curve(answer.flow), weight * share]
    points = np.concatenate(exact, axis=1)
    assert np.minimum(points - solver.lower, solver.upper - points).min() > -1e-6
    for at in (None, None, None, solver.lower, None, solver.upper):  # also where every flow is at an end
        optimum = solver.run(60.0)
        assert optimum is not None
        point = optimum if at is None else at
        rebates = np.clip(point[:5], 0.0, case.levels[-1])
        relaxation.cut(point, rebates, tuple(follower.solve(rebates) for follower in case.followers))
        for matrix, lower, upper in solver.parts:
            value = (matrix @ points.T).T
            room = np.minimum(value - lower, upper - value)
            assert room.min() > -1e-6
            nearest = min(nearest, room[:, lower < upper].min(initial=np.inf))
    assert nearest < 1e-4


@pytest.mark.parametrize("probing", [False, True])
def test_bounds_of_levels_hold(probing: bool) -> None:
    """Each level's bound is above the best profit with that level, probed or not."""
    case = small_fleet(1)
    every = np.array(list(itertools.product(range(3), repeat=5)))
    outcome = case.evaluate(case.levels[every])
    box, best = whole_box(case, outcome, case.levels[every]), int(outcome.profit.argmax())
    near = tuple(answer.flow[best] for answer in outcome.answers)
    told: list[np.ndarray] = []
    found = profit_bound(
        case, box, near, 0.999 * outcome.profit[best], probing, lambda: 60.0, lambda s, _: told.append(s)
    )
    assert outcome.profit[best] <= found.bound <= 1.02 * outcome.profit[best]
    dropped = 0
    for hour, bounds in enumerate(found.by_level):
        for level, bound in enumerate(bounds):
            reached = outcome.profit[every[:, hour] == level].max()
            assert bound >= reached * (1.0 - 1e-9)
            dropped += bound < 0.999 * found.bound
    assert dropped > 0
    assert all((box.low <= one).all() and (one <= box.high).all() for one in told)


def test_the_bound_does_not_trust_the_solver() -> None:
    """Any multipliers bound the program: also those of one that was stopped or whose rows were dropped."""
    solver = Solver(np.array([-1.0, -1.0]), np.zeros(2), np.full(2, 3.0))
    rows = Rows(2)
    rows.add({0: np.array([[1.0, 2.0], [1.0, 0.0], [3.0, 1.0]])}, -np.inf, np.array([4.0, 5.0, 6.0]))
    assert solver.add(rows) == 3
    for _ in range(2):
        assert solver.run(1.0) == pytest.approx([1.6, 1.2])
        constant, reduced = solver.lagrangian(0)
        assert constant + solver.least(reduced).sum() == pytest.approx(-2.8)
        solver.purge(0)  # the second row never binds
    constant, reduced = solver.lagrangian(2)
    assert constant + solver.least(reduced).sum() == pytest.approx(-6.0)  # without rows: columns alone


def test_a_search_out_of_time_tells_a_bound(day: Follower) -> None:
    case, ticks = platform((day,), (200.0,)), itertools.count()
    plan = plan_levels(case, limit_s=0.5, clock=lambda: float(next(ticks)))
    assert plan.boxes == 0
    assert np.isfinite(plan.bound)
    assert plan.bound > case.evaluate(best_rebates(case, 0.3)).profit[0]
    assert plan.gap == pytest.approx((plan.bound - plan.profit) / plan.profit)
    assert plan.gap > 0.1


def test_an_answer_outside_begins_again_wider(day: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals that are too narrow are found out, and the bound does not rest on them."""
    first = search_module.flow_intervals

    def narrow(*words: Any) -> Intervals:  # noqa: ANN401 - those of flow_intervals
        found, failures = first(*words), words[-1]
        middle = 0.5 * (found.low + found.high)
        return found if failures else replace(found, low=0.5 * (found.low + middle), high=0.5 * (found.high + middle))

    case = platform((day,), (200.0,))
    right = plan_levels(case)
    monkeypatch.setattr(search_module, "flow_intervals", narrow)
    plan = plan_levels(case)
    assert right.widened == 0
    assert plan.widened >= 1
    assert plan.gap <= 0.005
    assert plan.bound >= right.profit


def test_numbers_of_the_calibrated_instance() -> None:
    """Profit without rebates and sigma that EQUATIONS 004.3 states; its mean price is rounded to 0.05 %."""
    case = platform((drivers(value_usd_month=30.0 * 6.59),), (200.0,), exact=False)
    assert case.monthly * case.evaluate(np.zeros(24)).profit[0] == pytest.approx(211.358, rel=2e-4)
    assert case.followers[0].sigma[0] == pytest.approx(0.1725, abs=5e-5)


@pytest.mark.parametrize("lucky", [True, False])
def test_enumerated_fleet(monkeypatch: pytest.MonkeyPatch, lucky: bool) -> None:
    monkeypatch.setattr(search_module, "FEW", 1)  # every choice has to be bounded or reached
    if not lucky:  # no incumbent but no rebates and the leaves: a bound that is too low loses the optimum
        search = search_module.Search
        monkeypatch.setattr(search, "improve", lambda self, _: search.try_levels(self, np.zeros((1, 6), dtype=int)))
    mixed = 0
    for seed in (1, 2, 3):
        case = platform((drivers(hours=6, seed=seed, value_usd_month=20.0),), (10.0,), levels=2, rebate_max=0.02)
        case = replace(case, prices=np.random.default_rng(seed).uniform(0.0, 0.2, 6))
        every = case.levels[np.array(list(itertools.product((0, 1), repeat=6)))]
        profits = case.evaluate(every).profit
        plan = plan_levels(case, gap=0.0)
        assert plan.profit == pytest.approx(profits.max(), rel=1e-6)
        assert plan.bound == pytest.approx(profits.max(), rel=1e-6)
        mixed += 0 < plan.levels.sum() < 6
    assert mixed > 0


def test_the_peer_finds_the_same_optimum() -> None:
    pytest.importorskip("pyscipopt")
    case = platform((drivers(hours=4, seed=1, value_usd_month=20.0),), (10.0,), levels=2, exact=False, rebate_max=0.02)
    case = replace(case, prices=np.random.default_rng(1).uniform(0.0, 0.2, 4))
    every = case.levels[np.array(list(itertools.product((0, 1), repeat=4)))]
    best = case.evaluate(every).profit.max()
    for inequalities in (False, True):
        peer = solve_misocp(case, 1e-4, 30.0, inequalities)
        assert peer.inequalities is inequalities
        assert peer.profit == pytest.approx(best, rel=1e-4)
        assert peer.bound >= best * (1.0 - 1e-4)


def test_inequalities_of_the_source_hold_with_chargers_at_home_only() -> None:
    levels, random = np.linspace(0.0, 0.3, 4), np.random.default_rng(10)
    assert share_ends(drivers("commuter", workplace=True), levels) is None
    follower, choices, hours = drivers("commuter"), random.integers(0, 4, (100, 24)), np.arange(24)
    ends, share = share_ends(follower, levels), follower.plugged(follower.solve(levels[choices]))
    assert ends is not None
    assert (share >= ends[0][hours, choices] - 1e-9).all()
    assert (share <= ends[1][hours, choices] + 1e-9).all()


def test_the_bound_holds_and_the_gap_closes(day: Follower) -> None:
    case = platform((day,), (200.0,))
    plan = plan_levels(case, gap=0.005, limit_s=30.0)
    assert plan.gap <= 0.005
    assert plan.tested > 0
    assert plan.bound >= case.evaluate(best_rebates(case, 0.3)).profit[0] * (1.0 - 1e-3)
    random = case.levels[np.random.default_rng(6).integers(0, 7, (200, 24))]
    assert plan.bound >= case.evaluate(random).profit.max()
    assert plan.profit > case.evaluate(np.zeros(24)).profit[0]


def test_identities(day: Follower) -> None:
    """Profit per kW is constant without rebates; profit = psi * G(utility / psi) with free rebates."""
    rest = np.zeros(24)
    found = [platform((drivers(value_usd_month=value),), (200.0,), kw).evaluate(rest).profit[0] / kw
             for value, kw in ((100.0, 10.0), (200.0, 7.2), (500.0, 40.0))]  # fmt: skip
    assert found == pytest.approx([found[0]] * 3, rel=1e-6)
    best = []
    for value, kw in ((100.0, 10.0), (200.0, 20.0)):
        case = platform((drivers(value_usd_month=value),), (200.0,), kw)
        best.append(case.evaluate(best_rebates(case, 0.03 * kw)).profit[0] / kw)
    assert best[0] == pytest.approx(best[1], rel=1e-6)


def test_newton_finds_what_a_general_solver_finds() -> None:
    follower = drivers(hours=6, seed=4)
    rebates = np.linspace(0.0, 0.3, 6)

    def dual(potential: np.ndarray) -> float:
        lam = follower.mu + follower.network.plug_matrix @ rebates - potential @ follower.network.incidence
        return float(0.5 * np.sum(lam + np.hypot(lam, follower.sigma)) + potential @ follower.network.supply)

    other = minimize(dual, np.zeros(len(follower.network.supply)), method="BFGS", options={"gtol": 1e-7})
    assert follower.solve(rebates).value[0] == pytest.approx(other.fun, abs=1e-7)


def test_performance_score() -> None:
    signal = np.sin(np.arange(360) / 7.0)
    assert performance_score(signal, signal).score == pytest.approx(1.0)
    late = performance_score(signal, np.roll(signal, 3))
    assert late.delay_s == 30.0
    assert late.delay == pytest.approx(0.9)
    half = performance_score(signal, 0.5 * signal)
    assert half.precision == pytest.approx(0.5)


def test_recorded_signal_and_prices(tmp_path: Path, shared_data: Path) -> None:
    signal = str(shared_data / "pjm_regd_2s_day.csv")
    priced = str(shared_data / "pjm_regulation_prices_hourly_2024-08.csv")
    words = ["plan", "market", "--signal", signal, "--prices", priced, "--json", str(tmp_path / "f.json")]
    assert cli.main(words) == 0
    found = json.loads((tmp_path / "f.json").read_text())
    assert tuple(found)[: len(KEYS)] == KEYS
    assert found["gap"] <= 0.005
    assert found["valid_inequalities"] is True
    assert -found["lower_bound"] >= found["profit_per_ev_month"] > found["profit_without_rebates"]
    assert found["chance_level"] >= 0.75
    assert read_signal(signal).shape == (24, 1800)


GOOD = "tail,head,plug_hour,flow\na,b,0,0.6\na,b,,0.4\nb,c,1,0.6\nb,c,,0.4\n"
BAD = [
    (("--eta", "1"), "--eta is 1.0, allowed above 0 and below 1"),
    (("--eta", "nan"), "--eta is nan, allowed above 0 and below 1"),
    (("--levels", "65"), "--levels is 65, allowed 2 to 64"),
    (("--clusters", "mean=0.5,home=0.4"), "shares sum to 0.9, allowed 1"),
    (("--clusters", "robot"), "--clusters robot: allowed mean"),
    (("--soc-kw", "12"), "--soc-kw is 12 kW"),
    (("--network", "{folder}/cycle.csv"), "cycle.csv:4: b -> c closes a cycle"),
    (("--network", "{folder}/lost.csv"), "node a: in and out differ by 0.1"),
    (("--prices", "{folder}/gap.csv"), "gap.csv:3: utc_start 2024-08-01T06:00Z is not the hour after"),
    (("--signal", "{folder}/signal.csv"), "signal.csv:4: second_of_day steps by 4 s, allowed 2 s"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[line for _, line in BAD])
def test_bad_input_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    (tmp_path / "cycle.csv").write_text(GOOD.replace("b,c,,0.4", "b,c,,0.4\nc,b,,0.1\nc,d,,1"))
    (tmp_path / "lost.csv").write_text(GOOD.replace("a,b,,0.4", "a,b,,0.3"))
    (tmp_path / "gap.csv").write_text("utc_start,rmcp\n2024-08-01T04:00Z,20\n2024-08-01T06:00Z,20\n")
    (tmp_path / "signal.csv").write_text("second_of_day,signal_pu\n0,0\n2,0.1\n6,0.2\n8,0.2\n")
    before = sorted(tmp_path.iterdir())
    asked = [word.format(folder=tmp_path) for word in words]
    assert cli.main(["plan", "market", *asked, "--json", str(tmp_path / "figures.json")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert line in error[0]
    assert sorted(tmp_path.iterdir()) == before
