"""Averages and largest values as rounds of frames."""

from __future__ import annotations

import math
import struct
from collections.abc import Generator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from v2g_nodes.cli.dispatch_trial import Instance, build_agents, random_instance
from v2g_nodes.core.averaging.plans import AVERAGINGS, averaging_plan
from v2g_nodes.core.dispatch.collective import (
    LARGEST_VALUE,
    Collective,
    Means,
    pack,
    plausible,
    saturate_float32,
    unpack,
)
from v2g_nodes.core.dispatch.lockstep import LockstepAgent, Words
from v2g_nodes.core.dispatch.methods import METHODS, averagings
from v2g_nodes.core.exchange import Exchange, exchange_tag
from v2g_nodes.core.graph import TOPOLOGIES, adjacency, build_edges, diameter
from v2g_nodes.core.types import Frame
from v2g_nodes.sim.network import LossyNetwork

SEEDED = settings(deadline=None, derandomize=True, max_examples=200)
ON_COLLECTIVE = [(m, a) for m in METHODS if m != "supply_curve" for a in averagings(m)]
INT16 = range(-32768, 32768)

numbers = st.floats(allow_nan=False, allow_infinity=False)
small = st.floats(0.0, 2.0**127, width=32)
words = st.tuples(*[st.integers(-32768, 32767)] * 10)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


# ---- the words


@SEEDED
@given(first=numbers, second=numbers, largest=small)
@example(first=4.625, second=-0.0, largest=0.0)  # words of -32768
def test_numbers_cross_in_ten_words_bit_by_bit(first: float, second: float, largest: float) -> None:
    packed = pack(first, second, largest)
    assert len(packed) == 10
    assert all(isinstance(word, int) and word in INT16 for word in packed)
    assert list(map(bits, unpack(packed))) == list(map(bits, (first, second, largest)))


@SEEDED
@given(packed=words)
@example(packed=(-32768,) * 10)
@example(packed=(0, 0, -32768, 16402, 0, 0, 0, -32768, -32768, 0))
def test_a_frame_carries_every_word(packed: Words) -> None:
    """A word that were changed on the way would make the members' numbers differ."""
    sender = Exchange(1, (2,), 1, 1)
    assert sender.post(packed, 0, 0).values == packed
    assert sender.post((0,) * 10, 0, 1).values_previous == packed


@SEEDED
@given(whole=st.integers(-(2**53) + 1, 2**53 - 1))
def test_integers_of_fixed_point_averages_cross_exactly(whole: int) -> None:
    assert int(unpack(pack(whole, -whole, 0.0))[0]) == whole
    assert int(unpack(pack(whole, -whole, 0.0))[1]) == -whole


def test_sums_of_the_largest_group_at_the_limit_cross_exactly() -> None:
    assert 64 * LARGEST_VALUE * 2**32 < 2**53


def test_the_order_of_the_words_is_little_endian() -> None:
    assert pack(1.0, 0.0, 1.0) == (0, 0, 0, 0x3FF0, 0, 0, 0, 0, 0, 0x3F80)
    assert pack(0.0, -2.0, 0.0) == (0, 0, 0, 0, 0, 0, 0, 0xC000 - 0x10000, 0, 0)


@SEEDED
@given(value=st.floats(allow_nan=False))
def test_the_nearest_number_of_32_bits(value: float) -> None:
    found = saturate_float32(value)
    assert math.isfinite(found)
    assert saturate_float32(found) == found
    assert found == float(np.float32(min(max(value, -3e38), 3e38)))


def test_every_infinite_number_becomes_a_large_one() -> None:
    assert 2.9e38 < saturate_float32(math.inf) < 3.1e38
    assert saturate_float32(-math.inf) == -saturate_float32(math.inf)
    assert plausible(pack(0.0, 0.0, saturate_float32(math.inf)))


# ---- what is believed


@pytest.mark.parametrize(
    "packed",
    [
        pack(math.nan, 0.0, 0.0),
        pack(0.0, math.nan, 0.0),
        pack(0.0, 0.0, math.nan),
        pack(math.inf, 0.0, 0.0),
        pack(0.0, -math.inf, 0.0),
        pack(0.0, 0.0, math.inf),
        pack(2.0**53, 0.0, 0.0),
        pack(0.0, -(2.0**53), 0.0),
        pack(1e300, 0.0, 0.0),
        pack(0.0, 0.0, -1e-30),
        pack(0.0, 0.0, -1.0),
        pack(0.0, 0.0, 3.3e38),
        (-1,) * 10,
    ],
)
def test_numbers_that_no_neighbour_sends_are_not_believed(packed: Words) -> None:
    assert not plausible(packed)


@pytest.mark.parametrize(
    "packed",
    [pack(0.0, 0.0, 0.0), pack(2.0**53 - 1, 1 - 2.0**53, 3e38), pack(-1e-300, 2.5, 1.0), (0,) * 10],
)
def test_numbers_that_a_neighbour_may_send_are_believed(packed: Words) -> None:
    assert plausible(packed)


@SEEDED
@given(packed=words)
def test_no_random_words_raise(packed: Words) -> None:
    first, second, largest = unpack(packed)
    finite = all(map(math.isfinite, (first, second, largest)))
    assert plausible(packed) == (
        finite and max(abs(first), abs(second)) < 2.0**53 and 0.0 <= largest <= 3.1e38
    )


# ---- averages and largest values

Talk = Generator[tuple[Words, int], list[Words], Means]


def talk(
    name: str, topology: str, values: Sequence[tuple[float, float]], largest: Sequence[float]
) -> tuple[list[Means], int, list[Words]]:
    """All members' results of one call, its rounds and all words sent."""
    ids = tuple(range(1, len(values) + 1))
    edges = build_edges(topology, ids)
    plan = averaging_plan(name, ids, edges)
    neighbours = adjacency(ids, edges)  # listens to all, though the plan may use fewer
    talks: dict[int, Talk] = {
        k: Collective(plan, k, neighbours[k]).means(values[k - 1], largest[k - 1]) for k in ids
    }
    results: dict[int, Means] = {}
    sent: list[Words] = []
    rounds = 0
    said: dict[int, Words] = {}
    for k, one in talks.items():
        speak(k, one, None, said, results)
    while said:
        rounds += 1
        sent += said.values()
        heard, said = said, {}
        for k, one in talks.items():
            speak(k, one, [heard[j] for j in neighbours[k]], said, results)
    return [results[k] for k in ids], rounds, sent


def speak(
    member: int, one: Talk, heard: list[Words] | None, said: dict[int, Words], results: dict[int, Means]
) -> None:
    """Hand over what was heard, nothing at the start; note what is said next, or the result."""
    try:
        said[member], exponent = next(one) if heard is None else one.send(heard)
        assert exponent == 0
    except StopIteration as end:
        results[member] = end.value


@pytest.mark.parametrize("n", [1, 2, 3, 6, 16])
@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("name", AVERAGINGS)
def test_one_average_tells_the_means_and_the_largest_to_all(name: str, topology: str, n: int) -> None:
    random = np.random.default_rng(n)
    values = [(float(a), float(b)) for a, b in random.normal(0.0, 30.0, (n, 2))]
    for holder in {0, n // 2, n - 1}:
        largest = [saturate_float32(x) for x in random.random(n)]
        largest[holder] = saturate_float32(1.5 + holder)
        results, rounds, sent = talk(name, topology, values, largest)
        assert {found for _, found in results} == {largest[holder]}
        for means, _ in results:
            np.testing.assert_allclose(means, np.mean(values, axis=0), atol=1e-3)
        if name in ("exact", "tree"):
            assert len({means for means, _ in results}) == 1
            np.testing.assert_allclose(results[0][0], np.mean(values, axis=0), atol=1e-9)
        assert all(plausible(one) and all(word in INT16 for word in one) for one in sent)
        ids = range(1, n + 1)
        assert rounds >= diameter(adjacency(ids, build_edges(topology, ids)))
        assert len(sent) == rounds * n


@pytest.mark.parametrize("name", AVERAGINGS)
def test_values_are_limited_and_whatever_is_sent_can_be_believed(name: str) -> None:
    values = [(1e9, -math.inf), (math.inf, 0.0), (0.0, 5.0)]
    results, _, sent = talk(name, "ring", values, [1e60, math.inf, 0.0])
    for means, found in results:
        np.testing.assert_allclose(means, (2 * LARGEST_VALUE / 3, (5.0 - LARGEST_VALUE) / 3), rtol=1e-5)
        assert found == saturate_float32(math.inf)
    assert all(map(plausible, sent))


def test_a_largest_value_of_64_bits_is_rounded_before_anyone_decides_on_it() -> None:
    results, _, _ = talk("exact", "ring", [(0.0, 0.0)] * 4, [1.0 + 1e-9, 0.0, 0.0, 0.0])
    assert {found for _, found in results} == {1.0}


def test_a_plan_of_too_few_rounds_is_refused() -> None:
    ids = tuple(range(1, 11))
    plan = averaging_plan("metropolis", ids, build_edges("ring", ids), 0.5)

    class Hasty:
        neighbours = plan.neighbours
        fixed_point = False
        rounds = 4
        start = staticmethod(plan.start)

    with pytest.raises(ValueError, match="plan has 4 rounds, allowed from the diameter"):
        Collective(Hasty(), 1, plan.neighbours[1])
    assert Collective(plan, 1, plan.neighbours[1]).rounds == plan.rounds >= 5


# ---- garbage

IMPLAUSIBLE = [
    pack(math.nan, 1.0, 0.5), pack(1.0, math.inf, 0.5), pack(1.0, 1.0, -3.0), pack(-1e17, 1.0, 0.5),
    pack(1.0, 1.0, math.nan), (-1,) * 10, (32767,) * 10,
]  # fmt: skip


def play_with(
    instance: Instance, agents: Mapping[int, LockstepAgent], spoil: Sequence[Words], seed: int, rounds_max: int
) -> list[Frame]:
    """Before each step every member hears a frame in a neighbour's name with one of these words; frames sent."""
    random = np.random.default_rng(seed)
    neighbours = adjacency(instance.group.members, instance.group.edges)
    network = LossyNetwork(neighbours)
    inbox: dict[int, list[Frame]] = {k: [] for k in agents}
    sent: list[Frame] = []
    for now_ns in range(rounds_max):
        if all(agent.agreement for agent in agents.values()):
            break
        said = {}
        for k, agent in agents.items():
            false = []
            if neighbours[k]:
                now = max(agent._exchange.round, 0)
                packed = spoil[int(random.integers(len(spoil)))]
                before = spoil[int(random.integers(len(spoil)))]
                false = [
                    Frame(int(random.choice(neighbours[k])), exchange_tag(instance.epoch, instance.group.fingerprint),
                          now + int(random.integers(0, 3)), 0, 0, packed, 0, before)
                ]  # fmt: skip
            said[k] = agent.step([*false, *inbox[k], *false], now_ns)
            sent += said[k]
        inbox = network.deliver(said)
    return sent


@pytest.mark.parametrize(("method", "averaging"), ON_COLLECTIVE)
@pytest.mark.parametrize("seed", [0, 1])
def test_implausible_frames_change_nothing(method: str, averaging: str, seed: int) -> None:
    instance = random_instance("ring", 4, 51, seed)
    calm, spoiled = build_agents(instance, method, averaging), build_agents(instance, method, averaging)
    play_with(instance, calm, [(0,) * 10], seed, 0)
    network = LossyNetwork(adjacency(instance.group.members, instance.group.edges))
    inbox: dict[int, list[Frame]] = {}
    while not all(agent.agreement for agent in calm.values()):
        inbox = network.deliver({k: agent.step(inbox.get(k, []), 0) for k, agent in calm.items()})
    sent = play_with(instance, spoiled, IMPLAUSIBLE, seed, 50_000)
    assert [agent.agreement for agent in spoiled.values()] == [agent.agreement for agent in calm.values()]
    assert all(plausible(frame.values) for frame in sent)


@pytest.mark.parametrize(("method", "averaging"), ON_COLLECTIVE)
@pytest.mark.parametrize("one_bad", [True, False])
def test_an_implausible_half_spoils_the_frame(method: str, averaging: str, one_bad: bool) -> None:
    instance = random_instance("line", 2, 52, 0)
    agents = build_agents(instance, method, averaging)
    agents[1].step([], 0)
    true = agents[2].step([], 0)[0]
    bad = pack(1.0, math.nan, 0.5)
    spoiled = true._replace(values=bad) if one_bad else true._replace(values_previous=bad)
    assert agents[1].step([spoiled], 0) == []
    assert agents[1].agreement is None
    following = agents[1].step([true], 0)
    assert agents[1].agreement or following[0].round == 1


@pytest.mark.parametrize(("method", "averaging"), ON_COLLECTIVE)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(spoil=st.lists(words, min_size=1, max_size=20), seed=st.integers(0, 2**32 - 1))
def test_garbage_makes_no_member_leave_its_box_or_send_what_is_no_number(
    method: str, averaging: str, spoil: list[Words], seed: int
) -> None:
    """Half of all random words are numbers that a neighbour may send: the agreement is lost, the member is not."""
    instance = random_instance("star", 4, 53, seed % 7)
    agents = build_agents(instance, method, averaging)
    sent = play_with(instance, agents, spoil, seed, 400)
    for frame in sent:
        assert len(frame.values) == 10
        assert all(word in INT16 for word in frame.values)
        assert all(map(math.isfinite, unpack(frame.values)))
    for agent, box in zip(agents.values(), instance.boxes, strict=True):
        assert all(box.low_kw <= kw <= box.high_kw for kw in agent.trace_kw)
        if agent.agreement:
            assert box.low_kw <= agent.agreement.power_kw <= box.high_kw
            assert math.isfinite(agent.agreement.lambda_eur_per_kwh)


@pytest.mark.parametrize("method", ["newton", "admm", "primal_dual", "price_tracking"])
def test_one_false_number_spoils_one_result_and_no_box(method: str) -> None:
    """Numbers of the right size but wrong: the group ends, inside its boxes, though not at the target."""
    instance = random_instance("ring", 5, 54, 0)
    agents = build_agents(instance, method, "exact")
    spoil = [pack(x * 2.0**32, y * 2.0**32, z) for x, y, z in ((50.0, -3.0, 0.0), (-900.0, 1e4, 0.3), (1.0, 0.1, 0.0))]
    play_with(instance, agents, spoil, 1, 3000)
    for agent, box in zip(agents.values(), instance.boxes, strict=True):
        assert all(box.low_kw <= kw <= box.high_kw for kw in agent.trace_kw)
        if agent.agreement:
            assert box.low_kw <= agent.agreement.power_kw <= box.high_kw
