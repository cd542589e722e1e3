"""What a module does with a request: mode, hard limits, last gate. One object, no clock, no hardware."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from v2g_nodes.core.battery import VehicleState
from v2g_nodes.core.gate import GateResult, gate_of_module, towards_zero_kw
from v2g_nodes.core.limits import ZERO_BOX, ModuleRating, hard_limits, is_derated, must_charge_bound_kw
from v2g_nodes.core.mode import ENERGISED, Events, Mode, next_mode
from v2g_nodes.core.types import Box

FLOWING_KW = 0.02  # kW, below it power counts as none (resolution of the meter)
LIMITS_STEP_S = 1.0  # s, charge can't run past its limits within this time; far longer than a tick in real time


class Observation(NamedTuple):
    """What the backend reports, as far as control needs it.

    Args:
        time_s: local time of day [s], on the clock of the vehicle's departure.
        power_kw: measured [kW].
        soc: state of charge; NaN without a vehicle.
        temperature_c: hottest junction [deg C].
        ambient_c: [deg C].
        vehicle: who is plugged in.
        fault: why the hardware tripped; empty when it did not.
    """

    time_s: float
    power_kw: float
    soc: float
    temperature_c: float
    ambient_c: float
    vehicle: VehicleState
    fault: str


class ModuleControl:
    """The module's controller between droop and hardware.

    Args:
        rating: what the module is built for.
        max_kw: cap for commissioning [kW], both directions.
        armed: energising is allowed from the start (simulation).
        longest_tick_s: longest law time between two calls of `observe` [s].
    """

    def __init__(self, rating: ModuleRating, max_kw: float, armed: bool, longest_tick_s: float = 0.0) -> None:
        self._rating = rating
        self.max_kw = max_kw  # may change at any time
        self._limits_step_s = max(LIMITS_STEP_S, longest_tick_s)
        self.armed = armed
        self.e_stop = False
        self.ceased = False  # droop's grid code lets no power flow
        self.connection = ""  # what it says of the connection to the grid
        self.offer_cap_kw = math.inf  # what it leaves for base power, to each side
        self.mode = Mode.OFF
        self.limits = ZERO_BOX
        self.due_kw = math.inf
        self.setpoint_kw = 0.0
        self.requested_kw = 0.0
        self.gate_clips = 0
        self.forced_steps = 0
        self._reset = False

    def resume(self, power_kw: float) -> None:
        """Continue from the power that the hardware steers to (start, restart, its own ramp to zero)."""
        self.setpoint_kw = power_kw

    def switch_off(self) -> None:
        """Nobody commands any more."""
        self.mode, self.limits, self.due_kw = Mode.OFF, ZERO_BOX, math.inf

    def arm(self) -> None:
        """Allow energising and leave SAFE or FAULT, if the cause is gone."""
        self.armed = self._reset = True

    def disarm(self) -> None:
        """Forbid energising."""
        self.armed = False

    def stop(self) -> None:
        """Emergency stop: SAFE until armed again with the stop released."""
        self.e_stop, self.armed = True, False

    @property
    def range_kw(self) -> Box:
        """What the module can offer: its limits and the grid code's, the upper end brought down to what is due."""
        low, high = max(self.limits.low_kw, 0.0 - self.offer_cap_kw), min(self.limits.high_kw, self.offer_cap_kw)
        return Box(low, max(low, min(high, self.due_kw)))

    @property
    def enabled(self) -> bool:
        """Whether the hardware may be energised."""
        return self.energised and not self.ceased

    @property
    def energised(self) -> bool:
        """Whether power may flow."""
        return self.armed and self.mode in ENERGISED

    def towards_zero_kw(self, dt_s: float) -> float:
        """Request of who has to stop: one tick towards zero within the ramp [kW]."""
        return towards_zero_kw(self.setpoint_kw, self._rating.ramp_kw_per_s, dt_s)

    def observe(self, seen: Observation, signal_valid: bool) -> None:
        """Renew limits and mode from what the backend reports; at every tick, as limits close along braking curves.

        `limits` are what the hardware can bear. `due_kw` is what the vehicle's departure asks for: power must come
        down to it, but within the ramp, so it is no limit of the gate.
        """
        rating, cap = self._rating, max(self.max_kw, abs(self.setpoint_kw))  # see begin_tick
        due = seen.vehicle.plugged and seen.vehicle.energy_due_kwh > 0.0
        hard = hard_limits(
            rating, seen.soc, seen.temperature_c, replace(seen.vehicle, energy_due_kwh=0.0) if due else seen.vehicle,
            seen.time_s, ambient_c=seen.ambient_c, step_s=self._limits_step_s,
        )
        self.limits = Box(max(hard.low_kw, -cap), min(hard.high_kw, cap))
        self.due_kw = math.inf
        if due:
            self.due_kw = must_charge_bound_kw(rating, seen.vehicle, seen.time_s, -self.limits.low_kw)
        self.mode = next_mode(
            self.mode,
            Events(
                configured=True,
                armed=self.armed,
                e_stop=self.e_stop,
                fault=bool(seen.fault),
                reset=self._reset,
                signal_valid=signal_valid,
                vehicle_plugged=seen.vehicle.plugged,
                derated=seen.vehicle.plugged and is_derated(rating, seen.temperature_c, seen.ambient_c),
                charging=seen.power_kw < -FLOWING_KW,
                discharging=seen.power_kw > FLOWING_KW,
            ),
        )
        self._reset = False

    def begin_tick(self, dt_s: float) -> None:
        """Before a request: a cap that was set below the power that flows comes into force within the ramp.

        Args:
            dt_s: law time that the tick stands for [s].
        """
        over_kw = abs(self.setpoint_kw) - self.max_kw
        if over_kw > 0.0:
            cap = self.max_kw + max(over_kw - self._rating.ramp_kw_per_s * dt_s, 0.0)
            self.limits = Box(max(self.limits.low_kw, -cap), min(self.limits.high_kw, cap))

    def apply(self, requested_kw: float, dt_s: float) -> GateResult:
        """The last gate: what may be sent now.

        Args:
            requested_kw: what droop asks for [kW].
            dt_s: since the last call [s].
        """
        ramp = self._rating.ramp_kw_per_s
        result = gate_of_module(requested_kw, self.energised, self.setpoint_kw, self.limits, ramp, dt_s)
        self.requested_kw, self.setpoint_kw = requested_kw, result.setpoint_kw
        self.gate_clips += result.clipped and self.energised
        self.forced_steps += result.forced_step
        return result
