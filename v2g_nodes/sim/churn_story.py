"""Stories of random stations on which many things happen, one after the other and several at a time.

A story is named by its seed and number and always goes the same way. It ends early at the first fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from v2g_nodes.core.graph import Edges, build_edges
from v2g_nodes.core.optimizer_types import OptimizerSettings
from v2g_nodes.core.privacy.key_book import KeyPair
from v2g_nodes.core.privacy.masks import MASKS, NONE
from v2g_nodes.core.target import MAJORITY
from v2g_nodes.sim.churn import Churn
from v2g_nodes.sim.churn_events import CHURN_WEIGHTS, Events
from v2g_nodes.sim.random_graph import random_edges
from v2g_nodes.sim.sloping import Vehicles
from v2g_nodes.sim.watch_agreements import BALANCE_SHARE

SLOTS = 64
GRAPHS = ("random", "random", "random", "ring", "line", "star", "mesh", "bus")
BUS_MAX = 16  # modules of a complete graph; more cost much and show nothing new
RULES = ("majority", "majority", "majority", "nameplate_share")
IDLE_SPREADS = (0.0, 0.0, 0.1)  # EUR/kWh
ALONE = 0.5  # share of settled states after which one thing happens alone
SEVERAL = 12  # at the most this many happen before the station may settle again
GAPS_S = (0.001, 1.0)  # between those, a delay of a message as likely as a silence
AT_ONCE = 0.3  # share of those without any time between
LONG_PAUSE_S, LONG_PAUSES = 6.0, 0.3  # lets powers be fully released; share of settled states that get it
SHORT_PAUSE_S = 0.3  # mean of the others
SETTLE_LIMIT_S, LOSSY_LIMIT_S = 4.0, 15.0  # a line of 37 takes up to 10 s with 20 % loss
SHOWN = 30  # events shown with a fault


@dataclass(frozen=True)
class StoryOptions:
    """What a story is made from.

    Args:
        seed: of the campaign.
        number: of the story.
        events: of sim/churn_events.py CHURN_WEIGHTS to happen; those of OTHER_WEIGHTS come on top.
        loss: share of messages lost.
        modules_max: largest station.
    """

    seed: int
    number: int
    events: int = 40
    loss: float = 0.0
    modules_max: int = SLOTS


@dataclass
class Story:
    """What happened.

    Args:
        title: the station in a few words.
        modules: how many it has.
        trading: some modules may take what others give.
        events: how often each kind happened.
        settle_s: settling times by kind of an event that happened alone, or `several` [s].
        faults: what should not have happened, with the events before it.
        simulated_s: length [s].
        agreements: in which all members decided.
        excess_share: how far the base powers in force went beyond the target at the most, per rating of the station.
        excess_s: how long they were beyond the tolerance at the most [s].
        owners_due: settled states with an island that has more than half of what has not left.
        owners_missing: those in which it did not own the target.
    """

    title: str
    modules: int
    trading: bool
    events: Counter[str] = field(default_factory=Counter)
    settle_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    simulated_s: float = 0.0
    agreements: int = 0
    excess_share: float = 0.0
    excess_s: float = 0.0
    owners_due: int = 0
    owners_missing: int = 0


class StoryTeller:
    """Draws a station and lets things happen to it.

    Args:
        options: what the story is made from.
        key_pair: a new key for each life; with it modules hide their curves.
    """

    def __init__(self, options: StoryOptions, key_pair: Callable[[], KeyPair] | None = None) -> None:
        self.options = options
        self._random = random = np.random.default_rng([options.seed, options.number])
        graph = str(random.choice(GRAPHS))
        most = min(options.modules_max, BUS_MAX if graph == "bus" else SLOTS)
        n = round(2.0 * (most / 2.0) ** float(random.random()))  # small ones as often as large ones
        ids = tuple(sorted(random.choice(np.arange(1, SLOTS + 1), n, replace=False).tolist()))
        rating_kw = {k: _rating_kw(random, options.number) for k in ids}
        spread = float(random.choice(IDLE_SPREADS))
        self.vehicles = Vehicles(rating_kw, random, spread)
        rule = str(random.choice(RULES))
        settings = OptimizerSettings(0, (), {}, 1.0, island_rule=rule, privacy=MASKS if key_pair else NONE)
        burst_ms = float(random.choice((0.0, 0.0, 30.0))) if options.loss else 0.0
        self.churn = Churn(
            _edges(graph, ids, random), rating_kw, int(random.integers(2**32)), options.loss, burst_ms,
            self.vehicles.freeze, settings, key_pair,
        )  # fmt: skip
        self.churn.watch.power.trading = spread > 0.0
        self._events = Events(self.churn, self.vehicles, random)
        self._history: list[str] = []
        title = f"{graph} of {n}, {rule}, idle prices ±{spread:g}, bursts of {burst_ms:g} ms"
        self.story = Story(title, n, spread > 0.0)

    def tell(self) -> Story:
        """Let everything happen."""
        story, churn = self.story, self.churn
        churn.signal(float(self._random.uniform(-1.0, 1.0)) * sum(churn.rating_kw.values()))
        while sum(story.events[kind] for kind in CHURN_WEIGHTS) < self.options.events and not churn.faults:
            self._chapter()
        if not churn.faults:
            self._end()
        story.simulated_s = churn.now_s
        story.agreements = churn.watch.agreements.complete
        story.excess_share = churn.watch.power.largest_excess_share
        story.excess_s = churn.watch.power.longest_excess_ns / 1e9
        if churn.faults:
            o = self.options
            story.faults = [
                f"seed {o.seed}, story {o.number}, loss {o.loss:g}: {story.title}",
                *churn.faults[:3],
                *self._history[-SHOWN:],
            ]
        return story

    def _chapter(self) -> None:
        """One event or several at a time, until the station has settled again."""
        alone = self._random.random() < ALONE
        for _ in range(1 if alone else int(self._random.integers(2, SEVERAL + 1))):
            kind = self._happen()
            if not alone and self._random.random() > AT_ONCE:
                self.churn.run(float(np.exp(self._random.uniform(*np.log(GAPS_S)))))
        self._settle(kind if alone else "several")
        long = self._random.random() < LONG_PAUSES
        self.churn.run(LONG_PAUSE_S if long else float(self._random.exponential(SHORT_PAUSE_S)))
        if long and self.churn.settings.island_rule == MAJORITY:
            self._count_owners()

    def _count_owners(self) -> None:
        """Whether the island that has more than half of what has not left owns the target.

        It may not, where those who left and came back have not been taken in again by all who should know: then nobody
        owns it, until more of the station is together.
        """
        churn = self.churn
        present_kw = sum(kw for k, kw in churn.rating_kw.items() if k not in churn.absent)
        for island in churn.islands():
            made = churn.last.get(island[0])
            if made and 2.0 * sum(churn.rating_kw[k] for k in island) > present_kw * (1.0 + 1e-9):
                self.story.owners_due += 1
                self.story.owners_missing += not made[1].agreement.target_kw

    def _happen(self) -> str:
        now_s = self.churn.now_s
        kind, what = self._events.happen()
        self.story.events[kind] += 1
        self._history.append(f"{now_s:.3f} s: {what}")
        return kind

    def _settle(self, kind: str) -> None:
        try:
            limit_s = LOSSY_LIMIT_S if self.options.loss else SETTLE_LIMIT_S
            self.story.settle_s[kind].append(self.churn.run_until_settled(limit_s))
        except TimeoutError as error:
            self.churn.faults.append(f"{self.churn.now_s:.3f} s: not settled {error}")
        self._history.append(f"{self.churn.now_s:.3f} s: settled in {len(self.churn.islands())} islands")

    def _end(self) -> None:
        """Everything is mended; all must come together."""
        churn = self.churn
        churn.heal(*churn.edges)
        for k in churn.ids:
            churn.come_back(k)
            if k in churn.stopped:
                churn.go_on(k)
            if k not in churn.optimizers:
                churn.start(k)
        self._history.append(f"{churn.now_s:.3f} s: all mended")
        self._settle("all mended")
        if churn.islands() != [churn.ids]:
            churn.faults.append(f"{churn.now_s:.3f} s: islands {churn.islands()} of a whole station")
        churn.run(LONG_PAUSE_S)
        powers = {k: churn.watch.power.in_force_kw(k) for k in churn.ids}
        boxes = [decision.snapshot.box for _, decision in churn.last.values()]
        target_kw = churn.optimizers[churn.ids[0]].target_kw
        owed_kw = min(max(target_kw, sum(box.low_kw for box in boxes)), sum(box.high_kw for box in boxes))
        if abs(sum(powers.values()) - owed_kw) > BALANCE_SHARE * sum(churn.rating_kw.values()):
            churn.faults.append(f"{churn.now_s:.3f} s: {powers} in force in the end, {owed_kw:.3f} kW owed")


def _rating_kw(random: np.random.Generator, number: int) -> float:
    """Equal modules, nearly equal ones, or some large ones among small ones, by the number of the story."""
    return (3.3, float(random.uniform(3.0, 3.3)), float(random.choice([3.3, 3.3, 11.0, 22.0])))[number % 3]


def _edges(graph: str, ids: tuple[int, ...], random: np.random.Generator) -> Edges:
    order = random.permutation(np.array(ids, dtype=np.int64)).tolist()
    if graph != "random":
        return build_edges(graph, order)
    return random_edges(ids, int(random.integers(0, 2 * len(ids))), random)
