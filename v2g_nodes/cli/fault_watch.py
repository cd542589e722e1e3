"""What the witness has told during trials, and what follows from it: who agrees with whom, and since when."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from v2g_nodes.cli.processes import Event

EpochKey: TypeAlias = tuple[int, int, int]
NS_PER_S = 1_000_000_000
FRESH_S = 6.0  # s, an older agreement is not in force any more (three epochs)
SUMS = ("sum_above_target_kw", "setpoints_above_target_kw")


@dataclass(frozen=True)
class Agreed:
    """One module's record of an agreement.

    Args:
        module: id.
        members: of its group.
        membership: fingerprint of the group.
        epoch: id of the epoch.
        lambda_eur_per_kwh: price; NaN is none.
        power_kw: the module's own base power [kW].
        target_kw: of the station [kW].
        island_target_kw: what the module's island owes of it [kW].
        agreed_ns: steady clock of the host [ns].
        box: the module's own bounds [kW].
        cost: parameters of its cost, in their order (core/cost.py).
        soc: the cost's state of charge.
        temperature_c: the cost's temperature [deg C].
    """

    module: int
    members: frozenset[int]
    membership: int
    epoch: EpochKey
    lambda_eur_per_kwh: float
    power_kw: float
    target_kw: float
    island_target_kw: float
    agreed_ns: int
    box: tuple[float, float] = (math.nan, math.nan)
    cost: tuple[float, ...] = ()
    soc: float = math.nan
    temperature_c: float = math.nan


class Watch:
    """Records since the last call of `clear`, by group and epoch.

    Args:
        modules: all ids of the station.
    """

    def __init__(self, modules: Collection[int]) -> None:
        self.modules = frozenset(modules)
        self.extremes: Event = {}
        self.signal_ns = 0  # when the newest epoch's signal was heard
        self.last: dict[int, Agreed] = {}
        self.refused = ""
        self.sums_kw = dict.fromkeys(SUMS, 0.0)  # largest since `clear`
        self._texts: list[str] = []
        self._epochs: list[EpochKey] = []
        self._table: dict[tuple[int, EpochKey], dict[int, Agreed]] = {}

    def take(self, event: Event) -> None:
        """Hear the witness."""
        kind = event["event"]
        if kind == "epoch":
            self._note(_agreed(event))
        elif kind == "signal":
            self.signal_ns = event["received_ns"]
        elif kind == "extremes":
            self.extremes = event
            for key in self.sums_kw:
                self.sums_kw[key] = max(self.sums_kw[key], event[key])
            self._texts += event["texts"]
        elif kind == "refused":
            self.refused = str(event["text"])

    def news(self) -> list[str]:
        """What the witness found worth a word since the last call."""
        texts, self._texts = self._texts, []
        return texts

    def clear(self) -> None:
        """Begin anew; the last agreement of each module stays."""
        self._table.clear()
        self.sums_kw = dict.fromkeys(SUMS, 0.0)

    def _note(self, record: Agreed) -> None:
        self.last[record.module] = record
        self._table.setdefault((record.membership, record.epoch), {})[record.module] = record

    def group(self) -> int | None:
        """Fingerprint under which all modules agreed last; None where they differ."""
        found = {record.membership for record in self.last.values()}
        return found.pop() if len(found) == 1 and set(self.last) == self.modules else None

    def agreed_ns(
        self, who: Collection[int], after_ns: int, *, other_than: int | None = None, exactly: bool = False
    ) -> int | None:
        """When all of these modules first agreed, that is had one price in one epoch and group.

        Args:
            who: module ids.
            after_ns: each of them agreed later than this [ns].
            other_than: under another group than the one with this fingerprint.
            exactly: the group has no other members.

        Returns:
            When the last of them agreed [ns]; None if they have not.
        """
        found = []
        for (membership, _), records in self._table.items():
            theirs = [records[k] for k in who if k in records]
            if (
                membership != other_than
                and len(theirs) == len(who)
                and _one_price(theirs)
                and all(record.agreed_ns > after_ns for record in theirs)
                and all(record.members == set(who) if exactly else record.members >= set(who) for record in theirs)
            ):
                found.append(max(record.agreed_ns for record in theirs))
        return min(found, default=None)

    def epochs_of_all(self) -> list[list[Agreed]]:
        """Records of every epoch that all modules agreed in, as one group."""
        return [[*records.values()] for records in self._table.values()
                if set(records) == self.modules and all(r.members == self.modules for r in records.values())]

    def settled(self, now_ns: int) -> bool:
        """Whether all modules are in one group, one epoch and at one price, and nobody knows a later epoch."""
        records = [self.last[k] for k in self.modules if k in self.last]
        return (
            len(records) == len(self.modules)
            and all(r.members == self.modules and now_ns - r.agreed_ns < FRESH_S * NS_PER_S for r in records)
            and len({(r.membership, r.epoch) for r in records}) == 1
            and _one_price(records)
        )

    def island_fault(self, islands: Collection[Collection[int]], ratings_kw: Mapping[int, float], after_ns: int) -> str:
        """What an island wrongly took of the target (majority of the ratings owns it, lowest id on a tie).

        Args:
            islands: members of each.
            ratings_kw: of all modules [kW].
            after_ns: agreements later than this are judged [ns].
        """
        half_w = sum(round(1000 * kw) for kw in ratings_kw.values())
        for island in islands:
            rating_w = 2 * sum(round(1000 * ratings_kw[k]) for k in island)
            owns = rating_w > half_w or (rating_w == half_w and min(ratings_kw) in island)
            for records in self._table.values():
                for record in records.values():
                    owed_kw = record.target_kw if owns else 0.0
                    ours = record.members == set(island) and record.agreed_ns > after_ns
                    if ours and record.island_target_kw != owed_kw:
                        return (f"module {record.module} of island {sorted(island)} took {record.island_target_kw:.3f} "
                                f"kW of the target, owed are {owed_kw:.3f} kW")
        return ""


def _one_price(records: Collection[Agreed]) -> bool:
    """Whether all have the same price to the last bit."""
    prices = {record.lambda_eur_per_kwh for record in records}
    return len(prices) == 1 and all(map(math.isfinite, prices))


def _agreed(event: Event) -> Agreed:
    mask = int(event["members"])
    first, second, third = event["epoch"]
    return Agreed(
        module=event["module"],
        members=frozenset(k for k in range(1, 65) if mask >> (k - 1) & 1),
        membership=event["membership"],
        epoch=(first, second, third),
        lambda_eur_per_kwh=math.nan if event["lambda_eur_per_kwh"] is None else event["lambda_eur_per_kwh"],
        power_kw=math.nan if event["power_kw"] is None else event["power_kw"],
        target_kw=event["target_kw"],
        island_target_kw=event["island_target_kw"],
        agreed_ns=event["agreed_ns"],
        box=(event["box"][0], event["box"][1]) if "box" in event else (math.nan, math.nan),
        cost=tuple(event.get("cost", ())),
        soc=event.get("soc", math.nan),
        temperature_c=event.get("temperature_c", math.nan),
    )
