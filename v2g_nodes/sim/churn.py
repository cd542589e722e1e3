"""Optimizers on a network where modules die, stop, return and leave, links break, and messages get lost.

Simulated time goes on in ticks of a millisecond. An optimizer is stepped when something has arrived for it and, like
in its node, every 25 ms. What must never happen is checked as it goes (sim/churn_watch.py).
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from v2g_nodes.core.epoch_start import SEQUENCES_PER_S
from v2g_nodes.core.graph import Edge, Edges, adjacency, hops_from
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import (
    NO_EPOCH,
    Decision,
    NeighborReport,
    OptimizerSettings,
    Outbox,
)
from v2g_nodes.core.privacy.key_book import KeyPair, KeyReport
from v2g_nodes.core.target import to_float32
from v2g_nodes.core.types import EpochId, Frame
from v2g_nodes.sim.churn_links import TICK_NS, ChurnLinks
from v2g_nodes.sim.churn_watch import ChurnWatch
from v2g_nodes.sim.sloping import Freeze, sloping_snapshot

TICKS_PER_S = 1_000_000_000 // TICK_NS
TIMER_TICKS = 25  # an optimizer that hears nothing is stepped so often, as in nodes/optimizer_node.py
QUEUE = 10  # messages of one kind and neighbour that wait for a module which is stopped (nodes/streams.py)

Distort = Callable[[Outbox], Outbox]


@dataclass
class Mail:
    """What arrives at one module in one tick."""

    frames: list[Frame] = field(default_factory=list)
    reports: list[NeighborReport] = field(default_factory=list)
    keys: list[KeyReport] = field(default_factory=list)


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
        key_pair: a new key for each life, where the settings ask for masks.
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
        key_pair: Callable[[], KeyPair] | None = None,
    ) -> None:
        self._key_pair = key_pair
        self.ids = tuple(sorted(rating_kw))
        self.edges = edges
        self.rating_kw = dict(rating_kw)
        self.random = random.Random(seed)
        self.links = ChurnLinks(self.random, loss, burst_ms)
        template = settings or OptimizerSettings(0, (), {}, price_span_eur_per_kwh=1.0)
        self.settings = replace(template, edges=edges, rating_kw=self.rating_kw)
        self.watch = ChurnWatch(self.settings)
        self.optimizers: dict[int, ModuleOptimizer] = {}
        self.absent: set[int] = set()
        self.stopped: set[int] = set()
        self.distort: dict[int, Distort] = {}  # what becomes of what a module sends
        self.last: dict[int, tuple[float, Decision]] = {}
        self.sent: Counter[str] = Counter()
        self.tick = 0
        self.epoch: EpochId | None = None
        self._neighbours = adjacency(self.ids, edges)
        self._timers = [tuple(k for k in self.ids if k % TIMER_TICKS == phase) for phase in range(TIMER_TICKS)]
        self._mail: dict[int, dict[int, Mail]] = {}
        self._waiting: dict[int, list[Mail]] = {}  # for modules that are stopped
        self._freeze = freeze or sloping_snapshot(rating_kw)
        for k in self.ids:
            self.start(k)

    @property
    def now_s(self) -> float:
        """Simulated time [s]."""
        return self.tick / TICKS_PER_S

    @property
    def faults(self) -> list[str]:
        """What should not have happened."""
        return self.watch.faults

    # ---- what happens to modules and links

    def start(self, module_id: int, life: int | None = None) -> None:
        """A module's optimizer starts with an empty memory; a life of None is drawn."""
        settings = replace(self.settings, module_id=module_id)
        life = self.random.getrandbits(32) if life is None else life
        self.optimizers[module_id] = ModuleOptimizer(
            settings, life, lambda: self._freeze(module_id), lambda: self.watch.power.in_force_kw(module_id),
            pair=self._key_pair() if self._key_pair else None,
        )  # fmt: skip
        self.absent.discard(module_id)

    def kill(self, module_id: int) -> None:
        """Silent death."""
        del self.optimizers[module_id]
        self.last.pop(module_id, None)
        self.stopped.discard(module_id)
        self._waiting.pop(module_id, None)
        self.watch.gone(module_id, self.tick * TICK_NS)

    def stop(self, module_id: int) -> None:
        """The module's process is stopped (SIGSTOP): it does nothing until it goes on."""
        self.stopped.add(module_id)
        self.watch.gone(module_id, self.tick * TICK_NS)

    def go_on(self, module_id: int) -> None:
        """A stopped module goes on (SIGCONT); a timer may come before the newest of what has waited."""
        self.stopped.discard(module_id)
        self._inbox(self.tick + 1, module_id)
        mail = _newest(self._waiting.pop(module_id, []))
        inbox = self._inbox(self.tick + self.random.choice((1, 2)), module_id)
        inbox.frames += mail.frames
        inbox.reports += mail.reports
        inbox.keys += mail.keys

    def leave(self, module_id: int) -> None:
        """Polite leave: the optimizer runs on, its module is not available."""
        self.absent.add(module_id)

    def come_back(self, module_id: int) -> None:
        """The module is available again."""
        self.absent.discard(module_id)

    def cut(self, *edges: Edge, one_way: bool = False) -> None:
        """Break links; one way: only from the first to the second."""
        for a, b in edges:
            self.links.broken |= {(a, b)} if one_way else {(a, b), (b, a)}

    def heal(self, *edges: Edge) -> None:
        """Mend links, both ways."""
        for a, b in edges:
            self.links.broken -= {(a, b), (b, a)}

    def signal(self, target_kw: float, missed_by: Iterable[int] = ()) -> EpochId:
        """A new grid signal reaches all modules but some."""
        sequence = max(self.sequence, self.epoch.signal_sequence + 1 if self.epoch else 0)
        self.epoch = EpochId(sequence, 1, 1)
        self.tell([k for k in self.optimizers if k not in missed_by], target_kw)
        return self.epoch

    def tell(self, module_ids: Iterable[int], target_kw: float) -> None:
        """The newest signal reaches these modules, with this target."""
        for k in module_ids:
            if self.epoch and k in self.optimizers and k not in self.stopped:
                self.optimizers[k].start_epoch(self.epoch, to_float32(target_kw))
                self._inbox(self.tick + 1, k)

    @property
    def sequence(self) -> int:
        """Signal sequence of this instant."""
        return 1000 + round(SEQUENCES_PER_S * self.now_s)

    # ---- time

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
        away, broken = self.absent | self.stopped, self.links.broken
        active = [k for k in self.ids if k in self.optimizers and k not in away]
        links = [e for e in self.edges if e not in broken and e[::-1] not in broken]
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
        if self.tick % TIMER_TICKS == 0:
            self.watch.pass_time(self.optimizers, self.tick * TICK_NS)
        mail = self._mail.pop(self.tick, None)
        timers = self._timers[self.tick % TIMER_TICKS]
        if mail:
            for k in sorted({*mail, *timers}):
                self._step(k, mail.get(k))
        else:
            for k in timers:
                self._step(k, None)

    def _step(self, module_id: int, mail: Mail | None) -> None:
        optimizer = self.optimizers.get(module_id)
        if optimizer is None:
            return
        if module_id in self.stopped:
            if mail:
                self._waiting.setdefault(module_id, []).append(mail)
            return
        now_ns, limit = self.tick * TICK_NS, self.sequence + 2 * SEQUENCES_PER_S
        frames, reports, keys = (mail.frames, mail.reports, mail.keys) if mail else ((), (), ())
        outbox = optimizer.step(frames, reports, now_ns, module_id not in self.absent, limit, keys)
        if outbox.frames or outbox.reports or outbox.keys:
            distort = self.distort.get(module_id)
            self._send(module_id, distort(outbox) if distort else outbox)
        if outbox.decision:
            self.last[module_id] = (self.now_s, outbox.decision)
        self.watch.stepped(module_id, optimizer, outbox.decision, now_ns)

    def _send(self, sender: int, outbox: Outbox) -> None:
        self.sent["curve"] += len(outbox.frames)
        self.sent["neighbor_state"] += len(outbox.reports)
        self.sent["mask_key"] += len(outbox.keys)
        for hearer in self._neighbours[sender]:
            link = (sender, hearer)
            for frame in outbox.frames:
                if due := self.links.arrival(link, self.tick):
                    self._inbox(due, hearer).frames.append(frame)
            for report in outbox.reports:
                if due := self.links.arrival(link, self.tick):
                    self._inbox(due, hearer).reports.append(report)
            for key in outbox.keys:
                if due := self.links.arrival(link, self.tick):
                    self._inbox(due, hearer).keys.append(key)

    def _inbox(self, tick: int, hearer: int) -> Mail:
        """What arrives at a module in a tick to come."""
        due = self._mail.setdefault(tick, {})
        return due.get(hearer) or due.setdefault(hearer, Mail())


def _newest(mails: Iterable[Mail]) -> Mail:
    """Of each sender and kind as much as waits in a full queue."""
    frames: dict[int, deque[Frame]] = {}
    reports: dict[int, deque[NeighborReport]] = {}
    keys: dict[int, deque[KeyReport]] = {}
    for mail in mails:
        for frame in mail.frames:
            frames.setdefault(frame.sender, deque(maxlen=QUEUE)).append(frame)
        for report in mail.reports:
            reports.setdefault(report.sender, deque(maxlen=QUEUE)).append(report)
        for key in mail.keys:
            keys.setdefault(key.sender, deque(maxlen=QUEUE)).append(key)
    return Mail(
        [f for queue in frames.values() for f in queue],
        [r for queue in reports.values() for r in queue],
        [k for queue in keys.values() for k in queue],
    )
