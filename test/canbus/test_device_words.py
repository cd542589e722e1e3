"""Words between a device and its controller cross the bus."""

from __future__ import annotations

import math

import pytest

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.device_words import (
    FAULTS,
    VIOLATIONS,
    DeviceState,
    Setpoint,
    Status,
    Vehicle,
    code_of,
    read_setpoint,
    read_status,
    read_vehicle,
    setpoint_signals,
    status_signals,
    vehicle_signals,
)

CODEC = Codec.load()
STATUS = Status(-1.5, -1.6, -3.3, 3.2, 0.4321, 61.25, 30.5, True, False, True, "overtemperature", "ramp", 7, 12.34,
                1.234, 5.678, 9)  # fmt: skip


def test_a_set_point_crosses_the_bus() -> None:
    wanted = Setpoint(-2.5, 0.3, True, 17, 1.25)
    seen = read_setpoint(CODEC.unpack("SETPOINT", CODEC.pack("SETPOINT", setpoint_signals(wanted))))
    assert seen == pytest.approx(wanted, abs=1e-4)


def test_a_set_point_out_of_range_saturates() -> None:
    wanted = Setpoint(50.0, 1000.0, True, 0, 99.0)
    seen = read_setpoint(CODEC.unpack("SETPOINT", CODEC.pack("SETPOINT", setpoint_signals(wanted))))
    assert seen.power_kw == pytest.approx(3.6)
    assert seen.valid_s == pytest.approx(65.535)
    assert seen.max_kw <= 13.2


@pytest.mark.parametrize("status", [STATUS, STATUS._replace(soc=math.nan, plugged=False, fault="", violation="")])
def test_a_status_crosses_the_bus(status: Status) -> None:
    seen = read_status(CODEC.unpack("STATUS", CODEC.pack("STATUS", status_signals(status))))
    assert (seen.fault, seen.violation) == (status.fault, status.violation)
    for name, value in status._asdict().items():
        if not isinstance(value, str):
            assert getattr(seen, name) == pytest.approx(value, abs=0.011, nan_ok=True), name


@pytest.mark.parametrize(
    ("vehicle", "session_id"),
    [
        (Vehicle("session-17", 60.0, 4000.0), "session-17"),
        (Vehicle("exactly 16 bytes", 40.0, math.nan), "exactly 16 bytes"),
        (Vehicle("longer than sixteen", 40.0, 0.0), "longer than sixt"),
        (Vehicle("Müller", 40.0, 0.0), "M?ller"),
        (Vehicle("", math.nan, math.nan), ""),
    ],
)
def test_a_vehicle_crosses_the_bus(vehicle: Vehicle, session_id: str) -> None:
    seen = read_vehicle(CODEC.unpack("VEHICLE", CODEC.pack("VEHICLE", vehicle_signals(vehicle))))
    assert seen.session_id == session_id
    assert seen.capacity_kwh == pytest.approx(vehicle.capacity_kwh, abs=0.02, nan_ok=True)
    assert seen.departure_in_s == pytest.approx(vehicle.departure_in_s, abs=0.06, nan_ok=True)


def test_what_is_no_printable_character_is_not_passed_on() -> None:
    signals = {**vehicle_signals(Vehicle("", 1.0, 1.0)), "session_low": 0x0A1B41}
    assert read_vehicle(signals).session_id == "A??"


def test_the_dbc_has_the_same_texts() -> None:
    def choices(message: str, signal: str) -> list[str]:
        found = next(item for item in CODEC.spec(message).signals if item.name == signal).choices
        return [found[code] for code in range(len(found))]

    for message in ("FAULT", "STATUS"):
        assert choices(message, "fault") == ["none", *FAULTS[1:]]
    assert choices("STATUS", "violation") == ["none", *VIOLATIONS[1:]]
    assert choices("HEARTBEAT", "state") == ["off", "idle", "enabled", "tripped", "safe by time-out"]
    assert [state.value for state in DeviceState] == [0, 1, 2, 3, 4]


def test_an_unknown_text_is_other() -> None:
    assert FAULTS[code_of("arc", FAULTS)] == "other"
