"""What droop asks for at each tick: base power while it is valid, frequency while it is fresh, else towards zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from v2g_nodes.core.limits import with_zero
from v2g_nodes.core.types import Box


@dataclass(frozen=True)
class DroopInputs:
    """Everything one tick depends on.

    Args:
        base_kw: base power in force [kW]; 0 when none is valid.
        frequency_hz: [Hz]; None = no valid measurement.
        energised: whether power may flow.
        limits: hard limits [kW].
        due_kw: power the vehicle's departure allows at the most [kW]; infinite when nothing is due.
        applied_kw: what left the last gate [kW].
        dt_s: law time of this tick [s].
        voltage_pu: grid voltage over nominal; NaN = not measured.
    """

    base_kw: float
    frequency_hz: float | None
    energised: bool
    limits: Box
    due_kw: float
    applied_kw: float
    dt_s: float
    voltage_pu: float = math.nan


class Law(Protocol):
    """What turns base power and frequency into power: core/droop.py Droop, or core/grid_code/law.py GridCodeDroop."""

    @property
    def base_cap_kw(self) -> float:
        """Base power allowed to each side [kW]."""

    @property
    def connection(self) -> str:
        """Why the connection to the grid is not in service, in a word; empty where it is."""

    def told(self) -> Mapping[str, str]:
        """What there is to tell of the connection to the grid, by name."""

    def may_flow(self, frequency_hz: float | None, voltage_pu: float, dt_s: float) -> bool:
        """One tick of the connection to the grid: whether power may flow."""

    def start(self, power_kw: float, frequency_hz: float | None) -> None:
        """Power may flow from now on; continue from this power [kW] without a bump."""

    def contribution_kw(self, frequency_hz: float | None) -> float:
        """Settled answer to a frequency, before limits and ramp [kW]."""

    def update(self, base_kw: float, frequency_hz: float | None, limits: Box, applied_kw: float, dt_s: float) -> float:
        """One tick: the power to ask for [kW]."""

    def ramp_to_zero(self, limits: Box, applied_kw: float, dt_s: float) -> float:
        """One tick towards zero [kW]."""

    def state(self) -> tuple[float, ...]:
        """What the next tick depends on besides its inputs."""

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state."""


class DroopControl:
    """Holds what came in last and decides at each tick. Times are law time [s], which never steps.

    Args:
        law: the droop law.
        ramp_kw_per_s: largest change of the output [kW/s].
        signal_hold_s: how long a silent grid signal is held before power ramps to zero [s].
    """

    def __init__(self, law: Law, ramp_kw_per_s: float, signal_hold_s: float) -> None:
        self._law = law
        self._ramp = ramp_kw_per_s
        self._signal_hold_s = signal_hold_s
        # Each pair is one object, as inputs are frozen in another thread than the one in which messages come in.
        self._base = (0.0, -math.inf)  # kW, valid until
        self._signal = (math.nan, math.nan, -math.inf)  # Hz, voltage over nominal, received at
        self._flowing = False
        self.ceased = False  # whether the law's connection to the grid let no power flow at the latest decision

    @property
    def connection(self) -> str:
        """Why the connection to the grid is not in service, in a word; empty where it is."""
        return self._law.connection

    def told(self) -> Mapping[str, str]:
        """What there is to tell of the connection to the grid, by name."""
        return self._law.told()

    @property
    def offer_cap_kw(self) -> float:
        """Base power that the connection to the grid leaves to each side [kW]."""
        return 0.0 if self.ceased else self._law.base_cap_kw

    def set_base(self, power_kw: float, valid_until_s: float) -> None:
        """A base set-point came in; one that is not finite is dropped."""
        if math.isfinite(power_kw) and math.isfinite(valid_until_s):
            self._base = (power_kw, valid_until_s)

    def set_frequency(self, frequency_hz: float, now_s: float, voltage_pu: float = math.nan) -> None:
        """A frequency came in, with a voltage (NaN = not measured); a frequency that is not finite is dropped."""
        if math.isfinite(frequency_hz):
            self._signal = (frequency_hz, voltage_pu, now_s)

    def signal_age_s(self, now_s: float) -> float:
        """Age of the last valid signal [s]; infinite before the first."""
        return now_s - self._signal[2]

    def inputs(
        self, now_s: float, dt_s: float, energised: bool, limits: Box, due_kw: float, applied_kw: float
    ) -> DroopInputs:
        """Freeze what this tick depends on."""
        (base_kw, until_s), (frequency_hz, voltage_pu, received_s) = self._base, self._signal
        valid = now_s - received_s <= self._signal_hold_s
        base_kw = base_kw if valid and now_s <= until_s else 0.0
        return DroopInputs(base_kw, frequency_hz if valid else None, energised, limits, due_kw, applied_kw, dt_s,
                           voltage_pu if valid else math.nan)

    def state(self) -> tuple[float, ...]:
        """What `decide` depends on besides its inputs: whether power could flow at the tick before, and the law's."""
        return float(self._flowing), *self._law.state()

    def restore(self, values: Sequence[float]) -> None:
        """Go on from a state.

        Args:
            values: as `state` gave them.
        """
        self._flowing = bool(values[0])
        self._law.restore(values[1:])

    def change_law(self, law: Law) -> None:
        """Follow a law with other constants, from the state of the one before.

        Args:
            law: of the same class.
        """
        law.restore(self._law.state())
        self._law = law

    def decide(self, inputs: DroopInputs) -> float:
        """Power to ask for [kW]; a function of the inputs, of those before and of nothing else."""
        self.ceased = not self._law.may_flow(inputs.frequency_hz, inputs.voltage_pu, inputs.dt_s)
        may_flow = inputs.energised and not self.ceased
        started, self._flowing = may_flow and not self._flowing, may_flow
        if not may_flow:
            return self._law.ramp_to_zero(with_zero(inputs.limits), inputs.applied_kw, inputs.dt_s)
        if started:
            self._law.start(inputs.applied_kw, inputs.frequency_hz)
        due_kw = max(inputs.due_kw, -self._law.base_cap_kw)
        base_kw = min(inputs.base_kw, due_kw)
        power_kw = self._law.update(base_kw, inputs.frequency_hz, inputs.limits, inputs.applied_kw, inputs.dt_s)
        if power_kw > due_kw:
            power_kw = max(due_kw, min(power_kw, inputs.applied_kw - self._ramp * inputs.dt_s))
        return inputs.limits.clip(power_kw)
