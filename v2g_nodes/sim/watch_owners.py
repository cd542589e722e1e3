"""Groups without a common member never agree on more than the target, whatever each believes about the other."""

from __future__ import annotations

from v2g_nodes.core.dispatch.agent import Group
from v2g_nodes.core.optimizer_types import Decision

ROUNDING = 1e-9


class OwnerWatch:
    """What each module's group owns: its share of the target, from its agreement until the group changes.

    Args:
        faults: where to write what should not be.
    """

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self._claims: dict[int, tuple[Group, int, float]] = {}  # group, its members as bits, its share
        self._told: set[tuple[int, int]] = set()

    def stepped(self, module_id: int, group: Group) -> None:
        """A module counts on this group now."""
        claim = self._claims.get(module_id)
        if claim and claim[0] is not group:
            del self._claims[module_id]

    def decided(self, module_id: int, target_kw: float, decision: Decision, when: str) -> None:
        """A module has decided.

        Args:
            module_id: of the module.
            target_kw: of the station [kW].
            decision: what it decided.
            when: begins the text of a fault.
        """
        group, share = decision.group, decision.agreement.target_kw / (target_kw or 1.0)
        members = sum(1 << k for k in group.members)
        self._claims[module_id] = (group, members, share)
        if not share:
            return
        for other, (_, others, other_share) in self._claims.items():
            if members & others or share + other_share <= 1.0 + ROUNDING or (members, others) in self._told:
                continue
            self._told |= {(members, others), (others, members)}
            self._faults.append(
                f"{when}, module {module_id} in {_ids(members)} owns {share:.3f} of the target, "
                f"module {other} in {_ids(others)} {other_share:.3f}"
            )

    def gone(self, module_id: int) -> None:
        """A module owns nothing any more."""
        self._claims.pop(module_id, None)


def _ids(members: int) -> list[int]:
    return [k for k in range(members.bit_length()) if members >> k & 1]
