"""Scheduling of a process by the nodes it is to run: real-time class and core, as the station file asks for them.

A process that makes its nodes computes for some 0.1 s without a pause. It does so in the real-time class, as what takes
over from a dead process must not wait for everything else, but below the droops of all the others.
"""

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
START_PRIORITY = OPTIMIZER_PRIORITY
NOT_PERMITTED = "real-time scheduling is not permitted here; control runs at normal priority"
REMEDY = ("add '<user> - rtprio 10' to /etc/security/limits.d/v2g.conf and log in again, or give the processes "
          "CAP_SYS_NICE")


def schedule(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Before the nodes are made: class and core; what could not be done, in words. Control goes on without.

    Args:
        nodes: {"kind", "parameters"} each.
    """
    priority, wish = _wanted(nodes)
    if priority and not claim_real_time(START_PRIORITY):
        yield f"warning: droop.real_time is on, but {NOT_PERMITTED}; {REMEDY}" if wish == "on" else NOT_PERMITTED
    core = max((spec["parameters"].get("cpu", -1) for spec in nodes if spec["kind"] == "droop"), default=-1)
    if core >= 0 and not pin(core):
        usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        yield f"warning: droop.cpu is {core}, allowed here {usable}; droop runs on any of them"


def raise_priority(nodes: Sequence[Mapping[str, Any]]) -> None:
    """When the nodes act: up to the priority of the first among them, where the class is permitted.

    Args:
        nodes: as `schedule` got them.
    """
    priority, _ = _wanted(nodes)
    if priority > START_PRIORITY:
        claim_real_time(priority)


def _wanted(nodes: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Priority in the real-time class, 0 = not in it; and the wish of the station file."""
    wish = next((spec["parameters"]["real_time"] for spec in nodes if "real_time" in spec["parameters"]), "auto")
    priority = max((PRIORITIES.get(spec["kind"], 0) for spec in nodes), default=0)
    return 0 if wish == "off" else priority, wish
