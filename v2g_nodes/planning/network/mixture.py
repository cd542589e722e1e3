"""Mixtures of the vehicles' answers that cost least: the linear program behind prices where caps or limits bind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.cuts import Cuts
from v2g_nodes.planning.network.instance import Instance

WEIGHT = 1e-7  # an answer with less is none of the mixture


@dataclass(frozen=True)
class Mixture:
    """The program's solution; multipliers have the signs that `Prices.offer` takes.

    Args:
        on_costs: of the cost cuts.
        on_limits: of the limit cuts [EUR/kW].
        on_caps: of the caps, shape (stations, slots) [EUR/kW].
        station_kw: of the mixture, shape (stations, slots).
        modes: 1 charging, -1 discharging, 0 idle, NaN where answers differ, shape (vehicles, slots).
        objective: of the mixture with these cuts [EUR].
    """

    on_costs: FloatArray
    on_limits: FloatArray
    on_caps: FloatArray
    station_kw: FloatArray
    modes: FloatArray
    objective: float


def solve_mixture(
    instance: Instance, columns: list[list[tuple[FloatArray, FloatArray]]], cost: Cuts, limit: Cuts, excess_eur: float
) -> Mixture:
    """Weights of the answers of each vehicle that cost least, by HiGHS.

    Args:
        instance: whose stations and prices.
        columns: answers of each vehicle: battery and grid power, shape (slots,) each [kW].
        cost: cuts of the grid's cost.
        limit: cuts of its limits.
        excess_eur: price of passing caps and limits [EUR/kW].
    """
    import highspy
    from scipy import sparse

    stations, slots = len(instance.stations), instance.slots
    owner = np.repeat(np.arange(len(columns)), [len(of_one) for of_one in columns])
    battery = np.array([one[0] for of_one in columns for one in of_one])
    drawn = np.array([one[1] for of_one in columns for one in of_one])
    many, cells = len(owner), stations * slots
    capped = np.flatnonzero(np.repeat(np.isfinite(instance.stations.cap_kw), slots))
    # columns: weights, station powers, costs, excess of caps, excess of limits
    at_weight, at_station = np.arange(many), many + np.arange(cells)
    at_cost = many + cells + np.arange(slots)
    at_over = many + cells + slots + np.arange(len(capped) + len(limit))
    width = many + cells + slots + len(at_over)

    def rows(count: int, *parts: tuple[Any, Any, Any]) -> Any:  # noqa: ANN401 - sparse matrix
        at, where, values = (np.concatenate([np.asarray(part[k]).ravel() for part in parts]) for k in range(3))
        return sparse.csr_matrix((values, (at, where)), (count, width))

    place = instance.vehicles.station[owner][:, None] * slots + np.arange(slots)
    moves = drawn != 0.0
    balance = rows(cells, (np.arange(cells), at_station, np.ones(cells)),
                   (place[moves], np.broadcast_to(at_weight[:, None], place.shape)[moves], -drawn[moves]))  # fmt: skip
    one_each = rows(len(columns), (owner, at_weight, np.ones(many)))

    def cut_rows(cuts: Cuts) -> tuple[Any, Any, Any]:
        where = many + np.arange(stations)[None, :] * slots + cuts.slot[:, None]
        return np.repeat(np.arange(len(cuts)), stations), where, -cuts.slope

    costs = rows(len(cost), cut_rows(cost), (np.arange(len(cost)), at_cost[cost.slot], np.ones(len(cost))))
    over_caps, over_limits = at_over[: len(capped)], at_over[len(capped) :]
    caps = rows(len(capped), (np.arange(len(capped)), at_station[capped], -np.ones(len(capped))),
                (np.arange(len(capped)), over_caps, np.ones(len(capped))))  # fmt: skip
    limits = rows(len(limit), cut_rows(limit), (np.arange(len(limit)), over_limits, np.ones(len(limit))))
    matrix = sparse.vstack([balance, one_each, costs, caps, limits], format="csc")
    cap_kw = np.repeat(instance.stations.cap_kw, slots)[capped]
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = width, matrix.shape[0]
    price = instance.price_eur_per_kwh * instance.slot_h
    model.col_cost_ = np.concatenate([np.zeros(many), np.tile(price, stations), np.ones(slots),
                                      np.full(len(at_over), excess_eur)])  # fmt: skip
    low = np.zeros(width)
    low[at_station] = low[at_cost] = -np.inf
    model.col_lower_, model.col_upper_ = low, np.full(width, np.inf)
    equal = np.concatenate([np.zeros(cells), np.ones(len(columns))])
    model.row_lower_ = np.concatenate([equal, cost.constant, -cap_kw, limit.constant])
    model.row_upper_ = np.concatenate([equal, np.full(len(cost) + len(capped) + len(limit), np.inf)])
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.passModel(model)
    solver.run()
    x, duals = np.array(solver.getSolution().col_value), np.array(solver.getSolution().row_dual)
    _, on_costs, on_caps, on_limits = np.split(duals, np.cumsum([cells + len(columns), len(cost), len(capped)]))
    all_caps = np.zeros(cells)
    all_caps[capped] = on_caps
    return Mixture(on_costs, on_limits, all_caps.reshape(stations, slots), x[at_station].reshape(stations, slots),
                   _modes(len(columns), owner, x[at_weight] > WEIGHT, np.sign(battery)),
                   float(solver.getInfo().objective_function_value))  # fmt: skip


def _modes(vehicles: int, owner: Any, used: Any, signs: FloatArray) -> FloatArray:  # noqa: ANN401 - arrays of any kind
    low, high = np.full((vehicles, signs.shape[1]), np.inf), np.full((vehicles, signs.shape[1]), -np.inf)
    np.minimum.at(low, owner[used], signs[used])
    np.maximum.at(high, owner[used], signs[used])
    return np.where(low == high, low, np.nan)
