"""Masks: they cancel to the last bit on every graph, and no label is given twice."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2g_nodes.core.averaging.ball_sum import BallSum, sum_plan
from v2g_nodes.core.averaging.wrapped_sum import WrappedSum, wrap
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.methods import METHODS, build_agent
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.errors import InputError, MaskError
from v2g_nodes.core.graph import build_edges
from v2g_nodes.core.privacy.masks import WORDS, ExchangeMasks, Labels, MaskOf
from v2g_nodes.core.types import Box, EpochId
from v2g_nodes.sim.network import LossyNetwork, play_epoch
from v2g_nodes.sim.sloping import SlopingSupply

TOPOLOGIES = ("ring", "line", "star", "bus", "mesh")


def balls(topology: str, values: dict[int, list[int]], kind: type[BallSum] = WrappedSum) -> dict[int, BallSum]:
    """Play one sum without losses."""
    members = tuple(sorted(values))
    plan = sum_plan(members, build_edges(topology, members))
    sums = {k: kind(plan, k, values[k]) for k in members}
    for _ in range(plan.rounds):
        sent = {k: one.ball for k, one in sums.items()}
        for k, one in sums.items():
            one.advance([sent[j] for j in plan.neighbours[k]])
    return sums


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 16, 33, 64])
def test_a_wrapped_sum_of_any_words_is_exact(topology: str, n: int) -> None:
    draw = random.Random(n)
    words = {k: [draw.randrange(-(2**40), 2**40) for _ in range(WORDS)] for k in range(1, n + 1)}
    for place in range(WORDS):  # the true total, and so its class, fits int16
        excess = sum(word[place] for word in words.values()) - draw.randrange(-(2**15), 2**15)
        words[n][place] -= excess
    total = tuple(map(sum, zip(*words.values(), strict=True)))
    for one in balls(topology, words).values():
        assert one.done
        assert one.total == total
        assert all(-(2**15) <= word < 2**15 for word in one.ball)


@given(st.integers(2, 20), st.integers(0, 2**32), st.sampled_from(TOPOLOGIES))
def test_words_that_need_no_wrapping_are_summed_as_by_a_plain_sum(n: int, seed: int, topology: str) -> None:
    draw = random.Random(seed)
    words = {k: [draw.randrange(-30000 // n, 30000 // n) for _ in range(3)] for k in range(1, n + 1)}
    plain, wrapped = balls(topology, words, BallSum), balls(topology, words)
    assert {one.total for one in wrapped.values()} == {one.total for one in plain.values()}


def secrets(members: tuple[int, ...], seed: int = 0) -> dict[int, dict[int, bytes]]:
    draw = random.Random(seed)
    shared = {pair: draw.randbytes(32) for pair in itertools.combinations(members, 2)}
    return {k: {j: shared[min(j, k), max(j, k)] for j in members if j != k} for k in members}


@pytest.mark.parametrize("n", [1, 2, 3, 8, 64])
def test_the_masks_of_a_group_add_up_to_zero(n: int) -> None:
    members = tuple(range(1, n + 1))
    masks = [ExchangeMasks(k, secret, b"label")(3, 2) for k, secret in secrets(members).items()]
    assert {word % 65536 for word in map(sum, zip(*masks, strict=True))} == {0}
    if n > 2:
        assert len({tuple(word % 65536 for word in mask) for mask in masks}) == n


def test_every_label_bracket_and_pass_has_other_masks() -> None:
    secret = secrets((1, 2))[1]
    found = {ExchangeMasks(1, secret, label)(bracket, iteration)
             for label in (b"a", b"b") for bracket in (0, 1, 255) for iteration in (1, 2)}  # fmt: skip
    assert len(found) == 12


# ---- labels

GROUP, OTHER = b"group", b"other"


def test_no_label_is_given_twice() -> None:
    labels = Labels()
    first = labels.take(GROUP, EpochId(7, 1, 1), 5.0)
    assert first is not None
    assert labels.take(GROUP, EpochId(7, 1, 1), 5.0) is None  # after a pause that nobody noticed
    assert labels.take(GROUP, EpochId(6, 1, 1), 5.0) is None  # a wrong clock was set right: perhaps used before
    assert labels.take(GROUP, EpochId(7, 1, 1), -6.0) is None
    smaller, newer = labels.take(GROUP, EpochId(7, 1, 1), -5.0), labels.take(GROUP, EpochId(7, 2, 1), -5.0)
    other = labels.take(OTHER, EpochId(7, 1, 1), 5.0)
    assert labels.take(GROUP, EpochId(7, 1, 1), 5.0) is None  # a name that has come back
    back = labels.take(GROUP, EpochId(8, 1, 1), 5.0)
    assert None not in {first, smaller, newer, other, back}
    assert len({first, smaller, newer, other, back}) == 5


ASKED = st.tuples(st.sampled_from([GROUP, OTHER, b"third"]), st.integers(0, 3), st.sampled_from([1.0, -1.0, 2.0]))


@given(st.lists(ASKED))
def test_labels_stay_unlike_whatever_is_asked(asked: list[tuple[bytes, int, float]]) -> None:
    labels = Labels()
    given_out = [label for group, k, kw in asked if (label := labels.take(group, EpochId(k, 1, 1), kw)) is not None]
    assert len(given_out) == len(set(given_out))


# ---- agents

RATING = 3.3


def station(
    topology: str, n: int, masked: bool, seed: int = 0, target_kw: float = 2.5, wrong: int = 0
) -> dict[int, SupplyCurveAgent]:
    """Agents of one cold epoch; `wrong` is a module whose masks do not fit those of the others."""
    members = tuple(range(1, n + 1))
    draw = random.Random(seed)
    group = Group(members, build_edges(topology, members), dict.fromkeys(members, RATING), 5)
    keys = secrets(members, seed)
    agents = {}
    for k in members:
        box = Box(-RATING * draw.random(), RATING * draw.random())
        supply = SlopingSupply(draw.uniform(1.0, 20.0), box, draw.uniform(-0.05, 0.05))
        problem = LocalProblem(k, box, supply, EpochId(9, 1, 1), target_kw, 1.0)
        masks: MaskOf | None = ExchangeMasks(k, keys[k], b"wrong" if k == wrong else b"label") if masked else None
        agent = build_agent("supply_curve", problem, group, None, 1, masks=masks)
        assert isinstance(agent, SupplyCurveAgent)
        agents[k] = agent
    return agents


def network(topology: str, n: int, loss: float, seed: int) -> LossyNetwork:
    ids = range(1, n + 1)
    neighbours = {k: tuple(sorted({*itertools.chain(*(e for e in build_edges(topology, ids) if k in e))} - {k}))
                  for k in ids}  # fmt: skip
    return LossyNetwork(neighbours, loss, seed=seed, duplicate=loss, delay_max=2 if loss else 0, shuffle=True)


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("n", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_agreements_with_masks_are_the_same_bits(topology: str, n: int, loss: float) -> None:
    for seed in range(3):
        plain, masked = station(topology, n, False, seed), station(topology, n, True, seed)
        rounds = [play_epoch(one, network(topology, n, loss, seed)) for one in (plain, masked)]
        assert rounds[0] == rounds[1]
        assert {k: agent.agreement for k, agent in masked.items()} == {k: one.agreement for k, one in plain.items()}
        assert {k: agent.trace_kw for k, agent in masked.items()} == {k: one.trace_kw for k, one in plain.items()}
        assert all(not agent.powers_of_neighbours_kw for agent in masked.values())


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_masks_that_do_not_cancel_are_noticed_by_all(topology: str) -> None:
    agents = station(topology, 8, True, wrong=3)
    carrier = network(topology, 8, 0.0, 0)
    with pytest.raises(RuntimeError, match="have not agreed"):
        play_epoch(agents, carrier, 200)
    assert {agent.failed for agent in agents.values()} == {
        "the sum of the masked curves falls with the price: the members' masks do not cancel"
    }


def test_a_sum_that_can_not_be_one_of_curves_is_refused() -> None:
    agent = station("line", 3, True)[1]
    agent._check((0, 1, 1, 5, 2, 6, 7, 8, 9, 9))  # numbers of three members fall by three units at the most
    with pytest.raises(MaskError, match="do not cancel"):
        agent._check((0, 1, 1, 5, 1, 6, 7, 8, 9, 9))
    station("line", 3, False)[1]._check((9, 0) * 5)  # nothing is said of plain sums


def test_random_words_hardly_ever_pass_for_a_sum() -> None:
    agent, draw, passed = station("line", 8, True)[1], np.random.default_rng(1), 0
    for words in draw.integers(-(2**15), 2**15, (20_000, WORDS)).tolist():
        try:
            agent._check(tuple(words))
        except MaskError:
            continue
        passed += 1
    assert passed == 0


@pytest.mark.parametrize("method", [name for name in METHODS if name != "supply_curve"])
def test_masks_are_refused_where_they_hide_nothing(method: str) -> None:
    box = Box(-1.0, 1.0)
    problem = LocalProblem(1, box, SlopingSupply(1.0, box), EpochId(1, 1, 1), 0.5, 1.0)
    group = Group((1, 2), ((1, 2),), {1: 1.0, 2: 1.0}, 1)
    with pytest.raises(InputError, match=f"masks with {method}, allowed with supply_curve"):
        build_agent(method, problem, group, None, 1, masks=lambda *_: (0,) * WORDS)


def test_wrapping() -> None:
    assert wrap([0, 32767, 32768, -32768, -32769, 65536 * 5 + 3]) == (0, 32767, -32768, -32768, 32767, 3)
