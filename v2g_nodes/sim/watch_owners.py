"""Two groups without a common member never both own the target, whatever each believes about the other."""

from __future__ import annotations

from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import NO_EPOCH

ROUNDING = 1e-9


class OwnerWatch:
    """What each module believes its group owns.

    Args:
        faults: where to write what should not be.
    """

    def __init__(self, faults: list[str]) -> None:
        self._faults = faults
        self._shares: dict[int, tuple[int, float]] = {}  # bits of a module's group, and its share of the target
        self._told: set[tuple[int, int]] = set()

    def stepped(self, module_id: int, optimizer: ModuleOptimizer, when: str) -> None:
        """A module's view or target may have changed."""
        takes_part = optimizer.membership.taking_part and optimizer.epoch != NO_EPOCH
        share = optimizer.island_share() if takes_part and optimizer.target_kw else 0.0
        group = sum(1 << k for k in optimizer.membership.group.members)
        self._shares[module_id] = (group, share)
        if not share:
            return
        for other, (other_group, other_share) in self._shares.items():
            if group & other_group or share + other_share <= 1.0 + ROUNDING or (group, other_group) in self._told:
                continue
            self._told |= {(group, other_group), (other_group, group)}
            self._faults.append(
                f"{when}, module {module_id} in {_ids(group)} owns {share:.3f} of the target, "
                f"module {other} in {_ids(other_group)} {other_share:.3f}"
            )

    def gone(self, module_id: int) -> None:
        """A module believes nothing any more."""
        self._shares.pop(module_id, None)


def _ids(group: int) -> list[int]:
    return [k for k in range(group.bit_length()) if group >> k & 1]
