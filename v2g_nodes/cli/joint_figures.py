"""Figures of modules that are spread over hosts, from what the witness of each host tells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from v2g_nodes.cli.fault_watch import Agreed
from v2g_nodes.cli.processes import Event
from v2g_nodes.core.cost import CostParameters, LocalCost
from v2g_nodes.core.dispatch.reference import dispatch_gap
from v2g_nodes.core.types import Box
from v2g_nodes.nodes.witness_measures import SumMeter
from v2g_nodes.station import Station


class JointSums:
    """Sum of the base powers of all hosts' modules against the targets in force (nodes/witness_measures.py).

    Args:
        station: whose modules.
    """

    def __init__(self, station: Station) -> None:
        self._ids = {module.id for module in station.modules}
        self._meter, self.base_kw, self.words = SumMeter(), 0.0, ""

    def clear(self) -> None:
        """What was largest so far counts no more; who is in force stays known."""
        self.base_kw, self.words = 0.0, ""

    def take(self, event: Event) -> None:
        """Hear a witness."""
        if event["event"] == "target":
            self._meter.target(event["heard_s"], _number(event["target_kw"]))
        elif event["event"] == "power" and event["module"] in self._ids:
            self._meter.module(event["heard_s"], event["module"], _number(event["base_kw"]), 0.0)
            base_kw, _, words = self._meter.take()
            if base_kw > self.base_kw:
                self.base_kw, self.words = base_kw, words


def joint_figures(epochs: Sequence[Sequence[Agreed]]) -> dict[str, object]:
    """How well all modules agreed, over epochs that all of them agreed in as one group.

    Args:
        epochs: records of all modules, epoch by epoch.

    Returns:
        epochs; lambda_spread_max, relative; balance_error_kw_max; gap_max to the centralised optimum, relative. None
        where nothing could be judged.
    """
    prices = [[record.lambda_eur_per_kwh for record in records] for records in epochs]
    return {
        "epochs": len(epochs),
        "lambda_spread_max": max(((max(p) - min(p)) / max(map(abs, p)) for p in prices if any(p)), default=None),
        "balance_error_kw_max": max(
            (abs(sum(r.power_kw for r in records) - records[0].target_kw) for records in epochs), default=None),
        "gap_max": max((_gap(records) for records in epochs if all(r.cost for r in records)), default=None),
    }


def _gap(records: Sequence[Agreed]) -> float:
    """To the cheapest way to the same total."""
    ordered = sorted(records, key=lambda record: record.module)
    costs = [LocalCost(CostParameters(*r.cost), r.soc, r.temperature_c) for r in ordered]
    return dispatch_gap(costs, [Box(*r.box) for r in ordered], [r.power_kw for r in ordered])


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
