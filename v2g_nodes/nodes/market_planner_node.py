"""`market_planner`: decides what the station offers and tells every module."""

from __future__ import annotations

from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.plan import DAY_S, Plan, price_threshold_plan
from v2g_nodes.nodes import convert, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.parameters import parameter
from v2g_nodes.nodes.sources import RecordingParameters, Recordings
from v2g_nodes.sim.series import read_columns

REPEAT_S = 10.0  # s
SLOT_S = 3600.0  # s, prices are hourly
RULES = ("price_threshold", "csv", "none")


@dataclass(frozen=True)
class MarketPlannerParameters(RecordingParameters):
    """Parameters of the market planner node."""

    rule: str = parameter("price_threshold", "how the plan is made: price_threshold | csv | none")
    plan_csv: str = parameter("", "plan file for rule csv: time, base_kw, capacity_kw")
    capacity_fraction: float = parameter(0.6, "share of the rating offered for regulation", "", 0.0, 1.0)
    base_fraction: float = parameter(0.1, "share of the rating, out in dear slots, in in cheap ones", "", 0.0, 1.0)
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
        self._plan_out = self.publisher(streams.MARKET_PLAN)

    def activate(self) -> None:
        """Send it, and again every ten seconds."""
        self.every(REPEAT_S, self._send)
        self._send()

    def _send(self) -> None:
        self._plan_out.publish(convert.plan_message(self._plan))


def make_plan(p: MarketPlannerParameters) -> Plan:
    """Plan by the chosen rule, deterministic: a restarted planner makes the same one under the same version.

    Raises:
        InputError: unknown rule, or a file that can't be used.
    """
    slots = int(DAY_S / SLOT_S)
    if p.rule == "csv":
        columns = read_columns(p.plan_csv, ("base", "capacity"))
        base, capacity = columns["base"], columns["capacity"]
        hours = [k * SLOT_S for k in range(slots)]
        base_kw, capacity_kw = (tuple(_number(series.at(t)) for t in hours) for series in (base, capacity))
        return Plan(1, "csv", 0.0, SLOT_S, base_kw, capacity_kw)
    if p.rule == "none":
        return Plan(1, "none", 0.0, SLOT_S, (0.0,) * slots, (p.capacity_fraction * p.rating_kw,) * slots)
    if p.rule != "price_threshold":
        raise InputError(f"rule is {p.rule!r}, allowed {', '.join(RULES)}")
    recordings = Recordings(p)
    prices = [recordings.price_eur_per_kwh((k + 0.5) * SLOT_S) for k in range(slots)]
    return price_threshold_plan([_number(x) for x in prices], p.rating_kw, p.capacity_fraction, p.base_fraction)


def _number(value: float) -> float:
    """Zero where a file says nothing: no price to act on, nothing offered."""
    return value if value == value else 0.0
