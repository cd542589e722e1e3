"""What a module that lies sends instead of the truth."""

from __future__ import annotations

import math
from dataclasses import replace

from v2g_nodes.core.optimizer_types import NeighborReport, Outbox

#: lies that can be noticed, in its reports or by what is missing
LIES = ("nan", "range", "repeated", "old epoch", "stuck", "no frames")
ABSURD = 1e6  # kW and EUR/kWh


class Liar:
    """Changes what one module sends.

    Args:
        lie: one of LIES, or `curve`: values in range inside the running sum, which nobody can notice.
        factor: of the values in `curve`.
    """

    def __init__(self, lie: str, factor: float = 0.5) -> None:
        self._lie = lie
        self._factor = factor
        self._first: NeighborReport | None = None

    def distort(self, outbox: Outbox) -> Outbox:
        """What goes out."""
        frames = outbox.frames
        if self._lie == "no frames":
            frames = []
        if self._lie == "curve":
            frames = [f._replace(values=tuple(int(self._factor * value) for value in f.values)) for f in frames]
        return replace(outbox, frames=frames, reports=[self._report(report) for report in outbox.reports])

    def _report(self, report: NeighborReport) -> NeighborReport:
        first = self._first = self._first or report
        if self._lie == "nan":
            return replace(report, lambda_eur_per_kwh=math.nan, power_kw=math.nan)
        if self._lie == "range":
            return replace(report, lambda_eur_per_kwh=ABSURD, power_kw=ABSURD)
        if self._lie == "repeated":
            return replace(report, sequence=first.sequence, epoch=first.epoch)
        if self._lie == "old epoch":
            return replace(report, epoch=first.epoch)
        if self._lie == "stuck":
            return replace(report, power_kw=first.power_kw)
        return report
