"""Every decision of a run made again from its records, and compared bit by bit with what was recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from v2g_nodes.sim.replay_agreements import AgreementReplay
from v2g_nodes.sim.replay_laws import NAMES, BaseReplay, DroopReplay, GateReplay, Made, state_before
from v2g_nodes.sim.replay_values import BASE, DROOP, EPOCH, GATE, WRITERS, RecordError, same

KEPT = 1000  # texts of gaps and differences


@dataclass(frozen=True)
class Decision:
    """One decision made again.

    Args:
        node: full name.
        made: what.
    """

    node: str
    made: Made

    @property
    def is_same(self) -> bool:
        """Whether it is what was recorded, bit by bit."""
        return all(map(same, self.made.recorded, self.made.replayed))

    @property
    def difference(self) -> str:
        """The numbers that differ, in words."""
        made = self.made
        named = zip(NAMES[made.decision], made.recorded, made.replayed, strict=True)
        texts = [f"{name} recorded {was!r}, replayed {now!r}" for name, was, now in named if not same(was, now)]
        return f"{self.node} at {made.steady_ns} ns steady: {made.decision}: {'; '.join(texts)}"


class Replay:
    """Takes records in the order of the bag and gives back the decisions made again.

    Args:
        module_id: only decisions of this module are given back; None = of all.
    """

    def __init__(self, module_id: int | None = None) -> None:
        self._only = module_id
        self._agreements = AgreementReplay()
        self._laws: dict[tuple[int, int], DroopReplay | GateReplay | BaseReplay] = {}
        self._sequences: dict[tuple[int, str], int] = {}  # last record of a node
        self._whole: set[tuple[int, int]] = set()  # whose record before this one is known
        self._late = 0  # nodes with records before the bag
        self.records = 0
        self.lost = 0  # records that the numbers of the others show to be missing
        self.differing = 0
        self.made: Counter[str] = Counter()
        self.differences: list[str] = []
        self.gaps: list[str] = []

    def add(self, record: Any, time_ns: int) -> Iterator[Decision]:  # noqa: ANN401 - see sim/replay_values.py
        """Take in a record.

        Args:
            record: a DecisionRecord.
            time_ns: of the bag [ns].
        """
        self.records += 1
        kind, k = int(record.kind), int(record.module_id)
        if kind not in WRITERS:
            self._gap(f"module {k}: record of unknown kind {kind}")
            return
        self._count(record, kind, k)
        try:
            if kind in (DROOP, GATE, BASE):
                yield from self._of_laws(record, kind, k)
            else:
                yield from self._told(self._agreements.play(record, time_ns))
                self._missing()
        except RecordError as error:
            self._differ(f"{_node(k, WRITERS[kind])}: record {record.sequence} can't be replayed: {error}")

    def finish(self) -> Iterator[Decision]:
        """What is left at the end of the bag."""
        yield from self._told(self._agreements.give_up())
        self._missing()
        if self._late:
            self._gap(f"{self._late} nodes had written records before the bag begins")

    def _of_laws(self, record: Any, kind: int, k: int) -> Iterator[Decision]:  # noqa: ANN401
        if (k, kind) not in self._laws:
            self._laws[k, kind] = _LAWS[kind]()
        law = self._laws[k, kind]
        before = law.state
        if (k, kind) in self._whole and before and len(before) == len(state_before(record)):
            pairs = zip(before, state_before(record), strict=True)
            if not all(same(was, now) for was, now in pairs):
                self._differ(f"{_node(k, WRITERS[kind])}: record {record.sequence} begins with state "
                             f"{state_before(record)}, the one before ended with {before}")  # fmt: skip
        yield from self._told((k, made) for made in law.play(record))
        self._whole.add((k, kind))

    def _told(self, made: Iterable[tuple[int, Made]]) -> Iterator[Decision]:
        for k, one in made:
            if self._only not in (None, k):
                continue
            decision = Decision(_node(k, _WRITER_OF[one.decision]), one)
            self.made[one.decision] += 1
            if not decision.is_same:
                self._differ(decision.difference)
            yield decision

    def _count(self, record: Any, kind: int, k: int) -> None:  # noqa: ANN401
        """Notice lost records of a node by their numbers."""
        writer = WRITERS[kind]
        now, last = int(record.sequence), self._sequences.get((k, writer))
        self._sequences[k, writer] = now
        if last is None and now > 1:
            self._late += 1
        if last is None or now == last + 1:
            return
        self._whole -= {(k, other) for other, name in WRITERS.items() if name == writer}
        if now > last + 1:
            self.lost += now - last - 1
            self._gap(f"{_node(k, writer)}: {now - last - 1} records lost before record {now}")
        else:
            self.lost += now - 1
            missed = f", {now - 1} records lost before record {now}" if now > 1 else ""
            self._gap(f"{_node(k, writer)}: started anew after record {last}{missed}")

    def _missing(self) -> None:
        for text in self._agreements.incomplete:
            self._gap(text)
        self._agreements.incomplete.clear()

    def _gap(self, text: str) -> None:
        if len(self.gaps) < KEPT:
            self.gaps.append(text)

    def _differ(self, text: str) -> None:
        self.differing += 1
        if len(self.differences) < KEPT:
            self.differences.append(text)


_LAWS: dict[int, type[DroopReplay | GateReplay | BaseReplay]] = {DROOP: DroopReplay, GATE: GateReplay, BASE: BaseReplay}
_WRITER_OF = {"agreement": WRITERS[EPOCH], "base": WRITERS[BASE], "droop": WRITERS[DROOP], "gate": WRITERS[GATE]}


def _node(module_id: int, writer: str) -> str:
    return f"/ek3_{module_id:02d}/{writer}"
