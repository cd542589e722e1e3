"""A random station that agrees once on the network simulator, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.bringup_parameters import cost_parameters, price_span_eur_per_kwh
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.methods import build_agent, default_averaging, gap_limit
from v2g_nodes.core.dispatch.reference import dispatch_gap, equal_split
from v2g_nodes.core.graph import adjacency, build_edges, diameter
from v2g_nodes.core.privacy.masks import MaskOf
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import Agreement, Box, EpochId
from v2g_nodes.sim.network import LossyNetwork, play_epoch
from v2g_nodes.station import default_station, module_type, station_edges

CURVE_CDR_BYTES = 56  # msg/Curve.msg; test/nodes/test_messages.py holds it to that
BALANCE = 1e-3  # of the rating
ONE_PERCENT = 0.01  # the formulation counts iterations until gap and balance stay below
GROUP_FINGERPRINT = 1


@dataclass(frozen=True)
class Case:
    """What is compared: an algorithm on a kind of station and network.

    Args:
        method: algorithm, see core/dispatch/methods.py.
        averaging: its average, see `usual_averaging`.
        topology: who hears whom.
        modules: how many.
        loss: share of frames lost.
        burst: mean length of a burst of losses [rounds]; 1 = independent.
        seed: names the trials.
    """

    method: str
    averaging: str
    topology: str
    modules: int
    loss: float
    burst: float
    seed: int


def usual_averaging(method: str, topology: str, modules: int) -> str:
    """The average that an algorithm uses on a named graph unless told otherwise."""
    ids = tuple(range(1, modules + 1))
    return default_averaging(method, ids, build_edges(topology, ids))


@dataclass(frozen=True)
class Instance:
    """A random station with its target, all known only to the judge."""

    costs: tuple[LocalCost, ...]
    boxes: tuple[Box, ...]
    group: Group
    target_kw: float
    span_eur_per_kwh: float
    epoch: EpochId
    network_seed: int

    @property
    def clipped_kw(self) -> float:
        """The target inside the summed boxes [kW]."""
        reach = Box(sum(b.low_kw for b in self.boxes), sum(b.high_kw for b in self.boxes))
        return reach.clip(self.target_kw)

    @property
    def rating_kw(self) -> float:
        """Sum of the ratings [kW]."""
        return self.group.total_rating_kw

    def quality(self, powers_kw: Sequence[float]) -> tuple[float, float]:
        """Gap to the optimum of the same sum, and balance error as a share of the rating.

        The gap is that of the powers moved into their boxes; who is outside counts as a violation.
        """
        inside = [box.clip(power) for box, power in zip(self.boxes, powers_kw, strict=True)]
        balance = abs(sum(powers_kw) - self.clipped_kw) / self.rating_kw
        return dispatch_gap(self.costs, self.boxes, inside), balance


@dataclass(frozen=True)
class Trial:
    """What one epoch of one random station came to.

    Args:
        rounds: until the last module agreed.
        iterations: times the modules answered the group.
        iterations_to_1_percent: after which gap and balance stayed below 1 %; None if they never did.
        gap: to the centralised optimum, relative.
        equal_split_gap: the same for an equal split.
        balance_error: agreed total against the clipped target, share of the rating.
        violations: modules outside their box.
        converged: balance and gap below the algorithm's limit.
    """

    rounds: int
    iterations: int
    iterations_to_1_percent: int | None
    gap: float
    equal_split_gap: float
    balance_error: float
    violations: int
    converged: bool


def random_instance(topology: str, modules: int, seed: int, trial: int) -> Instance:
    """One random station, target and network seed, all named by seed and trial."""
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
    return Instance(
        tuple(costs),
        tuple(boxes),
        Group(ids, station_edges(station), ratings, GROUP_FINGERPRINT),
        target_kw,
        price_span_eur_per_kwh(station),
        EpochId(trial, 0, 1),
        int(random.integers(2**31)),
    )


def build_agents(
    instance: Instance, method: str, averaging: str | None = None, masks: Mapping[int, MaskOf] | None = None
) -> dict[int, LockstepAgent]:
    """Agents of all modules, cold; resend time is one round."""
    agents = {}
    for k, cost, box in zip(instance.group.members, instance.costs, instance.boxes, strict=True):
        supply, span = BoxedCost(cost, box), instance.span_eur_per_kwh
        problem = LocalProblem(k, box, supply, instance.epoch, instance.target_kw, span)
        hidden = masks[k] if masks else None
        agents[k] = build_agent(
            method, problem, instance.group, None, resend_ns=1, averaging=averaging, masks=hidden
        )
    return agents


def run_trial(case: Case, trial: int) -> Trial:
    """Let the station of this number agree."""
    return play_trial(case, random_instance(case.topology, case.modules, case.seed, trial))[0]


def play_trial(
    case: Case, instance: Instance, masks: Mapping[int, MaskOf] | None = None
) -> tuple[Trial, list[Agreement]]:
    """Let a station agree.

    Args:
        case: what is compared.
        instance: the station.
        masks: of each module; None = curves are not hidden.

    Returns:
        What came of it, and what each module agreed to, by id.
    """
    agents = build_agents(instance, case.method, case.averaging, masks)
    group = instance.group
    neighbours = adjacency(group.members, group.edges)
    network = LossyNetwork(neighbours, case.loss, case.burst, case.topology == "bus", instance.network_seed)
    rounds = play_epoch(agents, network, rounds_max=1_000_000)
    agreements = [a.agreement for a in agents.values() if a.agreement]
    powers = [a.power_kw for a in agreements]
    gap, balance = instance.quality(powers)
    made = Trial(
        rounds=rounds,
        iterations=agreements[0].iterations,
        iterations_to_1_percent=_iterations_to_1_percent(instance, agents),
        gap=gap,
        equal_split_gap=instance.quality(equal_split(instance.boxes, instance.clipped_kw))[0],
        balance_error=balance,
        violations=sum(not b.low_kw <= p <= b.high_kw for b, p in zip(instance.boxes, powers, strict=True)),
        converged=gap < gap_limit(case.method) and balance < max(BALANCE, gap_limit(case.method)),
    )
    return made, agreements


def summary(case: Case, trials: Sequence[Trial]) -> dict[str, object]:
    """The figures of a case, as they stand in the JSON."""
    neighbours = adjacency(range(1, case.modules + 1), station_edges(default_station(case.modules, case.topology)))
    to_1_percent = [t.iterations_to_1_percent for t in trials]
    reached = [count for count in to_1_percent if count is not None]
    return {
        "method": case.method,
        "topology": case.topology,
        "modules": case.modules,
        "diameter": diameter(neighbours),
        "loss": case.loss,
        "burst": case.burst,
        "trials": len(trials),
        "rounds_median": statistics.median(t.rounds for t in trials),
        "rounds_max": max(t.rounds for t in trials),
        "gap_max": max(t.gap for t in trials),
        "equal_split_gap_median": statistics.median(t.equal_split_gap for t in trials),
        "balance_error_max": max(t.balance_error for t in trials),
        "constraint_violations": sum(t.violations for t in trials),
        "bytes_per_message_max": CURVE_CDR_BYTES,
        "converged": sum(t.converged for t in trials) / len(trials),
        "seed": case.seed,
        "averaging": case.averaging,
        "iterations_median": statistics.median(t.iterations for t in trials),
        "iterations_max": max(t.iterations for t in trials),
        "iterations_to_1_percent_median": statistics.median(reached) if reached else None,
        "iterations_to_1_percent_max": max(reached) if len(reached) == len(trials) else None,
    }


def _iterations_to_1_percent(instance: Instance, agents: Mapping[int, LockstepAgent]) -> int | None:
    """Backwards from the end to the last iteration whose powers were not yet good."""
    traces = [agent.trace_kw for agent in agents.values()]
    for count in range(len(traces[0]), 0, -1):
        powers = [trace[count - 1] for trace in traces]
        if abs(sum(powers) - instance.clipped_kw) > ONE_PERCENT * instance.rating_kw:
            break
        if instance.quality(powers)[0] > ONE_PERCENT:
            break
    else:
        count = 0
    return count + 1 if count < len(traces[0]) else None


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
