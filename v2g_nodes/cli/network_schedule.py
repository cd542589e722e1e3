"""The plan of a day as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.network.plan import Plan

COLUMNS = ("vehicle", "bus", "slot", "power_kw", "energy_kwh")


def write_schedule(path: str, plan: Plan) -> None:
    """Write a row per vehicle and slot it is there; energy is that at the end of the slot.

    Raises:
        InputError: the file can't be written.
    """
    day, fleet = plan.instance, plan.instance.vehicles
    energy = fleet.energy_kwh(plan.power_kw, day.slot_h)
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for k, name in enumerate(fleet.names):
                bus = day.grid.buses[day.stations.bus[fleet.station[k]]]
                for slot in range(int(fleet.arrival[k]), int(fleet.departure[k])):
                    writer.writerow(
                        [name, bus, slot, repr(float(plan.power_kw[k, slot])), repr(float(energy[k, slot + 1]))]
                    )
    except OSError as error:
        raise InputError(f"--schedule {path}: {error.strerror}") from error
