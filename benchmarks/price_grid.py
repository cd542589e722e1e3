"""How close the price grids of core/dispatch/price_grid.py come to the optimum, cold and warm.

    .venv/bin/python benchmarks/price_grid.py [--stations 4000] [--sequences 200] [--seed 0]

Stations are those of `v2g bench dispatch` (unlike wear) and, one in ten each, of equal modules and of hot ones, with 1
to 16 modules; some modules have no vehicle, must charge or are near a limit of charge; in four of ten stations the
boxes are narrow ones around an earlier dispatch, as ramps make them. Warm epochs follow each other with targets that
wander and sometimes jump, boxes that a ramp ties to the epoch before, and vehicles that come and go. All play the
agents of the project on a bus, where a pass is one round, and are judged by the centralised reference.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from v2g_nodes.bringup_parameters import cost_parameters, price_span_eur_per_kwh
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.dispatch.reference import dispatch_gap
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.epoch_start import moved
from v2g_nodes.core.graph import adjacency, build_edges
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import Agreement, Box, EpochId, FloatArray
from v2g_nodes.sim.network import LossyNetwork, play_epoch
from v2g_nodes.station import default_station

SIZES = (1, 2, 2, 3, 3, 4, 4, 5, 6, 8, 12, 16)  # small stations are the hard ones
REACH = 0.75  # of the rating; the rest is droop's
EPOCHS = 25  # of a warm sequence
RAMP_KW = 2.0  # between two epochs


class RandomStation:
    """Modules with costs and boxes that can be asked to agree."""

    def __init__(self, random: np.random.Generator) -> None:
        count = int(random.choice(SIZES))
        station = default_station(count, "bus", seed=int(random.integers(2**31)))
        warmer = 15.0 if random.random() < 0.1 else 0.0
        self.costs = [
            LocalCost(cost_parameters(station, m), m.soc, m.ambient_c + warmer + float(random.uniform(0.0, 20.0)))
            for m in station.modules
        ]
        if random.random() < 0.1:
            self.costs = [self.costs[0]] * count
        self.rating_kw = np.array([c.parameters.p_max_kw for c in self.costs])
        self.low, self.high = -REACH * self.rating_kw, REACH * self.rating_kw
        self.span = price_span_eur_per_kwh(station)
        ids = tuple(range(1, count + 1))
        self._group = Group(ids, build_edges("bus", ids), dict(zip(ids, self.rating_kw.tolist(), strict=True)), 1)

    def hinder(self, random: np.random.Generator) -> None:
        """Take away some modules' freedom, then perhaps everyone's."""
        for k in range(len(self.costs)):
            draw, share = random.random(), random.random()
            if draw < 0.05:
                self.low[k] = self.high[k] = 0.0
            elif draw < 0.10:
                self.high[k] *= -share
            elif draw < 0.25:
                self.high[k] *= share
            elif draw < 0.30:
                self.low[k] *= share
        if random.random() < 0.4:
            price, reach = np.array([random.uniform(-0.3, 0.3) * self.span]), float(random.choice([0.5, 1.0, 2.0]))
            earlier = np.concatenate([c.response(price, b) for c, b in zip(self.costs, self.boxes, strict=True)])
            self.tie(earlier, reach)

    def tie(self, powers_kw: FloatArray, reach_kw: float) -> None:
        """Let no module go further than this from its power, where its box allows."""
        self.low, self.high = (
            np.clip(powers_kw - reach_kw, self.low, self.high),
            np.clip(powers_kw + reach_kw, self.low, self.high),
        )

    @property
    def boxes(self) -> list[Box]:
        return [Box(low, high) for low, high in zip(self.low.tolist(), self.high.tolist(), strict=True)]

    def agree(
        self, target_kw: float, sequence: int, warm: WarmStart | None, last: Sequence[Agreement] = ()
    ) -> tuple[list[Agreement], WarmStart | None]:
        """Play one epoch; a module that no longer does what it agreed to last begins cold, as in core/optimizer.py."""
        agents = {}
        for k, cost, box in zip(self._group.members, self.costs, self.boxes, strict=True):
            supply = BoxedCost(cost, box)
            problem = LocalProblem(k, box, supply, EpochId(sequence, 0, 1), target_kw, self.span)
            cold = bool(last) and moved(supply, last[k - 1], float(self.rating_kw[k - 1]))
            agents[k] = SupplyCurveAgent(problem, self._group, warm, resend_ns=1, cold=cold)
        play_epoch(agents, LossyNetwork(adjacency(self._group.members, self._group.edges)))
        return [a.agreement for a in agents.values() if a.agreement], agents[1].warm_start

    def gap(self, agreements: Sequence[Agreement]) -> float:
        return dispatch_gap(self.costs, self.boxes, [a.power_kw for a in agreements])


def cold_gaps(stations: int, seed: int) -> list[float]:
    gaps = []
    for trial in range(stations):
        random = np.random.default_rng([seed, 0, trial])
        station = RandomStation(random)
        station.hinder(random)
        low, high = float(station.low.sum()), float(station.high.sum())
        target_kw = float(random.uniform(low, high) * random.choice([1.0, 1.0, 0.3, 0.05]))
        agreements, _ = station.agree(min(max(target_kw, low), high), trial, None)
        gaps.append(station.gap(agreements))
    return gaps


def warm_epochs(sequences: int, seed: int) -> list[tuple[float, bool, bool]]:
    """Gap, begun warm, ended after one pass; of every epoch that the modules could meet."""
    results = []
    for trial in range(sequences):
        random = np.random.default_rng([seed, 1, trial])
        station = RandomStation(random)
        free_low, free_high = station.low.copy(), station.high.copy()
        share, powers, warm = random.uniform(-0.7, 0.7), np.zeros_like(free_low), None
        agreements: list[Agreement] = []
        for epoch in range(EPOCHS):
            share = random.uniform(-0.72, 0.72) if random.random() < 0.05 else share + random.normal(0.0, 0.06)
            share = min(max(float(share), -0.72), 0.72)
            if random.random() < 0.04:
                change_vehicle(station, random, free_low, free_high)
            station.low, station.high = free_low.copy(), free_high.copy()
            station.tie(powers, RAMP_KW)
            target_kw = float(np.float32(share * station.rating_kw.sum()))
            agreements, warm = station.agree(target_kw, 20 * epoch, warm, agreements)
            powers = np.array([a.power_kw for a in agreements])
            if not agreements[0].clipped:
                warm_begun = not agreements[0].cold
                results.append((station.gap(agreements), warm_begun, warm_begun and agreements[0].rounds <= 1))
    return results


def change_vehicle(station: RandomStation, random: np.random.Generator, low: FloatArray, high: FloatArray) -> None:
    """A vehicle leaves, comes, or has to charge: changes one module's free box."""
    k = int(random.integers(len(low)))
    reach_kw = REACH * float(station.rating_kw[k])
    low[k], high[k] = [(0.0, 0.0), (-reach_kw, reach_kw), (-reach_kw, -min(1.0, reach_kw))][int(random.integers(3))]


def show(name: str, gaps: Sequence[float]) -> None:
    worst, p999, p99, median = max(gaps), *np.quantile(gaps, [0.999, 0.99, 0.5]).tolist()
    print(f"{name}: {len(gaps)} epochs, gap max {worst:.1e}, p99.9 {p999:.1e}, p99 {p99:.1e}, median {median:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stations", type=int, default=4000, help="cold epochs, each of another station")
    parser.add_argument("--sequences", type=int, default=200, help=f"sequences of {EPOCHS} epochs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    show("cold", cold_gaps(options.stations, options.seed))
    epochs = warm_epochs(options.sequences, options.seed)
    show("warm", [gap for gap, warm, _ in epochs if warm])
    begun = sum(warm for _, warm, _ in epochs)
    print(f"begun warm {begun / len(epochs):.0%}, of these one pass {sum(one for *_, one in epochs) / begun:.0%}")


if __name__ == "__main__":
    main()
