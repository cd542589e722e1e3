"""Ratio consensus on running sums: no mass is lost on links that lose, repeat, delay and reorder frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.core.averaging.ratio import RatioAverage
from v2g_nodes.core.graph import TOPOLOGIES, adjacency, build_edges
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.random_graph import random_edges

Link = tuple[int, int]  # from, to
Delays = list[int]  # of each copy that arrives [rounds]; none if the frame is lost
Channel = Callable[[Link], Delays]


class Group:
    """Members on directed links, and where all mass is.

    Args:
        hearers: who hears whom, by sender.
        values: first values.
        channel: what becomes of a frame on a link.
    """

    def __init__(self, hearers: dict[int, tuple[int, ...]], values: dict[int, list[float]], channel: Channel) -> None:
        self.hearers = hearers
        self.channel = channel
        self.members = {k: RatioAverage(len(hearers[k]), v) for k, v in values.items()}
        self.total = np.array([*np.sum(list(values.values()), axis=0), len(values)])
        self.round = 0
        zeros = (0.0,) * len(self.total)
        self.sent: dict[int, tuple[float, ...]] = dict.fromkeys(hearers, zeros)
        self.arrived: dict[Link, tuple[int, tuple[float, ...]]] = defaultdict(lambda: (-1, zeros))
        self.under_way: dict[int, list[tuple[Link, int, tuple[float, ...]]]] = defaultdict(list)

    def step(self) -> None:
        for k, member in self.members.items():
            self.sent[k] = member.broadcast()
            for j in self.hearers[k]:
                for delay in self.channel((k, j)):
                    self.under_way[self.round + delay].append(((k, j), self.round, self.sent[k]))
        for link, sent_in, sums in self.under_way.pop(self.round, []):
            self.members[link[1]].receive(link[0], sums)
            self.arrived[link] = max(self.arrived[link], (sent_in, sums))
        self.round += 1

    def mass(self) -> FloatArray:
        """All that members hold and all that is under way."""
        held = np.sum([m.mass for m in self.members.values()], axis=0)
        links = [(k, j) for k, others in self.hearers.items() for j in others]
        return np.array(held) + sum(np.subtract(self.sent[link[0]], self.arrived[link][1]) for link in links)

    def error(self) -> float:
        """Largest distance of a member from the mean."""
        mean = self.total[:-1] / self.total[-1]
        return float(max(np.abs(np.array(m.mean) - mean).max() for m in self.members.values()))


def clean(_: Link) -> Delays:
    return [0]


def independent(loss: float, seed: int) -> Channel:
    random = np.random.default_rng(seed)
    return lambda _: [] if random.random() < loss else [0]


def bursty(seed: int) -> Channel:
    """Links that fail for five frames in the mean, a third of the time."""
    random = np.random.default_rng(seed)
    down: dict[Link, bool] = defaultdict(bool)

    def channel(link: Link) -> Delays:
        if random.random() < (0.2 if down[link] else 0.1):
            down[link] = not down[link]
        return [] if down[link] else [0]

    return channel


def unruly(seed: int) -> Channel:
    """Up to three copies of a frame, each up to five rounds late, so older ones arrive after newer ones."""
    random = np.random.default_rng(seed)
    return lambda _: random.integers(0, 6, random.integers(0, 4)).tolist()


def one_way(seed: int) -> Channel:
    """Links that lose 60 % upwards and nothing downwards."""
    random = np.random.default_rng(seed)
    return lambda link: [] if link[0] < link[1] and random.random() < 0.6 else [0]


CHANNELS: dict[str, Callable[[int], Channel]] = {
    "clean": lambda _: clean,
    "20 % loss": lambda seed: independent(0.2, seed),
    "bursts": bursty,
    "unruly": unruly,
    "one way": one_way,
}


@pytest.mark.parametrize("channel", CHANNELS)
@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
def test_mass_is_kept_and_all_end_at_the_mean(channel: str, n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = tuple(sorted(random.choice(np.arange(1, 65), n, replace=False).tolist()))
    neighbours = adjacency(ids, random_edges(ids, int(random.integers(0, n + 1)), random))
    values = {k: random.normal(0.0, 10.0, 2).tolist() for k in ids}
    group = Group(neighbours, values, CHANNELS[channel](seed))
    while group.round < 400 or (group.error() > 1e-9 and group.round < 20_000):
        group.step()
        if group.round <= 400:
            np.testing.assert_allclose(group.mass(), group.total, rtol=0, atol=1e-11)
    assert group.error() <= 1e-9
    np.testing.assert_allclose(group.mass(), group.total, rtol=0, atol=1e-10)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("n", [5, 16])
def test_named_topologies_under_loss(topology: str, n: int) -> None:
    ids = tuple(range(1, n + 1))
    values = {k: [float(k * k)] for k in ids}
    group = Group(adjacency(ids, build_edges(topology, ids)), values, independent(0.2, n))
    for _ in range(3000):
        group.step()
    assert group.error() < 1e-9


def test_links_in_one_direction_are_enough() -> None:
    group = Group(
        {k: ((k + 1) % 5, 0) for k in range(1, 4)} | {0: (1,), 4: (0,)}, {k: [float(k)] for k in range(5)}, clean
    )
    for _ in range(300):
        group.step()
        np.testing.assert_allclose(group.mass(), group.total, rtol=0, atol=1e-12)
    assert group.error() < 1e-12


def test_a_share_is_the_same_for_sender_and_hearers() -> None:
    sender, hearer = RatioAverage(2, [6.0]), RatioAverage(1, [0.0])
    sums = sender.broadcast()
    assert sums == (2.0, pytest.approx(1 / 3))
    assert sender.mass == (2.0, pytest.approx(1 / 3))
    hearer.receive(1, sums)
    assert hearer.mass == (2.0, pytest.approx(4 / 3))
    assert hearer.mean == pytest.approx((1.5,))


def test_a_frame_brings_what_those_lost_before_carried() -> None:
    sender, one, all_frames = RatioAverage(1, [8.0]), RatioAverage(1, [0.0]), RatioAverage(1, [0.0])
    for _ in range(3):
        sums = sender.broadcast()
        all_frames.receive(1, sums)
    one.receive(1, sums)
    assert one.mass == all_frames.mass == (7.0, 1.875)


def test_a_repeated_or_older_frame_brings_nothing() -> None:
    sender, hearer = RatioAverage(1, [-8.0]), RatioAverage(1, [0.0])
    older, newer = sender.broadcast(), sender.broadcast()
    hearer.receive(1, newer)
    mass = hearer.mass
    hearer.receive(1, newer)
    hearer.receive(1, older)
    assert hearer.mass == mass
    hearer.receive(1, sender.broadcast())
    assert hearer.mass == (-7.0, 1.875)


def test_senders_are_told_apart() -> None:
    one, two, hearer = RatioAverage(1, [4.0]), RatioAverage(1, [12.0]), RatioAverage(1, [0.0])
    hearer.receive(1, one.broadcast())
    hearer.receive(2, two.broadcast())
    assert hearer.mass == (8.0, 2.0)


def test_nobody_hears_a_member_alone() -> None:
    alone = RatioAverage(0, [3.0, -1.0])
    for _ in range(3):
        alone.broadcast()
    assert alone.mean == (3.0, -1.0)


def test_silence_uses_up_no_mass_for_good() -> None:
    """The first frame to arrive after 5000 lost ones brings all that they carried."""
    sender, hearer = RatioAverage(1, [10.0]), RatioAverage(1, [0.0])
    for _ in range(5000):
        sums = sender.broadcast()
    hearer.receive(1, sums)
    assert hearer.mass[0] + sender.mass[0] == 10.0
    assert hearer.mass[1] + sender.mass[1] == 2.0
    assert hearer.mean == pytest.approx((5.0,), rel=1e-2)


def test_a_hundred_thousand_rounds_cost_little_precision() -> None:
    group = Group({1: (2,), 2: (1, 3), 3: (2,)}, {1: [0.1], 2: [0.7], 3: [1.3]}, independent(0.2, 1))
    for _ in range(100_000):
        group.step()
    assert group.sent[1][1] > 10_000.0
    assert group.error() < 1e-11


@pytest.mark.parametrize("hearers", [1, 2, 3, 7])
def test_a_member_that_hears_nothing_keeps_its_mean(hearers: int) -> None:
    """Its mass would shrink to the last bit of its running sums, and its mean to noise or a division by zero."""
    ids = range(hearers + 1)
    group = Group({k: tuple(j for j in ids if j != k) for k in ids}, {k: [0.1 + 0.7 * k] for k in ids}, clean)
    for _ in range(500):
        group.step()
    group.channel = lambda link: [] if link[1] == 0 else [0]
    for _ in range(200):
        group.step()
        assert group.members[0].mass[1] > 0.0
        assert group.error() < 1e-9
    group.channel = clean
    for _ in range(50):
        group.step()
    assert group.error() < 1e-12
