"""Slots of the bus in words."""

from __future__ import annotations

from v2g_nodes.canbus.identifier import BROADCAST, TOOL_SLOT, bridge_slot, controller_slot, device_slot
from v2g_nodes.core.types import MODULES_MAX

_WORDS = {BROADCAST: "all", TOOL_SLOT: "tool"}
for _k in range(1, MODULES_MAX + 1):
    _WORDS |= {device_slot(_k): f"device {_k}", bridge_slot(_k): f"bridge {_k}", controller_slot(_k): f"controller {_k}"}


def slot_words(slot: int) -> str:
    """Who has this slot: `device 3`, `controller 3`, `bridge 1` (after the lowest module of its host), `tool`, `all`."""
    return _WORDS.get(slot, f"slot {slot}")
