"""The network that loses frames, and rounds played on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.core.types import Agreement, EpochId, Frame
from v2g_nodes.sim.network import LossyNetwork, play_epoch

ROUNDS = 20_000


def network(topology: str = "ring", n: int = 6, **options: float | int | bool) -> LossyNetwork:
    ids = range(1, n + 1)
    return LossyNetwork(adjacency(ids, build_edges(topology, ids)), **options)  # type: ignore[arg-type]


def received(lossy: LossyNetwork, rounds: int, senders: Sequence[int] = (1, 2, 3, 4, 5, 6)) -> np.ndarray:
    """Whether each link delivered, shape (rounds, links); links ordered by sender and hearer."""
    rows = []
    for _ in range(rounds):
        inbox = lossy.deliver({k: [k] for k in senders})
        rows.append([k in inbox[j] for k in senders for j in lossy._hearers[k]])
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


class Counter:
    """An agent that agrees once it has heard so many frames."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.times: list[int] = []
        self.heard = 0

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        self.times.append(now_ns)
        self.heard += len(inbox)
        return [Frame(1, EpochId(1, 1, 1), 1, len(self.times), 0, 0, ())]

    @property
    def agreement(self) -> Agreement | None:
        return Agreement(0.0, 0.0, 0.0, 0.0, 0, True) if self.heard >= self.wanted else None


def test_rounds_are_counted_until_the_last_agrees() -> None:
    agents = {1: Counter(2), 2: Counter(6), 3: Counter(0)}
    assert play_epoch(agents, network("line", 3)) == 3  # 2 hears two frames a round
    assert agents[1].times == [0, 1, 2, 3]
    assert play_epoch({1: Counter(0)}, network("line", 1)) == 0


def test_a_play_that_does_not_end_is_ended() -> None:
    with pytest.raises(RuntimeError, match="no agreement after 5 rounds"):
        play_epoch({1: Counter(1)}, network("line", 1), rounds_max=5)
