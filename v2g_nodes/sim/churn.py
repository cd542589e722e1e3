"""Optimizers on a network where modules die, return and leave, links break, and messages get lost.

Simulated time goes on in ticks of a millisecond; a message takes one to three of them, so messages overtake each
other. Everything follows from the seed. What must never happen is checked as it goes: two decisions of one epoch and
group that differ about the price, powers of a whole group that miss its target.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from v2g_nodes.core.epoch_start import SEQUENCES_PER_S
from v2g_nodes.core.graph import Edge, Edges, adjacency, hops_from
from v2g_nodes.core.optimizer import (
    NO_EPOCH,
    Decision,
    ModuleOptimizer,
    NeighborReport,
    OptimizerSettings,
    Outbox,
    Snapshot,
)
from v2g_nodes.core.types import Box, EpochId, FloatArray, Frame

TICK_NS = 1_000_000
TICKS_PER_S = 1_000_000_000 // TICK_NS
TIMER_TICKS = 10  # an optimizer that hears nothing is stepped so often
LATENCY_TICKS = (1, 2, 3)
BALANCE_SHARE = 1e-3  # of the rating; agreed powers may miss the clipped target by so much
KEPT_AGREEMENTS = 2000

Freeze = Callable[[int], Snapshot]
Named = tuple[EpochId, int, tuple[int, ...], Edges]  # one agreement: epoch, fingerprint, members, links


@dataclass(frozen=True)
class SlopingSupply:
    """A module whose power rises in proportion to the price, a Supply.

    Args:
        slope_kw: power per price [kW per EUR/kWh].
        reach_kw: the box leaves so much on either side [kW].
    """

    slope_kw: float
    reach_kw: float

    def response(self, prices: FloatArray) -> FloatArray:
        """See Supply."""
        result: FloatArray = np.clip(self.slope_kw * prices, -self.reach_kw, self.reach_kw)
        return result

    def slope(self, price: float) -> float:
        """See Supply."""
        return self.slope_kw if abs(self.slope_kw * price) < self.reach_kw else 0.0

    def proximal(self, price: float, weight: float) -> float:
        """See Supply."""
        return min(max(price / (1.0 / self.slope_kw + weight), -self.reach_kw), self.reach_kw)


def sloping_snapshot(rating_kw: Mapping[int, float], reach: float = 0.75) -> Freeze:
    """Snapshots of modules with SlopingSupply, each with a slope of its own.

    Args:
        rating_kw: of each module [kW].
        reach: share of the rating that the box leaves on either side.
    """

    def freeze(module_id: int) -> Snapshot:
        kw = reach * rating_kw[module_id]
        return Snapshot(Box(-kw, kw), SlopingSupply(kw * (2.0 + module_id % 7), kw))

    return freeze


@dataclass
class Mail:
    """What arrives at one module in one tick."""

    frames: list[Frame] = field(default_factory=list)
    reports: list[NeighborReport] = field(default_factory=list)


class Churn:
    """A station's optimizers and the links between them.

    Args:
        edges: links of the station.
        rating_kw: rating of each module [kW].
        seed: of losses, delays and lives.
        loss: share of messages lost, drawn for each hearer.
        burst_ms: mean length of the times in which a link loses everything; 0 = losses are independent.
        freeze: snapshot of a module; `sloping_snapshot` by default.
        settings: template; its module_id, edges and ratings are replaced.
    """

    def __init__(
        self,
        edges: Edges,
        rating_kw: Mapping[int, float],
        seed: int = 0,
        loss: float = 0.0,
        burst_ms: float = 0.0,
        freeze: Freeze | None = None,
        settings: OptimizerSettings | None = None,
    ) -> None:
        self.ids = tuple(sorted(rating_kw))
        self.edges = edges
        self.rating_kw = dict(rating_kw)
        self.random = random.Random(seed)
        self.optimizers: dict[int, ModuleOptimizer] = {}
        self.absent: set[int] = set()
        self.broken: set[Edge] = set()  # directed: (from, to)
        self.last: dict[int, tuple[float, Decision]] = {}
        self.faults: list[str] = []
        self.sent: Counter[str] = Counter()
        self.tick = 0
        self.epoch: EpochId | None = None
        self._neighbours = adjacency(self.ids, edges)
        self._loss = loss
        # memory of a link's state over one tick (two-state Markov chain whose stay in the bad state is burst_ms)
        self._memory = max(0.0, 1.0 - TICK_NS / 1e6 / (burst_ms * (1.0 - loss))) if burst_ms else 0.0
        self._links: dict[Edge, tuple[int, bool]] = {}  # when a link was asked last, and whether it lost
        self._mail: dict[int, dict[int, Mail]] = {}
        self._agreed: dict[Named, dict[int, tuple[ModuleOptimizer, Decision]]] = {}
        self._freeze = freeze or sloping_snapshot(rating_kw)
        self._settings = settings or OptimizerSettings(0, (), {}, price_span_eur_per_kwh=1.0)
        for k in self.ids:
            self.start(k)

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""
        return self.tick / TICKS_PER_S

    def start(self, module_id: int, life: int | None = None) -> None:
        """A module's optimizer starts with an empty memory; a life of None is drawn."""
        settings = replace(self._settings, module_id=module_id, edges=self.edges, rating_kw=self.rating_kw)
        life = self.random.getrandbits(32) if life is None else life
        self.optimizers[module_id] = ModuleOptimizer(settings, life, lambda: self._freeze(module_id))
        self.absent.discard(module_id)

    def kill(self, module_id: int) -> None:
        """Silent death."""
        del self.optimizers[module_id]
        self.last.pop(module_id, None)

    def leave(self, module_id: int) -> None:
        """Polite leave: the optimizer runs on, its module is not available."""
        self.absent.add(module_id)

    def come_back(self, module_id: int) -> None:
        """The module is available again."""
        self.absent.discard(module_id)

    def cut(self, *edges: Edge, one_way: bool = False) -> None:
        """Break links; one way: only from the first to the second."""
        for a, b in edges:
            self.broken |= {(a, b)} if one_way else {(a, b), (b, a)}

    def heal(self, *edges: Edge) -> None:
        """Mend links, both ways."""
        for a, b in edges:
            self.broken -= {(a, b), (b, a)}

    def signal(self, target_kw: float, missed_by: Iterable[int] = ()) -> EpochId:
        """A new grid signal reaches all modules but some."""
        sequence = max(self.sequence, self.epoch.signal_sequence + 1 if self.epoch else 0)
        self.epoch = EpochId(sequence, 1, 1)
        for k, optimizer in self.optimizers.items():
            if k not in missed_by:
                optimizer.start_epoch(self.epoch, float(np.float32(target_kw)))
        return self.epoch

    @property
    def sequence(self) -> int:
        """Signal sequence of this instant."""
        return 1000 + round(SEQUENCES_PER_S * self.now_s)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * TICKS_PER_S)):
            self._run_tick()

    def run_until_settled(self, limit_s: float) -> float:
        """Let time pass until every island has agreed.

        Returns:
            Time it took [s].

        Raises:
            TimeoutError: not settled after `limit_s`; names who disagrees.
        """
        for tick in range(round(limit_s * TICKS_PER_S)):
            if tick % TIMER_TICKS == 0 and not self.unsettled():
                return tick / TICKS_PER_S
            self._run_tick()
        if missing := self.unsettled():
            raise TimeoutError(f"after {limit_s:g} s: {'; '.join(missing[:3])}; {len(missing)} in all")
        return limit_s

    def islands(self) -> list[tuple[int, ...]]:
        """Modules that take part, in groups joined by links that work both ways."""
        active = [k for k in self.ids if k in self.optimizers and k not in self.absent]
        links = [e for e in self.edges if e not in self.broken and e[::-1] not in self.broken]
        reachable = adjacency(active, [(a, b) for a, b in links if a in active and b in active])
        return sorted({tuple(sorted(hops_from(k, reachable))) for k in active})

    def unsettled(self) -> list[str]:
        """What is missing until every island has agreed on the newest epoch that one of its members knows."""
        missing = []
        for island in self.islands():
            fingerprints = {self.optimizers[k].membership.group.fingerprint for k in island}
            newest = self.optimizers[island[0]].epoch
            for k in island:
                epoch = self.optimizers[k].epoch
                newest = epoch if epoch != NO_EPOCH and (newest == NO_EPOCH or epoch.newer_than(newest)) else newest
            for k in island:
                group, last = self.optimizers[k].membership.group, self.last.get(k)
                if group.members != island:
                    missing.append(f"{k} counts on {group.members}, its island is {island}")
                elif len(fingerprints) > 1:
                    missing.append(f"{k} has fingerprint {group.fingerprint} of {fingerprints} in {island}")
                elif newest != NO_EPOCH and (last is None or last[1].group != group or last[1].epoch != newest):
                    missing.append(f"{k} has not agreed on {newest} in {island}")
        return missing

    def _run_tick(self) -> None:
        self.tick += 1
        mail = self._mail.pop(self.tick, {})
        for k in tuple(self.optimizers):
            if k in mail or (self.tick + k) % TIMER_TICKS == 0:
                inbox = mail.get(k) or Mail()
                now_ns, limit = self.tick * TICK_NS, self.sequence + 2 * SEQUENCES_PER_S
                outbox = self.optimizers[k].step(inbox.frames, inbox.reports, now_ns, k not in self.absent, limit)
                self._send(k, outbox)
                if outbox.decision:
                    self.last[k] = (self.now_s, outbox.decision)
                    self._check(k, outbox.decision)

    def _send(self, sender: int, outbox: Outbox) -> None:
        self.sent["curve"] += len(outbox.frames)
        self.sent["neighbor_state"] += len(outbox.reports)
        for hearer in self._neighbours[sender]:
            for frame in outbox.frames:
                if inbox := self._reaches(sender, hearer):
                    inbox.frames.append(frame)
            for report in outbox.reports:
                if inbox := self._reaches(sender, hearer):
                    inbox.reports.append(report)

    def _reaches(self, sender: int, hearer: int) -> Mail | None:
        """The inbox in which the next message from one to the other arrives; None if it gets lost."""
        link = (sender, hearer)
        if link in self.broken or (self._loss and self._lost(link)):
            return None
        due = self._mail.setdefault(self.tick + self.random.choice(LATENCY_TICKS), {})
        return due.setdefault(hearer, Mail())

    def _lost(self, link: Edge) -> bool:
        """Independent losses, or bursts after Gilbert and Elliott."""
        tick, bad = self._links.get(link, (0, False))
        remembered = self._memory ** (self.tick - tick) if self._memory else 0.0
        bad = self.random.random() < self._loss + (bad - self._loss) * remembered
        self._links[link] = (self.tick, bad)
        return bad

    def _check(self, module_id: int, decision: Decision) -> None:
        group, agreement = decision.group, decision.agreement
        known = self._agreed.setdefault((decision.epoch, group.fingerprint, group.members, group.edges), {})
        what = f"{self.now_s:.3f} s, module {module_id}, {decision.epoch}, membership {group.fingerprint}:"
        maker = self.optimizers[module_id]
        if known.get(module_id, (None,))[0] is maker:
            self.faults.append(f"{what} decided twice")
        known[module_id] = (maker, decision)
        decisions = [made for _, made in known.values()]
        prices = {made.agreement.lambda_eur_per_kwh for made in decisions}
        if len(prices) > 1:
            self.faults.append(f"{what} prices {sorted(prices)}")
        if len(decisions) == len(group.members):
            low_kw, high_kw = (sum(end) for end in zip(*(_ends(made) for made in decisions), strict=True))
            owed_kw = min(max(agreement.target_kw, low_kw), high_kw)
            got_kw = sum(made.agreement.power_kw for made in decisions)
            if abs(got_kw - owed_kw) > BALANCE_SHARE * sum(self.rating_kw.values()):
                self.faults.append(f"{what} {got_kw:.4f} kW agreed, {owed_kw:.4f} kW owed")
        while len(self._agreed) > KEPT_AGREEMENTS:
            del self._agreed[next(iter(self._agreed))]


def _ends(decision: Decision) -> tuple[float, float]:
    return decision.snapshot.box.low_kw, decision.snapshot.box.high_kw
