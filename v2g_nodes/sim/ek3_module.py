"""An EK3 module with a vehicle at it, as it really behaves: the truth the controller is judged against.

Losses by table, battery and junction stepped by dt, limits of its own that it enforces and by which it counts
`constraint_violations`, its own answer to silence (ramp to zero). The controller's beliefs are in
core/battery.py and core/limits.py and differ: it plans with a loss polynomial and one efficiency. Shared
with them are only constants of the EK3 specification and the type that describes a vehicle.

Power is at the grid side, > 0 discharges the vehicle. Time comes in as dt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from typing import Any, NamedTuple

from v2g_nodes.core.battery import UNPLUGGED, VehicleState
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.module_control import Observation
from v2g_nodes.core.types import Box
from v2g_nodes.sim.ek3_hardware import PEAK_OVER_RATING, STANDBY_KW, TRIP_JUNCTION_C, Ek3Hardware
from v2g_nodes.sim.ek3_state import Ek3State, state_from_json, state_to_json
from v2g_nodes.sim.sessions import Session

__all__ = ["Ek3Hardware", "Ek3Plant", "Measurement", "build_plant"]

POWER_TOLERANCE = 0.01  # of the rating; what its meter can't tell apart
RAMP_TOLERANCE = 0.01  # of the allowed change
RAMP_SLACK_S = 0.05  # s, jitter between two clocks: a late command may catch up by this much of the ramp
SECONDS_PER_HOUR = 3600.0
RESTORE_STEP_S = 0.05  # s, step in which a ramp-down during an outage is caught up


class Measurement(NamedTuple):
    """What the module reports after a step.

    Args:
        time_s: local time of day [s], not wrapped at midnight.
        power_kw: measured at the grid side [kW].
        reference_kw: what the hardware is steering to [kW]: the command, as far as it was accepted.
        soc: state of charge; NaN without a vehicle.
        temperature_c: hottest junction [deg C].
        ambient_c: [deg C].
        limits: own true limits for the next command [kW].
        vehicle: who is plugged in; its departure is on the clock of time_s.
        timed_out: ramping to zero, or at zero, because no command came.
        fault: why it tripped; empty when it did not.
        constraint_violations: commands that broke a true limit, counted when each begins.
        violation: what the latest of them was; empty before the first.
        discharged_kwh: fed to the grid since start [kWh].
        charged_kwh: drawn from the grid since start [kWh].
    """

    time_s: float
    power_kw: float
    reference_kw: float
    soc: float
    temperature_c: float
    ambient_c: float
    limits: Box
    vehicle: VehicleState
    timed_out: bool
    fault: str
    constraint_violations: int
    violation: str
    discharged_kwh: float
    charged_kwh: float

    @property
    def observation(self) -> Observation:
        """What control needs of it."""
        return Observation(
            self.time_s, self.power_kw, self.soc, self.temperature_c, self.ambient_c, self.vehicle, self.fault
        )


class Ek3Plant:
    """The module, stepped by dt."""

    def __init__(self, hardware: Ek3Hardware, *, time_s: float = 0.0, ambient_c: float = 30.0,
                 temperature_c: float | None = None, sessions: Sequence[Session] = (), arrival_soc: float = 0.5,
                 arrival_capacity_kwh: float = 60.0) -> None:
        """An idle module; a session that is under way at the start is plugged in.

        Args:
            hardware: what it is built like.
            time_s: local time of day at the start [s].
            ambient_c: [deg C].
            temperature_c: junction at the start [deg C]; None = ambient.
            sessions: vehicles to come, in order of arrival, none overlapping.
            arrival_soc: state of charge with which they come, less where the energy due would not fit above.
            arrival_capacity_kwh: their battery [kWh].
        """
        self.hardware = hardware
        self._sessions = tuple(sessions)
        self._arrival = (arrival_soc, arrival_capacity_kwh)
        self._state = Ek3State(time_s, ambient_c, ambient_c if temperature_c is None else temperature_c)
        self._broken: Set[str] = set()
        self._limits_of: tuple[tuple[object, ...], Box] = ((), Box(0.0, 0.0))
        self._follow_sessions()
        self._reported = self._true_limits()

    def plug_in(self, vehicle: VehicleState) -> None:
        """A vehicle comes; departure on the clock of time_s. The one before, if any, leaves.

        Raises:
            InputError: the vehicle is not plugged.
        """
        if not vehicle.plugged:
            raise InputError("vehicle is not plugged, allowed is a plugged one; use plug_out")
        self.plug_out()
        state = self._state
        state.plugged, state.session_id, state.capacity_kwh = True, vehicle.session_id, vehicle.capacity_kwh
        state.soc, state.departure_s = vehicle.soc, vehicle.departure_s
        due = vehicle.energy_due_kwh / vehicle.capacity_kwh
        state.soc_due = min(vehicle.soc + due, self.hardware.soc_max) if due > 0.0 else 0.0

    def plug_out(self) -> None:
        """The vehicle leaves: the contactor opens, no current is left."""
        state = self._state
        state.plugged, state.session_id, state.departure_s, state.soc_due = False, "", None, 0.0
        state.power_kw = state.reference_kw = state.ramp_budget_kw = 0.0

    def set_ambient(self, ambient_c: float) -> None:
        """Change the ambient temperature [deg C]."""
        self._state.ambient_c = ambient_c

    def reset_fault(self) -> None:
        """Clear a trip."""
        self._state.fault = ""

    def step(self, setpoint_kw: float | None, dt_s: float) -> Measurement:
        """Advance by dt under a command.

        Args:
            setpoint_kw: command received in this step [kW]; None = none came.
            dt_s: step [s], above 0.

        Raises:
            InputError: dt is not above 0.
        """
        state = self._state
        ramp = self._let_ramp(dt_s)
        if setpoint_kw is not None and math.isfinite(setpoint_kw):
            state.since_command_s = 0.0
            self.judge(setpoint_kw, self._reported, [(state.reference_kw, state.ramp_budget_kw)])
            self._steer(setpoint_kw)
        else:
            self._note(set() if setpoint_kw is None else {"command is not a number"})
            state.since_command_s += dt_s
            late_s = min(dt_s, state.since_command_s - self.hardware.command_timeout_s)
            if late_s > 0.0:
                self._steer(0.0, most_kw=ramp * late_s)
        return self._pass(dt_s)

    def hold(self, target_kw: float | None, dt_s: float) -> Measurement:
        """Advance by dt under a command that came earlier, was judged then, and holds as long as its receiver says.

        Args:
            target_kw: the command [kW]; None = none holds: timed out, whatever `command_timeout_s` is.
            dt_s: step [s], above 0.

        Raises:
            InputError: dt is not above 0.
        """
        state = self._state
        ramp = self._let_ramp(dt_s)
        if target_kw is None:
            state.since_command_s = max(state.since_command_s, self.hardware.command_timeout_s) + dt_s
        else:
            state.since_command_s = 0.0
        self._steer(0.0 if target_kw is None else target_kw, most_kw=ramp * dt_s)
        return self._pass(dt_s)

    def judge(self, setpoint_kw: float, known: Box, starts: Sequence[tuple[float, float]]) -> None:
        """Count what a command breaks: the looser of the limits that were known and those of now, and the ramp.

        Args:
            setpoint_kw: the command [kW], finite.
            known: limits by which it may go [kW].
            starts: what it may have started from [kW], and how far the ramp reaches from there [kW].
        """
        state, hardware, now = self._state, self.hardware, self._true_limits()
        low, high = min(now.low_kw, known.low_kw), max(now.high_kw, known.high_kw)
        slack_kw = POWER_TOLERANCE * hardware.p_max_kw
        broken: set[str] = set()
        if not low - slack_kw <= setpoint_kw <= high + slack_kw:
            broken.add(f"power {self._limit_reason()}")
        # a step that a true limit forces is no fault of the command: count from the edge of the limits
        wanted_kw = now.clip(setpoint_kw)
        if all(abs(wanted_kw - now.clip(start_kw)) > reach_kw * (1.0 + RAMP_TOLERANCE) + 1e-9
               for start_kw, reach_kw in starts):
            broken.add("ramp")
        if abs(setpoint_kw) > PEAK_OVER_RATING * hardware.p_max_kw + slack_kw:
            state.fault = "overpower"
        self._note(broken)

    def measurement(self) -> Measurement:
        """What it reports now; from here on its limits are known to the controller."""
        state = self._state
        self._reported = self._true_limits()
        return Measurement(
            time_s=state.time_s, power_kw=state.power_kw, reference_kw=state.reference_kw,
            soc=state.soc if state.plugged else math.nan, temperature_c=state.temperature_c,
            ambient_c=state.ambient_c, limits=self._reported, vehicle=self._vehicle(),
            timed_out=state.since_command_s > self.hardware.command_timeout_s, fault=state.fault,
            constraint_violations=state.violations, violation=state.violation,
            discharged_kwh=state.discharged_kwh, charged_kwh=state.charged_kwh)

    def to_state(self, saved_at_s: float) -> str:
        """All that changes, as JSON.

        Args:
            saved_at_s: time of saving on a clock that goes on while the process is down [s].
        """
        return state_to_json(self._state, saved_at_s)

    def from_state(self, text: str, now_s: float) -> Measurement:
        """Take up a saved state and live through the time since: nobody commanded, so it ramped down.

        Args:
            text: from to_state.
            now_s: now, on the clock of saved_at_s [s].

        Raises:
            InputError: not such a state; the plant is as before.
        """
        self._state, saved_at_s = state_from_json(text)
        self._broken = set()
        left_s = max(0.0, now_s - saved_at_s)
        while left_s > 0.0 and (self._state.reference_kw != 0.0 or abs(self._state.power_kw) > 1e-6):
            part_s = min(RESTORE_STEP_S, left_s)
            self.step(None, part_s)
            left_s -= part_s
        return self.step(None, left_s) if left_s > 1e-9 else self.measurement()

    def _true_limits(self) -> Box:
        state = self._state
        depends_on = state.plugged, state.fault, state.temperature_c, state.ambient_c, state.soc
        if depends_on != self._limits_of[0]:  # asked for four times a step, in which they change once
            self._limits_of = depends_on, self._find_limits()
        return self._limits_of[1]

    def _find_limits(self) -> Box:
        state, hardware = self._state, self.hardware
        if not state.plugged or state.fault:
            return Box(0.0, 0.0)
        charge, discharge = hardware.derating.fractions(state.temperature_c, state.ambient_c)
        return Box(-hardware.p_max_kw * charge if state.soc < hardware.soc_max else 0.0,
                   hardware.p_max_kw * discharge if state.soc > hardware.soc_min else 0.0)

    def _let_ramp(self, dt_s: float) -> float:
        """Let the budget of the ramp grow; the ramp [kW/s]."""
        if not (math.isfinite(dt_s) and dt_s > 0.0):
            raise InputError(f"dt {dt_s} s, allowed above 0")
        ramp = self.hardware.ramp_kw_per_s
        budget_kw = self._state.ramp_budget_kw + ramp * dt_s
        self._state.ramp_budget_kw = min(budget_kw, ramp * (dt_s + RAMP_SLACK_S))
        return ramp

    def _pass(self, dt_s: float) -> Measurement:
        self._integrate(dt_s)
        self._follow_sessions()
        return self.measurement()

    def _limit_reason(self) -> str:
        state = self._state
        if state.fault:
            return "while tripped"
        return "beyond limit" if state.plugged else "without a vehicle"

    def _note(self, broken: Set[str]) -> None:
        """Count each kind of violation when it begins, not while it lasts."""
        if not broken and not self._broken:
            return
        for what in sorted(broken - self._broken):
            self._state.violations += 1
            self._state.violation = what
        self._broken = broken

    def _steer(self, wanted_kw: float, most_kw: float = math.inf) -> None:
        """Move the reference, no faster than the ramp and always inside the true limits."""
        state, now = self._state, self._true_limits()
        reach_kw = min(most_kw, state.ramp_budget_kw)
        change_kw = min(max(wanted_kw - state.reference_kw, -reach_kw), reach_kw)
        state.ramp_budget_kw -= abs(change_kw)
        state.reference_kw = now.clip(state.reference_kw + change_kw)

    def _integrate(self, dt_s: float) -> None:
        """Power follows the reference, charge and junction follow the power."""
        state, hardware = self._state, self.hardware
        now = self._true_limits()
        state.reference_kw = now.clip(state.reference_kw)
        before_kw = state.power_kw
        decay = math.exp(-dt_s / hardware.actuator_lag_s) if hardware.actuator_lag_s > 0.0 else 0.0
        state.power_kw = state.reference_kw + (before_kw - state.reference_kw) * decay
        # mean over the step of the exponential
        lag_share = hardware.actuator_lag_s * (1.0 - decay) / dt_s
        mean_kw = state.reference_kw + (before_kw - state.reference_kw) * lag_share
        efficiency = hardware.efficiency_at(mean_kw)
        battery_kw = mean_kw / efficiency if mean_kw > 0.0 else mean_kw * efficiency
        loss_kw = abs(battery_kw - mean_kw) + STANDBY_KW
        if state.plugged:
            state.soc = min(max(state.soc - battery_kw * dt_s / SECONDS_PER_HOUR / state.capacity_kwh, 0.0), 1.0)
        state.discharged_kwh += max(mean_kw, 0.0) * dt_s / SECONDS_PER_HOUR
        state.charged_kwh += max(-mean_kw, 0.0) * dt_s / SECONDS_PER_HOUR
        settled_c = (state.ambient_c
                     + 1000.0 * loss_kw * hardware.thermal_resistance_k_per_w / hardware.thermal_devices)
        state.temperature_c = (settled_c + (state.temperature_c - settled_c)
                               * math.exp(-dt_s / hardware.thermal_tau_s))
        if state.temperature_c > TRIP_JUNCTION_C:
            state.fault = "overtemperature"
        state.time_s += dt_s

    def _follow_sessions(self) -> None:
        """Vehicles leave and come as time passes."""
        state = self._state
        if state.plugged and state.departure_s is not None and state.time_s >= state.departure_s:
            self.plug_out()
        while state.sessions_done < len(self._sessions):
            session = self._sessions[state.sessions_done]
            if session.arrival_s > state.time_s:
                return
            state.sessions_done += 1
            if session.departure_s > state.time_s:
                self.plug_in(self._arriving(session))

    def _arriving(self, session: Session) -> VehicleState:
        soc, capacity_kwh = self._arrival
        fitting = self.hardware.soc_max - session.energy_kwh / capacity_kwh
        return VehicleState(
            plugged=True, session_id=session.session_id, capacity_kwh=capacity_kwh,
            soc=max(min(soc, fitting), self.hardware.soc_min), departure_s=session.departure_s,
            energy_due_kwh=session.energy_kwh)

    def _vehicle(self) -> VehicleState:
        state = self._state
        if not state.plugged:
            return UNPLUGGED
        due_kwh = max(0.0, state.soc_due - state.soc) * state.capacity_kwh
        return VehicleState(True, state.session_id, state.capacity_kwh, state.soc, state.departure_s, due_kwh)


def build_plant(parameters: Mapping[str, Any]) -> Ek3Plant:
    """A module from the parameters of its node (bringup_parameters.module_parameters)."""
    hardware = Ek3Hardware(**{item.name: parameters[item.name] for item in fields(Ek3Hardware)
                              if item.name != "derating"})
    columns = [parameters.get(f"session_{key}", ()) for key in ("ids", "arrival_s", "departure_s", "energy_kwh")]
    plant = Ek3Plant(
        hardware, time_s=parameters["start_time_of_day_s"], ambient_c=parameters["ambient_c"],
        temperature_c=parameters["temperature_c"], sessions=[Session(*row) for row in zip(*columns, strict=True)],
        arrival_soc=parameters["soc"], arrival_capacity_kwh=parameters["vehicle_capacity_kwh"])
    if parameters["vehicle_plugged"]:
        departure_s = parameters["vehicle_departure_s"]
        plant.plug_in(VehicleState(
            plugged=True, session_id=parameters["vehicle_session_id"],
            capacity_kwh=parameters["vehicle_capacity_kwh"], soc=parameters["soc"],
            departure_s=None if math.isnan(departure_s) else departure_s,
            energy_due_kwh=parameters["vehicle_energy_due_kwh"]))
        plant.measurement()
    return plant
