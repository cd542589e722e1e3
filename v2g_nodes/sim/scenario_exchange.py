"""The agreements of a scenario: the real agents exchange frames over the lossy network, epoch after epoch.

Groups are what remains connected of the modules that live. A module that dies in the middle of an exchange is missed
after the silence time; then its neighbours' groups begin the epoch again without it, as in core/optimizer.py.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.methods import build_agent
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.dispatch.reference import dispatch_gap, equal_split
from v2g_nodes.core.epoch_start import forced_cold, moved
from v2g_nodes.core.graph import Edges, adjacency, hops_from
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.target import island_target_kw
from v2g_nodes.core.types import Agreement, Box, EpochId
from v2g_nodes.sim.network import LossyNetwork, play_epoch

OUTSIDE_KW = 1e-9  # kW, a power this far out of its box is rounding
ROUNDS_MAX = 100_000


@dataclass(frozen=True)
class ExchangeSettings:
    """What the exchange of a station is built from.

    Args:
        edges: links.
        rating_kw: ratings by id [kW].
        price_span_eur_per_kwh: cold price range is plus and minus this.
        algorithm: one of core/dispatch/methods.py METHODS.
        island_rule: majority | nameplate_share.
        cold_every: every so many epochs one begins cold; 0 = never.
        epoch_s: period [s].
        resend_rounds: rounds after which a waiting module repeats its frame.
        silence_rounds: rounds after which a silent neighbour counts as gone.
        loss: share of frames lost, each link by itself.
        seed: of the losses.
    """

    edges: Edges
    rating_kw: Mapping[int, float]
    price_span_eur_per_kwh: float
    algorithm: str
    island_rule: str
    cold_every: int
    epoch_s: float
    resend_rounds: int
    silence_rounds: int
    loss: float
    seed: int


@dataclass(frozen=True)
class IslandEpoch:
    """What the modules of one island agreed on, judged by what they froze.

    Args:
        agreements: by module.
        clipped_kw: what the island owes, inside the summed boxes [kW].
        shortfall_kw: what it owes beyond them [kW].
        balance_error_kw: agreed total against clipped_kw [kW].
        gap: to the centralised optimum, relative.
        equal_split_gap: the same for an equal split.
        outside: modules whose power lies outside their box.
        owned: whether it owes any of the target.
    """

    agreements: Mapping[int, Agreement]
    clipped_kw: float
    shortfall_kw: float
    balance_error_kw: float
    gap: float
    equal_split_gap: float
    outside: int
    owned: bool


@dataclass(frozen=True)
class StationEpoch:
    """One epoch of the station.

    Args:
        islands: the largest, which owns the target, first.
        elapsed_rounds: until the last module agreed; frames sent again, deaths noticed and warm starts given up count.
    """

    islands: tuple[IslandEpoch, ...]
    elapsed_rounds: int

    @property
    def rounds(self) -> int:
        """The most broadcasts a module made for its agreement."""
        return max(agreement.rounds for agreement in self.agreements.values())

    @property
    def agreements(self) -> dict[int, Agreement]:
        """All agreements by module."""
        return {k: agreement for island in self.islands for k, agreement in island.agreements.items()}


class StationExchange:
    """Plays epochs; carries warm starts and deaths from one to the next.

    Args:
        settings: see there.
    """

    def __init__(self, settings: ExchangeSettings) -> None:
        self._settings = settings
        self._rating_w = {k: round(1000 * kw) for k, kw in settings.rating_kw.items()}
        self._network = LossyNetwork(adjacency(settings.rating_kw, settings.edges), settings.loss, seed=settings.seed)
        self._groups = self._islands()
        self._warm: dict[int, tuple[int, WarmStart]] = {}
        self._last: dict[int, Agreement] = {}

    @property
    def groups(self) -> tuple[Group, ...]:
        """Islands of living modules, the largest first."""
        return self._groups

    def agree(
        self, epoch: EpochId, target_kw: float, supplies: Mapping[int, BoxedCost], falls: Mapping[int, int]
    ) -> StationEpoch:
        """One epoch.

        Args:
            epoch: names it.
            target_kw: of the station [kW].
            supplies: offers of the living modules.
            falls: modules that die in this exchange, and in which of its rounds.

        Raises:
            RuntimeError: no agreement.
        """
        agents = self._begin(epoch, target_kw, supplies)
        events = defaultdict[int, list[Callable[[], None]]](list)

        def begin_again() -> None:
            self._groups = self._islands()
            agents.update(self._begin(epoch, target_kw, supplies))

        for module, moment in falls.items():
            events[moment].append(partial(self._network.kill, module))
            events[moment + self._settings.silence_rounds].append(begin_again)
        calls = {moment: partial(_call, actions) for moment, actions in events.items()}
        elapsed = play_epoch(agents, self._network, ROUNDS_MAX, calls)
        for group in self._groups:
            for k in group.members:
                self._last[k] = _agreement(agents[k])
                warm = agents[k].warm_start
                if warm is not None:
                    self._warm[k] = (group.fingerprint, warm)
        return StationEpoch(tuple(self._judge(group, target_kw, supplies) for group in self._groups), elapsed)

    def _islands(self) -> tuple[Group, ...]:
        """Connected parts of what lives, the one with the largest rating first."""
        rating_kw = self._settings.rating_kw
        left = {k for k in rating_kw if self._network.lives(k)}
        links = tuple(edge for edge in self._settings.edges if left.issuperset(edge))
        neighbours, groups = adjacency(left, links), []
        while left:
            members = tuple(sorted(hops_from(min(left), neighbours)))
            left.difference_update(members)
            own = tuple(edge for edge in links if edge[0] in members)
            name = zlib.crc32(repr((members, own)).encode())
            groups.append(Group(members, own, {k: rating_kw[k] for k in members}, name))
        return tuple(sorted(groups, key=lambda group: -group.total_rating_kw))

    def _owed_kw(self, group: Group, target_kw: float) -> float:
        return island_target_kw(target_kw, group.members, self._rating_w, self._rating_w, self._settings.island_rule)

    def _begin(self, epoch: EpochId, target_kw: float, supplies: Mapping[int, BoxedCost]) -> dict[int, LockstepAgent]:
        settings, agents = self._settings, {}
        every = forced_cold(epoch, settings.cold_every, settings.epoch_s)
        for group in self._groups:
            owed_kw = self._owed_kw(group, target_kw)
            for k in group.members:
                supply, last = supplies[k], self._last.get(k)
                start = last.lambda_eur_per_kwh if last else None
                problem = LocalProblem(k, supply.box, supply, epoch, owed_kw, settings.price_span_eur_per_kwh, start)
                name, warm = self._warm.get(k, (0, None))
                warm = warm if name == group.fingerprint else None
                cold = every or (warm is not None and moved(supply, last, settings.rating_kw[k]))
                agents[k] = build_agent(settings.algorithm, problem, group, warm, settings.resend_rounds, cold)
        return agents

    def _judge(self, group: Group, target_kw: float, supplies: Mapping[int, BoxedCost]) -> IslandEpoch:
        agreements = {k: self._last[k] for k in group.members}
        costs, boxes = [supplies[k].cost for k in group.members], [supplies[k].box for k in group.members]
        powers = [agreement.power_kw for agreement in agreements.values()]
        owed_kw = self._owed_kw(group, target_kw)
        clipped_kw = Box(math.fsum(b.low_kw for b in boxes), math.fsum(b.high_kw for b in boxes)).clip(owed_kw)
        inside = [box.clip(power) for box, power in zip(boxes, powers, strict=True)]
        return IslandEpoch(
            agreements=agreements,
            clipped_kw=clipped_kw,
            shortfall_kw=abs(owed_kw - clipped_kw),
            balance_error_kw=abs(math.fsum(powers) - clipped_kw),
            gap=dispatch_gap(costs, boxes, inside),
            equal_split_gap=dispatch_gap(costs, boxes, equal_split(boxes, clipped_kw)),
            outside=sum(abs(p - q) > OUTSIDE_KW for p, q in zip(powers, inside, strict=True)),
            owned=self._owed_kw(group, 1.0) > 0.0,
        )


def _agreement(agent: LockstepAgent) -> Agreement:
    if agent.agreement is None:
        raise RuntimeError("an agent has no agreement after the epoch was played")
    return agent.agreement


def _call(actions: Sequence[Callable[[], None]]) -> None:
    for action in actions:
        action()
