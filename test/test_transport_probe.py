"""The ring without ROS, and the numbers made from its samples."""

from __future__ import annotations

import random

import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes.transport_floor import measure_transport, share_out
from v2g_nodes.nodes.transport_probe import RESEND_NS, RingModule, percentile, ring_neighbors


def test_neighbors_on_a_ring() -> None:
    assert ring_neighbors(1, 8) == {8, 2}
    assert ring_neighbors(8, 8) == {7, 1}
    assert ring_neighbors(1, 2) == {2}


def test_a_round_needs_both_neighbors() -> None:
    module = RingModule(frozenset({2, 8}))
    module.begin(0, 10, now_ns=0)
    assert not module.receive(2, 0, now_ns=1)
    assert not module.receive(2, 0, now_ns=2)
    assert module.receive(8, 0, now_ns=3)
    assert (module.round, module.ended_ns) == (1, [3])


def test_a_frame_of_the_next_round_stands_for_this_one() -> None:
    module = RingModule(frozenset({2, 8}))
    module.begin(0, 10, now_ns=0)
    assert not module.receive(2, 1, now_ns=1)
    assert module.receive(8, 0, now_ns=2)
    assert module.receive(8, 1, now_ns=3)


def test_an_overtaken_frame_takes_nothing_back() -> None:
    module = RingModule(frozenset({2, 8}))
    module.begin(0, 10, now_ns=0)
    module.receive(2, 1, now_ns=1)
    module.receive(2, 0, now_ns=2)
    assert [module.receive(8, k, now_ns=3 + k) for k in range(2)] == [True, True]


def test_it_stops_at_the_limit_and_begins_anew() -> None:
    module = RingModule(frozenset({2}))
    module.begin(0, 2, now_ns=0)
    assert [module.receive(2, k, now_ns=k) for k in range(4)] == [True, True, False, False]
    assert not module.busy
    module.begin(100, 1, now_ns=9)
    assert module.busy
    assert not module.receive(2, 99, now_ns=10)
    assert module.receive(2, 100, now_ns=11)
    assert (module.began_ns, module.ended_ns) == (9, [11])


def test_a_quiet_ring_sends_again() -> None:
    module = RingModule(frozenset({2}))
    module.begin(0, 2, now_ns=0)
    module.sent_ns = 1000
    assert not module.overdue(1000 + RESEND_NS - 1)
    assert module.overdue(1000 + RESEND_NS)


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_lossy_ring_finishes(loss: float) -> None:
    rng = random.Random(3)
    modules = {k: RingModule(ring_neighbors(k, 5)) for k in range(1, 6)}
    for module in modules.values():
        module.begin(0, 1_000_000, now_ns=0)
    for now_ns in range(400):  # all send at once, again and again
        frames = {k: module.round for k, module in modules.items()}
        for module in modules.values():
            for neighbor in sorted(module.neighbors):
                if rng.random() >= loss:
                    module.receive(neighbor, frames[neighbor], now_ns)
    rounds = [module.round for module in modules.values()]
    assert max(rounds) - min(rounds) <= 2
    assert min(rounds) == 400 if loss == 0 else min(rounds) > 100


def test_percentile() -> None:
    values = [float(v) for v in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1.0)) == (50.0, 99.0, 100.0)
    assert percentile([7.0], 0.5) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize(("modules", "processes"), [(8, 8), (8, 3), (16, 5), (64, 32), (2, 1)])
def test_every_module_has_one_process(modules: int, processes: int) -> None:
    shares = share_out(modules, processes)
    assert [k for share in shares for k in share] == list(range(1, modules + 1))
    assert len(shares) == processes
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("modules", "processes", "seconds", "message"),
    [
        (0, 1, 1.0, r"modules: found 0, allowed 2\.\.64"),
        (65, 8, 1.0, r"modules: found 65, allowed 2\.\.64"),
        (8, 0, 1.0, r"processes: found 0, allowed 1\.\.8 with 8 modules"),
        (8, 9, 1.0, r"processes: found 9, allowed 1\.\.8 with 8 modules"),
        (64, 33, 1.0, r"processes: found 33, allowed 1\.\.32 with 64 modules"),
        (8, 8, 0.0, r"seconds: found 0, allowed 0\.5\.\.600"),
    ],
)
def test_numbers_out_of_range_start_nothing(modules: int, processes: int, seconds: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_transport(modules, processes, seconds)
