"""`market_planner`: decides what the station offers and tells every module."""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.core.plan import DAY_S, PLAN_VERSION_MAX, Plan, price_threshold_plan
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, Status, node_name
from v2g_nodes.nodes.fleet_planner import FleetPlanner
from v2g_nodes.nodes.market_day import market_plan
from v2g_nodes.nodes.market_planner_parameters import FLEET_RULES, MarketPlannerParameters, check_parameters
from v2g_nodes.nodes.source_diagnostics import plan_status
from v2g_nodes.nodes.sources import Recordings, RunClock
from v2g_nodes.sim.series import read_columns

REPEAT_S = 10.0  # s
LOOK_S = 1.0  # s, wall time; versions count seconds, see _next_version
SLOT_S = 3600.0  # s, prices are hourly
FILE_SLOTS_S = (300.0, 600.0, 900.0, 1800.0, 3600.0)  # s, a plan file is averaged over the longest not above its step


class MarketPlannerNode(ManagedNode[MarketPlannerParameters]):
    """See module docstring."""

    PARAMETERS = MarketPlannerParameters

    def configure(self) -> None:
        """Make the plan.

        Raises:
            InputError: unknown rule, or a file that can't be used.
        """
        check_parameters(self.p)
        self._recordings = price_recordings(self.p)
        self._plan = make_plan(self.p, self._recordings)
        self._fleet = FleetPlanner(self._recordings, self._warn)
        self._planned_for: object = None  # slot and vehicles
        self._run: RunClock | None = None
        self._sent_s = math.nan  # steady time
        self._diagnostics = Diagnostics(self, lambda: [self._status()])
        self._plan_out = self.publisher(streams.MARKET_PLAN)

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Another plan, under the next version; epochs that begin from now on follow it."""
        if not self.configured or changes.keys() <= {"trial_clock_step_s"}:
            return ""
        others = [info.node_namespace for info in self.get_publishers_info_by_topic(streams.MARKET_PLAN.topic)
                  if info.node_name == self.get_name() and info.node_namespace != self.get_namespace()]  # fmt: skip
        if others:
            return f"a planner in {others[0]} sends its plan too, allowed is a change of the station file on every host"
        p = replace(self.p, **changes)
        check_parameters(p)
        if p.rule in FLEET_RULES:
            return self._plan_fleet(p) if self.active else ""
        self._plan = replace(make_plan(p, self._recordings), version=self._next_version())
        if self.active:
            self._send()
        return ""

    def activate(self) -> None:
        """Send it, and again every ten seconds; plan anew as slots pass and vehicles come and leave."""
        self._run = RunClock(self.p, time.time(), time.monotonic())
        for module in self.p.module_ids:
            self.listen(streams.STATUS, self._fleet.hear, f"/ek3_{module:02d}")
        self.every(REPEAT_S, self._send)
        self.every(LOOK_S, self._look)
        if self.p.rule in FLEET_RULES:
            self._plan_fleet(self.p)
        else:
            self._send()
        self._diagnostics.start()

    def _look(self) -> None:
        if self.p.rule in FLEET_RULES and self._planned_for != self._plan_key(self.p):
            self._plan_fleet(self.p)

    def _plan_key(self, p: MarketPlannerParameters) -> object:
        return math.floor(self._day_s() / p.slot_s), self._fleet.plugged()

    def _day_s(self) -> float:
        """Local time of day, counted on after midnight [s]."""
        return self.p.start_time_of_day_s + self._elapsed_s()

    def _elapsed_s(self) -> float:
        return 0.0 if self._run is None else self._run.elapsed_s(time.monotonic())

    def _plan_fleet(self, p: MarketPlannerParameters) -> str:
        """Plan for the vehicles as they are now; where that fails, the plan in hand stays, and it returns why."""
        self._planned_for = self._plan_key(p)
        try:
            self._plan = self._fleet.plan(p, self._day_s(), self._next_version())
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one plan, the station goes on by the last
            text = str(error) if isinstance(error, V2gError) else traceback.format_exc()
            self.get_logger().error(f"no new plan, version {self._plan.version} stays in force: {text}")
            return f"no new plan: {error}"
        self._send()
        return ""

    def _next_version(self) -> int:
        """Above the last one, and above those of a planner that was here before: it counts the seconds of the run."""
        return max(self._plan.version, int(self._elapsed_s() / self.p.speed)) % PLAN_VERSION_MAX + 1

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=10.0)

    def _status(self) -> Status:
        stays = self._fleet.stays if self._plan.rule in FLEET_RULES else None
        return plan_status(node_name(self), self.p, self._plan, time.monotonic() - self._sent_s, stays)

    def _send(self) -> None:
        self._plan_out.publish(convert.plan_message(self._plan))
        self._sent_s = time.monotonic()


def price_recordings(p: MarketPlannerParameters) -> Recordings:
    """Prices and site load; frequency and regulation signal are not read, as no plan but rule market looks at them.

    Raises:
        InputError: a file that can't be used.
    """
    return Recordings(replace(p, frequency_csv="", signal_csv=""))


def make_plan(p: MarketPlannerParameters, recordings: Recordings | None = None) -> Plan:
    """Plan by the chosen rule, deterministic: a restarted planner makes the same one under the same version.

    Args:
        p: of the node.
        recordings: of prices; None: read here, if the rule asks for them.

    Raises:
        InputError: unknown rule, or a file that can't be used.
    """
    slots = int(DAY_S / SLOT_S)
    if p.rule == "csv":
        return _plan_from_file(p.plan_csv)
    if p.rule == "market":
        return market_plan(p)
    if p.rule == "none" or p.rule in FLEET_RULES:  # these rest until the vehicles are known
        return Plan(1, p.rule, 0.0, SLOT_S, (0.0,) * slots, (p.capacity_fraction * p.rating_kw,) * slots)
    recordings = recordings or price_recordings(p)
    prices = [recordings.price_eur_per_kwh((k + 0.5) * SLOT_S) for k in range(slots)]
    known = [price for price in prices if not math.isnan(price)]
    middle = statistics.median(known) if known else 0.0  # neither cheap nor dear: rest where there is no price
    filled = [middle if math.isnan(price) else price for price in prices]
    return price_threshold_plan(filled, p.rating_kw, p.capacity_fraction, p.base_fraction)


def _plan_from_file(path: str) -> Plan:
    """The plan of a file; nothing is offered where it says nothing."""
    if not path:
        raise InputError("plan_csv is empty, allowed for rule csv is a file")
    columns = read_columns(path, ("base", "capacity"), ("rebate",))
    slot_s = max((slot for slot in FILE_SLOTS_S if slot <= columns["base"].step_s), default=FILE_SLOTS_S[0])
    starts = [k * slot_s for k in range(int(DAY_S / slot_s))]
    rows = {
        name: tuple(0.0 if math.isnan(mean) else mean for mean in (column.mean(t, t + slot_s) for t in starts))
        for name, column in columns.items()
    }
    return Plan(1, "csv", 0.0, slot_s, rows["base"], rows["capacity"], rows.get("rebate", ()))
