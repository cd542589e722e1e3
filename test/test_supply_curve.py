"""Supply-curve consensus."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2g_nodes.bringup_parameters import cost_parameters, price_span_eur_per_kwh
from v2g_nodes.cli.dispatch_trial import Case, Trial, run_trial
from v2g_nodes.core.cost import LocalCost
from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.lockstep import COLD
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.dispatch.reference import dispatch_gap, dispatch_optimum
from v2g_nodes.core.dispatch.supply_curve import SupplyCurveAgent
from v2g_nodes.core.exchange import INT16_MAX, exchange_tag
from v2g_nodes.core.graph import TOPOLOGIES, adjacency, build_edges, diameter
from v2g_nodes.core.types import Agreement, Box, EpochId, FloatArray, Frame
from v2g_nodes.sim.network import LossyNetwork, play_epoch
from v2g_nodes.station import default_station

RATING_KW = 3.3
REACH_KW = 2.5


Response = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Responding:
    """A supply of which the algorithm may ask best responses only."""

    response: Response

    def slope(self, price: float) -> float:
        raise NotImplementedError

    def proximal(self, price: float, weight: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Plant:
    """Modules that can be asked to agree."""

    responses: tuple[Response, ...]
    boxes: tuple[Box, ...]
    span: float = 1.0
    topology: str = "ring"

    @property
    def group(self) -> Group:
        ids = tuple(range(1, len(self.boxes) + 1))
        return Group(ids, build_edges(self.topology, ids), dict.fromkeys(ids, RATING_KW), 9)

    def agents(
        self, target_kw: float, warm: Sequence[WarmStart | None] | WarmStart | None = None, sequence: int = 20
    ) -> dict[int, SupplyCurveAgent]:
        memories = warm if isinstance(warm, Sequence) else [warm] * len(self.boxes)
        agents = {}
        for k, response, box, memory in zip(self.group.members, self.responses, self.boxes, memories, strict=True):
            problem = LocalProblem(k, box, Responding(response), EpochId(sequence, 0, 1), target_kw, self.span)
            agents[k] = SupplyCurveAgent(problem, self.group, memory, resend_ns=1)
        return agents

    def play(self, agents: dict[int, SupplyCurveAgent], loss: float = 0.0, seed: int = 0) -> int:
        return play_epoch(agents, LossyNetwork(adjacency(self.group.members, self.group.edges), loss, seed=seed))


def agreements(agents: dict[int, SupplyCurveAgent]) -> list[Agreement]:
    found = [a.agreement for a in agents.values()]
    assert all(found)
    return [a for a in found if a]


def sloping(slope: float, box: Box, start: float = 0.0) -> Response:
    """Power in proportion to the price above `start`."""

    def response(prices: FloatArray) -> FloatArray:
        return np.clip(slope * (prices - start), box.low_kw, box.high_kw)

    return response


def sloping_plant(n: int, topology: str = "ring", equal: bool = False, start: float = 0.0) -> Plant:
    box = Box(-REACH_KW, REACH_KW)
    responses = tuple(sloping(4.0 if equal else 2.0 + 7.0 * (k % 5), box, start) for k in range(n))
    return Plant(responses, (box,) * n, topology=topology)


def real_plant(n: int, seed: int, topology: str = "ring", **changed: float) -> tuple[Plant, list[LocalCost]]:
    """Modules of the default station, their cost parameters changed as asked."""
    station = default_station(n, topology, seed=seed)
    names = [cost_parameters(station, module) for module in station.modules]
    costs = [LocalCost(type(p)(**{**vars(p), **changed}), 0.5, 45.0) for p in names]
    box = Box(-REACH_KW, REACH_KW)
    responses = tuple((lambda x, c=cost: c.response(x, box)) for cost in costs)
    return Plant(responses, (box,) * n, price_span_eur_per_kwh(station), topology), costs


# ---- quality on random stations


def check_trial(trial: Trial, hops: int, rounds_per_hop: int) -> None:
    assert trial.gap < 1e-3
    assert trial.balance_error < 1e-4
    assert trial.violations == 0
    assert trial.rounds <= rounds_per_hop * hops + 2


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize(("n", "trials"), [(1, 10), (2, 20), (3, 20), (4, 20), (5, 10), (8, 12), (16, 6), (31, 2)])
def test_random_stations_agree_close_to_the_optimum(topology: str, n: int, trials: int) -> None:
    ids = range(1, n + 1)
    hops = diameter(adjacency(ids, build_edges(topology, ids)))
    for trial in range(trials):
        case = Case("supply_curve", "exact", topology, n, 0.0, 1.0, seed=11)
        check_trial(run_trial(case, trial), hops, 4 if topology == "mesh" else 2)


def test_unlike_modules_make_the_gap_mean_something() -> None:
    trials = [run_trial(Case("supply_curve", "exact", "ring", 8, 0.0, 1.0, seed=5), k) for k in range(15)]
    assert np.median([t.equal_split_gap for t in trials]) > 0.1


def test_powers_and_price_are_those_of_the_reference() -> None:
    plant, costs = real_plant(6, seed=3)
    agents = plant.agents(5.0)
    plant.play(agents)
    found = agreements(agents)
    best = dispatch_optimum(costs, plant.boxes, 5.0)
    # powers lie between those at two prices close together, so each is right to the width of the last cell
    np.testing.assert_allclose([a.power_kw for a in found], best.powers_kw, atol=2e-3)
    assert found[0].lambda_eur_per_kwh == pytest.approx(best.lambda_, rel=1e-2)
    assert dispatch_gap(costs, plant.boxes, [a.power_kw for a in found]) < 1e-5


# ---- what must be exact


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("target_kw", [7.3, -0.2, 0.0])
def test_all_members_agree_on_the_same_bits(topology: str, target_kw: float) -> None:
    plant = sloping_plant(9, topology)
    agents = plant.agents(target_kw)
    rounds = plant.play(agents)
    found = agreements(agents)
    assert len({a.lambda_eur_per_kwh for a in found}) == 1
    assert len({a.clipped_target_kw for a in found}) == 1
    assert {a.rounds for a in found} == {rounds}
    assert len({a.warm_start for a in agents.values()}) == 1
    assert sum(a.power_kw for a in found) == pytest.approx(target_kw, abs=1e-9)
    for agreement, box in zip(found, plant.boxes, strict=True):
        assert box.low_kw <= agreement.power_kw <= box.high_kw


def play_at_whim(plant: Plant, agents: dict[int, SupplyCurveAgent], whims: Sequence[int], seed: int) -> list[Frame]:
    """Deliver in any order, with losses and repetitions while whims last; returns all frames sent."""
    random = np.random.default_rng(seed)
    neighbours = adjacency(plant.group.members, plant.group.edges)
    under_way: list[tuple[int, Frame]] = []
    sent: list[Frame] = []
    now_ns = 0

    def step(k: int, inbox: list[Frame]) -> None:
        for frame in agents[k].step(inbox, now_ns):
            sent.append(frame)
            under_way.extend((j, frame) for j in neighbours[k])

    for k in agents:
        step(k, [])
    for whim in [*whims, *[0] * 100_000]:
        if all(a.agreement for a in agents.values()):
            break
        if not under_way:
            now_ns += 1
            for k in agents:
                step(k, [])
            continue
        place = int(random.integers(len(under_way)))
        hearer, frame = under_way[place] if whim == 2 else under_way.pop(place)
        if whim != 1:
            more = [frame] * (1 + (whim == 3))
            step(hearer, more)
    return sent


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["ring", "line", "bus", "mesh"]),
    st.integers(1, 7),
    st.floats(-15, 15),
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from([0, 1, 2, 3]), max_size=60),
)
def test_the_result_depends_on_no_order_loss_or_repetition(
    topology: str, n: int, target_kw: float, seed: int, whims: list[int]
) -> None:
    plant = sloping_plant(n, topology)
    calm, wild = plant.agents(target_kw), plant.agents(target_kw)
    plant.play(calm)
    play_at_whim(plant, wild, whims, seed)
    assert agreements(wild) == agreements(calm)


@pytest.mark.parametrize("loss", [0.2, 0.5])
def test_losses_cost_time_and_nothing_else(loss: float) -> None:
    plant = sloping_plant(8)
    calm, lossy = plant.agents(6.0), plant.agents(6.0)
    assert plant.play(calm) == 8
    assert plant.play(lossy, loss) > 8
    assert agreements(lossy) == agreements(calm)


# ---- the wire


@pytest.mark.parametrize("n", [1, 2, 8, 27, 64])
@pytest.mark.parametrize("equal", [True, False])
def test_frames_hold_ten_numbers_of_int16(n: int, equal: bool) -> None:
    plant = sloping_plant(n, "line", equal)
    for target_kw in (2.4 * n, -0.7 * n, 0.01):
        agents = plant.agents(target_kw)
        frames = play_at_whim(plant, agents, (), seed=1)
        for frame in frames:
            assert len(frame.values) == 10
            assert len(frame.values_previous) in (0, 10)
            assert all(isinstance(v, int) and abs(v) < INT16_MAX for v in frame.values)  # never saturated
            assert -128 <= frame.exponent <= 127
            assert 0 <= frame.round <= 255
        total_kw = sum(a.power_kw for a in agreements(agents))
        assert total_kw == pytest.approx(target_kw, abs=1e-5 * RATING_KW * n)


@pytest.mark.parametrize("n", [32, 64])
def test_rounding_of_equal_modules_does_not_add_up(n: int) -> None:
    # all but two modules sit at an end of their box, and all of these round alike
    box, free = Box(-0.7001, 0.7001), Box(-REACH_KW, REACH_KW)
    boxes = (free, free, *(box,) * (n - 2))
    plant = Plant(tuple(sloping(40.0, b) for b in boxes), boxes, topology="bus")
    target_kw = 0.7001 * (n - 2) + 2.0
    agents = plant.agents(target_kw)
    plant.play(agents)
    again = plant.agents(target_kw, memory(plant, target_kw, 40), sequence=60)
    plant.play(again)
    for found in (agreements(agents), agreements(again)):
        assert sum(a.power_kw for a in found) == pytest.approx(target_kw, abs=1e-4 * n * RATING_KW)
    assert {a.rounds for a in agreements(again)} == {1}  # the coarse scale of one pass did it


@pytest.mark.parametrize("offset_kw", [-2e-3, -1e-4, 0.0, 1e-4, 2e-3])
def test_a_target_beside_a_tried_total_is_met(offset_kw: float) -> None:
    # ends of boxes make the totals at the first prices; rounding hides on which side of them the target lies
    boxes = tuple(Box(-0.123456 * k, 0.123456 * k) for k in range(1, 9))
    plant = Plant((*(sloping(1000.0, b) for b in boxes[:-1]), sloping(2.0, boxes[-1])), boxes)
    probe = np.array([0.013])
    target_kw = float(sum(r(probe)[0] for r in plant.responses)) + offset_kw
    agents = plant.agents(target_kw)
    plant.play(agents)
    assert sum(a.power_kw for a in agreements(agents)) == pytest.approx(target_kw, abs=5e-5)


# ---- warm start


def step_through(plant: Plant, targets: Sequence[float]) -> list[Agreement]:
    warm, found = None, []
    for epoch, target_kw in enumerate(targets):
        agents = plant.agents(target_kw, warm, sequence=20 * epoch)
        plant.play(agents)
        warm = agents[1].warm_start
        found.append(agreements(agents)[0])
    return found


def test_a_warm_start_needs_one_pass_while_little_changes() -> None:
    plant, costs = real_plant(8, seed=2)
    targets = [6.0 + 0.02 * math.sin(k) for k in range(12)]
    found = step_through(plant, targets)
    assert found[0].cold
    assert found[0].rounds == 8
    assert [(a.cold, a.rounds) for a in found[2:]] == [(False, 4)] * 10
    warm = step_through(plant, targets)[-1]
    best = dispatch_optimum(costs, plant.boxes, targets[-1])
    assert warm.lambda_eur_per_kwh == pytest.approx(best.lambda_, rel=2e-3)


def test_gap_of_warm_epochs() -> None:
    plant, costs = real_plant(8, seed=4)
    warm = None
    random = np.random.default_rng(1)
    target_kw, cold = 3.0, 0
    for epoch in range(40):
        target_kw = float(np.clip(target_kw + random.normal(0.0, 1.0), -18.0, 18.0))
        agents = plant.agents(target_kw, warm, sequence=20 * epoch)
        plant.play(agents)
        warm = agents[1].warm_start
        found = agreements(agents)
        cold += found[0].cold
        assert dispatch_gap(costs, plant.boxes, [a.power_kw for a in found]) < 1e-3
        assert sum(a.power_kw for a in found) == pytest.approx(target_kw, abs=1e-4 * 8 * RATING_KW)
    assert cold < 20


def test_a_target_far_away_is_met_from_a_warm_start() -> None:
    found = step_through(sloping_plant(6), [5.0, 5.0, -14.0, 14.9, 0.0, -14.9, 14.9])
    assert [a.clipped for a in found] == [False] * 7
    assert [a.rounds for a in found][2:] == [6] * 5


def memory(plant: Plant, target_kw: float, sequence: int) -> WarmStart:
    """What the second of two epochs with the same target leaves."""
    found = None
    for earlier in (20, 0):
        agents = plant.agents(target_kw, found, (sequence - earlier) % 2**32)
        plant.play(agents)
        found = agents[1].warm_start
    assert found is not None
    return found


def test_a_memory_that_is_wrong_costs_a_second_pass_only() -> None:
    plant, costs = real_plant(8, seed=4)
    true = memory(plant, 6.0, 40)
    wrong = replace(true, totals_kw=tuple(1.4 * kw + 1.0 for kw in true.totals_kw))
    agents = plant.agents(6.0, wrong, sequence=60)
    plant.play(agents)
    found = agreements(agents)
    assert [(a.cold, a.rounds) for a in found] == [(False, 8)] * 8
    assert sum(a.power_kw for a in found) == pytest.approx(6.0, abs=1e-4)
    assert dispatch_gap(costs, plant.boxes, [a.power_kw for a in found]) < 1e-3


@pytest.mark.parametrize("odd_one", [0, 3])
@pytest.mark.parametrize("other", ["none", "older"])
@pytest.mark.parametrize("loss", [0.0, 0.4])
def test_members_that_remember_different_epochs_fall_back_to_a_cold_start(
    odd_one: int, other: str, loss: float
) -> None:
    plant = sloping_plant(6)
    memories: list[WarmStart | None] = [memory(plant, 5.0, 40)] * 6
    memories[odd_one] = None if other == "none" else memory(plant, 5.2, 20)
    cold, mixed = plant.agents(5.1, sequence=60), plant.agents(5.1, memories, sequence=60)
    assert {a.bracket for a in mixed.values()} - {COLD}
    plant.play(cold)
    plant.play(mixed, loss)
    assert agreements(mixed) == agreements(cold)
    assert {a.bracket for a in mixed.values()} == {COLD}


def test_three_memories_fall_back_too() -> None:
    plant = sloping_plant(6)
    memories = [memory(plant, 5.0, 20 * (1 + k % 3)) for k in range(6)]
    mixed = plant.agents(5.1, memories, sequence=80)
    play_at_whim(plant, mixed, [1, 0, 2, 0, 0, 3] * 10, seed=4)
    assert all(a.cold for a in agreements(mixed))
    assert len({a.lambda_eur_per_kwh for a in agreements(mixed)}) == 1


def test_the_tag_of_a_memory_is_never_that_of_a_cold_start() -> None:
    tags = {memory(sloping_plant(3), 5.0, sequence).tag for sequence in (0, 1, 253, 254, 255, 256, 509, 510)}
    assert COLD not in tags
    assert max(tags) <= 255


# ---- targets out of reach and odd modules


@pytest.mark.parametrize("target_kw", [15.1, 400.0, -15.1, -400.0])
def test_a_target_beyond_the_boxes_is_clipped_by_all_alike(target_kw: float) -> None:
    plant = sloping_plant(6)
    agents = plant.agents(target_kw)
    assert plant.play(agents) == 3  # one pass tells
    for agreement in agreements(agents):
        assert agreement.power_kw == math.copysign(REACH_KW, target_kw)
        assert agreement.clipped
        assert agreement.target_kw == target_kw
        assert agreement.clipped_target_kw == pytest.approx(math.copysign(15.0, target_kw), abs=6e-3)
        assert math.isfinite(agreement.lambda_eur_per_kwh)


def test_the_whole_box_can_be_asked_for() -> None:
    plant = sloping_plant(6)
    agents = plant.agents(14.999999)
    plant.play(agents)
    assert sum(a.power_kw for a in agreements(agents)) == pytest.approx(15.0, abs=1e-3)


@pytest.mark.parametrize(("start", "target_kw"), [(0.75, 19.9), (0.75, -19.9), (-0.75, 19.9), (-0.75, -19.9)])
def test_prices_stay_finite_near_the_ends_of_the_range(start: float, target_kw: float) -> None:
    box = Box(-REACH_KW, REACH_KW)
    plant = Plant((sloping(10.0, box, start),) * 8, (box,) * 8)
    warm = None
    for epoch in range(3):
        agents = plant.agents(target_kw, warm, sequence=20 * epoch)
        plant.play(agents)
        warm = agents[1].warm_start
        assert warm is not None
        assert all(math.isfinite(x) for x in warm.prices)
        assert list(warm.prices) == sorted(set(warm.prices))
        assert list(warm.totals_kw) == sorted(warm.totals_kw)
        assert abs(agreements(agents)[0].lambda_eur_per_kwh) <= 1.0
        assert sum(a.power_kw for a in agreements(agents)) == pytest.approx(target_kw, abs=1e-9)


def test_a_module_without_a_vehicle_stays_at_zero() -> None:
    plant, costs = real_plant(5, seed=6)
    boxes = (Box(0.0, 0.0), *plant.boxes[1:])
    plant = Plant((lambda x: costs[0].response(x, boxes[0]), *plant.responses[1:]), boxes, plant.span)
    agents = plant.agents(4.0)
    plant.play(agents)
    found = agreements(agents)
    assert found[0].power_kw == 0.0
    assert sum(a.power_kw for a in found) == pytest.approx(4.0, abs=1e-6)


def test_a_module_that_must_charge_is_carried_by_the_others() -> None:
    plant, costs = real_plant(5, seed=6)
    boxes = (Box(-2.5, -1.75), *plant.boxes[1:])
    plant = Plant((lambda x: costs[0].response(x, boxes[0]), *plant.responses[1:]), boxes, plant.span)
    agents = plant.agents(4.0)
    plant.play(agents)
    powers = [a.power_kw for a in agreements(agents)]
    assert powers[0] == -1.75
    assert sum(powers) == pytest.approx(4.0, abs=1e-4)
    assert dispatch_gap(costs, boxes, powers) < 1e-3


def test_nobody_can_move() -> None:
    box = Box(0.0, 0.0)
    plant = Plant((sloping(1.0, box),) * 4, (box,) * 4)
    agents = plant.agents(0.0)
    plant.play(agents)
    assert [a.power_kw for a in agreements(agents)] == [0.0] * 4
    assert not agreements(agents)[0].clipped


@pytest.mark.parametrize(("n", "rounds"), [(1, 0), (2, 2)])
def test_one_and_two_modules(n: int, rounds: int) -> None:
    plant, costs = real_plant(n, seed=8, topology="line")
    agents = plant.agents(1.3)
    assert plant.play(agents) == rounds
    found = agreements(agents)
    assert sum(a.power_kw for a in found) == pytest.approx(1.3, abs=1e-6)
    assert dispatch_gap(costs, plant.boxes, [a.power_kw for a in found]) < 1e-3


@pytest.mark.parametrize("target_kw", [6.0, -1.0, 0.05])
def test_costs_without_wear_nearly_jump_at_their_kink(target_kw: float) -> None:
    plant, costs = real_plant(6, seed=9, wear_gamma=0.0)
    dearest = max(float(cost.marginal(np.array(REACH_KW))) for cost in costs)
    plant = replace(plant, span=1.05 * dearest)
    agents = plant.agents(target_kw)
    plant.play(agents)
    found = agreements(agents)
    assert sum(a.power_kw for a in found) == pytest.approx(target_kw, abs=1e-4)
    # all marginal costs lie close together and in steps: two passes resolve that to some thousandths
    assert dispatch_gap(costs, plant.boxes, [a.power_kw for a in found]) < 5e-3


def test_a_jump_of_equal_modules_is_shared_out() -> None:
    box = Box(-REACH_KW, REACH_KW)

    def jump(prices: FloatArray) -> FloatArray:
        return np.where(prices < 0.2, box.low_kw, box.high_kw)

    plant = Plant((jump,) * 5, (box,) * 5)
    agents = plant.agents(3.0)
    plant.play(agents)
    found = agreements(agents)
    assert sum(a.power_kw for a in found) == pytest.approx(3.0, abs=1e-9)
    assert found[0].lambda_eur_per_kwh == pytest.approx(0.2, abs=0.05)
    assert max(a.power_kw for a in found) - min(a.power_kw for a in found) < 5e-3


def test_frames_of_others_are_ignored() -> None:
    plant = sloping_plant(4)
    agents = plant.agents(2.0)
    first = {k: agent.step([], 0)[0] for k, agent in agents.items()}
    for stranger in (
        first[3],  # across the ring
        first[2]._replace(tag=exchange_tag(EpochId(40, 0, 1), plant.group.fingerprint)),
        first[2]._replace(tag=first[2].tag + 1),
    ):
        assert agents[1].step([stranger, first[4]], 0) == []
    assert agents[1].step([first[2]], 0)[0].round == 1
