"""What a module's device and its controller tell each other, as signals of the DBC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

Signals: TypeAlias = Mapping[str, float]

FAULTS = ("", "overpower", "overtemperature", "other")
VIOLATIONS = ("", "power beyond limit", "power while tripped", "power without a vehicle", "ramp",
              "command is not a number", "other")
SESSION_BYTES = 16


class DeviceState(IntEnum):
    """What a device is doing, as in its HEARTBEAT."""

    OFF = 0
    IDLE = 1  # not enabled
    ENABLED = 2
    TRIPPED = 3
    TIMED_OUT = 4  # enabled, but no valid set-point: ramping to zero, or at zero


class Setpoint(NamedTuple):
    """What the controller wants.

    Args:
        power_kw: > 0 discharges [kW].
        valid_s: time for which it holds after its arrival [s].
        enable: power may flow.
        reset: a change of it asks to clear a trip, 0 to 255.
        max_kw: cap for commissioning [kW], both directions.
    """

    power_kw: float
    valid_s: float
    enable: bool
    reset: int
    max_kw: float


class Status(NamedTuple):
    """What the device measures and does; see Measurement of sim/ek3_module.py for the words."""

    power_kw: float
    reference_kw: float
    limit_low_kw: float
    limit_high_kw: float
    soc: float  # NaN without a vehicle
    temperature_c: float
    ambient_c: float
    plugged: bool
    timed_out: bool
    enabled: bool
    fault: str
    violation: str
    constraint_violations: int
    energy_due_kwh: float
    discharged_kwh: float
    charged_kwh: float
    reset: int  # of the set-point obeyed last


class Vehicle(NamedTuple):
    """Who is plugged in.

    Args:
        session_id: at most 16 ASCII characters reach the other side.
        capacity_kwh: battery [kWh]; NaN without a vehicle.
        departure_in_s: time left [s]; NaN = not known.
    """

    session_id: str
    capacity_kwh: float
    departure_in_s: float


def setpoint_signals(setpoint: Setpoint) -> Signals:
    """SETPOINT from what the controller wants."""
    return {"power_kw": setpoint.power_kw, "valid_ms": 1000.0 * setpoint.valid_s, "enable": setpoint.enable,
            "reset": setpoint.reset, "max_kw": setpoint.max_kw}


def read_setpoint(signals: Signals) -> Setpoint:
    """What the controller wants, from SETPOINT."""
    return Setpoint(signals["power_kw"], signals["valid_ms"] / 1000.0, bool(signals["enable"]),
                    int(signals["reset"]), signals["max_kw"])


def status_signals(status: Status) -> Signals:
    """STATUS from what the device measures."""
    return {
        "power_kw": status.power_kw, "reference_kw": status.reference_kw, "limit_low_kw": status.limit_low_kw,
        "limit_high_kw": status.limit_high_kw, "soc": status.soc, "temperature_c": status.temperature_c,
        "ambient_c": status.ambient_c, "plugged": status.plugged, "timed_out": status.timed_out,
        "enabled": status.enabled, "fault": code_of(status.fault, FAULTS),
        "violation": code_of(status.violation, VIOLATIONS), "constraint_violations": status.constraint_violations,
        "energy_due_kwh": status.energy_due_kwh, "discharged_wh": 1000.0 * status.discharged_kwh,
        "charged_wh": 1000.0 * status.charged_kwh, "reset": status.reset}


def read_status(signals: Signals) -> Status:
    """What the device measures, from STATUS."""
    return Status(
        signals["power_kw"], signals["reference_kw"], signals["limit_low_kw"], signals["limit_high_kw"],
        signals["soc"], signals["temperature_c"], signals["ambient_c"], bool(signals["plugged"]),
        bool(signals["timed_out"]), bool(signals["enabled"]), text_of(signals["fault"], FAULTS),
        text_of(signals["violation"], VIOLATIONS), int(signals["constraint_violations"]),
        signals["energy_due_kwh"], signals["discharged_wh"] / 1000.0, signals["charged_wh"] / 1000.0,
        int(signals["reset"]))


def vehicle_signals(vehicle: Vehicle) -> Signals:
    """VEHICLE from who is plugged in."""
    text = vehicle.session_id.encode("ascii", "replace")[:SESSION_BYTES].ljust(SESSION_BYTES, b"\0")
    low, high = (int.from_bytes(half, "little") for half in (text[:8], text[8:]))
    return {"session_low": low, "session_high": high, "capacity_kwh": vehicle.capacity_kwh,
            "departure_in_ds": 10.0 * vehicle.departure_in_s}


def read_vehicle(signals: Signals) -> Vehicle:
    """Who is plugged in, from VEHICLE; what is no printable character becomes a question mark."""
    halves = (int(signals["session_low"]), int(signals["session_high"]))
    text = b"".join(half.to_bytes(8, "little") for half in halves).rstrip(b"\0")
    name = "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in text)
    return Vehicle(name, signals["capacity_kwh"], signals["departure_in_ds"] / 10.0)


def code_of(text: str, texts: Sequence[str]) -> int:
    """Number of a text in its table; one that is not there counts as "other", the last."""
    return texts.index(text) if text in texts else len(texts) - 1


def text_of(code: float, texts: Sequence[str]) -> str:
    """Text of a number in its table, whose range the codec has checked."""
    return texts[int(code)]
