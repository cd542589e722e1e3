"""What happens to a station, drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from v2g_nodes.core.graph import Edge, adjacency
from v2g_nodes.sim.churn import Churn
from v2g_nodes.sim.sloping import REACH, Vehicles

#: how often each kind is drawn while there is something it can happen to; these change who can agree with whom
CHURN_WEIGHTS = {
    "death": 10, "two deaths": 2, "birth": 14, "restart": 5, "leave": 7, "return": 9, "stop": 5, "go on": 8,
    "cut": 7, "one-way cut": 4, "partition": 4, "heal": 9, "heal all": 3,
}  # fmt: skip
OTHER_WEIGHTS = {"signal": 10, "two signals": 3, "vehicle": 5}
MISSED = 0.2  # share of the modules that miss a signal, of every third one
DIFFERING = 0.1  # share of the signals that part of the modules hear with another target


class Events:
    """Draws what happens next and lets it happen.

    Args:
        churn: the station.
        vehicles: its vehicles.
        random: source of the draws.
    """

    def __init__(self, churn: Churn, vehicles: Vehicles, random: np.random.Generator) -> None:
        self._churn = churn
        self._vehicles = vehicles
        self._random = random
        self._reach_kw = REACH * sum(churn.rating_kw.values())
        self._neighbours = adjacency(churn.ids, churn.edges)
        weights = CHURN_WEIGHTS | OTHER_WEIGHTS
        self._kinds = list(weights)
        self._shares = np.array(list(weights.values())) / sum(weights.values())
        self._acts: dict[str, Callable[[], str | None]] = {
            "death": lambda: self._each(self._living(), churn.kill),
            "two deaths": lambda: self._each(self._living(), churn.kill, 2),
            "birth": lambda: self._each(set(churn.ids) - set(churn.optimizers), churn.start),
            "restart": lambda: self._each(self._living(), self._restart),
            "leave": lambda: self._each(self._living() - churn.absent, churn.leave),
            "return": lambda: self._each(self._living() & churn.absent, churn.come_back),
            "stop": lambda: self._each(self._living() - churn.stopped, churn.stop),
            "go on": lambda: self._each(churn.stopped, churn.go_on),
            "cut": lambda: self._cut(self._choose(self._whole())),
            "one-way cut": self._deafen,
            "partition": self._part,
            "heal": lambda: self._heal(self._choose(churn.links.broken)),
            "heal all": lambda: self._heal(churn.links.broken),
            "signal": self._signal,
            "two signals": self._two_signals,
            "vehicle": lambda: self._each(churn.ids, vehicles.change),
        }

    def happen(self) -> tuple[str, str]:
        """One event.

        Returns:
            Its kind, and what it was in a few words.
        """
        while True:
            kind = str(self._random.choice(self._kinds, p=self._shares))
            what = self._acts[kind]()
            if what is not None:
                return kind, f"{kind} {what}"

    def _living(self) -> set[int]:
        return set(self._churn.optimizers)

    def _whole(self) -> set[Edge]:
        return {e for e in self._churn.edges if not {e, e[::-1]} & self._churn.links.broken}

    def _choose(self, among: Iterable[Edge]) -> list[Edge]:
        """One edge, if there is one."""
        found = sorted(among)
        return [found[int(self._random.integers(len(found)))]] if found else []

    def _each(self, among: Iterable[int], act: Callable[[int], object], count: int = 1) -> str | None:
        """It happens to so many modules at once."""
        found = sorted(among)
        if len(found) < count:
            return None
        chosen: list[int] = self._random.choice(found, count, replace=False).tolist()
        for k in chosen:
            act(k)
        return " ".join(map(str, chosen))

    def _restart(self, module_id: int) -> None:
        self._churn.kill(module_id)
        self._churn.start(module_id)

    def _cut(self, edges: Iterable[Edge], one_way: bool = False) -> str | None:
        edges = sorted(edges)
        self._churn.cut(*edges, one_way=one_way)
        return " ".join(f"{a}-{b}" for a, b in edges) or None

    def _deafen(self) -> str | None:
        """One link or all of a module work one way only."""
        edges = self._choose(self._whole())
        if edges and self._random.random() < 0.3:
            deaf = edges[0][int(self._random.integers(2))]
            edges = [(k, deaf) for k in self._neighbours[deaf]]
        return self._cut(edges[:1] if self._random.random() < 0.5 else [e[::-1] for e in edges], one_way=True)

    def _part(self) -> str | None:
        """A connected part of the station is cut off the rest."""
        ids = self._churn.ids
        part = {int(self._random.choice(ids))}
        size = int(self._random.integers(1, len(ids)))
        while len(part) < size:
            border = sorted({j for k in part for j in self._neighbours[k]} - part)
            part.add(border[int(self._random.integers(len(border)))])
        return self._cut(e for e in self._whole() if (e[0] in part) != (e[1] in part))

    def _heal(self, edges: Iterable[Edge]) -> str | None:
        edges = sorted(edges)
        self._churn.heal(*edges)
        return " ".join(f"{a}-{b}" for a, b in edges) or None

    def _signal(self) -> str | None:
        churn, draw = self._churn, self._random.random
        target_kw = float(self._random.uniform(-1.2, 1.2)) * self._reach_kw
        missing = [k for k in churn.ids if draw() < MISSED] if draw() < 1 / 3 else []
        churn.signal(target_kw, missing)
        if draw() < DIFFERING:
            other_kw = float(self._random.uniform(0.8, 1.2)) * target_kw
            churn.tell([k for k in missing if draw() < 0.5], other_kw)
        return f"{target_kw:.1f} kW, missed by {missing}" if missing else f"{target_kw:.1f} kW"

    def _two_signals(self) -> str | None:
        self._signal()
        self._churn.run(float(self._random.uniform(0.001, 0.03)))
        return self._signal()
