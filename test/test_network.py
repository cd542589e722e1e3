"""The network that loses, delays, repeats and reorders frames, and rounds played on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pytest

from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.core.types import Agreement, Box, EpochId, FloatArray, Frame
from v2g_nodes.sim.network import LossyNetwork, play_epoch

ROUNDS = 20_000


def network(topology: str = "ring", n: int = 6, **options: float) -> LossyNetwork:
    ids = range(1, n + 1)
    return LossyNetwork(adjacency(ids, build_edges(topology, ids)), **options)  # type: ignore[arg-type]


def received(lossy: LossyNetwork, rounds: int, senders: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> np.ndarray:
    """Whether each link delivered, shape (rounds, links); links ordered by sender and hearer."""
    rows = []
    for _ in range(rounds):
        inbox = lossy.deliver({k: [k] for k in senders})
        rows.append([k in inbox[j] for k, j in lossy._links if k in senders])
    return np.array(rows)


def runs_of_losses(arrived: np.ndarray) -> list[int]:
    lengths: list[int] = []
    for column in arrived.T:
        edges = np.flatnonzero(np.diff(np.concatenate([[1], column.astype(int), [1]])))
        lengths += (edges[1::2] - edges[::2]).tolist()
    return lengths


def test_without_losses_everything_arrives_at_the_neighbours() -> None:
    inbox = network("line", 4).deliver({1: ["a"], 2: ["b", "c"], 4: []})
    assert inbox == {1: ["b", "c"], 2: ["a"], 3: ["b", "c"], 4: []}


@pytest.mark.parametrize("loss", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("burst", [1.0, 4.0])
@pytest.mark.parametrize("per_frame", [False, True])
def test_share_of_losses_and_length_of_bursts(loss: float, burst: float, per_frame: bool) -> None:
    arrived = received(network(loss=loss, burst=burst, per_frame=per_frame, seed=4), ROUNDS // 4)
    # 12 links (6 broadcasts on the bus) over 5000 rounds; a burst makes draws that hang together
    assert 1.0 - arrived.mean() == pytest.approx(loss, abs=0.02 * burst**0.5)
    mean_run = np.mean(runs_of_losses(arrived))
    assert mean_run == pytest.approx(1.0 / (1.0 - loss) if burst == 1.0 else burst, rel=0.08)


def test_links_lose_independently_but_a_bus_loses_for_all() -> None:
    arrived = received(network("bus", loss=0.3, seed=1), 4000)
    assert abs(np.corrcoef(arrived[:, 0], arrived[:, 1])[0, 1]) < 0.06
    arrived = received(network("bus", loss=0.3, per_frame=True, seed=1), 2000)
    by_sender = arrived.reshape(2000, 6, 5)
    assert (by_sender == by_sender[:, :, :1]).all()
    assert abs(np.corrcoef(by_sender[:, 0, 0], by_sender[:, 1, 0])[0, 1]) < 0.08


def test_the_two_directions_of_a_link_lose_independently() -> None:
    arrived = received(network("line", 2, loss=0.3, seed=2), 4000, senders=(1, 2))
    assert abs(np.corrcoef(arrived[:, 0], arrived[:, 1])[0, 1]) < 0.06


@pytest.mark.parametrize("burst", [1.0, 5.0])
def test_the_seed_names_the_losses(burst: float) -> None:
    first, again, other = (received(network(loss=0.2, burst=burst, seed=s), 200) for s in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


def test_the_first_round_loses_as_much_as_any() -> None:
    lost = [1.0 - received(network(loss=0.4, burst=20.0, seed=s), 1).mean() for s in range(300)]
    assert np.mean(lost) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("loss", "burst", "text"),
    [
        (1.0, 1.0, "loss is 1, allowed 0 up to below 1"),
        (-0.1, 1.0, "loss is -0.1, allowed"),
        (float("nan"), 1.0, "loss is nan, allowed"),
        (0.2, 0.5, "burst is 0.5, allowed from 1"),
        (0.9, 2.0, r"burst is 2, allowed 1 or from 9 \(losses of 0.9 can't come in shorter bursts\)"),
    ],
)
def test_losses_that_can_not_be(loss: float, burst: float, text: str) -> None:
    with pytest.raises(InputError, match=text):
        network(loss=loss, burst=burst)


# ---- delay, duplicates, order

Log = dict[tuple[int, int, int], list[int]]  # sender, hearer, round of sending -> lag of each arrival [rounds]


def lags(lossy: LossyNetwork, rounds: int, drain: int = 10) -> Log:
    log: Log = {(a, b, sent): [] for a, b in lossy._links for sent in range(rounds)}
    for now in range(rounds + drain):
        broadcasts = {k: [(k, now)] for k in lossy._modules} if now < rounds else {}
        for hearer, messages in lossy.deliver(broadcasts).items():
            for sender, sent in messages:
                log[sender, hearer, sent].append(now - sent)
    return log


def bits(log: Log, test: Callable[[list[int]], bool]) -> np.ndarray:
    return np.array([test(found) for found in log.values()])


def test_delays_are_evenly_spread_from_0_to_the_most() -> None:
    log = lags(network(delay_max=3, seed=1), 1000)  # 12 000 frames
    assert all(len(found) == 1 for found in log.values())
    counts = Counter(found[0] for found in log.values())
    assert sorted(counts) == [0, 1, 2, 3]
    assert all(count == pytest.approx(3000, abs=200) for count in counts.values())  # 4 standard deviations


def test_delayed_frames_overtake_each_other() -> None:
    log = lags(network("line", 2, delay_max=1, seed=1), 2000)
    arrival = np.array([sent + log[1, 2, sent][0] for sent in range(2000)])
    # frame k + 1 can't come earlier than frame k by this much; it comes in the same round if late, then in time
    assert np.mean(np.diff(arrival) == 0) == pytest.approx(0.25, abs=0.04)
    arrival = np.array([found[0] + sent for (_, _, sent), found in lags(network("line", 2, delay_max=3), 2000).items()])
    overtaken = np.diff(arrival.reshape(2, 2000)) < 0  # lags 3 then 0 or 1, 2 then 0
    assert overtaken.mean() == pytest.approx(3 / 16, abs=0.03)


def test_the_directions_and_links_are_late_independently() -> None:
    log = lags(network("line", 3, delay_max=1, seed=3), 3000)
    late = bits(log, lambda found: found[0] == 1).reshape(4, 3000)
    assert np.abs(np.corrcoef(late) - np.eye(4)).max() < 0.08


@pytest.mark.parametrize("delay_max", [0, 2])
def test_copies_arrive_on_top(delay_max: int) -> None:
    log = lags(network(duplicate=0.3, delay_max=delay_max, seed=2), 1000)
    assert {len(found) for found in log.values()} == {1, 2}
    assert bits(log, lambda found: len(found) == 2).mean() == pytest.approx(0.3, abs=0.02)
    once = lags(network(delay_max=delay_max, seed=2), 1000)
    copies = Counter()
    for name, found in log.items():
        found.remove(once[name][0])  # the frame itself is as late as without copies
        copies.update(found)
    assert sorted(copies) == list(range(delay_max + 2))
    total = sum(copies.values())
    assert all(n == pytest.approx(total / (delay_max + 2), rel=0.12) for n in copies.values())


def test_every_frame_can_arrive_twice() -> None:
    assert bits(lags(network(duplicate=1.0), 50), lambda found: len(found) == 2).all()


def test_shuffling_changes_the_order_only_and_every_order_is_as_likely() -> None:
    orders = Counter()
    lossy = network("star", 4, shuffle=True, seed=6)
    for _ in range(6000):
        inbox = lossy.deliver({1: ["x"], 2: ["a"], 3: ["b"], 4: ["c"]})
        assert [inbox[k] for k in (2, 3, 4)] == [["x"]] * 3
        orders["".join(inbox[1])] += 1
    assert sorted(orders) == ["abc", "acb", "bac", "bca", "cab", "cba"]
    assert all(n == pytest.approx(1000, abs=120) for n in orders.values())  # 4 standard deviations


def test_one_senders_messages_of_a_round_are_shuffled_but_share_their_fate() -> None:
    lossy = network("line", 2, loss=0.5, delay_max=1, shuffle=True, seed=6)
    found = {tuple(lossy.deliver({1: [(r, 0), (r, 1)]})[2]) for r in range(200)}
    assert all(sum(sent == r for sent, _ in inbox) in (0, 2) for inbox in found for r in range(200))
    assert {1, -1} <= {b - a for inbox in found if len(inbox) == 2 for (_, a), (_, b) in [inbox]}


# ---- each kind of fault draws for itself

OPTIONS = [{"delay_max": 4}, {"duplicate": 0.4}, {"shuffle": True}, {"delay_max": 2, "duplicate": 0.2, "shuffle": True}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("burst", [1.0, 4.0])
@pytest.mark.parametrize(("topology", "per_frame"), [("mesh", False), ("bus", True)])
def test_losses_are_the_same_with_and_without_the_rest(
    options: dict[str, float], burst: float, topology: str, per_frame: bool
) -> None:
    calm, wild = (
        lags(network(topology, loss=0.3, burst=burst, per_frame=per_frame, seed=5, **more), 200)
        for more in ({}, options)
    )
    assert (bits(calm, bool) == bits(wild, bool)).all()
    assert 0.5 < bits(calm, bool).mean() < 0.9


@pytest.mark.parametrize("more", [{"loss": 0.3}, {"loss": 0.3, "burst": 3.0}, {"shuffle": True}])
def test_delays_and_copies_are_the_same_with_losses_and_without(more: dict[str, float]) -> None:
    calm, wild = (lags(network(delay_max=2, duplicate=0.3, seed=5, **options), 200) for options in ({}, more))
    assert all(sorted(found) == sorted(calm[name]) for name, found in wild.items() if found)


def test_copies_are_of_the_same_frames_with_delays_and_without() -> None:
    twice = [bits(lags(network(duplicate=0.3, delay_max=d, seed=5), 200), lambda f: len(f) == 2) for d in (0, 1, 4)]
    assert (twice[0] == twice[1]).all()
    assert (twice[0] == twice[2]).all()


def test_kinds_of_faults_do_not_hang_together() -> None:
    def rounds(test: Callable[[list[int]], bool], **options: float) -> np.ndarray:
        return bits(lags(network("bus", 16, seed=5, **options), 30), test).reshape(240, 30).T

    kinds = (
        rounds(lambda found: not found, loss=0.5),
        rounds(lambda found: found[0] == 1, delay_max=1),
        rounds(lambda found: len(found) == 2, duplicate=0.5),
    )
    # each round of one kind with each of the others, in case one stream lags behind another
    matrix = np.abs(np.corrcoef(np.vstack(kinds)) - np.eye(90))
    assert matrix.max() < 0.35  # over 240 links; about 5 standard deviations


def test_a_bus_loses_a_delayed_frame_for_all_and_delays_it_for_each() -> None:
    lossy = network("bus", loss=0.3, per_frame=True, delay_max=1, duplicate=0.2, seed=5)
    log = lags(lossy, 300)
    heard = np.array([[[bool(log[a, b, r]) for b in range(1, 7) if a != b] for a in range(1, 7)] for r in range(300)])
    assert (heard == heard[:, :, :1]).all()
    assert heard.mean() == pytest.approx(0.7, abs=0.05)
    assert any({min(log[1, b, r]) for b in range(2, 7) if log[1, b, r]} == {0, 1} for r in range(300))


@pytest.mark.parametrize("options", [{"loss": 0.2}, *OPTIONS, {"loss": 0.2, "burst": 3.0, **OPTIONS[-1]}])
def test_the_seed_names_everything(options: dict[str, float]) -> None:
    def run(seed: int) -> list[dict[int, list[object]]]:
        lossy = network("mesh", 9, seed=seed, **options)
        return [lossy.deliver({k: [(k, now)] for k in range(1, 10)}) for now in range(100)]

    assert run(7) == run(7)
    assert run(7) != run(8)


# ---- cut links, dead modules


def heard(lossy: LossyNetwork) -> dict[int, list[int]]:
    return lossy.deliver({k: [k] for k in lossy._modules})


def test_a_cut_link_carries_nothing_until_it_is_healed() -> None:
    lossy = network("line", 3)
    lossy.cut(2, 1)
    assert heard(lossy) == {1: [], 2: [3], 3: [2]}
    lossy.heal(1, 2)
    assert heard(lossy) == {1: [2], 2: [1, 3], 3: [2]}


def test_a_link_can_be_cut_and_healed_one_way() -> None:
    lossy = network("line", 3)
    lossy.cut(1, 2, one_way=True)
    assert heard(lossy) == {1: [2], 2: [3], 3: [2]}
    lossy.cut(1, 2)
    lossy.heal(1, 2, one_way=True)
    assert heard(lossy) == {1: [], 2: [1, 3], 3: [2]}


def test_cuts_add_up() -> None:
    lossy = network("line", 3)
    lossy.cut(1, 2)
    lossy.cut(2, 3)
    assert heard(lossy) == {1: [], 2: [], 3: []}
    lossy.heal(2, 3)
    assert heard(lossy) == {1: [], 2: [3], 3: [2]}


def test_a_cut_leaves_the_other_links_losses_alone() -> None:
    whole, cut = (network(loss=0.3, burst=2.0, seed=3) for _ in range(2))
    cut.cut(1, 2)
    pairs = [link not in ((1, 2), (2, 1)) for link in whole._links]
    whole_rows, cut_rows = received(whole, 300), received(cut, 300)
    assert (whole_rows[:, pairs] == cut_rows[:, pairs]).all()
    assert not cut_rows[:, np.invert(pairs)].any()


def test_what_is_under_way_passes_a_link_that_is_cut_behind_it() -> None:
    lossy = network("line", 2, delay_max=5, seed=1)
    found = [lossy.deliver({1: ["before"]})]
    lossy.cut(1, 2)
    found += [lossy.deliver({1: ["after"]}) for _ in range(10)]
    assert [m for inbox in found[1:] for m in inbox[2]] == ["before"]
    assert not found[0][2]


def test_the_dead_neither_send_nor_hear_and_return() -> None:
    lossy = network("line", 3)
    lossy.kill(2)
    assert not lossy.lives(2)
    assert heard(lossy) == {1: [], 3: []}
    lossy.birth(2)
    assert lossy.lives(2)
    assert heard(lossy) == {1: [2], 2: [1, 3], 3: [2]}


def test_last_frames_arrive_after_a_death_and_find_the_dead_deaf() -> None:
    lossy = network("line", 2, delay_max=5, seed=1)
    found = [lossy.deliver({1: ["from 1"], 2: ["from 2"]})]  # seed 1: neither arrives at once
    lossy.kill(1)
    found += [lossy.deliver({1: ["a ghost"]}) for _ in range(10)]
    assert [m for inbox in found for m in inbox[2]] == ["from 1"]
    assert not found[0][2]
    lossy.birth(1)
    assert all(lossy.deliver({}) == {1: [], 2: []} for _ in range(10))


def test_who_returns_hears_frames_that_are_still_under_way() -> None:
    lossy = network("line", 2, delay_max=5, seed=1)
    lossy.kill(1)
    assert lossy.deliver({2: ["from 2"]}) == {2: []}
    lossy.birth(1)
    assert [m for _ in range(10) for m in lossy.deliver({})[1]] == ["from 2"]


@pytest.mark.parametrize(
    ("misuse", "text"),
    [
        (lambda lossy: lossy.cut(1, 3), r"link from 1 to 3, allowed from 1 to \[2\]"),
        (lambda lossy: lossy.heal(7, 1), r"link from 7 to 1, allowed from 7 to \[\]"),
        (lambda lossy: lossy.kill(4), r"module 4, allowed \[1, 2, 3\]"),
        (lambda lossy: lossy.birth(0), r"module 0, allowed \[1, 2, 3\]"),
        (lambda lossy: lossy.birth(1), r"module 1 is alive, allowed are dead ones: \[\]"),
        (lambda lossy: (lossy.kill(1), lossy.kill(1)), "module 1 is dead, allowed are living ones"),
        (lambda lossy: lossy.deliver({2: [], 5: [], 4: []}), r"broadcasts of modules \[4, 5\], allowed \[1, 2, 3\]"),
    ],
)
def test_what_the_graph_does_not_have(misuse: Callable[[LossyNetwork], object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        misuse(network("line", 3))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"delay_max": -1}, "delay_max is -1, allowed whole rounds from 0"),
        ({"delay_max": 1.5}, "delay_max is 1.5, allowed whole rounds from 0"),
        ({"delay_max": float("inf")}, "delay_max is inf, allowed"),
        ({"delay_max": float("nan")}, "delay_max is nan, allowed"),
        ({"duplicate": -0.1}, "duplicate is -0.1, allowed 0 to 1"),
        ({"duplicate": 1.1}, "duplicate is 1.1, allowed 0 to 1"),
        ({"duplicate": float("nan")}, "duplicate is nan, allowed 0 to 1"),
    ],
)
def test_options_that_can_not_be(options: dict[str, float], text: str) -> None:
    with pytest.raises(InputError, match=text):
        network(**options)


# ---- rounds


class Listener:
    """An agent that agrees once it has heard so many frames."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.times: list[int] = []
        self.heard = 0

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        self.times.append(now_ns)
        self.heard += len(inbox)
        return [Frame(1, 1, len(self.times), 0, 0, ())]

    @property
    def agreement(self) -> Agreement | None:
        return Agreement(*(0 for _ in fields(Agreement))) if self.heard >= self.wanted else None


def test_rounds_are_counted_until_the_last_agrees() -> None:
    agents = {1: Listener(2), 2: Listener(6), 3: Listener(0)}
    assert play_epoch(agents, network("line", 3)) == 3  # 2 hears two frames a round
    assert agents[1].times == [0, 1, 2, 3]
    assert play_epoch({1: Listener(0)}, network("line", 1)) == 0


def test_a_play_that_does_not_end_is_ended() -> None:
    with pytest.raises(RuntimeError, match="no agreement after 5 rounds"):
        play_epoch({1: Listener(1)}, network("line", 1), rounds_max=5)


def test_a_play_that_fails_names_who_has_not_agreed() -> None:
    agents = {1: Listener(1), 2: Listener(99), 3: Listener(99)}
    with pytest.raises(RuntimeError, match=r"no agreement after 7 rounds: modules \[2, 3\] have not agreed"):
        play_epoch(agents, network("line", 3), 7)


def test_the_last_round_counts() -> None:
    assert play_epoch({1: Listener(5), 2: Listener(5)}, network("line", 2), rounds_max=5) == 5


def test_the_dead_are_neither_stepped_nor_waited_for() -> None:
    agents, lossy = {1: Listener(4), 2: Listener(5), 3: Listener(99)}, network("line", 3)
    assert play_epoch(agents, lossy, events={2: lambda: lossy.kill(3)}) == 4
    assert agents[3].times == [0, 1]
    assert agents[2].heard == 2 * 2 + 2  # the frame that 3 sent in round 1 still arrived


def test_the_dead_from_before_are_not_stepped_either() -> None:
    agents, lossy = {1: Listener(0), 2: Listener(99)}, network("line", 2)
    lossy.kill(2)
    assert play_epoch(agents, lossy) == 0
    assert agents[2].times == []


def test_the_born_are_stepped_from_then_on_and_the_play_waits_for_it() -> None:
    agents, lossy = {1: Listener(0), 2: Listener(3)}, network("line", 2)
    lossy.kill(2)
    assert play_epoch(agents, lossy, events={6: lambda: lossy.birth(2)}) == 9
    assert agents[2].times == [6, 7, 8, 9]


def test_an_event_may_bring_an_agent_without_memory() -> None:
    agents, lossy, fresh = {1: Listener(6), 2: Listener(0)}, network("line", 2), Listener(2)

    def return_empty() -> None:
        lossy.birth(2)
        agents[2] = fresh

    assert play_epoch(agents, lossy, events={1: lambda: lossy.kill(2), 4: return_empty}) == 9
    assert fresh.times == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("at", [-1, 6])
def test_events_outside_the_play(at: int) -> None:
    with pytest.raises(InputError, match=rf"events in rounds \[{at}\], allowed 0 to 5"):
        play_epoch({1: Listener(0)}, network("line", 1), 5, {at: lambda: None})


def test_a_stranger_among_the_agents() -> None:
    with pytest.raises(InputError, match=r"module 2, allowed \[1\]"):
        play_epoch({1: Listener(0), 2: Listener(0)}, network("line", 1))


# ---- dispatch agents on it

BOX = Box(-2.5, 2.5)


@dataclass(frozen=True)
class Sloping:
    """Power in proportion to the price."""

    kw_per_eur: float

    def response(self, prices: FloatArray) -> FloatArray:
        return np.clip(self.kw_per_eur * prices, BOX.low_kw, BOX.high_kw)

    def slope(self, price: float) -> float:
        raise NotImplementedError

    def proximal(self, price: float, weight: float) -> float:
        raise NotImplementedError


def dispatch(topology: str, n: int = 7) -> dict[int, SupplyCurveAgent]:
    ids = tuple(range(1, n + 1))
    group = Group(ids, build_edges(topology, ids), dict.fromkeys(ids, 3.3), 9)
    problems = (LocalProblem(k, BOX, Sloping(2.0 + 7.0 * (k % 5)), EpochId(3, 0, 1), 4.7, 1.0) for k in ids)
    return {p.module_id: SupplyCurveAgent(p, group, None, resend_ns=1) for p in problems}


def agreed(agents: dict[int, SupplyCurveAgent]) -> list[Agreement | None]:
    return [agent.agreement for agent in agents.values()]


@pytest.fixture(scope="module", params=["ring", "mesh", "bus"])
def calm(request: pytest.FixtureRequest) -> tuple[str, int, list[Agreement | None]]:
    agents = dispatch(request.param)
    return request.param, play_epoch(agents, network(request.param, 7)), agreed(agents)


@pytest.mark.parametrize(
    "faults",
    [
        {"delay_max": 3},
        {"duplicate": 0.5},
        {"shuffle": True},
        {"loss": 0.3, "burst": 4.0, "delay_max": 5, "duplicate": 0.3, "shuffle": True},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_faults_cost_rounds_only(
    calm: tuple[str, int, list[Agreement | None]], faults: dict[str, float], seed: int
) -> None:
    topology, rounds, agreements = calm
    agents = dispatch(topology)
    slower = play_epoch(agents, network(topology, 7, seed=seed, per_frame=topology == "bus", **faults))
    assert agreed(agents) == agreements
    assert slower > rounds if "delay_max" in faults else slower == rounds


def test_agents_wait_for_a_cut_to_be_healed_and_for_a_member_to_return(
    calm: tuple[str, int, list[Agreement | None]],
) -> None:
    topology, _, agreements = calm
    agents, lossy = dispatch(topology), network(topology, 7)
    events = {0: lambda: lossy.cut(1, 2), 1: lambda: lossy.kill(4), 40: lambda: lossy.heal(1, 2)}
    assert 40 < play_epoch(agents, lossy, events={**events, 30: lambda: lossy.birth(4)}) < 80
    assert agreed(agents) == agreements


def test_agents_can_not_agree_without_a_member_and_the_play_says_so() -> None:
    lossy = network("ring", 7)
    with pytest.raises(RuntimeError, match=r"after 200 rounds: modules \[1, 2, 3, 5, 6, 7\] have not agreed"):
        play_epoch(dispatch("ring"), lossy, 200, {1: lambda: lossy.kill(4)})
