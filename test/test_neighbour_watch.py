from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from v2g_nodes.core.membership import LinkReport
from v2g_nodes.core.neighbour_watch import EPOCH_LATE_NS, ROUND_LATE_NS, NeighbourWatch
from v2g_nodes.core.optimizer_types import NO_EPOCH, NeighborReport, OptimizerSettings
from v2g_nodes.core.types import EpochId

BEAT = 50_000_000
EPOCH, LATER = EpochId(1000, 1, 1), EpochId(1020, 1, 1)
RATING = {1: 3.3, 2: 3.3, 3: 3.3}
SANE = NeighborReport(2, 0, EPOCH, 7, 5.0, 0.1, 1.5, True, LinkReport(2, 1, 1, 0b11))


def exchange(agreed: bool = True, links: tuple[int, ...] = (2,), power_kw: float = 1.5) -> Any:  # noqa: ANN401
    agreement = object() if agreed else None
    return SimpleNamespace(agreement=agreement, links=links, powers_of_neighbours_kw={2: (power_kw, 0.001)})


class Watched:
    """Module 1 hears module 2 every 50 ms."""

    def __init__(self) -> None:
        self.watch = NeighbourWatch(OptimizerSettings(1, ((1, 2),), RATING, 1.0), (2,))
        self.now_ns = 10 * EPOCH_LATE_NS
        self.watch.regrouped((2,), self.now_ns)
        self.sequence = 0

    def hear(self, times: int = 3, agent: Any = None, own_epoch: EpochId = EPOCH,  # noqa: ANN401
             **said: object) -> str:
        """Why it is excluded after so many reports; empty if it is not."""
        for _ in range(times):
            self.now_ns += BEAT
            self.sequence += 1
            if agent is not None:
                self.watch.goes_on(self.now_ns)
            report = replace(SANE, sequence=self.sequence, **said)  # type: ignore[arg-type]
            if self.watch.usable(report, self.now_ns):
                self.watch.compare(report, own_epoch, agent, self.now_ns)
        return self.watch.faults.get(2, "")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"power_kw": math.nan}, "power nan kW"),
        ({"power_kw": 3.4}, "power 3.4 kW, allowed -3.3 to 3.3 kW"),
        ({"power_kw": -math.inf}, "power -inf kW"),
        ({"lambda_eur_per_kwh": math.nan}, "lambda nan EUR/kWh"),
        ({"lambda_eur_per_kwh": 11.0}, "lambda 11 EUR/kWh, allowed -10 to 10"),
        ({"target_kw": math.nan}, "target nan kW"),
    ],
)
def test_nonsense_is_not_used_and_excludes(said: dict[str, object], fault: str) -> None:
    watched = Watched()
    assert not watched.watch.usable(replace(SANE, sequence=60_000, **said), 0)  # type: ignore[arg-type]
    assert watched.hear(**said).startswith(fault)
    assert watched.watch.excluded == {2}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"power_kw": -3.3, "lambda_eur_per_kwh": -9.9},
        {"target_kw": 1e6},  # not taken over, but perhaps the plan is like that
        {"agreed": False, "power_kw": math.nan, "lambda_eur_per_kwh": math.nan},
        {"agreed": False, "epoch": NO_EPOCH, "target_kw": math.nan, "power_kw": math.nan},
    ],
)
def test_what_may_be_said_is_believed(said: dict[str, object]) -> None:
    begun = said.get("epoch") != NO_EPOCH
    assert Watched().hear(100, **said) == ("" if begun else "epoch 0, here 1000")
    assert not Watched().watch.adoptable(replace(SANE, target_kw=19.81))
    assert Watched().watch.adoptable(replace(SANE, target_kw=-19.79))


def test_an_epoch_that_stays_behind_is_a_fault_after_a_second() -> None:
    watched = Watched()
    watched.hear(1)
    seconds = EPOCH_LATE_NS // BEAT
    assert watched.hear(seconds, own_epoch=LATER) == ""
    assert watched.hear(4, own_epoch=LATER) == "epoch 1000, here 1020"


def test_nothing_is_expected_without_a_link() -> None:
    watched = Watched()
    watched.watch.regrouped((), watched.now_ns)
    assert watched.hear(100, own_epoch=LATER) == ""
    watched.watch.regrouped((2,), watched.now_ns)
    assert watched.hear(EPOCH_LATE_NS // BEAT, own_epoch=LATER) == "", "a new link gives time again"


def test_own_epochs_that_follow_fast_and_groups_that_change_hide_nobody() -> None:
    watched = Watched()
    for n in range(30):
        watched.watch.regrouped((2,), watched.now_ns)
        watched.hear(1, own_epoch=EpochId(1020 + n, 1, 1))
    assert watched.watch.excluded == {2}


def test_who_never_answers_in_an_exchange_is_left_out_and_who_does_is_not() -> None:
    silent, other, talking = Watched(), Watched(), Watched()
    for watched in (silent, other, talking):
        watched.hear(1)
        watched.watch.began(watched.now_ns)
    seconds = ROUND_LATE_NS // BEAT
    assert silent.hear(seconds, agent=exchange(agreed=False)) == ""
    assert silent.hear(4, agent=exchange(agreed=False)) == "no frame in an exchange"
    assert other.hear(3 * seconds, agent=exchange(agreed=False, links=())) == "", "not in the plan of the sum"
    for _ in range(3 * seconds):
        talking.watch.answered(2, talking.now_ns)
        assert talking.hear(1, agent=exchange(agreed=False)) == ""


def test_who_may_wait_for_a_dead_neighbour_of_its_own_is_not_blamed() -> None:
    watched = Watched()
    watched.hear(1)
    watched.watch.began(watched.now_ns)
    assert watched.hear(18, agent=exchange(agreed=False)) == ""
    watched.watch.regrouped((2,), watched.now_ns)
    assert watched.hear(12, agent=exchange(agreed=False)) == ""
    assert watched.hear(4, agent=exchange(agreed=False)) == "no frame in an exchange"


def test_an_exchange_begun_again_goes_on_waiting_and_one_that_ended_does_not() -> None:
    restarted, ended = Watched(), Watched()
    for watched in (restarted, ended):
        watched.hear(1)
        watched.watch.began(watched.now_ns)
        watched.hear(15, agent=exchange(agreed=False))
    ended.watch.ended()
    for watched in (restarted, ended):
        watched.watch.began(watched.now_ns)
    assert restarted.hear(10, agent=exchange(agreed=False)) == "no frame in an exchange"
    assert ended.hear(10, agent=exchange(agreed=False)) == ""


def test_an_exchange_long_after_one_that_was_broken_off_begins_to_wait() -> None:
    watched = Watched()
    watched.watch.began(watched.now_ns)
    watched.hear(2, agent=exchange(agreed=False))
    watched.hear(5)
    watched.now_ns += ROUND_LATE_NS // 2
    watched.watch.began(watched.now_ns)
    assert watched.hear(10, agent=exchange(agreed=False)) == ""


def test_after_a_pause_old_words_are_no_faults() -> None:
    watched = Watched()
    watched.hear(1)
    watched.now_ns += 5 * EPOCH_LATE_NS
    watched.watch.woke_up(watched.now_ns)
    assert watched.hear(10, own_epoch=LATER) == ""


def test_a_neighbour_that_is_linked_anew_has_time_to_answer() -> None:
    watched = Watched()
    watched.watch.began(watched.now_ns)
    watched.watch.regrouped((), watched.now_ns)
    watched.now_ns += 15 * ROUND_LATE_NS
    watched.watch.regrouped((2,), watched.now_ns)
    assert watched.hear(10, agent=exchange(agreed=False)) == ""


def test_a_power_that_its_own_curve_contradicts_is_a_lie() -> None:
    assert Watched().hear(agent=exchange(power_kw=1.5)) == ""
    assert Watched().hear(agent=exchange(power_kw=1.502)) == "power 1.5 kW, by its own curve 1.502 kW"
    assert Watched().hear(agent=exchange(power_kw=1.502), agreed=False) == ""
    assert Watched().hear(agent=None) == ""
