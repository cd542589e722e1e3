"""Everything that must never happen while a station's modules come and go."""

from __future__ import annotations

from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import Decision, OptimizerSettings
from v2g_nodes.sim.watch_agreements import AgreementWatch
from v2g_nodes.sim.watch_owners import OwnerWatch


class ChurnWatch:
    """Looks at each optimizer after each of its steps.

    Args:
        settings: of the station.
    """

    def __init__(self, settings: OptimizerSettings) -> None:
        self.faults: list[str] = []
        self.agreements = AgreementWatch(settings, self.faults)
        self.owners = OwnerWatch(self.faults)
        self._views: dict[int, tuple[object, float]] = {}

    def stepped(self, module_id: int, optimizer: ModuleOptimizer, decision: Decision | None, now_ns: int) -> None:
        """An optimizer was stepped."""
        group, target_kw = optimizer.membership.group, optimizer.target_kw
        known = self._views.get(module_id)
        if known is None or known[0] is not group or known[1] != target_kw:
            self._views[module_id] = (group, target_kw)
            self.owners.stepped(module_id, optimizer, _when(now_ns))
        if decision:
            self.agreements.decided(module_id, optimizer, decision, _when(now_ns))

    def gone(self, module_id: int, now_ns: int) -> None:
        """A module has died or is stopped."""
        self._views.pop(module_id, None)
        self.owners.gone(module_id)


def _when(now_ns: int) -> str:
    return f"{now_ns / 1e9:.3f} s"
