"""The last gate before the actuator: finite, then hard limits, then ramp; hard limits win over ramp.

One pure function. It never raises: garbage leads towards zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from v2g_nodes.core.types import Box

TOLERANCE_KW = 1e-9  # kW, differences below it are rounding, not clips

NOT_FINITE = "not finite"
HARD_LIMIT = "hard limit"
RAMP = "ramp"
FORCED_STEP = "step forced by hard limit"


class GateResult(NamedTuple):
    """What may be sent to the actuator.

    Args:
        setpoint_kw: inside the hard limits, finite.
        clipped: whether it differs from what was requested.
        forced_step: whether hard limits made it move further than the ramp allows.
        reason: what changed the request last, one of the constants of this file; empty if nothing did.
    """

    setpoint_kw: float
    clipped: bool
    forced_step: bool
    reason: str


def gate(requested_kw: float, previous_kw: float, hard: Box, ramp_kw_per_s: float, dt_s: float) -> GateResult:
    """Turn a request into a set-point that is finite, inside the hard limits and, if they let it, inside the ramp.

    Args:
        requested_kw: [kW]; NaN or infinity means zero, approached within the ramp.
        previous_kw: set-point sent last [kW]; not finite counts as zero.
        hard: hard limits; not numbers or crossed allows zero only.
        ramp_kw_per_s: largest change [kW/s]; not a number or negative allows none.
        dt_s: time since the set-point sent last [s]; not a number or negative counts as none.
    """
    reason = "" if math.isfinite(requested_kw) else NOT_FINITE
    wanted = 0.0 if reason else requested_kw
    previous = previous_kw if math.isfinite(previous_kw) else 0.0
    low, high = hard.low_kw, hard.high_kw
    if not (low <= high and low < math.inf and high > -math.inf):
        low = high = 0.0
    reach = ramp_kw_per_s * dt_s if ramp_kw_per_s >= 0.0 and dt_s >= 0.0 else 0.0
    if math.isnan(reach):  # infinity times zero
        reach = 0.0

    bounded = min(max(wanted, low), high)
    if abs(bounded - wanted) > TOLERANCE_KW:
        reason = HARD_LIMIT
    ramped = min(max(bounded, previous - reach), previous + reach)
    if abs(ramped - bounded) > TOLERANCE_KW:
        reason = RAMP
    setpoint = min(max(ramped, low), high)
    forced = abs(setpoint - previous) > reach + TOLERANCE_KW
    if forced:
        reason = FORCED_STEP
    clipped = not abs(setpoint - requested_kw) <= TOLERANCE_KW
    return GateResult(setpoint, clipped, forced, reason)


def towards_zero_kw(setpoint_kw: float, ramp_kw_per_s: float, dt_s: float) -> float:
    """Request of who has to stop: one tick towards zero within the ramp [kW].

    Args:
        setpoint_kw: set-point sent last [kW].
        ramp_kw_per_s: largest change [kW/s].
        dt_s: time since then [s].
    """
    reach_kw = ramp_kw_per_s * dt_s
    return setpoint_kw - min(max(setpoint_kw, -reach_kw), reach_kw)


def gate_of_module(
    requested_kw: float, energised: bool, previous_kw: float, hard: Box, ramp_kw_per_s: float, dt_s: float
) -> GateResult:
    """The gate of a module, which may send zero only while it is not energised.

    Args:
        requested_kw: what droop asks for [kW].
        energised: whether power may flow at all.
        previous_kw: see `gate`, as the rest.
        hard: see `gate`.
        ramp_kw_per_s: see `gate`.
        dt_s: see `gate`.
    """
    return gate(requested_kw if energised else 0.0, previous_kw, hard, ramp_kw_per_s, dt_s)
