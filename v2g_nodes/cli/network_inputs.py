"""Options and files of `v2g plan network` as an instance."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.instance_file import instance_of, load_case, read_instance
from v2g_nodes.planning.network.samples import Sample, make_values
from v2g_nodes.sim.series import read_series
from v2g_nodes.sim.time_axis import DAY_S

STATION = 6  # bus of the source's station


@dataclass(frozen=True)
class NetworkOptions:
    """What the command line says; None: not said. See plan_network."""

    instance: str | None
    case: str | None
    seed: int
    stations: str | None
    cap_kw: float | None
    slots: int
    arrivals: str
    spots: int
    load_factor: float
    prices: str | None
    efficiency_at: str
    line_charging: bool
    save: str | None


def read_network(options: NetworkOptions) -> tuple[Instance, tuple[str, ...]]:
    """Read or make the instance.

    Returns:
        The instance, and notes about it.

    Raises:
        InputError: an option out of range or a file that can't be used; names option, file and key.
    """
    if (options.instance is None) == (options.case is None):
        raise InputError("allowed is one of --instance FILE and --case NAME")
    made = {"--stations": options.stations, "--prices": options.prices, "--save": options.save}
    for option, given in made.items():
        if options.instance is not None and given is not None:
            raise InputError(f"{option} with --instance: allowed with --case, the file says it all")
    if options.cap_kw is not None:
        check_range("--cap", options.cap_kw, 0.0, 1e6, "kW")
    if options.instance is not None:
        instance = read_instance(options.instance, options.efficiency_at, options.line_charging)
        note = f"{options.instance}: {instance.grid.buses[0]} is the slack bus"
    else:
        instance, note = _made(options, str(options.case))
    if options.cap_kw is not None:
        caps = np.full(len(instance.stations), options.cap_kw)
        instance = replace(instance, stations=replace(instance.stations, cap_kw=caps))
    charging = "counted" if options.line_charging else "neglected"
    return instance, (note, f"losses of charging seen at the {options.efficiency_at}", f"charging of lines {charging}")


def _made(options: NetworkOptions, name: str) -> tuple[Instance, str]:
    case = load_case(name)
    try:
        buses = tuple(int(word) for word in (options.stations or str(STATION)).split(","))
    except ValueError as error:
        raise InputError(f"--stations {options.stations}: allowed are numbers of buses, as 6,22") from error
    sample = Sample(
        options.seed, buses, options.cap_kw, options.slots, options.arrivals, options.spots, options.load_factor
    )
    price = None
    if options.prices is not None:
        price = 1e3 * read_series(options.prices, "price").slot_means(0.0, DAY_S / options.slots, options.slots)
    values = make_values(case, sample, price)
    instance = instance_of(
        values, case, f"{case.name} seed {options.seed}", options.efficiency_at, options.line_charging
    )
    if options.save is not None:
        Path(options.save).write_text(json.dumps(values) + "\n", encoding="utf-8")
    shape = "a made day" if options.prices is None else options.prices
    return instance, f"{case.name}, seed {options.seed}, prices: {shape}, {len(instance.vehicles)} vehicles"
