"""Optimizers that hide their curves: keys find their way, agreements are those without, no masks are used twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from v2g_nodes.core.averaging.ball_sum import BallSum
from v2g_nodes.core.dispatch.methods import METHODS
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import NO_EPOCH, OptimizerSettings, Snapshot
from v2g_nodes.core.privacy.key_book import CALM_NS, KeyBook, KeyPair, KeyReport
from v2g_nodes.core.privacy.masks import MASKS, NONE
from v2g_nodes.core.types import Agreement, Box, EpochId
from v2g_nodes.nodes.key_pair import X25519KeyPair
from v2g_nodes.sim.churn import Churn
from v2g_nodes.sim.churn_story import StoryOptions, StoryTeller
from v2g_nodes.sim.liars import Liar
from v2g_nodes.sim.sloping import SlopingSupply, sloping_snapshot

RATING_KW = 3.3
MS = 1_000_000


def pairs(seed: int = 0) -> Callable[[], KeyPair]:
    draw = random.Random(seed)
    return lambda: X25519KeyPair(draw.randbytes(32))


class MaskWatch:
    """Every vector that was masked, by its module and masks; two of one kind are a leak."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.vectors: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        self.leaks: list[tuple[list[int], list[int]]] = []
        original = SupplyCurveAgent._sum

        def _sum(agent: SupplyCurveAgent, units: list[int], iteration: int) -> BallSum:
            if agent._masks is not None and agent._members > 1:
                words = tuple(word % 65536 for word in agent._masks(agent.bracket, iteration))
                before = self.vectors.setdefault((agent._problem.module_id, words), units)
                if before is not units:
                    self.leaks.append((before, units))
            return original(agent, units, iteration)

        monkeypatch.setattr(SupplyCurveAgent, "_sum", _sum)


def station(topology: str, n: int, privacy: str, loss: float = 0.0, seed: int = 1, **changed: object) -> Churn:
    ids = range(1, n + 1)
    settings = replace(OptimizerSettings(0, (), {}, 1.0, privacy=privacy), **changed)  # type: ignore[arg-type]
    churn = Churn(build_edges(topology, ids), dict.fromkeys(ids, RATING_KW), seed, loss, settings=settings,
                  key_pair=pairs(seed))  # fmt: skip
    churn.signal(8.0)
    churn.run_until_settled(8.0)
    return churn


def agreed(churn: Churn) -> dict[int, Agreement]:
    """The last agreements, but for rounds: a frame lost or not may decide whether an epoch began cold."""
    return {k: decision.agreement for k, (_, decision) in sorted(churn.last.items())}


# ---- the same results


@pytest.mark.parametrize("topology", ["ring", "line", "star", "mesh"])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_agreements_are_the_same_bits_with_and_without(topology: str, loss: float) -> None:
    with_masks, without = station(topology, 8, MASKS, loss), station(topology, 8, NONE, loss)
    for target_kw in (7.9, 8.3, -4.0, 2.0, 30.0):
        for churn in (with_masks, without):
            churn.signal(target_kw)
            churn.run_until_settled(3.0)
            churn.run(0.1)
        assert agreed(with_masks) == agreed(without)
    assert with_masks.faults == without.faults == []
    assert with_masks.sent["mask_key"] > 0 == without.sent["mask_key"]


@pytest.mark.parametrize("number", [3, 6, 8, 12, 14, 23])
def test_a_random_story_has_no_fault_and_no_masks_twice(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Every agreement in it is compared bit by bit with one made again without masks (sim/watch_agreements.py)."""
    watch = MaskWatch(monkeypatch)
    loss = 0.2 if number % 3 == 2 else 0.0
    story = StoryTeller(StoryOptions(7, number, 25, loss, 10), pairs(number)).tell()
    assert story.faults == []
    assert story.agreements >= 5
    assert len(watch.vectors) > 20
    assert watch.leaks == []


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_islands_part_and_merge_a_module_dies_amid_an_exchange_and_starts_again(
    monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    watch, churn = MaskWatch(monkeypatch), station("ring", 8, MASKS, loss)
    churn.cut((4, 5), (1, 8))
    churn.run(1.5)
    churn.signal(5.0)
    churn.run_until_settled(4.0)
    assert churn.islands() == [(1, 2, 3, 4), (5, 6, 7, 8)]
    churn.start(6)  # as after a crash: another key, unknown to the other island
    churn.run_until_settled(4.0)
    churn.heal((4, 5), (1, 8))
    churn.run_until_settled(4.0)
    churn.signal(6.0)
    churn.run(0.003)
    churn.kill(3)
    churn.run_until_settled(4.0)
    churn.start(3)
    churn.run_until_settled(4.0)
    churn.signal(4.0)
    churn.run_until_settled(4.0)
    assert sum(agreement.power_kw for agreement in agreed(churn).values()) == pytest.approx(4.0, abs=1e-6)
    assert churn.faults == []
    assert watch.leaks == []


# ---- masks that may have been used


class Pair:
    """Two optimizers that hear each other at once; module 1's curve is another one each time it is looked at."""

    def __init__(self) -> None:
        self.looks = 0
        rating = {1: RATING_KW, 2: RATING_KW}
        settings = OptimizerSettings(0, ((1, 2),), rating, 1.0, privacy=MASKS)
        fixed, make = sloping_snapshot(rating), pairs()
        freezers: dict[int, Callable[[], Snapshot]] = {1: self._freeze, 2: lambda: fixed(2)}
        self.optimizers = {
            k: ModuleOptimizer(replace(settings, module_id=k), 1 << 16, freezers[k], pair=make()) for k in rating
        }
        self.now_ms = 1000
        self.out = {k: self.optimizers[k].step((), (), self.now_ms * MS) for k in rating}
        self.run(700)

    def _freeze(self) -> Snapshot:
        self.looks += 1
        box = Box(-3.0, 3.0)
        return Snapshot(box, SlopingSupply(4.0 + 0.5 * self.looks, box))

    def run(self, ms: int, stopped: int = 0) -> None:
        for _ in range(ms):
            self.now_ms += 1
            heard = {k: self.out.get(3 - k) for k in self.optimizers}
            for k, optimizer in self.optimizers.items():
                box = heard[k]
                if k == stopped:
                    self.out.pop(k, None)
                elif box is None:
                    self.out[k] = optimizer.step((), (), self.now_ms * MS)
                else:
                    self.out[k] = optimizer.step(box.frames, box.reports, self.now_ms * MS, keys=box.keys)

    def signal(self, sequence: int, target_kw: float) -> None:
        for optimizer in self.optimizers.values():
            optimizer.start_epoch(EpochId(sequence, 1, 1), target_kw, 1000)


def test_who_begins_again_unnoticed_takes_a_new_name_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause after which a neighbour is heard before its silence could be told: nothing in the group has changed."""
    watch, pair = MaskWatch(monkeypatch), Pair()
    pair.signal(10, 2.0)
    pair.run(700)  # until both count for good and the group has the same name as before
    looks, first = pair.looks, pair.optimizers[1]
    name = first.membership.group.fingerprint
    first._stepped_ns = -(10**12)  # as if it had been stopped between two steps
    pair.run(3)
    assert first.membership.group.fingerprint != name
    pair.run(300)
    assert pair.looks == looks + 1
    assert {one.membership.group.members for one in pair.optimizers.values()} == {(1, 2)}
    assert {one.epoch for one in pair.optimizers.values()} == {EpochId(10, 1, 1)}
    assert len({one.agreement.lambda_eur_per_kwh for one in pair.optimizers.values() if one.agreement}) == 1
    assert watch.leaks == []


def test_an_epoch_that_comes_back_after_a_wrong_clock_has_other_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, pair = MaskWatch(monkeypatch), Pair()
    pair.signal(10, 2.0)
    pair.run(700)
    looks = pair.looks
    pair.signal(5000, 1.0)  # beyond the limit
    pair.run(100)
    pair.signal(10, 2.0)
    pair.run(300)
    assert pair.looks == looks + 2
    assert {one.epoch for one in pair.optimizers.values()} == {EpochId(10, 1, 1)}
    assert all(one.agreement and one.agreement.target_kw == 2.0 for one in pair.optimizers.values())
    assert watch.leaks == []


def test_the_watch_notices_masks_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from v2g_nodes.core.privacy import masks

    def careless(labels: masks.Labels, group: bytes, epoch: EpochId, target_kw: float) -> bytes:
        return group

    watch = MaskWatch(monkeypatch)
    monkeypatch.setattr(masks.Labels, "take", careless)
    pair = Pair()
    for k in range(3):
        pair.signal(10 + k, 2.0)
        pair.run(100)
    assert watch.leaks


# ---- who does not fit in


def test_a_module_without_masks_is_left_out() -> None:
    ids = range(1, 5)
    churn = Churn(build_edges("ring", ids), dict.fromkeys(ids, RATING_KW), key_pair=pairs(),
                  settings=OptimizerSettings(0, (), {}, 1.0, privacy=MASKS))  # fmt: skip
    odd = replace(churn.settings, module_id=2, privacy=NONE)
    freeze = sloping_snapshot(churn.rating_kw)
    churn.optimizers[2] = ModuleOptimizer(odd, 7, lambda: freeze(2))
    churn.signal(2.0)
    churn.run(1.8)
    churn.signal(3.0)
    churn.run(0.5)
    assert {churn.optimizers[k].membership.group.members for k in (1, 3, 4)} == {(1, 3, 4)}
    assert {fault for k in (1, 3) for fault in churn.optimizers[k].faults.values()} == {"no key for the masks"}
    assert sum(agreed(churn)[k].power_kw for k in (1, 3, 4)) == pytest.approx(3.0, abs=1e-6)


@pytest.mark.parametrize("lie", ["nan", "range", "repeated", "old epoch", "no frames"])
def test_liars_are_noticed_as_before(lie: str) -> None:
    churn = station("ring", 5, MASKS)
    churn.distort[3] = Liar(lie).distort
    for target_kw in (3.0, 3.5, 4.0, 3.2):
        churn.signal(target_kw)
        churn.run(0.6)
    assert churn.optimizers[1].membership.group.members == (1, 2, 4, 5)


@pytest.mark.parametrize(("privacy", "noticed"), [(NONE, True), (MASKS, False)])
def test_a_power_against_the_own_curve_is_told_only_without_masks(privacy: str, noticed: bool) -> None:
    """What is lost: no curve can be held against its module. (Its report names no power any more, either.)"""
    churn = station("ring", 5, privacy)
    churn.distort[3] = Liar("stuck").distort
    for target_kw in (3.0, -3.5, 4.0):
        churn.signal(target_kw)
        churn.run(0.6)
    assert bool(churn.optimizers[2].faults) is noticed
    reports = churn.optimizers[2].step((), (), churn.tick * MS + 60 * MS).reports
    assert all((report.power_kw != report.power_kw) is not noticed for report in reports)


def test_words_that_are_no_curve_end_the_epoch_for_all_and_accuse_nobody() -> None:
    churn = station("ring", 5, MASKS)
    before = agreed(churn)
    churn.distort[3] = Liar("curve").distort  # halves what it sends, masked words too
    for target_kw in (3.0, 4.0):
        epoch = churn.signal(target_kw)
        churn.run(1.8)
        assert all(decision.epoch != epoch for _, decision in churn.last.values())
        assert {k: bool(churn.optimizers[k].failed) for k in (1, 2, 4, 5)} == dict.fromkeys((1, 2, 4, 5), True)
        assert all(not churn.optimizers[k].faults for k in (1, 2, 4, 5))
    assert {k: agreement.power_kw for k, agreement in agreed(churn).items()} == {
        k: agreement.power_kw for k, agreement in before.items()
    }
    churn.distort.clear()
    churn.signal(5.0)
    churn.run_until_settled(2.0)
    assert sum(agreement.power_kw for agreement in agreed(churn).values()) == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "pair", "text"),
    [
        ({"privacy": "veil"}, True, "privacy is 'veil', allowed none, masks"),
        ({"privacy": MASKS}, False, "without a key pair"),
        *(({"privacy": MASKS, "algorithm": name}, True, f"algorithm {name}, allowed with supply_curve")
          for name in METHODS if name != "supply_curve"),
    ],
)  # fmt: skip
def test_settings_that_can_not_be_met_are_refused(changes: dict[str, str], pair: bool, text: str) -> None:
    settings = replace(OptimizerSettings(1, ((1, 2),), {1: 1.0, 2: 1.0}, 1.0), **changes)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=text):
        ModuleOptimizer(settings, 1, lambda: sloping_snapshot({1: 1.0})(1), pair=pairs()() if pair else None)


# ---- keys


def book(module_id: int = 1, stamp: int = 5, seed: int = 0) -> KeyBook:
    return KeyBook(module_id, (1, 2, 3), pairs(seed)(), stamp, 15 * MS, 50 * MS, 500 * MS)


def key(origin: int, stamp: int, fill: int, sender: int = 2, checksum: int = 0) -> KeyReport:
    return KeyReport(sender, origin, stamp, bytes([fill] * 32), checksum)


def test_two_modules_share_a_secret_and_the_third_does_not_know_it() -> None:
    one, two, three = (X25519KeyPair(bytes([k] * 32)) for k in (1, 2, 3))
    assert one.secret(two.public) == two.secret(one.public)
    assert len({one.secret(two.public), one.secret(three.public), two.secret(three.public)}) == 3
    assert X25519KeyPair().public != X25519KeyPair().public
    assert one.secret(bytes(32)) == b""  # a key that shares the same with everybody


def test_the_later_key_of_a_module_counts() -> None:
    one = book()
    assert one.lacking((1, 2, 3)) == [2, 3]
    one.take(key(3, 9, 7), 0)
    one.take(key(3, 8, 200), 0)
    one.take(key(9, 8, 200), 0)  # a stranger
    one.take(key(2, 1, 3), 0)
    assert one.lacking((1, 2, 3)) == []
    digest, secret = one.digest((1, 2, 3)), one.secrets((1, 2, 3))[3]
    one.take(key(3, 10, 8), 0)
    assert one.digest((1, 2, 3)) != digest
    assert one.secrets((1, 2, 3))[3] != secret
    assert set(one.secrets((1, 2, 3))) == {2, 3}


def test_a_key_of_an_earlier_life_is_outbid() -> None:
    one, two = book(), book(2, seed=4)
    two.take(key(1, 700, 9, sender=3), 0)  # the clock was set back
    for now in range(0, 100 * MS, MS):
        for a, b in ((two, one), (one, two)):
            for report in a.due((1, 2), 8, now):
                b.take(report, now)
    assert two.secrets((1, 2))[1] == one.secrets((1, 2))[2]


def test_keys_go_out_fast_while_books_differ_and_then_once_a_second() -> None:
    one, two = book(), book(2, seed=4)
    known, sent = [], []
    for now in range(0, 6 * CALM_NS, MS):
        for a, b, neighbour in ((one, two, 2), (two, one, 1)):
            for report in a.due((neighbour,), 8, now):
                sent.append(now)
                b.take(report, now)
        known += [] if one.lacking((1, 2)) or two.lacking((1, 2)) else [now]
    assert known[0] <= 15 * MS
    assert sum(now < CALM_NS for now in sent) <= 12
    assert sum(now >= CALM_NS for now in sent) == 2 * 5


def test_a_neighbour_that_never_takes_keys_gets_few() -> None:
    one = book()
    one.take(key(2, 1, 3, checksum=1), 0)  # says something else for ever
    for t in range(0, 1000 * MS, MS):
        one.due((2,), 8, t)
    late = sum(len(one.due((2,), 8, t)) for t in range(1000 * MS, 2000 * MS, MS))
    assert late == 20  # one per heartbeat


def test_no_exchange_begins_before_all_keys_are_in_hand() -> None:
    churn = Churn(build_edges("line", (1, 2, 3)), dict.fromkeys((1, 2, 3), RATING_KW), key_pair=pairs(),
                  settings=OptimizerSettings(0, (), {}, 1.0, privacy=MASKS))  # fmt: skip
    churn.distort[2] = lambda outbox: replace(outbox, keys=[key for key in outbox.keys if key.origin == 2])
    churn.signal(2.0)
    churn.run(0.9)
    assert {one.membership.group.members for one in churn.optimizers.values()} == {(1, 2, 3)}
    assert churn.optimizers[1].epoch != NO_EPOCH
    assert churn.sent["curve"] > 0  # of module 2, which has all keys
    assert not churn.last
    assert all(churn.optimizers[k]._agent is None for k in (1, 3))
    churn.distort.clear()
    churn.run_until_settled(2.0)
    assert set(churn.last) == {1, 2, 3}
