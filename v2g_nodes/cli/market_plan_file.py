"""Bids and rebates as a plan file that a station follows with rule csv."""

from __future__ import annotations

import csv
from pathlib import Path

from v2g_nodes.core.types import FloatArray


def write_plan_csv(path: Path, bid_kw: FloatArray, rebates: FloatArray) -> None:
    """One row per hour: hour_local, base_kw, capacity_kw, rebate_eur_per_h; money as it stands, no base power.

    Args:
        path: of the file.
        bid_kw: of the fleet, shape (hours,) [kW]; the station must be the whole fleet.
        rebates: shape (hours,) [1/h].
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("hour_local", "base_kw", "capacity_kw", "rebate_eur_per_h"))
        rows.writerows((hour, 0.0, round(float(bid), 6), round(float(paid), 6))
                       for hour, (bid, paid) in enumerate(zip(bid_kw, rebates, strict=True)))  # fmt: skip
