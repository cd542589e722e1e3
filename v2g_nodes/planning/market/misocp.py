"""The source's single-level model, a mixed-integer second-order cone program, given to SCIP: the peer of levels.py.

Drivers' optimality is strong duality, primal value with u and sigma w >= dual value; u_th <= level * y_th and
w^2 + y^2 <= y are upper bounds that weak duality makes tight. Of the bid's two forms it has (3), with w for the
deviation, so it is the same problem as levels.py where Platform.exact_deviation is False and (3) is the larger form.
Source: EQUATIONS 004.2, MISOCP. Valid inequalities are the source's: shares between those with all other rebates at
zero and at their largest. They need cross effects of one sign, which chargers at home have in all cases tried; drivers
for whom the two ends are the wrong way round, as with chargers at work, refute them, and get none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import Platform

ENDS_SLACK = 1e-9  # of a driver


@dataclass(frozen=True)
class PeerPlan:
    """What SCIP found.

    Args:
        rebates: shape (hours,) [USD/h]; None without a solution.
        profit: of these rebates, by the drivers' exact answer [USD per day]; minus infinity without a solution.
        bound: SCIP's [USD per day].
        seconds: SCIP's solving time.
        status: SCIP's word.
        inequalities: the source's were added for all drivers.
    """

    rebates: FloatArray | None
    profit: float
    bound: float
    seconds: float
    status: str
    inequalities: bool


def solve_misocp(platform: Platform, gap: float, limit_s: float, valid_inequalities: bool) -> PeerPlan:
    """Solve the model with SCIP, one thread.

    Args:
        platform: the problem.
        gap: at which it stops, relative.
        limit_s: time limit [s].
        valid_inequalities: add the source's.
    """
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    model.setParam("limits/gap", gap)
    model.setParam("limits/time", limit_s)
    hours, levels = range(platform.hours), platform.levels
    z = [[model.addVar(vtype="B") for _ in levels] for _ in hours]
    bid = [model.addVar(lb=0.0) for _ in hours]
    for t in hours:
        model.addCons(quicksum(z[t]) == 1.0)
    rebates = [quicksum(float(level) * z[t][h] for h, level in enumerate(levels)) for t in hours]
    paid, plugged, spread = [], [], []
    ends = [share_ends(follower, levels) if valid_inequalities else None for follower in platform.followers]
    for k, follower in enumerate(platform.followers):
        parts = _cluster(model, follower, levels, z, rebates, ends[k])
        paid.append(float(platform.vehicles[k]) * parts[0])
        plugged.append([float(platform.vehicles[k]) * one for one in parts[1]])
        spread.append([(float(platform.vehicles[k]), one) for one in parts[2]])
    for requirement in range(len(platform.requirements)):
        form = platform.forms[requirement][0]
        for t in hours:
            right = model.addVar(lb=0.0)
            inside = quicksum(count * w * w for column in spread for count, w in [column[t]])
            scaled = bid[t] * (1.0 / form.kw)
            model.addCons(right * form.factor == quicksum(column[t] for column in plugged) - form.mean * scaled)
            model.addCons(inside + (form.deviation * scaled) ** 2 <= right * right)
    model.setObjective(quicksum(float(platform.prices[t]) * bid[t] for t in hours) - quicksum(paid), "maximize")
    model.optimize()
    found, profit = None, -math.inf
    if model.getNSols():
        best = model.getBestSol()
        picks = [int(np.argmax([model.getSolVal(best, one) for one in z[t]])) for t in hours]
        found = levels[picks]
        profit = float(platform.evaluate(found).profit[0])
    return PeerPlan(found, profit, float(model.getDualbound()), float(model.getSolvingTime()), model.getStatus(),
                    all(one is not None for one in ends))  # fmt: skip


def share_ends(follower: Follower, levels: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Share of each hour and level with all other rebates at zero and at their largest, shape (hours, levels) each.

    None where the first is the larger one somewhere: then they bound nothing.
    """
    hours = follower.network.hours
    low, high = np.zeros((hours, len(levels))), np.zeros((hours, len(levels)))
    for others, into in ((0.0, low), (float(levels[-1]), high)):
        rebates = np.full((hours * len(levels), hours), others)
        rebates[np.arange(len(rebates)), np.repeat(np.arange(hours), len(levels))] = np.tile(levels, hours)
        share = follower.plugged(follower.solve(rebates))
        into[:] = share[np.arange(len(rebates)), np.repeat(np.arange(hours), len(levels))].reshape(hours, -1)
    return None if (low > high + ENDS_SLACK).any() else (low, high)


def _cluster(
    model: Any, follower: Follower, levels: FloatArray, z: list[list[Any]], rebates: list[Any],  # noqa: ANN401 - SCIP's
    ends: tuple[FloatArray, FloatArray] | None,
) -> tuple[Any, list[Any], list[Any]]:  # fmt: skip
    from pyscipopt import quicksum

    network, arcs = follower.network, range(follower.network.arcs)
    y = [model.addVar(lb=0.0, ub=1.0) for _ in arcs]
    w = [model.addVar(lb=0.0, ub=0.5) for _ in arcs]
    q = [model.addVar(lb=float(follower.sigma[a])) for a in arcs]
    lam = [model.addVar(lb=None) for _ in arcs]
    rho = [model.addVar(lb=None) for _ in network.supply]
    for node, row in enumerate(network.incidence):
        model.addCons(quicksum(float(row[a]) * y[a] for a in np.flatnonzero(row)) == float(network.supply[node]))
    for a in arcs:
        column, hour = network.incidence[:, a], int(network.plug_hour[a])
        tension = quicksum(float(column[n]) * rho[n] for n in np.flatnonzero(column))
        model.addCons(lam[a] == float(follower.mu[a]) - tension + (rebates[hour] if hour >= 0 else 0.0))
        model.addCons(w[a] * w[a] + y[a] * y[a] <= y[a])
        model.addCons(lam[a] * lam[a] + float(follower.sigma[a]) ** 2 <= q[a] * q[a])
    paid, plugged, spread = [], [], []
    for t in range(network.hours):
        own = [int(a) for a in np.flatnonzero(network.plug_hour == t)]
        parts = [model.addVar(lb=0.0, ub=1.0) for _ in levels]
        total = quicksum(y[a] for a in own)
        model.addCons(quicksum(parts) == total)
        for h, part in enumerate(parts):
            low, high = (0.0, 1.0) if ends is None else (float(ends[0][t, h]), float(ends[1][t, h]))
            model.addCons(part <= high * z[t][h])
            model.addCons(part >= low * z[t][h])
        paid.append(quicksum(float(level) * part for level, part in zip(levels, parts, strict=True)))
        plugged.append(total)
        if len(own) == 1:
            spread.append(w[own[0]])
        else:
            deviation = model.addVar(lb=0.0, ub=0.5)  # of all arcs of the hour together
            model.addCons(deviation * deviation + total * total >= total)
            spread.append(deviation)
    payment = quicksum(paid)
    value = quicksum(float(follower.mu[a]) * y[a] + float(follower.sigma[a]) * w[a] for a in arcs) + payment
    dual = quicksum(0.5 * (lam[a] + q[a]) for a in arcs)
    model.addCons(value >= dual + quicksum(float(f) * rho[n] for n, f in enumerate(network.supply) if f))
    return payment, plugged, spread
