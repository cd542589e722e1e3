"""The 29-bit identifier: bits 28-26 priority, 25-24 type, 23-16 source slot, 15-8 destination slot, 7-0 message code.

Layout of the EK3 bus. Who has which slot:

    1-64     device of module k (EK3 hardware or its stand-in)
    65-128   bridge of a host: 64 + lowest id of its modules
    129-192  controller of module k: 128 + k
    254      tools
    255      as destination: everyone
"""

from __future__ import annotations

from typing import NamedTuple

from v2g_nodes.core.errors import InputError

MODULES_MAX = 64
BRIDGE_BASE, CONTROLLER_BASE = 64, 128
TOOL_SLOT = 254
BROADCAST = 255
IDENTIFIER_MAX = 0x1FFFFFFF


class Identifier(NamedTuple):
    """The fields of an identifier.

    Args:
        priority: 0 (first) to 7.
        kind: 0 command, 1 status, 2 event, 3 firmware.
        source: slot of the sender.
        destination: slot of the receiver, or BROADCAST.
        code: of the message.
    """

    priority: int
    kind: int
    source: int
    destination: int
    code: int

    def pack(self) -> int:
        """The 29 bits as they are sent.

        Raises:
            InputError: a field does not fit.
        """
        for name, value, most in zip(self._fields, self, (7, 3, 255, 255, 255), strict=True):
            if not 0 <= value <= most:
                raise InputError(f"identifier {name} is {value}, allowed 0 to {most}")
        return self.priority << 26 | self.kind << 24 | self.source << 16 | self.destination << 8 | self.code

    @classmethod
    def unpack(cls, bits: int) -> Identifier:
        """Fields of a received identifier.

        Raises:
            InputError: more than 29 bits.
        """
        if not 0 <= bits <= IDENTIFIER_MAX:
            raise InputError(f"identifier is {bits:#x}, allowed 0 to {IDENTIFIER_MAX:#x}")
        return cls(bits >> 26, bits >> 24 & 3, bits >> 16 & 255, bits >> 8 & 255, bits & 255)


def device_slot(module_id: int) -> int:
    """Slot of the hardware of a module.

    Raises:
        InputError: no module has this id.
    """
    if not 1 <= module_id <= MODULES_MAX:
        raise InputError(f"module id is {module_id}, allowed 1 to {MODULES_MAX}")
    return module_id


def bridge_slot(lowest_module_id: int) -> int:
    """Slot of the bridge of a host, by the lowest id of its modules (see device_slot)."""
    return BRIDGE_BASE + device_slot(lowest_module_id)


def controller_slot(module_id: int) -> int:
    """Slot of the host's side of a module (see device_slot)."""
    return CONTROLLER_BASE + device_slot(module_id)


def module_of(slot: int) -> int | None:
    """Id of the module whose device or controller has this slot; None for any other slot."""
    if 1 <= slot <= MODULES_MAX:
        return slot
    if CONTROLLER_BASE < slot <= CONTROLLER_BASE + MODULES_MAX:
        return slot - CONTROLLER_BASE
    return None


def slot_name(slot: int) -> str:
    """A slot in words, for people: `module 3`, `controller 3`, `bridge 1`, `tool`, `all`, else `slot 200`."""
    if slot == TOOL_SLOT:
        return "tool"
    if slot == BROADCAST:
        return "all"
    for base, word in ((CONTROLLER_BASE, "controller"), (BRIDGE_BASE, "bridge"), (0, "module")):
        if base < slot <= base + MODULES_MAX:
            return f"{word} {slot - base}"
    return f"slot {slot}"
