"""What a run came to: epochs closed from the modules' records, ticks and latencies, as the figures people quote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_gap, equal_split
from v2g_nodes.core.types import Box, EpochId, FloatArray

SAMPLES_MAX = 4_000_000  # numbers of a kind: 32 MB; at 200 Hz some six hours of one module
ROWS_MAX = 10_000  # rows of a plot: nearly three hours at 1 Hz, more points than a plot has pixels

Row = TypeVar("Row")


@dataclass(frozen=True)
class ModuleRecord:
    """One module's part of an epoch (msg/DecisionRecord.msg, kind EPOCH)."""

    module_id: int
    epoch: EpochId
    membership: int
    members: int
    cold: bool
    rounds: int
    target_kw: float
    island_target_kw: float
    box: Box
    cost: CostParameters
    soc: float
    temperature_c: float
    lambda_eur_per_kwh: float
    power_kw: float
    signal_received_ns: int
    started_ns: int
    agreed_ns: int


@dataclass(frozen=True)
class EpochResult:
    """An epoch all its members agreed on.

    Args:
        epoch: which.
        members: how many modules agreed.
        judged: how many of them have told; fewer where the others are on another host.
        cold: began with the whole price range.
        rounds: broadcasts per module.
        lambda_eur_per_kwh: agreed price [EUR/kWh].
        lambda_spread: largest difference of two members' prices [EUR/kWh]; 0 if they really agree.
        target_kw: as asked of the station [kW].
        island_target_kw: what these members owe of it [kW].
        clipped_target_kw: inside their summed boxes [kW].
        agreed_kw: sum of the agreed powers of those judged [kW].
        gap: to the centralised optimum of those judged for their total, relative.
        equal_split_gap: the same for an equal split.
        epoch_ms: first receipt of the signal to the last agreed set-point [ms].
        round_ms: time per round after the snapshots were frozen [ms].
    """

    epoch: EpochId
    members: int
    judged: int
    cold: bool
    rounds: int
    lambda_eur_per_kwh: float
    lambda_spread: float
    target_kw: float
    island_target_kw: float
    clipped_target_kw: float
    agreed_kw: float
    gap: float
    equal_split_gap: float
    epoch_ms: float
    round_ms: float

    @property
    def owner(self) -> bool:
        """Whether these members owed the target; other islands owe nothing."""
        return self.island_target_kw == self.target_kw

    @property
    def balance_error_kw(self) -> float:
        """Agreed total against the clipped target [kW]; NaN where not all members have told."""
        return abs(self.agreed_kw - self.clipped_target_kw) if self.judged == self.members else math.nan

    @property
    def shortfall_kw(self) -> float:
        """What the island's target is beyond the summed boxes [kW]; NaN where not all members have told."""
        complete = self.judged == self.members
        return abs(self.island_target_kw - self.clipped_target_kw) if complete else math.nan


class EpochCollector:
    """Puts the members' records of an epoch together.

    Args:
        here: modules whose records come in; those of other hosts are not waited for.
    """

    def __init__(self, here: Sequence[int]) -> None:
        self._here = sum(1 << (k - 1) for k in here)
        self._open: dict[tuple[EpochId, int], dict[int, ModuleRecord]] = {}

    def add(self, record: ModuleRecord) -> EpochResult | None:
        """Take in a record; the result once every member of its membership that is here has sent one."""
        key = (record.epoch, record.membership)
        records = self._open.setdefault(key, {})
        records[record.module_id] = record
        if len(records) < (record.members & self._here).bit_count():
            if len(self._open) > 16:  # epochs that never closed: superseded or a member died
                del self._open[next(iter(self._open))]
            return None
        del self._open[key]
        return close_epoch([records[k] for k in sorted(records)])


def close_epoch(records: Sequence[ModuleRecord]) -> EpochResult:
    """Judge an epoch by its members' frozen snapshots.

    Args:
        records: one of each member.
    """
    costs = [LocalCost(r.cost, r.soc, r.temperature_c) for r in records]
    boxes = [r.box for r in records]
    powers = [r.power_kw for r in records]
    island_kw = records[0].island_target_kw
    complete = len(records) == records[0].members.bit_count()
    owed_kw = island_kw if complete else sum(powers)
    clipped = min(max(owed_kw, sum(b.low_kw for b in boxes)), sum(b.high_kw for b in boxes))
    rounds = max(r.rounds for r in records)
    agreed_ns, received_ns = max(r.agreed_ns for r in records), min(r.signal_received_ns for r in records)
    started_ns = max(r.started_ns for r in records)
    prices = [r.lambda_eur_per_kwh for r in records]
    return EpochResult(
        epoch=records[0].epoch,
        members=records[0].members.bit_count(),
        judged=len(records),
        cold=any(r.cold for r in records),
        rounds=rounds,
        lambda_eur_per_kwh=prices[0],
        lambda_spread=max(prices) - min(prices),
        target_kw=records[0].target_kw,
        island_target_kw=island_kw,
        clipped_target_kw=clipped if abs(clipped - owed_kw) > 1e-9 * max(1.0, abs(owed_kw)) else owed_kw,
        agreed_kw=sum(powers),
        gap=dispatch_gap(costs, boxes, powers),
        equal_split_gap=dispatch_gap(costs, boxes, equal_split(boxes, clipped)),
        epoch_ms=(agreed_ns - received_ns) / 1e6,
        round_ms=(agreed_ns - started_ns) / 1e6 / rounds if rounds else math.nan,
    )


class Samples:
    """Numbers of one kind, for medians and percentiles. Beyond a size they are thinned evenly; the maximum stays.

    Args:
        most: numbers kept, at least 1.
    """

    def __init__(self, most: int = SAMPLES_MAX) -> None:
        self._most = most
        self._kept: FloatArray = np.empty(256)
        self._size = 0
        self._stride = 1  # every so many-th number is kept
        self._skip = 0  # numbers until the next one kept
        self.largest = math.nan  # NaN without numbers

    def add(self, values: Sequence[float] | FloatArray) -> None:
        """Take in numbers; those that are not finite are left out."""
        part = np.asarray(values, dtype=np.float64)
        part = part[np.isfinite(part)]
        if part.size == 0:
            return
        self.largest = float(np.fmax(self.largest, part.max()))
        taken = part[self._skip :: self._stride]
        self._skip = (self._skip - part.size) % self._stride
        if self._size + taken.size > self._kept.size:
            self._kept = np.resize(self._kept, 2 * (self._size + taken.size))
        self._kept[self._size : self._size + taken.size] = taken
        self._size += taken.size
        while self._size > self._most:
            self._skip += self._stride * (self._size % 2)
            thinner = self._kept[: self._size : 2].copy()
            self._kept, self._size, self._stride = thinner, thinner.size, 2 * self._stride

    def percentile(self, percent: float) -> float:
        """Percentile; NaN without numbers."""
        return float(np.percentile(self._kept[: self._size], percent)) if self._size else math.nan

    @property
    def median(self) -> float:
        """Median; NaN without numbers."""
        return self.percentile(50.0)


class Rows(Generic[Row]):
    """Rows of a plot. Beyond a number every second one is dropped, then only every second one is taken, and so on.

    Args:
        most: rows kept, at least 1.
    """

    def __init__(self, most: int = ROWS_MAX) -> None:
        self.kept: list[Row] = []
        self._most = most
        self._stride = 1
        self._seen = 0

    def add(self, row: Row) -> None:
        """Take in a row."""
        if self._seen % self._stride == 0:
            self.kept.append(row)
        self._seen += 1
        if len(self.kept) > self._most:
            self.kept = self.kept[::2]
            self._stride *= 2


class RisingCount:
    """Sum of counters that restart from zero when their owner does.

    Args:
        from_first: what a counter shows when it is first seen does not count.
    """

    def __init__(self, from_first: bool = False) -> None:
        self._last: dict[int, int] = {}
        self._from_first = from_first
        self.total = 0

    def see(self, owner: int, count: int) -> None:
        """An owner shows its counter."""
        last = self._last.get(owner, count if self._from_first else 0)
        self.total += count - last if count >= last else count
        self._last[owner] = count
