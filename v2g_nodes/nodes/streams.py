"""Every stream between nodes, once: name, type, rate, quality of service, maximum age.

Publishers, subscribers and staleness checks are made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterEvent
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool

from v2g_nodes.msg import (
    Applied,
    BaseSetpoint,
    Curve,
    DecisionRecord,
    GridSignal,
    MarketPlan,
    MaskKey,
    Meter,
    ModuleStatus,
    NeighborState,
    StationStatus,
)


@dataclass(frozen=True)
class Stream:
    """One topic, or one per module.

    Args:
        topic: name; relative ones live in the module's namespace.
        message: message class.
        rate: when it is sent, in words.
        max_age_s: older is stale [s]; 0 = never.
        reliable: lost messages are sent again.
        latched: a late subscriber gets the last one.
        depth: messages kept for a slow subscriber.
    """

    topic: str
    message: type[Any]
    rate: str
    max_age_s: float
    reliable: bool = False
    latched: bool = False
    depth: int = 10

    def of_host(self, namespace: str) -> Stream:
        """The stream of a host of its own (bringup.py): below the namespace of its nodes, itself where that is `/`."""
        return replace(self, topic=namespace.rstrip("/") + self.topic)

    @property
    def qos(self) -> QoSProfile:
        """Quality of service of both ends."""
        return QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self.depth,
            reliability=ReliabilityPolicy.RELIABLE if self.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if self.latched else DurabilityPolicy.VOLATILE,
        )


GRID_SIGNAL = Stream("/grid/signal", GridSignal, "each measurement, at least 1 Hz", 5.0)
GRID_MEASUREMENT = Stream("/grid/measurement", GridSignal, "each measurement of an external meter", 1.0)
GRID_METER = Stream("/grid/meter", Meter, "1 Hz", 0.0)
MARKET_PLAN = Stream("/market/plan", MarketPlan, "on change and every 10 s", 0.0, reliable=True, latched=True, depth=1)
NEIGHBOR_STATE = Stream("neighbor_state", NeighborState, "per epoch and heartbeat, 20 Hz", 0.5)
CURVE = Stream("curve", Curve, "one per round", 0.0)
MASK_KEY = Stream("mask_key", MaskKey, "once a second, where curves are hidden", 0.0)
BUS_STATE = Stream("/bus/neighbor_state", NeighborState, "what the CAN bus carries, of all modules", 0.5, depth=64)
BUS_CURVE = Stream("/bus/curve", Curve, "what the CAN bus carries, of all modules", 0.0, depth=64)
BASE_SETPOINT = Stream("base_setpoint", BaseSetpoint, "per epoch and 10 Hz", 1.0)
APPLIED = Stream("applied", Applied, "on change up to 20 Hz, at least 5 Hz", 0.6)
STATUS = Stream("status", ModuleStatus, "2 Hz and on change", 3.0, depth=5)
STATION_STATUS = Stream("/station/status", StationStatus, "per epoch", 0.0)
DECISION_RECORD = Stream(
    "decision_record", DecisionRecord, "per epoch; droop once a second", 0.0, reliable=True, depth=50
)
DIAGNOSTICS = Stream(  # reliable: what ROS tools ask for, best effort would reach none of them
    "/diagnostics", DiagnosticArray, "1 Hz and on change of a level, each node", 3.0, reliable=True, depth=64
)
CLOCK = Stream("/clock", Clock, "50 Hz, where time is simulated", 0.0, depth=1)
PARAMETERS = Stream(
    "~/parameters_in_force", ParameterEvent, "once and on change", 0.0, reliable=True, latched=True, depth=1
)
E_STOP = Stream("/e_stop", Bool, "on demand; true latches SAFE", 0.0, reliable=True, latched=True, depth=1)
