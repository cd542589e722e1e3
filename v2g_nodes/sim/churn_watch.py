"""Everything that must never happen while a station's modules come and go."""

from __future__ import annotations

from collections.abc import Mapping

from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import Decision, OptimizerSettings
from v2g_nodes.sim.watch_agreements import AgreementWatch
from v2g_nodes.sim.watch_owners import OwnerWatch
from v2g_nodes.sim.watch_power import PowerWatch


class ChurnWatch:
    """Looks at each optimizer after each of its steps.

    Args:
        settings: of the station.
    """

    def __init__(self, settings: OptimizerSettings) -> None:
        self.faults: list[str] = []
        self.agreements = AgreementWatch(settings, self.faults)
        self.owners = OwnerWatch(self.faults)
        self.power = PowerWatch(settings, self.faults)
        self.liars: set[int] = set()  # modules that were made to lie
        self._wronged: set[int] = set()

    def stepped(self, module_id: int, optimizer: ModuleOptimizer, decision: Decision | None, now_ns: int) -> None:
        """An optimizer was stepped."""
        if decision:
            when = f"{now_ns / 1e9:.3f} s"
            self.agreements.decided(module_id, optimizer.target_kw, decision, when)
            self.owners.decided(module_id, optimizer.target_kw, decision, when)
        else:
            self.owners.stepped(module_id, optimizer.membership.group)
        self.power.stepped(module_id, optimizer, now_ns)

    def pass_time(self, optimizers: Mapping[int, ModuleOptimizer], now_ns: int) -> None:
        """To be called often."""
        self.power.pass_time(now_ns)
        for k, optimizer in optimizers.items():
            for other, reason in optimizer.faults.items():
                if other not in self.liars | self._wronged and k not in self.liars:
                    self._wronged.add(other)
                    self.faults.append(f"{now_ns / 1e9:.3f} s: module {k} excludes {other}, which is honest: {reason}")

    def gone(self, module_id: int, now_ns: int) -> None:
        """A module has died or is stopped."""
        self.agreements.gone(module_id)
        self.owners.gone(module_id)
        self.power.gone(module_id, now_ns)
