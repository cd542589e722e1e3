"""Rounds that wait for each other on a network that loses, repeats and reorders frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.averaging.ball_sum import BallSum, sum_plan
from v2g_nodes.core.exchange import INT16_MAX, INT16_MIN, Exchange, exchange_tag
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.types import EpochId, Frame
from v2g_nodes.sim.random_graph import random_edges

EPOCH = EpochId(100, 1, 1)
MEMBERSHIP = 77
TAG = exchange_tag(EPOCH, MEMBERSHIP)
RESEND_NS = 10
WHIMS = ["lose", "lose", "repeat", "deliver", "wait"]


def exchange(module_id: int = 1, neighbours: tuple[int, ...] = (2, 3)) -> Exchange:
    return Exchange(module_id, neighbours, TAG, RESEND_NS)


def frame(sender: int = 2, round: int = 0, value: int = 5, before: int | None = None) -> Frame:
    previous = () if before is None else (before,)
    return Frame(sender, TAG, round, 0, -3, (value,), -3, previous)


class Adder:
    """A member that does nothing but sum up one number."""

    def __init__(self, module_id: int, ids: tuple[int, ...], edges: tuple[tuple[int, int], ...], value: int) -> None:
        plan = sum_plan(ids, edges)
        self.neighbours = plan.neighbours[module_id]
        self.exchange = Exchange(module_id, self.neighbours, TAG, RESEND_NS)
        self.sum = BallSum(plan, module_id, [value])
        self.rounds = plan.rounds
        self.posted = False

    def step(self, inbox: list[Frame], now_ns: int) -> list[Frame]:
        for frame in inbox:
            if self.exchange.addressed(frame):
                self.exchange.take(frame)
        sent = []
        while not self.sum.done:
            if not self.posted:
                sent = [self.exchange.post(self.sum.ball, 0, now_ns)]
                self.posted = True
            received = self.exchange.complete()
            if received is None:
                break
            self.sum.advance(received)
            self.posted = False
        self.exchange.finished = self.sum.done
        again = None if sent else self.exchange.repeat(now_ns)
        return [again] if again else sent


class Mail:
    """Frames under way between adders; delivered, lost and repeated as asked."""

    def __init__(self, adders: dict[int, Adder]) -> None:
        self.adders = adders
        self.now_ns = 0
        self.sent = 0
        self.under_way: list[tuple[int, Frame]] = []
        for k in adders:
            self.step(k, [])

    def step(self, k: int, inbox: list[Frame]) -> None:
        for frame in self.adders[k].step(inbox, self.now_ns):
            self.sent += 1
            self.under_way += [(hearer, frame) for hearer in self.adders[k].neighbours]

    def act(self, what: str, pick: int) -> None:
        """One whim of the network."""
        if what == "wait":
            self.now_ns += RESEND_NS
            for k in self.adders:
                self.step(k, [])
        elif self.under_way:
            index = pick % len(self.under_way)
            hearer, frame = self.under_way[index] if what == "repeat" else self.under_way.pop(index)
            if what != "lose":
                self.step(hearer, [frame])

    @property
    def done(self) -> bool:
        return all(a.sum.done for a in self.adders.values())


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.sampled_from(WHIMS), st.integers(0, 999)), max_size=60),
)
def test_any_schedule_that_is_fair_in_the_end_gives_the_same_totals(
    n: int, seed: int, schedule: list[tuple[str, int]]
) -> None:
    random = np.random.default_rng(seed)
    ids = tuple(range(1, n + 1))
    edges = random_edges(ids, int(random.integers(0, 4)), random)
    values = random.integers(-400, 400, n).tolist()
    mail = Mail({k: Adder(k, ids, edges, v) for k, v in zip(ids, values, strict=True)})
    for what, pick in schedule:
        mail.act(what, pick)
    for _ in range(4 * n + 4):  # fair from here on: whatever is sent arrives, in some order
        while mail.under_way and not (mail.done and mail.sent > 10_000):
            mail.act("deliver", int(random.integers(2**31)))
        mail.act("wait", 0)
    assert mail.done
    assert {a.sum.total[0] for a in mail.adders.values()} == {sum(values)}
    assert not mail.under_way  # and then there is silence


@pytest.mark.parametrize("topology", ["ring", "line", "bus"])
def test_silence_after_losses_and_repetitions(topology: str) -> None:
    ids = tuple(range(1, 7))
    mail = Mail({k: Adder(k, ids, build_edges(topology, ids), k) for k in ids})
    random = np.random.default_rng(3)
    for _ in range(2000):
        whim = str(random.choice(["lose", "repeat", "deliver", "deliver", "wait"], p=[0.2, 0.2, 0.3, 0.2, 0.1]))
        mail.act(whim, int(random.integers(2**31)))
    assert mail.done
    quiet_from = mail.sent
    for _ in range(3 * len(mail.under_way) + 200):
        mail.act("deliver", int(random.integers(2**31)))
        mail.act("wait", 0)
    assert not mail.under_way
    # a late old frame may be answered, an answer never
    assert mail.sent - quiet_from <= 3 * len(ids)


def test_answers_do_not_pile_up_when_frames_overtake_each_other() -> None:
    ids = tuple(range(1, 21))
    mail = Mail({k: Adder(k, ids, build_edges("line", ids), k) for k in ids})
    random = np.random.default_rng(3)
    for _ in range(20_000):
        mail.act("deliver" if mail.under_way else "wait", int(random.integers(2**31)))
        if mail.done:
            break
    assert mail.done
    assert mail.sent <= 3 * 19 * 20  # rounds by members


def test_rounds_go_on_when_all_neighbours_are_heard() -> None:
    member = exchange()
    posted = member.post([7], -3, now_ns=0)
    assert posted == Frame(1, TAG, 0, 0, -3, (7,), 0, ())
    member.take(frame(sender=2, value=20))
    assert member.complete() is None
    member.take(frame(sender=3, value=30))
    assert sorted(member.complete() or ()) == [(20,), (30,)]
    posted = member.post([57], -4, now_ns=5)
    assert posted == Frame(1, TAG, 1, 0, -4, (57,), -3, (7,))
    assert member.complete() is None  # the frames of round 0 do not serve for round 1


def test_a_lost_frame_is_made_good_by_the_next() -> None:
    member = exchange(neighbours=(2,))
    member.post([7], 0, 0)
    member.take(frame(round=1, value=99, before=20))
    assert member.complete() == [(20,)]
    member.post([27], 0, 0)
    assert member.complete() == [(99,)]  # round 1 was in the same frame


def test_repeated_and_stale_frames_change_nothing() -> None:
    member = exchange(neighbours=(2,))
    member.post([7], 0, 0)
    for _ in range(3):
        member.take(frame(round=0, value=20))
    member.post([27], 0, 0)
    member.take(frame(round=0, value=20))
    assert member.complete() is None
    member.take(frame(round=1, value=50, before=20))
    member.take(frame(round=0, value=20))
    assert member.complete() == [(50,)]


@pytest.mark.parametrize(
    "stranger",
    [
        frame()._replace(sender=4),
        frame()._replace(sender=1),
        frame()._replace(tag=exchange_tag(EPOCH, MEMBERSHIP + 1)),
        frame()._replace(tag=exchange_tag(EpochId(101, 1, 1), MEMBERSHIP)),
        frame()._replace(tag=exchange_tag(EpochId(99, 1, 1), MEMBERSHIP)),
        frame()._replace(tag=exchange_tag(EpochId(100, 2, 1), MEMBERSHIP)),
        frame()._replace(tag=exchange_tag(EpochId(100, 1, 2), MEMBERSHIP)),
    ],
)
def test_frames_of_others_are_not_addressed(stranger: Frame) -> None:
    member = exchange()
    assert not member.addressed(stranger)
    assert member.addressed(frame())
    assert member.addressed(frame()._replace(bracket=9))


@pytest.mark.parametrize("value", [INT16_MAX + 1, 10**9, -(10**9)])
def test_values_saturate_on_the_wire(value: int) -> None:
    posted = exchange().post([value, 3], 0, 0)
    assert posted.values == (INT16_MAX if value > 0 else INT16_MIN, 3)


def test_who_waits_repeats_after_a_pause() -> None:
    member = exchange()
    assert member.repeat(1000) is None  # nothing posted yet
    posted = member.post([7], 0, now_ns=1000)
    assert member.repeat(1000 + RESEND_NS - 1) is None
    assert member.repeat(1000 + RESEND_NS) == posted
    assert member.repeat(1000 + 2 * RESEND_NS - 1) is None
    assert member.repeat(1000 + 2 * RESEND_NS) == posted
    assert member.resends == 2
    member.finished = True
    assert member.repeat(10**9) is None


def test_who_is_behind_gets_an_answer_once() -> None:
    member = exchange(neighbours=(2,))
    member.post([7], 0, 0)
    member.take(frame(round=0))
    member.take(frame(round=0))
    assert member.repeat(RESEND_NS // 2) is None  # it is not behind
    ahead = member.post([12], 0, now_ns=100)
    member.take(frame(round=0))
    assert member.repeat(100 + RESEND_NS // 2) == ahead
    assert member.repeat(100 + RESEND_NS // 2) is None


def test_who_has_just_sent_does_not_answer() -> None:
    member = exchange(neighbours=(2,))
    member.post([7], 0, 0)
    member.take(frame(round=0))
    member.post([12], 0, now_ns=100)
    member.take(frame(round=0))  # sent before the last post came there
    assert member.repeat(101) is None
    assert member.repeat(100 + RESEND_NS // 2) is None  # who still needs it will ask again


def test_who_has_finished_answers_with_a_closing_frame() -> None:
    member = exchange(neighbours=(2,))
    member.post([7], 0, 0)
    member.take(frame(round=0))
    member.post([12], 2, 1)
    member.take(frame(round=1, before=5))
    member.finished = True
    member.take(frame(round=1, before=5))
    closing = member.repeat(100)
    assert closing == Frame(1, TAG, 2, 0, 2, (0,), 2, (12,))
    assert member.round == 1
    other = exchange(2, (1,))  # waits for round 1
    for value in (5, 12):
        other.post([value], 0, 0)
    other.take(closing)
    assert other.complete() == [(12,)]
    other.finished = True
    assert other.repeat(200) is None
    member.take(closing)
    assert member.repeat(300) is None  # an answer is not answered


def test_restart_forgets_all_rounds() -> None:
    member = exchange(neighbours=(2,))
    member.post([7], 0, 0)
    member.take(frame(round=0))
    member.finished = True
    member.restart(bracket=3)
    assert member.round == -1
    assert not member.finished
    posted = member.post([1], 0, 0)
    assert (posted.round, posted.bracket, posted.values_previous) == (0, 3, ())
    assert member.complete() is None


def test_frames_from_far_ahead_and_rounds_gone_by_are_forgotten() -> None:
    exchange = Exchange(1, (2,), TAG, RESEND_NS)
    for k in range(100):
        exchange.post((k,), 0, 0)
        for round_ in (k, k + 1, k + 2, 65535):
            exchange.take(Frame(2, TAG, round_, 0, 0, (round_,)))
        assert exchange.complete() == [(k,)]
        assert max(round_ for _, round_ in exchange._received) == k + 1
        assert len(exchange._received) <= 12
