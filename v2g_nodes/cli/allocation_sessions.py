"""Charging sessions as vehicles of an allocation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.allocation.problem import Vehicle
from v2g_nodes.planning.slots import whole_slots
from v2g_nodes.sim.sessions import Session, read_sessions, sessions_of_day
from v2g_nodes.sim.time_axis import format_clock

SOC_MIN_SHARE, SOC_GOAL_SHARE = 0.15, 0.9  # of the battery: 3.6 and 21.6 of 24 kWh, as in the source's set
RATING_PER_KW = 1.0 / 0.9  # a charger's apparent over its active power
EDGE = 1e-9  # relative, of an energy


@dataclass(frozen=True)
class Stays:
    """The sessions of a day.

    Args:
        vehicles: those with a whole slot in the plan.
        start_s: local time of day of the first slot [s].
        short_kwh: energy the whole slots have no time for [kWh].
        notes: what was decided, in words.
    """

    vehicles: tuple[Vehicle, ...]
    start_s: float
    short_kwh: float
    notes: tuple[str, ...]


def read_stays(
    path: str,
    day: str | None,
    slots: int,
    slot_h: float,
    start_s: float | None,
    power_kw: float,
    battery_kwh: float,
    commitment: float,
) -> Stays:
    """Vehicles that are due the energy of their sessions in the whole slots of their stays.

    Args:
        path: of the sessions.
        day: YYYY-MM-DD, None: the first.
        slots: of the plan.
        slot_h: width of a slot [h].
        start_s: local time of day of the first slot [s]; None: the slot of the first arrival.
        power_kw: of each charger [kW].
        battery_kwh: of each vehicle [kWh].
        commitment: alpha of all.

    Raises:
        InputError: the file, no session with a whole slot, or a session that asks for more than its battery takes or
            its charger gives from arrival to departure; the message names it.
    """
    sessions, slot_s = sessions_of_day(read_sessions(path), day), 3600.0 * slot_h
    if start_s is None:
        start_s = math.floor(max(0.0, min(session.arrival_s for session in sessions)) / slot_s) * slot_s
    vehicles, short = [], {}
    for session in sessions:
        _check_session(path, session, power_kw, battery_kwh)
        arrival, departure = whole_slots(session.arrival_s - start_s, session.departure_s - start_s, slot_s, slots)
        if departure <= arrival:
            continue
        name, energy = session.session_id, min(session.energy_kwh, power_kw * slot_h * (departure - arrival))
        if energy < session.energy_kwh:
            short[name] = session.energy_kwh - energy
        low = SOC_MIN_SHARE * battery_kwh
        goal = max(SOC_GOAL_SHARE * battery_kwh, low + energy)
        vehicles.append(Vehicle(name, arrival, departure, goal - energy, goal, low, battery_kwh, power_kw,
                                RATING_PER_KW * power_kw, commitment))  # fmt: skip
    if not vehicles:
        raise InputError(
            f"{path}: no session has a whole slot of {slot_h:g} h in the {slots} slots from {format_clock(start_s)}, "
            "allowed at least one"
        )
    notes = [f"{len(vehicles)} of {len(sessions)} sessions of {path}: those with a whole slot in the plan"]
    if short:
        each = ", ".join(f"{name} by {missing:.3g} kWh" for name, missing in short.items())
        notes.append(f"at full power in all their whole slots and still short of their energy: {each}")
    return Stays(tuple(vehicles), start_s, sum(short.values()), tuple(notes))


def _check_session(path: str, session: Session, power_kw: float, battery_kwh: float) -> None:
    """Refuse what neither whole slots nor the plan's ends explain."""
    takes = battery_kwh * (1.0 - SOC_MIN_SHARE)
    gives = power_kw * (session.departure_s - session.arrival_s) / 3600.0
    for most, why in ((takes, f"what a battery of {battery_kwh:g} kWh takes (--battery-kwh)"),
                      (gives, f"what {power_kw:g} kW give from arrival to departure (--power-kw)")):  # fmt: skip
        if session.energy_kwh > most * (1.0 + EDGE):
            who = f"{path}: session {session.session_id}: energy_kwh"
            raise InputError(f"{who} is {session.energy_kwh:g}, allowed up to {most:g}, {why}")
