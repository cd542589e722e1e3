"""Every mode against every combination of events."""

from __future__ import annotations

import itertools

import pytest

from v2g_nodes.core.mode import ENERGISED, Events, Mode, next_mode

OFF, STANDBY, READY, CHARGING, DISCHARGING, DERATED, FAULT, SAFE = Mode
NAMES = Events._fields
ALL_EVENTS = [Events(*flags) for flags in itertools.product((False, True), repeat=len(NAMES))]

IDLE = Events(configured=True, armed=True, signal_valid=True, vehicle_plugged=True)

#: row: what is true; columns: the mode that follows OFF, STANDBY, READY, CHARGING, DISCHARGING, DERATED, FAULT, SAFE
TABLE = [
    ("nothing configured", Events(), (OFF,) * 8),
    (
        "not configured beats all",
        Events(e_stop=True, fault=True, reset=True, armed=True, signal_valid=True, vehicle_plugged=True),
        (OFF,) * 8,
    ),
    ("configured only", Events(configured=True), (STANDBY,) * 6 + (FAULT, SAFE)),
    ("configured, reset", Events(configured=True, reset=True), (STANDBY,) * 8),
    ("idle", IDLE, (STANDBY, READY, READY, READY, READY, READY, FAULT, SAFE)),
    ("idle, reset", IDLE._replace(reset=True), (STANDBY, READY, READY, READY, READY, READY, STANDBY, STANDBY)),
    ("charging", IDLE._replace(charging=True), (STANDBY, READY, *(CHARGING,) * 4, FAULT, SAFE)),
    ("discharging", IDLE._replace(discharging=True), (STANDBY, READY, *(DISCHARGING,) * 4, FAULT, SAFE)),
    ("both signs", IDLE._replace(charging=True, discharging=True), (STANDBY, READY, *(READY,) * 4, FAULT, SAFE)),
    ("derated", IDLE._replace(derated=True), (STANDBY, READY, *(DERATED,) * 4, FAULT, SAFE)),
    ("derated, charging", IDLE._replace(derated=True, charging=True), (STANDBY, READY, *(DERATED,) * 4, FAULT, SAFE)),
    ("not armed", IDLE._replace(armed=False, charging=True), (STANDBY,) * 6 + (FAULT, SAFE)),
    ("no vehicle", IDLE._replace(vehicle_plugged=False, discharging=True), (STANDBY,) * 6 + (FAULT, SAFE)),
    ("no signal", IDLE._replace(signal_valid=False), (STANDBY,) * 6 + (FAULT, SAFE)),
    (
        "no signal, still charging",
        IDLE._replace(signal_valid=False, charging=True),
        (STANDBY, STANDBY, *(CHARGING,) * 4, FAULT, SAFE),
    ),
    ("no signal, derated, idle", IDLE._replace(signal_valid=False, derated=True), (STANDBY,) * 6 + (FAULT, SAFE)),
    ("e-stop", IDLE._replace(e_stop=True, charging=True), (SAFE,) * 6 + (FAULT, SAFE)),
    ("e-stop held, reset", IDLE._replace(e_stop=True, reset=True), (SAFE,) * 8),
    ("fault", IDLE._replace(fault=True), (FAULT,) * 8),
    ("fault and e-stop", IDLE._replace(fault=True, e_stop=True), (FAULT,) * 8),
    ("fault stays, reset", IDLE._replace(fault=True, reset=True), (FAULT,) * 8),
]


@pytest.mark.parametrize(("events", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
@pytest.mark.parametrize("mode", Mode)
def test_table(mode: Mode, events: Events, expected: tuple[Mode, ...]) -> None:
    assert next_mode(mode, events) is expected[mode]


def test_values_are_those_of_the_message() -> None:
    assert [(mode.name, int(mode)) for mode in Mode] == [
        ("OFF", 0),
        ("STANDBY", 1),
        ("READY", 2),
        ("CHARGING", 3),
        ("DISCHARGING", 4),
        ("DERATED", 5),
        ("FAULT", 6),
        ("SAFE", 7),
    ]


@pytest.mark.parametrize("mode", Mode)
def test_rules_hold_for_every_combination_of_events(mode: Mode) -> None:
    """All 1024 combinations, against rules stated apart from the function."""
    for events in ALL_EVENTS:
        following = next_mode(mode, events)
        assert isinstance(following, Mode)
        assert (following is OFF) == (not events.configured)
        if not events.configured:
            continue
        if events.fault or (mode is FAULT and not events.reset):
            assert following is FAULT
        else:
            assert following is not FAULT
            assert (following is SAFE) == (events.e_stop or (mode is SAFE and not events.reset))
        if following in ENERGISED:
            assert events.armed
            assert events.vehicle_plugged
            assert not events.e_stop
            assert not events.fault
            assert events.signal_valid or events.charging != events.discharging
            assert mode is STANDBY or mode in ENERGISED
        if following in ENERGISED and mode is STANDBY:
            assert following is READY
        if following is CHARGING:
            assert events.charging
            assert not events.derated
        if following is DISCHARGING:
            assert events.discharging
            assert not events.derated
        if following is DERATED:
            assert events.derated


@pytest.mark.parametrize("mode", Mode)
def test_constant_events_settle(mode: Mode) -> None:
    """Without a reset no combination makes the mode flicker."""
    for events in ALL_EVENTS:
        if events.reset:
            continue
        visited = mode
        for _ in range(4):
            visited = next_mode(visited, events)
        assert next_mode(visited, events) is visited


def test_safe_is_left_by_reset_only() -> None:
    mode = next_mode(CHARGING, IDLE._replace(e_stop=True, charging=True))
    for _ in range(5):
        mode = next_mode(mode, IDLE)
    assert mode is SAFE
    assert next_mode(mode, IDLE._replace(reset=True)) is STANDBY
