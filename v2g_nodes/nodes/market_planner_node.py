"""`market_planner`: decides what the station offers and tells every module."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.plan import DAY_S, PLAN_VERSION_MAX, Plan, price_threshold_plan
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, node_name
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.source_diagnostics import plan_status
from v2g_nodes.nodes.sources import RecordingParameters, Recordings
from v2g_nodes.sim.series import read_columns

REPEAT_S = 10.0  # s
SLOT_S = 3600.0  # s, prices are hourly
FILE_SLOTS_S = (300.0, 600.0, 900.0, 1800.0, 3600.0)  # s, a plan file is averaged over the longest not above its step
RULES = ("price_threshold", "csv", "none")


@dataclass(frozen=True)
class MarketPlannerParameters(RecordingParameters):
    """Parameters of the market planner node."""

    rule: str = parameter("price_threshold", "how the plan is made: price_threshold | csv | none", settable=True)
    plan_csv: str = parameter("", "plan file for rule csv: time, base_kw, capacity_kw", settable=True)
    capacity_fraction: float = parameter(
        0.6, "share of the rating offered for regulation", "", 0.0, 1.0, settable=True)
    base_fraction: float = parameter(
        0.1, "share of the rating, out in dear slots, in in cheap ones", "", 0.0, 1.0, settable=True)
    rating_kw: float = parameter(3.3, "rating of the station", "kW", 0.1, 1e5)


class MarketPlannerNode(ManagedNode[MarketPlannerParameters]):
    """See module docstring."""

    PARAMETERS = MarketPlannerParameters

    def configure(self) -> None:
        """Make the plan.

        Raises:
            InputError: unknown rule, or a file that can't be used.
        """
        self._plan = make_plan(self.p)
        self._sent_s = math.nan  # steady time
        self._diagnostics = Diagnostics(
            self, lambda: [plan_status(node_name(self), self.p, self._plan, time.monotonic() - self._sent_s)]
        )
        self._plan_out = self.publisher(streams.MARKET_PLAN)

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Another plan, under the next version; epochs that begin from now on follow it."""
        if not self.configured or changes.keys() <= {"trial_clock_step_s"}:
            return ""
        others = [info.node_namespace for info in self.get_publishers_info_by_topic(streams.MARKET_PLAN.topic)
                  if info.node_name == self.get_name() and info.node_namespace != self.get_namespace()]  # fmt: skip
        if others:
            return f"a planner in {others[0]} sends its plan too, allowed is a change of the station file on every host"
        version = self._plan.version % PLAN_VERSION_MAX + 1
        self._plan = replace(make_plan(replace(self.p, **changes)), version=version)
        if self.active:
            self._send()
        return ""

    def activate(self) -> None:
        """Send it, and again every ten seconds."""
        self.every(REPEAT_S, self._send)
        self._send()
        self._diagnostics.start()

    def _send(self) -> None:
        self._plan_out.publish(convert.plan_message(self._plan))
        self._sent_s = time.monotonic()


def make_plan(p: MarketPlannerParameters) -> Plan:
    """Plan by the chosen rule, deterministic: a restarted planner makes the same one under the same version.

    Raises:
        InputError: unknown rule, or a file that can't be used.
    """
    slots = int(DAY_S / SLOT_S)
    if p.rule == "csv":
        return _plan_from_file(p.plan_csv)
    if p.rule == "none":
        return Plan(1, "none", 0.0, SLOT_S, (0.0,) * slots, (p.capacity_fraction * p.rating_kw,) * slots)
    if p.rule != "price_threshold":
        raise InputError(f"rule is {p.rule!r}, allowed {', '.join(RULES)}")
    recordings = Recordings(p)
    prices = [recordings.price_eur_per_kwh((k + 0.5) * SLOT_S) for k in range(slots)]
    known = [price for price in prices if not math.isnan(price)]
    middle = statistics.median(known) if known else 0.0  # neither cheap nor dear: rest where there is no price
    filled = [middle if math.isnan(price) else price for price in prices]
    return price_threshold_plan(filled, p.rating_kw, p.capacity_fraction, p.base_fraction)


def _plan_from_file(path: str) -> Plan:
    """The plan of a file; nothing is offered where it says nothing."""
    if not path:
        raise InputError("plan_csv is empty, allowed for rule csv is a file")
    columns = read_columns(path, ("base", "capacity"))
    slot_s = max((slot for slot in FILE_SLOTS_S if slot <= columns["base"].step_s), default=FILE_SLOTS_S[0])
    starts = [k * slot_s for k in range(int(DAY_S / slot_s))]
    base_kw, capacity_kw = (
        tuple(0.0 if math.isnan(mean) else mean for mean in (columns[name].mean(t, t + slot_s) for t in starts))
        for name in ("base", "capacity")
    )
    return Plan(1, "csv", 0.0, slot_s, base_kw, capacity_kw)
