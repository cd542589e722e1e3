"""Modules that send nonsense are excluded by all their neighbours, others never; and what undetected lies can do."""

from __future__ import annotations

import pytest

from v2g_nodes.core.graph import build_edges
from v2g_nodes.sim.churn import Churn
from v2g_nodes.sim.liars import LIES, Liar

RATING_KW = 3.3
LIAR = 3
BOX_KW = 0.75 * RATING_KW
#: until all neighbours have excluded a liar, without and with 20 % loss; an epoch counts as old after a second without
#: new ones, and begins to count again when the first neighbour drops the link
EXCLUDED_S = {
    "nan": (0.3, 1.5), "range": (0.3, 1.5), "repeated": (0.5, 1.5), "stuck": (0.5, 1.5), "no frames": (2.4, 3.0),
    "old epoch": (1.5, 5.0),
}  # fmt: skip
EPOCH_S = 1.0


def station(topology: str = "ring", loss: float = 0.0, seed: int = 1, n: int = 8) -> Churn:
    ids = range(1, n + 1)
    churn = Churn(build_edges(topology, ids), dict.fromkeys(ids, RATING_KW), seed, loss)
    churn.signal(8.0)
    churn.run_until_settled(3.0)
    churn.run(1.0)
    return churn


def excluders(churn: Churn) -> set[int]:
    return {k for k, optimizer in churn.optimizers.items() if LIAR in optimizer.faults}


def neighbours(churn: Churn) -> set[int]:
    return {a + b - LIAR for a, b in churn.edges if LIAR in (a, b)}


def play(churn: Churn, seconds: float) -> None:
    """Epochs with targets that move."""
    for step in range(round(seconds / EPOCH_S)):
        churn.signal(6.0 + 4.0 * (step % 2))
        churn.run(EPOCH_S)


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("topology", ["ring", "mesh"])
@pytest.mark.parametrize("lie", LIES)
def test_a_liar_is_excluded_by_all_its_neighbours_and_readmitted(lie: str, topology: str, loss: float) -> None:
    churn = station(topology, loss)
    churn.watch.liars.add(LIAR)
    churn.distort[LIAR] = Liar(lie).distort
    churn.run(0.1)
    began_s = churn.now_s
    for step in range(100):
        if excluders(churn) == neighbours(churn):
            break
        if step % 40 == 0:
            churn.signal(6.0 + step / 40)
        churn.run(0.05)
    assert excluders(churn) == neighbours(churn)
    took_s = churn.now_s - began_s
    assert took_s <= EXCLUDED_S[lie][loss > 0.0]
    churn.run(1.0)
    others = tuple(k for k in churn.ids if k != LIAR)
    assert all(churn.last[k][1].group.members == others for k in others)
    assert churn.watch.power.in_force_kw(LIAR) == 0.0
    del churn.distort[LIAR]
    churn.run(5.0)
    assert not excluders(churn)
    assert churn.last[LIAR][1].group.members == churn.ids
    assert churn.faults == []


@pytest.mark.parametrize("seed", range(2))
def test_the_honest_are_never_excluded_under_losses(seed: int) -> None:
    churn = station("mesh", 0.2, seed, 12)
    play(churn, 20.0)
    churn.kill(5)
    churn.stop(7)
    play(churn, 3.0)
    churn.start(5)
    churn.go_on(7)
    play(churn, 5.0)
    assert not any(optimizer.faults for optimizer in churn.optimizers.values())
    assert churn.faults == []


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 5.0])
@pytest.mark.parametrize("topology", ["ring", "mesh", "line"])
def test_a_lie_inside_the_running_sum_ends_at_the_boxes_and_soon(topology: str, factor: float) -> None:
    """Nobody can tell who lied; but neighbours whose sums differ contradict each other, and part."""
    churn = station(topology)
    churn.watch.liars.update(churn.ids)
    churn.distort[LIAR] = Liar("curve", factor).distort
    churn.signal(8.0)
    above_s = 0.0
    for _ in range(300):
        churn.run(0.01)
        powers = [churn.watch.power.in_force_kw(k) for k in churn.ids]
        assert all(abs(kw) <= BOX_KW for kw in powers)
        above_s += 0.01 * (sum(powers) > 8.0 + 1e-3 * 8 * RATING_KW)
    assert sum(powers) <= 8.0 + 1e-3 * 8 * RATING_KW
    assert above_s < 1.5
