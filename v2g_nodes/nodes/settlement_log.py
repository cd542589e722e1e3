"""Settlement figures for the audit log: one line for each vehicle and quarter of an hour, the rest of it at the end."""

from __future__ import annotations

import math
from dataclasses import asdict

from v2g_nodes.audit import AuditLog
from v2g_nodes.core.settlement import Settlement
from v2g_nodes.msg import ModuleStatus

INTERVAL_S = 900.0  # s of law time; the interval in which electricity is settled in Europe


class SettlementLog:
    """Collects what the modules' meters show and writes it down; the lines add up to the whole.

    Args:
        audit: where to.
        who: writes: name of the node.
    """

    def __init__(self, audit: AuditLog, who: str) -> None:
        self._audit, self._who = audit, who
        self._settlement = Settlement()
        self._begun: tuple[float, float] | None = None  # law time and local time of day of the interval's beginning [s]
        self._time_of_day_s = math.nan

    def see(self, status: ModuleStatus, price_eur_per_kwh: float) -> None:
        """A module tells its meter.

        Args:
            status: of the module.
            price_eur_per_kwh: of now; NaN where none is known.
        """
        session = status.session_id if status.vehicle_plugged else ""
        self._settlement.see(
            status.module_id, session, status.discharged_kwh, status.charged_kwh, price_eur_per_kwh
        )

    def settle(self, law_s: float, time_of_day_s: float, at_once: bool = False) -> None:
        """Write the interval down if it is over.

        Args:
            law_s: law time [s].
            time_of_day_s: local time of day [s]; NaN where it is not known.
            at_once: it ends now.
        """
        if self._begun is None:
            self._begun = law_s, time_of_day_s
        begun_s, begun_of_day_s = self._begun
        if not at_once and law_s - begun_s < INTERVAL_S:
            return
        self._begun = law_s, time_of_day_s
        for figures in self._settlement.take():
            self._audit.append(
                "settlement", self._who, from_time_of_day_s=begun_of_day_s, to_time_of_day_s=time_of_day_s,
                seconds=law_s - begun_s, **asdict(figures),
            )  # fmt: skip
        if at_once:
            self._audit.flush()
