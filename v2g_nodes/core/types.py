"""Values that cross layers: epochs, frames, problems, agreements. All frozen.

Sign convention everywhere: power > 0 discharges the vehicle to the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MODULES_MAX = 64  # slots of one EK3 bus (EK3 specification: at most 64 nodes per bus)


class EpochId(NamedTuple):
    """Names one agreement: which signal of which source under which plan.

    `signal_sequence` comes from signal time (tenths of a second), so a restarted source can't reuse one.
    """

    signal_sequence: int
    plan_version: int
    source_id: int

    def newer_than(self, other: EpochId) -> bool:
        """Whether this epoch ends `other`.

        Later signal time wins; at equal time the later plan version; at equal both the lower source id.
        Signal time and plan version are compared modulo 2^32 and 2^16 (RFC 1982 serial numbers).
        """
        signal_step = (self.signal_sequence - other.signal_sequence) & 0xFFFFFFFF
        if signal_step:
            return signal_step < 0x80000000
        plan_step = (self.plan_version - other.plan_version) & 0xFFFF
        if plan_step:
            return plan_step < 0x8000
        return self.source_id < other.source_id


@dataclass(frozen=True)
class Box:
    """Feasible range of one module's base power.

    Args:
        low_kw: lower end [kW], <= high_kw.
        high_kw: upper end [kW].
    """

    low_kw: float
    high_kw: float

    def clip(self, power_kw: float) -> float:
        """The power in the box nearest to this one [kW]."""
        return min(max(power_kw, self.low_kw), self.high_kw)


class Frame(NamedTuple):
    """One broadcast of one round, as it crosses any network (see msg/Curve.msg).

    Args:
        sender: module id of the sender.
        tag: 32-bit name of the exchange this round belongs to (core/exchange.py exchange_tag).
        round: counts over all passes of the epoch, from 0.
        bracket: tag of the price grid the epoch began with.
        exponent: `values` are integers times 2**exponent.
        values: integers of this round, each in int16.
        exponent_previous: the same for the round before.
        values_previous: integers of the round before; empty in round 0.
    """

    sender: int
    tag: int
    round: int
    bracket: int
    exponent: int
    values: tuple[int, ...]
    exponent_previous: int = 0
    values_previous: tuple[int, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """What an agent agreed on for its own module.

    Args:
        lambda_eur_per_kwh: dual price [EUR/kWh], the same at every member.
        power_kw: own power [kW], inside the own box.
        target_kw: target as asked [kW].
        clipped_target_kw: target inside the summed boxes [kW].
        rounds: broadcasts each member made.
        cold: began with the whole price range.
        iterations: times the module answered the group; each took some of the rounds.
    """

    lambda_eur_per_kwh: float
    power_kw: float
    target_kw: float
    clipped_target_kw: float
    rounds: int
    cold: bool
    iterations: int

    @property
    def clipped(self) -> bool:
        """Whether the members could not meet the target."""
        return self.clipped_target_kw != self.target_kw
