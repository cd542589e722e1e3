"""Stations that lose and regain modules and links at random; and whether the checks see what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from v2g_nodes.core.exchange import Exchange
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.membership import Membership
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import OptimizerSettings
from v2g_nodes.core.release import SetpointRelease
from v2g_nodes.core.types import Frame
from v2g_nodes.sim.churn import Churn
from v2g_nodes.sim.churn_events import CHURN_WEIGHTS
from v2g_nodes.sim.churn_story import StoryOptions, StoryTeller

RATING_KW = 3.3
CUT = ((4, 5), (1, 8))  # a ring of eight falls into 1 2 3 4 and 5 6 7 8
RELEASED_S = 5.0


def tell(number: int, events: int = 40, loss: float = 0.0, modules_max: int = 12) -> list[str]:
    return StoryTeller(StoryOptions(7, number, events, loss, modules_max)).tell().faults


@pytest.mark.parametrize("number", range(8))
def test_a_random_story_has_no_fault(number: int) -> None:
    assert tell(number) == []


@pytest.mark.parametrize("number", range(3))
def test_a_random_story_with_losses_has_no_fault(number: int) -> None:
    assert tell(number, 25, 0.2) == []


def test_a_story_is_named_by_its_number() -> None:
    first, again, other = (StoryTeller(StoryOptions(3, number, 15, 0.1, 6)).tell() for number in (5, 5, 6))
    assert first == again
    assert first.title != other.title
    assert sum(first.events[kind] for kind in CHURN_WEIGHTS) >= 15


# ---- halves


def halves(seed: int, loss: float, rule: str = "majority") -> Churn:
    ids = range(1, 9)
    settings = OptimizerSettings(0, (), {}, 1.0, island_rule=rule)
    churn = Churn(build_edges("ring", ids), dict.fromkeys(ids, RATING_KW), seed, loss, settings=settings)
    churn.signal(12.0)
    churn.run_until_settled(2.0)
    churn.run(RELEASED_S + seed % 7 * 0.07)
    return churn


def in_force_kw(churn: Churn) -> float:
    return sum(churn.watch.power.in_force_kw(k) for k in churn.ids)


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(6))
def test_halves_part_and_merge(seed: int, loss: float) -> None:
    churn = halves(seed, loss)
    assert in_force_kw(churn) == pytest.approx(12.0, abs=1e-3)
    churn.cut(*CUT)
    churn.run(5.0)
    targets = {k: decision.agreement.target_kw for k, (_, decision) in churn.last.items()}
    assert targets == {**dict.fromkeys((1, 2, 3, 4), 12.0), **dict.fromkeys((5, 6, 7, 8), 0.0)}
    churn.heal(*CUT)
    assert churn.run_until_settled(2.0) < 1.0
    churn.run(RELEASED_S)
    assert in_force_kw(churn) == pytest.approx(12.0, abs=1e-3)
    assert churn.faults == []


@pytest.mark.parametrize("seed", range(2))
def test_halves_share_by_rating_where_the_rule_says_so(seed: int) -> None:
    churn = halves(seed, 0.0, "nameplate_share")
    churn.cut(*CUT)
    churn.run(5.0 + RELEASED_S)
    assert {decision.agreement.target_kw for _, decision in churn.last.values()} == {6.0}
    assert in_force_kw(churn) == pytest.approx(11.55, abs=0.46)  # a half can give 9.9 kW
    churn.heal(*CUT)
    assert churn.run_until_settled(2.0) < 1.0
    assert churn.faults == []


# ---- what the checks must see


def test_mixed_rounds_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Exchange, frame: Frame) -> None:
        self._received[frame.sender, self.round] = frame.values  # of whatever round

    monkeypatch.setattr(Exchange, "take", take)
    assert any("prices [" in fault for fault in tell(5, 15, 0.1))


def test_powers_that_rise_at_once_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SetpointRelease, "power_kw", lambda self, now_ns: self._wanted_kw)
    churn = halves(1, 0.0)
    for k in (5, 6, 7, 8):
        churn.stop(k)  # their power stays for a second
    churn.run(1.0)
    assert any("after a change of its group" in fault for fault in churn.faults)
    assert any("base powers sum up to" in fault for fault in churn.faults)


def test_two_owners_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModuleOptimizer, "island_share", lambda self: 1.0)
    churn = halves(1, 0.0)
    churn.cut(*CUT)
    churn.run(1.0)
    assert any("owns 1.000 of the target" in fault for fault in churn.faults)
    churn.run(5.0)
    assert any("base powers sum up to" in fault for fault in churn.faults)


def test_a_death_that_nobody_notices_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def hear(self: Membership, neighbour: int, now_ns: int) -> None:
        self._heard_ns[neighbour] = 1 << 60

    monkeypatch.setattr(Membership, "hear", hear)
    churn = halves(1, 0.0)
    churn.kill(3)
    with pytest.raises(TimeoutError, match="counts on"):
        churn.run_until_settled(2.0)


def test_a_decision_that_its_inputs_do_not_give_is_seen() -> None:
    churn = halves(1, 0.0)
    _, decision = churn.last[3]
    agreement = replace(decision.agreement, power_kw=decision.agreement.power_kw + 1e-3)
    churn.watch.agreements.gone(3)
    churn.watch.agreements.decided(3, 12.0, replace(decision, agreement=agreement), "now")
    assert len(churn.faults) == 1
    assert "its inputs give" in churn.faults[0]


def test_a_module_that_is_stopped_goes_on_as_one_that_comes_back() -> None:
    churn = halves(1, 0.0)
    churn.stop(3)
    churn.run(0.9)
    assert churn.watch.power.in_force_kw(3) > 0.0
    churn.run(0.2)
    assert churn.watch.power.in_force_kw(3) == 0.0
    assert churn.last[4][1].group.members == (1, 2, 4, 5, 6, 7, 8)
    churn.go_on(3)
    assert churn.run_until_settled(2.0) < 0.5
    assert churn.last[3][1].group.members == tuple(range(1, 9))
    assert churn.faults == []
