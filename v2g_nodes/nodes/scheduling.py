"""Scheduling of a process by the nodes it is to run: real-time class and core, as the station file asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from v2g_nodes.core.priority import (
    BRIDGE_PRIORITY,
    DROOP_PRIORITY,
    OPTIMIZER_PRIORITY,
    SIGNAL_PRIORITY,
    claim_real_time,
    pin,
)

PRIORITIES = {"grid_signal": SIGNAL_PRIORITY, "droop": DROOP_PRIORITY, "optimizer": OPTIMIZER_PRIORITY,
              "can_bridge": BRIDGE_PRIORITY,
              "witness": OPTIMIZER_PRIORITY}  # what it misses is not measured  # fmt: skip
NOT_PERMITTED = "real-time scheduling is not permitted here; control runs at normal priority"
REMEDY = ("add '<user> - rtprio 10' to /etc/security/limits.d/v2g.conf and log in again, or give the processes "
          "CAP_SYS_NICE")


def schedule(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Put this process into its class and on its core; what could not be done, in words. Control goes on without.

    Args:
        nodes: {"kind", "parameters"} each.
    """
    priority = max((PRIORITIES.get(spec["kind"], 0) for spec in nodes), default=0)
    wish = next((spec["parameters"]["real_time"] for spec in nodes if "real_time" in spec["parameters"]), "auto")
    if priority and wish != "off" and not claim_real_time(priority):
        yield f"warning: droop.real_time is on, but {NOT_PERMITTED}; {REMEDY}" if wish == "on" else NOT_PERMITTED
    core = max((spec["parameters"].get("cpu", -1) for spec in nodes if spec["kind"] == "droop"), default=-1)
    if core >= 0 and not pin(core):
        usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        yield f"warning: droop.cpu is {core}, allowed here {usable}; droop runs on any of them"
