"""Decision records as values of core: what a module froze, called or ticked (msg/DecisionRecord.msg).

A record may be a ROS message or what a bag reader makes of one: only its fields are used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.agent import Group
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.droop_control import DroopInputs
from v2g_nodes.core.droop_ticks import COLUMNS, inputs_of
from v2g_nodes.core.optimizer_types import Begun, Snapshot
from v2g_nodes.core.release_journal import Call, JournalPage
from v2g_nodes.core.supply import BoxedCost
from v2g_nodes.core.types import MODULES_MAX, Box, EpochId

EPOCH, DROOP, GATE, BASE, BEGUN = range(5)
WRITERS = {EPOCH: "optimizer", BEGUN: "optimizer", BASE: "optimizer", DROOP: "droop", GATE: "module"}


class RecordError(ValueError):
    """A record that does not say what it must."""


def settings_of(record: Any) -> dict[str, Any]:  # noqa: ANN401 - see module docstring
    """The constants that a record carries.

    Raises:
        RecordError: they are not JSON; an older version wrote none.
    """
    try:
        settings = json.loads(record.settings)
    except ValueError as error:
        raise RecordError(f"settings {record.settings[:40]!r} are no JSON") from error
    if not isinstance(settings, dict):
        raise RecordError(f"settings {record.settings[:40]!r}, allowed a JSON object")
    return settings


def begun_of(record: Any, rating_kw: Mapping[str, float]) -> Begun:  # noqa: ANN401 - see module docstring
    """Frozen inputs of a record of kind EPOCH or BEGUN.

    Args:
        record: which.
        rating_kw: of the modules of the station [kW], by id.

    Raises:
        RecordError: numbers of members, links or prices that don't fit each other.
    """
    members = tuple(k for k in range(1, MODULES_MAX + 1) if int(record.members) >> (k - 1) & 1)
    masks = [int(mask) for mask in record.links]
    prices = floats(record.warm)
    if len(masks) != len(members) or record.module_id not in members or len(prices) % 2:
        raise RecordError(f"{len(members)} members, {len(masks)} links, {len(prices)} numbers of a curve")
    mask_of = dict(zip(members, masks, strict=True))
    edges = tuple((a, b) for a in members for b in members if a < b and mask_of[a] >> (b - 1) & 1)
    half = len(prices) // 2
    warm = WarmStart(tuple(prices[:half]), tuple(prices[half:]), float(record.warm_target_kw),
                     float(record.warm_step_kw), int(record.warm_tag)) if prices else None  # fmt: skip
    box = Box(float(record.box_low_kw), float(record.box_high_kw))
    cost = LocalCost(CostParameters(*floats(record.cost_parameters)), float(record.soc), float(record.temperature_c))
    start = float(record.start_eur_per_kwh)
    return Begun(
        epoch=EpochId(int(record.signal_sequence), int(record.plan_version), int(record.source_id)),
        target_kw=float(record.target_kw),
        island_target_kw=float(record.island_target_kw),
        group=Group(members, edges, {k: float(rating_kw[str(k)]) for k in members}, int(record.membership)),
        snapshot=Snapshot(box, BoxedCost(cost, box)),
        warm=warm,
        start_eur_per_kwh=None if math.isnan(start) else start,
        cold=bool(record.begun_cold),
        started_ns=int(record.started_ns),
    )


def page_of(record: Any) -> JournalPage:  # noqa: ANN401 - see module docstring
    """Calls of a record of kind BASE.

    Raises:
        RecordError: columns of different length.
    """
    page = JournalPage(
        tuple(floats(record.state)), tuple(int(ns) for ns in record.state_ns), [int(ns) for ns in record.tick_ns],
        [Call(int(call)) for call in record.call], floats(record.base_kw), floats(record.agreed),
    )
    calls = len(page.calls)
    if {len(page.now_ns), len(page.answers_kw)} != {calls} or len(page.agreed) != 3 * page.calls.count(Call.AGREE):
        raise RecordError(f"{calls} calls, {len(page.now_ns)} times, {len(page.answers_kw)} answers")
    return page


@dataclass(frozen=True)
class Ticks:
    """Ticks of one record.

    Args:
        times_ns: steady clock [ns].
        inputs: one per tick; what a module alone does not know is empty.
        requested_kw: recorded [kW].
        applied_kw: recorded [kW].
    """

    times_ns: Sequence[int]
    inputs: Sequence[DroopInputs]
    requested_kw: Sequence[float]
    applied_kw: Sequence[float]


def ticks_of(record: Any) -> Ticks:  # noqa: ANN401 - see module docstring
    """Ticks of a record of kind DROOP or GATE.

    Raises:
        RecordError: columns of different length.
    """
    count = len(record.tick_ns)
    columns = [floats(getattr(record, name)) or [math.nan] * count for name in COLUMNS]
    requested, applied = floats(record.requested_kw), floats(record.applied_kw)
    lengths = {len(column) for column in (*columns, requested, applied, record.energised)}
    if lengths != {count}:
        raise RecordError(f"columns of {sorted(lengths | {count})} ticks")
    rows = zip(zip(*columns, strict=True), record.energised, strict=True)
    return Ticks([int(ns) for ns in record.tick_ns], [inputs_of(row, bool(flows)) for row, flows in rows],
                 requested, applied)  # fmt: skip


def floats(column: Any) -> list[float]:  # noqa: ANN401 - array, list or numpy array
    """A column as plain floats."""
    values = column.tolist() if hasattr(column, "tolist") else column
    return [float(value) for value in values]


def same(one: float, other: float) -> bool:
    """Whether two numbers are the same bit by bit; NaN is NaN."""
    if one != other:
        return one != one and other != other
    return math.copysign(1.0, one) == math.copysign(1.0, other)
