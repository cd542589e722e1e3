"""Payments to modules: against their definition, and lies that must not pay (VCG) or must (pay-as-bid)."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.cli.game_fleets import SIZES, Fleet, random_fleet, random_fleets
from v2g_nodes.core.dispatch.reference import dispatch_optimum
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.curves import curves_of
from v2g_nodes.core.game.dispatch import split_target
from v2g_nodes.core.game.mechanism import MECHANISMS, settle
from v2g_nodes.core.game.misreports import LIES, lie, search_misreports
from v2g_nodes.core.types import Box

SEEDED = settings(deadline=None, derandomize=True, max_examples=25)
SHORTAGE = 1.0


def least(fleet: Fleet, who: list[int], target_kw: float) -> tuple[float, tuple[float, ...]]:
    """Least cost above standing still of some modules, by the reference, and powers; what is missing costs SHORTAGE."""
    costs, boxes = [fleet.costs[i] for i in who], [fleet.boxes[i] for i in who]
    possible = Box(sum(b.low_kw for b in boxes), sum(b.high_kw for b in boxes)).clip(target_kw)
    best = dispatch_optimum(costs, boxes, possible)
    still = sum(float(cost.cost(np.array(0.0))) for cost in costs)
    return best.cost_eur_per_h - still + SHORTAGE * abs(target_kw - possible), best.powers_kw


def own_cost(fleet: Fleet, i: int, power_kw: float) -> float:
    cost = fleet.costs[i]
    return float(cost.cost(np.array(power_kw))) - float(cost.cost(np.array(0.0)))


# the split


@given(seed=st.integers(0, 10_000), modules=st.integers(1, 20))
@SEEDED
def test_the_split_is_the_exact_dispatch(seed: int, modules: int) -> None:
    fleet = random_fleet(modules, seed)
    curves = curves_of(fleet.costs, fleet.boxes)
    for target_kw in (fleet.target_kw, float(curves.low_kw.sum()), float(curves.high_kw.sum())):
        best = dispatch_optimum(fleet.costs, fleet.boxes, target_kw)
        found = split_target(curves.copies(2), target_kw)
        for row in range(2):
            assert found.powers_kw[row] == pytest.approx(best.powers_kw, abs=1e-9)
            assert found.powers_kw[row].sum() + found.shortage_kw[row] == pytest.approx(target_kw, abs=1e-10)
            assert abs(found.shortage_kw[row]) < 1e-9
            assert (found.powers_kw[row] >= curves.low_kw).all()
            assert (found.powers_kw[row] <= curves.high_kw).all()


def test_fleets_of_one_batch_do_not_disturb_each_other() -> None:
    fleet = random_fleet(6, 3)
    truth = curves_of(fleet.costs, fleet.boxes).copies(40)
    reports = lie(truth, np.random.default_rng(1).integers(len(LIES), size=(40, 6)), np.random.default_rng(2))
    together = split_target(reports, fleet.target_kw)
    for row in range(40):
        one = type(reports)(*(getattr(reports, f.name)[row : row + 1] for f in fields(reports)))
        assert together.powers_kw[row] == pytest.approx(split_target(one, fleet.target_kw).powers_kw[0], abs=1e-9)


def test_what_costs_more_than_the_shortage_is_not_delivered() -> None:
    fleet = random_fleet(4, 0)
    curves = curves_of(fleet.costs, fleet.boxes)
    most_kw = float(curves.high_kw.sum())
    over = split_target(curves.copies(1), most_kw + 3.0)
    assert over.shortage_kw[0] == pytest.approx(3.0)
    assert over.powers_kw[0] == pytest.approx(curves.high_kw)
    assert over.price_eur_per_kwh[0] == SHORTAGE
    fixed = curves.within(np.ones(4), np.ones(4)).copies(1)
    assert split_target(fixed, 6.0).price_eur_per_kwh[0] == SHORTAGE
    assert split_target(fixed, 3.0).price_eur_per_kwh[0] == -SHORTAGE
    dear = split_target(curves.copies(1), most_kw, shortage=0.02)
    assert dear.shortage_kw[0] > 0.1
    assert dear.price_eur_per_kwh[0] == 0.02


# payments


@given(seed=st.integers(0, 10_000), modules=st.integers(2, 12), beyond=st.sampled_from([0.0, 0.0, 5.0, -5.0]))
@SEEDED
def test_payments_are_the_definition(seed: int, modules: int, beyond: float) -> None:
    fleet = random_fleet(modules, seed)
    target_kw = fleet.target_kw + beyond
    everyone = list(range(modules))
    total, powers = least(fleet, everyone, target_kw)
    found = settle(fleet.costs, fleet.boxes, target_kw, "vcg", SHORTAGE)
    bid = settle(fleet.costs, fleet.boxes, target_kw, "pay-as-bid", SHORTAGE)
    for i in everyone:
        cost = own_cost(fleet, i, powers[i])
        alone, _ = least(fleet, [j for j in everyone if j != i], target_kw)
        assert found.payments_eur_per_h[i] == pytest.approx(alone - (total - cost), abs=1e-9)
        assert found.gains_eur_per_h[i] == pytest.approx(alone - total, abs=1e-9)
        assert bid.payments_eur_per_h[i] == pytest.approx(cost, abs=1e-9)
        assert bid.gains_eur_per_h[i] == 0.0
        assert found.willing[i] == (fleet.boxes[i].low_kw <= 0.0 <= fleet.boxes[i].high_kw)
    assert (found.gains_eur_per_h[found.willing] >= -1e-12).all()
    sold = found.powers_kw.sum()
    assert found.budget_eur_per_h(0.1) == pytest.approx(0.1 * sold - found.payments_eur_per_h.sum(), abs=1e-14)


def test_who_must_charge_while_the_station_discharges_pays() -> None:
    fleet = random_fleet(5, 1)
    boxes = (Box(-2.0, -1.0), *(Box(-2.0, 2.0) for _ in range(4)))
    found = settle(fleet.costs, boxes, 4.0)
    assert not found.willing[0]
    assert found.willing[1:].all()
    assert found.gains_eur_per_h[0] < -0.01
    assert (found.gains_eur_per_h[1:] > 0.0).all()
    must_discharge = settle(fleet.costs, (Box(1.0, 2.0), *boxes[1:]), -4.0)
    assert not must_discharge.willing[0]
    assert must_discharge.gains_eur_per_h[0] < -0.01


def test_a_pivotal_module_is_paid_for_the_shortage_it_prevents() -> None:
    fleet = random_fleet(4, 2)
    boxes = (Box(-2.0, 2.0),) * 4
    found = settle(fleet.costs, boxes, 7.0, shortage=3.0)
    assert found.pivotal.all()
    assert found.shortage_kw == 0.0
    # without one module 1 kW is missing; the rest of its power the others would deliver
    assert (found.payments_eur_per_h >= 3.0 * 1.0).all()
    assert not settle(fleet.costs, boxes, 5.0).pivotal.any()
    assert settle(fleet.costs, boxes, 9.0).shortage_kw == pytest.approx(1.0)


# lies


def test_the_lies_are_what_they_say() -> None:
    fleet = random_fleet(8, 4)
    truth = curves_of(fleet.costs, fleet.boxes).copies(200)
    allowed = {
        "scale": {"kink", "square", "cube", "wear", "psi"}, "shift": {"shift"}, "withhold": {"low_kw", "high_kw"},
        "overstate": {"low_kw", "high_kw"}, "curvature": {"wear", "square", "delta"},
        "all": {f.name for f in fields(truth)} - {"theta", "warmth"},
    }  # fmt: skip
    for kind, name in enumerate(LIES):
        told = lie(truth, np.full((200, 8), kind), np.random.default_rng(0))
        changed = {f.name for f in fields(truth) if (getattr(told, f.name) != getattr(truth, f.name)).any()}
        assert changed == allowed[name], name
        assert (told.low_kw <= told.high_kw).all()
        assert (told.delta > 1.0).all()
        assert (told.delta < 3.0).all()
        width, least_kw = told.high_kw - told.low_kw, truth.high_kw - truth.low_kw
        if name == "withhold":
            assert (told.low_kw >= truth.low_kw).all()
            assert (told.high_kw <= truth.high_kw).all()
            assert (width < least_kw).any()
        if name == "overstate":
            assert (width >= least_kw - 1e-12).all()


def test_stations_that_are_searched_are_unlike() -> None:
    fleets = random_fleets(20, 0)
    sizes = {len(fleet.costs) for fleet in fleets}
    assert min(sizes) >= SIZES[0]
    assert max(sizes) <= SIZES[1]
    assert len(sizes) > 5
    assert {fleet.target_kw > 0.0 for fleet in fleets} == {True, False}


def test_no_lie_pays_under_vcg_and_some_do_under_pay_as_bid() -> None:
    paid = dict.fromkeys(MECHANISMS, 0)
    for k, fleet in enumerate(random_fleets(20, 1)):
        found = {m: search_misreports(fleet.costs, fleet.boxes, fleet.target_kw, m, 60, k) for m in MECHANISMS}
        for mechanism, search in found.items():
            assert search.tries == 60
            paid[mechanism] += search.profitable
        assert (found["vcg"].lies == found["pay-as-bid"].lies).all()
        assert found["vcg"].gains_eur_per_h.min() < -1e-6, "lies that move power cost the liar"
        assert found["pay-as-bid"].best_gain_eur_per_h > found["vcg"].best_gain_eur_per_h
    assert paid["vcg"] == 0
    assert paid["pay-as-bid"] > 100


def test_no_lie_pays_where_power_is_short() -> None:
    fleet = random_fleet(5, 6)
    for target_kw in (sum(b.high_kw for b in fleet.boxes) + 1.0, sum(b.low_kw for b in fleet.boxes) - 1.0):
        assert search_misreports(fleet.costs, fleet.boxes, target_kw, "vcg", 300, 0).profitable == 0


@pytest.mark.parametrize("fault", ["half of the costs", "the marginal price"])
def test_wrong_payments_are_caught_by_the_same_search(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from v2g_nodes.core.game import misreports

    kept = misreports.least_cost
    calls = {"count": 0}

    def wrong(curves, split, shortage):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        calls["count"] += 1
        right = kept(curves, split, shortage)
        if calls["count"] % 3 == 1:  # without the module
            return right
        own = curves.cost(split.powers_kw)
        return {
            "half of the costs": right - 0.5 * own.sum(axis=1),
            "the marginal price": -(split.price_eur_per_kwh * split.powers_kw.sum(axis=1)),
        }[fault]

    monkeypatch.setattr(misreports, "least_cost", wrong)
    found = [search_misreports(f.costs, f.boxes, f.target_kw, "vcg", 60, 0) for f in random_fleets(4, 2)]
    assert sum(search.profitable for search in found) > 5


def test_what_the_source_would_have_modules_pay_is_the_negative_of_what_they_get() -> None:
    """The source's payment_i = sum_j u_j(without i) - sum_j u_j(all) is due from the module: paid to it, lies pay."""
    fleet = Fleet(random_fleet(4, 3).costs, (Box(-2.4, 2.4),) * 4, 5.0)
    found = settle(fleet.costs, fleet.boxes, 5.0)
    alone, _ = least(fleet, [1, 2, 3], 5.0)
    _, powers = least(fleet, [0, 1, 2, 3], 5.0)
    others = sum(own_cost(fleet, j, powers[j]) for j in (1, 2, 3))
    source = -alone - (-others)  # u_j = -f_j
    assert found.payments_eur_per_h[0] == pytest.approx(-source, abs=1e-9)
    # who delivers less saves itself cost and, by the source's sign, is paid more
    smaller = (Box(-2.4, 0.0), *fleet.boxes[1:])
    _, withheld = least(Fleet(fleet.costs, smaller, 5.0), [0, 1, 2, 3], 5.0)
    lied = -alone + sum(own_cost(fleet, j, withheld[j]) for j in (1, 2, 3)) - own_cost(fleet, 0, withheld[0])
    assert lied > source - own_cost(fleet, 0, powers[0]) + 0.01


def test_bad_values_are_refused() -> None:
    fleet = random_fleet(3, 0)
    with pytest.raises(InputError, match="mechanism is 'lottery', allowed vcg, pay-as-bid"):
        settle(fleet.costs, fleet.boxes, 1.0, "lottery")
    with pytest.raises(InputError, match="target_kw is inf"):
        settle(fleet.costs, fleet.boxes, float("inf"))
    with pytest.raises(InputError, match=r"shortage is 0\.0 EUR/kWh, allowed above 0"):
        settle(fleet.costs, fleet.boxes, 1.0, shortage=0.0)
    with pytest.raises(InputError, match="tries is 0"):
        search_misreports(fleet.costs, fleet.boxes, 1.0, "vcg", 0, 0)
