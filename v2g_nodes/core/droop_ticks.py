"""Droop's inputs as columns of numbers, one row per tick, and back: what a record is made of and a replay reads."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2g_nodes.core.droop_control import DroopInputs
from v2g_nodes.core.types import Box

#: fields of msg/DecisionRecord.msg, in the order of `row_of`
COLUMNS = ("dt_s", "frequency_hz", "voltage_pu", "base_kw", "low_kw", "high_kw", "due_kw", "before_kw")


def row_of(inputs: DroopInputs) -> tuple[float, ...]:
    """One number per column; `energised` is kept beside them."""
    frequency_hz = math.nan if inputs.frequency_hz is None else inputs.frequency_hz
    limits = inputs.limits
    return (inputs.dt_s, frequency_hz, inputs.voltage_pu, inputs.base_kw, limits.low_kw, limits.high_kw, inputs.due_kw,
            inputs.applied_kw)


def inputs_of(row: Sequence[float], energised: bool) -> DroopInputs:
    """Inverse of `row_of`.

    Args:
        row: one number per column.
        energised: whether power may flow.
    """
    dt_s, frequency_hz, voltage_pu, base_kw, low_kw, high_kw, due_kw, before_kw = row
    return DroopInputs(
        base_kw=base_kw,
        frequency_hz=None if math.isnan(frequency_hz) else frequency_hz,
        energised=energised,
        limits=Box(low_kw, high_kw),
        due_kw=due_kw,
        applied_kw=before_kw,
        dt_s=dt_s,
        voltage_pu=voltage_pu,
    )
