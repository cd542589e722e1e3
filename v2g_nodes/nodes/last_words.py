"""What each module said last, and how long ago."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from v2g_nodes.core.mode import Mode
from v2g_nodes.msg import Applied, ModuleStatus
from v2g_nodes.nodes import streams


class LastWords:
    """Keeps the latest messages of the modules with the steady time of their receipt [ns].

    Args:
        module_ids: of the modules.
    """

    def __init__(self, module_ids: Sequence[int]) -> None:
        self.module_ids = tuple(module_ids)
        self.applied: dict[int, tuple[int, Applied]] = {}
        self.status: dict[int, tuple[int, ModuleStatus]] = {}
        self.price_eur_per_kwh: dict[int, float] = {}  # agreed

    def hear_applied(self, message: Applied) -> None:
        """What was sent to the hardware."""
        self.applied[message.module_id] = (time.monotonic_ns(), message)

    def hear_status(self, message: ModuleStatus) -> None:
        """State of a module."""
        self.status[message.module_id] = (time.monotonic_ns(), message)

    def measured_kw(self) -> float:
        """Sum of the modules that are heard [kW]."""
        return float(sum(m.power_kw for m in map(self.fresh_applied, self.module_ids) if m is not None))

    def fresh_applied(self, k: int) -> Applied | None:
        """What module k sent last, unless it is silent."""
        received_ns, message = self.applied.get(k, (0, None))
        return None if _age_s(received_ns) > streams.APPLIED.max_age_s else message

    def silent(self) -> list[int]:
        """Modules of which there is no status, or an old one."""
        limit_s = streams.STATUS.max_age_s
        return [k for k in self.module_ids if k not in self.status or _age_s(self.status[k][0]) > limit_s]

    def values(self, k: int) -> dict[str, float]:
        """Figures of module k; NaN for what is not known."""
        applied, status = self.fresh_applied(k), self.status.get(k)
        return {
            "lambda": self.price_eur_per_kwh.get(k, math.nan),
            "power_kw": applied.power_kw if applied else math.nan,
            "setpoint_kw": applied.setpoint_kw if applied else math.nan,
            "soc": status[1].soc if status else math.nan,
            "temperature_c": status[1].temperature_c if status else math.nan,
        }

    def row(self, k: int) -> dict[str, object]:
        """Module k in the live table."""
        status = self.status.get(k)
        return {
            "id": k,
            **self.values(k),
            "vehicle": status[1].session_id if status and status[1].vehicle_plugged else "",
            "mode": Mode(status[1].mode).name if status else "?",
            "reason": status[1].reason if status else "not seen yet",
            "age_s": _age_s(status[0]) if status else math.nan,
        }


def _age_s(received_ns: int) -> float:
    return (time.monotonic_ns() - received_ns) / 1e9
