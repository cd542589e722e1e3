"""The fields of the 29 bits and the slots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2g_nodes.canbus.identifier import (
    BROADCAST,
    TOOL_SLOT,
    Identifier,
    bridge_slot,
    controller_slot,
    device_slot,
    module_of,
    slot_name,
)
from v2g_nodes.core.errors import InputError

BYTES = st.integers(0, 255)


@given(st.builds(Identifier, st.integers(0, 7), st.integers(0, 3), BYTES, BYTES, BYTES))
def test_fields_survive(identifier: Identifier) -> None:
    assert Identifier.unpack(identifier.pack()) == identifier


def test_bits_are_where_the_ek3_bus_has_them() -> None:
    assert Identifier(priority=1, kind=2, source=3, destination=4, code=5).pack() == 0b001_10_00000011_00000100_00000101
    assert Identifier(7, 3, 255, 255, 255).pack() == 0x1FFFFFFF


def test_a_lower_priority_number_wins_the_bus_whoever_speaks() -> None:
    assert Identifier(0, 3, 255, 255, 255).pack() < Identifier(1, 0, 0, 0, 0).pack()


def test_bad_fields_are_named() -> None:
    with pytest.raises(InputError, match="identifier priority is 8, allowed 0 to 7"):
        Identifier(8, 0, 1, 1, 1).pack()
    with pytest.raises(InputError, match="identifier is 0x20000000, allowed 0 to 0x1fffffff"):
        Identifier.unpack(1 << 29)


def test_nobody_shares_a_slot() -> None:
    modules = range(1, 65)
    slots = [make(k) for make in (device_slot, bridge_slot, controller_slot) for k in modules]
    assert len({*slots, TOOL_SLOT, BROADCAST, 0}) == 3 * 64 + 3
    assert (
        [module_of(device_slot(k)) for k in modules] == [module_of(controller_slot(k)) for k in modules] == [*modules]
    )
    assert [module_of(slot) for slot in (0, bridge_slot(1), bridge_slot(64), 193, TOOL_SLOT, BROADCAST)] == [None] * 6
    with pytest.raises(InputError, match="module id is 65, allowed 1 to 64"):
        controller_slot(65)


def test_slots_in_words() -> None:
    slots = (device_slot(3), bridge_slot(1), controller_slot(64), TOOL_SLOT, BROADCAST, 200)
    assert [*map(slot_name, slots)] == ["module 3", "bridge 1", "controller 64", "tool", "all", "slot 200"]
