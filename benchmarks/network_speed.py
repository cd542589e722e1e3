"""Module-rounds per second of the network simulator: alone, and with the agents of `v2g bench dispatch`.

    .venv/bin/python benchmarks/network_speed.py [--seconds 1.0] [--profile]

One module-round is one module stepped once: it hears its inbox and broadcasts a frame to all its neighbours. On a ring
that is 2 frames to deliver, on a mesh up to 4, on a bus of 64 it is 63, so the frames that it has to decide on per
second are shown too. Alone
means agents that always send and do nothing else. With the dispatch agents a waiting module sends again each round;
what the agents cost themselves is shown as the share of the time spent in their steps. Seconds are those of the
processor, so that other programs disturb little; everything runs in one thread.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time

from v2g_nodes.cli.dispatch_trial import build_agents, random_instance
from v2g_nodes.core.dispatch.agent import Agent
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.core.types import Agreement, Frame
from v2g_nodes.sim.network import LossyNetwork, play_epoch

EVERYTHING: dict[str, float] = {"loss": 0.2, "burst": 4.0, "delay_max": 3, "duplicate": 0.1, "shuffle": True}
FAULTS: dict[str, dict[str, float]] = {
    "no faults": {},
    "20 % loss": {"loss": 0.2},
    "20 % loss in bursts": {"loss": 0.2, "burst": 4.0},
    "everything": EVERYTHING,
}
ROUNDS = 200  # of one play with trivial agents


class Talker:
    """An agent that always sends and never agrees."""

    agreement: Agreement | None = None

    def __init__(self, module_id: int) -> None:
        self._frames = [Frame(module_id, 1, 0, 0, 0, (0,) * 10)]

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        return self._frames


class Timed:
    """An agent whose steps are timed."""

    spent_s = 0.0

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    @property
    def agreement(self) -> Agreement | None:
        return self._agent.agreement

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        begin = perf_counter()
        frames = self._agent.step(inbox, now_ns)
        Timed.spent_s += perf_counter() - begin
        return frames


def make_network(topology: str, modules: int, seed: int, faults: Mapping[str, float]) -> LossyNetwork:
    ids = range(1, modules + 1)
    neighbours = adjacency(ids, build_edges(topology, ids))
    return LossyNetwork(neighbours, per_frame=topology == "bus", seed=seed, **faults)  # type: ignore[arg-type]


def play_talkers(topology: str, modules: int, faults: Mapping[str, float]) -> int:
    """Module-rounds of one play that is given up."""
    network = make_network(topology, modules, 1, faults)
    try:
        play_epoch({k: Talker(k) for k in range(1, modules + 1)}, network, ROUNDS)
    except RuntimeError:
        return modules * ROUNDS
    raise AssertionError("talkers agreed")


def rate(play: Callable[[int], tuple[int, float]], seconds: float) -> float:
    """Module-rounds per second of the median play.

    Args:
        play: plays the trial of this number; returns its module-rounds and how long they took [s].
        seconds: how long to go on.
    """
    rates: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(rates) < 3:
        module_rounds, took_s = play(len(rates))
        rates.append(module_rounds / took_s)
    return sorted(rates)[len(rates) // 2]


def time_alone(topology: str, modules: int, faults: Mapping[str, float], seconds: float) -> float:
    def play(_: int) -> tuple[int, float]:
        begin = process_time()
        return play_talkers(topology, modules, faults), process_time() - begin

    return rate(play, seconds)


def time_dispatch(modules: int, faults: Mapping[str, float], seconds: float) -> tuple[float, float]:
    """Module-rounds per second without what it takes to build agents, and the share of the agents' steps."""

    def play(trial: int, timed: bool = False) -> tuple[int, float]:
        agents: dict[int, Agent] = {**build_agents(random_instance("ring", modules, 0, trial), "supply_curve")}
        if timed:
            agents = {k: Timed(agent) for k, agent in agents.items()}
        network = make_network("ring", modules, trial, faults)
        clock = perf_counter if timed else process_time  # one that is quick to read
        begin = clock()
        rounds = play_epoch(agents, network)
        return modules * (rounds + 1), clock() - begin

    fast = rate(play, seconds)
    Timed.spent_s = 0.0
    total_s = sum(play(trial, timed=True)[1] for trial in range(20))
    return fast, Timed.spent_s / total_s


def show_profile() -> None:
    """Where the time of a lossy ring of 64 dispatch agents goes."""
    profile = cProfile.Profile()
    for trial in range(10):
        agents = build_agents(random_instance("ring", 64, 0, trial), "supply_curve")
        network = make_network("ring", 64, trial, {"loss": 0.2})
        profile.enable()
        play_epoch(agents, network)
        profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each line")
    parser.add_argument("--profile", action="store_true", help="show where the time goes with dispatch agents")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for topology in ("ring", "mesh", "bus"):
        ids = range(1, 65)
        hearers = 2 * len(build_edges(topology, ids)) / 64
        for name, faults in FAULTS.items():
            found = time_alone(topology, 64, faults, options.seconds)
            print(f"alone, {topology} of 64, {name}: {found:,.0f} module-rounds/s, {found * hearers:,.0f} frames/s")
    for modules in (64, 16):
        for name, faults in FAULTS.items():
            found, share = time_dispatch(modules, faults, options.seconds)
            print(f"dispatch, ring of {modules}, {name}: {found:,.0f} module-rounds/s, {share:.0%} in agents")
    if options.profile:
        show_profile()


if __name__ == "__main__":
    main()
