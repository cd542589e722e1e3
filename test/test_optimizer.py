"""Optimizers that find each other, agree, lose each other and agree again; in simulated time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.graph import Edge, build_edges
from v2g_nodes.core.membership import GUEST, LinkReport
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import NO_EPOCH, NeighborReport, OptimizerSettings, Outbox, Snapshot
from v2g_nodes.core.types import Box, EpochId, Frame
from v2g_nodes.sim.churn import Churn
from v2g_nodes.sim.random_graph import random_edges
from v2g_nodes.sim.sloping import SlopingSupply

RATING_KW = 3.3
SILENCE_S = 0.5
AGREE_S = 0.2  # far more than an exchange and the spread of news take without losses


def station(
    topology: str = "ring",
    n: int = 8,
    signal_kw: float | None = 8.0,
    seed: int = 1,
    loss: float = 0.0,
    **changed: object,
) -> Churn:
    """A station that has come together."""
    ids = range(1, n + 1)
    settings = replace(OptimizerSettings(0, (), {}, price_span_eur_per_kwh=1.0), **changed)  # type: ignore[arg-type]
    churn = Churn(build_edges(topology, ids), dict.fromkeys(ids, RATING_KW), seed, loss, settings=settings)
    if signal_kw is not None:
        churn.signal(signal_kw)
    churn.run_until_settled(3.0)
    return churn


def powers(churn: Churn, ids: Iterable[int] | None = None) -> float:
    return sum(churn.last[k][1].agreement.power_kw for k in ids or churn.last)


def targets(churn: Churn) -> dict[int, float]:
    return {k: decision.agreement.target_kw for k, (_, decision) in churn.last.items()}


def latest(churn: Churn) -> float:
    return max(time_s for time_s, _ in churn.last.values())


# ---- coming together


@pytest.mark.parametrize("topology", ["ring", "line", "star", "bus", "mesh"])
def test_a_station_starts_up_and_agrees(topology: str) -> None:
    churn = station(topology, signal_kw=-7.5)
    assert churn.now_s < 0.5
    assert {k: d.group.members for k, (_, d) in churn.last.items()} == dict.fromkeys(range(1, 9), tuple(range(1, 9)))
    assert powers(churn) == pytest.approx(-7.5, abs=1e-6)
    assert {o.membership.group.fingerprint for o in churn.optimizers.values()} == {
        d.group.fingerprint for _, d in churn.last.values()
    }
    assert churn.faults == []


@pytest.mark.parametrize("method", METHODS)
def test_every_algorithm_lives_through_loss_death_and_return(method: str) -> None:
    churn = station(n=6, signal_kw=4.0, loss=0.1, seed=3, algorithm=method, heartbeat_ns=50_000_000)
    assert powers(churn) == pytest.approx(4.0, abs=1e-3 * 6 * RATING_KW)
    churn.kill(2)
    churn.run(1.0)
    churn.signal(-3.0)
    churn.run_until_settled(5.0)
    assert powers(churn) == pytest.approx(-3.0, abs=1e-3 * 6 * RATING_KW)
    churn.start(2)
    churn.run(0.5)
    churn.signal(5.0)
    churn.run_until_settled(5.0)
    assert set(churn.last) == set(range(1, 7))
    assert powers(churn) == pytest.approx(5.0, abs=1e-3 * 6 * RATING_KW)
    assert churn.faults == []


def test_a_module_set_to_another_algorithm_is_left_out() -> None:
    churn = station(n=3, signal_kw=None)
    odd = replace(churn.optimizers[2]._settings, algorithm="newton")
    churn.optimizers[2] = ModuleOptimizer(odd, 7, snapshot)
    churn.run(1.0)
    assert churn.optimizers[2].membership.group.members == (1, 2, 3)
    epoch = churn.signal(2.0)
    churn.run(1.0)
    assert all(decision.epoch != epoch for _, decision in churn.last.values())
    churn.run(1.2)  # it answers in no round of the others
    assert "no frame in an exchange" in {fault for o in churn.optimizers.values() for fault in o.faults.values()}
    assert {k: churn.last[k][1].group.members for k in (1, 3)} == {1: (1, 3), 3: (1, 3)}
    assert powers(churn, (1, 3)) == pytest.approx(2.0)
    assert targets(churn)[2] == 0.0


def test_one_module_is_a_station_too() -> None:
    churn = station(n=1, signal_kw=1.25)
    assert powers(churn) == pytest.approx(1.25)
    churn.leave(1)
    churn.signal(2.0)
    churn.run(1.0)
    assert churn.last[1][1].agreement.target_kw == 1.25  # out of service


def test_a_signal_begins_one_epoch_everywhere() -> None:
    churn = station()
    churn.run(1.0)
    epoch = churn.signal(3.0)
    sent = churn.now_s
    assert churn.run_until_settled(1.0) < 0.1
    assert {d.epoch for _, d in churn.last.values()} == {epoch}
    assert min(t for t, _ in churn.last.values()) > sent
    assert powers(churn) == pytest.approx(3.0, abs=1e-6)


def test_a_module_that_missed_the_signal_takes_it_from_its_neighbours() -> None:
    churn = station("line")
    churn.run(1.0)
    epoch = churn.signal(-4.0, missed_by=(1, 4, 5, 8))
    assert churn.run_until_settled(1.0) < 0.3
    assert churn.optimizers[8].epoch == epoch
    assert powers(churn) == pytest.approx(-4.0, abs=1e-6)


def test_a_newer_signal_ends_the_exchange_of_the_older() -> None:
    churn = station("line")
    older = churn.signal(-4.0)
    churn.run(0.005)
    newer = churn.signal(5.0, missed_by=(1,))
    churn.run_until_settled(1.0)
    assert older != newer
    assert {d.epoch for _, d in churn.last.values()} == {newer}
    assert powers(churn) == pytest.approx(5.0, abs=1e-6)
    assert churn.faults == []


def test_two_messages_of_one_signal_that_differ_are_settled() -> None:
    churn = station()
    churn.run(0.5)
    epoch = churn.signal(6.0, missed_by=(3, 4, 5))
    for k in (3, 4, 5):
        churn.optimizers[k].start_epoch(epoch, 5.5)
    churn.run_until_settled(1.0)
    churn.run(0.2)
    assert set(targets(churn).values()) == {5.5}
    assert powers(churn) == pytest.approx(5.5, abs=1e-6)


def test_signals_follow_each_other_warm_and_now_and_then_cold() -> None:
    churn = station(signal_kw=None)
    cold = []
    for k in range(17):
        churn.signal(6.0 + 0.1 * math.sin(k))
        churn.run(2.0)
        assert latest(churn) < churn.now_s - 1.5
        assert len({d.agreement.cold for _, d in churn.last.values()}) == 1
        cold.append(churn.last[1][1].agreement.cold)
    assert cold[0]
    assert 2 <= sum(cold[3:]) <= 3  # every eighth period
    assert churn.faults == []


def test_no_cold_epoch_is_forced_with_zero() -> None:
    churn = station(signal_kw=None, cold_every=0)
    cold = []
    for k in range(12):
        churn.signal(6.0 + 0.1 * math.sin(k))
        churn.run(2.0)
        cold.append(churn.last[1][1].agreement.cold)
    assert cold[3:] == [False] * 9


def test_a_vehicle_that_leaves_makes_the_next_epoch_cold() -> None:
    gone: set[int] = set()

    def freeze(k: int) -> Snapshot:
        return snapshot(0.0 if k in gone else 2.5)

    ids = range(1, 9)
    settings = OptimizerSettings(0, (), {}, 1.0, cold_every=0)
    churn = Churn(build_edges("ring", ids), dict.fromkeys(ids, RATING_KW), freeze=freeze, settings=settings)
    cold = []
    for epoch in range(8):
        if epoch == 5:
            gone.add(3)
        churn.signal(8.0)
        churn.run(2.0)
        assert powers(churn) == pytest.approx(8.0, abs=1e-3)
        assert len({d.agreement.cold for _, d in churn.last.values()}) == 1
        cold.append(churn.last[1][1].agreement.cold)
    assert churn.last[3][1].agreement.power_kw == 0.0
    assert cold[2:] == [False, False, False, True, False, False]
    assert churn.faults == []


# ---- deaths, cuts and islands


@pytest.mark.parametrize("topology", ["ring", "bus", "mesh"])
def test_survivors_of_a_death_agree_again(topology: str) -> None:
    churn = station(topology)
    churn.run(0.33)
    churn.kill(4)
    took_s = churn.run_until_settled(2.0)
    assert SILENCE_S - 0.1 - 0.01 <= took_s < SILENCE_S + AGREE_S
    assert sorted(churn.last) == [1, 2, 3, 5, 6, 7, 8]
    assert powers(churn) == pytest.approx(8.0, abs=1e-6)
    assert churn.faults == []


def test_a_death_in_the_middle_of_an_epoch() -> None:
    churn = station("line")
    churn.signal(-3.0)
    churn.run(0.006)
    churn.kill(8)
    took_s = churn.run_until_settled(2.0)
    assert took_s < SILENCE_S + AGREE_S
    assert powers(churn) == pytest.approx(-3.0, abs=1e-6)


@pytest.mark.parametrize("life", [0, 7, 0x70000, 0xFFFF0000, 0xFFFFFFFF, None])
@pytest.mark.parametrize("pause_s", [0.0, 0.02, 2.0])
def test_a_restarted_module_is_back_soon(life: int | None, pause_s: float) -> None:
    churn = station(seed=5)
    churn.run(0.5)
    churn.kill(6)
    churn.run(pause_s)
    churn.start(6, life)
    assert churn.run_until_settled(2.0) < 0.3
    assert churn.last[6][1].group.members == tuple(range(1, 9))
    assert powers(churn) == pytest.approx(8.0, abs=1e-6)
    assert churn.faults == []


def test_a_module_that_comes_back_decides_nothing_alone() -> None:
    churn = station()
    churn.run(0.5)
    churn.kill(6)
    churn.start(6)
    groups = set()
    for _ in range(300):
        churn.run(0.001)
        if 6 in churn.last:
            groups.add(churn.last[6][1].group.members)
    assert groups == {tuple(range(1, 9))}


def test_a_module_that_is_not_heard_decides_alone_in_the_end() -> None:
    churn = station("line", 3)
    churn.cut((1, 2), one_way=True)  # 2 no longer hears 1
    churn.signal(2.0)
    churn.run_until_settled(3.0)
    assert targets(churn) == {1: 0.0, 2: 2.0, 3: 2.0}
    churn.heal((1, 2))
    assert churn.run_until_settled(2.0) < 0.5
    assert targets(churn) == {1: 2.0, 2: 2.0, 3: 2.0}


def test_news_of_others_do_not_keep_it_waiting() -> None:
    churn = station("line", 16)
    churn.kill(1)
    churn.run(1.0)
    churn.cut((1, 2), one_way=True)
    churn.start(1)  # learns one report after the other, and nobody knows that it listens
    churn.run(SILENCE_S + 0.2)
    assert churn.last[1][1].group.members == (1,)


def test_the_larger_island_owns_the_target() -> None:
    churn = station("line")
    churn.cut((3, 4))
    churn.run_until_settled(2.0)
    assert targets(churn) == {**dict.fromkeys((1, 2, 3), 0.0), **dict.fromkeys((4, 5, 6, 7, 8), 8.0)}
    assert powers(churn, (1, 2, 3)) == pytest.approx(0.0, abs=1e-6)
    assert powers(churn, (4, 5, 6, 7, 8)) == pytest.approx(8.0, abs=1e-6)
    churn.heal((3, 4))
    assert churn.run_until_settled(2.0) < 0.5
    assert powers(churn) == pytest.approx(8.0, abs=1e-6)
    assert churn.faults == []


@pytest.mark.parametrize("ids", [(1, 2, 3, 4, 5, 6, 7, 8), (5, 6, 7, 8, 1, 2, 3, 4)])
def test_of_two_equal_islands_the_one_with_the_lowest_id_owns_it(ids: Sequence[int]) -> None:
    churn = Churn(build_edges("line", ids), dict.fromkeys(ids, RATING_KW))
    churn.signal(8.0)
    churn.run_until_settled(2.0)
    churn.cut((ids[3], ids[4]))
    churn.run_until_settled(2.0)
    assert targets(churn) == {**dict.fromkeys((1, 2, 3, 4), 8.0), **dict.fromkeys((5, 6, 7, 8), 0.0)}


def test_ratings_weigh_not_heads() -> None:
    rating = {1: 3.3, 2: 3.3, 3: 3.3, 4: 3.3, 5: 22.0}
    churn = Churn(build_edges("line", range(1, 6)), rating)
    churn.signal(3.0)
    churn.run_until_settled(2.0)
    churn.cut((4, 5))
    churn.run_until_settled(2.0)
    assert targets(churn) == {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 3.0}


@pytest.mark.parametrize("kw", [0.1, 0.7, 1.1, 3.3])
def test_rounding_gives_no_island_more_than_its_half(kw: float) -> None:
    for n in (2, 6, 10, 14, 22):
        rating = dict.fromkeys(range(1, n + 1), kw)
        owners = []
        for first in (1, n // 2 + 1):
            ids = range(first, first + n // 2)
            settings = OptimizerSettings(first, build_edges("bus", range(1, n + 1)), rating, 1.0)
            optimizer = ModuleOptimizer(settings, 1, snapshot)
            for k in ids:
                optimizer.membership.hear(k, 0)
                optimizer.membership.take(LinkReport(k, 1, 1, sum(1 << (j - 1) for j in ids)), k)
            optimizer.membership.update(0)
            assert optimizer.membership.group.members == tuple(ids)
            optimizer.start_epoch(EpochId(1, 1, 1), 1.0)
            owners.append(optimizer.island_share())
        assert owners == [1.0, 0.0]


def test_nameplate_share() -> None:
    churn = station("line", island_rule="nameplate_share")
    churn.cut((2, 3))
    churn.run_until_settled(2.0)
    assert targets(churn) == {**dict.fromkeys((1, 2), 2.0), **dict.fromkeys((3, 4, 5, 6, 7, 8), 6.0)}


def test_leaving_is_quick_and_makes_room_for_a_majority() -> None:
    churn = station("line")
    for k in (8, 7, 6):
        churn.leave(k)
    assert churn.run_until_settled(2.0) < AGREE_S  # nobody has to wait for a silence
    churn.run(0.5)
    assert sorted(k for k, t in targets(churn).items() if t == 8.0) == [1, 2, 3, 4, 5, 6, 7, 8]
    churn.cut((3, 4))
    churn.run_until_settled(2.0)
    # 3 of the 5 that have not left are a majority
    assert {k: t for k, t in targets(churn).items() if k < 6} == {1: 8.0, 2: 8.0, 3: 8.0, 4: 0.0, 5: 0.0}
    churn.heal((3, 4))
    for k in (6, 7, 8):
        churn.come_back(k)
    assert churn.run_until_settled(2.0) < 0.5
    assert powers(churn) == pytest.approx(8.0, abs=1e-6)


def test_a_tie_after_the_lowest_id_has_left() -> None:
    churn = station("line", 5)
    churn.run(0.5)
    churn.leave(1)
    churn.run_until_settled(2.0)
    churn.cut((3, 4))
    churn.run_until_settled(2.0)
    assert {k: t for k, t in targets(churn).items() if k > 1} == {2: 8.0, 3: 8.0, 4: 0.0, 5: 0.0}


@pytest.mark.parametrize("loss", [0.2, 0.35])
def test_losses_slow_things_down_and_break_nothing(loss: float) -> None:
    churn = station("ring", loss=loss)
    churn.run(2.0)  # until all count
    for target_kw in (3.0, -12.0, 15.0):
        churn.signal(target_kw)
        assert churn.run_until_settled(2.0) < 1.0
        assert powers(churn) == pytest.approx(target_kw, abs=1e-3)
        churn.run(0.5)
    assert churn.faults == []


# ---- traffic


def per_module_and_second(churn: Churn, seconds: float = 2.0) -> tuple[float, float]:
    churn.sent.clear()
    churn.run(seconds)
    n = len(churn.optimizers) * seconds
    return churn.sent["curve"] / n, churn.sent["neighbor_state"] / n


@pytest.mark.parametrize("topology", ["ring", "bus"])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_between_epochs_there_are_heartbeats_only(topology: str, loss: float) -> None:
    churn = station(topology, loss=loss, silence_ns=2_000_000_000)
    churn.run(1.0)
    curves, states = per_module_and_second(churn)
    assert curves == 0.0
    assert 18.0 <= states <= 20.2


@pytest.mark.parametrize("trouble", ["one way", "left", "dead"])
def test_a_neighbour_that_is_no_member_costs_no_traffic(trouble: str) -> None:
    churn = station("ring")
    if trouble == "one way":
        churn.cut((1, 2), (3, 2), one_way=True)  # 2 is heard and hears nobody
        churn.run(1.0)
        churn.kill(6)  # 2 never learns of it, so its view stays another one
    elif trouble == "left":
        churn.leave(2)
    else:
        churn.kill(2)
    churn.run(2.5)
    curves, states = per_module_and_second(churn)
    assert curves == 0.0
    assert states <= 20.2


def test_agents_are_not_begun_for_views_that_pass() -> None:
    frozen: list[int] = []

    def freeze(k: int) -> Snapshot:
        frozen.append(k)
        return snapshot()

    ids = range(1, 9)
    churn = Churn(build_edges("bus", ids), dict.fromkeys(ids, RATING_KW), freeze=freeze)
    churn.signal(8.0)
    churn.run_until_settled(2.0)
    churn.run(1.0)
    frozen.clear()
    churn.kill(4)
    churn.start(4)
    churn.run_until_settled(2.0)
    assert len(frozen) <= 24  # three each; 65 where every view on the way began one


def test_who_waits_tells_its_neighbour_of_the_epoch() -> None:
    churn = station("line", 3, heartbeat_ns=1_000_000_000, silence_ns=5_000_000_000)
    churn.run(2.0)
    churn.signal(5.0, missed_by=(3,))
    assert churn.run_until_settled(2.0) < 0.1


def test_an_epoch_costs_little() -> None:
    churn = station("ring")
    churn.run(1.0)
    churn.sent.clear()
    churn.signal(-6.0)
    churn.run(1.0)
    assert 8 * 5 < churn.sent["curve"] <= 8 * 8  # two passes of four rounds; two rounds may share a frame
    assert churn.sent["neighbor_state"] <= 8 * 23


# ---- one optimizer, by hand


def snapshot(kw: float = 2.5) -> Snapshot:
    box = Box(-kw, kw)
    return Snapshot(box, SlopingSupply(5.0, box), "detail")


EPOCH = EpochId(1000, 1, 1)
LATER = EpochId(1020, 1, 1)
PAIR: dict[int, float] = {1: RATING_KW, 2: RATING_KW}


class Pair:
    """Module 1 with module 2 as its neighbour, messages passed by hand."""

    def __init__(self) -> None:
        self.both = {
            k: ModuleOptimizer(OptimizerSettings(k, ((1, 2),), PAIR, 1.0), 1 << 16, snapshot) for k in PAIR
        }
        self.one, self.two = self.both[1], self.both[2]
        self.now_ns = 0
        self.told = 30_000  # sequence of reports made by hand
        self.out = {k: o.step((), (), 0) for k, o in self.both.items()}
        for _ in range(6):
            self.swap()
        for _ in range(2):  # from newborn to joining to counting
            for optimizer in self.both.values():
                optimizer.membership.promote()
            for _ in range(4):
                self.swap()
        assert self.one.membership.group == self.two.membership.group

    def swap(self) -> None:
        """Everything sent arrives; 20 ms pass."""
        self.now_ns += 20_000_000
        out = self.out
        self.out = {
            1: self.one.step(out[2].frames, out[2].reports, self.now_ns),
            2: self.two.step(out[1].frames, out[1].reports, self.now_ns),
        }

    def report(self, **changed: object) -> NeighborReport:
        """What module 2 would say, changed."""
        group = self.two.membership.group
        link = LinkReport(2, 1, 0, 0)  # old news
        self.told += 1
        said = NeighborReport(2, self.told, EPOCH, group.fingerprint, 1.5, 0.1, 0.75, False, link)
        return replace(said, **changed)  # type: ignore[arg-type]

    def tell(self, sequence_limit: int | None = None, **changed: object) -> Outbox:
        return self.one.step((), [self.report(**changed)], self.now_ns, sequence_limit=sequence_limit)


def test_an_epoch_is_taken_from_a_neighbour() -> None:
    pair = Pair()
    pair.tell()
    assert pair.one.epoch == EPOCH
    assert pair.one.target_kw == 1.5


@pytest.mark.parametrize(
    "changed",
    [
        {"target_kw": math.nan},
        {"target_kw": math.inf},
        {"target_kw": -math.inf},
        {"target_kw": 2.01 * 2 * RATING_KW},
        {"sender": 7},
        {"sender": 1},
        {"epoch": NO_EPOCH},
    ],
)
def test_reports_that_make_no_sense_start_nothing(changed: dict[str, object]) -> None:
    pair = Pair()
    outbox = pair.tell(**changed)
    assert pair.one.epoch == NO_EPOCH
    assert outbox.frames == []


@pytest.mark.parametrize(
    ("limit", "taken"), [(999, False), (1000, True), (1001, True), (None, True), (2**32 - 5, False)]
)
def test_an_epoch_of_a_wrong_clock_is_not_taken(limit: int | None, taken: bool) -> None:
    pair = Pair()
    pair.tell(limit)
    assert (pair.one.epoch == EPOCH) is taken


@pytest.mark.parametrize(
    ("epoch", "newer"),
    [
        (EpochId(1001, 0, 9), True),
        (EpochId(1000, 2, 9), True),
        (EpochId(1000, 1, 0), True),
        (EpochId(1000, 1, 1), False),
        (EpochId(1000, 1, 2), False),
        (EpochId(1000, 0, 0), False),
        (EpochId(999, 9, 0), False),
    ],
)
def test_only_newer_epochs_begin(epoch: EpochId, newer: bool) -> None:
    pair = Pair()
    assert pair.one.start_epoch(EPOCH, 1.0)
    assert pair.one.start_epoch(epoch, 2.0) is newer
    assert pair.one.target_kw == (2.0 if newer else 1.0)


def test_epochs_wrap() -> None:
    pair = Pair()
    assert pair.one.start_epoch(EpochId(2**32 - 3, 65535, 1), 1.0)
    assert pair.one.start_epoch(EpochId(4, 0, 1), 2.0)
    assert not pair.one.start_epoch(EpochId(2**32 - 3, 65535, 1), 3.0)


def test_an_epoch_that_a_wrong_clock_made_gives_way() -> None:
    pair = Pair()
    pair.one.start_epoch(EpochId(90_000, 1, 1), 1.0)
    assert not pair.one.start_epoch(EPOCH, 2.0)
    assert pair.one.start_epoch(EPOCH, 2.0, sequence_limit=1100)
    assert pair.one.epoch == EPOCH
    pair.two.start_epoch(EpochId(90_000, 1, 1), 1.0)
    pair.two.step((), [replace(pair.report(), sender=1)], pair.now_ns, sequence_limit=1100)
    assert pair.two.epoch == EPOCH


@pytest.mark.parametrize("same_view", [True, False])
def test_a_late_word_of_an_earlier_life_is_told_from_the_word_of_one(same_view: bool) -> None:
    pair = Pair()
    fingerprint = pair.two.membership.group.fingerprint
    pair.tell(link=LinkReport(2, 0, 9, 2), membership=1)  # overtaken by what the neighbour said later
    assert pair.one.membership.group.members == (1,)
    after = pair.one.membership.group.fingerprint if same_view else fingerprint
    pair.tell(link=LinkReport(1, 0, 0, 0), membership=after)
    assert pair.one.membership.heard == ((2,) if same_view else ())


def test_of_two_targets_of_one_epoch_the_smaller_counts() -> None:
    pair = Pair()
    pair.one.start_epoch(EPOCH, 1.5)
    pair.tell(target_kw=-2.0)
    assert pair.one.target_kw == 1.5
    pair.tell(target_kw=-1.5)
    assert pair.one.target_kw == -1.5
    pair.tell(target_kw=1.5)
    assert pair.one.target_kw == -1.5
    pair.tell(target_kw=0.25)
    assert pair.one.target_kw == 0.25


def test_frames_of_two_targets_do_not_mix() -> None:
    pair = Pair()
    pair.one.start_epoch(EPOCH, 1.5)
    pair.two.start_epoch(EPOCH, 2.5)
    first = pair.one.step((), (), pair.now_ns).frames
    second = pair.two.step((), (), pair.now_ns).frames
    assert pair.one.step(second, (), pair.now_ns).frames == []
    assert pair.two.step(first, (), pair.now_ns).frames == []


def test_frames_that_come_before_the_signal_are_kept() -> None:
    pair = Pair()
    pair.two.start_epoch(EPOCH, 1.5)
    early = pair.two.step((), (), pair.now_ns).frames
    assert [f.round for f in early] == [0]
    assert pair.one.step(early, (), pair.now_ns).frames == []
    pair.one.start_epoch(EPOCH, 1.5)
    assert [f.round for f in pair.one.step((), (), pair.now_ns).frames] == [1]  # round 0 is complete at once


def test_frames_of_an_epoch_before_serve_for_nothing() -> None:
    pair = Pair()
    pair.two.start_epoch(EPOCH, 1.5)
    old = pair.two.step((), (), pair.now_ns).frames
    pair.one.step(old, (), pair.now_ns)
    pair.one.start_epoch(LATER, 1.5)
    assert [f.round for f in pair.one.step(old, (), pair.now_ns).frames] == [0]


def test_strangers_frames_are_not_kept() -> None:
    pair = Pair()
    values = (0,) * 10
    stranger = Frame(9, 1, 0, 0, 0, values)
    for sender in range(3, 60):
        pair.one.step([stranger._replace(sender=sender)], (), pair.now_ns)
    assert not pair.one._early


def test_a_decision_says_what_it_depended_on() -> None:
    pair = Pair()
    frozen = []
    pair.one._freeze = lambda: frozen.append(1) or snapshot()  # type: ignore[func-returns-value]
    for optimizer in pair.both.values():
        optimizer.start_epoch(EPOCH, 1.5)
    decisions = []
    for _ in range(8):
        pair.swap()
        decisions += [out.decision for out in pair.out.values() if out.decision]
    assert len(decisions) == 2
    assert len(frozen) == 1
    first = decisions[0]
    assert first.epoch == EPOCH
    assert first.group == pair.one.membership.group
    assert first.snapshot.detail == "detail"
    assert first.agreement.target_kw == 1.5
    assert sum(d.agreement.power_kw for d in decisions) == pytest.approx(1.5, abs=1e-9)
    assert pair.one.agreement in {d.agreement for d in decisions}


def test_reports_carry_the_agreement() -> None:
    pair = Pair()
    said = pair.one.step((), (), pair.now_ns + 100_000_000).reports[0]
    assert said.epoch == NO_EPOCH
    assert math.isnan(said.target_kw)
    assert math.isnan(said.lambda_eur_per_kwh)
    assert not said.agreed
    for optimizer in pair.both.values():
        optimizer.start_epoch(EPOCH, 1.5)
    said = pair.one.step((), (), pair.now_ns + 200_000_000).reports[0]
    assert (said.epoch, said.target_kw, said.agreed) == (EPOCH, 1.5, False)
    pair.now_ns += 200_000_000
    for _ in range(8):
        pair.swap()
    said = pair.one.step((), (), pair.now_ns + 100_000_000).reports[0]
    assert said.agreed
    assert pair.one.agreement is not None
    assert said.lambda_eur_per_kwh == pair.one.agreement.lambda_eur_per_kwh
    assert said.power_kw == pair.one.agreement.power_kw


def test_a_module_out_of_service_leaves_and_freezes_nothing() -> None:
    pair = Pair()
    outbox = pair.one.step((), (), pair.now_ns, available=False)
    assert outbox.reports[0].link == LinkReport(1, 1, outbox.reports[0].link.version, 0b10, GUEST)
    pair.one._freeze = lambda: pytest.fail("asked for a snapshot")
    pair.one.start_epoch(EPOCH, 1.0)
    for _ in range(50):
        pair.now_ns += 20_000_000
        outbox = pair.one.step((), (), pair.now_ns, available=False)
        assert outbox.frames == []
        assert outbox.decision is None


# ---- many random changes


def random_change(churn: Churn, random: np.random.Generator) -> None:
    """One of the things that happen to a station."""
    k = int(random.choice(churn.ids))
    edge: Edge = churn.edges[int(random.integers(len(churn.edges)))] if churn.edges else (k, k)
    what = str(random.choice(["kill", "start", "restart", "cut", "deafen", "heal", "leave", "return", "signal"]))
    if what in ("kill", "restart") and k in churn.optimizers:
        churn.kill(k)
    if what in ("start", "restart") and k not in churn.optimizers:
        churn.start(k)
    if what == "cut":
        churn.cut(edge)
    if what == "deafen":
        churn.cut(edge if random.random() < 0.5 else edge[::-1], one_way=True)
    if what == "heal":
        churn.heal(edge)
    if what == "leave" and k in churn.optimizers:
        churn.leave(k)
    if what == "return":
        churn.come_back(k)
    if what == "signal":
        target_kw = float(random.uniform(-2.0, 2.0) * len(churn.ids))
        churn.signal(target_kw, [j for j in churn.ids if random.random() < 0.2])


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(10))
def test_random_churn_ends_in_agreement(seed: int, loss: float) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 17))
    ids = tuple(sorted(random.choice(np.arange(1, 65), n, replace=False).tolist()))
    rating = {k: float(random.uniform(3.0, 3.3)) for k in ids}
    settings = OptimizerSettings(0, (), {}, 1.0, heartbeat_ns=50_000_000)
    churn = Churn(random_edges(ids, int(random.integers(0, n)), random), rating, seed, loss, settings=settings)
    for change in range(30):
        random_change(churn, random)
        churn.run(float(random.exponential(0.12)))
        if change % 6 == 5:
            churn.run_until_settled(4.0)
    assert churn.faults == []
    for edge in churn.edges:
        churn.heal(edge)
    for k in ids:
        churn.come_back(k)
        if k not in churn.optimizers:
            churn.start(k)
    churn.signal(1.0)
    churn.run_until_settled(4.0)
    assert {d.group.members for _, d in churn.last.values()} == {ids}
    assert powers(churn) == pytest.approx(1.0, abs=1e-3)
    assert churn.faults == []


def test_the_same_seed_gives_the_same_story() -> None:
    def play() -> tuple[object, ...]:
        churn = station(seed=3, loss=0.3)
        churn.kill(2)
        churn.run(1.5)
        return (sorted(churn.sent.items()), sorted((k, t) for k, (t, _) in churn.last.items()))

    assert play() == play()
