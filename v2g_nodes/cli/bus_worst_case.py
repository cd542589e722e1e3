"""The load of a bus on which every message of everybody comes at its highest rate at once."""

from __future__ import annotations

from v2g_nodes.canbus.bit_time import frame_time_s
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.message_spec import MessageSpec
from v2g_nodes.canbus.settings import CanSettings

ONE_SENDER = frozenset({"bridge"})  # of a station on one host; devices and controllers there are as many as modules


def worst_case_load(modules: int, settings: CanSettings) -> float:
    """Occupied share of the time, sum over all messages of senders * rate * frame time.

    rate = 1 / GenMsgCycleTimeFast of ek3.dbc, the shortest cycle a sender keeps up; frame time with the most stuff bits
    the length can need (canbus/bit_time.py, after ISO 11898-1). Above 1 the bus would not carry it: then low priorities
    wait, and what is newer replaces what waits.

    Args:
        modules: on the bus, all of one host.
        settings: bit rates.
    """
    return sum(_load(spec, modules, settings) for spec in Codec.load().messages)


def _load(spec: MessageSpec, modules: int, settings: CanSettings) -> float:
    senders = 1 if ONE_SENDER.issuperset(spec.senders) else modules
    return senders * 1000.0 / spec.fast_cycle_ms * frame_time_s(spec.length, settings)
