"""`v2g bench dispatch`: a dispatch algorithm on the lossy-network simulator."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from v2g_nodes.bringup_parameters import cost_parameters, price_span_eur_per_kwh
from v2g_nodes.cli.output import Json, check_writable, emit, progress
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.reference import dispatch_gap, equal_split
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.graph import TOPOLOGIES, adjacency, diameter
from v2g_nodes.core.types import MODULES_MAX, Box, EpochId, Response
from v2g_nodes.sim.network import LossyNetwork, play_epoch
from v2g_nodes.station import default_station, module_type, station_edges

METHODS = ("supply_curve",)
CURVE_CDR_BYTES = 60  # msg/Curve.msg; test/nodes/test_messages.py holds it to that
GROUP_FINGERPRINT = 1
CONVERGED = 1e-3  # balance and gap


@dataclass(frozen=True)
class Trial:
    """What one epoch of one random station came to.

    Args:
        rounds: until the last module agreed.
        gap: to the centralised optimum, relative.
        equal_split_gap: the same for an equal split.
        balance_error: agreed total against the clipped target, share of the rating.
        violations: modules outside their box.
    """

    rounds: int
    gap: float
    equal_split_gap: float
    balance_error: float
    violations: int


def bench_dispatch(
    method: Annotated[str, typer.Option(help=f"Algorithm: {', '.join(METHODS)}.")] = "supply_curve",
    topology: Annotated[str, typer.Option(help=f"Who hears whom: {', '.join(TOPOLOGIES)}.")] = "ring",
    modules: Annotated[int, typer.Option(help=f"Number of modules, 1 to {MODULES_MAX}.")] = 8,
    loss: Annotated[float, typer.Option(help="Share of frames lost, 0 to 0.9.")] = 0.0,
    burst: Annotated[float, typer.Option(help="Mean length of a burst of losses [rounds]; 1 = independent.")] = 1.0,
    trials: Annotated[int, typer.Option(help="Random stations and targets.")] = 20,
    seed: Annotated[int, typer.Option(help="Names the trials.")] = 0,
    json: Json = None,
) -> None:
    """Let random stations agree from a cold start, over a network that may lose frames, and compare with the optimum.

    Rounds are broadcasts of each module; the gap is taken against a centralised reference on the same snapshot.
    """
    _check("--method", method, METHODS)
    _check("--topology", topology, TOPOLOGIES)
    _check_range("--modules", modules, 1, MODULES_MAX)
    _check_range("--loss", loss, 0.0, 0.9)
    _check_range("--burst", burst, 1.0, 1000.0)
    _check_range("--trials", trials, 1, 1_000_000)
    _check_range("--seed", seed, 0, 2**63 - 1)
    check_writable(json)
    results = [run_trial(topology, modules, loss, burst, seed, k) for k in progress(trials, "trials")]
    edges = station_edges(default_station(modules, topology))
    worst = max(results, key=lambda t: t.gap)
    emit(
        {
            "method": method,
            "topology": topology,
            "modules": modules,
            "diameter": diameter(adjacency(range(1, modules + 1), edges)),
            "loss": loss,
            "burst": burst,
            "trials": trials,
            "rounds_median": statistics.median(t.rounds for t in results),
            "rounds_max": max(t.rounds for t in results),
            "gap_max": worst.gap,
            "equal_split_gap_median": statistics.median(t.equal_split_gap for t in results),
            "balance_error_max": max(t.balance_error for t in results),
            "constraint_violations": sum(t.violations for t in results),
            "bytes_per_message_max": CURVE_CDR_BYTES,
            "converged": sum(t.gap < CONVERGED and t.balance_error < CONVERGED for t in results) / trials,
            "seed": seed,
        },
        json,
        title="dispatch on the network simulator",
    )


def run_trial(topology: str, modules: int, loss: float, burst: float, seed: int, trial: int) -> Trial:
    """One random station, target and network, all named by seed and trial."""
    random = np.random.default_rng([seed, trial])
    station = default_station(modules, topology, seed=int(random.integers(2**31)))
    costs, boxes = [], []
    for module in station.modules:
        rating_kw = module_type(station, module).p_max_kw
        temperature_c = module.ambient_c + float(random.uniform(0.0, 20.0))
        costs.append(LocalCost(cost_parameters(station, module), module.soc, temperature_c))
        boxes.append(_random_box(random, rating_kw))
    low, high = sum(b.low_kw for b in boxes), sum(b.high_kw for b in boxes)
    target_kw = float(np.float32(random.uniform(low, high)))
    ids = tuple(m.id for m in station.modules)
    ratings = {m.id: module_type(station, m).p_max_kw for m in station.modules}
    group = Group(ids, station_edges(station), ratings, GROUP_FINGERPRINT)
    span, epoch = price_span_eur_per_kwh(station), EpochId(trial, 0, 1)
    agents = {}
    for k, cost, box in zip(ids, costs, boxes, strict=True):
        problem = LocalProblem(k, box, _response(cost, box), epoch, target_kw, span)
        agents[k] = SupplyCurveAgent(problem, group, None, resend_ns=1)
    network = LossyNetwork(adjacency(ids, group.edges), loss, burst, topology == "bus", int(random.integers(2**31)))
    rounds = play_epoch(agents, network)
    agreements = [agents[k].agreement for k in ids]
    powers = [a.power_kw for a in agreements if a]
    clipped_kw = min(max(target_kw, low), high)
    return Trial(
        rounds=rounds,
        gap=dispatch_gap(costs, boxes, powers),
        equal_split_gap=dispatch_gap(costs, boxes, equal_split(boxes, clipped_kw)),
        balance_error=abs(sum(powers) - clipped_kw) / sum(ratings.values()),
        violations=sum(not b.low_kw <= p <= b.high_kw for b, p in zip(boxes, powers, strict=True)),
    )


def _random_box(random: np.random.Generator, rating_kw: float) -> Box:
    """Mostly a free module; some without a vehicle, some that must charge, some near a limit of charge."""
    draw = random.random()
    reach_kw = 0.75 * rating_kw  # room left for droop
    if draw < 0.05:
        return Box(0.0, 0.0)
    if draw < 0.10:
        return Box(-reach_kw, -float(random.uniform(0.0, reach_kw)))
    if draw < 0.25:
        return Box(-reach_kw, float(random.uniform(0.0, reach_kw)))
    return Box(-reach_kw, reach_kw)


def _response(cost: LocalCost, box: Box) -> Response:
    return lambda prices: cost.response(prices, box)


def _check(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{option} {value}: allowed {', '.join(allowed)}")


def _check_range(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{option} {value:g}: allowed {low:g} to {high:g}")
