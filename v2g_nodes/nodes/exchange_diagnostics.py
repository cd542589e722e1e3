"""What an optimizer tells on /diagnostics: with whom it shares the target out, how well, whom it does not believe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.diagnostics import Diagnostics, Status, module_name

OVERDUE_EPOCHS = 3.0  # an agreement this many epoch periods old is overdue


class ExchangeDiagnostics:
    """Status `exchange with the neighbours` of a module's optimizer.

    Args:
        node: the optimizer node; make this while it is configured.
        optimizer: of the node.
        own_silence_s: tells for how long the own module has been silent [s]; infinite before its first word.
    """

    def __init__(
        self, node: ManagedNode[Any], optimizer: ModuleOptimizer, own_silence_s: Callable[[], float]
    ) -> None:
        self._p, self._optimizer, self._own_silence_s = node.p, optimizer, own_silence_s
        self._diagnostics = Diagnostics(node, lambda: [self._status()])
        self._agreed_s = -math.inf
        self._epoch_ms = self._power_kw = math.nan
        self.start, self.look = self._diagnostics.start, self._diagnostics.look

    def agreed(self, signal_ns: int, agreed_ns: int) -> None:
        """An agreement was reached.

        Args:
            signal_ns: receipt of its signal [ns].
            agreed_ns: its set-point published [ns].
        """
        self._agreed_s, self._epoch_ms = agreed_ns / 1e9, (agreed_ns - signal_ns) / 1e6

    def _status(self) -> Status:
        optimizer, p = self._optimizer, self._p
        members, agreement = optimizer.membership.group.members, optimizer.agreement
        age_s = time.monotonic() - self._agreed_s
        silence_s = self._own_silence_s()
        status = Status(module_name(p.module_id), "exchange with the neighbours", "agrees with all modules", {
            "members": " ".join(map(str, members)),
            "modules of the station": len(p.module_ids),
            "share of the target": optimizer.island_share(),
            "last agreement s ago": age_s,
            "epoch ms": self._epoch_ms,
            "own module silent s": silence_s,
            "privacy": p.privacy,
        })  # fmt: skip
        if agreement is not None:
            status.values |= {
                "rounds": agreement.rounds,
                "cold": agreement.cold,
                "price EUR/kWh": agreement.lambda_eur_per_kwh,
                "agreed kW": agreement.power_kw,
                "target of the island kW": agreement.target_kw,
                "beyond what the modules can kW": agreement.target_kw - agreement.clipped_target_kw,
            }
        if optimizer.failed:
            status.warn(optimizer.failed)
        for k, why in sorted(optimizer.faults.items()):
            status.error(f"module {k} excluded: {why}")
            status.values[f"excluded {k}"] = why
        if math.isinf(silence_s):
            status.warn("own module not heard yet")
        elif silence_s > streams.APPLIED.max_age_s:
            status.error(f"own module silent for {silence_s:.1f} s")
        if len(members) < len(p.module_ids):
            status.warn(f"island of {len(members)} of {len(p.module_ids)} modules")
        if age_s > OVERDUE_EPOCHS * p.epoch_period_s / min(p.speed, 1.0):
            status.warn("nothing agreed yet" if agreement is None else f"last agreement {age_s:.0f} s ago")
        return status
