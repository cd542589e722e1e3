"""A day of ten vehicles on the 18-bus grid, planned with its power flow: prices, stations, voltages."""

from __future__ import annotations

import numpy as np
from drawing import ACCENT, COLD, axes, text_of

from v2g_nodes.planning.network.certified import solve_certified
from v2g_nodes.planning.network.instance_file import instance_of, load_case
from v2g_nodes.planning.network.samples import Sample, make_values


def draw() -> str:
    """The figure."""
    case = load_case("case18")
    day = instance_of(make_values(case, Sample(1, (6, 22))), case, "case18")
    found = solve_certified(day, 1e-3)
    plan = found.plan
    if plan is None:
        raise ValueError("no plan of the day of case18")
    hours = np.arange(day.slots + 1) * day.slot_h
    figure, (left, middle, right) = axes(3, 2.8, 8.6)
    left.step(hours, np.append(day.price_eur_per_kwh, day.price_eur_per_kwh[-1]), where="post", color=COLD)
    left.set_title("Market price")
    left.set_ylabel("[EUR/kWh]")
    for bus, power in zip(day.stations.bus, plan.evaluation.station_kw, strict=True):
        middle.step(hours, np.append(power, power[-1]), where="post", label=f"bus {day.grid.buses[bus]}")
    middle.set_title("Stations, > 0 draws")
    middle.set_ylabel("power [kW]")
    middle.legend()
    voltage = np.abs(plan.evaluation.flow.voltage)[1:]
    ends = [np.append(each, each[-1]) for each in (voltage.min(axis=0), voltage.max(axis=0))]
    right.fill_between(hours, *ends, step="post", color=ACCENT, alpha=0.25)
    right.set_title("Voltages of all buses")
    right.set_ylabel("[pu]")
    for axis in (left, middle, right):
        axis.set_xlabel("hour")
        axis.set_xlim(0, 24)
    return text_of(figure)
